"""Tiled inference: apply a network to an image of any size, window by window.

The next tile is read while the present one is computed, and nothing is kept, so that memory does
not grow with the image.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError, ModelError
from swath.geo.geobox import GeoBox
from swath.geo.scale import zoom_for
from swath.geo.tiling import Pixels, Tile, Tiling, Window, fit_tiling, square_tiling
from swath.inference.output import OutputSpec
from swath.inference.runtimes import Runtime
from swath.inference.tta import Views, resample

MAX_NETWORK_PIXELS = 1024 * 1024
"""Largest read window, in pixels of the network, where no memory budget is given."""


class PixelSource(Protocol):
    """Anything with pixels: a raster on disk, a stored image, an array."""

    @property
    def grid(self) -> GeoBox:
        """Its grid."""

    def read(self, window: Window) -> Pixels:
        """Return values (bands, rows, columns) and validity (rows, columns) of a window."""


@dataclass(frozen=True)
class ArraySource:
    """Pixels in memory as a source, on a grid without CRS."""

    pixels: Pixels

    @property
    def grid(self) -> GeoBox:
        """Its grid."""
        return GeoBox(*self.pixels.valid.shape)

    def read(self, window: Window) -> Pixels:
        """Return a part of the pixels."""
        rows, cols = window.slices
        return Pixels(self.pixels.values[:, rows, cols], self.pixels.valid[rows, cols])


@dataclass(frozen=True)
class TiledPredictor:
    """A running network, and how images are cut into tiles for it.

    `stride`, `halo` and `side` are those of read windows, in pixels of the image.

    Attributes:
        runtime: raw pixels in, scores out.
        output: what the scores mean.
        fill: value that replaces invalid pixels, one a band: the training mean.
        stride: height and width of a batch are multiples of it.
        halo: pixels that are read around a core, a multiple of the stride.
        side: side of read windows, for a network with global context; None for any.
        views: views of a tile that the runtime averages.
        gsd: ground sampling distance that the network was trained at, in meters; None where
            images are mapped at their own.
        at_zoom: makes the predictor of the same network at another scale; None where none can.
        origin: the model file, for errors; None for a network in training.
    """

    runtime: Runtime
    output: OutputSpec
    fill: Sequence[float]
    stride: int
    halo: int
    side: int | None = None
    views: Views = Views()
    gsd: float | None = None
    at_zoom: Callable[[Fraction], TiledPredictor] | None = None
    origin: str | None = None

    def for_gsd(self, gsd: float | None) -> TiledPredictor:
        """Return the predictor that scales images of a ground sampling distance, in meters."""
        zoom = zoom_for(gsd, self.gsd)
        scaled = self if zoom == 1 or self.at_zoom is None else self.at_zoom(zoom)
        return replace(scaled, gsd=None)

    def scores(self, batch: NDArray[np.float32], tile: Tile) -> NDArray[np.float32]:
        """Return the scores (channels, rows, columns) of a tile's core.

        Args:
            batch: raw pixels of its read window (1, bands, rows, columns).
            tile: the tile.

        Raises:
            ModelError: the network fails, or its scores have another shape or are not finite.
        """
        found = self.runtime(batch)
        channels = self.output.channels
        if channels is None and found.ndim == 4:
            channels = found.shape[1]
        if found.shape != (1, channels, *batch.shape[2:]):
            shapes = f"{found.shape} of pixels {batch.shape}, not {channels} channels"
            fault, fix = f"The network gives scores {shapes}", "Fetch or train the model again"
            raise ModelError(fault, code="score-shape", fix=fix)
        with np.errstate(over="ignore"):
            # One pass; NaN and infinity stay in the sum, and scores above 1e19 overflow it.
            suspicious = not np.isfinite(np.vdot(found, found))
        if suspicious and not np.isfinite(found).all():
            fix = "Check the pixels for undeclared nodata; else fetch or train the model again"
            raise ModelError("The scores are NaN or infinite", code="scores-not-finite", fix=fix)
        rows, cols = tile.core.relative_to(tile.read).slices
        core: NDArray[np.float32] = found[0][:, rows, cols]
        return core

    def tiling(self, grid: GeoBox) -> Tiling:
        """Return the tiles of an image where no memory budget is given."""
        pixels = self.views.read_pixels(MAX_NETWORK_PIXELS)
        return make_tiling(grid, self.stride, self.halo, self.side, pixels)


@dataclass(frozen=True)
class ScalableNetwork:
    """A network that can be started for images at any scale.

    Attributes are those of `TiledPredictor`, but `stride`, `halo` and `side` are in pixels of the
    network, and `views` are those of images that are not scaled.

    Attributes:
        start: starts the network for the scale of a view.
    """

    start: Callable[[Fraction], Runtime]
    output: OutputSpec
    fill: Sequence[float]
    stride: int
    halo: int
    side: int | None = None
    views: Views = Views()
    gsd: float | None = None
    origin: str | None = None

    def at_zoom(self, zoom: Fraction) -> TiledPredictor:
        """Start the network for images of which it sees `zoom` pixels for each, along a side."""
        views = self.views.at(zoom)
        return TiledPredictor(
            views.runtime(self.start, self.output),
            self.output,
            self.fill,
            views.stride(self.stride),
            views.halo(self.halo, self.stride),
            views.side(self.side, self.halo, self.stride),
            views,
            self.gsd,
            self.at_zoom,
            self.origin,
        )


def make_tiling(grid: GeoBox, stride: int, halo: int, side: int | None, max_pixels: int) -> Tiling:
    """Cut an image into squares of `side`, or into windows of at most `max_pixels`."""
    if side is not None:
        return square_tiling(grid.height, grid.width, side=side, halo=halo, stride=stride)
    return fit_tiling(grid.height, grid.width, most=max_pixels, halo=halo, stride=stride)


@dataclass(frozen=True)
class TilePrediction:
    """Scores of one window; classes, probabilities and the rest are computed on demand.

    Attributes:
        window: rows and columns of the image; the windows of one run do not overlap.
        valid: where the image has data (rows, columns).
        scores: float32 (channels, rows, columns); None where no pixel is valid.
        output: what the scores mean; its methods are properties here.
    """

    window: Window
    valid: NDArray[np.bool_]
    scores: NDArray[np.float32] | None
    output: OutputSpec

    def crop(self, area: Window) -> TilePrediction:
        """Return the part of the prediction that lies in an area."""
        window = self.window.within(area)
        rows, cols = window.relative_to(self.window).slices
        scores = None if self.scores is None else self.scores[:, rows, cols]
        return TilePrediction(window, self.valid[rows, cols], scores, self.output)

    @cached_property
    def indices(self) -> NDArray[np.uint8]:
        """Class of each pixel; see `OutputSpec.indices`."""
        return self.output.indices(self.scores, self.valid)

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """Probability of each class; see `OutputSpec.probabilities`."""
        return self.output.probabilities(self.scores, self.valid)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the mapped class (rows, columns), NaN where a pixel is invalid."""
        highest: NDArray[np.float32] = self.probabilities.max(axis=0)
        return highest

    @property
    def masks(self) -> NDArray[np.uint8]:
        """Mask of each class; see `OutputSpec.masks`."""
        return self.output.masks(self.scores, self.valid)

    @property
    def height(self) -> NDArray[np.float32]:
        """Height above ground in meters; see `OutputSpec.height`."""
        return self.output.height(self.scores, self.valid)


