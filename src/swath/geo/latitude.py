"""How far from the equator a pixel lies, as one more band, worked out from the CRS and transform of its image.

What a color means depends on where it is seen: what is bright is sand at 25 degrees and snow at
70. The band is never stored.
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

STEP = 16
"""Pixels between the nodes of a net at which PROJ is asked; between them latitude is interpolated."""

SIDE = 2 * STEP
"""Side of the blocks in which that is checked: their middles are nodes, too."""

TOLERANCE = 1e-4
"""Degrees (11 m) that a block's middles may be off; in blocks that are worse, as at a pole, PROJ is asked for every pixel."""

SAMPLED_POINTS = 33
"""Rows and columns of the net in which an image's own latitudes are looked at."""


def latitudes(grid: GeoBox, window: Window) -> NDArray[np.float32]:
    """Return how far from the equator the centers of a window's pixels lie.

    It is the geodetic latitude on the CRS's own datum, so that no grid of datum shifts is needed,
    to `TOLERANCE`. Nodes are counted from the image's first pixel, so a pixel's value is the same
    to the bit in whatever window it is asked for.

    Args:
        grid: where the pixels of the image lie.
        window: rows and columns of the image.

    Returns:
        Degrees, 0..90, float32 (rows, columns); NaN where the projection is not defined.

    Raises:
        DataError: see `check_located`.
    """
    top, left = window.row // SIDE * SIDE, window.col // SIDE * SIDE
    bottom, right = (-(-end // SIDE) * SIDE for end in window.stop)
    inside = Window(window.row - top, window.col - left, window.height, window.width)
    net = _degrees(
        grid, *np.ix_(np.arange(top, bottom + 1, STEP), np.arange(left, right + 1, STEP))
    )
    rows, cols = inside.row + np.arange(inside.height), inside.col + np.arange(inside.width)
    out = interpolate(interpolate(net, rows / STEP, 0), cols / STEP, 1)
    bent = _is_bent(net)
    if bent.any():
        at = np.nonzero(bent.repeat(SIDE, 0).repeat(SIDE, 1)[inside.slices])
        out[at] = _degrees(grid, window.row + at[0], window.col + at[1])
    np.abs(out, out=out)
    return np.minimum(out, 90, out=out).astype(np.float32)


def with_latitude(pixels: Pixels, grid: GeoBox, window: Window, file: PathLike) -> Pixels:
    """Return the pixels of a window with their latitude as a further, last band; where they are valid stays as it is.

    Raises:
        DataError: valid pixels lie where the projection is not defined, or the grid lies nowhere
            (see `check_located`).
    """
    degrees = latitudes(grid, window)
    unknown = np.isnan(degrees)
    if (unknown & pixels.valid).any():
        raise DataError(
            "it has data where its projection is not defined, and so no latitude",
            file=file,
            fix="Cut it to the earth, or declare what lies around it as nodata (gdal_edit.py -a_nodata)",
        )
    degrees[unknown] = 0
    return Pixels(np.concatenate([pixels.values, degrees[None]]), pixels.valid)


def check_located(grid: GeoBox, bands: Sequence[str], file: PathLike, otherwise: str) -> None:
    """Refuse an image that does not say where on the earth it lies, or brings a band of the name.

    Args:
        grid: of the image.
        bands: names of its bands.
        file: its path.
        otherwise: what else can be done about it.

    Raises:
        DataError: it does.
    """
    if LATITUDE in bands:
        raise DataError(
            f"it has a band called {LATITUDE}, which is to be worked out from where its pixels lie",
            file=file,
            fix=f"Leave that band out of it (gdal_translate -b 1 -b 2 ...), or {otherwise}",
        )
    if grid.crs is None or grid.transform == GeoBox(1, 1).transform:
        raise DataError(
            "it does not say where it lies, so the latitude of its pixels is unknown",
            file=file,
            fix=f"Give it a CRS and a transform (gdal_edit.py -a_srs EPSG:... -a_ullr ...; gdalwarp), or {otherwise}",
        )
    try:
        _from_crs(grid.crs)
    except DataError as error:
        raise DataError(
            error.message,
            file=file,
            fix=f"Assign the right one (gdal_edit.py -a_srs), or {otherwise}",
        ) from error


def latitude_range(grid: GeoBox) -> tuple[float, float]:
    """Return about the smallest and the largest latitude of an image in degrees, 0..90; NaN where it has none."""
    rows, cols = (np.linspace(0, n - 1, SAMPLED_POINTS) for n in (grid.height, grid.width))
    found = np.abs(_degrees(grid, *np.ix_(rows, cols)))
    found = found[np.isfinite(found)]
    return (float(found.min()), float(found.max())) if found.size else (math.nan, math.nan)


def _is_bent(net: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell in which blocks the middles of a net are not between its corners; where any is unknown, they are not."""
    corners = net[::2, ::2]
    along, across = (corners[:, 1:] + corners[:, :-1]) / 2, (corners[1:] + corners[:-1]) / 2
    top, left, middle = (
        net[::2, 1::2] - along,
        net[1::2, ::2] - across,
        net[1::2, 1::2] - (along[1:] + along[:-1]) / 2,
    )
    worst = np.max(np.abs([top[1:], top[:-1], left[:, 1:], left[:, :-1], middle]), axis=0)
    bent: NDArray[np.bool_] = ~(worst <= TOLERANCE)
    return bent


def _degrees(grid: GeoBox, rows: NDArray[Any], cols: NDArray[Any]) -> NDArray[np.float64]:
    """Ask PROJ for the latitude of pixels' centers, signed; NaN where it has none."""
    transformer, degree = _from_crs(grid.crs or "")
    a, b, c, d, e, f = grid.transform
    col, row = np.broadcast_arrays(cols + 0.5, rows + 0.5)
    _, lat = transformer.transform(a * col + b * row + c, d * col + e * row + f)
    return np.where(np.isfinite(lat), lat, np.nan) * degree


@lru_cache(64)
def _from_crs(crs: str) -> tuple[pyproj.Transformer, float]:
    """Return what turns x and y into longitude and latitude, and the degrees of their unit.

    Raises:
        DataError: the CRS is not on the earth.
    """
    try:
        own = pyproj.CRS(crs)
        geodetic = own.geodetic_crs
        if (
            geodetic is not None and geodetic.is_derived
        ):  # its poles are moved, as climate models like it
            geodetic = geodetic.source_crs
        if geodetic is None or not (own.is_geographic or own.is_projected):
            raise DataError("its CRS is not on the earth, so the latitude of its pixels is unknown")
        north = next(axis for axis in geodetic.axis_info if axis.direction == "north")
        return pyproj.Transformer.from_crs(own, geodetic, always_xy=True), math.degrees(
            north.unit_conversion_factor
        )
    except (ProjError, StopIteration) as error:
        raise DataError(f"PROJ does not understand its CRS ({type(error).__name__})") from error
