from pathlib import Path

import pytest

from swath.errors import DataError, JobError, ModelError, SwathError, UsageError
from swath.types import Finding


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            DataError("it is cut off", file="a b/x.tif", fix="Fetch it again"),
            "a b/x.tif: it is cut off. Fetch it again.",
        ),
        (DataError("it is cut off", file=Path("x.tif")), "x.tif: it is cut off."),
        (JobError("no room is left", fix="Free some"), "no room is left. Free some."),
    ],
)
def test_an_error_is_one_paragraph(error, text):
    assert str(error) == text


def test_exit_codes():
    assert [kind("x").exit_code for kind in (DataError, ModelError, JobError, UsageError)] == [
        1,
        1,
        1,
        2,
    ]
    assert all(
        issubclass(kind, SwathError) for kind in (DataError, ModelError, JobError, UsageError)
    )


def test_a_finding_says_what_the_error_says():
    error = DataError("sizes differ", file="m.png", fix="Mend it", code="size-mismatch")
    finding = Finding.of_error(error, "i.tif", "i")
    assert finding.as_json() == {
        "level": "error",
        "code": "size-mismatch",
        "file": "m.png",
        "message": "Sizes differ.",
        "fix": "Mend it.",
    }
    assert finding.sample == "i"
    assert Finding.of_error(DataError("x", fix="y"), "i.tif").file == "i.tif"
