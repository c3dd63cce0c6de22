"""Which axes of an array are bands, rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
import rasterio
from numpy.typing import NDArray

from swath.errors import DataError
from swath.io.arrays.names import ArrayName
from swath.io.raster_limits import MAX_BANDS, MAX_BLOCK_BYTES
from swath.io.tiff import in_memory

Axes: TypeAlias = tuple[int | None, int, int]
"""Axes of bands (None for a single band that has none), rows and columns."""

MAX_SIDE = 2**31 - 1  # GDAL counts rows and columns in 32 bits


def raster_axes(name: ArrayName, shape: Sequence[int]) -> Axes:
    """Return which axes of an array are bands, rows and columns.

    Of three axes, two neighbors of equal length are rows and columns; else the shorter of the first
    and the last is the bands. Leading axes of length 1 are passed over.

    Raises:
        DataError: the array has too few or too many axes.
    """
    kept = list(range(len(shape)))
    while len(kept) > 3 and shape[kept[0]] == 1:
        kept.pop(0)
    if len(kept) == 2:
        return None, kept[0], kept[1]
    if len(kept) != 3:
        sizes = " x ".join(map(str, shape))
        message = f"The array has {len(shape)} axes ({sizes}), and an image has 2 or 3"
        raise DataError(message, code="array-axes", file=str(name), fix=_axes_mend(name, shape))
    first, middle, last = kept
    if bands_last([shape[axis] for axis in kept]):
        return last, first, middle
    return first, middle, last


def bands_last(shape: Sequence[int]) -> bool:
    """Return whether an array of three axes is (rows, columns, bands)."""
    first, middle, last = shape
    if (first == middle) != (middle == last):
        return first == middle
    return last < first


def _axes_mend(name: ArrayName, shape: Sequence[int]) -> str:
    if len(shape) < 2:
        return "Leave it out"
    if name.index is None:
        return f"Choose along the first axis, such as {name}[0]"
    if name.at is None:
        return f"Choose along the next axis, such as {name}@0"
    return "Save it with fewer axes"


def check_raster_shape(name: ArrayName, shape: Sequence[int], width: int = 0) -> None:
    """Refuse an array that is empty or too large.

    Args:
        name: the array.
        shape: lengths of bands, rows and columns, or of all axes where `width` is given.
        width: bytes of a value, of an array that is to be held in memory; else 0.

    Raises:
        DataError: an axis is empty or too long, or the array takes more than `MAX_BLOCK_BYTES`.
    """
    sizes = " x ".join(map(str, shape))
    if min(shape, default=0) < 1:
        message = f"The array is empty ({sizes})"
        raise DataError(message, code="array-axes", file=str(name), fix="Leave it out")
    if width and prod(shape) * width > MAX_BLOCK_BYTES:
        message = (
            f"The array ({sizes}) takes {prod(shape) * width / 2**30:.1f} GiB, and the order of its"
            " values needs it in memory as a whole"
        )
        fix = "Save it uncompressed in the order (bands, rows, columns), or a file for each image"
        raise DataError(message, code="too-large", file=str(name), fix=fix)
    if not width and (shape[0] > MAX_BANDS or max(shape[1:]) > MAX_SIDE):
        message = f"The array has {sizes} bands, rows and columns"
        fix = f"Give an array of at most {MAX_BANDS} bands"
        raise DataError(message, code="too-large", file=str(name), fix=fix)


def held_in_memory(values: NDArray[Any], **profile: Any) -> rasterio.DatasetReader:
    """Return a raster of values (bands, rows, columns) in memory.

    Booleans become 0 and 1, half floats single ones.

    Args:
        values: the values.
        profile: more keywords of `in_memory`, such as `crs`.
    """
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    elif values.dtype == np.float16:
        values = values.astype(np.float32)
    elif values.dtype.kind == "f" and values.dtype.itemsize > 8:
        values = values.astype(np.float64)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    return in_memory(values, photometric="MINISBLACK", **profile)  # a fourth band is no alpha
