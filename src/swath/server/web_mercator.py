"""Where the pixels of a raster lie on a web map: between tiles of web Mercator and rows and columns.

Web Mercator is EPSG:3857, tiles are those of the OGC's WebMercatorQuad (256 pixels, row 0 in the
north). A raster without CRS is laid on the map pixel by pixel, its corner at longitude and latitude
0, so that one program shows both kinds.
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

from swath.geo.geobox import GeoBox
from swath.geo.interpolation import interpolate

SIZE = 256
"""Side of a tile in pixels."""

HALF = math.pi * 6_378_137.0
"""Half the side of the web Mercator square, in its meters."""

DEEPEST = 24
"""Tiles have no higher zoom than this."""

PIXEL_ZOOM = 18
"""Zoom at which one pixel of a raster without CRS is one pixel of a tile."""

PIXEL = 2 * HALF / SIZE / 2**PIXEL_ZOOM
"""Side of such a pixel in meters of web Mercator."""

NODES = 33
"""Places a side that are transformed exactly; those between are interpolated."""

TOLERANCE = 0.125
"""Largest error of that in pixels, as in GDAL's own warper; a tile that would have more is transformed exactly."""

TINY = 1e-6
"""Columns and rows that differ by less are the same, in pixels."""

Floats = NDArray[np.float64]

_mine = threading.local()


@dataclass(frozen=True)
class MercatorTile:
    """A tile of WebMercatorQuad: zoom, column and row."""

    z: int
    x: int
    y: int

    @property
    def exists(self) -> bool:
        """Whether there is such a tile."""
        return 0 <= self.z <= DEEPEST and 0 <= self.x < 2**self.z and 0 <= self.y < 2**self.z

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in meters of web Mercator."""
        side = 2 * HALF / 2**self.z
        west, north = self.x * side - HALF, HALF - self.y * side
        return west, north - side, west + side, north


def to_lonlat(x: float, y: float) -> tuple[float, float]:
    """Return longitude and latitude in degrees of a place in web Mercator."""
    return x / HALF * 180, math.degrees(2 * math.atan(math.exp(y / HALF * math.pi)) - math.pi / 2)


def to_mercator(lon: float, lat: float) -> tuple[float, float]:
    """Return x and y in web Mercator of a longitude and latitude; the poles are cut off at the edge of the square."""
    lat = min(max(lat, -85.0511287798066), 85.0511287798066)
    return lon / 180 * HALF, math.log(
        math.tan(math.pi / 4 + math.radians(lat) / 2)
    ) / math.pi * HALF


@dataclass(frozen=True)
class Placement:
    """A raster's grid on the web map."""

    grid: GeoBox

    @property
    def in_pixels(self) -> bool:
        """Whether it has no CRS and is laid out by its pixels."""
        return self.grid.crs is None

    def pixels(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return columns and rows (fractions; 0.5 is the middle of the first pixel) of places in web Mercator.

        They are infinite or NaN where the raster's CRS has no such place.
        """
        if self.in_pixels:
            return x / PIXEL, -y / PIXEL
        east, north = self._transformer("EPSG:3857", self.grid.crs).transform(x, y)
        a, b, c, d, e, f = tuple(~self.grid.affine)[:6]
        with np.errstate(invalid="ignore"):
            return a * east + b * north + c, d * east + e * north + f

    def mercator(self, col: Floats, row: Floats) -> tuple[Floats, Floats]:
        """Return places in web Mercator of columns and rows."""
        if self.in_pixels:
            return col * PIXEL, -row * PIXEL
        a, b, c, d, e, f = self.grid.transform
        x, y = a * col + b * row + c, d * col + e * row + f
        found: tuple[Floats, Floats] = self._transformer(self.grid.crs, "EPSG:3857").transform(x, y)
        return found

    def coordinates(self, tile: MercatorTile, size: int = SIZE) -> tuple[Floats, Floats]:
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
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in meters of web Mercator, inside its square."""
        height, width = self.grid.height, self.grid.width
        along = np.linspace(0, 1, 22)
        col = np.concatenate([along * width, along * width, 0 * along, 0 * along + width])
        row = np.concatenate([0 * along, 0 * along + height, along * height, along * height])
        inner_col, inner_row = np.meshgrid(along * width, along * height)
        x, y = self.mercator(
            np.concatenate([col, inner_col.ravel()]), np.concatenate([row, inner_row.ravel()])
        )
        known = np.isfinite(x) & np.isfinite(y)
        if not known.any():
            return -HALF, -HALF, HALF, HALF
        x, y = (np.clip(v[known], -HALF, HALF) for v in (x, y))
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    @cached_property
    def zoom(self) -> int:
        """Lowest zoom at which a tile's pixel is no larger than one of the raster's."""
        if self.in_pixels:
            return PIXEL_ZOOM
        col, row = self.grid.width / 2, self.grid.height / 2
        x, y = self.mercator(np.array([col, col + 1, col]), np.array([row, row, row + 1]))
        side = min(math.hypot(x[i] - x[0], y[i] - y[0]) for i in (1, 2))
        if not math.isfinite(side) or side <= 0:
            return DEEPEST
        return min(DEEPEST, max(0, math.ceil(math.log2(2 * HALF / SIZE / side) - 1e-9)))

    @staticmethod
    def _transformer(source: Any, target: Any) -> Transformer:
        """Return this thread's own transformer, as one must not be shared."""
        cache: dict[tuple[Any, Any], Transformer] = _mine.__dict__.setdefault("transformers", {})
        if (source, target) not in cache:
            if len(cache) > 64:
                cache.clear()
            cache[source, target] = Transformer.from_crs(CRS(source), CRS(target), always_xy=True)
        return cache[source, target]


def _smooth(coarse: Floats, size: int) -> bool:
    """Tell whether linear interpolation between nodes keeps within the tolerance, in pixels or in steps of the tile."""
    if not np.isfinite(coarse).all():
        return False
    bend = max(float(np.abs(np.diff(coarse, 2, axis=axis)).max()) for axis in (0, 1)) / 8
    step = (
        max(float(np.abs(np.diff(coarse, axis=axis)).max()) for axis in (0, 1)) * (NODES - 1) / size
    )
    return bend <= TOLERANCE * max(1.0, step)
