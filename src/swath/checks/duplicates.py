"""Duplicate images: thumbnails, perceptual hashes, and hashes of all pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window

THUMBNAIL_SIDE = 32  # rows and columns of a thumbnail
FREQUENCIES = 8  # lowest frequencies, in each direction, of which the hash consists
MAX_DIFFERENT_BITS = 6  # bits in which the hashes of near-duplicates may differ, of 63
MIN_CORRELATION = 0.985  # correlation of the thumbnails of near-duplicates, at least
COMPARED_AT_ONCE = 2048  # images that are compared with all others at once


class ImageHash:
    """Thumbnail of an image and hash of its pixels, window by window."""

    def __init__(self, grid: GeoBox) -> None:
        self._grid = grid
        self._sum = np.zeros((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        self._count = np.zeros((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        self._hash = hashlib.sha1(f"{grid.height}x{grid.width}".encode(), usedforsecurity=False)

    def add(
        self,
        window: Window,
        values: NDArray[Any],
        gray: NDArray[np.float32],
        valid: NDArray[np.bool_],
    ) -> None:
        """Add a window: values (bands, rows, columns), their mean (0 if invalid), and validity."""
        self._hash.update(np.ascontiguousarray(values).view(np.uint8).data)
        rows, row_starts = _cells(window.row, window.height, self._grid.height)
        cols, col_starts = _cells(window.col, window.width, self._grid.width)
        for total, layer in ((self._sum, gray), (self._count, valid)):
            if layer is valid and valid.all():
                heights = np.diff(row_starts, append=window.height)
                cells = np.outer(heights, np.diff(col_starts, append=window.width))
            else:
                sums = np.add.reduceat(layer, row_starts, axis=0, dtype=np.float32)
                cells = np.add.reduceat(sums, col_starts, axis=1)
            total[np.ix_(rows, cols)] += cells

    @property
    def digest(self) -> str:
        """Hash of size and pixels."""
        return self._hash.hexdigest()

    @property
    def thumbnail(self) -> NDArray[np.float64]:
        """Means of cells (32, 32); the mean of all where a cell has no valid pixel."""
        mean = self._sum.sum() / max(self._count.sum(), 1)
        means = self._sum / np.maximum(self._count, 1)
        thumbnail: NDArray[np.float64] = np.where(self._count > 0, means, mean)
        return thumbnail


def _cells(start: int, length: int, of: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the cells of a window's rows (or columns), and where in the window each begins."""
    cells = np.arange(start, start + length) * THUMBNAIL_SIDE // of
    return np.unique(cells, return_index=True)


def perceptual_hash(thumbnail: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return 63 signs (-1 or 1): which low frequencies of a thumbnail lie above their median.

    Source: Zauner 2010, "Implementation and benchmarking of perceptual image hash functions" (DCT
    hash).
    """
    k = np.arange(THUMBNAIL_SIDE)
    cosines = np.cos(np.pi / THUMBNAIL_SIDE * (k[None] + 0.5) * k[:FREQUENCIES, None])
    low = (cosines @ thumbnail @ cosines.T).ravel()[1:]
    signs: NDArray[np.float32] = np.where(low > np.median(low), 1, -1).astype(np.float32)
    return signs


def near_duplicates(thumbnails: Sequence[NDArray[np.float64]]) -> Iterator[tuple[int, int]]:
    """Yield pairs (i, j), i < j, of images that are nearly the same; each j once, with its first i.

    Hashes and thumbnails are compared. Images without texture (water, snow) are left out: they
    look alike without being the same.
    """
    textured = [i for i, t in enumerate(thumbnails) if _has_texture(t)]
    if not textured:
        return
    signs = np.stack([perceptual_hash(thumbnails[i]) for i in textured])
    flat = np.stack([_standardized(thumbnails[i]) for i in textured])
    paired = np.zeros(len(textured), bool)
    for start in range(0, len(textured), COMPARED_AT_ONCE):
        agreement = signs[start : start + COMPARED_AT_ONCE] @ signs.T
        near = agreement >= signs.shape[1] - 2 * MAX_DIFFERENT_BITS
        for i, hits in enumerate(near, start):
            later = i + 1 + np.flatnonzero(hits[i + 1 :] & ~paired[i + 1 :])
            same = later[flat[later] @ flat[i] / THUMBNAIL_SIDE**2 >= MIN_CORRELATION]
            paired[same] = True
            yield from ((textured[i], textured[j]) for j in same.tolist())


def in_one_orientation(thumbnail: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn and mirror a thumbnail (rows, columns), so that all eight views of an image become one.

    The brighter half is put right and below, and the larger of both differences to the right.
    """
    rows, cols = thumbnail.mean(axis=1), thumbnail.mean(axis=0)
    ramp = np.arange(THUMBNAIL_SIDE) - (THUMBNAIL_SIDE - 1) / 2
    down, right = float(rows @ ramp), float(cols @ ramp)
    turned = thumbnail[:: 1 if down >= 0 else -1, :: 1 if right >= 0 else -1]
    return turned if abs(right) >= abs(down) else turned.T


def _has_texture(thumbnail: NDArray[np.float64]) -> bool:
    return bool(thumbnail.std() > 0.02 * max(1.0, float(np.abs(thumbnail).mean())))


def _standardized(thumbnail: NDArray[np.float64]) -> NDArray[np.float64]:
    flat: NDArray[np.float64] = (thumbnail - thumbnail.mean()).ravel() / thumbnail.std()
    return flat
