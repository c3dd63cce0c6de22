import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from swath.legend import IGNORE
from swath.metrics.confusion import Scores, confusion_matrix, tallies


@st.composite
def labeled(draw):
    n = draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    used = rng.choice(n, draw(st.integers(1, n)))
    reference = rng.choice(np.append(used, IGNORE), (11, 7)).astype(np.uint8)
    return n, reference, rng.integers(0, n, (11, 7)).astype(np.uint8)


@given(labeled())
def test_matrix_and_scores_are_scikit_learns(case):
    n, reference, predicted = case
    keep = reference != IGNORE
    if not keep.any():
        return
    t, p, labels = reference[keep], predicted[keep], range(n)
    matrix = confusion_matrix(reference, predicted, n)
    scores = Scores.of(matrix)
    assert (matrix == metrics.confusion_matrix(t, p, labels=labels)).all()
    options = {"labels": labels, "average": None, "zero_division": np.nan}
    np.testing.assert_allclose(scores.precision, metrics.precision_score(t, p, **options))
    np.testing.assert_allclose(scores.recall, metrics.recall_score(t, p, **options))
    present = np.isin(labels, [*t, *p])
    np.testing.assert_allclose(
        scores.f1[present], metrics.f1_score(t, p, labels=np.flatnonzero(present), average=None)
    )
    np.testing.assert_allclose(
        scores.iou[present],
        metrics.jaccard_score(t, p, labels=np.flatnonzero(present), average=None),
    )
    assert np.isnan(scores.iou[~present]).all()
    assert scores.miou == pytest.approx(scores.iou[present].mean())
    assert scores.accuracy == pytest.approx(metrics.accuracy_score(t, p))
    assert scores.pixels.tolist() == [int((t == k).sum()) for k in labels]
    if len({*t, *p}) > 1:
        assert scores.kappa == pytest.approx(metrics.cohen_kappa_score(t, p))


def test_many_matrices_are_scored_at_once():
    matrices = np.random.default_rng(0).integers(0, 9, (5, 3, 3))
    matrices[2] = 0
    scores = Scores.of(matrices)
    for name in ("iou", "f1", "precision", "recall", "miou", "accuracy", "kappa", "pixels"):
        each = [getattr(Scores.of(m), name) for m in matrices]
        np.testing.assert_array_equal(getattr(scores, name), each)


def test_tallies_are_three_rows_and_add_up_as_matrices_do():
    matrices = np.random.default_rng(1).integers(0, 9, (4, 6, 6))
    assert tallies(matrices).shape == (4, 3, 6)
    assert (tallies(matrices).sum(axis=0) == tallies(matrices.sum(axis=0))).all()


def test_kappa_of_luck_is_zero_and_of_one_class_unknown():
    assert Scores.of(np.array([[25, 25], [25, 25]])).kappa == 0
    assert np.isnan(Scores.of(np.array([[9, 0], [0, 0]])).kappa)


@given(labeled(), st.integers(0, 11))
def test_matrices_of_parts_add_up(case, cut):
    n, reference, predicted = case
    parts = confusion_matrix(reference[:cut], predicted[:cut], n) + confusion_matrix(
        reference[cut:], predicted[cut:], n
    )
    assert (parts == confusion_matrix(reference, predicted, n)).all()


def test_rows_are_truth():
    matrix = confusion_matrix(np.array([0, 0, 0, 1], np.uint8), np.array([1, 1, 0, 1], np.uint8), 2)
    assert matrix.tolist() == [[1, 2], [0, 1]]
    assert matrix.dtype == np.int64


def test_a_class_that_is_predicted_but_absent_counts_as_zero():
    scores = Scores.of(np.array([[8, 2, 0], [0, 0, 0], [0, 0, 0]]))
    assert scores.iou[:2].tolist() == [0.8, 0.0]
    assert np.isnan(scores.iou[2])
    assert scores.miou == 0.4
    assert np.isnan(scores.recall[1])


def test_nothing_labeled_has_no_score():
    matrix = confusion_matrix(np.full((3, 3), IGNORE, np.uint8), np.zeros((3, 3), np.uint8), 2)
    scores = Scores.of(matrix)
    assert np.isnan([scores.miou, scores.accuracy]).all()
    assert matrix.sum() == 0


def test_perfect_is_one():
    reference = np.arange(250, dtype=np.uint8)
    scores = Scores.of(confusion_matrix(reference, reference, 250))
    assert scores.miou == scores.accuracy == 1


@pytest.mark.parametrize(
    ("reference", "predicted", "words"),
    [([1, 2], [1, IGNORE], "outside 0..2"), ([3, 2], [1, 1], "outside"), ([1, 2], [1], "shape")],
)
def test_what_cannot_be_counted_is_refused(reference, predicted, words):
    with pytest.raises(ValueError) as caught:
        confusion_matrix(np.array(reference, np.uint8), np.array(predicted, np.uint8), 3)
    assert words in str(caught.value)
