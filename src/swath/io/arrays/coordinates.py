"""Where the pixels of a netCDF array lie, by its coordinate variables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import rasterio
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.gdal import GDAL_ERRORS
from swath.io.arrays.names import ArrayName

TOLERANCE = 0.1  # of a pixel, by which coordinates may leave a regular axis
LONGITUDE_LATITUDE = "EPSG:4326"

_KINDS = {
    "units": {
        **dict.fromkeys(
            ("degrees_north", "degree_north", "degrees_n", "degree_n", "degreesn", "degreen"), "y"
        ),
        **dict.fromkeys(
            ("degrees_east", "degree_east", "degrees_e", "degree_e", "degreese", "degreee"), "x"
        ),
    },
    "standard_name": {
        "latitude": "y",
        "grid_latitude": "y",
        "projection_y_coordinate": "y",
        "longitude": "x",
        "grid_longitude": "x",
        "projection_x_coordinate": "x",
    },
    "axis": {"y": "y", "x": "x"},
}


@dataclass(frozen=True)
class Located:
    """An array that has a place.

    Attributes:
        crs: CRS that the file implies and GDAL does not know; None for GDAL's.
    """

    crs: str | None = None


def locate(name: ArrayName, dataset: rasterio.DatasetReader) -> Located | None:
    """Return where an array lies; None where it has no place. See `check_axes`."""
    if dataset.transform.is_identity and dataset.crs is None:
        return None
    if dataset.crs is not None or dataset.driver != "netCDF":
        return Located()
    tags = dataset.tags()
    units = {_kind("units", value) for key, value in tags.items() if key.endswith("#units")}
    return Located(LONGITUDE_LATITUDE if {"x", "y"} <= units else None)


def check_axes(name: ArrayName, dataset: rasterio.DatasetReader) -> None:
    """Refuse an array whose coordinates are not those of a regular grid.

    Raises:
        DataError: they are two-dimensional, or not in equal steps.
    """
    if dataset.driver != "netCDF":
        return
    if dataset.tags(ns="GEOLOCATION").get("X_DATASET") and dataset.transform.is_identity:
        message = "The places of the pixels are given by two-dimensional coordinates"
        fix = "Give the values on a regular grid"
        raise DataError(message, code="curvilinear-grid", file=str(name), fix=fix)
    for kind, length in zip("yx", dataset.shape, strict=True):
        for variable in _variables(dataset, kind):
            values = _values(name, variable)
            if values is not None and len(values) == length and not is_regular(values):
                message = f"The coordinates {variable} are not in equal steps"
                fix = "Give the values on a regular grid"
                raise DataError(message, code="irregular-axis", file=str(name), fix=fix)


def is_regular(values: NDArray[np.float64]) -> bool:
    """Return whether numbers rise or fall in equal steps, to a tenth of a step."""
    if len(values) < 2:
        return True
    step = (values[-1] - values[0]) / (len(values) - 1)
    off = np.abs(values - (values[0] + step * np.arange(len(values))))
    return bool(np.isfinite(values).all() and step != 0 and off.max() <= TOLERANCE * abs(step))


def _variables(dataset: rasterio.DatasetReader, kind: str) -> list[str]:
    out = {}
    for key, value in dataset.tags().items():
        variable, _, attribute = key.rpartition("#")
        if variable and _kind(attribute, value) == kind:
            out[variable] = None
    return list(out)


def _kind(attribute: str, value: str) -> str | None:
    return _KINDS.get(attribute, {}).get(value.strip().lower())


def _values(name: ArrayName, variable: str) -> NDArray[np.float64] | None:
    """Return a one-dimensional variable; None for others."""
    try:
        with rasterio.open(f'NETCDF:"{name.file}":{variable}') as dataset:
            if dataset.height != 1 or dataset.count != 1:
                return None
            values: NDArray[np.float64] = dataset.read(1)[0].astype(np.float64)
            return values
    except GDAL_ERRORS:
        return None
