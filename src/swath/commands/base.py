"""How a command becomes a Python function with the signature of its options."""

from __future__ import annotations

import functools
import inspect
import multiprocessing
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from swath.errors import JobError, UsageError, job_error_of, out_of_memory
from swath.inference.memory import peak_memory, peak_memory_of_workers
from swath.options import make_options
from swath.types import PathLike, Result

P = ParamSpec("P")
O = TypeVar("O")
R = TypeVar("R", bound="Result")


def command(options: Callable[P, O]) -> Callable[[Callable[[O], R]], Callable[P, R]]:
    """Turn a function of an options object into one that takes the options themselves.

    Raises (the function it makes):
        UsageError: an option is unknown, missing, or has a value that is not allowed.
        JobError: the disk or the memory does not suffice.
    """

    def decorate(work: Callable[[O], R]) -> Callable[P, R]:
        signature = inspect.signature(options)

        @functools.wraps(work)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            name = work.__name__
            _check_not_in_worker(name)
            try:
                given = signature.bind_partial(*args, **kwargs).arguments
            except TypeError as error:
                raise UsageError(
                    f"Arguments of {name}: {error}",
                    code="unknown-option",
                    fix=f"See help(swath.{name})",
                ) from None
            try:
                return work(make_options(options, given))
            except MemoryError as error:
                raise out_of_memory() from error
            except OSError as error:  # such as a full disk for temporary files
                raise job_error_of(error) from error

        returns = inspect.signature(work).return_annotation
        call.__signature__ = signature.replace(return_annotation=returns)  # type: ignore[attr-defined]
        return call

    return decorate


def _check_not_in_worker(name: str) -> None:
    """Check that no worker runs a command, as it does with a script whose main part is unguarded.

    Python runs the script again in each new process; see "Safe importing of main module" in its
    documentation of multiprocessing.

    Raises:
        UsageError: a worker does.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UsageError(
            f"A worker that runs the whole script has called {name} again",
            code="unguarded-script",
            fix='Put the calls of the script below `if __name__ == "__main__":`',
        )


def has_ending(path: PathLike) -> bool:
    """Return whether a name ends as that of a file of some format does."""
    return re.fullmatch(r"\.[a-z][a-z0-9]*", Path(path).suffix.lower()) is not None


def check_ending(path: PathLike, endings: Sequence[str], option: str) -> None:
    """Refuse the name of an output whose ending means another format; one without is taken.

    Args:
        path: the output.
        endings: those of its format, the usual one first.
        option: how the output is named on the command line.

    Raises:
        UsageError: the ending is another.
    """
    name = Path(path)
    if name.suffix.lower() in endings or not has_ending(name):
        return
    message = f"{option} is written as {' or '.join(endings)}, and its name ends in {name.suffix}"
    fix = f"Give {option} {shlex.quote(str(name.with_suffix(endings[0])))}"
    raise UsageError(message, code="file-extension", file=path, fix=fix)


def missing_report_package(error: ImportError) -> JobError:
    """Return the error for a report whose packages are not installed."""
    return JobError(
        f"The report needs the package {error.name}",
        code="missing-package",
        fix='Run `pip install "swath[report]"`',
    )


def peak_rss_bytes() -> int:
    """Return the largest resident memory of this process or of a worker, in bytes."""
    return max(peak_memory(), peak_memory_of_workers())
