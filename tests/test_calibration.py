import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.calibration import (
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    probabilities,
    reliability,
)


def drawn(temperature, n=20_000, seed=0):
    """Scores, and truth drawn with the probabilities they give at a temperature."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 3, (n, 4)).astype(np.float32)
    chances = probabilities(scores, temperature, axis=1)
    truth = (chances.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, 3).astype(np.uint8)
    return scores, truth


def ece(scores, truth, temperature):
    p = probabilities(scores, temperature, axis=1)
    return expected_calibration_error(reliability(p.max(axis=1), p.argmax(axis=1) == truth))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_made_the_truth_is_found(temperature):
    scores, truth = drawn(temperature)
    found = fit_temperature(scores, truth)
    assert found == pytest.approx(temperature, rel=0.05)
    assert ece(scores, truth, found) < 0.015
    assert negative_log_likelihood(scores, truth, found) <= negative_log_likelihood(scores, truth, 1.0) + 1e-9


def test_overconfidence_is_seen_and_mended():
    scores, truth = drawn(2.5)
    assert ece(scores, truth, 1.0) > 0.1
    assert ece(scores, truth, fit_temperature(scores, truth)) < 0.015


@given(st.floats(0.1, 10), st.integers(0, 1000))
def test_temperature_changes_no_class(temperature, seed):
    scores = np.random.default_rng(seed).normal(0, 30, (5, 3, 3)).astype(np.float32)
    p = probabilities(scores, temperature)
    assert np.isfinite(p).all() and p.sum(axis=0) == pytest.approx(np.ones((3, 3)), abs=1e-5)
    assert (p.max(axis=0) == np.take_along_axis(p, scores.argmax(axis=0)[None], 0)[0]).all()


def test_error_by_hand():
    counts = reliability(np.array([0.95, 0.95, 0.55, 0.55], np.float32), np.array([True, False, True, True]))
    assert counts[0].sum() == 4 and counts[2].sum() == 3
    assert expected_calibration_error(counts) == pytest.approx((2 * 0.45 + 2 * 0.45) / 4)
    assert np.isnan(expected_calibration_error(np.zeros((3, 15))))
