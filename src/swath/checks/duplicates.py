"""Which images show the same: a small gray picture of each, a perceptual hash of it, and a hash of all pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window

SIDE = 32
"""Rows and columns of the small picture."""

BITS = 8
"""Lowest frequencies a side that the hash keeps."""

NEAR = 6
"""Bits in which the hashes of near-duplicates may differ, of 63."""

ALIKE = 0.985
"""Correlation of the small pictures of near-duplicates, at least."""

BATCH = 2048
"""Images that are compared with all others at once."""


class ImageHash:
    """Gathers the small picture of an image and the hash of its pixels.

    Args:
        grid: the image's grid.
    """

    def __init__(self, grid: GeoBox) -> None:
        self._grid = grid
        self._sum = np.zeros((SIDE, SIDE))
        self._count = np.zeros((SIDE, SIDE))
        self._hash = hashlib.sha1(f"{grid.height}x{grid.width}".encode(), usedforsecurity=False)

    def add(
        self,
        window: Window,
        values: NDArray[Any],
        gray: NDArray[np.float32],
        valid: NDArray[np.bool_],
    ) -> None:
        """Take in a window: its values (bands, rows, columns), their mean over bands (0 where invalid), and validity."""
        self._hash.update(np.ascontiguousarray(values).view(np.uint8).data)
        rows, row_starts = _cells(window.row, window.height, self._grid.height)
        cols, col_starts = _cells(window.col, window.width, self._grid.width)
        for into, what in ((self._sum, gray), (self._count, valid)):
            if what is valid and valid.all():
                cells = np.outer(
                    np.diff(row_starts, append=window.height),
                    np.diff(col_starts, append=window.width),
                )
            else:
                sums = np.add.reduceat(what, row_starts, axis=0, dtype=np.float32)
                cells = np.add.reduceat(sums, col_starts, axis=1)
            into[np.ix_(rows, cols)] += cells

    @property
    def digest(self) -> str:
        """Hash of size and pixels."""
        return self._hash.hexdigest()

    @property
    def picture(self) -> NDArray[np.float64]:
        """The small picture (32, 32): means of cells, and of the whole where a cell has no valid pixel."""
        mean = self._sum.sum() / max(self._count.sum(), 1)
        picture: NDArray[np.float64] = np.where(
            self._count > 0, self._sum / np.maximum(self._count, 1), mean
        )
        return picture


def _cells(start: int, length: int, of: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the cells that a window's rows, or columns, fall into, and where in the window each begins."""
    return np.unique(np.arange(start, start + length) * SIDE // of, return_index=True)


def perceptual_hash(picture: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return 63 signs (-1 or 1): which low frequencies of a picture (32, 32) lie above their median.

    Source: Zauner 2010, "Implementation and benchmarking of perceptual image hash functions" (DCT
    hash).
    """
    k = np.arange(SIDE)
    cosines = np.cos(np.pi / SIDE * (k[None] + 0.5) * k[:BITS, None])
    low = (cosines @ picture @ cosines.T).ravel()[1:]
    signs: NDArray[np.float32] = np.where(low > np.median(low), 1, -1).astype(np.float32)
    return signs


def near_duplicates(pictures: Sequence[NDArray[np.float64]]) -> Iterator[tuple[int, int]]:
    """Yield pairs (i, j), i < j, of images whose hashes and small pictures are nearly the same; each j once, with its first i.

    Pictures without texture (water, snow) are left out: they are alike without being the same.
    """
    textured = [
        i for i, p in enumerate(pictures) if p.std() > 0.02 * max(1.0, float(np.abs(p).mean()))
    ]
    if not textured:
        return
    signs = np.stack([perceptual_hash(pictures[i]) for i in textured])
    flat = np.stack(
        [(pictures[i] - pictures[i].mean()).ravel() / pictures[i].std() for i in textured]
    )
    paired = np.zeros(len(textured), bool)
    for start in range(0, len(textured), BATCH):
        near = signs[start : start + BATCH] @ signs.T >= signs.shape[1] - 2 * NEAR
        for i, hits in enumerate(near, start):
            later = i + 1 + np.flatnonzero(hits[i + 1 :] & ~paired[i + 1 :])
            same = later[flat[later] @ flat[i] / SIDE**2 >= ALIKE]
            paired[same] = True
            yield from ((textured[i], textured[j]) for j in same.tolist())
