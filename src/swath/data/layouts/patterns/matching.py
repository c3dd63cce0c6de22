"""The files of a folder that patterns match."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from swath.data.layouts.patterns.pattern import Part, Pattern, expression, normal, parse, parts_of
from swath.data.layouts.patterns.split_words import split_of
from swath.errors import DataError
from swath.types import OwnSplit

Members: TypeAlias = Callable[[str], Iterable[str]]
"""Lists the arrays in a file, given its relative path."""

_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Match:
    """A file that a pattern matches, or an array in one.

    Attributes:
        path: the file's path, as it was listed.
        fields: texts of the fields.
        pattern: the pattern.
        member: name of the array in the file, or None.
        index: index along the first axis of the array, or None.
        rest: text that wildcards took.
    """

    path: str
    fields: Mapping[str, str]
    pattern: Pattern = field(repr=False, compare=False)
    member: str | None = None
    index: int | None = None
    rest: str = field(default="", repr=False, compare=False)

    @property
    def source(self) -> str:
        """The path with name and index of the array, as a pattern would give it."""
        name = f":/{self.member}" if self.member else ""
        return f"{self.path}{name}{'' if self.index is None else f'[{self.index}]'}"

    @property
    def split(self) -> OwnSplit | None:
        """The split that `{split}` names; None without, or where the text names none."""
        return split_of(self.fields.get("split", ""))


def natural_key(text: str) -> list[str | int]:
    """Return a sort key by which `img2` comes before `img10`."""
    parts: list[str | int] = list(_DIGITS.split(text))
    for i in range(1, len(parts), 2):
        parts[i] = int(parts[i])
    return parts


def order(match: Match) -> tuple[list[str | int], str, list[str | int], int]:
    """Return the key of the natural order of files and of arrays in them."""
    member = natural_key(match.member or "")
    return natural_key(match.path), match.path, member, match.index or 0


def match_files(
    patterns: Sequence[str],
    files: Iterable[str],
    *,
    option: str | None = None,
    members: Members | None = None,
) -> list[Match]:
    """Return the files that match a pattern, in natural order.

    A file that several patterns match is taken by the first.

    Args:
        patterns: see the module.
        files: relative POSIX paths.
        option: name of the option that the patterns are from; with it, a pattern that matches
            nothing is an error.
        members: lists the arrays in a file; needed where a pattern's array name has fields.

    Raises:
        UsageError: see `parse`.
        DataError: a pattern of the option matches nothing.
    """
    paths = {path: normal(path) for path in files}
    out: dict[tuple[str, str | None, int | None], Match] = {}
    for text in patterns:
        pattern = parse(text, paths)
        found = list(_matches(pattern, paths, members))
        if not found and any(p.kind == "set" for p in pattern.parts):  # brackets as they are
            plain = tuple(Part("literal", p.text) if p.kind == "set" else p for p in pattern.parts)
            found = list(_matches(Pattern(text, plain, pattern.member), paths, members))
        if not found and option:
            raise DataError(
                f"No file matches {option} '{text}'",
                code="no-such-file",
                fix=_mend(pattern, paths.values()),
            )
        for match in found:
            out.setdefault((match.path, match.member, match.index), match)
    return sorted(out.values(), key=order)


def _matches(
    pattern: Pattern, paths: Mapping[str, str], members: Members | None
) -> Iterator[Match]:
    for path, composed in paths.items():
        found = pattern.match(composed)
        if not found:
            continue
        fields, rest = found
        if pattern.member is None:
            yield Match(path, fields, pattern, None, pattern.index, rest)
        elif pattern.member.is_literal:
            name = pattern.member.text.strip("/")
            yield Match(path, fields, pattern, name, pattern.index, rest)
        else:
            yield from _matched_members(pattern, path, found, members(path) if members else ())


def _matched_members(
    pattern: Pattern, path: str, found: tuple[dict[str, str], str], names: Iterable[str]
) -> Iterator[Match]:
    fields, rest = found
    for name in names:
        inner = pattern.member.match(normal(name.strip("/"))) if pattern.member else None
        if inner and all(fields.get(k, v) == v for k, v in inner[0].items()):
            yield Match(
                path,
                fields | inner[0],
                pattern,
                name.strip("/"),
                pattern.index,
                f"{rest}|{inner[1]}",
            )


def _mend(pattern: Pattern, paths: Iterable[str]) -> str:
    """Return what to do about a pattern that matches nothing: a folder or case that differs."""
    paths = list(paths)
    loose = re.compile(expression(pattern.parts, "", "[^/]+"), re.IGNORECASE)
    other = next((p for p in paths if loose.fullmatch(p)), None)
    if other is not None:
        return f"Write it with the case of the names, such as {other}"
    name = "".join(_shown(p) for p in pattern.parts)
    deeper = f"**/{name}"
    if any(map(Pattern(deeper, tuple(parts_of(deeper, deeper, ()))).match, paths)):
        return f"Write '{deeper}' for files in folders below"
    example = min(paths, key=natural_key, default=None)
    return f"Check it against the files, such as {example}" if example else "Check the folder"


def _shown(part: Part) -> str:
    if part.kind in ("field", "choice"):
        return f"{{{part.text}}}"
    return part.text
