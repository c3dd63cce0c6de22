import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.geo.tiling import (
    Tiling,
    Window,
    fit_tiling,
    full_window,
    iter_blocks,
    square_tiling,
    window_distance,
)

side = st.integers(1, 300)
windows = st.builds(Window, *[st.integers(-50, 50)] * 2, *[st.integers(1, 60)] * 2)


strides = st.sampled_from([1, 8, 32])


def check_tiling(tiling):
    """Cores partition and have their halo inside the raster; all reads have one shape."""
    outer, count = (
        full_window(tiling.height, tiling.width),
        np.zeros((tiling.height, tiling.width), int),
    )
    for tile in tiling:
        count[tile.core.slices] += 1
        assert tile.core.size and tile.core.grow(tiling.halo).within(outer).within(
            tile.read
        ) == tile.core.grow(tiling.halo).within(outer)
        assert tile.read.row % tiling.stride == tile.read.col % tiling.stride == 0
        for side, full in zip((tile.read.height, tile.read.width), tiling.read, strict=True):
            assert -(-side // tiling.stride) * tiling.stride == full
    assert (count == 1).all()


@given(side, side, st.integers(1, 40_000), st.integers(0, 4), strides)
def test_fitted_tiles_partition_the_raster(height, width, most, halos, stride):
    tiling = fit_tiling(height, width, most=most, halo=halos * stride, stride=stride)
    check_tiling(tiling)
    smallest = [min(2 * tiling.halo + stride, -(-n // stride) * stride) for n in (height, width)]
    assert tiling.read[0] * tiling.read[1] <= max(most, smallest[0] * smallest[1])


@given(side, side, st.integers(1, 8), st.integers(0, 3), strides)
def test_tiles_of_one_side_partition_the_raster(height, width, steps, halos, stride):
    check_tiling(
        square_tiling(
            height, width, side=(steps + 2 * halos) * stride, halo=halos * stride, stride=stride
        )
    )


def test_a_small_raster_is_one_tile():
    (tile,) = fit_tiling(30, 50, most=10_000, halo=64, stride=32)
    assert tile.core == tile.read == Window(0, 0, 30, 50)


def test_more_memory_never_reads_more():
    overheads = [
        fit_tiling(8192, 8192, most=most, halo=128, stride=32).overhead
        for most in (10**6, 2 * 10**6, 4 * 10**6, 7 * 10**7)
    ]
    assert (
        overheads == sorted(overheads, reverse=True) and overheads[-1] == 1 and overheads[2] < 1.35
    )


def test_no_other_tiling_reads_less():
    best, most = fit_tiling(700, 900, most=300 * 300, halo=32, stride=32), 300 * 300
    others = [
        Tiling(700, 900, (rows, cols), 32, 32).overhead
        for rows in range(96, 705, 32)
        for cols in range(96, 929, 32)
        if rows * cols <= most
    ]
    assert best.overhead == min(others)


def test_tiles_are_numbered_and_made_when_asked_for():
    tiling = fit_tiling(10**6, 10**6, most=4 * 10**6, halo=128, stride=32)
    assert len(tiling) > 10**5
    assert tiling[len(tiling) - 1].core.stop == (10**6, 10**6)
    with pytest.raises(IndexError):
        tiling[len(tiling)]


def test_only_tiles_that_meet_an_area_are_given():
    tiling, area = fit_tiling(300, 300, most=128 * 128, halo=32, stride=32), Window(10, 10, 20, 20)
    assert [t.core.within(area).size for t in tiling.meeting(area)] == [400]


@given(side, side, st.integers(20, 200))
def test_blocks_partition_and_are_numbered_by_rows(height, width, size):
    seen = np.full((height, width), -1)
    for number, window in iter_blocks(height, width, size):
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
    assert window_distance(a, b) == window_distance(b, a)
    for margin in range(3):
        assert (a.grow(margin + 1).within(b).size > 0) == (window_distance(a, b) <= margin)


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
    [
        (Window(0, 10, 10, 10), 0),
        (Window(0, 13, 10, 10), 3),
        (Window(12, 17, 4, 4), 7),
        (Window(5, 5, 2, 2), 0),
    ],
)
def test_gap_counts_pixels(b, pixels):
    assert window_distance(Window(0, 0, 10, 10), b) == pixels


def _pixels(window):
    return [
        (r, c) for r in range(window.row, window.stop[0]) for c in range(window.col, window.stop[1])
    ]
