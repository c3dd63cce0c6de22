"""What a page shows: its pixels, and waiting for them."""

import time

import numpy as np
import rasterio

from swath.io.raster import gdal_env


def shot(page):
    with gdal_env(), rasterio.MemoryFile(page.screenshot()) as memory, memory.open() as dataset:
        return dataset.read()[:3].transpose(1, 2, 0).astype(int)


def share(page, color, box=np.s_[:, 380:]):
    """Return the share of the screen beside the panel that shows a color."""
    return float((np.abs(shot(page)[box] - color).max(axis=-1) <= 3).mean())


def until(condition, seconds=60.0):
    """Wait until something holds, as tiles arrive when they do."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.15)
    raise AssertionError("it did not come about in time")
