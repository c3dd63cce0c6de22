"""Solid areas of one value in all bands, which means no data though no file declares it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.io.nodata import Fills

MIN_BANDS = 2  # in a single band, water of a terrain model has one value, too
MIN_BYTE_BANDS = 5  # bands of 8 bits: in fewer of them, white roofs and shadows have one value
MIN_SHARE = 0.001  # share of an image's pixels that are solid
MIN_PIXELS = 64
MAX_VALUES = 3  # fill values of an image; one with more has no fill, but flat areas


class SolidFills:
    """Pixels of which all bands, and the neighbors to the right and below, have one value.

    Args:
        bands: number of bands.
        dtype: their type.
        fills: what stored fill values are in each band; where scale or offset change them, nothing
            is counted, as the value would not be the stored one.
    """

    def __init__(self, bands: int, dtype: np.dtype[Any], fills: Fills) -> None:
        least = MIN_BYTE_BANDS if dtype.itemsize == 1 else MIN_BANDS
        known = ((value, numbers[np.isfinite(numbers)]) for value, numbers in fills.items())
        raw = all((numbers == value).all() for value, numbers in known)
        self._used = bands >= least and raw
        self._counts: Counter[float] = Counter()
        self._gray = self._pixels = 0

    def add(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Add a window (bands, rows, columns) where `valid` (rows, columns)."""
        if not self._used or min(valid.shape) < 2:
            return
        self._pixels += int(valid.sum())
        held = valid & (values[0] == values[1])
        for band in values[2:]:
            if not held.any():
                return
            held &= band == values[0]
        self._gray += int(held.sum())
        first = values[0]
        solid = held[:-1, :-1] & held[:-1, 1:] & held[1:, :-1]
        solid &= (first[:-1, :-1] == first[:-1, 1:]) & (first[:-1, :-1] == first[1:, :-1])
        found, counts = np.unique(first[:-1, :-1][solid], return_counts=True)
        self._counts.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))

    def find(self) -> dict[float, int]:
        """Return the solid pixels by value, of the values that fill areas."""
        least = max(MIN_PIXELS, MIN_SHARE * self._pixels)
        found = {value: count for value, count in self._counts.items() if count >= least}
        # Of gray images all pixels have one value in all bands.
        gray = self._gray > 0.95 * self._pixels
        return found if len(found) <= MAX_VALUES and not gray else {}
