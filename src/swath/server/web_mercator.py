"""Transforms between tiles of web Mercator and the rows and columns of a raster.

Web Mercator is EPSG:3857, tiles are those of the OGC's WebMercatorQuad (256 pixels, row 0 in the
north). A raster without CRS is drawn pixel by pixel, with its upper left corner at longitude and
latitude 0, so that one program shows both kinds; so is one whose CRS has no way to the Earth.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from swath.geo.crs import lies_on_earth, near, x_period
from swath.geo.geobox import GeoBox
from swath.geo.interpolation import interpolate

TILE_SIZE = 256
"""Side of a tile in pixels."""

HALF_EXTENT = math.pi * 6_378_137.0
"""Half the side of the web Mercator square in meters."""

MAX_ZOOM = 24
"""Highest zoom of a tile."""

PIXEL_ZOOM = 18
"""Zoom at which one pixel of a raster without CRS is one pixel of a tile."""

PIXEL_SIZE = 2 * HALF_EXTENT / TILE_SIZE / 2**PIXEL_ZOOM
"""Side of that pixel in meters of web Mercator."""

NODES = 33
"""Places a side that are transformed exactly; those between are interpolated."""

TOLERANCE = 0.125
"""Largest error of that in pixels, as in GDAL's warper; beyond it all pixels are transformed."""

TINY = 1e-6
"""Columns and rows that differ by less are the same, in pixels."""

WHOLE = 0.95
"""Share of the equator from which a raster is taken to go around the earth."""

Floats = NDArray[np.float64]

_thread = threading.local()


@dataclass(frozen=True)
class MercatorTile:
    """A tile of WebMercatorQuad: zoom, column and row."""

    z: int
    x: int
    y: int

    @property
    def exists(self) -> bool:
        """Whether the pyramid has the tile."""
        return 0 <= self.z <= MAX_ZOOM and 0 <= self.x < 2**self.z and 0 <= self.y < 2**self.z

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in meters of web Mercator."""
        side = 2 * HALF_EXTENT / 2**self.z
        west, north = self.x * side - HALF_EXTENT, HALF_EXTENT - self.y * side
        return west, north - side, west + side, north


def to_lonlat(x: float, y: float) -> tuple[float, float]:
    """Return longitude and latitude in degrees of a point in web Mercator."""
    lat = 2 * math.atan(math.exp(y / HALF_EXTENT * math.pi)) - math.pi / 2
    return x / HALF_EXTENT * 180, math.degrees(lat)


def to_degrees(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return longitudes and latitudes in degrees of points in web Mercator."""
    lat = 2 * np.arctan(np.exp(y / HALF_EXTENT * np.pi)) - np.pi / 2
    return x / HALF_EXTENT * 180, np.degrees(lat)


def to_mercator(lon: float, lat: float) -> tuple[float, float]:
    """Return x and y in web Mercator of a longitude and latitude, clipped to the square."""
    lat = math.radians(min(max(lat, -85.0511287798066), 85.0511287798066))
    north = math.log(math.tan(math.pi / 4 + lat / 2)) / math.pi
    return lon / 180 * HALF_EXTENT, north * HALF_EXTENT


