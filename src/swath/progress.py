"""Progress of long work.

The library never prints. Loops call `track` or `task`; the command line or a server installs a
listener, and without one nothing happens. The listener lives in a context variable, so no function
has it as an argument.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")


class Task(Protocol):
    """One progress bar."""

    def advance(self, amount: float) -> None:
        """Advance by `amount` units."""

    def describe(self, text: str) -> None:
        """Show a short remark beside the bar, such as the present loss."""


class Listener(Protocol):
    """Shows progress."""

    def start(self, title: str, total: float, unit: str) -> Task:
        """Open a bar of `total` units."""

    def stop(self, task: Task) -> None:
        """Close the bar."""


class SilentTask:
    """A bar that is not shown."""

    def advance(self, amount: float) -> None:
        """Do nothing."""

    def describe(self, text: str) -> None:
        """Do nothing."""


_listener: ContextVar[Listener | None] = ContextVar("swath_progress", default=None)

_began: ContextVar[float | None] = ContextVar("swath_began", default=None)


@contextmanager
def whole_run() -> Iterator[None]:
    """Time the command inside the block from here on: its imports take a second."""
    token = _began.set(time.monotonic())
    try:
        yield
    finally:
        _began.reset(token)


def began() -> float:
    """Return when the program began (`time.monotonic`); now, where Python called the command."""
    at = _began.get()
    return time.monotonic() if at is None else at


@contextmanager
def listen(listener: Listener) -> Iterator[None]:
    """Send the progress of all work inside the block to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def task(title: str, total: float, unit: str) -> Iterator[Task]:
    """Open a bar of `total` units (pixels, files, seconds) for the work inside the block."""
    listener = _listener.get()
    if listener is None:
        yield SilentTask()
        return
    bar = listener.start(title, total, unit)
    try:
        yield bar
    finally:
        listener.stop(bar)


def track(items: Iterable[T], title: str, total: int, unit: str = "files") -> Iterator[T]:
    """Yield `items` one by one and count them on a bar."""
    with task(title, total, unit) as bar:
        for item in items:
            yield item
            bar.advance(1)
