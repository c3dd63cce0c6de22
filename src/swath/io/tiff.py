"""TIFFs of several pages that are one image: what tifffile writes for an array (rows, columns, bands), and stacks of bands.

GDAL takes the first page for the whole file, which for such an array is a sliver of a few columns.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import tifffile
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from swath.errors import DataError

logging.getLogger("tifffile").addHandler(
    logging.NullHandler()
)  # what it finds is said by an error, not on the terminal

MOST = 2**30
"""Bytes of pages that are read whatever their file is like."""

MOST_PACKED = 1100
"""Bytes that one byte of a file can hold (DEFLATE's most); pages that claim more are not there."""


def join_pages(path: str, first: rasterio.DatasetReader) -> rasterio.DatasetReader:
    """Return a dataset of all pages of a file, or `first`, which GDAL made of it, where its pages are not one image.

    The shorter of the first and the last axis is taken for the bands. The pages are held in memory.

    Raises:
        DataError: the pages cannot be read.
    """
    if first.driver != "GTiff" or not first.subdatasets or not Path(path).is_file():
        return first
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            if len(series.pages) < 2 or len(series.shape) != 3:
                return first
            if series.nbytes > max(MOST, MOST_PACKED * Path(path).stat().st_size):
                raise ValueError(f"they claim {series.nbytes / 2**30:.0f} GiB")
            array = series.asarray()
    except Exception as error:  # noqa: BLE001 - the parser raises what it meets
        first.close()
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(
            f"the file is damaged: its pages cannot be read ({reason})",
            file=path,
            fix="Fetch or export it again, or leave it out",
        ) from error
    with first:
        pixels = array.transpose(2, 0, 1) if array.shape[2] < array.shape[0] else array
        placed = first.shape == pixels.shape[1:] and first.crs is not None
        return in_memory(
            pixels, **({"crs": first.crs, "transform": first.transform} if placed else {})
        )


def in_memory(
    pixels: NDArray[Any],
    *,
    interp: Sequence[ColorInterp] | None = None,
    colors: dict[int, tuple[int, ...]] | None = None,
    mask: NDArray[np.uint8] | None = None,
    tags: dict[str, str] | None = None,
    **profile: Any,
) -> rasterio.DatasetReader:
    """Put pixels (bands, rows, columns) where GDAL can read them.

    Args:
        pixels: of any type.
        interp: what the bands are.
        colors: palette of the first band.
        mask: (rows, columns), 0 where there is no data.
        tags: of the dataset.
        profile: more keywords of rasterio, such as `crs`.
    """
    bands, height, width = pixels.shape
    memory = MemoryFile()
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        memory.open(
            driver="GTiff",
            count=bands,
            height=height,
            width=width,
            dtype=pixels.dtype,
            interleave="pixel",
            BIGTIFF="IF_SAFER",
            **profile,
        ) as out,
    ):
        if interp is not None:
            out.colorinterp = interp
        if colors is not None:
            out.write_colormap(1, colors)
        out.update_tags(**(tags or {}))
        out.write(np.ascontiguousarray(pixels))
        if mask is not None:
            out.write_mask(mask)
    try:
        return memory.open()
    finally:
        memory.close()  # only takes its name away: the room is free when the reader is closed
