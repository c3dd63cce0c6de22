"""Counting what pixels hold, chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.data.moments import Moments

COLLARS = (0.0, -9999.0, -32768.0, -99999.0)
"""Values, beside a type's largest, that programs write where there is no data."""

MOST_COUNTS = 1 << 23
"""Counts that are kept, 8 bytes each."""

PIECE = 1 << 17
"""Values that are counted at once."""

RUN = 16
"""So many equal pixels in a row along an image's border are no coincidence."""


@dataclass(frozen=True)
class BandStats:
    """Valid values of one band: range, mean, deviation, and how many pixels hold the largest value."""

    low: float
    high: float
    mean: float
    std: float
    top: int


class PixelStatistics:
    """Statistics of all bands of an image.

    Types of 8 and 16 bits are counted value by value, which is exact and fast; wider ones, and 16
    bits of very many bands, go through `Moments`.

    Args:
        bands: number of bands.
        dtype: their type.
    """

    def __init__(self, bands: int, dtype: np.dtype[Any]) -> None:
        few = (
            dtype.kind in "iu"
            and dtype.itemsize <= 2
            and bands << 8 * dtype.itemsize <= MOST_COUNTS
        )
        self._offset = int(np.iinfo(dtype).min) if few else None
        self._counts = np.zeros(
            (bands, 1 << 8 * dtype.itemsize if self._offset is not None else 0), np.int64
        )
        self._moments = Moments(bands)
        self._top = np.zeros(bands, np.int64)

    def add(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Take in values (bands, rows, columns), of which only `valid` (rows, columns) count."""
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
        if self._offset is None:
            m = self._moments
            rows = zip(m.low, m.high, m.mean, m.std * (m.low < m.high), self._top, strict=True)
            return (
                tuple(
                    BandStats(low, high, mean, std, int(top)) for low, high, mean, std, top in rows
                )
                if m.count
                else ()
            )
        out = []
        for counts in self._counts:
            held = np.flatnonzero(counts)
            if not len(held):
                return ()
            weights, values = counts[held], held + self._offset
            mean = float(np.average(values, weights=weights))
            std = float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
            out.append(BandStats(float(values[0]), float(values[-1]), mean, std, int(weights[-1])))
        return tuple(out)


def _count(values: NDArray[Any], offset: int, counts: NDArray[np.int64]) -> None:
    """Add the values (n,) to their counts, piece by piece: NumPy counts in 64 bits, and a piece stays in the cache."""
    for start in range(0, len(values), PIECE):
        piece = values[start : start + PIECE]
        counts += np.bincount(
            piece if not offset else piece.astype(np.int64) - offset, minlength=len(counts)
        )


def counted(labels: NDArray[np.int64]) -> dict[int, int]:
    """Count label values by runs of equal pixels, which masks have few of."""
    flat = labels.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    values, at = np.unique(flat[starts], return_inverse=True)
    counts = np.bincount(at, weights=np.diff(starts, append=len(flat)))
    return dict(zip(values.tolist(), counts.astype(np.int64).tolist(), strict=True))


def collar(
    values: NDArray[Any], valid: NDArray[np.bool_], edges: tuple[bool, bool, bool, bool]
) -> dict[float, int]:
    """Count border pixels that lie in long runs of one evident no-data value in all bands.

    Args:
        values: pixels (bands, rows, columns).
        valid: where they are not declared to be nodata (rows, columns).
        edges: whether the first row, last row, first column and last column are the image's own
            border.
    """
    lines: list[tuple[Any, Any]] = [
        (0, slice(None)),
        (-1, slice(None)),
        (slice(None), 0),
        (slice(None), -1),
    ]
    kind = values.dtype.kind
    candidates = [
        v
        for v in COLLARS
        if v >= 0 or kind == "f" or (kind == "i" and v >= np.iinfo(values.dtype).min)
    ]
    if kind == "u":
        candidates.append(float(np.iinfo(values.dtype).max))
    found: dict[float, int] = {}
    for line, own in zip(lines, edges, strict=True):
        if not own:
            continue
        border, usable = values[(slice(None), *line)], valid[line]
        for value in candidates:
            count = _in_runs((border == value).all(axis=0) & usable)
            if count:
                found[value] = found.get(value, 0) + count
    return found


def _in_runs(marked: NDArray[np.bool_]) -> int:
    """Count the marked pixels of a line that lie in runs of at least `RUN`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= min(RUN, len(marked))].sum())
