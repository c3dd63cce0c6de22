"""One command in a process of its own: `python -m swath.cli.worker predict OPTIONS`.

The options are a JSON object by the names that they have in Python. Each line on stdout is a JSON
object, too: those of `progress_lines` while it works, at the end `{"done": true, "result": {...}}`
or `{"error": "..."}`. The process ends when its stdin closes, so that it never outlives the
server.
"""

from __future__ import annotations

import json
import os
import sys
import threading


def main(command: str, options: str) -> None:
    """Run a command."""
    import swath
    from swath.cli.progress_lines import ProgressLines, write_line
    from swath.errors import as_sentence
    from swath.progress import listen

    threading.Thread(target=_exit_with_server, daemon=True).start()
    try:
        with listen(ProgressLines()):
            result = getattr(swath, command)(**json.loads(options))
    except swath.SwathError as error:
        write_line(
            {"error": " ".join(as_sentence(part) for part in (error.message, error.fix) if part)}
        )
    else:
        write_line({"done": True, "result": result.model_dump(mode="json")})


def _exit_with_server() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:3])
