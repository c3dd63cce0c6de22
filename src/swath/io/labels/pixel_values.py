"""Numbers in pixels of label rasters, as codes or as colors packed into one number."""

from __future__ import annotations

from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from swath.errors import DataError
from swath.io.labels.protocol import UNLABELED


def packed_colors(bands: NDArray[Any], path: str) -> NDArray[np.int64]:
    """Return red * 65536 + green * 256 + blue of three bands (3, rows, columns), which are uint8.

    Raises:
        DataError: they are of another type.
    """
    if bands.dtype != np.uint8:
        message = f"The mask of colors is {bands.dtype} instead of uint8"
        fix = "Export it as 8-bit, or name the band that holds codes (--label-band 1)"
        raise DataError(message, code="mask-dtype", file=path, fix=fix)
    packed: NDArray[np.int64] = bands[0].astype(np.int64)
    for band in bands[1:]:
        packed <<= 8
        packed |= band
    return packed


def whole_numbers(values: NDArray[Any], missing: NDArray[np.bool_], path: str) -> NDArray[np.int64]:
    """Convert values (rows, columns) to int64, `UNLABELED` where they are missing or not finite.

    Raises:
        DataError: a value is not whole.
    """
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    missing = missing | ~np.isfinite(values)
    odd = ~missing & (values != np.round(values))
    if odd.any():
        found = f"{values[odd][0]:g} in {int(odd.sum())} pixels"
        message = f"The labels hold numbers that are not whole, such as {found}"
        fix = "Give a file whose labels are whole numbers"
        raise DataError(message, code="fractional-code", file=path, fix=fix)
    return np.where(missing, UNLABELED, np.where(missing, 0, values).astype(np.int64))


def color_table(dataset: rasterio.DatasetReader, band: int) -> NDArray[np.int64]:
    """Return the packed colors (256,) of a band's values: those of its palette, else gray."""
    table = np.arange(256, dtype=np.int64) * 0x010101
    if dataset.colorinterp[band - 1] == ColorInterp.palette:
        for value, (red, green, blue, *_) in dataset.colormap(band).items():
            if value < 256:
                table[value] = red << 16 | green << 8 | blue
    return table
