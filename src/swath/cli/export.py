"""`swath export`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.cli.command import Command
from swath.options import ExportOptions

if TYPE_CHECKING:
    from swath.commands.export import ExportResult


def _summary(result: ExportResult) -> str:
    return f"{result.file}: {result.bytes / 1e6:.1f} MB, with {', '.join(result.metadata)}"


COMMAND = Command(ExportOptions, _summary)
