"""Pictures as people see them: turned as their EXIF orientation says, which GDAL leaves to its users.

Cameras and phones store the sensor's rows and say by a number, 1 to 8, how to hold the picture.
Programs in which masks are painted show it upright, so image and mask agree only where that is
heeded. A GeoTIFF's transform places the pixels as they are stored, so files with georeferencing are
left as they are.

Source: CIPA DC-008 (Exif 2.32), tag 274.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags

from swath.errors import DataError
from swath.io import tifftags
from swath.io.raster_limits import MOST_BLOCK, value_bytes
from swath.io.tiff import in_memory
from swath.io.tifftags import read_tags

ORIENTATION = "EXIF_Orientation"
"""Tag of a dataset that was turned: the number that its file has."""


def apply_orientation(path: str, stored: rasterio.DatasetReader) -> rasterio.DatasetReader:
    """Return a dataset of the picture as people see it, in memory; `stored` itself where it is upright or georeferenced.

    Raises:
        DataError: it is too large to be turned in memory.
        rasterio.errors.RasterioError: its pixels cannot be read.
    """
    if (
        stored.crs is not None
        or not stored.transform.is_identity
        or stored.gcps[0]
        or not Path(path).is_file()
    ):
        return stored
    number = _orientation(Path(path), stored)
    if number not in range(2, 9):
        return stored
    if stored.height * stored.width * sum(value_bytes(stored)) > MOST_BLOCK:
        raise DataError(
            f"it is to be shown turned (EXIF orientation {number}), and is too large to be turned in memory",
            file=path,
            fix="Turn it first (`mogrify -auto-orient`), and its mask with it",
            code="too-large",
        )
    with stored:
        return _turned(stored, number)


def apply_transpose(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return pixels (..., rows, columns) as an orientation, 1 to 8, says that they are to be seen."""
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
    """Return the orientation that a file asks for, 1 where it has none or it cannot be read."""
    if dataset.driver == "JPEG":
        value = dataset.get_tag_item(ORIENTATION) or ""
        return int(value) if value.isdigit() else 1
    if dataset.driver not in ("GTiff", "PNG", "WEBP"):
        return 1
    with path.open("rb") as file:
        exif = file if dataset.driver == "GTiff" else _exif(file, dataset.driver)
        tag = None if exif is None else read_tags(exif).get(tifftags.ORIENTATION)
        return 1 if tag is None else tag.value or 1


def _exif(file: BinaryIO, driver: str) -> BinaryIO | None:
    """Return the EXIF of a PNG or WebP."""
    for name, length in _png_chunks(file) if driver == "PNG" else _webp_chunks(file):
        if name in (b"eXIf", b"EXIF"):
            return io.BytesIO(file.read(length).removeprefix(b"Exif\0\0"))
    return None


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield name and length of the chunks before the pixels, with the file at their content."""
    at = 8
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
            return
        length = int.from_bytes(head[:4], "big")
        yield head[4:], length
        at += 12 + length


def _webp_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield name and length of all chunks, with the file at their content."""
    at = 12
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        length = int.from_bytes(head[4:], "little")
        yield head[:4], length
        at += 8 + length + length % 2
