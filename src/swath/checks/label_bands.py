"""Bands of an image that hold its labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.checks.scan_statistics import count_values
from swath.io.labels import UNLABELED

MAX_VALUES = 64
"""Values of a band that may hold labels; other bands have more."""

SAMPLED = 2000
"""Pixels that show for most bands that they have more values."""

MIN_AGREEING = 0.9
"""Share of a label's pixels that have its value, and of the value's pixels that have the label."""

MIN_LABELED = 50
"""Labeled pixels below which bands are not compared."""


class BandsOfLabels:
    """Bands with one value for each label, beside more bands that have not.

    Args:
        bands: names.
    """

    def __init__(self, bands: Sequence[str]) -> None:
        self._bands = bands
        self._pairs: dict[int, Counter[tuple[float, int]]] = {
            i: Counter() for i in range(len(bands))
        }
        self._codes: Counter[int] = Counter()

    def add(self, values: NDArray[Any], valid: NDArray[np.bool_], codes: NDArray[np.int64]) -> None:
        """Add pixels (bands, rows, columns) with labels, int64 (rows, columns)."""
        known = valid & (codes != UNLABELED)
        if not (self._pairs and known.any()):
            return
        labels = codes[known]
        self._codes.update(count_values(labels))
        for band in [*self._pairs]:
            numbers = values[band][known]
            if len(np.unique(numbers[:SAMPLED])) > MAX_VALUES:
                del self._pairs[band]
                continue
            found, index = np.unique(numbers, return_inverse=True)
            if len(found) <= MAX_VALUES:
                for code in np.unique(labels):
                    for i, count in enumerate(np.bincount(index[labels == code])):
                        if count:
                            self._pairs[band][float(found[i]), int(code)] += int(count)
            if len(found) > MAX_VALUES or len({v for v, _ in self._pairs[band]}) > MAX_VALUES:
                del self._pairs[band]

    def find(self) -> tuple[str, ...]:
        """Return the names of the bands that hold the labels; none where most bands do."""
        if sum(self._codes.values()) < MIN_LABELED:
            return ()
        found = [i for i, pairs in self._pairs.items() if _agree(pairs, self._codes)]
        return tuple(self._bands[i] for i in found) if 2 * len(found) < len(self._bands) else ()


def _agree(pairs: Counter[tuple[float, int]], codes: Counter[int]) -> bool:
    """Return whether most labels have a value of their own."""
    values: Counter[float] = Counter()
    for (value, _), count in pairs.items():
        values[value] += count
    told = [
        code
        for (value, code), count in pairs.items()
        if count >= MIN_AGREEING * max(values[value], codes[code])
    ]
    return len(told) > 1 and sum(codes[c] for c in told) >= MIN_AGREEING * sum(codes.values())
