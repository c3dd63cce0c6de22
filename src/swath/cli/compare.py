"""`swath compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.cli.command import Command
from swath.cli.summaries import score, span
from swath.options import CompareOptions

if TYPE_CHECKING:
    from swath.commands.compare import CompareResult


def _summary(result: CompareResult) -> str:
    lines = [
        f"A = {result.a}, B = {result.b}, on {result.groups} group(s) of the {result.split} split"
    ]
    lines.append(f"  {'':<20}     A      B   B - A  95% interval")
    for d in result.differences:
        change = "-" if d.difference is None else f"{d.difference:+.3f}"
        lines.append(f"  {d.name:<20} {score(d.a)}  {score(d.b)}  {change}  {span(d.interval)}")
    if result.images:
        worst = result.images[0]
        lines.append(
            f"They disagree most at {worst.name}: {worst.differ:.1%} of its labeled pixels"
        )
    return "\n".join([*lines, *([f"Report: {result.report}"] if result.report else [])])


COMMAND = Command(CompareOptions, _summary)
