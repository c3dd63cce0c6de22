"""NumPy's files as rasters, without reading them: `.npy`, and members of `.npz`."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import rasterio
from numpy.lib import format as npy
from numpy.typing import NDArray

from swath.errors import DataError
from swath.io.arrays.layout import check_raster_shape, held_in_memory, raster_axes
from swath.io.arrays.names import ArrayName
from swath.io.arrays.virtual import GDAL_TYPES, raw_raster
from swath.io.tiff import FETCH_AGAIN

MAX_HEADER = 10_000  # characters, NumPy's own limit
_ZIP_ERRORS = (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError)


@dataclass(frozen=True)
class _Array:
    """Header of an array.

    Attributes:
        gdal_path: the file by which GDAL reads its bytes.
        dtype: type of its values.
        shape: lengths of its axes.
        fortran: whether the first axis varies fastest.
        offset: bytes before its values.
    """

    gdal_path: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    offset: int


def numpy_arrays(file: str) -> list[str]:
    """Return the names of the arrays in a file; of a `.npy`, one empty name.

    Raises:
        DataError: the file is damaged.
    """
    if file.lower().endswith(".npy"):
        return [""]
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except _ZIP_ERRORS as error:
        raise _damaged(file, error) from error
    return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]


def numpy_shape(name: ArrayName) -> tuple[int, ...]:
    """Return the lengths of the axes of a whole array.

    Raises:
        DataError: see `open_numpy`.
    """
    with _opened(name) as file:
        return _header(name, file).shape


def open_numpy(name: ArrayName) -> rasterio.DatasetReader:
    """Open an array as a raster without CRS.

    Arrays in C order are read from the disk by windows, others as a whole.

    Raises:
        DataError: the file is damaged or holds what is no raster.
    """
    with _opened(name) as file:
        array = _header(name, file)
        start, shape = _part(name, array)
        bands, rows, cols = axes = raster_axes(name, shape)
        lengths = tuple(1 if axis is None else shape[axis] for axis in axes)
        check_raster_shape(name, lengths)
        known = array.dtype == bool or array.dtype.name in GDAL_TYPES
        if array.fortran or not known:
            values = _read(name, array, file, shape)
            kept = [axis for axis in axes if axis is not None]
            return held_in_memory(values.transpose(kept).reshape(lengths))
    width = array.dtype.itemsize
    steps = [prod(shape[i + 1 :]) * width for i in range(len(shape))]
    return raw_raster(
        array.gdal_path,
        "uint8" if array.dtype == bool else array.dtype.name,
        lengths,
        offset=array.offset + start * width,
        steps=(
            prod(shape) * width if bands is None else steps[bands],
            steps[rows],
            steps[cols],
        ),
        big_endian=array.dtype.newbyteorder("=") != array.dtype,
    )


def _part(name: ArrayName, array: _Array) -> tuple[int, tuple[int, ...]]:
    """Return the first value of the part that is named, in C order, and the part's shape."""
    start, shape = 0, array.shape
    for index in indexes(name):
        if len(shape) < 3:
            message = f"The array has {len(array.shape)} axes {_sizes(array.shape)}, and an index"
            fix = "Leave the index out"
            raise DataError(
                f"{message} would leave no image", code="array-axes", file=str(name), fix=fix
            )
        if index >= shape[0]:
            message = f"The array has {shape[0]} along its axis, and number {index} is wanted"
            raise DataError(
                message, code="array-index", file=str(name), fix=f"Count from 0 to {shape[0] - 1}"
            )
        shape = shape[1:]
        start += index * prod(shape)
    return start, shape


def indexes(name: ArrayName) -> list[int]:
    """Return the indexes of a name along the first axes of an array that has no time axis.

    Raises:
        DataError: it names a date.
    """
    if name.at is None or name.at.isdecimal():
        return [i for i in (name.index, None if name.at is None else int(name.at)) if i is not None]
    message = f"The array has no time axis, and {name.at} is wanted"
    fix = "Give the number along its first axis, such as [0]"
    raise DataError(message, code="no-time-axis", file=str(name), fix=fix)


def _sizes(shape: tuple[int, ...]) -> str:
    return f"({' x '.join(map(str, shape))})"


@contextmanager
def _opened(name: ArrayName) -> Iterator[IO[bytes]]:
    """Open the bytes of an array."""
    try:
        if name.kind == "npy":
            if name.member:
                message = "The file holds one array, and a name is given"
                fix = f"Write {name.file}"
                raise DataError(message, code="no-such-array", file=str(name), fix=fix)
            with Path(name.file).open("rb") as file:
                yield file
        else:
            with zipfile.ZipFile(name.file) as archive, archive.open(f"{name.member}.npy") as file:
                yield file
    except _ZIP_ERRORS as error:
        raise _damaged(name, error) from error


def _header(name: ArrayName, file: IO[bytes]) -> _Array:
    try:
        version = npy.read_magic(file)
        place, width = file.tell(), 2 if version == (1, 0) else 4
        if int.from_bytes(file.read(width), "little") > MAX_HEADER:
            raise ValueError("its header is too long")
        file.seek(place)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file, max_header_size=MAX_HEADER)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise _damaged(name, error) from error
    if dtype.hasobject or dtype.names is not None or dtype.kind not in "biuf":
        what = "Python objects" if dtype.hasobject else f"values of type {dtype}"
        message, fix = f"The array holds {what}, which are no pixels", "Leave the file out"
        raise DataError(message, code="array-type", file=str(name), fix=fix)
    shape = tuple(int(n) for n in shape)
    offset = file.tell()
    _check_size(name, prod(shape) * dtype.itemsize + offset, shape)
    path = name.file if name.kind == "npy" else f"/vsizip/{{{name.file}}}/{name.member}.npy"
    return _Array(path, dtype, shape, bool(fortran) and len(shape) > 1, offset)


def _check_size(name: ArrayName, wanted: int, shape: tuple[int, ...]) -> None:
    if name.kind == "npy":
        held = Path(name.file).stat().st_size
    else:
        with zipfile.ZipFile(name.file) as archive:
            held = archive.getinfo(f"{name.member}.npy").file_size
    if wanted > held:
        message = f"The array {_sizes(shape)} takes {wanted} bytes, and the file has {held}"
        raise DataError(message, code="unreadable", file=str(name), fix=FETCH_AGAIN)


def _read(name: ArrayName, array: _Array, file: IO[bytes], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the values of the part that is named.

    Raises:
        DataError: they take too much memory.
    """
    whole = array.shape if name.kind == "npz" else shape
    check_raster_shape(name, whole, array.dtype.itemsize)
    order: Literal["C", "F"] = "F" if array.fortran else "C"
    if name.kind == "npz":
        data = file.read(prod(array.shape) * array.dtype.itemsize)
        values = np.ndarray(array.shape, array.dtype, data, order=order)
    else:
        values = np.memmap(
            name.file, array.dtype, "r", array.offset, shape=array.shape, order=order
        )
    return np.array(values[tuple(indexes(name))])


def _damaged(path: ArrayName | str, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:200].rstrip(".")
    message = f"The file is damaged or not an array ({reason})"
    return DataError(message, code="unreadable", file=str(path), fix=FETCH_AGAIN)
