"""Pictures of pixels and classes, small enough for a page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from swath.geo.tiling import Pixels
from swath.io.raster import gdal_env
from swath.legend import IGNORE, Legend

VISIBLE = (("red", "green", "blue"), ("B4", "B3", "B2"), ("B04", "B03", "B02"), ("30", "20", "10"))
"""Names of bands that people see as red, green and blue: plain, Sentinel-2, Landsat's 7 numbering."""


def decimation(height: int, width: int, longest: int) -> int:
    """Return which row and column to take (every n-th) so that no side is longer than `longest`."""
    return max(1, -(-max(height, width) // longest))


def visible_bands(bands: Sequence[str]) -> list[int]:
    """Return the positions of the bands that people see as red, green and blue: by name, else the first ones."""
    named = next((names for names in VISIBLE if set(names) <= set(bands)), None)
    return [bands.index(n) for n in named] if named else [min(i, len(bands) - 1) for i in range(3)]


def to_rgb(pixels: Pixels, bands: list[str]) -> NDArray[np.uint8]:
    """Return what people would see, (rows, columns, 3): red, green, blue by band name, else the first bands.

    Anything but 8-bit is stretched between its 2nd and 98th percentile. Nodata is white.
    """
    chosen = visible_bands(bands)
    out = np.full((*pixels.valid.shape, 3), 255, np.uint8)
    if not pixels.valid.any():
        return out
    for i, band in enumerate(chosen):
        values = pixels.values[band][pixels.valid]
        if values.dtype != np.uint8:
            low, high = np.percentile(values, (2, 98))
            values = np.clip((values - low) / max(high - low, 1e-9) * 255, 0, 255)
        out[pixels.valid, i] = values.astype(np.uint8)
    return out


def colorize(indices: NDArray[np.uint8], legend: Legend) -> NDArray[np.uint8]:
    """Return class indices (rows, columns) in the classes' colors, (rows, columns, 3); `IGNORE` is white."""
    table = legend.colors()
    table[IGNORE] = 255
    return table[indices]


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Return an image (rows, columns, 3) as PNG."""
    height, width, _ = image.shape
    with gdal_env(), MemoryFile() as memory:
        with memory.open(driver="PNG", height=height, width=width, count=3, dtype="uint8") as out:
            out.write(image.transpose(2, 0, 1))
        return bytes(memory.read())


def data_url(image: NDArray[Any]) -> str:
    """Return an image (rows, columns, 3) as the address of an inline picture."""
    return "data:image/png;base64," + base64.b64encode(encode_png(image)).decode()
