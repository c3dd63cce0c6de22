"""One prediction in a process of its own: `python -m swath.cli.worker MODEL IMAGE MAP`.

Each line on stdout is a JSON object: `{"progress": 0..1}` while it works, at the end `{"done":
true}` or `{"error": "..."}`. It ends when its stdin closes, so that it never outlives the server.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

EVERY = 0.25
"""Seconds between two lines on progress."""


class _Teller:
    """Tells the progress of the longest task."""

    def __init__(self) -> None:
        self._done = self._total = 0.0
        self._told = 0.0

    def start(self, title: str, total: float, unit: str) -> _Teller:
        self._done, self._total = 0.0, total
        return self

    def stop(self, task: Any) -> None:
        pass

    def tell(self, text: str) -> None:
        pass

    def advance(self, amount: float) -> None:
        self._done += amount
        if time.monotonic() - self._told > EVERY and self._total:
            self._told = time.monotonic()
            _say({"progress": min(1.0, self._done / self._total)})


def main(model: str, image: str, target: str) -> None:
    """Map an image."""
    import swath
    from swath.progress import listen

    threading.Thread(target=_leave_with_the_server, daemon=True).start()
    try:
        with listen(_Teller()):
            swath.predict(model, image, target)
    except swath.SwathError as error:
        _say(
            {
                "error": " ".join(
                    part.rstrip(".") + "." for part in (error.message, error.fix) if part
                )
            }
        )
    else:
        _say({"done": True})


def _leave_with_the_server() -> None:
    sys.stdin.read()
    os._exit(1)


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:4])
