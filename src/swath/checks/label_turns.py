"""Labels that are mirrored or turned against their image, and codes that resampling has blended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from swath.checks.scan_statistics import count_values
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window
from swath.io.labels import UNLABELED

SIDE = 256  # rows and columns of the decimated image that is compared, at most
MIN_POINTS = 400  # boundary pixels that are needed
MAX_POINTS = 4000  # boundary pixels that are compared
ROLLS = 48  # moved labels, of which no edge is that of the image
MIN_FIT = 8.0  # deviations of moved labels by which turned ones exceed their mean
MAX_FIT = 3.0  # deviations by which labels that do not fit may exceed it
BLOCK = 256  # rows and columns of a window in which codes are compared with their neighbors
REACH = 2  # pixels to the codes on both sides of a blended one
MIN_BLENDED = 0.8  # share of a code's pixels that lie between two others
MIN_BLENDED_CODES = 2  # codes of which that holds; one may be a class of borders

Turn: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.int64]]

TURNS: dict[str, Turn] = {
    "mirrored top to bottom": lambda a: a[::-1],
    "mirrored left to right": lambda a: a[:, ::-1],
    "turned by 180 degrees": lambda a: a[::-1, ::-1],
    "turned by 90 degrees to the left": lambda a: np.rot90(a),
    "turned by 90 degrees to the right": lambda a: np.rot90(a, -1),
    "transposed": lambda a: a.T,
    "turned and mirrored": lambda a: a[::-1, ::-1].T,
}
"""What brings labels onto an image that they do not fit; the last four need squares."""


class TurnedLabels:
    """Edges of an image at the boundaries of its labels, turned in all ways.

    Args:
        grid: of the image.
    """

    def __init__(self, grid: GeoBox) -> None:
        self._step = max(1, -(-max(grid.height, grid.width) // SIDE))
        shape = -(-grid.height // self._step), -(-grid.width // self._step)
        self._gray = np.zeros(shape, np.float32)
        self._codes = np.full(shape, UNLABELED, np.int64)

    def add(self, window: Window, gray: NDArray[np.float32], codes: NDArray[np.int64]) -> None:
        """Add a window: brightness and labels, both (rows, columns)."""
        step = self._step
        row, col = -window.row % step, -window.col % step
        part = gray[row::step, col::step]
        rows, cols = -(-window.row // step), -(-window.col // step)
        at = slice(rows, rows + part.shape[0]), slice(cols, cols + part.shape[1])
        self._gray[at] = part
        self._codes[at] = codes[row::step, col::step]

    @property
    def turn(self) -> str | None:
        """The turn that brings the labels onto the image; None where they fit."""
        if min(self._gray.shape) < 32:
            return None
        edges = np.sqrt(np.abs(np.diff(self._gray, axis=1)))[:-1]
        edges = edges + np.sqrt(np.abs(np.diff(self._gray, axis=0)))[:, :-1]
        own = _boundaries(self._codes)
        if len(own) < MIN_POINTS:
            return None
        moved = [_fit(edges, own + by) for by in _rolls(edges.shape)]
        mean, spread = float(np.mean(moved)), float(np.std(moved))
        if not spread or _fit(edges, own) > mean + MAX_FIT * spread:
            return None
        square = self._gray.shape[0] == self._gray.shape[1]
        names = list(TURNS) if square else list(TURNS)[:3]
        fits = [_fit(edges, _boundaries(TURNS[name](self._codes))) for name in names]
        best = int(np.argmax(fits))
        return names[best] if fits[best] > mean + MIN_FIT * spread else None


def _boundaries(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return rows and columns (points, 2) of labeled pixels that a boundary parts from the next."""
    here, right, below = codes[:-1, :-1], codes[:-1, 1:], codes[1:, :-1]
    labeled = (here != UNLABELED) & (right != UNLABELED) & (below != UNLABELED)
    found = np.argwhere(labeled & ((here != right) | (here != below)))
    return found[:: max(1, len(found) // MAX_POINTS)]


def _rolls(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return moves (rolls, 1, 2) of labels, around the image, that are far from none."""
    rng = np.random.default_rng(0)
    least, most = np.array(shape) // 6, np.array(shape) - np.array(shape) // 6
    return rng.integers(least, most, (ROLLS, 2))[:, None]


def _fit(edges: NDArray[np.float32], points: NDArray[np.int64]) -> float:
    rows, cols = points[:, 0] % edges.shape[0], points[:, 1] % edges.shape[1]
    return float(edges[rows, cols].mean())


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
