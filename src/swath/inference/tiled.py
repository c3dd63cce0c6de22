"""The one tile loop: an image becomes what the network says of it, window by window, for predicting, scoring and validating.

The next tile is read while the present one is computed, and nothing is kept: memory does not grow
with the image.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError, ModelError
from swath.geo.geobox import GeoBox
from swath.geo.scale import zoom_for
from swath.geo.tiling import Pixels, Tile, Tiling, Window, fit_tiling, square_tiling
from swath.inference.runtimes import Runtime
from swath.inference.tta import Views
from swath.legend import IGNORE
from swath.metrics.calibration import probabilities

MOST = 1024 * 1024
"""Pixels of the network in a read window where nobody planned for a memory budget."""


class PixelSource(Protocol):
    """Anything with pixels: a raster on disk, a stored image, an array."""

    @property
    def grid(self) -> GeoBox:
        """Its grid."""

    def read(self, window: Window) -> Pixels:
        """Return values (bands, rows, columns) and validity (rows, columns) of a window inside the grid."""


@dataclass(frozen=True)
class Engine:
    """A runtime with what it needs to know of the network.

    Attributes:
        runtime: raw pixels in, scores out.
        fill: what invalid pixels are replaced by, one value a band: the training mean.
        stride: height and width of a batch are multiples of it.
        halo: pixels around a core that are read with it, a multiple of the stride.
        classes: how many of the runtime's first channels are class scores; None for all.
        temperature: scores are divided by it before they become probabilities.
        heights: whether the runtime's last channel is the height above ground, in meters.
        side: side of the read windows of a network with global context, whose answer depends on it;
            None for others.
        thresholds: of masks apart: the probability from which on a pixel belongs to the mask of a
            class; None for others.
        origin: the model file, for errors; None for a network that is being taught.
        views: how the runtime looks at a tile; stride, halo and side are those of read windows, in
            pixels of the image.
        gsd: ground sampling distance of what the network was taught with, in meters; None where
            images are to be shown to it as they are.
        rescaled: makes the engine that shows images to the same network at another scale; None
            where there is none.
    """

    runtime: Runtime
    fill: Sequence[float]
    stride: int
    halo: int
    classes: int | None = None
    temperature: float = 1.0
    heights: bool = False
    side: int | None = None
    thresholds: Sequence[float] | None = None
    origin: str | None = None
    views: Views = Views()
    gsd: float | None = None
    rescaled: Callable[[Fraction], Engine] | None = None

    def for_gsd(self, gsd: float | None) -> Engine:
        """Return the engine for images of a ground sampling distance: it shows them to the network at the scale it knows."""
        zoom = zoom_for(gsd, self.gsd)
        engine = self if zoom == 1 or self.rescaled is None else self.rescaled(zoom)
        return replace(engine, gsd=None)

    def scores(self, batch: NDArray[np.float32], tile: Tile) -> NDArray[np.float32]:
        """Run the network on the read window of a tile; return the scores (channels, rows, columns) of its core.

        Raises:
            ModelError: it fails, gives another number of scores than the card says, or scores that
                are no numbers.
        """
        (top, left), (bottom, right) = (tile.read.row, tile.read.col), tile.read.stop
        at = f"in rows {top} to {bottom} and columns {left} to {right}"
        try:
            found = self.runtime(batch)
        except ModelError as error:
            raise ModelError(f"{error.message}, {at}", file=self.origin, fix=error.fix) from error
        channels = (
            found.shape[1]
            if self.classes is None and found.ndim == 4
            else (self.classes or 0) + self.heights
        )
        if found.shape != (1, channels, *batch.shape[2:]):
            raise ModelError(
                f"its network gives scores {found.shape} of pixels {batch.shape}, and it has {channels} channels",
                file=self.origin,
                fix="Fetch or train the model again",
            )
        with np.errstate(over="ignore"):
            doubtful = not np.isfinite(
                np.vdot(found, found)
            )  # one pass; NaN and infinity come through, and so do scores of 1e19
        if doubtful and not np.isfinite(found).all():
            raise ModelError(
                f"its scores are no numbers {at}",
                file=self.origin,
                fix="Look for extreme pixel values there (nodata that is not declared); else fetch or train the model again",
            )
        rows, cols = tile.core.relative_to(tile.read).slices
        core: NDArray[np.float32] = found[0][:, rows, cols]
        return core

    def tiling(self, grid: GeoBox) -> Tiling:
        """Return the tiles of an image where nobody planned for a memory budget."""
        return make_tiling(grid, self.stride, self.halo, self.side, self.views.area(MOST))


def make_tiling(grid: GeoBox, stride: int, halo: int, side: int | None, most: int) -> Tiling:
    """Return the tiles of an image: squares of `side`, or where that is None, what fits best with at most `most` pixels."""
    if side is not None:
        return square_tiling(grid.height, grid.width, side=side, halo=halo, stride=stride)
    return fit_tiling(grid.height, grid.width, most=most, halo=halo, stride=stride)


@dataclass(frozen=True)
class TilePrediction:
    """What the network says of one window. Everything but `scores` is worked out when it is asked for.

    Attributes:
        window: rows and columns of the image; the windows of one run do not overlap.
        valid: where the image has data (rows, columns).
        scores: float32 (channels, rows, columns); None where no pixel is valid.
        engine: whose answer it is.
    """

    window: Window
    valid: NDArray[np.bool_]
    scores: NDArray[np.float32] | None
    engine: Engine

    def part(self, area: Window) -> TilePrediction:
        """Return the answer of that part of the window that lies in an area."""
        window = self.window.within(area)
        rows, cols = window.relative_to(self.window).slices
        scores = None if self.scores is None else self.scores[:, rows, cols]
        return TilePrediction(window, self.valid[rows, cols], scores, self.engine)

    @cached_property
    def indices(self) -> NDArray[np.uint8]:
        """Class of each pixel (rows, columns), `IGNORE` where it is invalid."""
        out = np.full(self.valid.shape, IGNORE, np.uint8)
        if self.scores is not None:
            best = np.zeros(self.valid.shape, np.uint8)
            highest = self._classes[0].copy()
            for i, scores in enumerate(self._classes[1:], 1):
                best[scores > highest] = i
                np.maximum(highest, scores, out=highest)
            np.copyto(out, best, where=self.valid)
        return out

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """Probability of each class (classes, rows, columns), NaN where a pixel is invalid; see `calibration`."""
        if self.scores is None:
            return np.full((self.engine.classes or 1, *self.valid.shape), np.nan, np.float32)
        out = probabilities(self._classes, self.engine.temperature)
        out[:, ~self.valid] = np.nan
        return out

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the mapped class (rows, columns), NaN where a pixel is invalid."""
        highest: NDArray[np.float32] = self.probabilities.max(axis=0)
        return highest

    @property
    def masks(self) -> NDArray[np.uint8]:
        """Mask of each class (classes, rows, columns), 1 inside and 0 outside, `IGNORE` where a pixel is invalid.

        A pixel is in all masks whose threshold its calibrated probability reaches; they may
        overlap, or leave it out. Without thresholds, all are empty.
        """
        out = np.zeros((self.engine.classes or 1, *self.valid.shape), np.uint8)
        if self.scores is not None and self.engine.thresholds is not None:
            share = np.clip(self.engine.thresholds, 1e-7, 1 - 1e-7)
            least = np.log(share / (1 - share)).astype(np.float32)  # the scores are log-odds
            out[:] = self._classes >= least[:, None, None]
        out[:, ~self.valid] = IGNORE
        return out

    @property
    def height(self) -> NDArray[np.float32]:
        """Height above ground in meters (rows, columns), NaN where a pixel is invalid or the network gives no heights."""
        if self.scores is None or not self.engine.heights:
            return np.full(self.valid.shape, np.nan, np.float32)
        return np.where(self.valid, self.scores[-1], np.float32(np.nan))

    @property
    def _classes(self) -> NDArray[np.float32]:
        assert self.scores is not None  # noqa: S101 - asked by the callers
        return self.scores[: self.engine.classes]


