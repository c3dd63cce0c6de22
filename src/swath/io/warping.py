"""Images that are placed by control points or a sensor model, warped to a grid as they are read."""

from __future__ import annotations

import math
import shlex
from typing import Any

import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import MemoryFile
from rasterio.shutil import copy
from rasterio.vrt import WarpedVRT

from swath.errors import DataError
from swath.geo.gdal import GDAL_ERRORS

RPC_CRS = "EPSG:4326"
"""CRS that rational polynomial coefficients lead to."""


def has_own_place(dataset: rasterio.DatasetReader) -> bool:
    """Return whether a CRS and a transform place an image."""
    return dataset.crs is not None and not dataset.transform.is_identity


def count_points(dataset: rasterio.DatasetReader) -> int:
    """Return the number of control points that alone place an image; 0 where a transform does."""
    return 0 if has_own_place(dataset) else len(dataset.gcps[0])


def warp(path: str, dataset: rasterio.DatasetReader) -> WarpedVRT | None:
    """Return an image on a north-up grid, None if a CRS and a transform place it already.

    The grid is GDAL's, in the CRS of the control points; rational polynomials lead to the UTM zone
    of the image at their own height. Each pixel is the nearest of the image, and transformed
    exactly, so that it does not depend on the window that is read. What the image does not cover
    is 0 in a band that is added, the last.

    Args:
        path: the file.
        dataset: the same, open.

    Raises:
        DataError: nothing places the image, its points have no CRS, or no grid follows from them.
    """
    if has_own_place(dataset):
        return None
    points, crs = dataset.gcps
    how: dict[str, Any] = {
        "resampling": Resampling.nearest,
        "add_alpha": True,
        "tolerance": 0,
        "src_nodata": None,  # nodata is decided by `Raster.read`
        "nodata": None,
    }
    if points and crs is None:
        message = f"The image has {len(points)} control points without a CRS"
        fix = "Save it with the CRS of its points, or warped (the Georeferencer of QGIS does both)"
        raise DataError(message, code="control-points-crs", file=path, fix=fix)
    if points:
        how |= {"src_crs": crs, "crs": crs}
    elif dataset.rpcs:
        height = float(dataset.rpcs.height_off)
        how |= {"src_crs": RPC_CRS, "crs": _utm_crs(dataset.rpcs), "RPC_HEIGHT": height}
    else:
        message = "Neither a CRS nor control points nor RPCs place the image, so it has no grid"
        raise DataError(message, code="no-control-points", file=path, fix="Leave out --warp")
    try:
        if ColorInterp.alpha not in dataset.colorinterp:
            return WarpedVRT(dataset, **how)
        with MemoryFile(ext=".vrt") as file:
            return WarpedVRT(_without_alpha(dataset, file.name), **how)
    except GDAL_ERRORS as error:
        message = f"No grid follows from what places the image ({error})"
        fix = "Leave out --warp: the map then lies on the image's own pixels"
        raise DataError(message, code="control-points-odd", file=path, fix=fix) from error


def _without_alpha(dataset: rasterio.DatasetReader, name: str) -> rasterio.DatasetReader:
    """Return an image whose alpha band is one like any other, so that another can be added."""
    copy(dataset, name, driver="VRT")
    with rasterio.open(name, "r+") as out:
        out.colorinterp = [ColorInterp.undefined] * out.count
    return rasterio.open(name)


def _utm_crs(rpcs: Any) -> str:
    """Return the UTM zone of the middle of an image; EPSG:4326 near the poles."""
    lon, lat = float(rpcs.long_off), float(rpcs.lat_off)
    if not -80 <= lat <= 84:
        return RPC_CRS
    zone = math.floor((lon + 180) % 360 / 6) + 1
    return f"EPSG:{(32600 if lat >= 0 else 32700) + zone}"


def control_points_error(path: str, points: int, crs: str) -> DataError:
    """Return the error for an image that vectors or rasters of the earth are to be laid on.

    Args:
        path: the image.
        points: number of its control points, 0 for RPCs.
        crs: code of a CRS to warp it to.
    """
    what = f"{points} ground control points" if points else "rational polynomials (RPCs)"
    fix = "Warp it as it is read (--warp)"
    if points:
        fix += f", or first: `rio warp {shlex.quote(path)} warped.tif --dst-crs {crs}`"
    message = f"The image is placed by {what}, not by a transform"
    return DataError(message, code="control-points", file=path, fix=fix)
