"""The latitude of pixels as one more band, computed from the CRS and transform of their image.

The same color is sand at 25 degrees and snow at 70. The band is never stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray
from pyproj.exceptions import ProjError

from swath.errors import DataError
from swath.geo.geobox import GeoBox
from swath.geo.interpolation import interpolate
from swath.geo.tiling import Pixels, Window
from swath.types import PathLike

LATITUDE = "latitude"
"""Name of the band."""

NODE_STEP = 16
"""Pixels between the nodes of a grid at which PROJ is called; in between, it is interpolated."""

BLOCK_SIDE = 2 * NODE_STEP
"""Side of the blocks in which the interpolation is checked: their middles are nodes, too."""

MAX_LATITUDE_ERROR = 1e-4
"""Degrees (11 m) that the middles of a block may be off; worse blocks are not interpolated."""

RANGE_POINTS = 33
"""Rows and columns of the points that give the range of latitudes of an image."""


def latitudes(grid: GeoBox, window: Window) -> NDArray[np.float32]:
    """Return the absolute latitudes of the centers of a window's pixels.

    They are geodetic latitudes on the CRS's own datum, so that no grid of datum shifts is needed,
    to `MAX_LATITUDE_ERROR`. Nodes are counted from the image's first pixel, so the value of a pixel
    is the same to the bit in all windows.

    Args:
        grid: of the image.
        window: rows and columns of the image.

    Returns:
        Degrees, 0..90, float32 (rows, columns); NaN where the projection is not defined.

    Raises:
        DataError: see `check_located`.
    """
    top, left = (n // BLOCK_SIDE * BLOCK_SIDE for n in (window.row, window.col))
    bottom, right = (-(-end // BLOCK_SIDE) * BLOCK_SIDE for end in window.stop)
    inside = Window(window.row - top, window.col - left, window.height, window.width)
    starts = (top, bottom + 1, NODE_STEP), (left, right + 1, NODE_STEP)
    nodes = _degrees(grid, *np.ix_(*(np.arange(*start) for start in starts)))
    rows, cols = inside.row + np.arange(inside.height), inside.col + np.arange(inside.width)
    out = interpolate(interpolate(nodes, rows / NODE_STEP, 0), cols / NODE_STEP, 1)
    inexact = _inexact_blocks(nodes)
    if inexact.any():
        at = np.nonzero(inexact.repeat(BLOCK_SIDE, 0).repeat(BLOCK_SIDE, 1)[inside.slices])
        out[at] = _degrees(grid, window.row + at[0], window.col + at[1])
    np.abs(out, out=out)
    return np.minimum(out, 90, out=out).astype(np.float32)


def with_latitude(pixels: Pixels, grid: GeoBox, window: Window, file: PathLike) -> Pixels:
    """Return the pixels of a window with their latitude as a last band, in degrees.

    Args:
        pixels: of the window.
        grid: of the image.
        window: rows and columns of the image.
        file: the image, for errors.

    Raises:
        DataError: valid pixels lie where the projection is not defined, or see `check_located`.
    """
    degrees = latitudes(grid, window)
    unknown = np.isnan(degrees)
    if (unknown & pixels.valid).any():
        raise DataError(
            "The image has data where its projection is not defined, so it has no latitude there",
            code="outside-projection",
            file=file,
            fix="Declare the value outside as nodata (`rio edit-info --nodata VALUE FILE`)",
        )
    degrees[unknown] = 0
    return Pixels(np.concatenate([pixels.values, degrees[None]]), pixels.valid)


def check_located(grid: GeoBox, bands: Sequence[str], file: PathLike, otherwise: str) -> None:
    """Refuse an image whose latitude is unknown, or that has a band of that name already.

    Args:
        grid: of the image.
        bands: names of its bands.
        file: its path.
        otherwise: another fix, for the error.

    Raises:
        DataError: the image has a band `latitude`, no transform, or no CRS that lies on the earth.
    """
    if LATITUDE in bands:
        message = f"The image has a band called {LATITUDE}, which is computed from the grid instead"
        others = ",".join(str(i) for i, band in enumerate(bands, 1) if band != LATITUDE)
        fix = f"Leave that band out (`rio stack FILE --bidx {others} -o NEW.tif`), or {otherwise}"
        raise DataError(message, code="latitude-band", file=file, fix=fix)
    if grid.crs is None or grid.transform == GeoBox(1, 1).transform:
        message = "The image has no CRS or no transform, so the latitude of its pixels is unknown"
        fix = (
            "Give it those of a file of the same pixels (`rio edit-info --like OTHER.tif --all "
            f"FILE`), or {otherwise}"
        )
        raise DataError(message, code="not-georeferenced", file=file, fix=fix)
    try:
        _from_crs(grid.crs)
    except DataError as error:
        fix = f"Assign the right one (`rio edit-info --crs EPSG:32632 FILE`), or {otherwise}"
        raise DataError(error.message, code=error.code, file=file, fix=fix) from error


def latitude_range(grid: GeoBox) -> tuple[float, float]:
    """Return the smallest and largest absolute latitude of an image in degrees, NaN without any."""
    rows, cols = (np.linspace(0, n - 1, RANGE_POINTS) for n in (grid.height, grid.width))
    found = np.abs(_degrees(grid, *np.ix_(rows, cols)))
    found = found[np.isfinite(found)]
    return (float(found.min()), float(found.max())) if found.size else (math.nan, math.nan)


def _inexact_blocks(nodes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return in which blocks the middle nodes are not interpolated from the corners, or unknown."""
    corners = nodes[::2, ::2]
    along, across = (corners[:, 1:] + corners[:, :-1]) / 2, (corners[1:] + corners[:-1]) / 2
    top, left = nodes[::2, 1::2] - along, nodes[1::2, ::2] - across
    middle = nodes[1::2, 1::2] - (along[1:] + along[:-1]) / 2
    worst = np.max(np.abs([top[1:], top[:-1], left[:, 1:], left[:, :-1], middle]), axis=0)
    inexact: NDArray[np.bool_] = ~(worst <= MAX_LATITUDE_ERROR)
    return inexact


def _degrees(grid: GeoBox, rows: NDArray[Any], cols: NDArray[Any]) -> NDArray[np.float64]:
    """Return PROJ's latitude of the centers of pixels, signed, in degrees; NaN where undefined."""
    transformer, degree = _from_crs(grid.crs or "")
    a, b, c, d, e, f = grid.transform
    col, row = np.broadcast_arrays(cols + 0.5, rows + 0.5)
    _, lat = transformer.transform(a * col + b * row + c, d * col + e * row + f)
    return np.where(np.isfinite(lat), lat, np.nan) * degree


@lru_cache(64)
def _from_crs(crs: str) -> tuple[pyproj.Transformer, float]:
    """Return the transformer of x and y to longitude and latitude, and the degrees of its unit."""
    try:
        own = pyproj.CRS(crs)
        geodetic = own.geodetic_crs
        if geodetic is not None and geodetic.is_derived:  # of rotated poles, as in climate models
            geodetic = geodetic.source_crs
        if geodetic is None or not (own.is_geographic or own.is_projected):
            message = "The CRS does not lie on the earth, so the latitude of the pixels is unknown"
            raise DataError(message, code="crs-not-on-earth")
        north = next(axis for axis in geodetic.axis_info if axis.direction == "north")
        transformer = pyproj.Transformer.from_crs(own, geodetic, always_xy=True)
        return transformer, math.degrees(north.unit_conversion_factor)
    except (ProjError, StopIteration) as error:
        raise DataError(
            f"PROJ does not understand the CRS ({type(error).__name__})", code="crs-invalid"
        ) from error
