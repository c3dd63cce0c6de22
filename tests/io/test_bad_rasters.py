"""Bad rasters, a few in `make test` and ten thousand in `make test-full`; see `fuzz`."""

import os
from collections import Counter
from pathlib import Path

import pytest

from tests import fuzz
from tests.fuzz import Verdict, logged, try_all

SHORT, FULL = 50, 10_000


def judged(found: list[Verdict], cases: int) -> Counter[str]:
    faults = [v for v in found if v.verdict == "fault"]
    assert not faults, "\n".join(
        f"python -m tests.fuzz --only {v.case}: {v.kind}: {v.detail}" for v in faults[:10]
    )
    assert sorted(v.case for v in found) == list(range(cases))
    return Counter(v.verdict for v in found)


def test_bad_rasters_are_read_right_or_refused_by_name(tmp_path):
    found = judged(list(try_all(range(SHORT), tmp_path)), SHORT)
    assert found["right"] > SHORT / 3 and found["refused"] > SHORT / 10


@pytest.mark.slow
def test_ten_thousand_bad_rasters(tmp_path):
    """Goes on where the log named by SWATH_FUZZ_LOG ends, so that a long run may be interrupted."""
    log = Path(os.environ.get("SWATH_FUZZ_LOG", tmp_path / "fuzz.jsonl"))
    found = judged(logged(range(FULL), log, os.cpu_count() or 1), FULL)
    assert found["right"] > FULL / 3 and found["refused"] > FULL / 10


def test_a_case_is_the_same_every_time(tmp_path):
    for case in (3, 9, 12, 18, 19):
        found = []
        for name in "ab":
            (tmp_path / f"{case}{name}").mkdir()
            found.append(fuzz.try_case(case, tmp_path / f"{case}{name}"))
        assert (found[0].kind, found[0].verdict) == (found[1].kind, found[1].verdict)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        pytest.param("hang", "no answer", marks=pytest.mark.slow),
        ("crash", "died"),
        ("memory", "came to hold"),
        ("wrong", "not what was asked"),
    ],
)
def test_what_must_not_happen_is_noticed(tmp_path, monkeypatch, name, word):
    """The watchdog itself: a child that sleeps, is killed by a signal, grows, or finds a fault."""
    monkeypatch.setattr(fuzz, "DEADLINE", 1)
    monkeypatch.setattr(fuzz, "_work", globals()[f"_{name}"])
    found = list(try_all([1, 2], tmp_path))
    assert [v.case for v in found] == [1, 2]
    assert found[0].verdict == "fault" and word in found[0].detail
    assert found[1].verdict == "right"


def _answer(line, bad):
    """Do something bad with the first case, and well with every other."""
    while (case := line.recv()) is not None:
        line.send(bad() if case == 1 else Verdict(case, "", "right"))


def _hang(line, folder):
    import time

    _answer(line, lambda: time.sleep(600))


def _crash(line, folder):
    (folder / "crash.txt").write_text("")
    _answer(line, lambda: os.kill(os.getpid(), 11))


def _memory(line, folder):
    _answer(line, lambda: Verdict(1, "", "right", bytes=2 * 10**9))


def _wrong(line, folder):
    _answer(line, lambda: Verdict(1, "", "fault", "not what was asked"))
