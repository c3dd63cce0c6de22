"""netCDF, HDF5 and Zarr as rasters, through GDAL's drivers.

Arrays with coordinates along regular axes are located; the others have rows and columns as they
are stored. Axes before the last two are chosen by `[i]` and `@date`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.gdal import GDAL_ERRORS
from swath.io.arrays.coordinates import Located, check_axes, locate
from swath.io.arrays.layout import bands_last, check_raster_shape, held_in_memory, raster_axes
from swath.io.arrays.names import HDF_KINDS, ArrayName
from swath.io.arrays.times import time_index
from swath.io.arrays.virtual import GDAL_TYPES, band_raster, open_quietly
from swath.io.raster_limits import value_bytes
from swath.io.tiff import FETCH_AGAIN

MAX_PLANES = 32767  # GDAL drops those of netCDF from the 32,769th on

_LISTED = re.compile(r'\w+:"?(?P<file>.+?)"?:/*(?P<member>[^:]+)', re.DOTALL)
_SHAPE = re.compile(r"\[(?P<shape>\d+(?:x\d+)*)\] .*? ?\((?P<kind>[^()]*)\)$", re.DOTALL)


@dataclass(frozen=True)
class Listed:
    """An array that a driver lists.

    Attributes:
        driver: GDAL's prefix.
        shape: lengths of all axes, None where the driver does not tell.
        known: whether the driver reads the type of its values.
    """

    driver: str
    shape: tuple[int, ...] | None = None
    known: bool = True


def container_arrays(file: str) -> dict[str, Listed]:
    """Return the arrays of a file by name; one without a name has the empty name.

    Raises:
        DataError: the file is damaged or no container.
    """
    if file.lower().rstrip("/").endswith(".zarr"):
        return _listed_by("ZARR", file)
    try:
        found = _listed_by("NETCDF", file)
    except DataError as error:
        try:
            return _listed_by("HDF5", file)
        except DataError:
            raise error from None
    unread = {member for member, listed in found.items() if not listed.known}
    if unread:
        with suppress(DataError):
            other = _listed_by("HDF5", file)
            found |= {member: other[member] for member in unread & {*other}}
    return {member: listed for member, listed in found.items() if listed.known}


def _listed_by(driver: str, file: str) -> dict[str, Listed]:
    try:
        plain = driver == "HDF5"  # which takes its prefix for single arrays alone
        path = file if plain else f'{driver}:"{file}"'
        with open_quietly(path, "HDF5" if plain else None) as dataset:
            tags = dataset.tags(ns="SUBDATASETS")
            if dataset.count:
                member = dataset.tags(1).get("NETCDF_VARNAME", "")
                return {member: Listed(driver, (*leading_axes(dataset), *dataset.shape))}
    except GDAL_ERRORS as error:
        raise _damaged(file, error) from error
    out: dict[str, Listed] = {}
    for key, text in tags.items():
        named = _LISTED.fullmatch(text) if key.endswith("_NAME") else None
        if named is None:
            continue
        said = _SHAPE.match(tags.get(key.replace("_NAME", "_DESC"), ""))
        shape = tuple(map(int, said["shape"].split("x"))) if said else None
        out[named["member"]] = Listed(driver, shape, said is None or bool(said["kind"]))
    return out


def container_shape(name: ArrayName) -> tuple[int, ...]:
    """Return the lengths of all axes of an array.

    Raises:
        DataError: see `open_container`.
    """
    path, listed = _path_of(name)
    if listed.shape is not None:
        return listed.shape
    with _opened(path, name) as dataset:
        return (*leading_axes(dataset), *dataset.shape)


def open_container(name: ArrayName) -> rasterio.DatasetReader:
    """Open an array as a raster.

    Raises:
        DataError: the file is damaged, it has several arrays and none is named, or it has no such
            array; its axes are no raster's, or its coordinates are irregular.
    """
    path, listed = _path_of(name)
    _check_planes(name, 1 if listed.shape is None else prod(listed.shape[:-2]))
    with _opened(path, name) as dataset:
        _check_planes(name, dataset.count)
        leading = _known_leading(dataset, listed)
        check_axes(name, dataset)
        numbers, rest = _choose(name, dataset, leading)
        rows, cols = dataset.shape
        located = locate(dataset)
        if located is not None or not bands_last_of(name, (*rest, rows, cols)):
            check_raster_shape(name, (len(numbers), rows, cols))
            return _by_windows(name, path, dataset, numbers, located)
    return _transposed(name, path, numbers, (*rest, rows, cols))


def _check_planes(name: ArrayName, count: int) -> None:
    if count > MAX_PLANES:
        message = f"The array has more than {MAX_PLANES} planes of rows and columns"
        fix = "Save its images a file each, or in several files"
        raise DataError(message, code="too-large", file=str(name), fix=fix)


def _by_windows(
    name: ArrayName,
    path: str,
    dataset: rasterio.DatasetReader,
    numbers: Sequence[int],
    located: Located | None,
) -> rasterio.DatasetReader:
    """Open some bands, whose rows and columns are the last axes."""
    if located is not None or dataset.driver != "netCDF":
        fill = dataset.driver != "Zarr" or any(dataset.nodatavals)  # 0 stands for unwritten chunks
        crs = None if located is None else located.crs
        return band_raster(path, dataset, numbers, crs=crs, nodata=fill)
    if len(numbers) == dataset.count:
        return _open_as_stored(path)
    with _open_as_stored(path) as stored:
        _check_held(name, stored, len(numbers))
        return held_in_memory(stored.read(list(numbers)), **_numbers_of(stored))


def _transposed(
    name: ArrayName, path: str, numbers: Sequence[int], shape: Sequence[int]
) -> rasterio.DatasetReader:
    """Read bands that are rows of an array (rows, columns, bands)."""
    with _open_as_stored(path) as stored:
        _check_held(name, stored, len(numbers))
        values = stored.read(list(numbers)).reshape(shape)
        return held_in_memory(values.transpose(2, 0, 1), **_numbers_of(stored))


def bands_last_of(name: ArrayName, shape: Sequence[int]) -> bool:
    """Return whether the last of the axes, of which the first may be missing, is the bands."""
    raster_axes(name, shape)
    return len(shape) == 3 and bands_last(shape)


def _open_as_stored(path: str) -> rasterio.DatasetReader:
    """Open an array without coordinates with its first row on top."""
    with rasterio.Env(GDAL_NETCDF_BOTTOMUP="NO"):
        return open_quietly(path)


def _check_held(name: ArrayName, dataset: rasterio.DatasetReader, count: int) -> None:
    check_raster_shape(name, (count, *dataset.shape), value_bytes(dataset)[0])


def _numbers_of(dataset: rasterio.DatasetReader) -> dict[str, Any]:
    return {
        "nodata": dataset.nodata if dataset.driver != "Zarr" or dataset.nodata else None,
        "scale": dataset.scales[0],
        "offset": dataset.offsets[0],
    }


def _path_of(name: ArrayName) -> tuple[str, Listed]:
    """Return GDAL's path of an array."""
    arrays = container_arrays(name.file)
    own = name.member
    if not own and len(arrays) == 1:
        own = next(iter(arrays))
    if own not in arrays:
        listed = ", ".join(str(ArrayName(name.file, member)) for member in sorted(arrays))
        message = f"The file has {len(arrays)} arrays, and none is named"
        code, fix = "several-arrays", f"Name one of them: {listed}"
        if name.member:
            message, code = f"The file has no array {name.member!r}", "no-such-array"
        if not arrays:
            message, code = "The file has no array that can be read", "no-bands"
            fix = "Leave it out"
        raise DataError(message, code=code, file=name.file, fix=fix)
    driver = arrays[own].driver
    if driver == "HDF5" and not own:
        return name.file, arrays[own]
    inner = {"NETCDF": own if "/" not in own else f"/{own}", "HDF5": f"//{own}", "ZARR": f"/{own}"}
    return f'{driver}:"{name.file}"' + (f":{inner[driver]}" if own else ""), arrays[own]


