"""Arguments of benchmarks that have no options."""

from __future__ import annotations

import sys


def arguments(usage: str | None, least: int, most: int) -> list[str]:
    """Return the arguments of the command line.

    Raises:
        SystemExit: `--help` is given, or fewer or more arguments than the benchmark takes.
    """
    given = sys.argv[1:]
    if "--help" in given:
        sys.stdout.write(f"{usage}\n")
        raise SystemExit(0)
    if not least <= len(given) <= most:
        raise SystemExit(
            f"{len(given)} arguments are given, {least} to {most} are needed: see --help"
        )
    return given
