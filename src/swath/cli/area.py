"""`swath area`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.cli.command import Command
from swath.cli.summaries import score
from swath.options import AreaOptions

if TYPE_CHECKING:
    from swath.commands.area import AreaResult


def _summary(result: AreaResult) -> str:
    lines = [
        f"  {'hectares':<26} {'mapped':>14} {'estimated':>14}  {'95% interval':<30} user's  producer's"
    ]
    for c in result.classes:
        low, high = c.interval or (float("nan"), float("nan"))
        between = f"{low:,.1f} to {high:,.1f}" if c.interval else "-"
        lines.append(
            f"  {c.code:>5} {c.name:<20} {c.mapped:>14,.1f} {c.area:>14,.1f}  {between:<30} "
            f"{score(c.users):<6}  {score(c.producers)}"
        )
    right = (
        ""
        if result.overall_interval is None
        else " (95% interval {:.1%} to {:.1%})".format(*result.overall_interval)
    )
    lines.append(f"Right on {result.overall:.1%} of the area{right}")
    return "\n".join([*lines, f"From: {result.method}", f"Assumes: {result.assumes}"])


COMMAND = Command(AreaOptions, _summary)
