"""Probabilities of change, against sums over all pairs of classes."""

import numpy as np
import pytest

from swath.mapping.change.neighborhood import (
    LEFT_OUT,
    REACH,
    box_sums,
    change_with_neighbors,
)
from swath.mapping.change.posterior import (
    FLOOR,
    Evidence,
    best_pairs,
    change_ratio,
    estimate_prior,
    measure_shares,
    with_change,
)
from tests.mapping.change.made import percents, true_classes


def dates(share, size=512):
    old, new = true_classes(size, share=share)
    seen = [percents(one, seed).reshape(3, -1) for seed, one in enumerate((old, new))]
    evidence = [
        measure_shares("probabilities", 3, p.argmax(axis=0).astype(np.uint8), p) for p in seen
    ]
    likelihoods = [
        e.likelihoods(p.argmax(axis=0).astype(np.uint8), p)
        for e, p in zip(evidence, seen, strict=True)
    ]
    return old, new, seen, evidence, likelihoods


@pytest.mark.parametrize("share", [0.005, 0.02, 0.1])
def test_the_prior_is_the_true_share_of_change(share):
    old, new, seen, evidence, likelihoods = dates(share)
    prior = estimate_prior(*likelihoods)
    assert prior.sum() == pytest.approx(1) and (prior >= 0).all()
    true = (old != new).mean()
    assert 1 - np.trace(prior) == pytest.approx(true, rel=0.2, abs=0.002)
    plain = (seen[0].argmax(axis=0) != seen[1].argmax(axis=0)).mean()
    assert plain > true + 0.1  # what plain differencing takes for it
    shares = np.bincount(old.ravel(), minlength=3) / old.size
    assert evidence[0].shares == pytest.approx(shares, abs=0.03)


def test_the_ratio_is_that_of_the_sums_over_all_pairs():
    *_, likelihoods = dates(0.1, 64)
    prior = with_change(estimate_prior(*likelihoods), 0.07)
    ratio, stable = change_ratio(*likelihoods, prior)
    was, now = best_pairs(*likelihoods, prior)
    for p in range(0, 4096, 97):
        a, b = (x[:, p].astype(float) for x in likelihoods)
        joint = a[:, None] * prior * b
        same = np.trace(joint)
        assert ratio[p] == pytest.approx((joint.sum() - same) / 0.07 / (same / 0.93), rel=1e-3)
        assert stable[p] == np.diag(joint).argmax()
        off = joint * ~np.eye(3, dtype=bool)
        assert (was[p], now[p]) == np.unravel_index(off.argmax(), off.shape)


def test_a_given_prior_keeps_what_becomes_what():
    prior = np.array([[0.5, 0.04], [0.06, 0.4]])
    made = with_change(prior, 0.2)
    assert made.sum() == pytest.approx(1) and 1 - np.trace(made) == pytest.approx(0.2)
    assert made[0, 1] / made[1, 0] == pytest.approx(2 / 3)
    assert with_change(np.eye(2) / 2, 0.1)[0, 1] == pytest.approx(0.05)


def test_zero_percent_is_unlikely_and_not_impossible():
    seen = np.array([[100], [0], [0]], np.uint8)
    found = Evidence("probabilities", (1 / 3,) * 3).probabilities(np.zeros(1, np.uint8), seen)
    assert found[1:, 0].sum() == pytest.approx(FLOOR / 100, rel=0.01)


def test_confidence_leaves_the_rest_to_the_other_classes_by_their_shares():
    evidence = Evidence("confidence", (0.5, 0.3, 0.2))
    classes = np.array([0, 2], np.uint8)
    found = evidence.probabilities(classes, np.array([[80, 100]], np.uint8))
    assert found[:, 0] == pytest.approx([0.8, 0.12, 0.08], abs=1e-6)
    assert found[2, 1] == pytest.approx(1 - FLOOR / 100, abs=1e-6)


def test_accuracy_is_the_chance_that_a_class_is_mapped_as_itself():
    evidence = Evidence("accuracy", (0.9, 0.06, 0.04))
    found = evidence.seen(np.array([2, 255], np.uint8), np.array([[90, 90]], np.uint8))
    assert found[:, 0] == pytest.approx([5, 5, 90]) and found[:, 1].tolist() == [1, 1, 1]


def test_sums_over_squares_are_those_of_the_pixels():
    values = np.random.default_rng(0).random((23, 17)).astype(np.float32)
    for reach in (0, 1, 4):
        sums = box_sums(values, reach)
        for row, col in ((0, 0), (11, 8), (22, 16), (3, 15)):
            part = values[max(0, row - reach) : row + reach + 1, max(0, col - reach) :]
            part = part[:, : col + reach + 1 - max(0, col - reach)]
            assert sums[row, col] == pytest.approx(part.sum(), rel=1e-5)


def test_a_change_among_changes_is_surer_than_one_alone():
    ratio = np.full((41, 41), 0.2, np.float32)
    ratio[20, 20] = 30
    known = np.ones(ratio.shape, bool)
    alone = change_with_neighbors(ratio, known, known, 0.02)[20, 20]
    ratio[14:27, 14:27] = 30
    among = change_with_neighbors(ratio, known, known, 0.02)
    assert alone < 0.4 < 0.9 < among[20, 20]
    assert among[0, 0] < 0.02
    # Without neighbors that can be used, the prior of all pixels holds.
    none = change_with_neighbors(ratio, known, np.zeros_like(known), 0.02)
    assert none[20, 20] == pytest.approx(30 * 0.02 / 0.98 / (1 + 30 * 0.02 / 0.98), rel=1e-4)
    # The nearest pixels are not evidence of each other.
    ratio[:] = 0.2
    ratio[20 - LEFT_OUT : 21 + LEFT_OUT, 20 - LEFT_OUT : 21 + LEFT_OUT] = 30
    assert change_with_neighbors(ratio, known, known, 0.02)[20, 20] < 0.4
    assert REACH > LEFT_OUT
