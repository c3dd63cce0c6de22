"""Windows, tiles and blocks: how a raster is cut, and put together again without seams.

All numbers are pixels, rows before columns, half-open as in Python slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels.

    Attributes:
        row: first row.
        col: first column.
        height: number of rows.
        width: number of columns.
    """

    row: int
    col: int
    height: int
    width: int

    @property
    def stop(self) -> tuple[int, int]:
        """Row and column just past the last."""
        return self.row + self.height, self.col + self.width

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of an array (rows, columns) of the whole raster."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    def grow(self, margin: int) -> Window:
        """Return this window with `margin` more pixels on every side."""
        return Window(self.row - margin, self.col - margin, self.height + 2 * margin, self.width + 2 * margin)

    def within(self, outer: Window) -> Window:
        """Return the part of this window that lies in `outer`; its size is 0 where they do not meet."""
        row, col = max(self.row, outer.row), max(self.col, outer.col)
        stop_row, stop_col = min(self.stop[0], outer.stop[0]), min(self.stop[1], outer.stop[1])
        return Window(row, col, max(0, stop_row - row), max(0, stop_col - col))

    def relative_to(self, outer: Window) -> Window:
        """Return this window in the coordinates of `outer`."""
        return Window(self.row - outer.row, self.col - outer.col, self.height, self.width)


@dataclass(frozen=True)
class Tile:
    """A piece of work: `read` goes into the network, only `core` of the result is kept."""

    read: Window
    core: Window


def whole(height: int, width: int) -> Window:
    """Return the window of a whole raster."""
    return Window(0, 0, height, width)


def tiles(height: int, width: int, *, core: int, halo: int, stride: int) -> Iterator[Tile]:
    """Cut a raster into tiles whose cores partition it exactly.

    Cores start at multiples of `stride` and are at most `core` pixels a side, shrunk so that rows and columns come out even.
    `read` is the core and up to `halo` pixels around it, as far as the raster reaches.
    """
    outer = whole(height, width)
    step_row, step_col = (_even(length, core, stride) for length in (height, width))
    for row in range(0, height, step_row):
        for col in range(0, width, step_col):
            inner = Window(row, col, step_row, step_col).within(outer)
            yield Tile(inner.grow(halo).within(outer), inner)


def _even(length: int, core: int, stride: int) -> int:
    """Return the smallest multiple of `stride` that covers `length` in as few steps as `core` allows."""
    most = max(stride, core // stride * stride)
    steps = ceil(length / most)
    return ceil(length / steps / stride) * stride


def blocks(height: int, width: int, size: int) -> Iterator[tuple[int, Window]]:
    """Cut a raster into blocks of `size` pixels a side; yield (row * columns + column, window), edge blocks being smaller."""
    outer = whole(height, width)
    columns = ceil(width / size)
    for row in range(ceil(height / size)):
        for col in range(columns):
            yield row * columns + col, Window(row * size, col * size, size, size).within(outer)


def gap(a: Window, b: Window) -> int:
    """Return how many pixels lie between two windows, the larger of rows and columns; 0 where they touch or overlap."""
    rows = max(a.row - b.stop[0], b.row - a.stop[0], 0)
    cols = max(a.col - b.stop[1], b.col - a.stop[1], 0)
    return max(rows, cols)
