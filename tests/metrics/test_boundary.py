import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from swath.legend import IGNORE
from swath.metrics.boundary import boundary_counts, boundary_iou


def by_hand(reference, predicted, n, width):
    """Look at every pixel's neighborhood, as the definition says."""

    def region(classes):
        out = np.zeros(classes.shape, bool)
        for r, c in np.ndindex(classes.shape):
            near = classes[max(0, r - width) : r + width + 1, max(0, c - width) : c + width + 1]
            out[r, c] = (near != classes[r, c]).any()
        return out & (reference != IGNORE)

    a, b = region(reference), region(predicted)
    both = [(a & b & (reference == k) & (predicted == k)).sum() for k in range(n)]
    either = [((a & (reference == k)) | (b & (predicted == k))).sum() for k in range(n)]
    return np.array([both, either])


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_counts_are_those_of_the_definition_on_rectangles(seed, width):
    rng = np.random.default_rng(seed)
    maps = []
    for _ in range(2):
        classes = np.zeros((20, 23), np.uint8)
        for k in (1, 2):
            r, c = rng.integers(0, 15, 2)
            classes[r : r + rng.integers(3, 12), c : c + rng.integers(3, 12)] = k
        maps.append(classes)
    assert (boundary_counts(*maps, 3, width) == by_hand(*maps, 3, width)).all()


def test_equal_maps_have_one_and_uniform_ones_none():
    classes = np.zeros((30, 30), np.uint8)
    assert np.isnan(boundary_iou(boundary_counts(classes, classes, 2))).all()
    classes[:, 15:] = 1
    assert boundary_iou(boundary_counts(classes, classes, 2)).tolist() == [1, 1]


def test_a_shift_of_the_boundary_costs_more_than_it_costs_iou():
    reference, shifted = np.zeros((2, 100, 100), np.uint8)
    reference[:, 50:], shifted[:, 53:] = 1, 1
    iou = boundary_iou(boundary_counts(reference, shifted, 2))
    assert iou[1] == 2 / 8  # of five columns each, two are shared
    assert iou[0] == 2 / 8


def test_no_boundary_at_unlabeled_pixels_nor_at_the_edge():
    reference = np.zeros((40, 40), np.uint8)
    reference[:, 20:] = IGNORE
    counts = boundary_counts(reference, np.zeros((40, 40), np.uint8), 2)
    assert not counts.any()


def test_counts_add_up():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 3, (2, 16, 16)).astype(np.uint8)
    counts = np.stack([boundary_counts(a, b, 3), boundary_counts(b, a, 3)])
    assert boundary_iou(counts).shape == (2, 3)
    assert (boundary_iou(counts.sum(axis=0)) == boundary_iou(counts)[0]).all()
