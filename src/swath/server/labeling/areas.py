"""Areas that become labels with one click: parts of the quick map, and the object at a point."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray

from swath.geo.tiling import Window
from swath.server.labeling.quick.label_pixels import pixels_of
from swath.server.labeling.quick.quick_map import NODATA, UNKNOWN, QuickMap
from swath.server.labeling.refusal import Refused
from swath.server.layer import MapLayer

MAX_AREA = 4_000_000
"""Pixels of the bounding box of an area that is accepted, at most."""

MIN_PART = 16
"""Pixels of the smallest part of an accepted area that becomes a label."""

MAX_PARTS = 500
"""Labels that one accepted area makes, at most: the largest."""

REACH = 192
"""Pixels around a point in which an object is looked for."""


def accepted(
    quick: QuickMap, area: Any, codes: Collection[int] | None, min_confidence: int
) -> list[tuple[Any, int]]:
    """Return what a quick map has in an area: polygons in columns and rows, and their codes.

    Args:
        quick: the map.
        area: polygon in columns and rows.
        codes: classes that are wanted; None for all.
        min_confidence: lowest confidence in percent.

    Raises:
        Refused: the area is too large, or has nothing of the map.
    """
    west, north, east, south = np.floor(area.bounds).astype(int)
    window = Window(north, west, south - north + 1, east - west + 1).within(quick.grid.window)
    if window.size > MAX_AREA:
        message = f"The area has more than {MAX_AREA} pixels"
        raise Refused(message, code="area-too-large", fix="Accept it in parts")
    values, percent = quick.read(window)
    wanted = (values != NODATA) & (percent != UNKNOWN) & (percent >= min_confidence)
    rows, cols = pixels_of(area, window)
    inside = np.zeros(values.shape, bool)
    inside[rows - window.row, cols - window.col] = True
    wanted &= inside
    if codes is not None:
        wanted &= np.isin(values, list(codes))
    parts = [(shape, int(code)) for shape, code in _polygons(values, wanted, window)]
    large = [part for part in parts if part[0].area >= MIN_PART] or parts
    if not large:
        message = "The quick map has nothing of that in the area"
        raise Refused(message, code="area-empty", fix="Wait until the view is mapped")
    return sorted(large, key=lambda part: -part[0].area)[:MAX_PARTS]


def object_at(layer: MapLayer, col: float, row: float, tolerance: float) -> Any:
    """Return the connected region of pixels like the one at a point, in columns and rows.

    Pixels are smoothed over 3x3, and compared by the bands that are drawn, in parts of the range
    that these are drawn with.

    Args:
        layer: the scene.
        col: column of the point.
        row: its row.
        tolerance: largest root mean square difference, 0..1.

    Raises:
        Refused: there are no data at the point.
    """
    whole = layer.grid.window
    window = Window(int(row), int(col), 1, 1).grow(REACH).within(whole)
    values, valid = layer.read(window)
    at = int(row) - window.row, int(col) - window.col
    if not (0 <= at[0] < window.height and 0 <= at[1] < window.width and valid[at]):
        raise Refused("There are no data at this point", code="outside-scene")
    scaled = []
    for band in layer.shown:
        low, high = layer.stretch[band]
        scaled.append((values[band].astype(np.float32) - low) / max(high - low, 1e-9))
    smooth = np.stack([_smoothed(np.where(valid, band, 0), valid) for band in scaled])
    difference = np.sqrt(((smooth - smooth[:, at[0], at[1], None, None]) ** 2).mean(axis=0))
    alike = (difference <= tolerance) & valid
    alike[at] = True
    middle = shapely.Point(int(col) + 0.5, int(row) + 0.5)
    for shape, _ in _polygons(alike.astype(np.uint16), alike, window):
        if shape.covers(middle):
            return shapely.Polygon(shape.exterior)
    raise Refused("There is no object at this point", code="area-empty")


def _smoothed(band: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the mean over 3x3 pixels with data (rows, columns)."""
    sums = _sums_of_nine(band)
    counts = _sums_of_nine(valid.astype(np.float32))
    return np.asarray(sums / np.maximum(counts, 1), np.float32)


def _sums_of_nine(values: NDArray[np.float32]) -> NDArray[np.float32]:
    padded = np.pad(values, 1)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray(rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:], np.float32)


def _polygons(
    values: NDArray[np.uint16], wanted: NDArray[np.bool_], window: Window
) -> list[tuple[Any, int]]:
    """Return the connected regions of equal values, in columns and rows of the scene."""
    move = rasterio.Affine.translation(window.col, window.row)
    found = rasterio.features.shapes(values, mask=wanted, transform=move)
    return [(shapely.geometry.shape(geometry), int(value)) for geometry, value in found]
