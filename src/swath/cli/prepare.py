"""`swath prepare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.cli.command import Command
from swath.cli.summaries import listed, shortened
from swath.options import PrepareOptions

if TYPE_CHECKING:
    from swath.commands.prepare import PrepareResult


def _summary(result: PrepareResult) -> str:
    lines = [
        f"{result.dataset}: {result.images} images, layout {result.layout}, bands: {', '.join(result.bands)}"
    ]
    for name, split in result.splits.items():
        lines.append(
            f"  {name:<5} {split.images:>5} images  {split.pixels:>12} labeled pixels  {shortened(split.groups)}"
        )
    lines.append("  " + " " * 33 + "".join(f"{name:>8}" for name in result.splits))
    for c in result.classes:
        shares = "".join(f"{share:8.1%}" for share in c.shares.values())
        lines.append(f"  {c.code:>5} {c.name:<26} {shares}")
    if result.skipped:
        lines.append(f"Skipped: {shortened(result.skipped)}")
    return "\n".join([*lines, *listed(result.findings)])


COMMAND = Command(PrepareOptions, _summary)
