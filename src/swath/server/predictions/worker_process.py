"""Commands of Swath in processes of their own, which end with the server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

WORKER = "swath.cli.worker"
"""Module that runs a command; it is started by name, as this package must not import it."""


def start_worker(command: str, options: Mapping[str, Any]) -> subprocess.Popen[str]:
    """Start a command.

    Args:
        command: its name, such as `predict`.
        options: its options by name, as JSON can hold them.
    """
    return subprocess.Popen(
        [sys.executable, "-m", WORKER, command, json.dumps(dict(options))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def messages(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Yield what a process reports until it ends: `progress`; at last `done` or `error`."""
    with process:
        assert process.stdout is not None  # noqa: S101 - it was started with a pipe
        for line in process.stdout:
            with suppress(ValueError):
                message = json.loads(line)
                if isinstance(message, dict):
                    yield message
