"""`swath inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.cli.command import Command
from swath.cli.summaries import listed, shortened
from swath.options import InspectOptions

if TYPE_CHECKING:
    from swath.commands.inspect import InspectResult


def _summary(result: InspectResult) -> str:
    total = sum(c.pixels for c in result.classes) or 1
    lines = [
        f"{result.images} images, layout {result.layout}, bands: {', '.join(result.bands) or 'none'}"
    ]
    if result.groups:
        lines.append(f"{len(result.groups)} groups: {shortened(result.groups)}")
    lines += [
        f"  {c.code:>5}  {c.name:<26} {c.pixels / total:6.1%}  {c.pixels} pixels"
        for c in result.classes
    ]
    if result.ood is not None:
        far = "-" if result.ood.distance is None else f"{result.ood.distance:.3g}"
        lines.append(
            f"Distance from the training data: {far} (1 is usual, {result.ood.threshold:.3g} the limit)"
        )
        for b in result.ood.bands:
            known = f"training data {b.known_low:g} to {b.known_high:g}, mean {b.known_mean:.4g}"
            lines.append(f"  {b.name:<12} {b.low:g} to {b.high:g}, mean {b.mean:.4g}; {known}")
    levels = [f["level"] for f in result.findings]
    counts = ", ".join(f"{levels.count(level)} {level}s" for level in ("error", "warning", "note"))
    lines += [f"Findings: {counts}", *listed(result.findings)]
    return "\n".join([*lines, *([f"Report: {result.report}"] if result.report else [])])


COMMAND = Command(InspectOptions, _summary, ok=lambda result: result.ok)
