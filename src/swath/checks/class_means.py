"""Mean of the bands of each class in an image, by which classes that were exchanged are told."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.checks.scan_statistics import Decimated
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window
from swath.io.labels import UNLABELED

SIDE = 192  # rows and columns of the decimated image, at most
MAX_BANDS = 6  # that are compared, evenly taken
OFFSET = 0.05  # share of the mean that is added before logarithms, since dark pixels are noise
MIN_PIXELS = 100  # of a class in the decimated image


class ClassMeans:
    """Bands and labels of an image, decimated window by window.

    Args:
        grid: of the image.
        bands: number of its bands.
    """

    def __init__(self, grid: GeoBox, bands: int) -> None:
        self._chosen = np.unique(np.linspace(0, bands - 1, min(bands, MAX_BANDS)).astype(int))
        self._values = Decimated(grid, SIDE, len(self._chosen), np.nan, np.float32)
        self._codes = Decimated(grid, SIDE, 1, UNLABELED, np.int64)

    def add_image(self, window: Window, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Add a window of the image (bands, rows, columns) where `valid` (rows, columns)."""
        self._values.add(window, values[self._chosen], valid)

    def add_labels(self, window: Window, codes: NDArray[np.int64]) -> None:
        """Add a window of the labels (rows, columns)."""
        self._codes.add(window, codes[None], None)

    def find(self) -> dict[int, NDArray[np.float64]]:
        """Return brightness, its ratio to each band, and texture of each class, less the mean.

        It is empty where bands are negative, of which there is no ratio.
        """
        values, codes = self._values.values.astype(np.float64), self._codes.values[0]
        known = np.isfinite(values).all(axis=0)
        mean = values[:, known].mean() if known.any() else 0.0
        if not mean > 0 or values[:, known].min() < 0:
            return {}
        logs = np.log(np.where(known, values, mean) + OFFSET * mean)
        gray = logs.mean(axis=0)
        texture = np.abs(np.diff(gray, axis=1, append=gray[:, -1:]))
        parts = np.concatenate([gray[None], logs - gray, texture[None]])
        parts -= parts[:, known].mean(axis=1)[:, None, None]
        found = {}
        for code in np.unique(codes[known]).tolist():
            held = known & (codes == code)
            if code != UNLABELED and held.sum() >= MIN_PIXELS:
                found[int(code)] = parts[:, held].mean(axis=1)
        return found