def predict_tiles(
    source: PixelSource, predictor: TiledPredictor, tiles: Iterable[Tile]
) -> Iterator[TilePrediction]:
    """Yield the prediction of each tile's core, in order; tiles without data are not computed.

    A prediction depends on nothing but the source, the predictor and its tile.

    Raises:
        DataError: a tile cannot be read.
        ModelError: see `TiledPredictor.scores`.
    """
    queue: deque[tuple[Tile, Future[_Batch]]] = deque()
    todo = iter(tiles)
    with ThreadPoolExecutor(1, "swath-read") as reader:

        def read_next() -> None:
            tile = next(todo, None)
            if tile is not None:
                queue.append((tile, reader.submit(_read_batch, source, predictor, tile)))

        read_next()
        while queue:
            tile, loading = queue.popleft()
            valid, batch = loading.result()
            del loading  # holds the batch, which is dropped before the next one is waited for
            read_next()
            scores = None
            if batch is not None:
                scores = _scores(source, predictor, batch, tile)
                batch = None
            yield TilePrediction(tile.core, valid, scores, predictor.output)


def predict_window(
    source: PixelSource, predictor: TiledPredictor, area: Window | None = None
) -> Iterator[TilePrediction]:
    """Yield predictions whose windows partition `area`, all of the source by default.

    Pixels around the area are context, and all are scaled to the network's ground sampling
    distance. Raises as `predict_tiles`.
    """
    scaled = predictor.for_gsd(source.grid.gsd)
    for prediction in predict_tiles(source, scaled, plan_tiles(source.grid, scaled, area)):
        yield prediction if area is None else prediction.crop(area)


