"""Links between the pages lead to files and sections that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS

PAGES = [DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md"))]


def anchor(title: str) -> str:
    """Return the anchor that GitHub gives to a title."""
    return re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        file, _, section = target.partition("#")
        if ":" in file:
            continue
        found = page.parent / file if file else page
        titles = re.findall(r"^#+ (.*)$", found.read_text(), re.M) if section else []
        if not found.exists() or section and section not in map(anchor, titles):
            lost.append(target)
    assert lost == []
