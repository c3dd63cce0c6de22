"""TIFFs of several pages that are one image: what tifffile writes for an array (rows, columns, bands), and stacks of bands.

GDAL takes the first page for the whole file, which for such an array is a sliver of a few columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import tifffile
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from swath.errors import DataError


def joined(path: str, first: rasterio.DatasetReader) -> rasterio.DatasetReader:
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
            array = series.asarray()
    except (OSError, ValueError, KeyError, IndexError, tifffile.TiffFileError) as error:
        first.close()
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(
            f"the file is damaged: its pages cannot be read ({reason})",
            file=path,
            fix="Fetch or export it again, or leave it out",
        ) from error
    with first:
        return _in_memory(array.transpose(2, 0, 1) if array.shape[2] < array.shape[0] else array, first)


def _in_memory(array: NDArray[Any], first: rasterio.DatasetReader) -> rasterio.DatasetReader:
    """Put an array (bands, rows, columns) where GDAL can read it, with the georeferencing of the first page if it is a band."""
    bands, height, width = array.shape
    profile = {"count": bands, "height": height, "width": width, "dtype": array.dtype, "interleave": "pixel"}
    if first.shape == (height, width) and first.crs is not None:
        profile |= {"crs": first.crs, "transform": first.transform}
    memory = MemoryFile()
    with memory.open(driver="GTiff", **profile, BIGTIFF="IF_SAFER") as out:
        out.write(np.ascontiguousarray(array))
    try:
        return memory.open()
    finally:
        memory.close()  # only takes its name away: the room is free when the reader is closed
