import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from swath.metrics.calibration import (
    expected_calibration_error,
    fit_temperature,
    probabilities,
    reliability,
)


def drawn(temperature, n=20_000, seed=0):
    """Scores, and reference drawn with the probabilities they give at a temperature."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 3, (n, 4)).astype(np.float32)
    chances = probabilities(scores, temperature, axis=1)
    reference = (
        (chances.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, 3).astype(np.uint8)
    )
    return scores, reference


def likelihood(scores, reference, temperature):
    """Mean of -log p(reference), in float64."""
    return -log_softmax(scores.astype(np.float64) / temperature, axis=1)[
        np.arange(len(reference)), reference
    ].mean()


def ece(scores, reference, temperature):
    p = probabilities(scores, temperature, axis=1)
    return expected_calibration_error(reliability(p.max(axis=1), p.argmax(axis=1) == reference))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_made_the_truth_is_found(temperature):
    scores, reference = drawn(temperature)
    found = fit_temperature(scores, reference)
    assert found == pytest.approx(temperature, rel=0.05)
    assert ece(scores, reference, found) < 0.015
    assert likelihood(scores, reference, found) <= likelihood(scores, reference, 1.0) + 1e-9


@pytest.mark.parametrize("spread", [0.1, 1.0, 8.0, 300.0])
def test_the_temperature_is_that_of_a_search_by_others(spread):
    rng = np.random.default_rng(1)
    scores = (rng.normal(0, 1, (3000, 5)) * spread).astype(np.float32)
    reference = np.where(
        rng.random(3000) < 0.6, scores.argmax(axis=1), rng.integers(0, 5, 3000)
    ).astype(np.uint8)
    found = minimize_scalar(
        lambda t: likelihood(scores, reference, np.exp(t)),
        bounds=np.log([0.05, 20]),
        method="bounded",
    )
    assert fit_temperature(scores, reference) == pytest.approx(np.exp(found.x), rel=2e-3)


def test_the_temperature_stays_within_bounds_and_is_one_where_it_means_nothing():
    sure = np.tile(np.array([[3.0, 0.0, -2.0]], np.float32), (50, 1))
    assert fit_temperature(sure, np.zeros(50, np.uint8)) == pytest.approx(0.05, rel=1e-3)
    assert fit_temperature(sure, np.full(50, 2, np.uint8)) == pytest.approx(20, rel=1e-3)
    assert fit_temperature(np.zeros((50, 3), np.float32), np.zeros(50, np.uint8)) == 1


def test_overconfidence_is_seen_and_mended():
    scores, reference = drawn(2.5)
    assert ece(scores, reference, 1.0) > 0.1
    assert ece(scores, reference, fit_temperature(scores, reference)) < 0.015


@given(st.floats(0.1, 10), st.integers(0, 1000))
def test_temperature_changes_no_class(temperature, seed):
    scores = np.random.default_rng(seed).normal(0, 30, (5, 3, 3)).astype(np.float32)
    p = probabilities(scores, temperature)
    assert np.isfinite(p).all() and p.sum(axis=0) == pytest.approx(np.ones((3, 3)), abs=1e-5)
    assert (p.max(axis=0) == np.take_along_axis(p, scores.argmax(axis=0)[None], 0)[0]).all()


def test_error_by_hand():
    counts = reliability(
        np.array([0.95, 0.95, 0.55, 0.55], np.float32), np.array([True, False, True, True])
    )
    assert counts[0].sum() == 4 and counts[2].sum() == 3
    assert expected_calibration_error(counts) == pytest.approx((2 * 0.45 + 2 * 0.45) / 4)
    assert np.isnan(expected_calibration_error(np.zeros((3, 15))))
