"""Progress bars on stderr, for terminals only."""

from __future__ import annotations

import time
from typing import Any

from rich import progress
from rich.console import Console
from rich.text import Text

DELAY = 1.0
"""Seconds of work before its bar is shown."""


class _Rate(progress.ProgressColumn):
    """Units per second, in thousands or millions where they are many."""

    def render(self, task: progress.Task) -> Text:
        speed, unit = task.finished_speed or task.speed or 0.0, task.fields["unit"]
        if unit == "s" or not speed:
            return Text("")
        for size, prefix in ((1e6, "M"), (1e3, "k")):
            if speed >= size:
                return Text(f"{speed / size:.2f} {prefix}{unit}/s")
        return Text(f"{speed:.2f} {unit}/s")


class Bar:
    """One bar, shown after `DELAY` seconds of work."""

    def __init__(self, console: Console, title: str, total: float, unit: str) -> None:
        self._progress = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.percentage:>3.0f}%"),
            _Rate(),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[remark]}"),
            console=console,
            transient=True,
        )
        self._id = self._progress.add_task(title, total=total, unit=unit, remark="")
        self._begun = time.monotonic()
        self._shown = False

    def advance(self, amount: float) -> None:
        """Advance by `amount` units."""
        self._progress.advance(self._id, amount)
        self._show()

    def describe(self, text: str) -> None:
        """Show a remark."""
        self._progress.update(self._id, remark=text)
        self._show()

    def _show(self) -> None:
        if not self._shown and time.monotonic() - self._begun > DELAY:
            self._shown = True
            self._progress.start()

    def stop(self) -> None:
        """Remove the bar."""
        if self._shown:
            self._progress.stop()


class ProgressBars:
    """Shows the progress of all work, one bar at a time."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    def start(self, title: str, total: float, unit: str) -> Bar:
        """Open a bar."""
        return Bar(self._console, title, total, unit)

    def stop(self, task: Any) -> None:
        """Close a bar."""
        task.stop()
