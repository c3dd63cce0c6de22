"""`swath evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.cli.command import Command
from swath.cli.summaries import score, span
from swath.options import EvaluateOptions

if TYPE_CHECKING:
    from swath.evaluation.results import EvaluateResult


def _summary(result: EvaluateResult) -> str:
    where = (
        "blocks with labels" if result.split == "labels" else f"images of the {result.split} split"
    )
    lines = [
        f"mIoU {score(result.miou)} {span(result.miou_interval)}, accuracy {score(result.accuracy)} "
        f"{span(result.accuracy_interval)}, kappa {score(result.kappa)} on {result.images} {where}",
        f"  {'':<32}   IoU  95% interval        F1  precision  recall  boundary",
    ]
    for c in result.classes:
        lines.append(
            f"  {c.code:>5} {c.name:<26} {score(c.iou)}  {span(c.iou_interval):<18} {score(c.f1)}      {score(c.precision)}   "
            f"{score(c.recall)}     {score(c.boundary_iou)}"
        )
    if len(result.groups) < 3:
        lines.append(f"No intervals: {len(result.groups)} group(s) were scored, and it takes {3}")
    if result.reliability is not None:
        r = result.reliability
        fitted = (
            f"{score(r.error_before)} before calibration"
            if r.temperature != 1
            else "not calibrated: no validation split"
        )
        lines.append(f"Expected calibration error {score(r.error)} ({fitted})")
    if result.unmapped:
        lines.append(f"{result.unmapped} labeled pixels have no data in the map and are not scored")
    if result.miou_with_unlabeled is not None:
        lines.append(f"mIoU with unlabeled ground as a class: {score(result.miou_with_unlabeled)}")
    if result.miou3 is not None:
        lines.append(
            f"mIoU-3 (with heights to a metre, known at {result.heights_known:.0%}): {score(result.miou3)}"
        )
    return "\n".join([*lines, *([f"Report: {result.report}"] if result.report else [])])


COMMAND = Command(EvaluateOptions, _summary)
