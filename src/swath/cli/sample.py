"""`swath sample`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.cli.command import Command
from swath.options import SampleOptions

if TYPE_CHECKING:
    from swath.commands.sample import SampleResult


def _summary(result: SampleResult) -> str:
    drawn = ", ".join(f"{name} {count}" for name, count in result.classes.items())
    return (
        f"{result.points}: {result.n} points ({drawn})\n"
        "Write what you see at each into the column `reference`, then run `swath area MAP --reference POINTS`."
    )


COMMAND = Command(SampleOptions, _summary)
