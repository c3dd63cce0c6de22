"""Limits on what a raster declares, checked before any of its pixels is read."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import numpy as np
import rasterio
import tifffile
from rasterio.enums import Interleaving

from swath.errors import DataError
from swath.io.tiff import FETCH_AGAIN, Tag, read_tags

MAX_BLOCK_BYTES = 2**29  # blocks are unpacked as a whole
MAX_BANDS = 4096  # GDAL's time grows by the square of the bands: minutes for 20,000
MIN_CHECKED_BYTES = 2**32  # smaller rasters are read whatever the size of their files
MAX_EXPANSION = 2**20  # bytes of pixels a byte of the file, as in sparse files of large blocks


def check_limits(path: str, dataset: rasterio.DatasetReader) -> None:
    """Refuse a raster that declares far more than its file can hold, or whose header is damaged.

    Args:
        path: the file.
        dataset: the same, open.

    Raises:
        DataError: the raster has more than `MAX_BANDS` bands or blocks of more than
            `MAX_BLOCK_BYTES`, its index lacks blocks (GDAL reads them as zeros), its transform is
            not invertible, or it declares `MAX_EXPANSION` times the bytes of its file.
    """
    if dataset.count > MAX_BANDS:
        message = f"The file has {dataset.count} bands, and at most {MAX_BANDS} are read"
        fix = "Take some (`rio stack FILE --bidx 1..100 -o NEW.tif`), or leave the file out"
        raise DataError(message, code="too-large", file=path, fix=fix)
    widths = value_bytes(dataset)
    bands = len(widths) if dataset.interleaving == Interleaving.pixel else 1
    rows, cols = dataset.block_shapes[0]
    block = min(rows, dataset.height) * min(cols, dataset.width) * bands * max(widths)
    if block > MAX_BLOCK_BYTES:
        message = f"One block of the file takes {block / 2**30:.1f} GiB, and blocks are read whole"
        # rio takes the size of blocks from the file, where that is not given.
        tiled = "--co tiled=yes --co blockxsize=512 --co blockysize=512 --co bigtiff=if_safer"
        fix = f"Rewrite it (`rio convert {quote(path)} NEW.tif {tiled}`)"
        raise DataError(message, code="too-large", file=path, fix=fix)
    if dataset.driver == "GTiff" and Path(path).is_file():
        _check_index(path)
    _check_transform(path, dataset)
    declared = dataset.height * dataset.width * sum(widths)
    if declared <= MIN_CHECKED_BYTES:
        return
    held = sum(Path(name).stat().st_size for name in {*dataset.files, path} if Path(name).is_file())
    if held and declared > MAX_EXPANSION * held:
        size = f"{dataset.width}x{dataset.height} pixels in {dataset.count} band(s)"
        message = f"The file has {held} bytes and declares {size}, {declared / 2**30:.0f} GiB"
        raise DataError(message, code="too-large", file=path, fix=FETCH_AGAIN)


def _check_transform(path: str, dataset: rasterio.DatasetReader) -> None:
    a, b, _, d, e, _ = transform = tuple(dataset.transform)[:6]
    if not np.isfinite(transform).all() or a * e == b * d:
        message = f"The transform ({', '.join(f'{n:g}' for n in transform)}) is not invertible"
        fix = "Mend it (`rio edit-info --transform '[10, 0, LEFT, 0, -10, TOP]' FILE`)"
        raise DataError(message, code="bad-transform", file=path, fix=fix)


def value_bytes(dataset: rasterio.DatasetReader) -> list[int]:
    """Return the bytes of a value of each band."""
    return [4 if kind == "complex_int16" else np.dtype(kind).itemsize for kind in dataset.dtypes]


def _check_index(path: str) -> None:
    tags = read_tags(path)
    number = {name: tag.value for name, tag in tags.items()}
    height, width = number.get("ImageLength"), number.get("ImageWidth")
    if not height or not width or number.get("Compression") == tifffile.COMPRESSION.OJPEG:
        return
    planes = number.get("SamplesPerPixel") if number.get("PlanarConfiguration") == 2 else 1
    tiled = "TileWidth" in tags
    rows = number.get("TileLength" if tiled else "RowsPerStrip") or height
    cols = number.get("TileWidth") or width
    declared = -(-height // rows) * -(-width // cols) * (planes or 1)
    index = tags.get("TileOffsets") or tags.get("StripOffsets") or Tag(0, None)
    if index.count < declared:
        message = f"The file has {declared} blocks, and its index holds the places of {index.count}"
        raise DataError(message, code="unreadable", file=path, fix=FETCH_AGAIN)
