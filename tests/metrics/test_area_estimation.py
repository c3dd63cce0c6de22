import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.metrics.area_estimation import Z_95, allocate_sample, estimate_areas, estimate_strata

MAPPED = np.array([200_000, 150_000, 3_200_000, 6_450_000])
SAMPLE = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])


def test_the_published_example():
    """Olofsson et al. 2014, tables 8 and 9: 30 m pixels, areas in hectares."""
    found = estimate_areas(MAPPED * 0.09, SAMPLE)
    assert found.mapped.tolist() == [18_000, 13_500, 288_000, 580_500]
    assert found.area == pytest.approx([21_158, 11_686, 285_770, 581_386], abs=0.5)
    assert Z_95 * found.area_error == pytest.approx([6_158, 3_756, 15_510, 16_282], abs=1)
    assert found.users == pytest.approx([0.88, 0.73, 0.93, 0.96], abs=0.005)
    assert found.producers == pytest.approx([0.75, 0.85, 0.93, 0.96], abs=0.005)
    assert Z_95 * found.users_error == pytest.approx([0.07, 0.10, 0.04, 0.02], abs=0.005)
    assert (found.overall, Z_95 * found.overall_error) == pytest.approx((0.95, 0.02), abs=0.005)


def test_the_example_by_hand():
    """The first class: p = sum of W_i n_i1 / n_i, S^2 = sum of (W_i p_i1 - p_i1^2) / (n_i - 1)."""
    w, n = MAPPED / MAPPED.sum(), SAMPLE.sum(axis=1)
    p = [w[i] * SAMPLE[i, 0] / n[i] for i in range(4)]
    variance = sum((w[i] * p[i] - p[i] ** 2) / (n[i] - 1) for i in range(4))
    found = estimate_areas(MAPPED * 0.09, SAMPLE)
    assert found.area[0] == pytest.approx(sum(p) * MAPPED.sum() * 0.09)
    assert found.area_error[0] == pytest.approx(variance**0.5 * MAPPED.sum() * 0.09)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Of a thousand stratified samples of 300, 93 to 97 in 100 intervals hold the true area."""
    truth_of_mapped = np.array([[0.80, 0.12, 0.08], [0.10, 0.80, 0.10], [0.05, 0.10, 0.85]])
    mapped = np.array([2_000.0, 3_000.0, 5_000.0])
    true = mapped @ truth_of_mapped
    drawn = allocate_sample(mapped, np.full(3, 10**6), 300)
    assert drawn.sum() == 300
    rng = np.random.default_rng(0)
    held = np.zeros(3)
    for _ in range(1000):
        sample = np.stack(
            [rng.multinomial(n, p) for n, p in zip(drawn, truth_of_mapped, strict=True)]
        )
        found = estimate_areas(mapped, sample)
        held += np.abs(found.area - true) <= Z_95 * found.area_error
    assert ((held >= 930) & (held <= 970)).all(), held


def test_errors_of_accuracies_are_how_far_they_scatter():
    mapped, shares, drawn = np.array([20.0, 80.0]), np.array([[0.7, 0.3], [0.1, 0.9]]), (300, 500)
    rng = np.random.default_rng(2)
    runs = [
        estimate_areas(
            mapped, np.stack([rng.multinomial(n, p) for n, p in zip(drawn, shares, strict=True)])
        )
        for _ in range(800)
    ]
    for name in ("users", "producers", "overall", "area"):
        values, errors = (
            np.array([getattr(run, field) for run in runs]) for field in (name, f"{name}_error")
        )
        assert errors.mean(axis=0) == pytest.approx(values.std(axis=0), rel=0.1)


def test_a_right_map_has_its_own_areas_and_no_error():
    found = estimate_areas(np.array([3.0, 7.0]), np.diag([10, 10]))
    assert found.area.tolist() == pytest.approx([3, 7])
    assert found.area_error.tolist() == [0, 0] and found.overall == pytest.approx(1)


def test_estimates_are_unbiased_where_pixel_counts_are_not():
    mapped, shares = np.array([100.0, 900.0]), np.array([[0.5, 0.5], [0.1, 0.9]])
    rng = np.random.default_rng(1)
    areas = [
        estimate_areas(mapped, np.stack([rng.multinomial(100, p) for p in shares])).area[0]
        for _ in range(500)
    ]
    assert np.mean(areas) == pytest.approx(140, rel=0.02)


def test_a_mapped_class_without_sample_is_refused():
    with pytest.raises(ValueError) as caught:
        estimate_areas(np.array([1.0, 2.0]), np.array([[3, 0], [0, 1]]))
    assert "stratum 1 has 1 sample unit" in str(caught.value)
    found = estimate_areas(np.array([1.0, 0.0]), np.array([[3, 1], [0, 0]]))
    assert found.area.tolist() == pytest.approx([0.75, 0.25]) and np.isnan(found.users[1])


def test_a_stratum_of_one_pixel_that_was_checked_has_no_sampling_error():
    areas, counts = np.array([100.0, 1.0]), np.array([[[8, 2], [0, 0]], [[0, 0], [0, 1]]])
    found = estimate_strata(areas, counts, areas, pixels=np.array([100, 1]))
    assert found.area.tolist() == pytest.approx([80, 21])
    # All of the error is that of the first stratum: its weight is 100 of 101.
    assert found.area_error[0] == pytest.approx(100 * np.sqrt(0.8 * 0.2 / 9))


@given(st.lists(st.integers(0, 500), min_size=1, max_size=8), st.integers(20, 400))
def test_allocation_spends_the_sample_on_what_there_is(available, n):
    pixels = np.array(available)
    if not pixels.any():
        return
    drawn = allocate_sample(pixels.astype(float), pixels, n)
    assert (drawn <= pixels).all() and (
        drawn[pixels > 0] >= np.minimum(pixels[pixels > 0], 2)
    ).all()
    assert drawn.sum() <= n + len(pixels)
    if (pixels > n).all():
        assert drawn.sum() == n
