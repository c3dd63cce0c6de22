"""Where fields may stand in names of labels, and in those of images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import TypeAlias

from swath.data.layouts.patterns import split_of
from swath.data.layouts.proposals.files import File, Kind
from swath.data.layouts.proposals.words import is_split, mask_rank, says_role

SAMPLED_LABELS = 200
"""Label files by which names are compared; the patterns are tried on all."""

MOST_CHOICES = 64
"""Ways to find fields in the names of images that are tried for one kind of label."""

Span: TypeAlias = tuple[int, int, int]
"""A folder or stem by its place, tokens to its left, and tokens to its right."""


def text_at(file: File, span: Span) -> str | None:
    """Return the text of a file at a span; None where its name is too short."""
    part = file.parts[span[0]]
    end = len(part) - span[2]
    return "".join(part[span[1] : end]) if span[1] < end else None


@dataclass
class Template:
    """How paths of one kind are built: fields at spans, and everything else."""

    spans: dict[Span, str]

    def values(self, file: File) -> dict[str, str]:
        """Return the texts of the fields of a file."""
        return {name: text_at(file, span) or "" for span, name in self.spans.items()}


def _varying(files: Sequence[File]) -> list[Span]:
    """Return the spans in which paths of one depth differ, as short as can be.

    A word that is always a split's name is a span of its own.
    """
    out: list[Span] = []
    for at in range(files[0].depth):
        parts = [f.parts[at] for f in files]
        if len({tuple(p) for p in parts}) == 1:
            continue
        if len({len(p) for p in parts}) > 1:
            out.append(middle(at, parts))
            continue
        columns = [{p[i] for p in parts} for i in range(len(parts[0]))]
        out += [(at, start, len(columns) - end - 1) for start, end in _runs(columns)]
    return out


def _runs(columns: Sequence[set[str]]) -> Iterator[tuple[int, int]]:
    """Yield first and last place of words that differ without a fixed one between them."""
    start = None
    for i in range(0, len(columns), 2):
        split = len(columns[i]) > 1 and all(map(is_split, columns[i]))
        inside = any(len(c) > 1 for c in columns[max(i - 1, 0) : i + 2])
        if start is not None and (split or not inside):
            yield start, i - 2
            start = None
        if split:
            yield i, i
        elif inside and start is None:
            start = i
    if start is not None:
        yield start, len(columns) - 1


def _widened(files: Sequence[File], spans: Sequence[Span]) -> list[Span]:
    """Return the spans of each name as one, with the fixed words beside them.

    Words that say mask, image or split are left out, and names in which they stand between spans
    are left as they are.
    """
    out: list[Span] = []
    for at in sorted({s[0] for s in spans}):
        own = [s for s in spans if s[0] == at]
        splits = [s for s in own if all(is_split(text_at(f, s) or "") for f in files)]
        free = [s for s in own if s not in splits]
        out += _joined(at, files[0].parts[at], free, len(own)) + splits
    return out


def _joined(at: int, words: Sequence[str], free: Sequence[Span], spans: int) -> list[Span]:
    """Return the spans of a name as one that is as wide as can be, or as they are."""
    if not free:
        return []
    left, right = min(s[1] for s in free), len(words) - min(s[2] for s in free)
    if spans > 1 and any(map(says_role, words[left:right:2])):
        return list(free)
    while left >= 2 and (len(words[left - 2]) < 2 or not says_role(words[left - 2])):
        left -= 2
    while right < len(words) and not says_role(words[right + 1]):
        right += 2
    return [(at, left, len(words) - right)]


def middle(at: int, parts: Sequence[Sequence[str]]) -> Span:
    """Return the span between the words that all parts begin and end with."""
    shortest = min(map(len, parts))
    left = right = 0
    while left + 2 < shortest and len({tuple(p[: left + 2]) for p in parts}) == 1:
        left += 2
    while left + right + 2 < shortest and len({tuple(p[-right - 2 :]) for p in parts}) == 1:
        right += 2
    return at, left, right


def fits(kind: Kind, group: Sequence[File]) -> Iterator[tuple[Template, Template]]:
    """Yield where fields stand in labels and in images, most labels matched first."""
    ranked: list[tuple[tuple[float, ...], Template, Template]] = []
    sampled = kind.files[:: max(1, len(kind.files) // SAMPLED_LABELS)]
    for number, labels in enumerate(_label_templates(kind, group)):
        values = [labels.values(f) for f in sampled]
        names = list(dict.fromkeys(labels.spans.values()))
        choices = [_candidates(name, {v[name] for v in values}, group) for name in names]
        for chosen in islice(product(*choices), MOST_CHOICES):
            template = Template({s: n for n, s in zip(names, chosen, strict=True) if s})
            score = _score(template, values, group)
            if score:
                part = len(template.spans) / len(names)
                rank = score[0] == 1, part, score[0], -number, score[1]
                ranked.append((rank, labels, template))
    for _, labels, template in sorted(ranked, key=lambda r: r[0], reverse=True):
        yield labels, with_repeats(template, group)


def _score(
    template: Template, labels: Sequence[Mapping[str, str]], group: Sequence[File]
) -> tuple[float, int] | None:
    """Return the share of labels that have images, at least a half, and how many; else None."""
    if not template.spans or _overlap(list(template.spans), group[0]):
        return None
    used = template.spans.values()
    wanted = {key_of(v, used) for v in labels}
    keys = [key_of(template.values(f), used) for f in group]
    share = len(wanted.intersection(keys)) / len(wanted)
    if len(wanted) < len(labels) or share < 0.5:
        return None
    return share, sum(key in wanted for key in keys)


def key_of(values: Mapping[str, str], names: Iterable[str]) -> tuple[str, ...]:
    """Return the texts of some fields, such that those of files that belong together are equal."""
    return tuple(_same(n, values[n]) for n in sorted(names))


def _overlap(spans: Sequence[Span], file: File) -> bool:
    """Return whether two spans share tokens."""
    return any(_touch(a, b, file) for i, a in enumerate(spans) for b in spans[:i])


def _same(name: str, text: str) -> str:
    return (split_of(text) or text) if name == "split" else text


def with_repeats(template: Template, group: Sequence[File]) -> Template:
    """Add the spans in which images repeat a field, such as a folder's name in that of a file."""
    spans = dict(template.spans)
    values = [template.values(f) for f in group]
    for span in sorted(_spans(group), key=lambda s: s[1] + s[2]):
        if any(_touch(span, other, group[0]) for other in spans):
            continue
        for name in dict.fromkeys(template.spans.values()):
            if all(text_at(f, span) == v[name] for f, v in zip(group, values, strict=True)):
                spans[span] = name
                break
    return Template(dict(sorted(spans.items())))


