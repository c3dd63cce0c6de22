"""What was changed since a client asked last, and what each author can undo."""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from swath.io.vector import Row

MAX_CHANGES = 20_000
"""Changes of features that are kept for clients; older clients get all features."""

MAX_UNDO = 200
"""Steps that an author can undo."""

MAX_AUTHORS = 50
"""Authors whose steps are kept."""

Direction = Literal["undo", "redo"]


@dataclass(frozen=True)
class Edit:
    """One feature before and after a step; None where it did not exist."""

    fid: int
    before: Row | None
    after: Row | None


Step = tuple[Edit, ...]


@dataclass
class _Steps:
    undo: deque[Step] = field(default_factory=lambda: deque(maxlen=MAX_UNDO))
    redo: deque[Step] = field(default_factory=lambda: deque(maxlen=MAX_UNDO))


class ChangeLog:
    """Numbers each change; a number is only valid until the log is cleared."""

    def __init__(self) -> None:
        self._steps: OrderedDict[str, _Steps] = OrderedDict()
        self.clear()

    def clear(self) -> None:
        """Begin anew: clients get all features."""
        self._epoch = secrets.token_hex(3)
        self._number = self._first = 0
        self._changes: deque[tuple[int, int, bool]] = deque(maxlen=MAX_CHANGES)

    @property
    def revision(self) -> str:
        """Text that differs after each change."""
        return f"{self._epoch}-{self._number}"

    def add(self, changed: Collection[int], deleted: Collection[int]) -> None:
        """Note that features were changed and deleted."""
        self._number += 1
        rows = [(fid, False) for fid in changed] + [(fid, True) for fid in deleted]
        for fid, gone in rows:
            if len(self._changes) == MAX_CHANGES:
                self._first = self._changes[0][0]
            self._changes.append((self._number, fid, gone))

    def since(self, revision: str | None) -> tuple[set[int], set[int]] | None:
        """Return ids of changed and of deleted features; None where all may have changed."""
        epoch, _, number = (revision or "").partition("-")
        if epoch != self._epoch or not number.isdecimal() or int(number[:12]) < self._first:
            return None
        last = {fid: gone for n, fid, gone in self._changes if n > int(number[:12])}
        gone = {fid for fid, deleted in last.items() if deleted}
        return set(last) - gone, gone

    def remember(self, author: str, step: Step) -> None:
        """Keep a step that its author may undo; what was undone can no longer be redone."""
        steps = self._of(author)
        steps.undo.append(step)
        steps.redo.clear()

    def peek(self, author: str, direction: Direction) -> Step | None:
        """Return the step that is next to be undone or redone."""
        steps: deque[Step] = getattr(self._of(author), direction)
        return steps[-1] if steps else None

    def move(self, author: str, direction: Direction) -> None:
        """Move the next step to the other side."""
        steps = self._of(author)
        if direction == "undo":
            steps.redo.append(steps.undo.pop())
        else:
            steps.undo.append(steps.redo.pop())

    def _of(self, author: str) -> _Steps:
        steps = self._steps.setdefault(author, _Steps())
        self._steps.move_to_end(author)
        while len(self._steps) > MAX_AUTHORS:
            self._steps.popitem(last=False)
        return steps
