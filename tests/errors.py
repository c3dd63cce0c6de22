"""Assert on errors by their code, not by their sentences."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType

import pytest

from swath.cli.command import option_fields
from swath.cli.main import COMMANDS
from swath.errors import SwathError


@contextmanager
def fails(
    code: str, kind: type[SwathError] = SwathError, file: Path | str | None = None
) -> Iterator[pytest.ExceptionInfo[SwathError]]:
    """Expect an error of a code and class, of `file` if given; yield what pytest caught.

    The message of every error that passes here names its subject, and the options in its mend are
    those of the command that failed, or of one that the mend names before them.
    """
    with pytest.raises(kind) as caught:
        yield caught
    error = caught.value
    assert error.code == code, str(error)
    assert error.message[:1] == error.message[:1].upper() and not error.message.startswith("It ")
    if (command := _command_of(caught.tb)) and error.fix:
        assert options_of_others(error.fix, command) == [], (command, error.fix)
    if file is not None:
        assert error.file is not None and Path(error.file) == Path(file), str(error)


def options_of_others(mend: str, command: str) -> list[str]:
    """Return the options that a mend names and neither the failed command has nor the one that is
    named before them."""
    words = re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]|\brio \w+|\w+", mend)
    unknown, speaks_of = [], command
    for word in words:
        if word.lower() in COMMANDS:
            speaks_of = word.lower()
        elif word.startswith("rio "):
            speaks_of = ""
        elif word.startswith("--") and speaks_of:
            if word not in _flags(speaks_of) | _flags(command):
                unknown.append(word)
    return unknown


def _command_of(traceback: TracebackType | None) -> str | None:
    """Return the name of the command, a function of `swath`, that an error came through."""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_name == "call" and Path(code.co_filename).parts[-2:] == ("commands", "base.py"):
            return str(traceback.tb_frame.f_locals["name"])
        traceback = traceback.tb_next
    return None


@cache
def _flags(command: str) -> set[str]:
    found = next(c for c in COMMANDS.values() if command in (c.name, c.word))
    fields = option_fields(found.options)
    return {f.flag for f in fields} | {"--json", "--config", "--quiet", "--verbose"}
