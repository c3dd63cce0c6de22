"""Which images make up one sample: bands or dates in a file each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from swath.data.layouts.patterns import natural_key
from swath.data.layouts.proposals.fields import Span, Template, same
from swath.data.layouts.proposals.files import File
from swath.data.layouts.proposals.words import OTHER_WORDS, family, image_rank, words_of


def image_kinds(
    group: Sequence[File],
    template: Template,
    keys: set[tuple[str, ...]],
    *,
    dates: bool,
) -> dict[tuple[str, ...], list[File]]:
    """Group images by what is left of their paths; those of all labels alone, if there are any."""
    kinds: dict[tuple[str, ...], list[File]] = defaultdict(list)
    labeled: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for file in group:
        values = template.values(file)
        rest = _rest(file, template.spans, set(values.values()), dates=dates)
        kinds[rest].append(file)
        key = tuple(same(n, v) for n, v in sorted(values.items()))
        if key in keys:
            labeled[rest].add(key)
    every = {k for found in labeled.values() for k in found}
    whole = {k: kinds[k] for k, found in labeled.items() if len(found) == len(every)}
    return whole or {k: kinds[k] for k in labeled}


def _rest(
    file: File, spans: Mapping[Span, str], values: set[str], *, dates: bool
) -> tuple[str, ...]:
    """Return a path without its fields: what tells the files of one sample apart.

    Long numbers, such as dates, are left out unless `dates`.
    """
    out = []
    for at, part in enumerate(file.parts):
        cut = sorted((s[1], len(part) - s[2]) for s in spans if s[0] == at)
        tokens: list[str] = []
        i = 0
        while i < len(part):
            end = next((e for b, e in cut if b == i), None)
            if end is not None:
                tokens.append("\0")
                i = end
                continue
            run = next((e for e in range(len(part), i, -1) if "".join(part[i:e]) in values), None)
            if i % 2 == 0 and run and len("".join(part[i:run])) > 2:
                tokens.append("\0")
                i = run
                continue
            token = part[i]
            long = sum(c.isdigit() for c in token) >= 6
            tokens.append("#" if long and not dates else token)
            i += 1
        out.append("".join(tokens))
    return tuple(out)


def choices(
    present: Mapping[tuple[str, ...], Sequence[File]],
) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Yield sets of kinds of images to stack, best first: bands and dates, else the best one."""
    kinds = list(present)
    if len(kinds) == 1:
        yield (kinds[0],)
        return
    most = max(len(f) for f in present.values())
    kinds = [k for k in kinds if 2 * len(present[k]) >= most] or kinds
    common = [
        {w for k in kinds for w in words_of(k[at])} if at < len(kinds[0]) else set()
        for at in range(len(kinds[0]))
    ]
    shared = [
        {w for w in words if all(w in words_of(k[at]) for k in kinds)}
        for at, words in enumerate(common)
    ]
    own = {
        k: [w for at, t in enumerate(k) for w in words_of(t) if w not in shared[at]] for k in kinds
    }
    plain = [k for k in kinds if not any(w in OTHER_WORDS or w == "m" for w in own[k])] or kinds
    families: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
    for k in plain:
        families[tuple(family(w) for w in own[k])].append(k)
    ranked = sorted(
        families.values(),
        key=lambda ks: (
            -max((image_rank(w) for k in ks for w in own[k]), default=0),
            -len(ks),
            natural_key("/".join(ks[0])),
        ),
    )
    yield from (tuple(ks) for ks in ranked)
    yield from ((k,) for k in plain)
