"""Noise that resembles images, for networks that come without any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_CELLS = (1, 4, 16, 64)
"""Sides of the blotches that are added up, in pixels."""


class NoisePixels:
    """Blotches of several sizes, with the mean and deviation of each band.

    Args:
        mean: of each band.
        std: of each band.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self._mean, self._std = (np.array(v, np.float64)[:, None, None] for v in (mean, std))

    def take(self, height: int, width: int, count: int) -> list[NDArray[np.float32]]:
        """Return areas (bands, height, width) of raw pixels, the same at each call."""
        rng = np.random.default_rng(0)
        return [self._area(rng, height, width) for _ in range(count)]

    def _area(self, rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
        field = np.zeros((len(self._mean), height, width))
        for cell in _CELLS:
            shape = -(-height // cell), -(-width // cell)
            # Bands of an image are alike; what they share is half of the variance.
            part = rng.normal(size=(len(field), *shape)) + rng.normal(size=(1, *shape))
            field += np.repeat(np.repeat(part, cell, 1), cell, 2)[:, :height, :width]
        scaled = self._mean + self._std * field / np.sqrt(2 * len(_CELLS))
        area: NDArray[np.float32] = scaled.astype(np.float32)
        return area
