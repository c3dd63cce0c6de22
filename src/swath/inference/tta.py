"""Test-time augmentation: a tile is looked at several times, mirrored and at several scales, and the looks are averaged.

All happens inside a tile, behind the `Runtime` protocol, so that what follows (maps, confidence,
masks) knows nothing of it. Scales are fractions, those of augmentation quarters: read windows that
begin and end at multiples of the denominator times the stride (four strides) then do so at
multiples of the stride at every scale. An image whose ground sampling distance is not the network's
is looked at in the same way, at a scale that brings it there (see `resolution`). A tile is sampled
at the very places where the whole image would be, and no seam comes from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, lcm

import numpy as np
from numpy.typing import NDArray

from swath.errors import ModelError, UsageError
from swath.inference.runtimes import OpenVinoRuntime, Runtime
from swath.metrics.calibration import probabilities
from swath.types import PathLike, Tta

_LEAST = np.finfo(np.float32).tiny
_BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))

WIDEST = 16
"""How many times as many pixels of an image are read at one time, at most, where the network sees it shrunk."""


@dataclass(frozen=True)
class Views:
    """How a tile is looked at.

    Attributes:
        zooms: scales; 3/4 shows the network three pixels for four of the image.
        flips: steps along rows and columns, -1 where they are turned round.
    """

    zooms: tuple[Fraction, ...] = (Fraction(1),)
    flips: tuple[tuple[int, int], ...] = ((1, 1),)

    @property
    def count(self) -> int:
        """How many times a tile is looked at."""
        return len(self.zooms) * len(self.flips)

    @property
    def cost(self) -> float:
        """Pixels that go through the network for each pixel read."""
        return float(sum(zoom**2 for zoom in self.zooms)) * len(self.flips)

    @property
    def most(self) -> float:
        """Pixels that go through it at one time for each pixel read, at most."""
        return float(max(self.zooms) ** 2)

    @property
    def plain(self) -> bool:
        """Whether it is one look at the image as it is."""
        return self == Views()

    def at(self, zoom: Fraction) -> Views:
        """Return these looks at an image that is itself shown at a scale, such as 1/2 where its pixels are half as large."""
        return Views(tuple(zoom * each for each in self.zooms), self.flips)

    def area(self, most: int) -> int:
        """Return how many pixels of an image to read at one time where a network is given `most` of its own.

        Where the image is shrunk they are `WIDEST` times as many at most, for they take memory too.
        """
        return int(most / max(self.most, 1 / WIDEST))

    def stride(self, stride: int) -> int:
        """Return what read windows are multiples of, so that those of a network are multiples of its stride at all scales."""
        return stride * lcm(*(zoom.denominator for zoom in self.zooms))

    def halo(self, halo: int, stride: int) -> int:
        """Return the pixels to read around a core where the network needs `halo` of its own: more where the image is shrunk.

        It is a multiple of half the stride of the read windows. The pixel or two more that
        interpolation sees are within what the measuring of a halo tolerates; a network without
        context needs them all the same.
        """
        least = 0 if set(self.zooms) == {1} else 1
        return self.whole_halo(max(least, ceil(halo / min(self.zooms))), stride)

    def whole_halo(self, halo: int, stride: int) -> int:
        """Return the next halo up that leaves read windows on multiples of their stride."""
        whole = self.stride(stride)
        step = max(stride, whole if whole % 2 else whole // 2)
        return ceil(halo / step) * step

    def side(self, side: int | None, halo: int, stride: int) -> int | None:
        """Return the side of the read windows of a network that is to see `side` pixels of its own, None where any will do."""
        if side is None:
            return None
        return max(int(side / max(self.zooms)), 2 * self.halo(halo, stride) + self.stride(stride))

    def runtime(
        self,
        start: Callable[[Fraction], Runtime],
        classes: int,
        temperature: float = 1.0,
        apart: bool = False,
    ) -> Runtime:
        """Return a runtime that looks so, of networks that are started for a scale; see `MergedRuntime`."""
        return (
            start(Fraction(1))
            if self.plain
            else MergedRuntime(self, start, classes, temperature, apart)
        )

    def bytes_per_pixel(self, bands: int, channels: int) -> int:
        """Return the memory that merging takes for each pixel read, beside that of the networks."""
        if self.plain:
            return 0
        each = (
            2 * 4 * bands + 3 * 4 * channels
        )  # a scaled and a turned copy; scores, probabilities, sums
        apart = 4 * 4 * max(1, self.most)  # a band apart, while it is scaled
        return ceil(each * self.most + apart) + 4 * channels


_SCALES = (Fraction(3, 4), Fraction(1), Fraction(5, 4))
_MIRRORED = ((1, 1), (1, -1), (-1, 1), (-1, -1))

VIEWS: dict[Tta, Views] = {
    "none": Views(),
    "scales": Views(_SCALES),
    "flips": Views(flips=_MIRRORED),
    "full": Views(_SCALES, _MIRRORED),
}
"""What `--tta` means. The scales stay within those that the default recipe teaches."""


def views_of(tta: str, sees_all: bool, file: PathLike) -> Views:
    """Return what an augmentation means for a network.

    Args:
        tta: its name.
        sees_all: whether labels depend on all of a read window.
        file: the model file, for errors.

    Raises:
        UsageError: there is no such augmentation, or the network sees as much of the image as it is
            shown, at one scale only.
    """
    views = next((views for name, views in VIEWS.items() if name == tta), None)
    if views is None:
        raise UsageError(
            f"there is no test-time augmentation {tta!r}", fix=f"Give one of {', '.join(VIEWS)}"
        )
    if sees_all and len(views.zooms) > 1:
        raise UsageError(
            "its network looks at all of a tile, so it knows one scale only",
            file=file,
            fix=f"Give --tta flips instead of {tta}",
        )
    return views


class MergedRuntime:
    """A runtime that looks several times, and says what the looks say on average.

    Class scores become probabilities (softmax of scores / temperature; with masks apart the
    sigmoid), those are averaged, and the mean becomes scores again that give it back. Further
    channels, heights, are averaged as they are.

    Args:
        views: how to look.
        open_runtime: starts the network for a scale.
        classes: how many of its first channels are class scores.
        temperature: that they are divided by.
        apart: whether they are log-odds of masks apart.
    """

    def __init__(
        self,
        views: Views,
        open_runtime: Callable[[Fraction], Runtime],
        classes: int,
        temperature: float,
        apart: bool,
    ) -> None:
        self._looks = views
        self._runtimes = [(zoom, open_runtime(zoom)) for zoom in views.zooms]
        self._classes = classes
        self._temperature = temperature
        self._apart = apart

    def __call__(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores of raw pixels (1, bands, height, width); see `Runtime`.

        They are NaN where any look's are no numbers.

        Raises:
            ModelError: the network gives scores of another shape than its pixels.
        """
        out: NDArray[np.float32] | None = None
        for zoom, runtime in self._runtimes:
            mean = resample(self._mean(runtime, resample(raw, zoom)), 1 / zoom)
            if len(self._runtimes) > 1 and isinstance(runtime, OpenVinoRuntime):
                # else each scale would keep its tensors, and tiles would be half as large
                runtime.release()
            if out is None:
                out = mean
            else:
                out += mean
        assert out is not None  # noqa: S101 - there is a scale
        out /= np.float32(len(self._runtimes))
        self._to_scores(out[:, : self._classes])
        return out

    def _mean(self, runtime: Runtime, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mean of what a network says of an image turned each way, turned back."""
        out: NDArray[np.float32] | None = None
        for down, across in self._looks.flips:
            found = runtime(np.ascontiguousarray(raw[..., ::down, ::across]))
            if found.ndim != 4 or (len(found), *found.shape[2:]) != (1, *raw.shape[2:]):
                raise ModelError(
                    f"its network gives scores {found.shape} of pixels {raw.shape}",
                    fix="Fetch or train the model again",
                )
            if out is None:
                out = np.zeros(found.shape, np.float32)
            part = out[..., ::down, ::across]
            part[:, self._classes :] += found[:, self._classes :]
            part[:, : self._classes] += self._to_probabilities(found[:, : self._classes])
        assert out is not None  # noqa: S101 - there is a way to turn
        out /= np.float32(len(self._looks.flips))
        return out

    def _to_probabilities(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        if not np.isfinite(scores).all():  # a softmax would hide that some are infinite
            return np.full_like(scores, np.nan)
        with np.errstate(over="ignore", under="ignore"):
            if not self._apart:
                return probabilities(scores, self._temperature, axis=1)
            small = np.exp(-np.abs(scores))
            out: NDArray[np.float32] = np.where(scores < 0, small, np.float32(1)) / (1 + small)
            return out

    def _to_scores(self, share: NDArray[np.float32]) -> None:
        """Turn probabilities into scores, in place."""
        np.clip(share, _LEAST, _BELOW_ONE if self._apart else 1, out=share)
        odds = np.log1p(-share) if self._apart else None
        np.log(share, out=share)
        if odds is None:
            share *= np.float32(self._temperature)
        else:
            share -= odds


def resample(image: NDArray[np.float32], zoom: Fraction) -> NDArray[np.float32]:
    """Return an image at another scale: bilinear, pixel centers aligned, smoothed where it is shrunk.

    It does what torch's `interpolate(mode="bilinear", antialias=True)` does, by which patches are
    scaled in training.

    Args:
        image: (1, bands, rows, columns); rows and columns times zoom are whole numbers.
        zoom: pixels of the result for each pixel of the image.

    Returns:
        Shape (1, bands, rows * zoom, columns * zoom), float32; the image itself where zoom is 1.
    """
    if zoom == 1:
        return image
    rows, cols = (_taps(length, zoom) for length in image.shape[2:])
    out = np.empty((*image.shape[:2], len(rows[0][0]), len(cols[0][0])), np.float32)
    for plane, made in zip(image[0], out[0], strict=True):
        tall = _weighted([(np.take(plane, at, axis=0), weight[:, None]) for at, weight in rows])
        made[:] = _weighted([(np.take(tall, at, axis=1), weight) for at, weight in cols])
    return out


_Tap = tuple[NDArray[np.int64], NDArray[np.float32]]


def _weighted(
    parts: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
) -> NDArray[np.float32]:
    out: NDArray[np.float32] = parts[0][0] * parts[0][1]
    for values, weight in parts[1:]:
        out += values * weight
    return out


def _taps(length: int, zoom: Fraction) -> list[_Tap]:
    """Return which pixels along an axis make each new one, and their weights, as so many pairs as one has pixels at most.

    All is worked out in whole numbers, in units of half a new pixel's share, so that weights repeat
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
