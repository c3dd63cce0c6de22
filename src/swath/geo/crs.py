"""Coordinate reference systems: which lie on the earth, and which repeat around it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyproj
from numpy.typing import NDArray
from pyproj.exceptions import CRSError, ProjError


@lru_cache(256)
def lies_on_earth(crs: str | None) -> bool:
    """Return whether a CRS (WKT) leads to longitude and latitude on the earth.

    Those of drawings, of other bodies, and "undefined" ones of GeoPackages do not.
    """
    if crs is None:
        return False
    try:
        known = pyproj.CRS(crs)
        if not (known.is_geographic or known.is_projected) or is_undefined(crs):
            return False
        pyproj.Transformer.from_crs(known, "EPSG:4326", always_xy=True)
    except (ProjError, CRSError):
        return False
    return True


def is_undefined(crs: str) -> bool:
    """Return whether a CRS is one of those that GeoPackage has for layers without any."""
    return pyproj.CRS(crs).name.lower().startswith("undefined")


@lru_cache(256)
def x_period(crs: str | None) -> float | None:
    """Return the difference in x after which a CRS (WKT) shows the same meridian again.

    It is 360 degrees in geographic CRSs, and the length of the equator in projections on cylinders
    (EPSG:3857); None for other CRSs, of which each place has one x.
    """
    if crs is None:
        return None
    try:
        known = pyproj.CRS(crs)
        if known.is_geographic:
            return float(2 * np.pi / known.axis_info[0].unit_conversion_factor)
        if not known.is_projected or known.geodetic_crs is None:
            return None
        # Four meridians at three parallels; the differences of all but one pair do not wrap.
        move = pyproj.Transformer.from_crs(known.geodetic_crs, known, always_xy=True)
        unit = np.pi / 180 / known.geodetic_crs.axis_info[0].unit_conversion_factor
        lon, lat = np.meshgrid(np.array([-135.0, -45, 45, 135]), np.array([0.0, 30, 60]))
        x, y = move.transform(lon * unit, lat * unit)
    except (ProjError, CRSError):
        return None
    steps = np.diff(x, axis=1)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    period = float(4 * np.median(steps))
    exact = abs(period) * 1e-9
    upright = np.ptp(y, axis=1).max() <= exact and np.ptp(x, axis=0).max() <= exact
    wraps = np.abs(np.mod(steps - period / 4 + exact, abs(period) or 1.0)).max() <= 2 * exact
    return abs(period) if upright and wraps and period else None


def turns_of(crs: str | None) -> tuple[float, ...]:
    """Return by how much x can be shifted in a CRS (WKT) and show the same place: 0 first."""
    period = x_period(crs)
    return (0.0,) if period is None else (0.0, period, -period)


def near(x: NDArray[np.float64], center: float, period: float | None) -> NDArray[np.float64]:
    """Return x turned around the earth to within half a period of a center."""
    if period is None:
        return x
    turned = center + np.mod(x - center + period / 2, period) - period / 2
    return np.where(np.abs(x - center) <= period / 2, x, turned)
