"""Code blocks of README and the pages in `docs`, and how they are run.

A block begins with ``` and a language, and a file name where the block is the content of a file. In
blocks of `sh` each line is a command, with `# refused: CODE` where it is to fail. In blocks of
`text` each word with a dot or slash is a file that the commands beside it need. Blocks of `python`
share their names within a section. A block below `<!-- not run: REASON -->` is not run.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from rasterio.rio.main import main_group

import swath
from swath.cli.main import main
from swath.server.uvicorn_server import ServedResult
from tests.make import SMALL_NETWORK, train_small

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^```(\w*) ?(.*)$")
_REFUSED = re.compile(r"# refused: ([a-z-]+)")
_NOT_RUN = re.compile(r"^<!-- not run: (.+) -->$")


@dataclass(frozen=True)
class Block:
    """A code block: its language, the name of its file or "", its lines, and why it is not run."""

    language: str
    file: str
    lines: tuple[str, ...]
    not_run: str = ""


@dataclass(frozen=True)
class Ran:
    """A command that was run, the JSON that it printed, and how it ended."""

    line: str
    code: int
    result: dict[str, Any]

    @property
    def errors(self) -> set[str]:
        """Codes of the error, or of the findings that are errors."""
        findings = self.result.get("findings", ())
        error = self.result.get("error", {}).get("code")
        return {f["code"] for f in findings if f["level"] == "error"} | {error} - {None}

    @property
    def findings(self) -> set[str]:
        """Codes of all findings."""
        return {f["code"] for f in self.result["findings"]}

    @property
    def classes(self) -> dict[str, int]:
        """Code of each class by its name."""
        return {c["name"]: c["code"] for c in self.result["classes"]}

    @property
    def split(self) -> dict[str, int]:
        """Number of images of each split."""
        return {name: split["images"] for name, split in self.result["splits"].items()}


Story: TypeAlias = Generator[None, list[Ran], None]
"""Makes the files of a section in the working folder, is sent what its commands gave, and asserts
what the section says of it."""

Stories: TypeAlias = dict[tuple[str, str], Callable[[], Story]]
"""Stories by page and title of the section; the title "" is the whole page."""


def path_of(page: str) -> Path:
    """Return the path of a page, which is named below `docs`."""
    return ROOT / page if page == "README.md" else DOCS / page


def read_sections(page: str) -> dict[str, list[Block]]:
    """Return the blocks of the sections of a page that have any to run, by their titles."""
    sections: dict[str, list[Block]] = {}
    title, reason, block, lines = "", "", None, []
    for line in path_of(page).read_text(encoding="utf-8").splitlines():
        fence = _FENCE.match(line)
        if fence and block is None:
            block, lines = fence, []
        elif fence and block is not None:
            made = Block(block[1], block[2].strip(), tuple(lines), reason)
            sections.setdefault(title, []).append(made)
            block, reason = None, ""
        elif block is not None:
            lines.append(line)
        else:
            assert not line.startswith("    "), f"{page} has a block without a fence: {line}"
            title = line.lstrip("# ") if line.startswith("#") else title
            marked = _NOT_RUN.match(line)
            reason = marked[1] if marked else reason * (not line.strip())
    assert block is None, f"{page} has a block without an end"
    return {t: b for t, b in sections.items() if any(not one.not_run for one in b)}


def blocks_of(page: str, title: str) -> list[Block]:
    """Return the blocks of a section, or with the title "" of the page."""
    sections = read_sections(page)
    return sections[title] if title else [one for blocks in sections.values() for one in blocks]


def run_section(blocks: list[Block], story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    """Make the files of a section, run its blocks in order, and let its story assert."""
    next(story)
    ran: list[Ran] = []
    names: dict[str, Any] = {}
    for block in blocks:
        if not block.not_run:
            ran += _run_block(block, names, capsys)
    with pytest.raises(StopIteration):
        story.send(ran)


def _run_block(
    block: Block, names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> list[Ran]:
    if block.language == "sh":
        return [run_line(line, capsys) for line in block.lines if line.strip()]
    if block.language == "python":
        with small_trainings():
            exec("\n".join(block.lines), names)
        return [Ran(block.lines[0], 0, names)]
    if block.file:
        Path(block.file).write_text("\n".join(block.lines) + "\n")
        return []
    assert block.language == "text", f"A block of {block.language} names no file: {block.lines}"
    for word in re.findall(r"\S*[./]\S*", "\n".join(block.lines)):
        assert Path(word).exists(), f"{word} is on the page, and was not made"
    return []


@contextmanager
def small_trainings() -> Iterator[None]:
    """Let `swath.train` take two steps of a small network."""
    with pytest.MonkeyPatch.context() as patch:
        train = swath.train

        def small(dataset: Any, model: Any, **options: Any) -> Any:
            options.pop("minutes", None)
            with pytest.MonkeyPatch.context() as inner:
                inner.setattr(swath, "train", train)
                return train_small(Path(dataset), Path(model), steps=2, **options)

        patch.setattr(swath, "train", small)
        yield


def _shortened(words: list[str]) -> list[str]:
    """Return the words of a command, with two steps of a small network, on any free port."""
    options = {"--steps": "2", "--minutes": None}
    if "quick" in words:
        return words
    if words[0] in ("train", "crossvalidate"):
        options |= {f"--{key}": value for key, value in SMALL_NETWORK.items()}
    elif words[0] in ("view", "serve"):
        options = {"--port": "0"}
    else:
        return words
    kept = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if word not in options and before not in options
    ]
    added = [part for key, value in options.items() if value for part in (key, value)]
    if "--recipe" in words or "--from" in words:  # which have networks of their own
        added = ["--steps", "2"]
    return [*kept, *added, *["--no-open"] * (words[0] == "view")]


@contextmanager
def _small_recipe() -> Iterator[None]:
    """Let trainings draw few small patches, and pages be closed as soon as they are served."""
    from swath.training.recipes import RECIPES

    small = RECIPES["default"].but(patch=64, batch=4, widths=(16, 16, 16, 16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "default", small)
        patch.setattr(ServedResult, "until_ended", lambda served: served.close)
        yield


def run_line(line: str, capsys: pytest.CaptureFixture[str]) -> Ran:
    """Run a command of a page, and assert that it ends as the page says.

    A training is run for two steps of a small network, and a page is served for a moment.
    """
    program, *words = shlex.split(line, comments=True)
    if program == "rio":
        main_group(words, standalone_mode=False)
        return Ran(line, 0, {})
    assert program == "swath", line
    if words[0].startswith("-"):
        with suppress(SystemExit):
            main(words)
        assert capsys.readouterr().out
        return Ran(line, 0, {})
    capsys.readouterr()
    code: Any = 0
    try:
        with _small_recipe():
            main([*_shortened(words), "--json"])
    except SystemExit as end:
        code = end.code or 0
    printed = capsys.readouterr()
    ran = Ran(line, code, json.loads(printed.out.splitlines()[-1]))
    refused = _REFUSED.search(line)
    if refused is None:
        assert code == 0, f"{line}\n{printed.out}{printed.err}"
    else:
        assert code == 1 and ran.errors == {refused[1]}, f"{line}\n{printed.out}{printed.err}"
    return ran
