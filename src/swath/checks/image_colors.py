"""Colors of the first three bands of an image, by which images of one scene are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.checks.scan_statistics import Decimated
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window

SIDE = 128  # rows and columns of the decimated image whose colors are counted, at most
OFFSET = 0.05  # share of the mean that is added before logarithms, since dark pixels are noise
STEP = 0.03  # of logarithms of ratios of bands
REACH = 10  # steps to both sides
LEVELS = 4  # of brightness, each a factor of e ** 0.5
CELLS = (LEVELS, 2 * REACH + 1, 2 * REACH + 1)


class ColorScanner:
    """Colors of the first three bands of an image, decimated window by window.

    Args:
        grid: of the image.
        bands: number of its bands.
    """

    def __init__(self, grid: GeoBox, bands: int) -> None:
        self._values = Decimated(grid, SIDE, 3, np.nan, np.float32) if bands >= 3 else None

    def add(self, window: Window, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Add a window (bands, rows, columns) where `valid` (rows, columns)."""
        if self._values is not None:
            self._values.add(window, values[:3], valid)

    def count(self) -> NDArray[np.uint16] | None:
        """Return pixels by color; None with fewer bands, or where the colors are no colors.

        The axes are brightness, ratio of the first to the third band, and of the second to both.
        """
        if self._values is None:
            return None
        bands = self._values.values.reshape(3, -1).astype(np.float64)
        bands = bands[:, np.isfinite(bands).all(axis=0)]
        mean = bands.mean() if bands.size else 0.0
        if not mean > 0 or bands.min() < 0:
            return None
        first, second, third = np.log(bands + OFFSET * mean)
        level = (np.log(bands.mean(axis=0) / mean + OFFSET) + 1) * 2
        cells = (
            np.clip(level, 0, LEVELS - 1).astype(np.int64),
            _steps(first - third),
            _steps(second - (first + third) / 2),
        )
        flat = np.ravel_multi_index(cells, CELLS)
        return np.bincount(flat, minlength=int(np.prod(CELLS))).reshape(CELLS).astype(np.uint16)


def _steps(ratio: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return cells, of which those of opposite ratios are as far from the middle."""
    return np.clip(np.rint(ratio / STEP), -REACH, REACH).astype(np.int64) + REACH
