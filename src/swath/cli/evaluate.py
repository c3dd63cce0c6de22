"""`swath evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.cli.command import Command
from swath.cli.text import score
from swath.options import EvaluateOptions

if TYPE_CHECKING:
    from swath.verbs.evaluate import EvaluateResult


def _summary(result: EvaluateResult) -> str:
    lines = [
        f"mIoU {score(result.miou)}, accuracy {score(result.accuracy)} on {result.images} images of the {result.split} split",
        f"  {'':<26}   IoU    F1  precision  recall",
    ]
    for c in result.classes:
        lines.append(f"  {c.code:>5} {c.name:<20} {score(c.iou)} {score(c.f1)}      {score(c.precision)}   {score(c.recall)}")
    if result.miou_with_unlabeled is not None:
        lines.append(f"mIoU with unlabelled ground as a class: {score(result.miou_with_unlabeled)}")
    if result.miou3 is not None:
        lines.append(f"mIoU-3 (with heights to a metre): {score(result.miou3)}")
    return "\n".join([*lines, *([f"Report: {result.report}"] if result.report else [])])


COMMAND = Command(EvaluateOptions, _summary)
