"""Geometries in another CRS, and points and lines of a width in meters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.crs import x_period

MAX_SEGMENTS = 4_000_000
"""Edges that densifying makes of a layer, at most."""

_STEP_DEGREES, _STEP = 0.01, 1000.0  # longest edge that is reprojected, degrees or units of a CRS


def reproject(
    geometries: NDArray[Any], source: str, target: str, move: pyproj.Transformer
) -> NDArray[Any]:
    """Reproject geometries; long edges follow those of the source, as along a parallel.

    What has no place in the target is empty.
    """
    degrees = pyproj.CRS(source).is_geographic
    if degrees:
        geometries = unwrap(geometries)
    moved = _moved(geometries, move, degrees)
    bad = _not_finite(moved)
    if bad.any():  # a part may have a place: cut to where the target is used
        area = pyproj.CRS(target).area_of_use
        if area is not None and degrees:
            box = area.west - 10, area.south - 10, area.east + 10, area.north + 10
            moved[bad] = _moved(shapely.clip_by_rect(geometries[bad], *box), move, degrees)
        moved[_not_finite(moved)] = shapely.Point()
    turn = x_period(target)
    pole = turn / 4 if turn is not None and pyproj.CRS(target).is_geographic else None
    return _continued(moved, turn, pole)


def _moved(geometries: NDArray[Any], move: pyproj.Transformer, degrees: bool) -> NDArray[Any]:
    step = _STEP_DEGREES if degrees else _STEP
    step = max(step, float(np.nansum(shapely.length(geometries))) / MAX_SEGMENTS)
    with np.errstate(invalid="ignore"):
        dense = shapely.segmentize(geometries, step)
        moved = shapely.transform(dense, move.transform, interleaved=False)
    return np.asarray(moved, object)


def _continued(geometries: NDArray[Any], period: float | None, pole: float | None) -> NDArray[Any]:
    """Continue parts with vertices at both ends of a CRS's range of x beyond that range.

    Args:
        geometries: with edges that are short beside `period`, and finite coordinates.
        period: x after which the CRS repeats; None for never.
        pole: y of the north pole, which rings around it are closed along; None where it is none.
    """
    if period is None:
        return geometries
    west, _, east, _ = shapely.bounds(geometries).T
    out = geometries.copy()
    for i in np.flatnonzero(east - west > period / 2):
        parts = [_continued_part(part, period, pole) for part in shapely.get_parts(out[i])]
        out[i] = parts[0] if out[i].geom_type == parts[0].geom_type else type(out[i])(parts)
    return out


def _continued_part(part: Any, period: float, pole: float | None) -> Any:
    """Continue the rings of a polygon, its holes within it, or a line."""
    if part.geom_type != "Polygon":
        return shapely.transform(part, lambda xy: _unwrapped(xy, period))
    shell = _unwrapped(shapely.get_coordinates(part.exterior), period)
    if pole is not None and abs(shell[-1, 0] - shell[0, 0]) > period / 2:
        edge = math.copysign(pole, shell[:, 1].mean())
        shell = np.vstack([shell, [[shell[-1, 0], edge], [shell[0, 0], edge]]])
    middle = (shell[:, 0].min() + shell[:, 0].max()) / 2
    holes = [_unwrapped(shapely.get_coordinates(ring), period) for ring in part.interiors]
    for hole in holes:
        hole[:, 0] += period * np.round((middle - hole[:, 0].mean()) / period)
    return shapely.Polygon(shell, holes)


def _unwrapped(xy: NDArray[np.float64], period: float) -> NDArray[np.float64]:
    return np.column_stack([np.unwrap(xy[:, 0], period=period), xy[:, 1]])


def _not_finite(geometries: NDArray[Any]) -> NDArray[np.bool_]:
    xy, owner = shapely.get_coordinates(geometries, return_index=True)
    out = np.zeros(len(geometries), bool)
    out[owner[~np.isfinite(xy).all(axis=1)]] = True
    return out


def unwrap(geometries: NDArray[Any]) -> NDArray[Any]:
    """Continue rings and lines that cross the meridian of 180 degrees beyond it."""
    west, _, east, _ = shapely.bounds(geometries).T
    wide = np.flatnonzero((east - west > 180) & (east - west < 359.9))
    if not len(wide):
        return geometries
    out = geometries.copy()
    for i in wide:
        xy = shapely.get_coordinates(out[i])
        parts = len(shapely.get_parts(shapely.get_parts(out[i])))
        jump = np.abs(np.diff(xy[:, 0]))
        if parts == 1 and len(jump) and jump.max() > 180:
            longitudes = np.unwrap(xy[:, 0], period=360)
            out[i] = shapely.set_coordinates(
                shapely.from_wkb(shapely.to_wkb(out[i])), np.column_stack([longitudes, xy[:, 1]])
            )
    return out


def widen(geometries: NDArray[Any], crs: str | None, width: float, path: str) -> NDArray[Any]:
    """Buffer points and lines to a width in meters on the earth, at the center of each."""
    thin = (shapely.get_dimensions(geometries) < 2) & ~shapely.is_empty(geometries)
    if not thin.any():
        return geometries
    if crs is None:
        message = "The labels have no CRS, so their width in meters is unknown"
        fix = "Leave out --label-width, or give labels and images a CRS"
        raise DataError(message, code="crs-missing", file=path, fix=fix)
    known = pyproj.CRS(crs)
    shapes = np.asarray(geometries[thin], object)
    bounds = shapely.bounds(shapes)
    x, y = bounds[:, [0, 2]].mean(axis=1), bounds[:, [1, 3]].mean(axis=1)
    unit = 1e-4 if known.is_geographic else 1.0
    to_degrees = pyproj.Transformer.from_crs(known, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(x, y)
    geod = pyproj.Geod(ellps="WGS84")
    scale = []  # meters of a unit along x and y, per shape
    for dx, dy in ((unit, 0.0), (0.0, unit)):
        to_lon, to_lat = to_degrees.transform(x + dx, y + dy)
        scale.append(geod.inv(lon, lat, to_lon, to_lat)[2] / unit)
    factors = np.maximum(np.column_stack(scale), 1e-12)
    meters = _scaled(shapes, factors)
    out = np.asarray(geometries, object).copy()
    out[thin] = _scaled(shapely.buffer(meters, width / 2), 1 / factors)
    return out


def _scaled(shapes: NDArray[Any], factors: NDArray[np.float64]) -> NDArray[Any]:
    xy, owner = shapely.get_coordinates(shapes, return_index=True)
    copies = shapely.from_wkb(shapely.to_wkb(shapes))
    return np.asarray(shapely.set_coordinates(copies, xy * factors[owner]), object)
