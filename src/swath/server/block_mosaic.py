"""Blocks of a raster that are put together for a window, at any scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.geo.tiling import Window

COARSE_STEP = 16
"""A copy of each block with every so many-th pixel serves low zooms."""


def coarse_copy(block: NDArray[Any]) -> NDArray[Any]:
    """Return every so many-th pixel of a block (rows, columns)."""
    return block[::COARSE_STEP, ::COARSE_STEP].copy()


class BlockMosaic:
    """Puts blocks together.

    Args:
        cores: the windows of the blocks, which do not overlap.
    """

    def __init__(self, cores: list[Window]) -> None:
        self.cores = cores
        self._edges = np.array([(c.row, c.stop[0], c.col, c.stop[1]) for c in cores])

    def meeting(self, window: Window) -> list[int]:
        """Return the positions of the blocks that share pixels with a window."""
        top, bottom, left, right = self._edges.T
        meets = (top < window.stop[0]) & (bottom > window.row)
        meets &= (left < window.stop[1]) & (right > window.col)
        return np.flatnonzero(meets).tolist()

    def read(
        self,
        window: Window,
        shape: tuple[int, int] | None,
        out: NDArray[Any],
        block: Callable[[int, bool], NDArray[Any] | None],
    ) -> None:
        """Fill an array with a window by nearest neighbor.

        Args:
            window: rows and columns of the raster.
            shape: of the array, None for that of the window.
            out: the array, which keeps its values where there is no block.
            block: returns a block by its position, whole or coarse (True), or None.
        """
        height, width = shape or (window.height, window.width)
        rows = window.row + ((np.arange(height) + 0.5) * window.height / height).astype(np.intp)
        cols = window.col + ((np.arange(width) + 0.5) * window.width / width).astype(np.intp)
        coarse = min(window.height / height, window.width / width) >= COARSE_STEP
        step = COARSE_STEP if coarse else 1
        for index in self.meeting(window):
            part = block(index, coarse)
            if part is None:
                continue
            core = self.cores[index]
            at_row = np.flatnonzero((rows >= core.row) & (rows < core.stop[0]))
            at_col = np.flatnonzero((cols >= core.col) & (cols < core.stop[1]))
            source = np.ix_((rows[at_row] - core.row) // step, (cols[at_col] - core.col) // step)
            out[np.ix_(at_row, at_col)] = part[source]
