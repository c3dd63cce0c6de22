"""`swath submit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.cli.command import Command
from swath.options import SubmitOptions

if TYPE_CHECKING:
    from swath.commands.submit import SubmitResult


def _summary(result: SubmitResult) -> str:
    what = "classes and heights" if result.heights else "classes"
    return f"{result.archive}: {what} of {result.images} images in {result.seconds:.0f} s"


COMMAND = Command(SubmitOptions, _summary)
