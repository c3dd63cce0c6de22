"""What GDAL leaves out of TIFFs: the tags of a page, and images that span several pages.

tifffile writes an array (rows, columns, bands) as a stack of pages. GDAL takes the first of them
for the whole file, which for such an array is a sliver of a few columns.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import tifffile
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from swath.errors import DataError
from swath.types import PathLike

# What tifffile logs is raised as an error, or concerns tags that nobody needs.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

MAX_PAGE_BYTES = 2**30  # bytes of pages that are read whatever the size of their file
MAX_PACKING = 1100  # bytes that one byte of a file can hold (DEFLATE's limit)
MAX_TAG_BYTES = 2**24  # bytes that tifffile may read for the tags of a page

FETCH_AGAIN = "Fetch or export it again, or leave it out"
"""What to do about a damaged file."""


@dataclass(frozen=True)
class Tag:
    """A tag's number of values, and its value if it is a single whole number, else None."""

    count: int
    value: int | None


class _BoundedFile(io.FileIO):
    """A file of which no more than `MAX_TAG_BYTES` are read."""

    left = MAX_TAG_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        self._spend(self.left + 1 if size is None or size < 0 else size)
        return super().read(size) or b""

    def readinto(self, buffer: Any, /) -> int:
        self._spend(memoryview(buffer).nbytes)
        return super().readinto(buffer) or 0

    def _spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise OSError("The tags are too large")


def read_tags(source: PathLike | io.BytesIO) -> dict[str, Tag]:
    """Return the tags of a TIFF's first page by their names in TIFF 6.0, such as `ImageWidth`.

    Args:
        source: a file, or a stream in memory: EXIF is built like a TIFF.

    Returns:
        The tags; empty where the source is no TIFF, is damaged, or has tags of more than
        `MAX_TAG_BYTES`. A tag whose values lie beyond the end of the file is left out.
    """
    file = source if isinstance(source, io.BytesIO) else _BoundedFile(source, "rb")
    out: dict[str, Tag] = {}
    try:
        # Formats whose parsing goes on beyond the first page are taken for plain TIFFs.
        with file, tifffile.TiffFile(file, is_lsm=False, is_ndpi=False, is_scanimage=False) as tiff:
            for tag in tiff.pages.first.tags:
                value = tag.value if tag.count == 1 else None
                out.setdefault(tag.name, Tag(tag.count, value if isinstance(value, int) else None))
    except Exception:  # noqa: BLE001 - the parser raises what it meets
        return {}
    return out


def join_pages(path: str, first: rasterio.DatasetReader) -> rasterio.DatasetReader:
    """Return a dataset of all pages of a file, or `first` where its pages are not one image.

    The shorter of the first and the last axis is taken for the bands. The pages are held in memory.

    Args:
        path: the file.
        first: what GDAL opens of the file; closed if it is not returned.

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
            if series.nbytes > max(MAX_PAGE_BYTES, MAX_PACKING * Path(path).stat().st_size):
                raise ValueError(f"they declare {series.nbytes / 2**30:.0f} GiB")
            array = series.asarray()
    except Exception as error:  # noqa: BLE001 - the parser raises what it meets
        first.close()
        reason = " ".join(str(error).split()).rstrip(".")
        message = f"The pages of the file cannot be read ({reason})"
        raise DataError(message, code="unreadable", file=path, fix=FETCH_AGAIN) from error
    with first:
        pixels = array.transpose(2, 0, 1) if array.shape[2] < array.shape[0] else array
        located = first.shape == pixels.shape[1:] and first.crs is not None
        profile = {"crs": first.crs, "transform": first.transform} if located else {}
        return in_memory(pixels, **profile)


def in_memory(
    pixels: NDArray[Any],
    *,
    interp: Sequence[ColorInterp] | None = None,
    colors: dict[int, tuple[int, ...]] | None = None,
    mask: NDArray[np.uint8] | None = None,
    tags: dict[str, str] | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
    **profile: Any,
) -> rasterio.DatasetReader:
    """Return a dataset of pixels that lie in memory.

    Args:
        pixels: of any dtype, (bands, rows, columns).
        interp: color interpretation of the bands.
        colors: palette of the first band.
        mask: (rows, columns), 0 where there is no data.
        tags: of the dataset.
        scale: of all bands, as GDAL has it.
        offset: see `scale`.
        profile: more keywords of rasterio, such as `crs`.
    """
    bands, height, width = pixels.shape
    profile |= {"count": bands, "height": height, "width": width, "dtype": pixels.dtype}
    memory = MemoryFile()
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        memory.open(driver="GTiff", interleave="pixel", BIGTIFF="IF_SAFER", **profile) as out,
    ):
        if interp is not None:
            out.colorinterp = interp
        if colors is not None:
            out.write_colormap(1, colors)
        out.update_tags(**(tags or {}))
        if (scale, offset) != (1.0, 0.0):
            out.scales, out.offsets = [scale] * bands, [offset] * bands
        out.write(np.ascontiguousarray(pixels))
        if mask is not None:
            out.write_mask(mask)
    try:
        return memory.open()
    finally:
        memory.close()  # takes its name away; the memory is free when the reader is closed
