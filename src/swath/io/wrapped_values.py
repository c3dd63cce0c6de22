"""Integers that have wrapped around: 256 that became 0, or 0 - 1 that became 65535."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 256  # rows and columns of a window in which neighbors are compared
MAX_BLOCKS = 64  # windows that are compared
NEAR = 8  # share of the type's range, as divisor, within which a jump over all of it is wrapped
MIN_RATIO = 0.12  # of jumps over the whole range to those over half of it; noise has 0.06
MIN_SHARE = 0.002  # share of neighbors with such a jump
MIN_VALUES = 5  # values from which they jump: a single one may mean no data


class WrappedValues:
    """Jumps between neighbors over the whole range of an integer type, and over half of it.

    In measurements large jumps are the rarer, the larger they are. Where values have wrapped
    around, smooth areas jump from the largest values to the smallest ones, and not by half of it.
    Zero, and the limits of the type, are left out, as they may be saturated or no data.

    Args:
        bands: number of bands.
        dtype: their type.
    """

    def __init__(self, bands: int, dtype: np.dtype[Any]) -> None:
        whole = dtype.kind in "iu" and dtype.itemsize <= 2
        self._limits = (np.iinfo(dtype).min, np.iinfo(dtype).max) if whole else None
        self._counts = np.zeros((bands, 3), np.int64)  # over all of it, over half of it, in all
        self._values = [Counter[int]() for _ in range(bands)]
        self._blocks = 0

    def add(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Add a window (bands, rows, columns), of which the middle is compared where `valid`."""
        if self._limits is None or self._blocks >= MAX_BLOCKS or min(valid.shape) < 2:
            return
        self._blocks += 1
        row, col = (max(0, (length - BLOCK) // 2) for length in valid.shape)
        middle = slice(row, row + BLOCK), slice(col, col + BLOCK)
        low, high = self._limits
        for band, counts, held in zip(
            values[:, *middle].astype(np.int32), self._counts, self._values, strict=True
        ):
            usable = valid[middle] & (band > low) & (band < high) & (band != 0)
            for one, ok in ((band, usable), (band.T, usable.T)):
                both = ok[:, 1:] & ok[:, :-1]
                jumps = np.abs(np.diff(one, axis=1))[both]
                size = (high - low + 1) // NEAR
                far = jumps >= (NEAR - 1) * size
                half = (jumps >= (NEAR // 2 - 1) * size) & (jumps <= (NEAR // 2 + 1) * size)
                counts += int(far.sum()), int(half.sum()), int(both.sum())
                if far.any():
                    held.update(np.maximum(one[:, 1:], one[:, :-1])[both][far].tolist())

    def find(self) -> tuple[int, ...]:
        """Return the numbers of the bands, from 0, whose values have wrapped around."""
        return tuple(
            i
            for i, ((far, half, total), held) in enumerate(
                zip(self._counts.tolist(), self._values, strict=True)
            )
            if far > MIN_RATIO * half and far > MIN_SHARE * total and len(held) >= MIN_VALUES
        )
