"""Patterns with fields: parsed, and matched against one path."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from swath.data.layouts.patterns.split_words import SPLIT_WORD
from swath.errors import UsageError

ARRAYS = ("npy", "npz", "h5", "hdf5", "hdf", "he5", "nc", "nc4", "cdf", "zarr")
"""Extensions of array files, which alone take an array name and an index."""

MOST_PARSES = 256
"""Ways to read one path at most."""

_SUFFIX = re.compile(
    rf"(?P<file>.+?\.(?:{'|'.join(ARRAYS)}))(?::/?(?P<member>[^:]+?))?"
    r"(?:\[(?P<index>\d+|\*|\{[^\W\d]\w*\})\])?(?:@(?P<at>[^@/\[\]{}*?]+))?",
    re.IGNORECASE,
)
_PART = re.compile(
    r"(?P<folders>(?:(?<=/)|^)\*\*/)|(?P<rest>(?:(?<=/)|^)\*\*$)|(?P<star>\*+)|(?P<one>\?)"
    r"|(?P<set>\[[^\]/]+\])|\{(?P<field>[^\W\d]\w*)\}|\{(?P<choice>[^{}/]*,[^{}/]*)\}"
    r"|(?P<braces>\{[^{}/]*\})|(?P<literal>[^*?\[{]+|.)",
    re.DOTALL,
)
_EXTENSION = re.compile(r"\.[^./\s]+$")


@dataclass(frozen=True)
class Part:
    """A piece of a pattern: plain text, a wildcard or a field, as `kind` says."""

    kind: str
    text: str


@dataclass(frozen=True)
class Pattern:
    """A pattern that was parsed.

    Attributes:
        text: as it was given.
        parts: of the file's path.
        member: name of an array in the file, a pattern itself, or None.
        index: index along the first axis of an array, a field that is each of them, or None.
        at: date or index on the time axis, or None.
    """

    text: str
    parts: tuple[Part, ...]
    member: Pattern | None = None
    index: int | str | None = None
    at: str | None = None

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields, in order of their places, each once."""
        own = [p.text for p in self.parts if p.kind == "field"]
        return tuple(dict.fromkeys([*own, *self.array_fields]))

    @cached_property
    def array_fields(self) -> tuple[str, ...]:
        """Names of the fields in the name and index of an array."""
        inner = self.member.fields if self.member else ()
        return (*inner, self.index) if isinstance(self.index, str) else inner

    @cached_property
    def is_literal(self) -> bool:
        """Whether the file's path is plain text."""
        return all(p.kind == "literal" for p in self.parts)

    @cached_property
    def _greedy(self) -> tuple[re.Pattern[str], ...]:
        return self._compiled("")

    @cached_property
    def _lazy(self) -> tuple[re.Pattern[str], ...]:
        return self._compiled("?")

    def _compiled(self, lazy: str) -> tuple[re.Pattern[str], ...]:
        """Compile with `{split}` as one of its words, and then with it as any text."""
        loose = re.compile(expression(self.parts, lazy, "[^/]+" + lazy))
        if not any(p == Part("field", "split") for p in self.parts):
            return (loose,)
        return re.compile(expression(self.parts, lazy, SPLIT_WORD)), loose

    def match(self, path: str) -> tuple[dict[str, str], str] | None:
        """Return the fields of a path and the text that wildcards took; None if it does not match.

        The path is in NFC.
        """
        for regex in self._greedy:
            found = regex.fullmatch(path)
            if found:
                texts = found.groupdict()
                fields = {k: v for k, v in texts.items() if not k.startswith("_w")}
                return fields, "|".join(v for k, v in texts.items() if k.startswith("_w"))
        return None

    def is_ambiguous(self, path: str, fields: Mapping[str, str]) -> bool:
        """Return whether another reading of a path gives other fields, of those given."""
        found = next((m for m in (r.fullmatch(path) for r in self._lazy) if m), None)
        return found is not None and any(found[k] != v for k, v in fields.items())

    def readings(self, path: str) -> Iterator[dict[str, str]]:
        """Yield the fields of all ways to read a path, at most `MOST_PARSES`."""
        yield from islice(_readings(self.parts, 0, path, 0, {}), MOST_PARSES)


def expression(parts: Sequence[Part], lazy: str, split: str) -> str:
    """Return parts as a regular expression; `lazy` follows each repeat, `split` is `{split}`."""
    out: list[str] = []
    seen: set[str] = set()
    wild = 0
    for part in parts:
        if part.kind == "literal":
            out.append(re.escape(part.text))
        elif part.kind == "extension":
            out.append(f"(?i:{re.escape(part.text)})")
        elif part.kind == "field":
            body = split if part.text == "split" else f"[^/]+{lazy}"
            out.append(f"(?P={part.text})" if part.text in seen else f"(?P<{part.text}>{body})")
            seen.add(part.text)
        else:
            out.append(f"(?P<_w{wild}>{_wildcard(part)}{lazy if part.kind != 'one' else ''})")
            wild += 1
    return "".join(out).replace("{0}", lazy)