def _touch(a: Span, b: Span, file: File) -> bool:
    """Return whether two spans share tokens."""
    if a[0] != b[0]:
        return False
    size = len(file.parts[a[0]])
    return a[1] < size - b[2] and b[1] < size - a[2]


def _label_templates(kind: Kind, group: Sequence[File]) -> Iterator[Template]:
    """Yield what may be fields in label paths: where they differ, or what images have as well."""
    if len(kind.files) == 1:
        variants = [_shared(kind.files[0], group)]
    else:
        narrow = _varying(kind.files)
        variants = [_widened(kind.files, narrow), narrow]
    fixed = _constant_split(kind.files, group)
    named = [_named(kind.files, [*spans, *fixed]) for spans in variants]
    yield from (Template(n) for i, n in enumerate(named) if n and n not in named[:i])


def _named(files: Sequence[File], spans: Sequence[Span]) -> dict[Span, str]:
    """Name spans: the last `id`, one of splits `split`, equal ones alike."""
    names: dict[Span, str] = {}
    known: dict[tuple[str, ...], str] = {}
    sampled = files[:: max(1, len(files) // SAMPLED_LABELS)]
    words = iter(["id", *(f"part{i}" for i in range(2, 99))])
    for span in sorted(set(spans), reverse=True):
        texts = tuple(text_at(f, span) or "" for f in sampled)
        if "" in texts:
            continue
        if texts not in known:
            splits = "split" not in known.values() and all(map(is_split, texts))
            known[texts] = "split" if splits else next(words)
        names[span] = known[texts]
    return dict(sorted(names.items()))


def _shared(label: File, group: Sequence[File]) -> list[Span]:
    """Return the longest part of the only label's path that images have, in its stem if any."""
    paths = {"/".join("".join(p) for p in f.parts) for f in group}
    for at in reversed(range(label.depth)):
        spans = [
            (at, left, right)
            for left in range(0, len(label.parts[at]), 2)
            for right in range(0, len(label.parts[at]) - left, 2)
        ]
        texts = {span: text_at(label, span) or "" for span in spans}
        found = [s for s in spans if _names_sample(texts[s]) and _is_in(texts[s], paths)]
        if found:
            return [max(found, key=lambda s: len(texts[s]))]
    return []


def _names_sample(text: str) -> bool:
    return bool(text) and not mask_rank(text) and not is_split(text)


def _is_in(text: str, paths: Iterable[str]) -> bool:
    """Return whether paths hold a text that no word is cut by."""
    whole = re.compile(rf"(?<![^\W_]){re.escape(text)}(?![^\W_])")
    return any(text in p and whole.search(p) for p in paths)


def _constant_split(files: Sequence[File], group: Sequence[File]) -> list[Span]:
    """Return where labels all have one split's name, and images have several in folders."""
    folders = range(group[0].depth - 1)
    splits = ({split_of("".join(f.parts[at])) for f in group} - {None} for at in folders)
    if max(map(len, splits), default=0) < 2:
        return []
    for at, part in enumerate(files[0].parts[:-1]):
        named = [i for i in range(0, len(part), 2) if split_of(part[i])]
        if named and all(f.parts[at] == part for f in files):
            return [(at, named[0], len(part) - named[0] - 1)]
    return []


def _candidates(name: str, values: set[str], group: Sequence[File]) -> list[Span | None]:
    """Return spans of images whose texts are those of a field of the labels, best first.

    None stands for a field that images do not have.
    """
    wanted = {_same(name, v) for v in values}
    scored: list[tuple[tuple[float, ...], Span]] = []
    for span in _spans(group):
        texts = {text_at(f, span) for f in group}
        hits = len(wanted & {_same(name, t) for t in texts if t})
        if hits < max(1, 0.5 * len(wanted)):
            continue
        plain = sum(t in values for t in texts) / len(texts)
        first = -abs(span[0] - group[0].depth) if name != "id" else -span[0]
        scored.append(((hits / len(wanted), round(plain, 1), first, -span[1] - span[2]), span))
    best = [s for _, s in sorted(scored, reverse=True)[:6]]
    return [*best, None]


def _spans(group: Sequence[File]) -> Iterator[Span]:
    """Yield spans of names in which files differ, or that hold a whole constant name."""
    for at in range(group[0].depth):
        parts = {tuple(f.parts[at]) for f in group}
        size = min(map(len, parts))
        for left in range(0, size, 2):
            for right in range(0, size - left, 2):
                if len(parts) == 1 and (left or right) and size > 9:
                    continue
                yield at, left, right
