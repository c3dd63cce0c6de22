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

RGB_BANDS = (
    ("red", "green", "blue"),
    ("B4", "B3", "B2"),
    ("B04", "B03", "B02"),
    ("30", "20", "10"),
)
"""Names of red, green and blue bands: plain, Sentinel-2 (two ways), Landsat 7."""


def decimation(height: int, width: int, longest: int) -> int:
    """Return which row and column to take (every n-th) so that no side is longer than `longest`."""
    return max(1, -(-max(height, width) // longest))


def visible_bands(bands: Sequence[str]) -> list[int]:
    """Return the positions of the red, green and blue bands: by name, else the first ones."""
    named = next((names for names in RGB_BANDS if set(names) <= set(bands)), None)
    return [bands.index(n) for n in named] if named else [min(i, len(bands) - 1) for i in range(3)]


def to_rgb(pixels: Pixels, bands: list[str]) -> NDArray[np.uint8]:
    """Return the `visible_bands` of pixels, uint8 (rows, columns, 3); nodata is white.

    Anything but 8-bit is stretched between its 2nd and 98th percentile.
    """
    return to_rgb_alike([(pixels, bands)])[0]


def to_rgb_alike(images: Sequence[tuple[Pixels, list[str]]]) -> list[NDArray[np.uint8]]:
    """Return pictures as `to_rgb` does, all stretched between percentiles of their joint values."""
    out = [np.full((*pixels.valid.shape, 3), 255, np.uint8) for pixels, _ in images]
    for i in range(3):
        several = [p.values[visible_bands(bands)[i]][p.valid] for p, bands in images]
        wide = [values.ravel() for values in several if values.dtype != np.uint8 and values.size]
        low, high = np.percentile(np.concatenate(wide), (2, 98)) if wide else (0, 255)
        for picture, (pixels, _), values in zip(out, images, several, strict=True):
            if values.dtype != np.uint8:
                values = np.clip((values - low) / max(high - low, 1e-9) * 255, 0, 255)
            picture[pixels.valid, i] = values.astype(np.uint8)
    return out


def colorize(indices: NDArray[np.uint8], legend: Legend) -> NDArray[np.uint8]:
    """Return the colors (rows, columns, 3) of class indices (rows, columns); `IGNORE` is white."""
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
    """Return an image (rows, columns, 3) as a data URL."""
    return "data:image/png;base64," + base64.b64encode(encode_png(image)).decode()
