"""The table of findings lists the codes that the source makes, each once and sorted."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs.pages import DOCS

MAKERS = {"Finding", "Issue", "Problem", "finding"}
LEVELS = {"error", "warning", "note"}
ROWS = [
    re.findall(r"`([a-z-]+)`", cells[2])
    for cells in (
        line.split("|")
        for line in (DOCS / "reference" / "findings.md").read_text().splitlines()
        if line[:1] == "|"
    )
]


def codes_of(path: Path) -> Iterator[str]:
    """Yield the codes that are written in calls that make a finding."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        texts = {a.value for a in node.args if isinstance(a, ast.Constant)} - LEVELS
        if name in MAKERS:
            yield from (t for t in texts if isinstance(t, str) and re.fullmatch(r"[a-z-]+", t))


def test_all_codes_are_listed() -> None:
    source = DOCS.parent / "src" / "swath"
    made = {code for path in source.rglob("*.py") for code in codes_of(path)}
    assert len(made) > 80
    assert made - {code for row in ROWS for code in row} == set()


def test_rows_are_sorted() -> None:
    assert [row for row in ROWS if row != sorted(set(row))] == []
