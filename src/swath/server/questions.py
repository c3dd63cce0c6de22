"""What a page asks about places: values at a point, and shares of classes in a view."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from swath.geo.tiling import Window
from swath.server.layer import PERCENT, MapLayer
from swath.server.web_mercator import to_mercator

SIDE = 384
"""Shares are counted on a lattice of so many places a side at most."""

MOST_COMPARED = 32_000_000
"""A view with more pixels than this in a raster is not compared: pictures of rasters would differ where they do not."""


def value_at(layer: MapLayer, lon: float, lat: float) -> dict[str, Any]:
    """Read the pixel that holds a place.

    Args:
        layer: any layer.
        lon: longitude in degrees (of the web map, for a layer without CRS).
        lat: latitude.

    Returns:
        `inside`; and if so `row`, `col`, `x`, `y` (in the layer's CRS, of the place itself),
        `values` (null without data), and `class` and `code` of a classified layer.
    """
    x, y = to_mercator(lon, lat)
    cols, rows = layer.place.pixels(np.array([x]), np.array([y]))
    col, row = float(cols[0]), float(rows[0])
    grid = layer.grid
    if not (
        math.isfinite(col)
        and math.isfinite(row)
        and 0 <= col < grid.width
        and 0 <= row < grid.height
    ):
        return {"inside": False}
    values, valid = layer.read(Window(int(row), int(col), 1, 1))
    ground = grid.point(col, row)
    found: dict[str, Any] = {
        "inside": True,
        "row": int(row),
        "col": int(col),
        "x": ground[0],
        "y": ground[1],
    }
    numbers = [_plain(v) for v in values[:, 0, 0]] if valid[0, 0] else None
    found["values"] = (
        dict(zip(["class"] if layer.classified else layer.bands, numbers, strict=True))
        if numbers
        else None
    )
    if layer.legend:
        of = {c.map_code: c for c in layer.legend.trained}
        code = numbers[0] if numbers else None
        found |= {"code": code, "class": of[int(code)].name if code in of else None}
    return found


def shares_in(
    layer: MapLayer, bounds: tuple[float, float, float, float], other: MapLayer | None = None
) -> dict[str, Any]:
    """Return the share of each class in a view, from a lattice of places; ground counts, not pixels of the web map.

    A pixel of web Mercator at latitude b shows cos(b)^2 of the ground that one at the equator does,
    and counts so.

    Args:
        layer: a classified layer, or one of percent.
        bounds: west, south, east, north in degrees.
        other: another classified layer, to compare with.

    Returns:
        `shares` by code (0..1, of what has data); for percent `mean`; with `other`, `differing`
        (0..1 of where both have data; None where nothing has, or where the view is too large).
    """
    west, south = to_mercator(bounds[0], bounds[1])
    east, north = to_mercator(bounds[2], bounds[3])
    side = max(east - west, north - south, 1e-9) / SIDE
    across, down = (max(1, round(length / side)) for length in (east - west, north - south))
    xs = west + (np.arange(across) + 0.5) / across * (east - west)
    ys = north - (np.arange(down) + 0.5) / down * (north - south)
    x, y = np.meshgrid(xs, ys)
    ground = (
        np.ones(x.shape)
        if layer.place.in_pixels
        else np.broadcast_to(1 / np.cosh(y / 6_378_137.0) ** 2, x.shape)
    )
    compared = other is not None and max(layer.extent(x, y), other.extent(x, y)) <= MOST_COMPARED
    exact = MOST_COMPARED if compared else 0
    values, valid = layer.sample(x, y, exact=exact)
    weights = ground * valid
    total = float(weights.sum())
    if layer.kind in PERCENT:
        return {"mean": float((values[0] * weights).sum() / total) if total else None}
    codes, inverse = np.unique(values[0], return_inverse=True)
    sums = np.bincount(inverse.ravel(), weights.ravel(), len(codes))
    out: dict[str, Any] = {
        "shares": {str(c): float(s / total) for c, s in zip(codes, sums, strict=True) if s > 0}
    }
    if other is not None:
        out["differing"] = None
    if other is not None and compared:
        others, known = other.sample(x, y, exact=exact)
        both = ground * (valid & known)
        differing = (values[0].astype(np.int64) != others[0]) * both
        out["differing"] = float(differing.sum() / both.sum()) if both.any() else None
    return out


def _plain(value: Any) -> int | float | None:
    """Return a number as JSON holds it."""
    number = value.item()
    return number if isinstance(number, int) or math.isfinite(number) else None
