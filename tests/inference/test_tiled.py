import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from swath.errors import DataError, ModelError
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Pixels, Window, fit_tiling
from swath.inference.output import OutputSpec
from swath.inference.tiled import (
    MAX_NETWORK_PIXELS,
    TiledPredictor,
    centered_window,
    classify,
    plan_tiles,
    predict_tiles,
    predict_window,
    read_scaled,
)
from swath.inference.tta import resample
from swath.legend import IGNORE
from tests.errors import fails


class Array:
    """A source of pixels (bands, rows, columns) that remembers the windows it was asked for."""

    def __init__(self, values, valid=None):
        self.values = values
        self.valid = np.ones(values.shape[1:], bool) if valid is None else valid
        self.grid = GeoBox(*values.shape[1:])
        self.windows = []

    def read(self, window):
        self.windows.append(window)
        return Pixels(self.values[(slice(None), *window.slices)], self.valid[window.slices])


def one_hot(raw):
    """A network that knows the class from the first band."""
    return np.stack([-np.abs(raw[:, 0] - i) for i in range(200)], axis=1)


def put_together(source, predictor, area=None):
    out = np.full(source.grid.window.slices and source.values.shape[1:], 254, np.uint8)
    for window, indices in classify(source, predictor, area):
        assert (out[window.slices] == 254).all(), "two tiles write one pixel"
        out[window.slices] = indices
    return out


@given(st.integers(1, 150), st.integers(1, 150), st.sampled_from([1, 8, 32]), st.integers(0, 3))
def test_pixel_coordinates_come_out_exactly(height, width, stride, halos):
    rows, cols = np.indices((height, width))
    pattern = ((rows * 7 + cols * 13) % 200).astype(np.uint8)
    source = Array(pattern[None])
    np.testing.assert_array_equal(
        put_together(source, TiledPredictor(one_hot, OutputSpec(), [0.0], stride, halos * stride)),
        pattern,
    )


def test_many_tiles_come_out_exactly_and_reads_are_bounded():
    rows, cols = np.indices((1700, 900))
    pattern = ((rows * 3 + cols) % 200).astype(np.uint8)
    source = Array(pattern[None])
    result = np.empty_like(pattern)
    few = lambda raw: one_hot(raw[..., :, :])  # noqa: E731
    for window, indices in classify(
        source, TiledPredictor(few, OutputSpec(), [0.0], 32, 64), Window(0, 0, 300, 300)
    ):
        result[window.slices] = indices
    np.testing.assert_array_equal(result[:300, :300], pattern[:300, :300])
    assert max(w.size for w in source.windows) <= MAX_NETWORK_PIXELS


@pytest.mark.parametrize("halo", [32, 64])
def test_a_halo_as_wide_as_the_network_looks_leaves_no_seam(halo):
    values = np.random.default_rng(0).integers(0, 2, (1, 2000, 900)).astype(np.float32)

    def blur(raw):
        smooth = uniform_filter(raw[0, 0], 41, mode="constant")
        return np.stack([0.5 - smooth, smooth - 0.5])[None]

    whole = blur(values[None])[0].argmax(0).astype(np.uint8)
    tiled = put_together(Array(values), TiledPredictor(blur, OutputSpec(), [0.0], 32, halo))
    assert (whole != tiled).mean() == 0


def test_too_narrow_a_halo_does_leave_seams():
    values = np.random.default_rng(0).integers(0, 2, (1, 2000, 900)).astype(np.float32)

    def blur(raw):
        smooth = uniform_filter(raw[0, 0], 41, mode="constant")
        return np.stack([0.5 - smooth, smooth - 0.5])[None]

    whole = blur(values[None])[0].argmax(0).astype(np.uint8)
    assert (
        whole != put_together(Array(values), TiledPredictor(blur, OutputSpec(), [0.0], 32, 0))
    ).any()


