"""What can go wrong, in words that a user can act on.

Every mistake of a user, a file or a machine is raised as a `SwathError`: one paragraph that says
what is wrong, in which file, and what to do. A bare Python exception that leaves the package is a
bug.
"""

from __future__ import annotations

from pathlib import Path


def as_sentence(text: str) -> str:
    """Return a text with a full stop, unless it ends with a stop of its own."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


class SwathError(Exception):
    """The data or the job is at fault.

    Args:
        what: what is wrong, without a final full stop.
        file: the file or folder at fault, if there is one.
        fix: what to do about it, as a sentence without a final full stop.
        code: the code of the finding that `inspect` makes of it.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        file: str | Path | None = None,
        fix: str | None = None,
        code: str = "unreadable",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.file = None if file is None else str(file)
        self.fix = fix
        self.code = code

    def __str__(self) -> str:
        text = f"{self.file}: {as_sentence(self.what)}" if self.file else as_sentence(self.what)
        return f"{text} {as_sentence(self.fix)}" if self.fix else text


class UsageError(SwathError):
    """An option has a value that cannot be meant."""

    exit_code = 2


class DataError(SwathError):
    """An image, a mask or a folder cannot be used as it is."""


class ModelError(SwathError):
    """A model file is damaged, too new, or does not fit the data."""


class JobError(SwathError):
    """The data are in order, but the work cannot be done here (disk, memory, a missing package)."""


def job_error_of(error: OSError) -> JobError:
    """Return the error for a disk, a folder or a file that the system does not give."""
    return JobError(
        f"the system refuses ({error.strerror or error})",
        file=error.filename,
        fix="Check permissions and room, also of the folder for temporary files (TMPDIR)",
    )
