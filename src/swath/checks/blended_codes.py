"""Codes of labels that resampling by mean or bilinear has blended."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from swath.checks.scan_statistics import count_values
from swath.io.labels import UNLABELED

BLOCK = 256  # rows and columns of a window in which codes are compared with their neighbors
REACH = 2  # pixels to the codes on both sides of a blended one
MIN_BLENDED = 0.8  # share of a code's pixels that lie between two others
MIN_BLENDED_CODES = 2  # codes of which that holds; one may be a class of borders


class BlendedCodes:
    """Codes that lie between two others alone, as resampling by mean or bilinear makes them."""

    def __init__(self) -> None:
        self._between: Counter[int] = Counter()
        self._all: Counter[int] = Counter()

    def add(self, codes: NDArray[np.int64]) -> None:
        """Add labels (rows, columns), of which the middle is compared."""
        row, col = (max(0, (length - BLOCK) // 2) for length in codes.shape)
        codes = codes[row : row + BLOCK, col : col + BLOCK]
        between = np.zeros(codes.shape, bool)
        for one, own in ((codes, between), (codes.T, between.T)):
            low, middle, high = one[:, : -2 * REACH], one[:, REACH:-REACH], one[:, 2 * REACH :]
            if not middle.size:
                continue
            labeled = (low != UNLABELED) & (middle != UNLABELED) & (high != UNLABELED)
            inside = (np.minimum(low, high) < middle) & (middle < np.maximum(low, high))
            own[:, REACH:-REACH] |= inside & labeled
        self._all.update(count_values(codes))
        if between.any():
            self._between.update(count_values(codes[between]))

    def find(self) -> tuple[int, ...]:
        """Return the blended codes; none where it is fewer than two."""
        found = [c for c, n in self._between.items() if n >= MIN_BLENDED * self._all[c]]
        return tuple(sorted(found)) if len(found) >= MIN_BLENDED_CODES else ()