def test_an_area_is_covered_exactly_and_gets_what_the_whole_gets():
    pattern = np.random.default_rng(0).integers(0, 200, (1, 300, 300)).astype(np.uint8)
    predictor, area = TiledPredictor(one_hot, OutputSpec(), [0.0], 32, 32), Window(37, 101, 150, 99)
    result = put_together(Array(pattern), predictor, area)
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

    result = put_together(
        Array(values, valid), TiledPredictor(spy, OutputSpec(), [3.0, 4.0], 32, 0)
    )
    assert (result[:, :20] == 0).all() and (result[:, 20:] == IGNORE).all()
    assert seen[0].shape == (1, 2, 64, 64)
    assert (seen[0][0, 0, :40, 20:40] == 3).all() and (seen[0][0, 1, 40:] == 4).all()


def test_tiles_without_any_data_are_not_computed():
    def refuse(raw):
        raise AssertionError("computed")

    source = Array(np.zeros((1, 50, 50), np.uint8), np.zeros((50, 50), bool))
    assert (
        put_together(source, TiledPredictor(refuse, OutputSpec(), [0.0], 32, 32)) == IGNORE
    ).all()


def test_the_plan_of_a_huge_raster_is_made_of_small_reads():
    tiles = plan_tiles(
        GeoBox(100_000, 30_000), TiledPredictor(one_hot, OutputSpec(), [0.0], 32, 128)
    )
    assert sum(t.core.size for t in tiles) == 100_000 * 30_000
    assert max(t.read.size for t in tiles) <= MAX_NETWORK_PIXELS


def test_an_answer_knows_probabilities_confidence_and_height():
    def fixed(raw):
        scores = np.zeros((1, 3, *raw.shape[2:]), np.float32)
        scores[0, 1] = np.log(3) * 2
        scores[0, 2] = 7.5
        return scores

    valid = np.ones((32, 40), bool)
    valid[:, 30:] = False
    predictor = TiledPredictor(fixed, OutputSpec(2, 2.0, heights=True), [0.0], 32, 0)
    (answer,) = predict_tiles(
        Array(np.zeros((1, 32, 40), np.uint8), valid),
        predictor,
        plan_tiles(GeoBox(32, 40), predictor),
    )
    assert (answer.indices[:, :30] == 1).all() and (answer.indices[:, 30:] == IGNORE).all()
    assert answer.probabilities.shape == (2, 32, 40)
    np.testing.assert_allclose(answer.probabilities[:, 0, 0], [0.25, 0.75], rtol=1e-5)
    np.testing.assert_allclose(answer.confidence[:, :30], 0.75, rtol=1e-5)
    assert (
        np.isnan(answer.confidence[:, 30:]).all()
        and np.isnan(answer.probabilities[:, :, 30:]).all()
    )
    assert (answer.height[:, :30] == 7.5).all() and np.isnan(answer.height[:, 30:]).all()


def test_masks_apart_have_the_pixels_whose_probability_reaches_the_threshold():
    odds = np.log(np.array([0.2, 0.5, 0.9]) / np.array([0.8, 0.5, 0.1]), dtype=np.float32)

    def fixed(raw):
        return np.broadcast_to(odds[None, :, None, None], (1, 3, *raw.shape[2:])).copy()

    valid = np.ones((32, 40), bool)
    valid[:, 30:] = False
    for thresholds, masks in (
        ((0.1, 0.6, 0.8), [1, 0, 1]),
        ((0.3, 0.4, 0.95), [0, 1, 0]),
        ((0.0, 1.0, 0.9), [1, 0, 1]),
    ):
        predictor = TiledPredictor(fixed, OutputSpec(3, thresholds=thresholds), [0.0], 32, 0)
        (answer,) = predict_tiles(
            Array(np.zeros((1, 32, 40), np.uint8), valid),
            predictor,
            plan_tiles(GeoBox(32, 40), predictor),
        )
        assert answer.masks.dtype == np.uint8 and answer.masks.shape == (3, 32, 40)
        assert (answer.masks[:, :, :30] == np.reshape(masks, (3, 1, 1))).all() and (
            answer.masks[:, :, 30:] == IGNORE
        ).all()


