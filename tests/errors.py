"""Assert on errors by their code, not by their sentences."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swath.errors import SwathError


@contextmanager
def fails(
    code: str, kind: type[SwathError] = SwathError, file: Path | str | None = None
) -> Iterator[pytest.ExceptionInfo[SwathError]]:
    """Expect an error of a code and class, of `file` if given; yield what pytest caught.

    Every error that passes here names a mend, and its message names its subject.
    """
    with pytest.raises(kind) as caught:
        yield caught
    error = caught.value
    assert error.code == code, str(error)
    assert error.message[:1] == error.message[:1].upper() and not error.message.startswith("It ")
    if file is not None:
        assert error.file is not None and Path(error.file) == Path(file), str(error)
