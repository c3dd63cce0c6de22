"""`swath view`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.cli.command import Command
from swath.options import ViewOptions

if TYPE_CHECKING:
    from swath.commands.view import ViewResult


def _summary(result: ViewResult) -> str:
    return f"{result.url}\n  shows {', '.join(result.layers)}; Ctrl-C ends it"


COMMAND = Command(ViewOptions, _summary, wait=lambda result: result.wait())
