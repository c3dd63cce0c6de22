"""Progress where stderr is no terminal: plain lines, few, and only when work is long."""

from __future__ import annotations

import time
from typing import Any

import pytest

from swath.cli import progress_text
from swath.cli.command import _progress_shown
from swath.cli.progress_text import ProgressText
from swath.progress import task, track


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress_text, "time", clock)
    return clock


def work(clock: Clock, steps: int, seconds: float, title: str = "training") -> None:
    with task(title, steps, "steps") as bar:
        for _ in range(steps):
            clock.now += seconds
            bar.describe("loss 0.5")
            bar.advance(1)


def shown(capsys: pytest.CaptureFixture[str], **switches: bool) -> Any:
    capsys.readouterr()
    return _progress_shown({"quiet": False, "json_progress": False} | switches)


def test_long_work_writes_a_line_each_tenth(clock: Clock, capsys: Any) -> None:
    with shown(capsys):
        work(clock, 100, 1.0)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and "\r" not in err and "\x1b" not in err
    assert lines == [f"training: {k}0% after {k}0 s, loss 0.5" for k in range(1, 11)]


def test_slow_steps_write_a_line_a_minute(clock: Clock, capsys: Any) -> None:
    with shown(capsys):
        work(clock, 1000, 7.0)
    lines = capsys.readouterr().err.splitlines()
    assert 7000 // 63 <= len(lines) <= 7000 // 63 + 10  # and the tenths between
    assert lines[0].startswith("training: 1% after 63 s")


def test_short_work_writes_nothing_until_a_minute_has_passed(clock: Clock, capsys: Any) -> None:
    with shown(capsys):
        for number in range(100):
            work(clock, 2, 0.5, f"predicting {number}.tif ({number + 1} of 100)")
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["predicting 59.tif (60 of 100)"]


def test_silence_and_lines_of_json_where_these_are_asked_for(clock: Clock, capsys: Any) -> None:
    with shown(capsys, quiet=True):
        work(clock, 100, 1.0)
    assert capsys.readouterr() == ("", "")
    with shown(capsys, json_progress=True):
        list(track([1, 2], "reading", 2))
    assert '"title": "reading"' in capsys.readouterr().out


def test_time_is_that_of_the_machine(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_text, "LEAST_SECONDS", 0.0)
    lines = ProgressText()
    lines.start("x", 2, "files").advance(1)
    assert capsys.readouterr().err == "x: 50% after 0 s\n" and lines.written <= time.monotonic()
