"""Errors that a user can act on.

Every fault of usage, data or machine is raised as a `SwathError`. Any other exception that leaves
the package is a bug.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

MAX_NAMES = 10_000
"""Names of a folder among which near ones are sought."""

NEAR_NAMES = 3
"""Near names that a mend lists."""


def as_sentence(text: str) -> str:
    """Return a text with a full stop, unless it ends with a mark of its own."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


class SwathError(Exception):
    """The data or the job is at fault.

    Args:
        message: what is wrong, naming its subject ("The mask has 3 bands"), without a full stop.
        code: stable name of the kind of error, such as `no-such-file`; `inspect` reports a finding
            of the same code.
        file: file or folder at fault, None if there is none.
        fix: what to do about it, a sentence without a full stop.
        findings: of a source folder that the error is about, as `swath.types.Finding.as_json`
            gives them.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        code: str,
        file: str | Path | None = None,
        fix: str | None = None,
        findings: Sequence[dict[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.file = None if file is None else str(file)
        self.fix = fix
        self.findings = list(findings)

    def __reduce__(self) -> tuple[Any, ...]:  # errors of worker processes are pickled
        return partial(type(self), code=self.code, file=self.file, fix=self.fix), self.args

    def __str__(self) -> str:
        text = as_sentence(self.message)
        text = f"{self.file}: {text}" if self.file else text
        return f"{text} {as_sentence(self.fix)}" if self.fix else text


class UsageError(SwathError):
    """An option has a value that is not allowed."""

    exit_code = 2


class DataError(SwathError):
    """An image, a mask or a folder cannot be used as it is."""


class ModelError(SwathError):
    """A model file is damaged, too new, or does not fit the data."""


class JobError(SwathError):
    """The data are in order, but the machine cannot do the work (disk, memory, packages)."""


def job_error_of(error: OSError) -> JobError:
    """Return the error for a disk, folder or file that the system refuses."""
    return JobError(
        f"The system refuses access ({error.strerror or error})",
        code="system-refuses",
        file=error.filename,
        fix="Check permissions and free space, also of the folder for temporary files (TMPDIR)",
    )


def out_of_memory() -> JobError:
    """Return the error for a job that ran out of memory."""
    return JobError(
        "There is not enough memory",
        code="out-of-memory",
        fix="Close other programs, or use a machine with more memory",
    )


def check_path(path: str | Path, fix: str = "Check the path") -> str:
    """Return what to do about a path that does not exist, with names near its own.

    Args:
        path: of a file or folder; near names are sought in the last folder of it that exists.
        fix: what else to do.
    """
    lost, near = Path(path), list[str]()
    with suppress(OSError, ValueError):
        while not lost.parent.exists():
            lost = lost.parent
        if not lost.exists():
            names = [p.name for p in islice(lost.parent.iterdir(), MAX_NAMES)]
            near = [str(lost.parent / name) for name in _names_near(lost.name, names)]
    return f"{fix}; near names are {', '.join(near)}" if near else fix


def _names_near(name: str, names: Sequence[str]) -> list[str]:
    """Return names like one: of its stem, then those that differ by few letters, in any case."""
    stem, visible = Path(name).stem.casefold(), [n for n in names if not n.startswith(".")]
    alike = sorted(n for n in visible if Path(n).stem.casefold() == stem)
    spelled: dict[str, str] = {}
    for other in sorted(visible):
        spelled.setdefault(other.casefold(), other)
    close = get_close_matches(name.casefold(), list(spelled), n=NEAR_NAMES)
    return list(dict.fromkeys([*alike, *(spelled[n] for n in close)]))[:NEAR_NAMES]
