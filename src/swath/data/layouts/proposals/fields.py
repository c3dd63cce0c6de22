"""Where fields may stand in names of labels, and in those of images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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


def _widened(files: Sequence[File], spans: Sequence[Span], *, far: bool) -> list[Span]:
    """Return the spans of each name as one and, if `far`, with the fixed words beside them.

    Words that say mask, image or split are left out, and names in which they stand between spans
    are left as they are.
    """
    out: list[Span] = []
    for at in sorted({s[0] for s in spans}):
        own = [s for s in spans if s[0] == at]
        free = [s for s in own if not all(is_split(text_at(f, s) or "") for f in files)]
        if not free:
            out += own
            continue
        left, right = min(s[1] for s in free), min(s[2] for s in free)
        first = files[0].parts[at]
        if len(own) > 1 and any(map(says_role, first[left : len(first) - right : 2])):
            out += own
            continue
        while far and left >= 2 and not says_role(first[left - 2], single=False):
            left -= 2
        while far and right >= 2 and not says_role(first[len(first) - right + 1]):
            right -= 2
        out += [(at, left, right), *(s for s in own if s not in free)]
    return out


def middle(at: int, parts: Sequence[Sequence[str]]) -> Span:
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
            spans = {span: name for name, span in zip(names, chosen, strict=True) if span}
            used = [n for n in names if n in spans.values()]
            if not spans or _overlap(list(spans), group[0]):
                continue
            wanted = {tuple(same(n, v[n]) for n in used) for v in values}
            if len(wanted) < len(values):
                continue
            template = Template(spans)
            texts = map(template.values, group)
            keys = (tuple(same(n, t[n]) for n in used) for t in texts)
            counts = Counter(key for key in keys if key in wanted)
            share = len(counts) / len(wanted)
            if share < 0.5:
                continue
            even = len(set(counts.values())) == 1
            part = len(used) / len(names)
            score = (share == 1, even, part, share, -number, sum(counts.values()))
            ranked.append((score, labels, template))
    for _, labels, template in sorted(ranked, key=lambda r: r[0], reverse=True):
        yield labels, with_repeats(template, group)


def _overlap(spans: Sequence[Span], file: File) -> bool:
    """Return whether two spans share tokens."""
    return any(_touch(a, b, file) for i, a in enumerate(spans) for b in spans[:i])


def same(name: str, text: str) -> str:
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
        variants = [_widened(kind.files, narrow, far=far) for far in (True, False)] + [narrow]
    fixed = _constant_split(kind.files, group)
    seen: list[Mapping[Span, str]] = []
    for spans in variants:
        names = _named(kind.files, [*spans, *fixed])
        if names and names not in seen:
            seen.append(names)
            yield Template(names)


def _named(files: Sequence[File], spans: Sequence[Span]) -> dict[Span, str]:
    """Name spans: the last `id`, one of splits `split`, equal ones alike."""
    names: dict[Span, str] = {}
    texts: dict[tuple[str | None, ...], str] = {}
    sampled = files[:: max(1, len(files) // SAMPLED_LABELS)]
    words = iter(["id", *(f"part{i}" for i in range(2, 99))])
    for span in sorted(set(spans), reverse=True):
        column = tuple(text_at(f, span) for f in sampled)
        if None in column:
            continue
        if column not in texts:
            splits = all(is_split(str(t)) for t in column)
            unused = "split" not in names.values()
            texts[column] = "split" if splits and unused else next(words)
        names[span] = texts[column]
    return dict(sorted(names.items()))


def _shared(label: File, group: Sequence[File]) -> list[Span]:
    """Return the longest part of the only label's path that images have as well."""
    best: tuple[int, Span] | None = None
    whole = {"".join(t) for f in group for t in f.parts}
    texts = {"/".join("".join(p) for p in f.parts) for f in group}
    for at in reversed(range(label.depth)):
        size = len(label.parts[at])
        for left in range(0, size, 2):
            for right in range(0, size - left, 2):
                text = text_at(label, (at, left, right)) or ""
                if not text or mask_rank(text) or split_of(text) and text.isalpha():
                    continue
                if text in whole or any(_holds(t, text) for t in texts):
                    weight = len(text) + 1000 * (at == label.depth - 1)
                    if best is None or weight > best[0]:
                        best = weight, (at, left, right)
    return [best[1]] if best else []


def _holds(path: str, text: str) -> bool:
    """Return whether a path holds a text that no word is cut by."""
    at = path.find(text)
    while at >= 0:
        before, after = path[at - 1 : at], path[at + len(text) : at + len(text) + 1]
        if not before.isalnum() and not after.isalnum():
            return True
        at = path.find(text, at + 1)
    return False


def _constant_split(files: Sequence[File], group: Sequence[File]) -> list[Span]:
    """Return where labels all have one split's name, and images have several in folders."""
    if not any(
        len({split_of("".join(f.parts[at])) for f in group} - {None}) > 1
        for at in range(group[0].depth - 1)
    ):
        return []
    first = files[0]
    for at in range(first.depth - 1):
        part = first.parts[at]
        if any(f.parts[at] != part for f in files):
            continue
        for i in range(0, len(part), 2):
            if split_of(part[i]):
                return [(at, i, len(part) - i - 1)]
    return []


def _candidates(name: str, values: set[str], group: Sequence[File]) -> list[Span | None]:
    """Return spans of images whose texts are those of a field of the labels, best first.

    None stands for a field that images do not have.
    """
    wanted = {same(name, v) for v in values}
    scored: list[tuple[tuple[float, ...], Span]] = []
    for span in _spans(group):
        texts = {text_at(f, span) for f in group}
        hits = len(wanted & {same(name, t) for t in texts if t})
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
