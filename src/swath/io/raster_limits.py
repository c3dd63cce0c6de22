"""What a raster may claim to be: a file that declares far more than it can hold is refused before anything is read of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import Interleaving

from swath.errors import DataError
from swath.io import tifftags
from swath.io.tifftags import read_tags

MOST_BLOCK = 2**29
"""Bytes of one block, which has to be unpacked as a whole; with more, memory would grow with the raster."""

MOST_BANDS = 4096
"""Bands of one file; GDAL's time grows by the square of their number, and takes minutes for a small image of 20,000."""

UNASKED = 2**32
"""Rasters of fewer bytes are read whatever their files are like."""

EMPTIEST = 2**20
"""Bytes of pixels for each byte of the file: what a sparse file of large blocks reaches, and compression never does."""


def check_limits(path: str, dataset: rasterio.DatasetReader) -> None:
    """Refuse a raster that is evidently a bomb, or whose header is damaged.

    Raises:
        DataError: it has more than 4096 bands, its blocks need more than half a GiB each, its index
            lacks blocks (GDAL takes them for zeros), its transform is none, or it declares more
            than a million times its file's bytes.
    """
    if dataset.count > MOST_BANDS:
        raise DataError(
            f"it has {dataset.count} bands, and more than {MOST_BANDS} in one file are not read",
            file=path,
            fix="Split it (gdal_translate -b), or leave it out, if it has not really so many",
            code="too-large",
        )
    widths = value_bytes(dataset)
    bands = len(widths) if dataset.interleaving == Interleaving.pixel else 1
    rows, cols = dataset.block_shapes[0]
    block = min(rows, dataset.height) * min(cols, dataset.width) * bands * max(widths)
    if block > MOST_BLOCK:
        raise DataError(
            f"one block of it unpacks to {block / 2**30:.1f} GiB, and blocks are read as a whole",
            file=path,
            fix="Rewrite it in tiles (gdal_translate -co TILED=YES -co BIGTIFF=IF_SAFER)",
            code="too-large",
        )
    if dataset.driver == "GTiff":
        _check_index(path)
    _check_place(path, dataset)
    declared = dataset.height * dataset.width * sum(widths)
    if declared <= UNASKED:
        return
    held = sum(Path(name).stat().st_size for name in {*dataset.files, path} if Path(name).is_file())
    if held and declared > EMPTIEST * held:
        raise DataError(
            f"it declares {dataset.width}x{dataset.height} pixels in {dataset.count} band(s), {declared / 2**30:.0f} GiB, "
            f"and its file has {held} bytes: nearly nothing of that is there",
            file=path,
            fix="Fetch or export it again, or leave it out",
            code="too-large",
        )


def _check_place(path: str, dataset: rasterio.DatasetReader) -> None:
    a, b, _, d, e, _ = place = tuple(dataset.transform)[:6]
    if not np.isfinite(place).all() or a * e == b * d:
        raise DataError(
            f"its transform ({', '.join(f'{n:g}' for n in place)}) places its pixels nowhere",
            file=path,
            fix="Mend it (gdal_edit.py -a_ullr), or take it away (gdal_edit.py -unsetgt)",
        )


def value_bytes(dataset: rasterio.DatasetReader) -> list[int]:
    """Return the bytes of a value of each band."""
    return [4 if kind == "complex_int16" else np.dtype(kind).itemsize for kind in dataset.dtypes]


def _check_index(path: str) -> None:
    if not Path(path).is_file():
        return
    with open(path, "rb") as file:
        tags = read_tags(file)
    number = {key: tag.value for key, tag in tags.items()}
    height, width = number.get(tifftags.HEIGHT), number.get(tifftags.WIDTH)
    planes = (number.get(tifftags.SAMPLES) or 1) if number.get(tifftags.PLANES) == 2 else 1
    index = tags.get(tifftags.TILE_OFFSETS) or tags.get(tifftags.STRIP_OFFSETS)
    if not height or not width or number.get(tifftags.COMPRESSION) == tifftags.OLD_JPEG:
        return
    if tifftags.TILE_WIDTH in tags:
        rows, cols = (
            number.get(tifftags.TILE_HEIGHT) or height,
            number.get(tifftags.TILE_WIDTH) or width,
        )
    else:
        rows, cols = number.get(tifftags.ROWS_PER_STRIP) or height, width
    wanted = -(-height // rows) * -(-width // cols) * planes
    known = 0 if index is None else index.length
    if known < wanted:
        raise DataError(
            f"the file is damaged: it is cut into {wanted} blocks, and says of {known} where they are",
            file=path,
            fix="Fetch or export it again, or leave it out",
        )
