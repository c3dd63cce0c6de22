"""Geometries that can be used: the broken left out, the invalid mended."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.errors import DataError
from swath.types import Finding, Level


def usable_geometries(
    wkb: NDArray[Any], fids: NDArray[np.int64], path: Path
) -> tuple[NDArray[Any], NDArray[np.bool_], list[Finding]]:
    """Return usable geometries, which features have one, and findings on the others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        geometries = np.asarray(shapely.force_2d(shapely.from_wkb(wkb, on_invalid="ignore")))
    broken = np.array([g is None for g in geometries], bool)
    xy, owner = shapely.get_coordinates(geometries, return_index=True)
    broken[owner[~np.isfinite(xy).all(axis=1)]] = True
    empty = ~broken & shapely.is_empty(geometries)
    geometries[broken] = None
    bad = ~broken & ~empty & ~shapely.is_valid(geometries)
    mended = np.array([mend(g) for g in geometries[bad]], object)
    if len(mended):
        geometries[bad] = mended
        lost = np.array([g is None for g in geometries], bool) & ~broken
        broken, bad = broken | lost, bad & ~lost
    keep = ~broken & ~empty
    if not keep.any():
        message = f"No feature has a usable geometry: {listed_features(fids)} are empty or broken"
        fix = "Export the layer again, with rings of at least four finite points"
        raise DataError(message, code="no-geometry", file=path, fix=fix)
    findings = list(_findings(fids, path, broken, empty, bad))
    return geometries[keep], keep, findings


def _findings(
    fids: NDArray[np.int64],
    path: Path,
    broken: NDArray[np.bool_],
    empty: NDArray[np.bool_],
    mended: NDArray[np.bool_],
) -> Iterator[Finding]:
    rows: tuple[tuple[NDArray[np.bool_], Level, str, str, str], ...] = (
        (
            broken,
            "warning",
            "geometry-broken",
            "have rings of too few points, or coordinates that are no numbers: left out",
            "Draw them again, or delete them.",
        ),
        (
            empty,
            "warning",
            "geometry-empty",
            "have an empty geometry: left out",
            "Draw them again, or delete them.",
        ),
        (
            mended,
            "note",
            "geometry-mended",
            "have invalid polygons, which were mended (make_valid of GEOS)",
            "Nothing to do if the shapes are as meant.",
        ),
    )
    for which, level, code, what, fix in rows:
        if which.any():
            message = f"{int(which.sum())} features {what} ({listed_features(fids[which])})."
            yield Finding(level, code, str(path), message, fix)


def missing_geometries(fids: NDArray[np.int64], path: Path) -> Iterator[Finding]:
    """Yield a finding on features without a geometry, by their ids."""
    if len(fids):
        message = f"{len(fids)} features have no geometry: left out ({listed_features(fids)})."
        fix = "Draw them again, or delete them."
        yield Finding("warning", "geometry-missing", str(path), message, fix)


def mend(geometry: Any) -> Any:
    """Return the valid form of a geometry; polygons stay polygons, None where none is left."""
    valid = shapely.make_valid(geometry)
    if geometry.geom_type not in ("Polygon", "MultiPolygon"):
        return valid
    parts = shapely.get_parts(shapely.get_parts(valid))
    areas = [part for part in parts if part.geom_type == "Polygon"]
    return shapely.multipolygons(areas) if areas else None


def listed_features(fids: NDArray[np.int64]) -> str:
    """List feature ids, the first five."""
    more = ", ..." if len(fids) > 5 else ""
    return f"feature {', '.join(map(str, fids[:5]))}{more}"
