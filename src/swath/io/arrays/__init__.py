"""Arrays in files as rasters: NumPy, netCDF, HDF5 and Zarr. See `names` for how they are named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from glob import glob
from pathlib import Path

import rasterio

from swath.errors import DataError
from swath.io.arrays.containers import container_arrays, container_shape, open_container
from swath.io.arrays.names import (
    ARRAY_KINDS,
    GDAL_NAME,
    NUMPY_KINDS,
    ArrayName,
    file_of,
    is_store,
    parse_array,
    stem_of,
)
from swath.io.arrays.numpy_files import numpy_arrays, numpy_shape, open_numpy
from swath.types import PathLike

__all__ = [
    "ARRAY_KINDS",
    "GDAL_NAME",
    "ArrayName",
    "array_names",
    "array_shape",
    "file_of",
    "find_arrays",
    "is_store",
    "open_array",
    "parse_array",
    "stem_of",
]


def open_array(path: PathLike) -> rasterio.DatasetReader | None:
    """Open an array as a raster; None for a path that names none, or a file that is absent.

    Raises:
        DataError: the file is damaged or huge, holds several arrays of which none is named, or the
            array is no image.
    """
    name = parse_array(path)
    if name is None or not file_of(path).exists():
        return None
    if name.kind in NUMPY_KINDS:
        return open_numpy(_only(name))
    return open_container(name)


def find_arrays(pattern: PathLike, root: Path | None = None) -> list[ArrayName]:
    """Return the arrays that a name or pattern means, in order; none where it names no array.

    Args:
        pattern: name of an array; its file with `*`, `?` and `**`, its index as `[*]` for all.
        root: folder that the pattern starts from, else the working directory.
    """
    text = str(pattern)
    name = parse_array(text.removesuffix("[*]"))
    if name is None or "{" in name.member:
        return []
    bases = [Path(), *([] if root is None else [root])]
    for base in reversed(bases):
        files = [base / name.file]
        if not files[0].exists():
            files = [Path(file) for file in sorted(glob(str(files[0]), recursive=True))]
        if files:
            found = [name.in_file(file) for file in files]
            return list(_each(found)) if text.endswith("[*]") else found
    return []


def _each(names: list[ArrayName]) -> Iterator[ArrayName]:
    for name in names:
        for i in range(array_shape(str(name))[0]):
            yield replace(name, index=i)


def array_names(file: PathLike) -> list[str]:
    """Return the names of the arrays in a file; one without a name has the empty name.

    Raises:
        DataError: the file is damaged.
    """
    name = ArrayName(str(file))
    return numpy_arrays(name.file) if name.kind in NUMPY_KINDS else [*container_arrays(name.file)]


def array_shape(path: PathLike) -> tuple[int, ...]:
    """Return the lengths of all axes of an array, whatever part of it is named.

    Raises:
        DataError: see `open_array`.
    """
    name = parse_array(path) or ArrayName(str(path))
    return numpy_shape(_only(name)) if name.kind in NUMPY_KINDS else container_shape(name)


def _only(name: ArrayName) -> ArrayName:
    """Return the array that is named in a file of NumPy, or its only one."""
    if name.kind == "npy":
        return name
    members = numpy_arrays(name.file)
    if name.member in members:
        return name
    if len(members) == 1 and not name.member:
        return ArrayName(name.file, members[0], name.index, name.at)
    listed = ", ".join(str(ArrayName(name.file, member)) for member in sorted(members))
    message = f"The file has {len(members)} arrays, and none is named"
    code, fix = "several-arrays", f"Name one of them: {listed}"
    if name.member:
        message, code = f"The file has no array {name.member!r}", "no-such-array"
    if not members:
        code, fix = "no-bands", "Leave it out"
    raise DataError(message, code=code, file=name.file, fix=fix)