def predict_tiles(
    source: PixelSource, engine: Engine, tiles: Iterable[Tile]
) -> Iterator[TilePrediction]:
    """Yield the answer of each tile's core, in order; tiles without valid pixels are not computed.

    An answer depends on nothing but the source, the engine and its tile.

    Raises:
        DataError: a tile cannot be read.
        ModelError: see `Engine.scores`.
    """
    queue: deque[tuple[Tile, Future[_Loaded]]] = deque()
    todo = iter(tiles)
    with ThreadPoolExecutor(1, "swath-read") as reader:

        def read_next() -> None:
            tile = next(todo, None)
            if tile is not None:
                queue.append((tile, reader.submit(_load, source, engine, tile)))

        read_next()
        while queue:
            tile, loading = queue.popleft()
            valid, batch = loading.result()
            del loading  # it holds the batch, which is dropped before the next one is waited for
            read_next()
            scores = None
            if batch is not None:
                scores = _scores(source, engine, batch, tile)
                batch = None
            yield TilePrediction(tile.core, valid, scores, engine)


def predict_window(
    source: PixelSource, engine: Engine, area: Window | None = None
) -> Iterator[TilePrediction]:
    """Yield answers whose windows partition `area` (all of the source by default); what surrounds it is read as context.

    The source is shown to the network at the scale that it knows (see `Engine.for_gsd`).

    Raises:
        DataError: a tile cannot be read.
    """
    fitting = engine.for_gsd(source.grid.gsd)
    for answer in predict_tiles(source, fitting, plan(source.grid, fitting, area)):
        yield answer if area is None else answer.part(area)


