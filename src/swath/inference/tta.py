"""Test-time augmentation: predictions of several views of a tile, flipped and scaled, averaged.

All of it is inside a tile, behind the `Runtime` protocol, so that what follows (maps, confidence,
masks) is the same with and without it. Scales are fractions of quarters: read windows that begin
and end at multiples of the denominator times the stride (four strides) do so at multiples of the
stride at every scale. An image whose ground sampling distance is not the network's is scaled in
the same way (see `swath.geo.scale`). A tile is sampled at the same points as the whole image, so
that scaling makes no seams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import ceil, lcm
from operator import iadd
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from swath.errors import ModelError, UsageError
from swath.inference.output import OutputSpec
from swath.inference.runtimes import OpenVinoRuntime, Runtime
from swath.metrics.calibration import probabilities
from swath.types import PathLike, Tta

_SMALLEST_PROBABILITY = np.finfo(np.float32).tiny
_LARGEST_BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))

MAX_READ_FACTOR = 16
"""Most pixels of an image that are read for each of a network that sees it shrunk."""


@dataclass(frozen=True)
class Views:
    """The views of a tile that are predicted.

    Attributes:
        zooms: scales; 3/4 shows the network three pixels for four of the image.
        flips: steps along rows and columns, -1 where they are reversed.
    """

    zooms: tuple[Fraction, ...] = (Fraction(1),)
    flips: tuple[tuple[int, int], ...] = ((1, 1),)

    @property
    def count(self) -> int:
        """Number of views."""
        return len(self.zooms) * len(self.flips)

    @property
    def cost(self) -> float:
        """Pixels that go through the network for each pixel read."""
        return float(sum(zoom**2 for zoom in self.zooms)) * len(self.flips)

    @property
    def peak_cost(self) -> float:
        """Most pixels that go through the network at one time for each pixel read."""
        return float(max(self.zooms) ** 2)

    @property
    def is_identity(self) -> bool:
        """Whether the only view is the tile as it is."""
        return self == Views()

    def at(self, zoom: Fraction) -> Views:
        """Return these views of an image that is itself shown at a scale."""
        return Views(tuple(zoom * each for each in self.zooms), self.flips)

    def read_pixels(self, network_pixels: int) -> int:
        """Return how many pixels of an image to read at one time for so many of the network.

        Where the image is shrunk they are at most `MAX_READ_FACTOR` times as many, for memory.
        """
        return int(network_pixels / max(self.peak_cost, 1 / MAX_READ_FACTOR))

    def stride(self, stride: int) -> int:
        """Return the stride of read windows that makes those of all views multiples of `stride`."""
        return stride * lcm(*(zoom.denominator for zoom in self.zooms))

    def halo(self, halo: int, stride: int) -> int:
        """Return the halo of read windows in which all views have `halo` pixels of the network.

        It is a multiple of half the stride of read windows. The pixel or two more that
        interpolation needs are within the tolerance of a measured halo; a network without context
        gets them as well.
        """
        least = 0 if set(self.zooms) == {1} else 1
        return self.whole_halo(max(least, ceil(halo / min(self.zooms))), stride)

    def whole_halo(self, halo: int, stride: int) -> int:
        """Return the next larger halo that leaves read windows at multiples of their stride."""
        whole = self.stride(stride)
        step = max(stride, whole if whole % 2 else whole // 2)
        return ceil(halo / step) * step

    def side(self, side: int | None, halo: int, stride: int) -> int | None:
        """Return the side of read windows in which a network sees `side` pixels; None for any."""
        if side is None:
            return None
        return max(int(side / max(self.zooms)), 2 * self.halo(halo, stride) + self.stride(stride))

    def runtime(self, start: Callable[[Fraction], Runtime], output: OutputSpec) -> Runtime:
        """Return a runtime of these views, of networks that `start` starts for a scale."""
        return start(Fraction(1)) if self.is_identity else MergedRuntime(self, start, output)

    def bytes_per_pixel(self, bands: int, channels: int) -> int:
        """Return the memory that merging takes for each pixel read, without that of networks."""
        if self.is_identity:
            return 0
        # A scaled and a flipped copy; scores, probabilities and sums; one band while it is scaled.
        each = 2 * 4 * bands + 3 * 4 * channels
        scaling = 4 * 4 * max(1, self.peak_cost)
        return ceil(each * self.peak_cost + scaling) + 4 * channels


_SCALES = (Fraction(3, 4), Fraction(1), Fraction(5, 4))
_ALL_FLIPS = ((1, 1), (1, -1), (-1, 1), (-1, -1))

VIEWS: dict[Tta, Views] = {
    "none": Views(),
    "scales": Views(_SCALES),
    "flips": Views(flips=_ALL_FLIPS),
    "full": Views(_SCALES, _ALL_FLIPS),
}
"""Views of each `--tta`. The scales are within those of the default recipe's augmentation."""


def views_of(tta: str, global_context: bool, file: PathLike) -> Views:
    """Return the views of a test-time augmentation.

    Args:
        tta: its name.
        global_context: whether the network's labels depend on all of a read window.
        file: the model file, for errors.

    Raises:
        UsageError: there is no such augmentation, or the network allows one scale only.
    """
    views = next((views for name, views in VIEWS.items() if name == tta), None)
    if views is None:
        raise UsageError(
            f"There is no test-time augmentation {tta!r}",
            code="unknown-tta",
            fix=f"Give one of {', '.join(VIEWS)}",
        )
    if global_context and len(views.zooms) > 1:
        raise UsageError(
            "The network uses all of a tile as context, so it works at one scale only",
            code="one-scale-only",
            file=file,
            fix=f"Give --tta flips instead of {tta}",
        )
    return views


