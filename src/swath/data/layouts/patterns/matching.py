"""The files of a folder that patterns match."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from swath.data.layouts.patterns.pattern import Part, Pattern, expression, normal, parse, parts_of
from swath.data.layouts.patterns.split_words import split_of
from swath.errors import DataError
from swath.types import OwnSplit

Members: TypeAlias = Callable[[str], Iterable[str]]
"""Lists the arrays in a file, given its relative path."""

Lengths: TypeAlias = Callable[[str], int]
"""Tells the length of the first axis of an array, given as `Match.source` writes it."""

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
        at: date or index on the time axis of the array, or None.
    """

    path: str
    fields: Mapping[str, str]
    pattern: Pattern = field(repr=False, compare=False)
    member: str | None = None
    index: int | None = None
    rest: str = field(default="", repr=False, compare=False)
    at: str | None = None

    @property
    def source(self) -> str:
        """The path with name and index of the array, as a pattern would give it."""
        name = f":/{self.member}" if self.member else ""
        index = "" if self.index is None else f"[{self.index}]"
        return f"{self.path}{name}{index}{'' if self.at is None else f'@{self.at}'}"

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
    lengths: Lengths | None = None,
) -> list[Match]:
    """Return the files that match a pattern, in natural order.

    A file that several patterns match is taken by the first.

    Args:
        patterns: see the module.
        files: relative POSIX paths.
        option: name of the option that the patterns are from; with it, a pattern that matches
            nothing is an error.
        members: lists the arrays in a file; needed where a pattern's array name has fields.
        lengths: tells the length of an array; needed where a pattern's index is a field.

    Raises:
        UsageError: see `parse`.
        DataError: a pattern of the option matches nothing.
    """
    paths = {path: normal(path) for path in files}
    out: dict[tuple[str, str | None, int | None, str | None], Match] = {}
    for text in patterns:
        pattern = parse(text, paths)
        found = list(_indexed(_matches(pattern, paths, members), lengths))
        if not found and any(p.kind == "set" for p in pattern.parts):  # brackets as they are
            plain = tuple(Part("literal", p.text) if p.kind == "set" else p for p in pattern.parts)
            found = list(_indexed(_matches(replace(pattern, parts=plain), paths, members), lengths))
        if not found and option:
            raise DataError(
                f"No file matches {option} '{text}'",
                code="no-such-file",
                fix=_mend(pattern, paths.values()),
            )
        for match in found:
            out.setdefault((match.path, match.member, match.index, match.at), match)
    return sorted(out.values(), key=order)


def _indexed(matches: Iterable[Match], lengths: Lengths | None) -> Iterator[Match]:
    """Yield a match for each index, where the index is a field."""
    for match in matches:
        name = match.pattern.index
        if not isinstance(name, str):
            yield replace(match, index=name)
            continue
        for i in range(lengths(match.source) if lengths else 0):
            if match.fields.get(name, str(i)) == str(i):
                yield replace(match, index=i, fields={**match.fields, name: str(i)})


def _matches(
    pattern: Pattern, paths: Mapping[str, str], members: Members | None
) -> Iterator[Match]:
    for path, composed in paths.items():
        found = pattern.match(composed)
        if not found:
            continue
        fields, rest = found
        if pattern.member is None:
            yield Match(path, fields, pattern, rest=rest, at=pattern.at)
        elif pattern.member.is_literal:
            name = pattern.member.text.strip("/")
            yield Match(path, fields, pattern, name, rest=rest, at=pattern.at)
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
                rest=f"{rest}|{inner[1]}",
                at=pattern.at,
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
