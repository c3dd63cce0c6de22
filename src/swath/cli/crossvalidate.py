"""`swath crossvalidate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.cli.command import Command
from swath.cli.summaries import score, shortened, span
from swath.options import CrossvalidateOptions

if TYPE_CHECKING:
    from swath.commands.crossvalidate import CrossvalidateResult


def _summary(result: CrossvalidateResult) -> str:
    lines = [
        f"mIoU {score(result.miou)} {span(result.miou_interval)} over all folds; "
        f"mean of folds {score(result.mean)}, deviation {score(result.deviation)}"
    ]
    lines += [
        f"  {score(fold.miou)}  {fold.model}  {shortened(fold.groups)}" for fold in result.folds
    ]
    return "\n".join([*lines, f"Result: {result.result}"])


COMMAND = Command(CrossvalidateOptions, _summary)
