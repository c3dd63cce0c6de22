"""Patterns written for files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from swath.data.layouts.proposals.fields import Span, middle
from swath.data.layouts.proposals.files import File


def image_patterns(
    files: Sequence[File], kinds: Sequence[Sequence[File]], spans: Mapping[Span, str]
) -> Iterator[tuple[str, ...]]:
    """Yield patterns of chosen files: one for all, else one a kind."""
    yield (written(files, spans),)
    if 1 < len(kinds) <= 4:
        yield tuple(written(k, spans) for k in kinds)


def written(files: Sequence[File], spans: Mapping[Span, str]) -> str:
    """Write a pattern of files of one depth, with fields at spans."""
    out = []
    for at in range(files[0].depth):
        own = sorted((s for s in spans if s[0] == at), key=lambda s: (s[1], -s[2]))
        out.append(_written_name([f.parts[at] for f in files], own, spans))
    suffixes = {f.suffix for f in files}
    return "/".join(out) + (files[0].suffix.lower() if len(suffixes) > 1 else files[0].suffix)


def _written_name(
    parts: Sequence[Sequence[str]], own: Sequence[Span], spans: Mapping[Span, str]
) -> str:
    """Write one name: fields at spans, and what differs elsewhere as wildcards."""
    if not own:
        return _columns(parts)
    first, following = own[0], own[1:]
    left = _columns([p[: first[1]] for p in parts])
    field = f"{{{spans[first]}}}"
    if not following:
        return left + field + _columns([p[len(p) - first[2] :] for p in parts])
    second = following[0]
    between = _columns([p[len(p) - first[2] : second[1]] for p in parts])
    shifted = [(s[0], s[1] - second[1], s[2]) for s in following]
    names = {new: spans[old] for new, old in zip(shifted, following, strict=True)}
    return left + field + between + _written_name([p[second[1] :] for p in parts], shifted, names)


def _columns(parts: Sequence[Sequence[str]]) -> str:
    """Write tokens: what all have as it is, short differences as `?`, others as `*`."""
    rows = {tuple(p) for p in parts}
    if len(rows) == 1:
        return "".join(parts[0])
    if len({len(r) for r in rows}) > 1:
        _, left, right = middle(0, [list(r) for r in rows])
        shortest = min(map(len, rows))
        if left + right > shortest:
            right = 0
        row = next(iter(rows))
        return "".join(row[:left]) + "*" + "".join(row[len(row) - right :])
    out = "".join(_wild({r[i] for r in rows}) for i in range(len(next(iter(rows)))))
    return re.sub(r"\*+", "*", out)


def _wild(texts: set[str]) -> str:
    if len(texts) == 1:
        return next(iter(texts))
    sizes = {len(t) for t in texts}
    if len(sizes) > 1 or max(sizes) > 3:
        first, last = min(texts), max(texts)
        same = next((i for i, c in enumerate(first) if c != last[i : i + 1]), len(first))
        letters = re.match(r"[^\W\d_]*", first[:same])
        return f"{letters[0] if letters and sizes != {len(first)} else ''}*"
    columns = ({t[i] for t in texts} for i in range(len(next(iter(texts)))))
    return "".join(next(iter(c)) if len(c) == 1 else "?" for c in columns)