class MergedRuntime:
    """A runtime that predicts several views and returns scores of their mean.

    Class scores become probabilities (softmax of scores / temperature; sigmoid for independent
    masks), those are averaged, and the mean becomes scores again. Heights are averaged as they are.

    Args:
        views: the views.
        start: starts the network for a scale.
        output: what its scores mean.
    """

    def __init__(
        self, views: Views, start: Callable[[Fraction], Runtime], output: OutputSpec
    ) -> None:
        self._views = views
        self._runtimes = [(zoom, start(zoom)) for zoom in views.zooms]
        self._output = output

    def __call__(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores of raw pixels (1, bands, height, width); see `Runtime`.

        They are NaN where those of any view are not finite.

        Raises:
            ModelError: scores have another shape than pixels.
        """
        out = reduce(iadd, (self._at_zoom(raw, *each) for each in self._runtimes))
        out /= np.float32(len(self._runtimes))
        self._to_scores(out[:, : self._output.classes])
        return out

    def _at_zoom(
        self, raw: NDArray[np.float32], zoom: Fraction, runtime: Runtime
    ) -> NDArray[np.float32]:
        """Return the mean of the views of one scale, at the scale of the tile."""
        mean = resample(self._mean_of_flips(runtime, resample(raw, zoom)), 1 / zoom)
        if len(self._runtimes) > 1 and isinstance(runtime, OpenVinoRuntime):
            # Else each scale keeps its tensors, and tiles have to be half as large.
            runtime.release()
        return mean

    def _mean_of_flips(self, runtime: Runtime, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return mean probabilities, and heights, of the flips of an image, flipped back."""
        out: NDArray[np.float32] | None = None
        classes = self._output.classes
        for down, across in self._views.flips:
            found = runtime(np.ascontiguousarray(raw[..., ::down, ::across]))
            if found.ndim != 4 or (len(found), *found.shape[2:]) != (1, *raw.shape[2:]):
                fault = f"The network gives scores {found.shape} of pixels {raw.shape}"
                raise ModelError(fault, code="score-shape", fix="Fetch or train the model again")
            if out is None:
                out = np.zeros(found.shape, np.float32)
            part = out[..., ::down, ::across]
            if classes is not None:
                part[:, classes:] += found[:, classes:]
            part[:, :classes] += self._to_probabilities(found[:, :classes])
        assert out is not None  # noqa: S101 - there is a flip
        out /= np.float32(len(self._views.flips))
        return out

    def _to_probabilities(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        if not np.isfinite(scores).all():  # softmax would hide infinite ones
            return np.full_like(scores, np.nan)
        with np.errstate(over="ignore", under="ignore"):
            if not self._output.multilabel:
                return probabilities(scores, self._output.temperature, axis=1)
            small = np.exp(-np.abs(scores))
            out: NDArray[np.float32] = np.where(scores < 0, small, np.float32(1)) / (1 + small)
            return out

    def _to_scores(self, share: NDArray[np.float32]) -> None:
        """Turn probabilities into scores, in place."""
        if self._output.multilabel:
            np.clip(share, _SMALLEST_PROBABILITY, _LARGEST_BELOW_ONE, out=share)
            rest = np.log1p(-share)
            np.log(share, out=share)
            share -= rest
        else:
            np.clip(share, _SMALLEST_PROBABILITY, 1, out=share)
            np.log(share, out=share)
            share *= np.float32(self._output.temperature)


def resample(image: NDArray[np.float32], zoom: Fraction) -> NDArray[np.float32]:
    """Scale an image: bilinear, pixel centers aligned, smoothed where it is shrunk.

    The result is that of torch's `interpolate(mode="bilinear", antialias=True)`, which scales
    patches in training.

    Args:
        image: (1, bands, rows, columns), rows and columns times zoom being whole numbers.
        zoom: pixels of the result for each pixel of the image, along a side.

    Returns:
        Shape (1, bands, rows * zoom, columns * zoom), float32; the image itself where zoom is 1.
    """
    if zoom == 1:
        return image
    rows, cols = (_taps(length, zoom) for length in image.shape[2:])
    out = np.empty((*image.shape[:2], len(rows[0][0]), len(cols[0][0])), np.float32)
    for plane, result in zip(image[0], out[0], strict=True):
        tall = _weighted([(np.take(plane, at, axis=0), weight[:, None]) for at, weight in rows])
        result[:] = _weighted([(np.take(tall, at, axis=1), weight) for at, weight in cols])
    return out


_Values: TypeAlias = NDArray[np.float32]


def _weighted(parts: Sequence[tuple[_Values, _Values]]) -> _Values:
    out: _Values = parts[0][0] * parts[0][1]
    for values, weight in parts[1:]:
        out += values * weight
    return out


def _taps(length: int, zoom: Fraction) -> list[tuple[NDArray[np.int64], _Values]]:
    """Return pairs of the pixels along an axis that make each new one, and their weights.

    All is computed in whole numbers, in units of half a new pixel's share, so that weights repeat
    exactly along the axis.
    """
    unit, step = 2 * zoom.numerator, 2 * zoom.denominator  # an old and a new pixel in these units
    center = np.arange(int(length * zoom), dtype=np.int64) * step + (step - unit) // 2
    radius = max(unit, step)
    first = (center - radius) // unit + 1
    found = []
    for k in range(ceil(2 * radius / unit)):
        weight = np.maximum(0, radius - np.abs((first + k) * unit - center))
        weight[(first + k < 0) | (first + k >= length)] = 0
        found.append((np.clip(first + k, 0, length - 1), weight))
    total = np.sum([weight for _, weight in found], axis=0)
    return [(at, np.asarray(weight / total, np.float32)) for at, weight in found]
