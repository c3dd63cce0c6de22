"""A folder beside an output for what a run needs, so that a cancelled run can be continued."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

from .program import Canceled


class Work:
    """`OUTPUT.unfinished`, which goes when the output is whole or the run has failed.

    Args:
        output: the file that is being made.
        kept: whether a cancelled run leaves the folder, to be continued.
    """

    def __init__(self, output: str, kept: bool = True) -> None:
        self.folder = Path(f"{output}.unfinished")
        self._kept = kept

    def __enter__(self) -> Work:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None
    ) -> None:
        checkpoints = self.folder.with_suffix(".training")
        unfinished = checkpoints.exists() or any((self.folder / "parts").glob("*"))
        if not (self._kept and (isinstance(error, Canceled) or error and unfinished)):
            shutil.rmtree(self.folder, ignore_errors=True)

    def continues(self, request: dict[str, Any], files: list[str]) -> bool:
        """Return whether the folder holds work of the same request; else empty it of other work.

        Args:
            request: all that the work depends on.
            files: inputs, whose size and time of change are part of the request.
        """
        facts = [Path(f).stat() for f in files if Path(f).is_file()]
        stamps = [[fact.st_size, fact.st_mtime_ns] for fact in facts]
        text = json.dumps([request, files, stamps], sort_keys=True)
        record = self.folder / "request.json"
        if record.exists() and record.read_text(encoding="utf-8") == text:
            return True
        for name in ("parts", "dataset"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        record.write_text(text, encoding="utf-8")
        return False
