"""`swath demo`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from swath.cli.command import Command
from swath.options import DemoOptions

if TYPE_CHECKING:
    from swath.commands.demo import DemoResult


def _summary(result: DemoResult) -> str:
    return (
        f"Held-out blocks: mIoU {result.miou:.3f}; the best map from one pixel's color alone has {result.yardstick_miou:.3f}\n"
        f"Map:    {result.map}\n"
        f"Report: {result.report}\n"
        f"Model:  {result.model}\n"
        f"{result.seconds / 60:.1f} minutes in all\n"
        + (
            f"{result.url} shows it; Ctrl-C ends it"
            if result.url
            else f"Look at it: {shlex.join(result.view)}"
        )
    )


COMMAND = Command(DemoOptions, _summary, wait=lambda result: result.wait())