@dataclass(frozen=True)
class Placement:
    """A raster's grid on the web map."""

    grid: GeoBox

    @cached_property
    def in_pixels(self) -> bool:
        """Whether the raster has no CRS that lies on the earth, and is drawn by its pixels."""
        return not lies_on_earth(self.grid.crs)

    def pixels(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return columns and rows (0.5 is the middle of the first pixel) of points in web Mercator.

        They are infinite or NaN where the raster's CRS has no such point.
        """
        if self.in_pixels:
            return x / PIXEL_SIZE, -y / PIXEL_SIZE
        east, north = transformer_of("EPSG:3857", self.grid.crs).transform(x, y)
        a, b, c, d, e, f = tuple(~self.grid.affine)[:6]
        with np.errstate(invalid="ignore"):
            east = near(east, self._center, x_period(self.grid.crs))
            return a * east + b * north + c, d * east + e * north + f

    def mercator(self, col: Floats, row: Floats) -> tuple[Floats, Floats]:
        """Return points in web Mercator of columns and rows."""
        if self.in_pixels:
            return col * PIXEL_SIZE, -row * PIXEL_SIZE
        a, b, c, d, e, f = self.grid.transform
        x, y = a * col + b * row + c, d * col + e * row + f
        move = transformer_of(self.grid.crs, "EPSG:3857").transform
        east, north = move(x, y)
        middle = self.grid.point(self.grid.width / 2, self.grid.height / 2)
        center = move(*middle)[0]
        with np.errstate(invalid="ignore"):
            if math.isfinite(center):  # what crosses 180 degrees goes on beyond it
                east = near(east, center, 2 * HALF_EXTENT)
        return east, north

    def coordinates(self, tile: MercatorTile, size: int = TILE_SIZE) -> tuple[Floats, Floats]:
        """Return the columns and rows that the middles of a tile's pixels fall on.

        Both are (size, size), or (1, size) and (size, 1) where the raster's sides are those of the
        tile.
        """
        west, south, east, north = tile.bounds

        def lattice(along: Floats) -> tuple[Floats, Floats]:
            return west + along[None, :] * (east - west), north + along[:, None] * (south - north)

        middles = (np.arange(size) + 0.5) / size
        if self.in_pixels:
            return self.pixels(*lattice(middles))
        col, row = self.pixels(*np.broadcast_arrays(*lattice(np.linspace(0, 1, NODES))))
        if not (_smooth(col, size) and _smooth(row, size)):
            return self.pixels(*np.broadcast_arrays(*lattice(middles)))
        at = middles * (NODES - 1)
        if np.ptp(col, axis=0).max() < TINY and np.ptp(row, axis=1).max() < TINY:
            return interpolate(col[:1], at, 1), interpolate(row[:, :1], at, 0)
        col, row = (interpolate(interpolate(c, at, 1), at, 0) for c in (col, row))
        return col, row

    @cached_property
    def _center(self) -> float:
        """The middle of the raster in x of its CRS."""
        return self.grid.point(self.grid.width / 2, self.grid.height / 2)[0]

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in meters of web Mercator.

        A raster that crosses 180 degrees has an east, or west, beyond the square.
        """
        along = np.linspace(0, 1, 22)
        col, row = np.meshgrid(along * self.grid.width, along * self.grid.height)
        x, y = self.mercator(col.ravel(), row.ravel())
        known = np.isfinite(x) & np.isfinite(y)
        if not known.any():
            return -HALF_EXTENT, -HALF_EXTENT, HALF_EXTENT, HALF_EXTENT
        x, y = x[known], np.clip(y[known], -HALF_EXTENT, HALF_EXTENT)
        west, east = float(x.min()), float(x.max())
        if east - west > 2 * HALF_EXTENT * WHOLE:
            west, east = -HALF_EXTENT, HALF_EXTENT
        return west, float(y.min()), east, float(y.max())

    @property
    def degrees(self) -> list[float]:
        """West, south, east, north in degrees of the web map."""
        west, south, east, north = self.bounds
        return [*to_lonlat(west, south), *to_lonlat(east, north)]

    @cached_property
    def max_zoom(self) -> int:
        """Lowest zoom at which a tile's pixel is no larger than one of the raster's."""
        if self.in_pixels:
            return PIXEL_ZOOM
        col, row = self.grid.width / 2, self.grid.height / 2
        x, y = self.mercator(np.array([col, col + 1, col]), np.array([row, row, row + 1]))
        side = min(math.hypot(x[i] - x[0], y[i] - y[0]) for i in (1, 2))
        if not math.isfinite(side) or side <= 0:
            return MAX_ZOOM
        zoom = math.ceil(math.log2(2 * HALF_EXTENT / TILE_SIZE / side) - 1e-9)
        return min(MAX_ZOOM, max(0, zoom))


def transformer_of(source: Any, target: Any) -> Transformer:
    """Return a transformer (x before y) of this thread: pyproj's must not be shared."""
    cache: dict[tuple[Any, Any], Transformer] = _thread.__dict__.setdefault("transformers", {})
    if (source, target) not in cache:
        if len(cache) > 64:
            cache.clear()
        cache[source, target] = Transformer.from_crs(CRS(source), CRS(target), always_xy=True)
    return cache[source, target]


def _smooth(coarse: Floats, size: int) -> bool:
    """Return whether interpolation keeps within the tolerance, in pixels or steps of the tile."""
    if not np.isfinite(coarse).all():
        return False
    bend = max(float(np.abs(np.diff(coarse, 2, axis=axis)).max()) for axis in (0, 1)) / 8
    step = (
        max(float(np.abs(np.diff(coarse, axis=axis)).max()) for axis in (0, 1)) * (NODES - 1) / size
    )
    return bend <= TOLERANCE * max(1.0, step)