@contextmanager
def _opened(path: str, name: ArrayName) -> Iterator[rasterio.DatasetReader]:
    try:
        with open_quietly(path) as dataset:
            unread = {kind for kind in dataset.dtypes if kind not in GDAL_TYPES}
            if unread:
                message = f"The array holds values of type {unread.pop()}, which are no pixels"
                fix = "Leave the file out"
                raise DataError(message, code="array-type", file=str(name), fix=fix)
            yield dataset
    except GDAL_ERRORS as error:
        raise _damaged(str(name), error) from error


def leading_axes(dataset: rasterio.DatasetReader) -> tuple[int, ...]:
    """Return the lengths of the axes before the last two, which GDAL makes bands."""
    last = dataset.tags(dataset.count)
    lengths: list[int]
    if dataset.driver == "netCDF":
        lengths = [axis.length for axis in extra_axes(dataset)]
    else:
        places = [value for key, value in last.items() if re.fullmatch(r"DIM_.+_INDEX", key)]
        lengths = [int(value) + 1 for value in places]
    if prod(lengths) == dataset.count:
        return tuple(lengths)
    return (dataset.count,) if dataset.count > 1 else ()


@dataclass(frozen=True)
class Axis:
    """An axis before the last two of a netCDF array, with its coordinates as texts."""

    name: str
    length: int
    values: tuple[str, ...]