def _wildcard(part: Part) -> str:
    if part.kind == "choice":
        return f"(?:{'|'.join(map(re.escape, part.text.split(',')))}){{1}}"
    if part.kind == "set":
        return f"{_set(part.text)}{{1}}"
    return {"folders": "(?:[^/]+/)*", "rest": ".+", "star": "[^/]*", "one": "[^/]"}[part.kind]


def _set(text: str) -> str:
    """Return a set of characters as a regular expression; `[!...]` is all but these."""
    inner = text[1:-1]
    negated = inner[0] == "!" and len(inner) > 1
    inner = re.sub(r"([\\\[\]^&~|])", r"\\\1", inner[1:] if negated else inner)
    return f"(?!/)[{'^' if negated else ''}{inner}]"


def _readings(
    parts: Sequence[Part], number: int, text: str, at: int, fields: dict[str, str]
) -> Iterator[dict[str, str]]:
    if number == len(parts):
        if at == len(text):
            yield fields
        return
    part = parts[number]
    bound = fields.get(part.text) if part.kind == "field" else None
    if bound is not None:
        ends = [at + len(bound)] if text.startswith(bound, at) else []
    else:
        ends = _ends(part, parts[number + 1] if number + 1 < len(parts) else None, text, at)
    for end in ends:
        new = fields | {part.text: text[at:end]} if part.kind == "field" else fields
        yield from _readings(parts, number + 1, text, end, new)


def _ends(part: Part, following: Part | None, text: str, at: int) -> list[int]:
    """Return where a part that begins at a place of a path may end."""
    if part.kind in ("star", "field"):
        return _ends_in_name(following, text, at + (part.kind == "field"))
    if part.kind == "rest":
        return [len(text)]
    if part.kind == "folders":
        return [at, *(i + 1 for i in range(at, len(text)) if text[i] == "/")]
    if part.kind in ("one", "set"):
        return [at + 1] if re.match(_wildcard(part), text[at:]) else []
    choices = part.text.split(",") if part.kind == "choice" else [part.text]
    folded = str.casefold if part.kind == "extension" else str
    return [at + len(t) for t in choices if folded(text[at : at + len(t)]) == folded(t)]


def _ends_in_name(following: Part | None, text: str, first: int) -> list[int]:
    """Return the ends, from `first` to that of the name, that the following part allows."""
    slash = text.find("/", first)
    ends = range(len(text) if slash < 0 else slash, first - 1, -1)
    if following is not None and following.kind == "literal":
        return [end for end in ends if text.startswith(following.text, end)]
    if following is not None and following.kind == "extension":
        end = len(text) - len(following.text)
        return [end] if end in ends else []
    return list(ends)


def parse(text: str, files: Iterable[str] = ()) -> Pattern:
    """Parse a pattern.

    Args:
        text: the pattern.
        files: the paths it is for; brackets and braces that they hold are taken literally.

    Raises:
        UsageError: it is empty, or braces hold what is no name of a field.
    """
    path = normal(text.replace(os.sep, "/") if os.sep != "/" else text)
    while path.startswith("./"):
        path = path[2:]
    if not path.strip("/"):
        raise UsageError(
            "The pattern is empty",
            code="bad-pattern",
            fix="Give a path below the folder, such as 'images/{id}.tif'",
        )
    paths = files if isinstance(files, (list, tuple, set, frozenset, dict)) else list(files)
    suffix = _SUFFIX.fullmatch(path)
    if suffix is None or path in paths:
        return Pattern(text, tuple(parts_of(path, text, paths)))
    member, index = suffix["member"], suffix["index"]
    return Pattern(
        text,
        tuple(parts_of(suffix["file"], text, paths)),
        Pattern(member, tuple(parts_of(member, text, (), extension=False))) if member else None,
        _index(index),
        suffix["at"],
    )


def _index(text: str | None) -> int | str | None:
    """Return an index, or the field that is each index: `*` is the field `index`."""
    if text is None or text.isdigit():
        return None if text is None else int(text)
    return text.strip("{}") if text != "*" else "index"


def normal(text: str) -> str:
    """Return a text in its composed form (NFC)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def parts_of(
    path: str, text: str, files: Iterable[str], *, extension: bool = True
) -> Iterator[Part]:
    """Yield the parts of a path in the pattern `text`; see `parse`."""
    literal = ""
    for found in _PART.finditer(path):
        kind = _kind(found, files)
        if kind == "literal":
            literal += found[0]
            continue
        if kind == "braces":
            raise UsageError(
                f"The pattern {text} holds {found[0]}, which is no field",
                code="bad-pattern",
                fix="Name a field with letters, digits and _, such as {id}",
            )
        if literal:
            yield Part("literal", literal)
            literal = ""
        yield Part(kind, found[kind])
    tail = _EXTENSION.search(literal) if extension else None
    start = tail.start() if tail else len(literal)
    if literal[:start]:
        yield Part("literal", literal[:start])
    if tail:
        yield Part("extension", tail[0])


def _kind(found: re.Match[str], files: Iterable[str]) -> str:
    """Return the kind of a part; brackets and braces that files hold are text."""
    kind = str(found.lastgroup)
    special = kind in ("set", "choice", "braces")
    return "literal" if special and any(found[0] in normal(f) for f in files) else kind
