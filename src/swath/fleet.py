"""Tiles to workers: the one loop that turns an image into classes, for predicting, scoring and validating alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from swath.classes import IGNORE
from swath.grid import Tile, Window, tiles
from swath.raster import Grid, Pixels
from swath.runtime import Runtime

CORE = 768
"""Largest side of a tile's core, in pixels."""


class Source(Protocol):
    """Anything with pixels: a raster on disk, a stored image, an array."""

    @property
    def grid(self) -> Grid:
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
        core: largest side of a tile's core.
    """

    runtime: Runtime
    fill: Sequence[float]
    stride: int
    halo: int
    classes: int | None = None
    core: int = CORE


def infer(
    source: Source, engine: Engine, area: Window | None = None
) -> Iterator[tuple[Window, NDArray[np.float32] | None, NDArray[np.bool_]]]:
    """Yield what the runtime says of windows that partition `area` (all of the source by default), and which pixels are valid.

    Outputs are (channels, rows, columns), None where no pixel of a window is valid. They depend on nothing but the source and
    the engine.
    """
    for tile in plan(source.grid, engine, area):
        window = tile.core if area is None else tile.core.within(area)
        at = window.relative_to(tile.read).slices
        values, valid = source.read(tile.read)
        if not valid[at].any():
            yield window, None, valid[at]
            continue
        yield window, engine.runtime(_batch(values, valid, engine))[0][(slice(None), *at)], valid[at]


def classify(source: Source, engine: Engine, area: Window | None = None) -> Iterator[tuple[Window, NDArray[np.uint8]]]:
    """Yield class indices (rows, columns) window by window; the windows partition `area` (all of the source by default).

    Indices are `IGNORE` where pixels are invalid. The result of a window depends on nothing but the source and the engine.
    """
    for window, outputs, valid in infer(source, engine, area):
        yield window, best_class(outputs, valid, engine)


def best_class(outputs: NDArray[np.float32] | None, valid: NDArray[np.bool_], engine: Engine) -> NDArray[np.uint8]:
    """Return the index of the best score (rows, columns), `IGNORE` where pixels are invalid."""
    if outputs is None:
        return np.full(valid.shape, IGNORE, np.uint8)
    return np.where(valid, outputs[: engine.classes].argmax(axis=0).astype(np.uint8), np.uint8(IGNORE))


def plan(grid: Grid, engine: Engine, area: Window | None = None) -> list[Tile]:
    """Return the tiles that `classify` works through, in order."""
    every = tiles(grid.height, grid.width, core=engine.core, halo=engine.halo, stride=engine.stride)
    return [t for t in every if area is None or t.core.within(area).size]


def _batch(values: NDArray[np.generic], valid: NDArray[np.bool_], engine: Engine) -> NDArray[np.float32]:
    """Fill invalid pixels, and pad to a multiple of the stride at the bottom and right."""
    bands, height, width = values.shape
    stride = engine.stride
    shape = (1, bands, -(-height // stride) * stride, -(-width // stride) * stride)
    fill = np.asarray(engine.fill, np.float32)[:, None, None]
    batch = np.empty(shape, np.float32)
    batch[0] = fill
    batch[0, :, :height, :width] = values
    if not valid.all():
        np.copyto(batch[0, :, :height, :width], fill, where=~valid)
    return batch
