"""Every code block of README and of the pages for users is run, or its page says why not."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import DOCS, Stories, blocks_of, read_sections, run_section
from tests.docs.stories import data, how_to, images, sensors, start

STORIES: Stories = {}
for module in (data, how_to, images, sensors, start):
    STORIES |= module.STORIES
SLOW = {"how-to/landsat.md", "how-to/planetscope.md", "how-to/recipes.md"}
GENERATED = {"reference/command-line.md", "reference/api.md", "reference/errors.md"}
KINDS = ("getting-started", "how-to", "concepts", "tutorials", "reference")
PAGES = ["README.md", "index.md"] + sorted(
    path.relative_to(DOCS).as_posix() for kind in KINDS for path in (DOCS / kind).glob("*.md")
)
MOST_WORDS = 12_000


@pytest.mark.parametrize("page", [p for p in PAGES if p not in GENERATED])
def test_every_block_is_run_or_says_why_not(page: str) -> None:
    untold = [t for t in read_sections(page) if not {(page, t), (page, "")} & set(STORIES)]
    assert untold == [], f"These sections of {page} have no story in tests/docs/stories"


def test_every_story_has_its_section() -> None:
    lost = [(p, t) for p, t in STORIES if p not in PAGES or (t and t not in read_sections(p))]
    assert lost == []


@pytest.mark.parametrize(
    ("page", "title"),
    [pytest.param(*key, marks=[pytest.mark.slow] * (key[0] in SLOW)) for key in STORIES],
)
def test_examples(page: str, title: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    run_section(blocks_of(page, title), STORIES[page, title](), capsys)


def test_pages_for_users_are_short() -> None:
    texts = [(DOCS / p).read_text(encoding="utf-8") for p in PAGES[1:] if p not in GENERATED]
    words = [w for text in texts for w in text.split() if any(map(str.isalnum, w))]
    assert 5000 < len(words) <= MOST_WORDS


@pytest.mark.parametrize("page", sorted(GENERATED))
def test_pages_of_the_source_are_current(page: str) -> None:
    spec = spec_from_file_location("reference", DOCS / "development" / "reference.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.PAGES_MADE[Path(page).name]()
    assert (DOCS / page).read_text(encoding="utf-8") == made, "Run `make reference`"


def test_readme_is_short() -> None:
    assert len((DOCS.parent / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
