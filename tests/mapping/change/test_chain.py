"""Chains of classes, against sums and maxima over all sequences, and dates in names."""

from itertools import pairwise, product

import numpy as np
import pytest

from swath.errors import UsageError
from swath.mapping.change.chain import Chain, estimate_chain, fill_missing
from swath.mapping.change.dates import date_of, read_dates
from tests.errors import fails


def test_two_classes_by_hand():
    # Start 1/2 each, stay 0.9; class 0 is seen at the outer dates, and class 1 in the middle.
    chain = Chain(np.full(2, 0.5), np.array([[0.45, 0.05], [0.05, 0.45]]))
    sure, doubtful = [8.0, 2.0], [4.0, 6.0]
    seen = np.array([sure, doubtful, sure], np.float32)[:, :, None]
    found = chain.decode(seen)
    assert found.path[:, 0].tolist() == [0, 0, 0] and found.stable[0] == 0
    # 000: 8*4*8*.81 = 207.36; 111: 2*6*2*.81 = 19.44; 001 and 100: 8*4*2*.09 = 5.76 each;
    # 010: 8*6*8*.01 = 3.84; 011 and 110: 8*6*2*.09 = 8.64 each; 101: 2*4*2*.01 = 0.16.
    total = 207.36 + 19.44 + 2 * 5.76 + 3.84 + 2 * 8.64 + 0.16
    assert found.changed[0] == pytest.approx(1 - (207.36 + 19.44) / total, rel=1e-5)


def test_classes_are_those_of_the_likeliest_of_all_sequences():
    rng = np.random.default_rng(3)
    n, dates, pixels = 3, 5, 40
    start, pairs = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(n * n)).reshape(n, n)
    pairs += np.eye(n)
    chain = Chain(start, pairs / pairs.sum())
    moves = pairs / pairs.sum(axis=1, keepdims=True)
    assert chain.moves == pytest.approx(moves, rel=1e-5)
    seen = rng.exponential(size=(dates, n, pixels)).astype(np.float32) * 1000
    seen[2, :, ::4] = 1  # no data
    found, changes = chain.decode(seen), chain.best_change(seen)
    for p in range(pixels):
        weights = {}
        for path in product(range(n), repeat=dates):
            weight = start[path[0]] * np.prod([seen[t, k, p] for t, k in enumerate(path)])
            weights[path] = weight * np.prod([moves[a, b] for a, b in pairwise(path)])
        assert weights[tuple(found.path[:, p])] == pytest.approx(max(weights.values()), rel=1e-4)
        same = [weights[(k,) * dates] for k in range(n)]
        share = 1 - sum(same) / sum(weights.values())
        assert found.changed[p] == pytest.approx(share, abs=1e-5)
        assert found.stable[p] == np.argmax(same)
        prior = 1 - sum(start * np.diag(moves) ** (dates - 1)) / sum(start)
        assert found.ratio[p] == pytest.approx(share / (1 - share) * (1 - prior) / prior, rel=1e-3)
        one = {
            path: w for path, w in weights.items() if sum(a != b for a, b in pairwise(path)) == 1
        }
        assert one[tuple(changes[:, p])] == pytest.approx(max(one.values()), rel=1e-4)


def test_long_series_of_sure_dates_neither_vanish_nor_overflow():
    chain = Chain(np.full(3, 1 / 3), np.full((3, 3), 0.01) + 0.3 * np.eye(3))
    seen = np.full((200, 3, 2), 1e-3, np.float32)
    seen[:, 1, 0] = 1e9
    seen[:100, 0, 1] = seen[100:, 2, 1] = 1e9
    found = chain.decode(seen)
    assert (found.path[:, 0] == 1).all() and found.changed[0] < 1e-3
    assert found.path[:, 1].tolist() == [0] * 100 + [2] * 100 and found.changed[1] > 0.999


@pytest.mark.parametrize("share", [0.005, 0.05])
def test_the_stay_probability_is_estimated(share):
    rng = np.random.default_rng(1)
    pixels, classes, likelihoods = 20_000, rng.integers(0, 3, 20_000), []
    for _ in range(6):
        moved = rng.random(pixels) < share
        classes = np.where(moved, (classes + rng.integers(1, 3, pixels)) % 3, classes)
        right = rng.random(pixels) < 0.85
        shown = np.where(right, classes, (classes + rng.integers(1, 3, pixels)) % 3)
        likelihood = np.full((3, pixels), 0.075, np.float32)
        likelihood[shown, np.arange(pixels)] = 0.85
        likelihood[:, rng.random(pixels) < 0.1] = 1
        likelihoods.append(likelihood)
    start, pairs = estimate_chain(likelihoods)
    assert start == pytest.approx(np.full(3, 1 / 3), abs=0.02) and pairs.sum() == pytest.approx(1)
    assert 1 - np.trace(pairs) == pytest.approx(share, rel=0.15)


def test_one_class_never_changes():
    start, pairs = estimate_chain([np.ones((1, 4), np.float32)] * 3)
    found = Chain(start, pairs).decode(np.ones((3, 1, 4), np.float32))
    assert found.changed.max() == 0 and found.path.max() == 0


def test_a_date_without_data_has_the_class_of_the_date_before():
    path = np.array([[1, 0], [1, 0], [2, 2], [2, 2]], np.uint8)
    held = np.array([[0, 1], [1, 1], [1, 0], [0, 1]], bool)
    assert fill_missing(path, held).T.tolist() == [[1, 1, 2, 2], [0, 0, 0, 2]]


@pytest.mark.parametrize(
    ("path", "date"),
    [
        ("2018.tif", "2018"),
        ("a/map_201806.tif", "2018-06"),
        ("S2A_MSIL2A_20180630T104021_N0208.tif", "2018-06-30"),
        ("lc-2018-06-30_v2.tif", "2018-06-30"),
        ("2019/map.tif", "2019"),
        ("map_2018_130.tif", "2018"),
        ("tile_2048_2018.tif", "2018"),
        ("tile_1920_201806.tif", "2018-06"),
        ("scenario_2095.tif", "2095"),
        ("S2A_20180630_N0500_20230101.tif", "2018-06-30"),
        ("map_120189.tif", None),
    ],
)
def test_dates_of_names(path, date, tmp_path):
    assert date_of(f"{tmp_path}/maps/{path}") == date


def test_dates_out_of_order_twice_or_missing_are_refused():
    assert read_dates(["a_2018.tif", "b_2020.tif"]) == ("2018", "2020")
    with fails("dates-unordered", UsageError, "a_2018.tif"):
        read_dates(["b_2020.tif", "a_2018.tif"])
    with fails("dates-equal", UsageError, "b_2018-06.tif"):
        read_dates(["a_2018.tif", "b_2018-06.tif"])
    with fails("date-missing", UsageError, "c.tif"):
        read_dates(["a_2018.tif", "c.tif"])
    with fails("too-many-dates", UsageError):
        read_dates([f"{year}.tif" for year in range(1900, 2160)])
