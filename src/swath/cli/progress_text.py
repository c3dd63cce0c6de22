"""Progress as plain lines of text on stderr, for files and pipes, which take no bars."""

from __future__ import annotations

import sys
import time

STEP = 0.1
"""Share of a task from one line to the next."""

LEAST_SECONDS = 5.0
"""Seconds between two lines, at least, so that short tasks write none."""

MOST_SECONDS = 60.0
"""Seconds between two lines, of one task or of many short ones, where a step takes longer."""


class TextTask:
    """The progress of one task.

    Args:
        lines: where it is written.
        title: what is done.
        total: number of units.
    """

    def __init__(self, lines: ProgressText, title: str, total: float) -> None:
        self._lines, self._title, self._total = lines, title, total
        self._done, self._shown, self._remark = 0.0, 0, ""
        self._begun = time.monotonic()

    def advance(self, amount: float) -> None:
        """Count units, and write a line after a step or a minute."""
        self._done += amount
        now = time.monotonic()
        is_step = self._steps > self._shown
        waited = now - max(self._begun, self._lines.written)
        if now - self._lines.written >= MOST_SECONDS or (is_step and waited >= LEAST_SECONDS):
            self._shown = self._steps
            remark = f", {self._remark}" if self._remark else ""
            self._lines.write(
                f"{self._title}: {self._share:.0%} after {now - self._begun:.0f} s{remark}"
            )

    def describe(self, text: str) -> None:
        """Set the remark of the next lines."""
        self._remark = text

    @property
    def _share(self) -> float:
        return min(1.0, self._done / self._total) if self._total else 0.0

    @property
    def _steps(self) -> int:
        return int(self._share / STEP + 1e-6)


class ProgressText:
    """Writes a line at each tenth of the task at work, and one each minute.

    Attributes:
        written: time of the last line, at first that of the start.
    """

    def __init__(self) -> None:
        self.written = time.monotonic()

    def start(self, title: str, total: float, unit: str) -> TextTask:
        """Begin a task of `total` units."""
        return TextTask(self, title, total)

    def stop(self, task: object) -> None:
        """Do nothing: what comes next says so itself."""

    def write(self, line: str) -> None:
        """Write a line at once."""
        self.written = time.monotonic()
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
