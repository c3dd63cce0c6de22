"""Coordinate reference systems of layers: their names, and one that the user names."""

from __future__ import annotations

from pathlib import Path

import pyproj
from pyproj.exceptions import CRSError

from swath.errors import UsageError
from swath.geo.crs import is_undefined
from swath.types import Finding


def crs_name(crs: str | None) -> str:
    """Return the name of a CRS for messages, with its code where it has one."""
    if crs is None:
        return "no CRS"
    known = pyproj.CRS(crs)
    authority = known.to_authority()
    return f"{known.name} ({':'.join(authority)})" if authority else known.name


def crs_code(crs: str | None, otherwise: str = "EPSG:CODE") -> str:
    """Return the code of a CRS as options take it, `otherwise` where it has none."""
    authority = pyproj.CRS(crs).to_authority() if crs else None
    return ":".join(authority) if authority else otherwise


def parse_crs(wanted: str) -> pyproj.CRS:
    """Return the CRS that `--labels-crs` names.

    Raises:
        UsageError: it is not known.
    """
    try:
        return pyproj.CRS.from_user_input(wanted)
    except CRSError as error:
        message = f"The CRS {wanted!r} of --labels-crs is not known ({error})"
        raise UsageError(message, code="option-value", fix="Give it as EPSG:CODE") from error


def named_crs(wanted: str, declared: str | None, path: Path) -> tuple[str, list[Finding]]:
    """Return the CRS that the user names, with a finding where the file declares another."""
    crs = parse_crs(wanted)
    bare = declared is None or is_undefined(declared)
    if bare or _by_default(declared, path) or crs == pyproj.CRS(declared):
        return crs.to_wkt(), []
    message = f"The file declares {crs_name(declared)}; {crs.name} is used (--labels-crs)."
    fix = "Leave out --labels-crs if the file is right."
    return crs.to_wkt(), [Finding("warning", "crs-overridden", str(path), message, fix)]


def _by_default(declared: str | None, path: Path) -> bool:
    """Return whether a CRS is that of GeoJSON that names none."""
    return path.suffix.lower() in (".geojson", ".json") and pyproj.CRS(declared) == "EPSG:4326"
