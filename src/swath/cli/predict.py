"""`swath predict`."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from swath.cli.command import Command
from swath.options import PredictOptions

if TYPE_CHECKING:
    from swath.commands.predict import PredictResult
    from swath.mapping.estimate import Estimate


def _summary(result: PredictResult) -> str:
    if result.plan is not None:
        return _foreseen(result, result.plan)
    lines = [f"{result.map}: {result.pixels / 1e6:.2f} Mpixel in {result.seconds:.1f} s"]
    lines += [f"  also {name}" for name in result.maps if name != result.map]
    lines += [
        f"  {name:<26} {count / result.pixels:6.1%}" for name, count in result.classes.items()
    ]
    lines.append(f"  {'(no data)':<20} {result.nodata / result.pixels:6.1%}")
    if result.zooms != [1]:
        lines.append(
            f"  seen at scale {', '.join(map(_fraction, result.zooms))}, at which the network knows the ground"
        )
    return "\n".join(lines)


def _foreseen(result: PredictResult, plan: Estimate) -> str:
    rows, cols = plan.read
    seam = (
        "not measured"
        if plan.seam is None
        else f"{plan.seam:.2%} of labels differ from whole images"
    )
    speed = f"{plan.pixels_per_second / 1e6:.2f} Mpixel/s"
    times = ", ".join(f"{_duration(s)} on {n}" for n, s in plan.seconds.items())
    lines = [
        f"{result.pixels / 1e6:.2f} Mpixel, in {result.tiles} tiles that read {cols}x{rows} pixels",
        f"  halo      {plan.halo} pixels ({seam}); {result.overhead:.2f} pixels read for each one mapped",
        f"  engine    {result.engine}, {result.precision}, {plan.threads} thread(s); {speed}",
        f"  memory    at most {plan.memory_bytes / 1e9:.1f} GB a worker",
        f"  disk      at most {plan.disk_bytes / 1e9:.2f} GB while it runs",
        f"  time      {times} machine(s) like this one",
    ]
    if plan.tta != "none":
        work = f"{plan.views} looks at each tile, {plan.cost / plan.zoom**2:.3g} times the work of one; the speed has them all"
        lines.insert(3, f"  tta       {plan.tta}: {work}")
    if plan.zoom != 1:
        share = f"{plan.cost:.3g} pixels through the network for each one read"
        lines.insert(
            3, f"  scale     {_fraction(plan.zoom)}, at which the network knows the ground; {share}"
        )
    if plan.context == "global":
        lines.append(
            "  The network looks at all of a tile, so its labels depend on the tiles; expect seams."
        )
    return "\n".join(lines)


def _fraction(zoom: float) -> str:
    return str(Fraction(zoom).limit_denominator(100))


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


COMMAND = Command(PredictOptions, _summary)
