"""EXIF orientation: pictures turned to how viewers show them, which GDAL leaves to its users.

Cameras store the sensor's rows, and a number from 1 to 8 that says how to turn them. Programs in
which masks are painted apply that number, so image and mask agree only where it is applied here
too. A GeoTIFF's transform locates the pixels as they are stored, so georeferenced files are left
as they are.

Source: CIPA DC-008 (Exif 2.32), tag 274.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags

from swath.errors import DataError
from swath.io.raster_limits import MAX_BLOCK_BYTES, value_bytes
from swath.io.tiff import in_memory, read_tags

ORIENTATION = "EXIF_Orientation"
"""Tag of a dataset that was turned: the number that its file has."""


def apply_orientation(path: str, stored: rasterio.DatasetReader) -> rasterio.DatasetReader:
    """Return a dataset of the turned picture, or `stored` if it is upright or georeferenced.

    The turned picture is held in memory.

    Args:
        path: the file.
        stored: the same, open; closed if it is not returned.

    Raises:
        DataError: the picture is too large to be turned in memory.
        rasterio.errors.RasterioError: its pixels cannot be read.
    """
    georeferenced = stored.crs is not None or not stored.transform.is_identity or stored.gcps[0]
    if georeferenced or not Path(path).is_file():
        return stored
    number = _orientation(Path(path), stored)
    if number not in range(2, 9):
        return stored
    if stored.height * stored.width * sum(value_bytes(stored)) > MAX_BLOCK_BYTES:
        raise DataError(
            f"The picture has EXIF orientation {number}, and is too large to be turned in memory",
            code="too-large",
            file=path,
            fix="Turn it first (`mogrify -auto-orient`), and its mask with it",
        )
    with stored:
        return _turned(stored, number)


def apply_transpose(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return pixels (..., rows, columns) turned by an EXIF orientation, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(-1, -2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[..., ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[..., ::-1, :]
    return pixels


def _turned(stored: rasterio.DatasetReader, orientation: int) -> rasterio.DatasetReader:
    interp, flags = list(stored.colorinterp), stored.mask_flag_enums[0]
    masked = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
    return in_memory(
        apply_transpose(stored.read(), orientation),
        nodata=stored.nodata,
        interp=interp,
        colors=stored.colormap(1) if interp[0] == ColorInterp.palette else None,
        mask=apply_transpose(stored.dataset_mask(), orientation) if masked else None,
        tags={ORIENTATION: str(orientation)},
    )


def _orientation(path: Path, dataset: rasterio.DatasetReader) -> int:
    """Return the orientation in a file, 1 where it has none or it cannot be read."""
    if dataset.driver == "JPEG":
        value = dataset.get_tag_item(ORIENTATION) or ""
        return int(value) if value.isdigit() else 1
    if dataset.driver == "GTiff":
        tags = read_tags(path)
    elif dataset.driver in ("PNG", "WEBP"):
        with path.open("rb") as file:
            tags = read_tags(io.BytesIO(_exif(file, dataset.driver)))
    else:
        tags = {}
    return tags["Orientation"].value or 1 if "Orientation" in tags else 1


def _exif(file: BinaryIO, driver: str) -> bytes:
    """Return the EXIF of a PNG or WebP, empty if it has none before its pixels."""
    png = driver == "PNG"
    at = 8 if png else 12
    while True:
        file.seek(at)
        head = file.read(8)
        name, length = (head[4:], head[:4]) if png else (head[:4], head[4:])
        if len(head) < 8 or name in (b"IDAT", b"IEND"):
            return b""
        size = int.from_bytes(length, "big" if png else "little")
        if name in (b"eXIf", b"EXIF"):
            return file.read(size).removeprefix(b"Exif\0\0")
        at += 8 + size + (4 if png else size % 2)  # a checksum, or padding
