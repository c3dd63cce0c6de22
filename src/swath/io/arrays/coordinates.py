"""Where the pixels of a netCDF array lie, by its coordinate variables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import rasterio
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.gdal import GDAL_ERRORS
from swath.io.arrays.names import ArrayName
from swath.io.arrays.virtual import open_quietly

TOLERANCE = 0.1  # of a pixel, by which coordinates may leave a regular axis
MAX_DEGREES = 360  # larger coordinates are projected
LONGITUDE_LATITUDE = "EPSG:4326"


def _degrees(direction: str) -> list[str]:
    """Return the units of CF of degrees in a direction, in lower case."""
    letter = direction[0]
    ends = (f"_{direction}", f"_{letter}", letter)
    return [word + end for word in ("degrees", "degree") for end in ends]


_KINDS = {
    "units": {**dict.fromkeys(_degrees("north"), "y"), **dict.fromkeys(_degrees("east"), "x")},
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


def locate(dataset: rasterio.DatasetReader) -> Located | None:
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
        DataError: they are two-dimensional, not in equal steps, or not those of the last two axes.
    """
    if dataset.driver != "netCDF":
        return
    for kind, length in zip("yx", dataset.shape, strict=True):
        _check_kind(name, dataset, kind, length)
    if dataset.tags(ns="GEOLOCATION").get("X_DATASET") and dataset.transform.is_identity:
        message = "The places of the pixels are given by two-dimensional coordinates"
        fix = "Give the values on a regular grid"
        raise DataError(message, code="curvilinear-grid", file=str(name), fix=fix)


def _check_kind(name: ArrayName, dataset: rasterio.DatasetReader, kind: str, length: int) -> None:
    """Check the coordinates of rows (y) or columns (x), of which there are `length`."""
    axes = _known_axes(name, dataset, kind)
    fitting = {variable: values for variable, values in axes.items() if len(values) == length}
    located = not dataset.transform.is_identity
    extra = not located and _is_extra(dataset, axes)
    if not extra and any(is_regular(v) and _is_place(v, dataset, kind) for v in fitting.values()):
        return
    uneven = [variable for variable, values in fitting.items() if not is_regular(values)]
    if uneven:
        message = f"The coordinates {uneven[0]} are not in equal steps"
        fix = "Give the values on a regular grid"
        raise DataError(message, code="irregular-axis", file=str(name), fix=fix)
    if axes and (located or extra):
        message = f"The rows and columns are not those of the coordinates {', '.join(axes)}"
        fix = "Save it with latitude or y and longitude or x as the last axes, in this order"
        raise DataError(message, code="axis-order", file=str(name), fix=fix)


def _known_axes(
    name: ArrayName, dataset: rasterio.DatasetReader, kind: str
) -> dict[str, NDArray[np.float64]]:
    known = {variable: _values(name, variable) for variable in _variables(dataset, kind)}
    return {variable: values for variable, values in known.items() if values is not None}


def _is_extra(dataset: rasterio.DatasetReader, variables: Iterable[str]) -> bool:
    """Return whether one of the variables is an axis before the last two."""
    extra = dataset.tags().get("NETCDF_DIM_EXTRA", "").strip("{}").split(",")
    return not {v.rpartition("/")[2] for v in variables}.isdisjoint(extra)


def _is_place(values: NDArray[np.float64], dataset: rasterio.DatasetReader, kind: str) -> bool:
    """Return whether the first pixel lies at an end of the coordinates, as far as can be told.

    Projected coordinates may be in another unit than the transform.
    """
    if dataset.transform.is_identity or np.abs(values).max() > MAX_DEGREES:
        return True
    _, step, _, _, _, step_y = dataset.transform.to_gdal()
    step = step if kind == "x" else step_y
    first = (dataset.transform.c if kind == "x" else dataset.transform.f) + step / 2
    off = np.abs((values[[0, -1]] - first + 180) % 360 - 180)
    return bool(off.min() <= abs(step) / 2)


def is_regular(values: NDArray[np.float64]) -> bool:
    """Return whether numbers rise or fall in equal steps, to a tenth of a step."""
    if len(values) < 2:
        return True
    step = (values[-1] - values[0]) / (len(values) - 1)
    off = np.abs(values - (values[0] + step * np.arange(len(values))))
    return bool(np.isfinite(values).all() and step != 0 and off.max() <= TOLERANCE * abs(step))


def _variables(dataset: rasterio.DatasetReader, kind: str) -> list[str]:
    out: dict[str, None] = {}
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
        with open_quietly(f'NETCDF:"{name.file}":{variable}') as dataset:
            if dataset.height != 1 or dataset.count != 1:
                return None
            values: NDArray[np.float64] = dataset.read(1)[0].astype(np.float64)
            return values
    except GDAL_ERRORS:
        return None
