"""Whether labels lie where the image's edges are, or were shifted against it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.io.labels import UNLABELED

REACH = 12
"""Largest shift that is tried, in pixels, in each direction."""

POINTS = 600
"""Boundary pixels that are looked at in a chunk, in each direction."""

LINES = 256
"""Rows, and columns, of a chunk in which they are looked for."""

CHUNKS = 16
"""Chunks of an image that are looked at."""

ENOUGH = 400
"""Boundary pixels that a judgement needs."""

CLEAR = 6.0
"""How many deviations of the other shifts the best one must stand out by."""

AT_HOME = 2
"""Labels drawn by hand are off by so many pixels anyway."""


class Alignment:
    """Gathers how strong the image's edges are at the labels' boundaries, for each shift of the labels.

    Shifted labels show by a clear peak away from 0. Boundaries to unlabeled pixels do not count:
    they are drawn anywhere.
    """

    def __init__(self) -> None:
        side = 2 * REACH + 1
        self._sum = np.zeros((side, side))
        self._points = 0
        self._chunks = 0

    def add(self, gray: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        """Take in a window: brightness and labels, both (rows, columns)."""
        if self._chunks >= CHUNKS or min(gray.shape) <= 4 * REACH:
            return
        self._chunks += 1
        across, down = _edges_by_shift(gray, labels), _edges_by_shift(gray.T, labels.T)
        self._sum += across.sum(axis=0) + down.sum(axis=0).T
        self._points += len(across) + len(down)

    @property
    def shift(self) -> tuple[int, int] | None:
        """Rows and columns by which to move the labels onto the edges; None where they lie well, or nobody can tell."""
        if self._points < ENOUGH:
            return None
        score = self._sum / self._points
        row, col = np.unravel_index(int(score.argmax()), score.shape)
        move = int(row) - REACH, int(col) - REACH
        far = np.ones(score.shape, bool)
        far[max(0, row - 3) : row + 4, max(0, col - 3) : col + 4] = False
        noise = float(score[far].std())
        here = score[REACH - AT_HOME : REACH + AT_HOME + 1, REACH - AT_HOME : REACH + AT_HOME + 1]
        peak = float(score.max())
        if max(map(abs, move)) <= AT_HOME or REACH in map(abs, move):
            return None
        stands_out = (
            peak - float(np.median(score[far])) > CLEAR * noise
            and peak - float(here.max()) > 0.5 * CLEAR * noise
        )
        return move if stands_out else None


def _edges_by_shift(gray: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return how strong horizontal steps of brightness are around label boundaries: (points, row shifts, column shifts)."""
    span = 2 * REACH + 1
    step = max(1, gray.shape[0] // LINES)
    inner = labels[REACH:-REACH:step, REACH:-REACH]
    rows, cols = np.nonzero(inner[:, 1:] != inner[:, :-1])
    drawn = (inner[rows, cols] != UNLABELED) & (inner[rows, cols + 1] != UNLABELED)
    rows, cols = rows[drawn] * step, cols[drawn]
    thin = max(1, len(rows) // POINTS)
    around = np.lib.stride_tricks.sliding_window_view(gray, (span, span + 1))[
        rows[::thin], cols[::thin]
    ]
    # The square root, so that a few strong edges do not decide.
    strength: NDArray[np.float32] = np.sqrt(np.abs(np.diff(around, axis=2)))
    return strength
