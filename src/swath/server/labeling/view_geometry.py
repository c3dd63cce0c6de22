"""Geometries between the page, the labels' layer and the pixels of the scene.

The page has degrees of the web map (of a scene without CRS too), the layer has its own CRS, and
training needs columns and rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.crs import is_undefined, near, x_period
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window
from swath.io.vector import mend
from swath.server.labeling.refusal import Refused
from swath.server.web_mercator import HALF_EXTENT, Floats, Placement, to_degrees, transformer_of

MAX_POINTS = 20_000
"""Points of one geometry that a client sends, at most."""

KINDS = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")

MAX_LATITUDE = 85.0511287798066
"""Edge of the web Mercator square in degrees."""

Move = Callable[[Floats, Floats], tuple[Floats, Floats]]


class ViewGeometry:
    """Converts geometries for one scene and one layer.

    Args:
        grid: grid of the scene.
        crs: CRS of the layer as WKT, None for none.
        path: file of the layer, for errors.

    Attributes:
        crs: of the layer; None for pixels.

    Raises:
        DataError: only one side has a CRS.
    """

    def __init__(self, grid: GeoBox, crs: str | None, path: str) -> None:
        self.grid, self.placement = grid, Placement(grid)
        crs = None if crs is not None and is_undefined(crs) else crs
        if (crs is None) != (grid.crs is None):
            which = "layer of labels has none, and the scene has a CRS"
            if crs is not None:
                which = "layer of labels has a CRS, and the scene has none"
            fix = "Take the labels over into a new file: --from OLD NEW.gpkg, with --labels-crs"
            if crs is not None:
                fix = "Give the scene its CRS: `rio edit-info --crs EPSG:CODE SCENE`"
            raise DataError(f"The {which}", code="crs-missing", file=path, fix=fix)
        self.crs = crs
        other = crs is not None and pyproj.CRS(crs) != pyproj.CRS(grid.crs)
        self._layer_crs = crs if other else None
        self._box = shapely.box(0, 0, grid.width, grid.height)

    def to_layer(self, geojson: Any, radius: float | None = None) -> Any:
        """Return a geometry of the page in the layer's CRS: valid, and within the scene.

        Args:
            geojson: a GeoJSON geometry in degrees of the page.
            radius: None, or that of a round brush that follows the geometry; see `brushed`.

        Raises:
            Refused: the geometry cannot be used, or lies outside the scene.
        """
        inside = self.to_scene(geojson, radius)
        return _transformed([inside], self._pixels_to_layer)[0]

    def to_scene(self, geojson: Any, radius: float | None = None) -> Any:
        """Return a geometry of the page in columns and rows: valid, and within the scene.

        Raises:
            Refused: see `to_layer`.
        """
        geometry = parse_geometry(geojson)
        with np.errstate(all="ignore"):
            shape = geometry if radius is None else brushed(geometry, radius)
            moved = _transformed([shape], self._view_to_pixels)[0]
        if not np.isfinite(shapely.get_coordinates(moved)).all():
            raise _invalid("has points without a place in the scene's CRS")
        valid = moved if shapely.is_valid(moved) else mend(moved)
        if valid is None or valid.is_empty:
            raise Refused("The geometry covers no area", code="geometry-empty")
        inside = valid if self._box.covers(valid) else _clipped(valid, self._box)
        if inside is None:
            raise Refused("The geometry lies outside the scene", code="outside-scene")
        return inside

    def from_scene(self, geometries: Sequence[Any]) -> NDArray[Any]:
        """Return geometries in columns and rows in the layer's CRS."""
        return _transformed(geometries, self._pixels_to_layer)

    def to_pixels(self, geometries: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
        """Return geometries of the layer in columns and rows."""
        return _transformed(geometries, self._layer_to_pixels)

    def to_view(self, geometries: Sequence[Any] | NDArray[Any]) -> list[Any]:
        """Return geometries of the layer as GeoJSON objects in degrees of the page."""
        return self.pixels_to_view(self.to_pixels(geometries))

    def pixels_to_view(self, geometries: Sequence[Any] | NDArray[Any]) -> list[Any]:
        """Return geometries in columns and rows as GeoJSON objects in degrees of the page."""
        moved = _transformed(geometries, self._pixels_to_view)
        return [None if g is None else json.loads(shapely.to_geojson(g)) for g in moved]

    def view_bounds(self, shape: Any) -> list[float]:
        """Return west, south, east and north in degrees of the page of a shape in pixels."""
        box = shapely.box(*shape.bounds)
        side = max(box.length / 32, 1e-9)
        moved = _transformed([shapely.segmentize(box, side)], self._pixels_to_view)[0]
        west, south, east, north = moved.bounds
        return [west, south, east, north]

    def bounds_of(self, window: Window) -> list[float]:
        """Return west, south, east and north of a window in degrees of the page."""
        return self.view_bounds(_box_of(window))

    def window_of(self, bounds: Sequence[float]) -> Window:
        """Return the window of the scene that shows in bounds (degrees); its size may be 0.

        Raises:
            Refused: the bounds are no box.
        """
        west, south, east, north = bounds
        if not (west <= east and south <= north):  # nor is a NaN
            raise Refused("The view is west, south, east, north in degrees", code="bad-view")
        along = np.linspace(0, 1, 9)
        lon, lat = np.meshgrid(west + along * (east - west), south + along * (north - south))
        with np.errstate(all="ignore"):
            col, row = self._view_to_pixels(lon.ravel(), lat.ravel())
        known = np.isfinite(col) & np.isfinite(row)
        if not known.any():
            return Window(0, 0, 0, 0)
        col = np.clip(col[known], 0, self.grid.width)
        row = np.clip(row[known], 0, self.grid.height)
        top, left = int(row.min()), int(col.min())
        stop = int(np.ceil(row.max())), int(np.ceil(col.max()))
        return Window(top, left, stop[0] - top, stop[1] - left)

    def _view_to_pixels(self, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
        return self.placement.pixels(*_to_map(lon, lat))

    def _pixels_to_view(self, col: Floats, row: Floats) -> tuple[Floats, Floats]:
        return to_degrees(*self.placement.mercator(col, row))

    def _pixels_to_layer(self, col: Floats, row: Floats) -> tuple[Floats, Floats]:
        a, b, c, d, e, f = self.grid.transform
        x, y = a * col + b * row + c, d * col + e * row + f
        if self._layer_crs is None:
            return x, y
        east, north = transformer_of(self.grid.crs, self._layer_crs).transform(x, y)
        return east, north

    def _layer_to_pixels(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        if self._layer_crs is not None:
            x, y = transformer_of(self._layer_crs, self.grid.crs).transform(x, y)
        center = self.grid.point(self.grid.width / 2, self.grid.height / 2)[0]
        with np.errstate(invalid="ignore"):
            x = near(np.asarray(x), center, x_period(self.grid.crs))
        a, b, c, d, e, f = tuple(~self.grid.affine)[:6]
        return a * x + b * y + c, d * x + e * y + f


def _to_map(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Return x and y in meters of web Mercator of degrees, clipped to the square."""
    lat = np.radians(np.clip(lat, -MAX_LATITUDE, MAX_LATITUDE))
    return lon / 180 * HALF_EXTENT, np.log(np.tan(np.pi / 4 + lat / 2)) / np.pi * HALF_EXTENT


def brushed(geometry: Any, radius: float) -> Any:
    """Return the area that a round brush covers which follows a geometry on the web map.

    Args:
        geometry: shapely geometry in degrees.
        radius: in degrees of longitude; a circle on the web map.
    """
    meters = radius / 180 * HALF_EXTENT
    path = _transformed([geometry], _to_map)[0]
    area = shapely.simplify(shapely.buffer(path, meters, quad_segs=6), meters / 50)
    return _transformed([area], to_degrees)[0]


def parse_geometry(geojson: Any) -> Any:
    """Return the geometry (shapely, two dimensions) of a GeoJSON object.

    Raises:
        Refused: the object is none, of another type than `KINDS`, too large, or empty.
    """
    if not isinstance(geojson, dict) or geojson.get("type") not in KINDS:
        raise _invalid(f"is none of {', '.join(KINDS)}")
    pair = {"type": geojson["type"], "coordinates": geojson.get("coordinates")}
    try:
        geometry = shapely.force_2d(shapely.from_geojson(json.dumps(pair, allow_nan=False)))
    except (shapely.GEOSException, ValueError, RecursionError):
        raise _invalid("has rings of too few points, or coordinates that are no numbers") from None
    if geometry is None or geometry.is_empty:
        raise Refused("The geometry is empty", code="geometry-empty")
    points = int(shapely.get_num_coordinates(geometry))
    if points > MAX_POINTS:
        message = f"The geometry has {points} points, and may have {MAX_POINTS}"
        raise Refused(message, code="too-many-points", status=413, fix="Draw it in parts")
    return geometry


def _invalid(what: str) -> Refused:
    return Refused(f"The geometry {what}", code="geometry-invalid")


def _box_of(window: Window) -> Any:
    return shapely.box(window.col, window.row, window.stop[1], window.stop[0])


def _clipped(geometry: Any, box: Any) -> Any:
    """Return the part of a geometry in a box, of its own dimension; None where there is none."""
    dimension = shapely.get_dimensions(geometry)
    parts = shapely.get_parts(shapely.get_parts(shapely.intersection(geometry, box)))
    kept = [p for p in parts if shapely.get_dimensions(p) == dimension and not p.is_empty]
    if not kept:
        return None
    if len(kept) == 1:
        return kept[0]
    union = (shapely.multipoints, shapely.multilinestrings, shapely.multipolygons)[dimension]
    return union(kept)


def _transformed(geometries: Sequence[Any] | NDArray[Any], move: Move) -> NDArray[Any]:
    """Return geometries whose points are moved, all in one call."""
    listed = np.empty(len(geometries), object)
    listed[:] = list(geometries)
    if not len(listed):
        return listed
    return np.asarray(shapely.transform(listed, move, interleaved=False), object)