def extra_axes(dataset: rasterio.DatasetReader) -> list[Axis]:
    """Return the axes before the last two of an array that the netCDF driver opened."""
    tags, last = dataset.tags(), dataset.tags(dataset.count)
    names = tags.get("NETCDF_DIM_EXTRA", "").strip("{}")
    out = []
    for dim in names.split(",") if names else []:
        defined = tags.get(f"NETCDF_DIM_{dim}_DEF", "").strip("{}").split(",")[0]
        place = last.get(f"NETCDF_DIM_{dim}", "")
        length = int(defined or (place if place.isdecimal() else 0))
        values = tags.get(f"NETCDF_DIM_{dim}_VALUES", "").strip("{}")
        out.append(Axis(dim, length, tuple(values.split(",")) if values else ()))
    return out


def _known_leading(dataset: rasterio.DatasetReader, listed: Listed) -> tuple[int, ...]:
    if listed.shape is not None and prod(listed.shape[:-2]) == dataset.count:
        return listed.shape[:-2]
    return leading_axes(dataset)


def _choose(
    name: ArrayName, dataset: rasterio.DatasetReader, leading: tuple[int, ...]
) -> tuple[list[int], tuple[int, ...]]:
    """Return the bands that index and date leave, and the lengths of their axes.

    Raises:
        DataError: there is no such axis, index or date, or several axes are left.
    """
    numbers: NDArray[np.int64] = np.arange(1, dataset.count + 1).reshape(leading or (1,))
    if name.index is not None:
        numbers = _taken(name, numbers, 0, name.index, bool(leading))
    if name.at is not None:
        axes = extra_axes(dataset) if dataset.driver == "netCDF" else []
        names = [axis.name for axis in axes][-numbers.ndim :] if len(axes) == len(leading) else []
        place, index = time_index(name, dataset.tags(), axes, names)
        numbers = _taken(name, numbers, place, index, bool(leading))
    kept = tuple(n for n in numbers.shape if n > 1)
    if len(kept) > 1:
        raster_axes(name, (*numbers.shape, *dataset.shape))
    if not leading or not numbers.ndim:
        return numbers.ravel().tolist(), ()
    return numbers.ravel().tolist(), kept or (1,)


def _taken(
    name: ArrayName, numbers: NDArray[np.int64], axis: int, index: int, extra: bool
) -> NDArray[np.int64]:
    if not extra or not numbers.ndim:
        message, fix = "The array has no axis left to choose from", "Leave index and date out"
        raise DataError(message, code="array-axes", file=str(name), fix=fix)
    if index >= numbers.shape[axis]:
        message = f"The axis has {numbers.shape[axis]} places, and number {index} is wanted"
        fix = f"Count from 0 to {numbers.shape[axis] - 1}"
        raise DataError(message, code="array-index", file=str(name), fix=fix)
    left: NDArray[np.int64] = np.take(numbers, index, axis=axis)
    return left


def _damaged(path: str, error: Exception) -> DataError:
    reason = " ".join(str(error.__cause__ or error).split())[:200].rstrip(".")
    if "codec" in reason.lower() or "compressor" in reason.lower():
        message = f"The values are packed in a way that is not read ({reason})"
        fix = "Save it as Zarr of version 2, as netCDF or as GeoTIFF"
        return DataError(message, code="array-packing", file=path, fix=fix)
    message = f"The file is damaged or not an array file ({reason})"
    return DataError(message, code="unreadable", file=path, fix=FETCH_AGAIN)


def is_container(name: ArrayName) -> bool:
    """Return whether GDAL's drivers of containers read a file."""
    return name.kind in (*HDF_KINDS, "zarr")
