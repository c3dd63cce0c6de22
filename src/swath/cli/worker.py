"""One command in a process of its own: `python -m swath.cli.worker predict OPTIONS`.

The options are a JSON object by the names that they have in Python. Each line on stdout is a JSON
object, too: `{"progress": 0..1}` while it works, at the end `{"done": true, "result": {...}}` or
`{"error": "..."}`. The process ends when its stdin closes, so that it never outlives the
server.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

PROGRESS_INTERVAL = 0.25
"""Seconds between two lines of progress."""


class _ProgressWriter:
    """Writes the progress of the present task."""

    def __init__(self) -> None:
        self._done = self._total = 0.0
        self._written = 0.0

    def start(self, title: str, total: float, unit: str) -> _ProgressWriter:
        self._done, self._total = 0.0, total
        return self

    def stop(self, task: Any) -> None:
        pass

    def describe(self, text: str) -> None:
        pass

    def advance(self, amount: float) -> None:
        self._done += amount
        if time.monotonic() - self._written > PROGRESS_INTERVAL and self._total:
            self._written = time.monotonic()
            _write({"progress": min(1.0, self._done / self._total)})


def main(command: str, options: str) -> None:
    """Run a command."""
    import swath
    from swath.errors import as_sentence
    from swath.progress import listen

    threading.Thread(target=_exit_with_server, daemon=True).start()
    try:
        with listen(_ProgressWriter()):
            result = getattr(swath, command)(**json.loads(options))
    except swath.SwathError as error:
        _write(
            {"error": " ".join(as_sentence(part) for part in (error.message, error.fix) if part)}
        )
    else:
        _write({"done": True, "result": result.model_dump(mode="json")})


def _exit_with_server() -> None:
    sys.stdin.read()
    os._exit(1)


def _write(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:3])
