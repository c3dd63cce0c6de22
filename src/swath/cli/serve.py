"""`swath serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.cli.command import Command
from swath.options import ServeOptions

if TYPE_CHECKING:
    from swath.commands.serve import ServeResult


def _summary(result: ServeResult) -> str:
    query = f"?token={result.token}" if result.token else ""
    return (
        f"Page:  {result.url}{query}\n"
        f"API:   {result.url}docs{query}\n"
        f"QGIS:  {result.url}cog/WMTSCapabilities.xml?url=FILE{query.replace('?', '&')}\n"
        f"{result.files} rasters; Ctrl-C ends it"
    )


COMMAND = Command(ServeOptions, _summary, wait=lambda result: result.wait())
