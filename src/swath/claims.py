"""What a raster may claim to be: a file that declares far more than it can hold is refused before anything is read of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio

from swath.errors import DataError

MOST_BLOCK = 2**29
"""Bytes of one block, which has to be unpacked as a whole; with more, memory would grow with the raster."""

UNASKED = 2**32
"""Rasters of fewer bytes are read whatever their files are like."""

EMPTIEST = 2**20
"""Bytes of pixels for each byte of the file: what a sparse file of large blocks reaches, and compression never does."""


def check_claims(path: str, dataset: rasterio.DatasetReader) -> None:
    """Refuse a raster that is evidently a bomb, or whose header is damaged.

    Raises:
        DataError: its blocks need more than half a GiB each, or it declares more than a million times its file's bytes.
    """
    widths = [np.dtype(t.replace("complex_int16", "complex64")).itemsize for t in dataset.dtypes]
    bands = len(widths) if dataset.interleaving == rasterio.enums.Interleaving.pixel else 1
    rows, cols = dataset.block_shapes[0]
    block = min(rows, dataset.height) * min(cols, dataset.width) * bands * max(widths)
    if block > MOST_BLOCK:
        raise DataError(
            f"one block of it unpacks to {block / 2**30:.1f} GiB, and blocks are read as a whole",
            file=path,
            fix="Rewrite it in tiles (gdal_translate -co TILED=YES -co BIGTIFF=IF_SAFER)",
            code="too-large",
        )
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
