"""Images from a grammar: mapped rightly, or refused by a sentence that helps."""

import numpy as np
import pytest

from tests.mapping.image_cases import make
from tests.mapping.image_grammar import WORST, run, summary


def test_cases_are_reproducible(tmp_path):
    for seed in range(5):
        one, two = (make(seed, tmp_path / name / str(seed)) for name in "ab")
        assert one.label == two.label
        files = [sorted(p for p in c.root.rglob("*") if p.is_file()) for c in (one, two)]
        assert [p.name for p in files[0]] == [p.name for p in files[1]]
        for a, b in zip(one.answers, two.answers, strict=True):
            assert np.array_equal(a.classes, b.classes)


def test_sixty_generated_images():
    bad = [v for v in run(0, 59) if v.kind in WORST]
    assert not bad, summary(bad)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_thousand_generated_images(part):
    bad = [v for v in run(100 * part, 100 * part + 99) if v.kind in WORST]
    assert not bad, summary(bad)
