"""The grid of a raster: size, transform and CRS."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import rasterio
from rasterio.warp import transform as warp_points

from swath.geo.gdal import GDAL_ERRORS
from swath.geo.tiling import Window, full_window

CHUNK_SIDE = 1024
"""Rows and columns of the chunks in which a whole raster is read, unless its bands are many."""

CHUNK_BYTES = 64 * 2**20
"""Largest bytes of such a chunk."""


METERS_OF_DEGREE = 111_320.0
"""Length of a degree of a great circle, for ground sampling distances."""


@dataclass(frozen=True)
class GeoBox:
    """The grid of a raster.

    Attributes:
        height: number of rows.
        width: number of columns.
        transform: six numbers (a, b, c, d, e, f): x = a * column + b * row + c,
            y = d * column + e * row + f.
        crs: coordinate reference system as WKT, None where the file has none.
    """

    height: int
    width: int
    transform: tuple[float, float, float, float, float, float] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    crs: str | None = None

    @property
    def window(self) -> Window:
        """The whole raster."""
        return full_window(self.height, self.width)

    @property
    def affine(self) -> rasterio.Affine:
        """The transform as an affine object."""
        return rasterio.Affine(*self.transform)

    @property
    def placed(self) -> bool:
        """Whether it has a place: a CRS, or a transform that does not count pixels."""
        a, b, c, d, e, f = self.transform
        counts = abs(a) == abs(e) == 1 and b == d == 0
        return self.crs is not None or not (
            counts and abs(c) <= self.width and abs(f) <= self.height
        )

    def point(self, col: float, row: float) -> tuple[float, float]:
        """Return x and y in the CRS of a point in pixel coordinates."""
        a, b, c, d, e, f = self.transform
        return a * col + b * row + c, d * col + e * row + f

    def lonlat(
        self, points: Sequence[tuple[float, float]]
    ) -> tuple[list[float], list[float]] | None:
        """Return longitudes and latitudes (WGS 84) of points in the CRS; None if any is unknown."""
        x, y = zip(*points, strict=True)
        try:
            lon, lat = warp_points(self.crs, "EPSG:4326", x, y)[:2]
        except GDAL_ERRORS:
            return None
        return (lon, lat) if np.isfinite([*lon, *lat]).all() else None

    def part(self, window: Window) -> GeoBox:
        """Return the grid of a window."""
        a, b, _, d, e, _ = self.transform
        x, y = self.point(window.col, window.row)
        return GeoBox(window.height, window.width, (a, b, x, d, e, y), self.crs)

    def moved(self, shift: float) -> GeoBox:
        """Return the grid with all x increased by `shift`."""
        a, b, c, d, e, f = self.transform
        return replace(self, transform=(a, b, c + shift, d, e, f))

    def same_as(self, other: GeoBox) -> bool:
        """Return whether two rasters lie pixel on pixel, to 0.1 pixels at every corner."""
        if (self.height, self.width) != (other.height, other.width):
            return False
        size = max(map(abs, self.transform[:2]))
        corners = [(0, 0), (0, self.height), (self.width, 0), (self.width, self.height)]
        near = all(
            math.dist(self.point(*corner), other.point(*corner)) <= 0.1 * size for corner in corners
        )
        return near and self.same_crs(other)  # last, since it takes longest

    def same_crs(self, other: GeoBox) -> bool:
        """Return whether two rasters have the same CRS, or both none."""
        if self.crs is None or other.crs is None:
            return self.crs is other.crs
        return bool(rasterio.CRS.from_wkt(self.crs) == rasterio.CRS.from_wkt(other.crs))

    def with_pixels(self, size: float) -> GeoBox:
        """Return the grid of square pixels of a size, in units of the CRS, on about this extent.

        The upper left corner is this grid's. A grid that has such pixels is returned as it is.
        """
        a, b, _, d, e, _ = self.transform
        wide, high = math.hypot(a, d) / size, math.hypot(b, e) / size
        if max(abs(wide - 1), abs(high - 1)) < 1e-6:
            return self
        height, width = max(1, round(self.height * high)), max(1, round(self.width * wide))
        affine = self.affine * rasterio.Affine.scale(1 / wide, 1 / high)
        return GeoBox(height, width, tuple(affine)[:6], self.crs)

    def can_fill(self, other: GeoBox, coarser: bool = True) -> bool:
        """Return whether pixels of this grid can be resampled along rows and columns of another.

        Both need one CRS, parallel rows and columns, and this grid has to cover the other one, but
        for half a pixel of the coarser one.

        Args:
            other: the wanted grid.
            coarser: whether only a grid of coarser pixels is taken.
        """
        to_own = ~self.affine * other.affine
        skew = max(abs(to_own.b) * other.height, abs(to_own.d) * other.width)
        if skew > 0.1 or min(to_own.a, to_own.e) <= 0:
            return False
        if coarser and max(to_own.a, to_own.e) > 0.99:
            return False
        for origin, step, count, size in (
            (to_own.c, to_own.a, other.width, self.width),
            (to_own.f, to_own.e, other.height, self.height),
        ):
            spare = max(1.0, step) / 2 + 1e-6
            if origin < -spare or origin + step * count > size + spare:
                return False
        return self.crs is not None and self.same_crs(other)

    @cached_property
    def gsd(self) -> float | None:
        """Ground sampling distance at the center in meters; None without a CRS on the earth."""
        if self.crs is None:
            return None
        col, row = self.width / 2, self.height / 2
        points = [self.point(col, row), self.point(col + 1, row), self.point(col, row + 1)]
        found = self.lonlat(points)
        if found is None:
            return None
        lon, lat = np.radians(found)
        half = np.sin((lat[1:] - lat[0]) / 2) ** 2
        half += np.cos(lat[0]) * np.cos(lat[1:]) * np.sin((lon[1:] - lon[0]) / 2) ** 2
        sides = np.degrees(2 * np.arcsin(np.sqrt(half))) * METERS_OF_DEGREE
        return math.sqrt(sides[0] * sides[1])


def geobox_of(dataset: rasterio.DatasetReader) -> GeoBox:
    """Return the grid of an open dataset."""
    crs = dataset.crs.to_wkt() if dataset.crs else None
    return GeoBox(dataset.height, dataset.width, tuple(dataset.transform)[:6], crs)


def chunks(grid: GeoBox, pixel_bytes: int = 1) -> Iterator[Window]:
    """Yield windows that partition a raster, each of at most `CHUNK_BYTES` unless a pixel is more.

    Args:
        grid: of the raster.
        pixel_bytes: bytes of one pixel with all its bands.
    """
    side = CHUNK_SIDE
    while side > 1 and side * side * pixel_bytes > CHUNK_BYTES:
        side //= 2
    for row in range(0, grid.height, side):
        for col in range(0, grid.width, side):
            yield Window(row, col, side, side).within(grid.window)
