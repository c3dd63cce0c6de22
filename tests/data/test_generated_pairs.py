"""Images and labels from a grammar: prepared rightly, or refused by a sentence that helps."""

import pytest

from tests.data.pair_cases import make
from tests.data.pair_grammar import WORST, run, summary


def test_cases_are_reproducible(tmp_path):
    for seed in range(5):
        one, two = (make(seed, tmp_path / name / str(seed)) for name in "ab")
        assert one.label == two.label
        files = [sorted(p for p in c.root.rglob("*") if p.is_file()) for c in (one, two)]
        assert [p.name for p in files[0]] == [p.name for p in files[1]]
        for a, b in zip(one.pieces, two.pieces, strict=True):
            assert (a.keys == b.keys).all() and (a.pixels == b.pixels).all()


def test_forty_generated_folders():
    bad = [v for v in run(0, 39) if v.kind in WORST]
    assert not bad, summary(bad)


def test_some_generated_folders_of_the_further_productions():
    pytest.importorskip("scipy")
    bad = [v for v in run(0, 15, extra=True) if v.kind in WORST]
    assert not bad, summary(bad)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_two_thousand_generated_folders(part):
    bad = [v for v in run(100 * part, 100 * part + 99) if v.kind in WORST]
    assert not bad, summary(bad)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_a_thousand_generated_folders_of_the_further_productions(part):
    pytest.importorskip("scipy")
    bad = [v for v in run(100 * part, 100 * part + 99, extra=True) if v.kind in WORST]
    assert not bad, summary(bad)
