import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.grid import Window, blocks, gap, tiles, whole

side = st.integers(1, 300)
windows = st.builds(Window, *[st.integers(-50, 50)] * 2, *[st.integers(1, 60)] * 2)


@given(side, side, st.integers(1, 200), st.integers(0, 64), st.sampled_from([1, 8, 16, 32]))
def test_cores_partition_and_reads_contain_them(height, width, core, halo, stride):
    count = np.zeros((height, width), int)
    for tile in tiles(height, width, core=core, halo=halo, stride=stride):
        count[tile.core.slices] += 1
        assert tile.core.row % stride == tile.core.col % stride == 0
        assert max(tile.core.height, tile.core.width) <= max(core, stride)
        assert tile.core.within(tile.read) == tile.core
        assert tile.read == tile.core.grow(halo).within(whole(height, width))
    assert (count == 1).all()


@given(side, st.integers(32, 200))
def test_cores_come_out_even(length, core):
    heights = [t.core.height for t in tiles(length, 1, core=core, halo=0, stride=8)]
    assert len(heights) == -(-length // (core // 8 * 8))
    assert len(set(heights[:-1])) <= 1
    assert heights[-1] <= heights[0]


def test_a_small_raster_is_one_tile():
    (tile,) = tiles(30, 50, core=512, halo=64, stride=32)
    assert tile.core == tile.read == Window(0, 0, 30, 50)


@given(side, side, st.integers(20, 200))
def test_blocks_partition_and_are_numbered_by_rows(height, width, size):
    seen = np.full((height, width), -1)
    for number, window in blocks(height, width, size):
        assert (seen[window.slices] == -1).all()
        seen[window.slices] = number
    rows, cols = np.indices((height, width)) // size
    assert (seen == rows * -(-width // size) + cols).all()


@given(windows, windows)
def test_within_is_the_common_part(a, b):
    common = set(_pixels(a)) & set(_pixels(b))
    assert a.within(b).size == len(common)
    assert not common or set(_pixels(a.within(b))) == common


@given(windows, windows)
def test_gap_is_zero_only_where_windows_touch(a, b):
    assert gap(a, b) == gap(b, a)
    for margin in range(3):
        assert (a.grow(margin + 1).within(b).size > 0) == (gap(a, b) <= margin)


@given(windows, windows, st.integers(0, 20))
def test_relative_and_grown_windows_keep_their_place(a, b, margin):
    inner = a.relative_to(b)
    assert (inner.row + b.row, inner.col + b.col, inner.size) == (a.row, a.col, a.size)
    assert a.grow(margin).grow(-margin) == a


def test_rows_come_before_columns():
    window = Window(1, 2, 3, 5)
    array = np.arange(100).reshape(10, 10)
    assert array[window.slices].shape == (3, 5)
    assert array[window.slices][0, 0] == 12
    assert (window.stop, window.size) == ((4, 7), 15)


@pytest.mark.parametrize(
    ("b", "pixels"),
    [(Window(0, 10, 10, 10), 0), (Window(0, 13, 10, 10), 3), (Window(12, 17, 4, 4), 7), (Window(5, 5, 2, 2), 0)],
)
def test_gap_counts_pixels(b, pixels):
    assert gap(Window(0, 0, 10, 10), b) == pixels


def _pixels(window):
    return [(r, c) for r in range(window.row, window.stop[0]) for c in range(window.col, window.stop[1])]
