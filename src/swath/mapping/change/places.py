"""Places of a map of change: its patches of one transition, with their size and confidence."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio.features
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.geobox import geobox_of
from swath.geo.pixel_area import HECTARE, PixelAreas
from swath.geo.tiling import Window
from swath.io.map_reader import beside
from swath.io.raster import gdal_env, gdal_errors, open_raster
from swath.transitions import Transitions

LONGEST = 2048
"""Rows and columns that are read at most: of larger maps, each second or third pixel and so on."""

MEASURED = 500
"""Patches whose confidence is measured, the largest."""


@dataclass(frozen=True)
class ChangedPlace:
    """A patch of changed pixels of one transition, joined at edges.

    Attributes:
        code: of the transition.
        window: pixels of the map that hold it.
        row: of a pixel of the patch.
        col: of the same pixel.
        pixels: number of its pixels; a multiple of those that were skipped, of a large map.
        hectares: their area; None where the size of pixels is unknown.
        confidence: mean percent of change; None without.
    """

    code: int
    window: Window
    row: int
    col: int
    pixels: int
    hectares: float | None
    confidence: float | None


def find_places(
    path: Path, transitions: Transitions, pixel: float | None = None
) -> list[ChangedPlace]:
    """Return the largest patches of change of a map, the largest first, `MEASURED` at most.

    Args:
        path: map of change; the percents beside it are read, where there are any.
        transitions: its codes.
        pixel: side of a pixel in meters, for maps without CRS.

    Raises:
        DataError: a file is damaged.
    """
    with open_raster(path, "GTiff") as dataset:
        grid = geobox_of(dataset)
    step = max(1, math.ceil(max(grid.height, grid.width) / LONGEST))
    shape = math.ceil(grid.height / step), math.ceil(grid.width / step)
    codes = _read(path, shape)
    sure = beside(path, "confidence")
    percents = _read(sure, shape) if sure.is_file() else None
    try:
        areas = PixelAreas(grid, pixel, path)
    except DataError:
        areas = None
    changed = np.isin(codes, transitions.changes)
    with gdal_env():
        found = rasterio.features.shapes(codes.astype(np.int32), changed, connectivity=4)
        shapes = ((_pixels(shape["coordinates"]), shape, int(code)) for shape, code in found)
        largest = heapq.nlargest(MEASURED, shapes, key=lambda one: one[0])
    scale = grid.height / shape[0], grid.width / shape[1]
    places = []
    for count, outline, code in largest:
        ring = np.array(outline["coordinates"][0])
        (left, top), (right, bottom) = ring.min(axis=0).astype(int), ring.max(axis=0).astype(int)
        local = rasterio.Affine.translation(left, top)
        size = bottom - top, right - left
        mask = rasterio.features.rasterize([(outline, 1)], size, transform=local).astype(bool)
        rows, cols = np.nonzero(mask)
        middle = np.hypot(rows - rows.mean(), cols - cols.mean()).argmin()
        row, col = (
            min(int((start + at[middle] + 0.5) * s), length - 1)
            for start, at, s, length in (
                (top, rows, scale[0], grid.height),
                (left, cols, scale[1], grid.width),
            )
        )
        window = Window(
            int(top * scale[0]),
            int(left * scale[1]),
            math.ceil(size[0] * scale[0]),
            math.ceil(size[1] * scale[1]),
        ).within(grid.window)
        pixels = round(count * scale[0] * scale[1])
        each = None if areas is None else float(areas.of(Window(row, col, 1, 1))[0, 0])
        own = None if percents is None else percents[top:bottom, left:right][mask]
        places.append(
            ChangedPlace(
                code=code,
                window=window,
                row=row,
                col=col,
                pixels=pixels,
                hectares=None if each is None else pixels * each / HECTARE,
                confidence=None if own is None else float(own[own <= 100].mean()),
            )
        )
    return places


def _read(path: Path, shape: tuple[int, int]) -> NDArray[np.generic]:
    """Read a band, decimated to a shape."""
    with gdal_errors(str(path)), open_raster(path, "GTiff") as dataset:
        values: NDArray[np.generic] = dataset.read(1, out_shape=shape)
    return values


def _pixels(rings: list[list[tuple[float, float]]]) -> int:
    """Return the area of a polygon in pixels: its outline less its holes."""
    sizes = []
    for ring in rings:
        x, y = np.array(ring).T
        sizes.append(abs(float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]))) / 2)
    return round(sizes[0] - sum(sizes[1:]))
