"""Alignment of labels with the edges of an image: the shift, if there is one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.io.labels import UNLABELED

MAX_SHIFT = 12  # largest shift that is tried, in pixels, in each direction
MAX_POINTS = 600  # boundary pixels that are sampled in a chunk, in each direction
MAX_LINES = 256  # rows, and columns, of a chunk in which boundary pixels are sampled
MAX_CHUNKS = 16  # chunks of an image that are sampled
MIN_POINTS = 400  # boundary pixels that are needed to find a shift
MIN_PEAK = 6.0  # standard deviations of other shifts by which the best one exceeds their median
TOLERATED_SHIFT = 2  # shift in pixels that labels drawn by hand have anyway


class Alignment:
    """Mean strength of the image's edges at the boundaries of the labels, by shift of the labels.

    Shifted labels show by a clear peak away from 0. Boundaries to unlabeled pixels do not count:
    they are drawn anywhere.
    """

    def __init__(self) -> None:
        side = 2 * MAX_SHIFT + 1
        self._sum = np.zeros((side, side))
        self._points = 0
        self._chunks = 0

    def add(self, gray: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        """Add a window: brightness and labels, both (rows, columns)."""
        if self._chunks >= MAX_CHUNKS or min(gray.shape) <= 4 * MAX_SHIFT:
            return
        self._chunks += 1
        across, down = _edges_by_shift(gray, labels), _edges_by_shift(gray.T, labels.T)
        self._sum += across.sum(axis=0) + down.sum(axis=0).T
        self._points += len(across) + len(down)

    @property
    def shift(self) -> tuple[int, int] | None:
        """Rows and columns by which to move the labels onto the edges; None without a clear one."""
        if self._points < MIN_POINTS:
            return None
        score = self._sum / self._points
        row, col = map(int, np.unravel_index(int(score.argmax()), score.shape))
        move = row - MAX_SHIFT, col - MAX_SHIFT
        if max(map(abs, move)) <= TOLERATED_SHIFT or MAX_SHIFT in map(abs, move):
            return None
        far = np.ones(score.shape, bool)
        far[max(0, row - 3) : row + 4, max(0, col - 3) : col + 4] = False
        center = slice(MAX_SHIFT - TOLERATED_SHIFT, MAX_SHIFT + TOLERATED_SHIFT + 1)
        needed = MIN_PEAK * float(score[far].std())
        over_others = float(score.max()) - float(np.median(score[far]))
        over_unmoved = float(score.max()) - float(score[center, center].max())
        return move if over_others > needed and over_unmoved > 0.5 * needed else None


def _edges_by_shift(gray: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the strength of horizontal edges around label boundaries.

    The shape is (points, row shifts, column shifts).
    """
    span = 2 * MAX_SHIFT + 1
    step = max(1, gray.shape[0] // MAX_LINES)
    inner = labels[MAX_SHIFT:-MAX_SHIFT:step, MAX_SHIFT:-MAX_SHIFT]
    rows, cols = np.nonzero(inner[:, 1:] != inner[:, :-1])
    labeled = (inner[rows, cols] != UNLABELED) & (inner[rows, cols + 1] != UNLABELED)
    rows, cols = rows[labeled] * step, cols[labeled]
    thin = max(1, len(rows) // MAX_POINTS)
    windows = np.lib.stride_tricks.sliding_window_view(gray, (span, span + 1))
    around = windows[rows[::thin], cols[::thin]]
    # The square root, so that a few strong edges do not decide.
    strength: NDArray[np.float32] = np.sqrt(np.abs(np.diff(around, axis=2)))
    return strength
