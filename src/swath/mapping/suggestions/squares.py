"""Squares of a map: how many of their pixels are probably wrong, and what they look like."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from swath.geo.tiling import Window

SIDE = 48
"""Side of a square in pixels, at most."""

LEAST_SIDE = 8
"""Side of the squares of small maps, at least."""

WANTED = 1000
"""Squares that a small map is divided into, about."""

MAX_SQUARES = 8192
"""Squares that are kept, at most, unless a map has more blocks."""

UNKNOWN = -1
"""Class of a square whose second class is not known."""


@dataclass(frozen=True)
class Squares:
    """Squares of a map, each nearly `side_of` the map on a side.

    A pixel of confidence p is wrong with probability 1 - p; the sum over a square is the number of
    its pixels that are expected to be wrong.

    Attributes:
        windows: first row and column, height and width, int64 (n, 4).
        classes: what most pixels are mapped as, int64 (n,).
        others: the class that is most probable after it, int64 (n,); `UNKNOWN` where nobody knows.
        wrong: expected number of wrong pixels, float64 (n,).
        pixels: pixels with data, int64 (n,).
        features: what describes a square besides, float32 (n, numbers); may have no columns.
        labeled: whether it has a label, bool (n,).
    """

    windows: NDArray[np.int64]
    classes: NDArray[np.int64]
    others: NDArray[np.int64]
    wrong: NDArray[np.float64]
    pixels: NDArray[np.int64]
    features: NDArray[np.float32]
    labeled: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> Squares:
        return Squares(*(getattr(self, f.name)[chosen] for f in fields(self)))

    def window(self, i: int) -> Window:
        """Return the rows and columns of a square."""
        return Window(*self.windows[i].tolist())

    @property
    def shares(self) -> NDArray[np.float64]:
        """Expected share of wrong pixels, float64 (n,)."""
        return self.wrong / np.maximum(self.pixels, 1)


def side_of(height: int, width: int) -> int:
    """Return the side of the squares of a map in pixels, a multiple of 8."""
    side = int(math.sqrt(height * width / WANTED)) // LEAST_SIDE * LEAST_SIDE
    return min(SIDE, max(LEAST_SIDE, side))


class SquareGrid:
    """The squares that a block of a map is divided into.

    Args:
        block: rows and columns of the block.
        side: side of a square, nearly; see `side_of`.
    """

    def __init__(self, block: Window, side: int) -> None:
        self._ends = [
            np.linspace(0, length, max(1, round(length / side)) + 1).astype(np.int64)
            for length in (block.height, block.width)
        ]
        (rows, cols), starts = self._ends, np.meshgrid(*(e[:-1] for e in self._ends), indexing="ij")
        sides = np.meshgrid(np.diff(rows), np.diff(cols), indexing="ij")
        corner = (block.row, block.col)
        parts = [*(s + c for s, c in zip(starts, corner, strict=True)), *sides]
        self.windows = np.stack([part.ravel() for part in parts], axis=1)

    def sums(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        """Return sums (..., squares) of values (..., rows, columns)."""
        rows, cols = (ends[:-1] for ends in self._ends)
        by_row = np.add.reduceat(values, rows, axis=-2, dtype=np.float64)
        found = np.add.reduceat(by_row, cols, axis=-1)
        return np.asarray(found.reshape(*values.shape[:-2], -1))


def squares_of_classes(
    grid: SquareGrid,
    classes: NDArray[np.integer],
    confidence: NDArray[np.floating],
    valid: NDArray[np.bool_],
) -> Squares:
    """Describe squares of a block by what was mapped there.

    Args:
        grid: the squares.
        classes: codes or indices (rows, columns).
        confidence: probability of the class, 0..1 (rows, columns).
        valid: where there are data (rows, columns).
    """
    pixels = grid.sums(valid)
    names = np.unique(classes[valid])
    counts = np.stack([grid.sums(valid & (classes == name)) for name in names] or [pixels])
    found = names[counts.argmax(axis=0)] if len(names) else np.zeros(len(pixels))
    squares = Squares(
        grid.windows,
        found.astype(np.int64),
        np.full(len(pixels), UNKNOWN),
        grid.sums(np.where(valid, 1 - confidence, 0)),
        pixels.astype(np.int64),
        np.zeros((len(pixels), 0), np.float32),
        np.zeros(len(pixels), bool),
    )
    return _whole(squares)


def squares_of_probabilities(
    grid: SquareGrid,
    probabilities: NDArray[np.float32],
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    labeled: NDArray[np.bool_],
) -> Squares:
    """Describe squares of a block by the probabilities of classes and by the image.

    Args:
        grid: the squares.
        probabilities: of each class (classes, rows, columns).
        values: the image (bands, rows, columns), in units of its deviation.
        valid: where there are data (rows, columns).
        labeled: where there are labels (rows, columns).
    """
    pixels = grid.sums(valid)
    known = np.maximum(pixels, 1)
    shares = grid.sums(np.where(valid, probabilities, 0)) / known
    order = np.argsort(-shares, axis=0, kind="stable")
    bands = np.where(valid, values, 0)
    mean = grid.sums(bands) / known
    spread = np.sqrt(np.maximum(grid.sums(bands * bands) / known - mean**2, 0))
    squares = Squares(
        grid.windows,
        order[0],
        order[1] if len(order) > 1 else np.full(len(pixels), UNKNOWN),
        grid.sums(np.where(valid, 1 - probabilities.max(axis=0), 0)),
        pixels.astype(np.int64),
        np.concatenate([mean, spread, shares]).T.astype(np.float32),
        grid.sums(labeled) > 0,
    )
    return _whole(squares)


def join(parts: Iterable[Squares], blocks: int) -> Squares:
    """Join the squares of blocks, at most `MAX_SQUARES` where there are fewer blocks than that.

    Of each block, squares with labels come before others, and then those with most errors.

    Args:
        parts: of each block, some squares.
        blocks: number of blocks.
    """
    most = max(1, MAX_SQUARES // max(1, blocks))
    kept = []
    for part in parts:
        order = np.lexsort((-part.wrong, ~part.labeled))
        kept.append(part[np.sort(order[:most])])
    if not kept:
        grid, none = SquareGrid(Window(0, 0, 1, 1), 1), np.zeros((1, 1), np.uint8)
        return squares_of_classes(grid, none, none.astype(np.float32), none > 0)
    return Squares(
        *(np.concatenate([getattr(part, f.name) for part in kept]) for f in fields(Squares))
    )


def _whole(squares: Squares) -> Squares:
    """Return the squares half of whose pixels have data, or more."""
    _, _, heights, widths = squares.windows.T
    return squares[2 * squares.pixels >= heights * widths]
