"""`swath quantize`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.cli.command import Command
from swath.options import QuantizeOptions

if TYPE_CHECKING:
    from swath.commands.quantize import QuantizeResult


def _summary(result: QuantizeResult) -> str:
    return (
        f"{result.model}: int8 added, from {result.samples} patches; {result.labels_changed:.2%} of the labels of "
        f"{result.compared} patches differ from float32, at {result.speed:.2f} times the usual speed here"
    )


COMMAND = Command(QuantizeOptions, _summary)
