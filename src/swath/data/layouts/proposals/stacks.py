"""Which images make up one sample: bands or dates in a file each."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from swath.data.layouts.patterns import natural_key
from swath.data.layouts.proposals.fields import Span, Template, key_of
from swath.data.layouts.proposals.files import File
from swath.data.layouts.proposals.words import OTHER_WORDS, family, image_rank, words_of

_Kinds: TypeAlias = tuple[tuple[str, ...], ...]
"""Kinds of images, each by what is left of its paths without fields."""


def image_kinds(
    group: Sequence[File], template: Template, keys: set[tuple[str, ...]], *, dates: bool
) -> dict[tuple[str, ...], list[File]]:
    """Group images by what is left of their paths; those of all labels alone, if there are any."""
    names = {*template.spans.values()}
    kinds: dict[tuple[str, ...], list[File]] = defaultdict(list)
    labeled: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for file in group:
        rest = _rest(file, template.spans, dates=dates)
        kinds[rest].append(file)
        labeled[rest] |= {key_of(template.values(file), names)} & keys
    most = set[tuple[str, ...]]().union(*labeled.values())
    whole = [k for k, found in labeled.items() if found == most]
    return {k: kinds[k] for k in whole or [k for k, found in labeled.items() if found]}


def _rest(file: File, spans: Mapping[Span, str], *, dates: bool) -> tuple[str, ...]:
    """Return a path without its fields: what tells the files of one sample apart.

    Long numbers, such as dates, are left out unless `dates`.
    """
    out = []
    for at, part in enumerate(file.parts):
        tokens = [t if dates or sum(map(str.isdigit, t)) < 6 else "#" for t in part]
        own = [s for s in spans if s[0] == at]
        for _, left, right in sorted(own, key=lambda s: -s[1]):
            tokens[left : len(part) - right] = ["\0"] * (len(part) - right - left)
        out.append(re.sub("\0+", "\0", "".join(tokens)))
    return tuple(out)


def choices(present: Mapping[tuple[str, ...], Sequence[File]]) -> Iterator[_Kinds]:
    """Yield sets of kinds of images to stack, best first: bands and dates, else single kinds."""
    own = _own_words(list(present))
    plain = [k for k, words in own.items() if not {"m", *OTHER_WORDS} & {*words}] or list(own)
    families: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
    for kind in plain:
        families[tuple(map(family, own[kind]))].append(kind)

    def order(kinds: list[tuple[str, ...]]) -> tuple[float, int, list[str | int]]:
        best = max((image_rank(w) for k in kinds for w in own[k]), default=0)
        return -best, -len(kinds), natural_key("/".join(kinds[0]))

    yield from map(tuple, sorted(families.values(), key=order))
    yield from ((k,) for k in plain if len(plain) > 1)


def _own_words(kinds: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], list[str]]:
    """Return the words of each kind that not all have at that place of the path."""
    words = {k: [words_of(text) for text in k] for k in kinds}
    common = [set.intersection(*map(set, at)) for at in zip(*words.values(), strict=True)]
    return {
        k: [w for own, all_have in zip(of, common, strict=True) for w in own if w not in all_have]
        for k, of in words.items()
    }
