"""What the viewer page asks for: its layers, values at a point, and class shares in a view.

Beside a map `x.tif` lie, where `predict` was asked for them, `x_confidence.tif` and
`x_probabilities.tif`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from swath.errors import DataError
from swath.geo.tiling import Window
from swath.io.map_reader import beside
from swath.server.layer import PERCENT, MapLayer
from swath.server.live_layer import LiveLayer
from swath.server.registry import Registry
from swath.server.tile_images import hex_color
from swath.server.web_mercator import MAX_ZOOM, PIXEL_SIZE, Placement, to_mercator

SIDECARS = ("confidence", "probabilities")
"""Rasters that lie beside a map."""

MAX_NEIGHBORS = 40
"""Files of a folder that are opened to find the image of a map."""

MAX_DIFFERENCES = 3
"""Pairs of classified layers whose differences a page offers."""

SAMPLES_PER_SIDE = 384
"""Shares are counted at no more points a side than this."""

MAX_COMPARED = 32_000_000
"""A view with more raster pixels is not compared: decimated reads of equal rasters may differ."""

EARTH_RADIUS = 6_378_137.0
"""Radius of the sphere of web Mercator in meters."""

_ORDER = ("image", "reference", "map", "probabilities", "confidence")


def sidecars(name: str) -> list[str]:
    """Return the names that files belonging to a map have."""
    path = PurePosixPath(name)
    return [str(beside(path, kind)) for kind in SIDECARS]


def choose_layers(registry: Registry, name: str) -> list[str]:
    """Return a map, the files that belong to it, and the first image of its folder on its grid.

    Raises:
        NotServed, DataError: the map cannot be read.
    """
    first = registry.layer(name)
    names = [name, *(n for n in sidecars(name) if registry.has(n))]
    if first.kind != "map":
        return names
    folder = PurePosixPath(name).parent
    files = [n for n in registry.names() if PurePosixPath(n).parent == folder and n not in names]
    for other in files[:MAX_NEIGHBORS]:
        try:
            layer = registry.layer(other)
        except DataError:
            continue
        if layer.kind == "image" and layer.grid.same_as(first.grid):
            return [*names, other]
    return names


def describe_scene(registry: Registry, names: Sequence[str]) -> dict[str, Any]:
    """Describe a page as a JSON object: layers from bottom to top, bounds, and differences.

    Raises:
        NotServed, DataError: a layer cannot be read, or only some of the layers have a CRS.
    """
    layers = [(name, registry.layer(name)) for name in names]
    first = layers[0][1].placement
    for name, layer in layers[1:]:
        _check_together(layer.placement, first, name, names[0])
    classified = [row for row in layers if row[1].classified and row[1].transitions is None]
    pairs = list(combinations(classified, 2))[:MAX_DIFFERENCES]
    return {
        "title": PurePosixPath(names[0]).name,
        "pixel": PIXEL_SIZE if first.in_pixels else None,
        "size": [first.grid.width, first.grid.height],
        "bounds": layers[0][1].placement.degrees,
        "max_zoom": first.max_zoom,
        "layers": [
            _describe_layer(registry, name, layer) for name, layer in sorted(layers, key=_rank)
        ],
        "differences": [
            {
                "name": f"{a} | {b}",
                "title": f"{PurePosixPath(a).name} and {PurePosixPath(b).name}",
                "one": a,
                "other": b,
                "version": registry.version(a) + registry.version(b),
                "bounds": _tile_bounds(one),
                "max_zoom": min(max(one.placement.max_zoom, other.placement.max_zoom), MAX_ZOOM),
                "min_zoom": max(one.min_zoom, other.min_zoom),
            }
            for (a, one), (b, other) in pairs
        ],
    }


def _rank(row: tuple[str, MapLayer]) -> tuple[int, bool]:
    """Return what layers are ordered by: their kind, and maps of change above other maps."""
    return _ORDER.index(row[1].kind), row[1].transitions is not None


def _check_together(one: Placement, first: Placement, name: str, first_name: str) -> None:
    """Refuse a layer that cannot be laid on the first one.

    Raises:
        DataError: only one of them has a CRS that lies on the earth; or none has, and their places
            in such CRSs differ.
    """
    if one.in_pixels != first.in_pixels:
        raise DataError(
            "The raster has no CRS that lies on the earth, and others on the page have one",
            code="crs-missing",
            file=name if one.in_pixels else first_name,
            fix="Show it alone, or set its CRS: `rio edit-info --crs EPSG:CODE FILE`",
        )
    crs = (one.grid.crs, first.grid.crs)
    if one.in_pixels and all(crs) and not one.grid.same_as(first.grid):
        raise DataError(
            f"The grid (size, CRS or transform) is not that of {first_name}, and no CRS of the "
            "earth says how they lie on each other",
            code="grid-mismatch",
            file=name,
            fix="Show it alone, or set the CRS of both: `rio edit-info --crs EPSG:CODE FILE`",
        )


def _describe_layer(registry: Registry, name: str, layer: MapLayer) -> dict[str, Any]:
    classes = layer.legend.trained if layer.legend else ()
    codes = [c.map_code for c in classes]
    changes = None if layer.transitions is None else set(layer.transitions.changes.tolist())
    stops = (0, 25, 50, 75, 100) if layer.kind in PERCENT else ()
    return {
        "live": isinstance(layer, LiveLayer),
        "name": name,
        "title": PurePosixPath(name).name,
        "kind": layer.kind,
        "version": registry.version(name),
        "bounds": _tile_bounds(layer),
        "max_zoom": layer.placement.max_zoom,
        "min_zoom": layer.min_zoom,
        "classes": [{"code": c.map_code, "name": c.name, "color": c.color} for c in classes],
        "unchanged": [] if changes is None else [c for c in codes if c not in changes],
        "change": changes is not None,
        "bands": list(layer.bands) if layer.kind == "probabilities" else [],
        "ramp": [hex_color(layer.colors[percent]) for percent in stops],
    }


def _tile_bounds(layer: MapLayer) -> list[float]:
    """Return the bounds (degrees) of the tiles that have data: all around, across 180 degrees."""
    west, south, east, north = layer.placement.degrees
    return [-180, south, 180, north] if west < -180 or east > 180 else [west, south, east, north]


def value_at(layer: MapLayer, lon: float, lat: float) -> dict[str, Any]:
    """Read the pixel that holds a point.

    Args:
        layer: any layer.
        lon: longitude in degrees (of the web map, for a layer without CRS).
        lat: latitude in degrees.

    Returns:
        `inside`; and if so `row`, `col`, `x`, `y` (of the point, in the layer's CRS), `values`
        (None without data), and `class` and `code` of a classified layer.
    """
    x, y = to_mercator(lon, lat)
    cols, rows = layer.placement.pixels(np.array([x]), np.array([y]))
    col, row = float(cols[0]), float(rows[0])
    if not (0 <= col < layer.grid.width and 0 <= row < layer.grid.height):  # nor is a NaN inside
        return {"inside": False}
    values, valid = layer.read(Window(int(row), int(col), 1, 1))
    x, y = layer.grid.point(col, row)
    numbers = [_as_json_number(v) for v in values[:, 0, 0]] if valid[0, 0] else None
    names = ["class"] if layer.classified else layer.bands
    found: dict[str, Any] = {
        "inside": True,
        "row": int(row),
        "col": int(col),
        "x": x,
        "y": y,
        "values": dict(zip(names, numbers, strict=True)) if numbers else None,
    }
    if layer.legend:
        by_code: dict[Any, str] = {c.map_code: c.name for c in layer.legend.trained}
        code = numbers[0] if numbers else None
        found |= {"code": code, "class": by_code.get(code)}
    return found


def class_shares(
    layer: MapLayer, bounds: tuple[float, float, float, float], other: MapLayer | None = None
) -> dict[str, Any]:
    """Return the share of each class in a view, by area on the ground, from a lattice of points.

    A pixel of web Mercator at latitude b covers cos(b)^2 of the area of one at the equator.

    Args:
        layer: a classified layer, or one of percent.
        bounds: west, south, east, north in degrees.
        other: another classified layer, to compare with.

    Returns:
        `shares` by code (0..1 of the area with data); for percent `mean`; with `other`,
        `differing` (0..1 of the area where both have data; None without such an area, or where the
        view is too large).
    """
    west, south = to_mercator(bounds[0], bounds[1])
    east, north = to_mercator(bounds[2], bounds[3])
    width, height = east - west, north - south
    side = max(width, height, 1e-9) / SAMPLES_PER_SIDE
    columns, rows = max(1, round(width / side)), max(1, round(height / side))
    x, y = np.meshgrid(
        west + (np.arange(columns) + 0.5) / columns * width,
        north - (np.arange(rows) + 0.5) / rows * height,
    )
    weights = np.ones(x.shape) if layer.placement.in_pixels else 1 / np.cosh(y / EARTH_RADIUS) ** 2
    compared = other is not None and max(layer.extent(x, y), other.extent(x, y)) <= MAX_COMPARED
    exact = MAX_COMPARED if compared else 0
    values, valid = layer.sample(x, y, exact=exact)
    areas = weights * valid
    total = float(areas.sum())
    if layer.kind in PERCENT:
        return {"mean": float((values[0] * areas).sum() / total) if total else None}
    codes, inverse = np.unique(values[0], return_inverse=True)
    sums = np.bincount(inverse.ravel(), areas.ravel(), len(codes))
    shares = {str(c): float(s / total) for c, s in zip(codes, sums, strict=True) if s > 0}
    out: dict[str, Any] = {"shares": shares}
    if other is not None:
        out["differing"] = None
    if other is not None and compared:
        others, known = other.sample(x, y, exact=exact)
        both = weights * (valid & known)
        differing = (values[0].astype(np.int64) != others[0]) * both
        out["differing"] = float(differing.sum() / both.sum()) if both.any() else None
    return out


def _as_json_number(value: Any) -> int | float | None:
    number = value.item()
    return number if isinstance(number, int) or math.isfinite(number) else None