def classify(
    source: PixelSource, predictor: TiledPredictor, area: Window | None = None
) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
    """Yield windows that partition `area`, and their class indices; see `predict_window`."""
    for prediction in predict_window(source, predictor, area):
        yield prediction.window, prediction.indices


def plan_tiles(grid: GeoBox, predictor: TiledPredictor, area: Window | None = None) -> list[Tile]:
    """Return the tiles that `predict_window` computes, in order."""
    tiling = predictor.for_gsd(grid.gsd).tiling(grid)
    return list(tiling if area is None else tiling.meeting(area))


def centered_window(
    area: Window, size: tuple[int, int], multiple: int, zoom: Fraction
) -> Window | None:
    """Return the middle of an area for `read_scaled`.

    Args:
        area: the area, in pixels of the image.
        size: most rows and columns, in pixels of the network.
        multiple: rows and columns are multiples of it, in pixels of the network.
        zoom: scale at which the window will be read.

    Returns:
        The window in pixels of the image, None where the area is too small for any.
    """
    unit = multiple * zoom.denominator
    height, width = (
        min(length, int(most / zoom)) // unit * unit
        for length, most in zip((area.height, area.width), size, strict=True)
    )
    if not height or not width:
        return None
    row = area.row + (area.height - height) // 2
    return Window(row, area.col + (area.width - width) // 2, height, width)


def read_scaled(
    source: PixelSource, window: Window, zoom: Fraction, fill: Sequence[float]
) -> Pixels:
    """Read a window as a network sees it: at a scale, with invalid pixels filled.

    Args:
        source: the image.
        window: in its pixels; the last rows and columns that make no whole pixel are cut off.
        zoom: pixels of the network for each of the image, along a side.
        fill: value of invalid pixels, one a band.

    Returns:
        Values (bands, rows, columns), float32, by `resample`, and validity, by nearest neighbor.
    """
    values, valid = source.read(window)
    height, width = (n // zoom.denominator * zoom.denominator for n in valid.shape)
    valid = valid[:height, :width]
    filling = np.asarray(fill, np.float32)[:, None, None]
    raw = np.where(valid, values[:, :height, :width].astype(np.float32), filling)
    if zoom == 1 or not valid.size:
        return Pixels(raw, valid)
    rows, cols = (
        ((np.arange(int(n * zoom)) + 0.5) / float(zoom)).astype(np.intp) for n in (height, width)
    )
    return Pixels(resample(raw[None], zoom)[0], valid[np.ix_(rows, cols)])


def _place(window: Window) -> str:
    (top, left), (bottom, right) = (window.row, window.col), window.stop
    return f"in rows {top} to {bottom} and columns {left} to {right}"


def _scores(
    source: PixelSource, predictor: TiledPredictor, batch: NDArray[np.float32], tile: Tile
) -> NDArray[np.float32]:
    """Return the scores of a tile's core; errors name model, tile, and image if it has a name."""
    try:
        return predictor.scores(batch, tile)
    except ModelError as error:
        image = f" of {source.name}" if hasattr(source, "name") else ""
        message = f"{error.message}, {_place(tile.read)}{image}"
        raise ModelError(message, code=error.code, file=predictor.origin, fix=error.fix) from error


_Batch: TypeAlias = tuple[NDArray[np.bool_], NDArray[np.float32] | None]


def _read_batch(source: PixelSource, predictor: TiledPredictor, tile: Tile) -> _Batch:
    """Read where a tile's core is valid, and the network's input, None if that is nowhere."""
    try:
        values, valid = source.read(tile.read)
    except DataError as error:
        raise DataError(
            f"{error.message}, {_place(tile.read)}", code=error.code, file=error.file, fix=error.fix
        ) from error
    core = valid[tile.core.relative_to(tile.read).slices]
    return core, _padded(values, valid, predictor) if core.any() else None


def _padded(
    values: NDArray[np.generic], valid: NDArray[np.bool_], predictor: TiledPredictor
) -> NDArray[np.float32]:
    """Fill invalid pixels, and pad to a multiple of the stride at the bottom and right."""
    bands, height, width = values.shape
    stride = predictor.stride
    shape = (1, bands, -(-height // stride) * stride, -(-width // stride) * stride)
    fill = np.asarray(predictor.fill, np.float32)[:, None, None]
    batch = np.empty(shape, np.float32)
    batch[0, :, height:] = fill
    batch[0, :, :, width:] = fill
    batch[0, :, :height, :width] = values
    if not valid.all():
        np.copyto(batch[0, :, :height, :width], fill, where=~valid)
    return batch
