"""Areas of pixels on the ellipsoid, in any CRS."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyproj
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.geobox import GeoBox
from swath.geo.interpolation import interpolate
from swath.geo.tiling import Window
from swath.types import PathLike

HECTARE = 10_000.0
"""Square meters of a hectare."""

AREA_NODES = 65
"""Rows and columns of the nodes between which areas in a projected CRS are interpolated."""


class PixelAreas:
    """Areas of the pixels of a raster, in square meters on the CRS's ellipsoid.

    In a geographic CRS, the area of a pixel follows from the two parallels that bound it; in a
    projected or turned one, from the steps of a row and a column on the ellipsoid, in space, so
    that poles and 180 degrees are places like any other. Areas in the plane are wrong by 0.1% in
    UTM, and fourfold in Web Mercator at 60 degrees.

    Args:
        grid: of the raster.
        side: of a pixel in meters, for rasters without a CRS, or with that of a drawing.
        file: the raster, for errors.

    Raises:
        DataError: there is no `side`, and no CRS or one that has no ellipsoid.
    """

    def __init__(
        self, grid: GeoBox, side: float | None = None, file: PathLike | None = None
    ) -> None:
        self._grid, self._file = grid, file
        self._side: float | None = None
        crs = None if grid.crs is None else pyproj.CRS(grid.crs)
        if crs is not None and (crs.is_geographic or crs.is_projected) and crs.ellipsoid:
            self._crs = crs
            return
        if side is None:
            message, code = "The raster has no CRS", "crs-missing"
            if crs is not None:
                message = f"The CRS of the raster, {crs.name}, has no ellipsoid"
                code = "crs-not-on-earth"
            fix = "Give --pixel METERS, or assign the CRS (`rio edit-info --crs EPSG:32632 FILE`)"
            message += ", so the size of its pixels is unknown"
            raise DataError(message, code=code, file=file, fix=fix)
        self._side = side

    def of(self, window: Window) -> NDArray[np.float64]:
        """Return the areas of a window's pixels (rows, columns), in square meters."""
        shape = (window.height, window.width)
        if self._side is not None:
            return np.full(shape, self._side**2)
        _, b, _, d, _, _ = self._grid.transform
        if self._crs.is_geographic and b == d == 0:
            return np.broadcast_to(self._geographic_areas(window)[:, None], shape)
        rows = (window.row + np.arange(window.height) + 0.5) / self._grid.height * (AREA_NODES - 1)
        cols = (window.col + np.arange(window.width) + 0.5) / self._grid.width * (AREA_NODES - 1)
        return interpolate(interpolate(self._nodes, rows, 0), cols, 1)

    def _geographic_areas(self, window: Window) -> NDArray[np.float64]:
        """Return the areas by rows (Snyder 1987, "Map projections", equation 3-12)."""
        a, _, _, _, e, f = self._grid.transform
        degree = self._crs.axis_info[0].unit_conversion_factor
        edges = (f + e * (window.row + np.arange(window.height + 1))) * degree
        major, squared = self._major, self._squared
        sine = np.sin(np.clip(edges, -np.pi / 2, np.pi / 2))
        if squared < 1e-12:
            zone = 2 * sine
        else:
            root = np.sqrt(squared)
            zone = (1 - squared) * (sine / (1 - squared * sine**2) + np.arctanh(root * sine) / root)
        areas: NDArray[np.float64] = np.abs(np.diff(zone)) * major**2 / 2 * abs(a) * degree
        return areas

    @cached_property
    def _nodes(self) -> NDArray[np.float64]:
        """Area of a pixel at each node: of half a pixel at the edges, so that none lies outside."""
        height, width = self._grid.height, self._grid.width
        rows, cols = np.meshgrid(
            np.linspace(0, height, AREA_NODES), np.linspace(0, width, AREA_NODES), indexing="ij"
        )
        top, bottom = np.maximum(rows - 0.5, 0), np.minimum(rows + 0.5, height)
        left, right = np.maximum(cols - 0.5, 0), np.minimum(cols + 0.5, width)
        down = self._in_space(cols, bottom) - self._in_space(cols, top)
        across = self._in_space(right, rows) - self._in_space(left, rows)
        down, across = down / (bottom - top), across / (right - left)
        areas: NDArray[np.float64] = np.linalg.norm(np.cross(down, across, axis=0), axis=0)
        if not (np.isfinite(areas).all() and (areas > 0).any()):
            message = "A part of the raster lies where its projection is not defined"
            fix = "Cut it first (`rio clip FILE NEW.tif --bounds 'LEFT BOTTOM RIGHT TOP'`)"
            raise DataError(message, code="outside-projection", file=self._file, fix=fix)
        return areas

    def _in_space(
        self, cols: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return x, y, z (3, ...) in meters from the center of the earth."""
        a, b, c, d, e, f = self._grid.transform
        lon, lat = self._to_geodetic.transform(a * cols + b * rows + c, d * cols + e * rows + f)
        unit = self._crs.geodetic_crs.axis_info[0].unit_conversion_factor  # type: ignore[union-attr]
        with np.errstate(invalid="ignore"):
            lon, lat = lon * unit, lat * unit
            normal = self._major / np.sqrt(1 - self._squared * np.sin(lat) ** 2)
            flat = normal * np.cos(lat)
            up = normal * (1 - self._squared) * np.sin(lat)
            return np.stack([flat * np.cos(lon), flat * np.sin(lon), up])

    @cached_property
    def _to_geodetic(self) -> pyproj.Transformer:
        return pyproj.Transformer.from_crs(self._crs, self._crs.geodetic_crs, always_xy=True)

    @property
    def _major(self) -> float:
        return float(self._crs.get_geod().a)  # type: ignore[union-attr]

    @property
    def _squared(self) -> float:
        """First eccentricity, squared."""
        return float(self._crs.get_geod().es)  # type: ignore[union-attr]
