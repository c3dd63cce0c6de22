"""The pixels that labels stand for: which lie in each, a bounded number of them, in few blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.geo.tiling import Window
from swath.server.block_mosaic import BlockMosaic

MAX_PIXELS = 1000
"""Pixels of one label that are used, at most."""

MAX_BLOCKS_OF_LABEL = 4
"""Blocks of which pixels of one label are used, at most: features of a block take time."""


@dataclass(frozen=True)
class BlockPixels:
    """Pixels of one label in one block, counted from the corner of the block (n,)."""

    block: int
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]


def geometry_key(geometry: Any) -> str:
    """Return a text that is the same for equal geometries."""
    return hashlib.sha256(shapely.to_wkb(geometry)).hexdigest()[:24]


def label_pixels(geometry: Any, mosaic: BlockMosaic, seed: int) -> list[BlockPixels]:
    """Choose the pixels of a label.

    A polygon stands for the pixels whose centers it covers, a point for the one that it lies in, a
    line for those that it passes through. A polygon that covers no center has its middle pixel.

    Args:
        geometry: in columns and rows of the scene.
        mosaic: the blocks.
        seed: of the choice.
    """
    random = np.random.default_rng(seed)
    left, top, right, bottom = (int(v) for v in np.floor(geometry.bounds))
    window = Window(top, left, bottom - top + 1, right - left + 1)
    near = mosaic.meeting(window)
    if shapely.get_dimensions(geometry) == 2:
        shapely.prepare(geometry)
        near = [i for i in near if geometry.intersects(_box(mosaic.cores[i]))]
    if len(near) > MAX_BLOCKS_OF_LABEL:
        near = sorted(random.choice(near, MAX_BLOCKS_OF_LABEL, replace=False).tolist())
    found = list(_in_blocks(geometry, mosaic, near, window, random))
    if not found and shapely.get_dimensions(geometry) == 2:
        return label_pixels(shapely.point_on_surface(geometry), mosaic, seed)
    return found


def _in_blocks(
    geometry: Any,
    mosaic: BlockMosaic,
    near: list[int],
    window: Window,
    random: np.random.Generator,
) -> Iterable[BlockPixels]:
    limit = max(1, MAX_PIXELS // max(1, len(near)))
    for index in near:
        core = mosaic.cores[index]
        rows, cols = pixels_of(geometry, window.within(core))
        if len(rows) > limit:
            some = random.permutation(len(rows))[:limit]
            rows, cols = rows[some], cols[some]
        if len(rows):
            yield BlockPixels(index, rows - core.row, cols - core.col)


def pixels_of(geometry: Any, part: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of the scene in a window that a geometry stands for."""
    if shapely.get_dimensions(geometry) < 2:
        points = shapely.get_coordinates(shapely.segmentize(geometry, 0.5))
        places = np.unique(np.floor(points).astype(np.int64), axis=0)
        cols, rows = places.T
        inside = (rows >= part.row) & (rows < part.stop[0])
        inside &= (cols >= part.col) & (cols < part.stop[1])
        return rows[inside], cols[inside]
    row, col = np.divmod(np.arange(part.size), max(1, part.width))
    row, col = row + part.row, col + part.col
    inside = shapely.contains_xy(geometry, col + 0.5, row + 0.5)
    return row[inside], col[inside]


def _box(window: Window) -> Any:
    return shapely.box(window.col, window.row, window.stop[1], window.stop[0])
