"""`swath train`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.cli.command import Command
from swath.cli.summaries import score
from swath.options import TrainOptions

if TYPE_CHECKING:
    from swath.commands.train import TrainResult


def _summary(result: TrainResult) -> str:
    lines = [
        f"{result.model}: {result.parameters / 1e6:.1f} million weights, {result.steps} steps in {result.seconds:.0f} s, "
        f"{result.pixels_per_second / 1e6:.2f} Mpixel/s, {result.waited:.1%} of the time waiting for data, "
        f"validation mIoU {score(result.validation_miou)}",
        f"  began with: {result.first_weights}",
        f"  {'share of the pixels':<26} labeled   drawn",
    ]
    return "\n".join(
        [*lines, *(f"  {c.name:<26} {c.share:8.1%} {c.drawn:7.1%}" for c in result.sampling)]
    )


COMMAND = Command(TrainOptions, _summary)
