"""Statistics of pixels and labels, chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.data.statistics import BandMoments
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window

MAX_COUNTERS = 1 << 23  # counters of values, 8 bytes each
COUNTED_AT_ONCE = 1 << 17  # values, so that they stay in the processor's cache


@dataclass(frozen=True)
class BandStats:
    """Statistics of a band's valid values; `top` pixels hold the largest."""

    low: float
    high: float
    mean: float
    std: float
    top: int


class PixelStatistics:
    """Statistics of all bands of an image.

    Values of 8 and 16 bits are counted one by one, which is exact and fast; wider ones, and 16
    bits of very many bands, go through `BandMoments`.

    Args:
        bands: number of bands.
        dtype: their type.
    """

    def __init__(self, bands: int, dtype: np.dtype[Any]) -> None:
        narrow = dtype.kind in "iu" and dtype.itemsize <= 2
        values = 1 << 8 * dtype.itemsize if narrow else 0
        counted = narrow and bands * values <= MAX_COUNTERS
        self._offset = int(np.iinfo(dtype).min) if counted else None
        self._counts = np.zeros((bands, values if counted else 0), np.int64)
        self._moments = BandMoments(bands)
        self._top = np.zeros(bands, np.int64)

    def add(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Add values (bands, rows, columns) where `valid` (rows, columns)."""
        flat = values.reshape(len(values), -1) if valid.all() else values[:, valid]
        if not flat.shape[1]:
            return
        if self._offset is not None:
            for band, counts in zip(flat, self._counts, strict=True):
                _count(band, self._offset, counts)
            return
        high = self._moments.high.copy()
        self._moments.add(flat)
        top = (flat == self._moments.high.astype(flat.dtype)[:, None]).sum(axis=1)
        self._top = np.where(self._moments.high > high, top, self._top + top)

    @property
    def stats(self) -> tuple[BandStats, ...]:
        """Statistics by band; empty before the first valid value."""
        if self._offset is not None:
            if not self._counts.any(axis=1).all():
                return ()
            return tuple(_stats_of_counts(counts, self._offset) for counts in self._counts)
        m = self._moments
        if not m.count:
            return ()
        std = m.std * (m.low < m.high)
        rows = zip(m.low, m.high, m.mean, std, self._top, strict=True)
        return tuple(BandStats(low, high, mean, s, int(top)) for low, high, mean, s, top in rows)


def _stats_of_counts(counts: NDArray[np.int64], offset: int) -> BandStats:
    held = np.flatnonzero(counts)
    weights, values = counts[held], held + offset
    mean = float(np.average(values, weights=weights))
    std = float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
    return BandStats(float(values[0]), float(values[-1]), mean, std, int(weights[-1]))


def _count(values: NDArray[Any], offset: int, counts: NDArray[np.int64]) -> None:
    """Add values (n,) to their counts, in parts: NumPy needs 64 bits a value."""
    for start in range(0, len(values), COUNTED_AT_ONCE):
        part = values[start : start + COUNTED_AT_ONCE]
        shifted = part.astype(np.int64) - offset if offset else part
        counts += np.bincount(shifted, minlength=len(counts))


def count_values(labels: NDArray[np.int64]) -> dict[int, int]:
    """Count label values by runs of equal pixels, of which masks have few."""
    flat = labels.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    values, at = np.unique(flat[starts], return_inverse=True)
    counts = np.bincount(at, weights=np.diff(starts, append=len(flat)))
    return dict(zip(values.tolist(), counts.astype(np.int64).tolist(), strict=True))


class Decimated:
    """Every n-th pixel of a raster in both directions, taken window by window.

    Args:
        grid: of the raster.
        side: rows and columns of the result, at most.
        layers: number of layers.
        fill: value of pixels that no window has.
        dtype: of the result.

    Attributes:
        values: the pixels (layers, rows, columns).
    """

    def __init__(self, grid: GeoBox, side: int, layers: int, fill: float, dtype: type) -> None:
        self._step = max(1, -(-max(grid.height, grid.width) // side))
        shape = layers, -(-grid.height // self._step), -(-grid.width // self._step)
        self.values: NDArray[Any] = np.full(shape, fill, dtype)

    def add(self, window: Window, values: NDArray[Any], valid: NDArray[np.bool_] | None) -> None:
        """Add a window (layers, rows, columns), where `valid` (rows, columns) if that is given."""
        step = self._step
        row, col = -window.row % step, -window.col % step
        part = values[:, row::step, col::step]
        rows, cols = -(-window.row // step), -(-window.col // step)
        at = slice(None), slice(rows, rows + part.shape[1]), slice(cols, cols + part.shape[2])
        if valid is None or valid.all():
            self.values[at] = part
        else:
            np.copyto(self.values[at], part, where=valid[row::step, col::step])
