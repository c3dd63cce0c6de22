"""Progress as lines of JSON on stdout, for programs that started this one."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

INTERVAL = 0.25
"""Seconds between two lines of one task."""


class _Lines:
    """The progress of one task."""

    def __init__(self, title: str, total: float) -> None:
        self._title, self._total, self._done, self._remark = title, total, 0.0, ""
        self._write()

    def advance(self, amount: float) -> None:
        """Count units, and write a line unless the last one is recent."""
        self._done += amount
        if time.monotonic() - self._written > INTERVAL:
            self._write()

    def describe(self, text: str) -> None:
        """Set the remark of the next lines."""
        self._remark = text

    def _write(self) -> None:
        self._written = time.monotonic()
        share = min(1.0, self._done / self._total) if self._total else 0.0
        write_line({"progress": share, "title": self._title, "remark": self._remark})


class ProgressLines:
    """Writes `{"progress": 0..1, "title": ..., "remark": ...}` for the task at work."""

    def start(self, title: str, total: float, unit: str) -> _Lines:
        """Begin a task of `total` units."""
        return _Lines(title, total)

    def stop(self, task: Any) -> None:
        """Do nothing: what comes next says so itself."""


def write_line(message: dict[str, Any]) -> None:
    """Write one line of JSON on stdout at once."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
