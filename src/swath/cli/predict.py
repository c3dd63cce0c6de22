"""`swath predict`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.cli.command import Command
from swath.options import PredictOptions

if TYPE_CHECKING:
    from swath.verbs.predict import PredictResult


def _summary(result: PredictResult) -> str:
    lines = [f"{result.map}: {result.pixels / 1e6:.2f} Mpixel in {result.seconds:.1f} s"]
    lines += [f"  {name:<20} {count / result.pixels:6.1%}" for name, count in result.classes.items()]
    return "\n".join([*lines, f"  {'(no data)':<20} {result.nodata / result.pixels:6.1%}"])


COMMAND = Command(PredictOptions, _summary)
