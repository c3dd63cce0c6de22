"""Mean, deviation and range of bands, gathered chunk by chunk."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Moments:
    """Statistics of each band, in float64 and one pass.

    Source: Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance".

    Attributes:
        count: values taken in so far, the same for all bands.
        mean: shape (bands,).
        low: smallest value, shape (bands,); infinite before the first.
        high: largest value, shape (bands,).
    """

    def __init__(self, bands: int) -> None:
        self.count = 0
        self.mean = np.zeros(bands)
        self.low = np.full(bands, np.inf)
        self.high = np.full(bands, -np.inf)
        self._square = np.zeros(bands)

    def add(self, values: NDArray[Any]) -> None:
        """Take in values (bands, n)."""
        n = values.shape[1]
        if not n:
            return
        values = np.ascontiguousarray(values)
        centerd = values.astype(np.float64)
        mean = centerd.mean(axis=1)
        centerd -= mean[:, None]
        delta = mean - self.mean
        total = self.count + n
        self._square += np.einsum("bn,bn->b", centerd, centerd) + delta**2 * self.count * n / total
        self.mean += delta * n / total
        self.count = total
        self.low = np.minimum(self.low, values.min(axis=1))
        self.high = np.maximum(self.high, values.max(axis=1))

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation of the population, shape (bands,); 1 for a constant band, so that it may divide."""
        std = np.sqrt(self._square / max(self.count, 1))
        return np.where(std > 0, std, 1.0)
