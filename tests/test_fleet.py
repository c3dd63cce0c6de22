import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from swath.classes import IGNORE
from swath.fleet import CORE, Engine, classify, plan
from swath.grid import Window
from swath.raster import Grid, Pixels


class Array:
    """A source of pixels (bands, rows, columns) that remembers the windows it was asked for."""

    def __init__(self, values, valid=None):
        self.values = values
        self.valid = np.ones(values.shape[1:], bool) if valid is None else valid
        self.grid = Grid(*values.shape[1:])
        self.windows = []

    def read(self, window):
        self.windows.append(window)
        return Pixels(self.values[(slice(None), *window.slices)], self.valid[window.slices])


def one_hot(raw):
    """A network that knows the class from the first band."""
    return np.stack([-np.abs(raw[:, 0] - i) for i in range(200)], axis=1)


def put_together(source, engine, area=None):
    out = np.full(source.grid.window.slices and source.values.shape[1:], 254, np.uint8)
    for window, indices in classify(source, engine, area):
        assert (out[window.slices] == 254).all(), "two tiles write one pixel"
        out[window.slices] = indices
    return out


@given(st.integers(1, 150), st.integers(1, 150), st.sampled_from([1, 8, 32]), st.integers(0, 3))
def test_pixel_coordinates_come_out_exactly(height, width, stride, halos):
    rows, cols = np.indices((height, width))
    pattern = ((rows * 7 + cols * 13) % 200).astype(np.uint8)
    source = Array(pattern[None])
    np.testing.assert_array_equal(put_together(source, Engine(one_hot, [0.0], stride, halos * stride)), pattern)


def test_many_tiles_come_out_exactly_and_reads_are_bounded():
    rows, cols = np.indices((2 * CORE + 100, CORE + 33))
    pattern = ((rows * 3 + cols) % 200).astype(np.uint8)
    source = Array(pattern[None])
    result = np.empty_like(pattern)
    few = lambda raw: one_hot(raw[..., :, :])  # noqa: E731
    for window, indices in classify(source, Engine(few, [0.0], 32, 64), Window(0, 0, 300, 300)):
        result[window.slices] = indices
    np.testing.assert_array_equal(result[:300, :300], pattern[:300, :300])
    assert max(w.height for w in source.windows) <= CORE + 128


@pytest.mark.parametrize("halo", [32, 64])
def test_a_halo_as_wide_as_the_network_looks_leaves_no_seam(halo):
    values = np.random.default_rng(0).integers(0, 2, (1, 2000, 900)).astype(np.float32)

    def blur(raw):
        smooth = uniform_filter(raw[0, 0], 41, mode="constant")
        return np.stack([0.5 - smooth, smooth - 0.5])[None]

    whole = blur(values[None])[0].argmax(0).astype(np.uint8)
    tiled = put_together(Array(values), Engine(blur, [0.0], 32, halo))
    assert (whole != tiled).mean() == 0


def test_too_narrow_a_halo_does_leave_seams():
    values = np.random.default_rng(0).integers(0, 2, (1, 2000, 900)).astype(np.float32)

    def blur(raw):
        smooth = uniform_filter(raw[0, 0], 41, mode="constant")
        return np.stack([0.5 - smooth, smooth - 0.5])[None]

    whole = blur(values[None])[0].argmax(0).astype(np.uint8)
    assert (whole != put_together(Array(values), Engine(blur, [0.0], 32, 0))).any()


def test_an_area_is_covered_exactly_and_gets_what_the_whole_gets():
    pattern = np.random.default_rng(0).integers(0, 200, (1, 300, 300)).astype(np.uint8)
    engine, area = Engine(one_hot, [0.0], 32, 32), Window(37, 101, 150, 99)
    result = put_together(Array(pattern), engine, area)
    inside = np.zeros((300, 300), bool)
    inside[area.slices] = True
    assert (result[~inside] == 254).all()
    np.testing.assert_array_equal(result[inside], pattern[0][inside])


def test_invalid_pixels_are_filled_and_have_no_class():
    values = np.full((2, 40, 40), 1000.0, np.float32)
    valid = np.zeros((40, 40), bool)
    valid[:, :20] = True
    values[:, :, 20:] = np.nan
    seen = []

    def spy(raw):
        seen.append(raw.copy())
        return np.zeros((1, 2, *raw.shape[2:]), np.float32)

    result = put_together(Array(values, valid), Engine(spy, [3.0, 4.0], 32, 0))
    assert (result[:, :20] == 0).all() and (result[:, 20:] == IGNORE).all()
    assert seen[0].shape == (1, 2, 64, 64)
    assert (seen[0][0, 0, :40, 20:40] == 3).all() and (seen[0][0, 1, 40:] == 4).all()


def test_tiles_without_any_data_are_not_computed():
    def refuse(raw):
        raise AssertionError("computed")

    source = Array(np.zeros((1, 50, 50), np.uint8), np.zeros((50, 50), bool))
    assert (put_together(source, Engine(refuse, [0.0], 32, 32)) == IGNORE).all()


def test_the_plan_of_a_huge_raster_is_made_of_small_reads():
    tiles = plan(Grid(100_000, 30_000), Engine(one_hot, [0.0], 32, 128))
    assert sum(t.core.size for t in tiles) == 100_000 * 30_000
    assert max(t.read.size for t in tiles) <= (CORE + 256) ** 2
