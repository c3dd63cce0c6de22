import numpy as np
import pytest

from swath.metrics.bootstrap import by_group, interval, intervals, resampled


def mean(counts):
    return (counts[:, :1] / counts[:, 1:]).astype(float)


def as_they_are(counts):
    return counts


def test_groups_are_added_up():
    counts = by_group(["b", "a", "b"], [np.array([1, 2]), np.array([10, 20]), np.array([3, 4])])
    assert counts.tolist() == [[10, 20], [4, 6]]


def test_draws_are_sums_of_groups_and_repeat_by_seed():
    counts = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    drawn = resampled(counts, as_they_are, seed=4, draws=50)
    assert drawn.shape == (50, 3) and (drawn.sum(axis=1) == 3).all()
    assert (drawn == resampled(counts, as_they_are, seed=4, draws=50)).all()
    assert (drawn != resampled(counts, as_they_are, seed=5, draws=50)).any()


def test_draws_are_the_same_however_many_are_held_at_a_time(monkeypatch):
    counts = np.random.default_rng(0).integers(0, 99, (5, 4))
    whole = resampled(counts, as_they_are)
    held = []
    monkeypatch.setattr("swath.metrics.bootstrap.MAX_COUNTS", 40)
    parts = resampled(counts, lambda c: held.append(len(c)) or c)
    assert (parts == whole).all() and max(held) == 10 and sum(held) == len(whole)


def test_interval_of_a_mean_is_that_of_theory():
    rng = np.random.default_rng(0)
    values = rng.normal(10, 2, 400)
    ((low, high),) = intervals(np.stack([values, np.ones(400)], axis=1), mean)
    assert low == pytest.approx(values.mean() - 1.96 * 0.1, abs=0.02)
    assert high == pytest.approx(values.mean() + 1.96 * 0.1, abs=0.02)


def test_interval_over_groups_is_wider_than_over_pixels_of_the_same_ground():
    rng = np.random.default_rng(1)
    places = rng.normal(0, 1, 20)
    pixels = np.repeat(places, 50) + rng.normal(0, 0.1, 1000)
    counts = np.stack([pixels, np.ones(1000)], axis=1)
    grouped = by_group([str(i) for i in np.repeat(np.arange(20), 50)], list(counts))
    ((a, b),) = intervals(counts, mean)
    ((c, d),) = intervals(grouped, mean)
    assert d - c > 4 * (b - a)


def test_too_few_groups_have_no_interval():
    assert intervals(np.ones((2, 2)), mean) == [None]
    assert interval(np.array([np.nan, np.nan, 1.0])) is None
