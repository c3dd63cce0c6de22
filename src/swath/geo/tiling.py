"""Windows, tiles and blocks of a raster.

All numbers are pixels, rows before columns, half-open as in Python slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import numpy as np
import rasterio.windows
from numpy.typing import NDArray


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

    def to_rasterio(self) -> rasterio.windows.Window:
        """Return this window as rasterio takes it, columns before rows."""
        return rasterio.windows.Window(self.col, self.row, self.width, self.height)

    def grow(self, margin: int) -> Window:
        """Return this window with `margin` more pixels on every side."""
        height, width = self.height + 2 * margin, self.width + 2 * margin
        return Window(self.row - margin, self.col - margin, height, width)

    def within(self, outer: Window) -> Window:
        """Return the intersection with `outer`; its size is 0 where they do not meet."""
        row, col = max(self.row, outer.row), max(self.col, outer.col)
        stop_row, stop_col = min(self.stop[0], outer.stop[0]), min(self.stop[1], outer.stop[1])
        return Window(row, col, max(0, stop_row - row), max(0, stop_col - col))

    def relative_to(self, outer: Window) -> Window:
        """Return this window in the coordinates of `outer`."""
        return Window(self.row - outer.row, self.col - outer.col, self.height, self.width)


@dataclass(frozen=True)
class Tile:
    """Two windows: `read` goes into the network, and only `core` of the result is kept."""

    read: Window
    core: Window


def full_window(height: int, width: int) -> Window:
    """Return the window of a whole raster."""
    return Window(0, 0, height, width)


@dataclass(frozen=True)
class Tiling:
    """The tiles of a raster, numbered by rows and made when asked for: `len(tiling)`, `tiling[i]`.

    Cores partition the raster exactly. A core has at least `halo` pixels of its read window around
    it, wherever the raster reaches so far. All read windows have one shape and start at multiples
    of `stride`, so a network is built for one shape; windows at the lower and right edge may be cut
    by less than `stride`, to be padded again.

    Attributes:
        height: rows of the raster.
        width: its columns.
        read: rows and columns of a read window, multiples of `stride`.
        halo: pixels around a core, a multiple of `stride`.
        stride: the network's.
    """

    height: int
    width: int
    read: tuple[int, int]
    halo: int
    stride: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        rows, cols = (_count(n, side, self.halo, self.stride) for n, side in self._axes)
        return rows, cols

    def __len__(self) -> int:
        rows, cols = self.shape
        return rows * cols

    def __getitem__(self, index: int) -> Tile:
        if not 0 <= index < len(self):
            raise IndexError(index)
        row, col = divmod(index, self.shape[1])
        (top, bottom, first_row), (left, right, first_col) = (
            self._span(place, *axis) for place, axis in zip((row, col), self._axes, strict=True)
        )
        outer = full_window(self.height, self.width)
        read = Window(first_row, first_col, *self.read).within(outer)
        return Tile(read, Window(top, left, bottom - top, right - left))

    def __iter__(self) -> Iterator[Tile]:
        return (self[i] for i in range(len(self)))

    def meeting(self, area: Window) -> Iterator[Tile]:
        """Yield the tiles whose cores meet an area."""
        if not area.within(full_window(self.height, self.width)).size:
            return
        rows, cols = (
            range(self._place(start, *axis), self._place(stop - 1, *axis) + 1)
            for start, stop, axis in zip((area.row, area.col), area.stop, self._axes, strict=True)
        )
        yield from (self[row * self.shape[1] + col] for row in rows for col in cols)

    @property
    def overhead(self) -> float:
        """Pixels read for each pixel of the raster."""
        return len(self) * self.read[0] * self.read[1] / (self.height * self.width)

    @property
    def _axes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return (self.height, self.read[0]), (self.width, self.read[1])

    def _place(self, pixel: int, length: int, side: int) -> int:
        """Return the index of the core that holds a pixel, along one axis."""
        step, last = max(1, side - 2 * self.halo), _count(length, side, self.halo, self.stride) - 1
        return min(max(0, (pixel - self.halo) // step), last)

    def _span(self, place: int, length: int, side: int) -> tuple[int, int, int]:
        """Return start and stop of a core, and start of its read window, along one axis."""
        count, step = _count(length, side, self.halo, self.stride), side - 2 * self.halo
        start = place * step + self.halo if place else 0
        stop = (place + 1) * step + self.halo if place < count - 1 else length
        return start, stop, max(0, min(place * step, _padded(length, self.stride) - side))


def fit_tiling(height: int, width: int, *, most: int, halo: int, stride: int) -> Tiling:
    """Return the tiling that reads fewest pixels with read windows of at most `most` pixels.

    If not even the smallest core fits, that is taken.
    """
    best: tuple[tuple[int, int, int], tuple[int, int]] | None = None
    for rows in _sides(height, halo, stride, most):
        cols = next(_sides(width, halo, stride, most // rows))
        count = _count(height, rows, halo, stride) * _count(width, cols, halo, stride)
        rank = max(0, rows * cols - most), rows * cols * count, abs(rows - cols)
        if best is None or rank < best[0]:
            best = rank, (rows, cols)
    assert best is not None  # noqa: S101 - there is always a shortest side
    return Tiling(height, width, best[1], halo, stride)


def square_tiling(height: int, width: int, *, side: int, halo: int, stride: int) -> Tiling:
    """Return the tiling of read windows of `side` pixels, or of the raster if it is smaller."""
    rows, cols = (min(side // stride * stride, _padded(n, stride)) for n in (height, width))
    return Tiling(height, width, (rows, cols), halo, stride)


def _padded(length: int, stride: int) -> int:
    return ceil(length / stride) * stride


def _count(length: int, side: int, halo: int, stride: int) -> int:
    """Return the number of windows of `side` pixels that cover a length."""
    padded = _padded(length, stride)
    return 1 if side >= padded else ceil((padded - 2 * halo) / (side - 2 * halo))


def _sides(length: int, halo: int, stride: int, most: int) -> Iterator[int]:
    """Yield sides, up to `most`, that cover a length evenly, longest first; else the shortest."""
    padded, shortest = _padded(length, stride), stride + 2 * halo
    if padded <= max(most, shortest):
        yield padded
    inner, longest = padded - 2 * halo, max(stride, (most - 2 * halo) // stride * stride)
    count = max(2, ceil(inner / longest))
    while count <= ceil(inner / stride):
        strides = -(-inner // (count * stride))
        if strides * stride + 2 * halo != padded:
            yield strides * stride + 2 * halo
        if strides == 1:
            break
        count = -(-inner // ((strides - 1) * stride))  # the next that has shorter sides


def iter_blocks(height: int, width: int, size: int) -> Iterator[tuple[int, Window]]:
    """Yield the blocks of `size` pixels a side of a raster, as (row * columns + column, window).

    Blocks at the lower and right edge are smaller.
    """
    outer = full_window(height, width)
    columns = ceil(width / size)
    for row in range(ceil(height / size)):
        for col in range(columns):
            yield row * columns + col, Window(row * size, col * size, size, size).within(outer)


def window_distance(a: Window, b: Window) -> int:
    """Return the larger of the rows and columns between two windows; 0 if they touch or overlap."""
    rows = max(a.row - b.stop[0], b.row - a.stop[0], 0)
    cols = max(a.col - b.stop[1], b.col - a.stop[1], 0)
    return max(rows, cols)


class Pixels(NamedTuple):
    """Pixels of a window: `values` (bands, rows, columns), and `valid`, bool (rows, columns)."""

    values: NDArray[Any]
    valid: NDArray[np.bool_]
