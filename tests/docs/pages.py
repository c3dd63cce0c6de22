"""Code blocks of the pages in `docs`, and how they are run.

A block begins with ``` and a language, and a file name where the block is the content of a file. In
blocks of `sh` each line is a command, with `# refused: CODE` where it is to fail. In blocks of
`text` each word with a dot or slash is a file that the commands beside it need.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from rasterio.rio.main import main_group

from swath.cli.main import main
from tests.make import train_small

DOCS = Path(__file__).resolve().parents[2] / "docs"

_FENCE = re.compile(r"^```(\w*) ?(.*)$")
_REFUSED = re.compile(r"# refused: ([a-z-]+)")


@dataclass(frozen=True)
class Block:
    """A code block: its language, the name of its file or "", and its lines."""

    language: str
    file: str
    lines: tuple[str, ...]


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


def read_sections(page: str) -> dict[str, list[Block]]:
    """Return the blocks of the sections of a page that have any, by their titles."""
    sections: dict[str, list[Block]] = {}
    title, block, lines = "", None, []
    for line in (DOCS / page).read_text().splitlines():
        fence = _FENCE.match(line)
        if fence and block is None:
            block, lines = fence, []
        elif fence and block is not None:
            made = Block(block[1], block[2].strip(), tuple(lines))
            sections.setdefault(title, []).append(made)
            block = None
        elif block is not None:
            lines.append(line)
        else:
            assert not line.startswith("    "), f"{page} has a block without a fence: {line}"
            title = line.lstrip("# ") if line.startswith("#") else title
    assert block is None, f"{page} has a block without an end"
    return sections


def run_section(blocks: list[Block], story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    """Make the files of a section, run its blocks in order, and let its story assert."""
    next(story)
    ran: list[Ran] = []
    for block in blocks:
        ran += _run_block(block, capsys)
    with pytest.raises(StopIteration):
        story.send(ran)


def _run_block(block: Block, capsys: pytest.CaptureFixture[str]) -> list[Ran]:
    if block.language == "sh":
        return [run_line(line, capsys) for line in block.lines if line.strip()]
    if block.file:
        Path(block.file).write_text("\n".join(block.lines) + "\n")
        return []
    assert block.language == "text", f"A block of {block.language} names no file: {block.lines}"
    for word in re.findall(r"\S*[./]\S*", "\n".join(block.lines)):
        assert Path(word).exists(), f"{word} is on the page, and was not made"
    return []


def run_line(line: str, capsys: pytest.CaptureFixture[str]) -> Ran:
    """Run a command of a page, and assert that it ends as the page says.

    A training is run for two steps of a small network.
    """
    program, *words = shlex.split(line, comments=True)
    if program == "rio":
        main_group(words, standalone_mode=False)
        return Ran(line, 0, {})
    assert program == "swath", line
    if words[0] == "train":
        return Ran(line, 0, train_small(Path(words[1]), Path(words[2]), steps=2).model_dump())
    capsys.readouterr()
    code: Any = 0
    try:
        main([*words, "--json"])
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