def test_what_a_network_does_not_give_is_not_made_up():
    nothing = Array(np.zeros((1, 32, 32), np.uint8), np.zeros((32, 32), bool))
    predictor = TiledPredictor(one_hot, OutputSpec(200), [0.0], 32, 0)
    (answer,) = predict_window(nothing, predictor)
    assert np.isnan(answer.height).all() and np.isnan(answer.confidence).all()
    assert answer.probabilities.shape == (200, 32, 32)
    (answer,) = predict_window(Array(np.zeros((1, 32, 32), np.uint8)), predictor)
    assert np.isnan(answer.height).all()


def test_one_tile_is_read_ahead_and_no_more():
    source = Array(np.zeros((1, 320, 32), np.uint8))
    predictor = TiledPredictor(one_hot, OutputSpec(), [0.0], 32, 0)
    run = predict_tiles(source, predictor, fit_tiling(320, 32, most=32 * 32, halo=0, stride=32))
    next(run)
    next(run)
    time.sleep(0.1)
    assert len(source.windows) == 3
    run.close()


def test_a_tile_that_cannot_be_read_is_named_and_those_before_it_are_given():
    class Torn(Array):
        def read(self, window):
            if window.row >= 64:
                raise DataError(
                    "The file is damaged", code="damaged-file", file="x.tif", fix="Fetch it"
                )
            return super().read(window)

    predictor = TiledPredictor(one_hot, OutputSpec(), [0.0], 32, 0)
    run = predict_tiles(
        Torn(np.zeros((1, 128, 32), np.uint8)),
        predictor,
        fit_tiling(128, 32, most=32 * 32, halo=0, stride=32),
    )
    assert [next(run).window.row, next(run).window.row] == [0, 32]
    with fails("damaged-file", DataError, file="x.tif") as caught:
        next(run)
    assert "rows 64 to 96 and columns 0 to 32" in caught.value.message


def test_scores_that_are_not_finite_name_the_image_and_large_ones_are_kept():
    class Named(Array):
        name = "x.tif"

    def filled(value):
        scores = np.full((1, 2, 64, 64), value, np.float32)
        return TiledPredictor(lambda raw: scores, OutputSpec(), [0.0], 32, 0, origin="m.swath")

    tiles = fit_tiling(64, 64, most=64 * 64, halo=0, stride=32)
    source = Named(np.zeros((1, 64, 64), np.uint8))
    assert next(predict_tiles(source, filled(3e38), tiles)).scores is not None
    for bad in (np.nan, np.inf):
        with fails("scores-not-finite", ModelError, file="m.swath") as caught:
            next(predict_tiles(source, filled(bad), tiles))
        assert "rows 0 to 64 and columns 0 to 64 of x.tif" in caught.value.message


@pytest.mark.parametrize("zoom", ["1", "1/2", "3/4", "2"])
def test_a_window_is_read_at_the_scale_of_the_network(zoom):
    scale = Fraction(zoom)
    values = np.random.default_rng(0).integers(0, 200, (2, 90, 70)).astype(np.uint8)
    valid = np.ones((90, 70), bool)
    valid[10:50, 20:] = False
    found = read_scaled(Array(values, valid), Window(3, 5, 81, 63), scale, [7.0, 9.0])
    unit = scale.denominator
    high, wide = 81 // unit * unit, 63 // unit * unit
    part = np.s_[3 : 3 + high, 5 : 5 + wide]
    filled = np.where(valid[part], values[:, *part], np.float32([[[7]], [[9]]]))
    assert found.values.dtype == np.float32
    np.testing.assert_array_equal(found.values, resample(filled[None], scale)[0])
    assert found.valid.shape == found.values.shape[1:] == (high * scale, wide * scale)
    assert found.valid.mean() == pytest.approx(valid[part].mean(), abs=0.02)


def test_the_middle_of_an_area_is_whole_in_pixels_of_image_and_network():
    area, half = Window(10, 20, 200, 300), Fraction(1, 2)
    assert centered_window(area, (64, 64), 32, half) == Window(46, 106, 128, 128)
    assert centered_window(area, (1000, 1000), 32, Fraction(1)) == Window(14, 26, 192, 288)
    assert centered_window(area, (31, 64), 32, half) is None