def classify(
    source: PixelSource, engine: Engine, area: Window | None = None
) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
    """Yield class indices (rows, columns) of windows that partition `area` (all of the source by default).

    Indices are `IGNORE` where pixels are invalid. The result of a window depends on nothing but the
    source and the engine.
    """
    for answer in predict_window(source, engine, area):
        yield answer.window, answer.indices


def plan(grid: GeoBox, engine: Engine, area: Window | None = None) -> list[Tile]:
    """Return the tiles that `classify` works through, in order."""
    tiling = engine.for_gsd(grid.gsd).tiling(grid)
    return list(tiling if area is None else tiling.meeting(area))


def _scores(
    source: PixelSource, engine: Engine, batch: NDArray[np.float32], tile: Tile
) -> NDArray[np.float32]:
    """Return the scores of a tile's core; an error names the image too, where it has a name."""
    try:
        return engine.scores(batch, tile)
    except ModelError as error:
        name = getattr(source, "name", None)
        raise ModelError(
            f"{error.message} of {name}" if name else error.message, file=error.file, fix=error.fix
        ) from error


_Loaded = tuple[NDArray[np.bool_], "NDArray[np.float32] | None"]


def _load(source: PixelSource, engine: Engine, tile: Tile) -> _Loaded:
    """Read a tile: where its core is valid, and the network's input, None if that is nowhere."""
    try:
        values, valid = source.read(tile.read)
    except DataError as error:
        (top, left), (bottom, right) = (tile.read.row, tile.read.col), tile.read.stop
        raise DataError(
            f"{error.message}, met in rows {top} to {bottom} and columns {left} to {right}",
            file=error.file,
            fix=error.fix,
        ) from error
    core = valid[tile.core.relative_to(tile.read).slices]
    return core, _batch(values, valid, engine) if core.any() else None


def _batch(
    values: NDArray[np.generic], valid: NDArray[np.bool_], engine: Engine
) -> NDArray[np.float32]:
    """Fill invalid pixels, and pad to a multiple of the stride at the bottom and right."""
    bands, height, width = values.shape
    stride = engine.stride
    shape = (1, bands, -(-height // stride) * stride, -(-width // stride) * stride)
    fill = np.asarray(engine.fill, np.float32)[:, None, None]
    batch = np.empty(shape, np.float32)
    batch[0, :, height:] = fill
    batch[0, :, :, width:] = fill
    batch[0, :, :height, :width] = values
    if not valid.all():
        np.copyto(batch[0, :, :height, :width], fill, where=~valid)
    return batch
