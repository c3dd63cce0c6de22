"""Images and labels that belong together by the fields of their patterns."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TypeAlias

from swath.data.layouts.patterns.matching import Match, natural_key, order
from swath.data.layouts.patterns.pattern import normal
from swath.data.layouts.patterns.problems import (
    ambiguity,
    one_sided,
    several_labels,
    split_and_group,
    uneven_files,
    unknown_splits,
)
from swath.data.layouts.patterns.samples import MatchedSample, Pairing, Problem
from swath.data.layouts.patterns.split_words import split_of
from swath.errors import UsageError

_Key: TypeAlias = tuple[str, ...]


def pair(images: Sequence[Match], labels: Sequence[Match]) -> Pairing:
    """Pair images and labels by the fields that all patterns of both have.

    Images of equal shared fields are one sample. Where none is shared, or `{split}` alone, images
    of equal fields are one sample, and without fields each is one; they have all labels, or those
    of their split. A file that is among the labels is no image.

    Raises:
        UsageError: several label files have fields, and images have none of them.
    """
    taken = {m.source for m in labels}
    images = sorted((m for m in images if m.source not in taken), key=order)
    labels = sorted(labels, key=order)
    own, theirs = _common_fields(images), _common_fields(labels)
    shared = tuple(f for f in own if f in theirs)
    if {*shared} - {"split"}:
        return _by_fields(images, labels, shared, own)
    _check_shared(images, labels, own, theirs)
    return _by_place(images, labels, shared, own if {*own} - {"split"} else ())


def _common_fields(matches: Sequence[Match]) -> tuple[str, ...]:
    """Return the fields that all patterns of some matches have."""
    patterns = list({id(m.pattern): m.pattern for m in matches}.values())
    if not patterns:
        return ()
    return tuple(f for f in patterns[0].fields if all(f in p.fields for p in patterns))


def _check_shared(
    images: Sequence[Match], labels: Sequence[Match], own: Sequence[str], theirs: Sequence[str]
) -> None:
    named = {f for m in labels for f in m.pattern.fields} - {"split"}
    if len(images) > 1 and len(labels) > 1 and named:
        shown = ", ".join(f"{{{f}}}" for f in sorted(named))
        other = ", ".join(f"{{{f}}}" for f in own) or "no field"
        raise UsageError(
            f"The patterns of images and labels share no field: the labels have {shown},"
            f" and all image patterns have {other} in common",
            code="no-shared-field",
            fix="Write the same field in both, such as --images 'img/{id}.tif'"
            " --labels 'mask/{id}.tif', or * in the place of one that only the labels have",
        )


def _key(match: Match, names: Sequence[str]) -> _Key:
    return _key_of(match.fields, names)


def _key_of(fields: Mapping[str, str], names: Sequence[str]) -> _Key:
    return tuple((split_of(fields[n]) or fields[n]) if n == "split" else fields[n] for n in names)


def _by_place(
    images: Sequence[Match], labels: Sequence[Match], shared: tuple[str, ...], own: tuple[str, ...]
) -> Pairing:
    """Give each sample all labels, or those of its split; images of equal fields are a sample."""
    of_split = _grouped(labels, [_key(m, shared) for m in labels])
    keys = [_key(m, own) if own else (str(i),) for i, m in enumerate(images)]
    grouped = _grouped(images, keys)
    found = {key: of_split.get(_key(files[0], shared), []) for key, files in grouped.items()}
    titles = _names([*grouped], own) if own else _path_names(grouped)
    samples, problems = _samples(grouped, found, titles)
    used = {_key(files[0], shared) for files in grouped.values()}
    problems += [*uneven_files(samples, own), *unknown_splits([*images, *labels])]
    return _pairing(samples, (), _left(of_split, used), (), problems)


def _by_fields(
    images: Sequence[Match], labels: Sequence[Match], shared: tuple[str, ...], own: Sequence[str]
) -> Pairing:
    """Give each sample the labels of its fields."""
    of_key = _grouped(labels, [_key(m, shared) for m in labels])
    keys = _Keys(labels, of_key, shared)
    grouped: dict[_Key, list[Match]] = defaultdict(list)
    ambiguous: list[Match] = []
    problems: list[Problem] = []
    for image in images:
        key, *others = keys.of(image)
        if others:
            ambiguous.append(image)
            problems.append(ambiguity(image, shared, [of_key[k][0] for k in (key, *others)]))
        else:
            grouped[key].append(image)
    titles = _names([*grouped, *of_key], shared)
    samples, wrong = _samples(grouped, of_key, titles)
    labeled = [s for s in samples if s.labels]
    problems += [*wrong, *map(several_labels, (s for s in labeled if len(s.labels) > 1))]
    problems += [*uneven_files(samples, shared), *unknown_splits([*images, *labels])]
    problems += one_sided(labeled, shared, own)
    return _pairing(samples, ambiguous, _left(of_key, {*grouped}), shared, problems)


def _left(labels: Mapping[_Key, Sequence[Match]], used: set[_Key]) -> list[Match]:
    """Return the labels whose keys are not used."""
    return [m for key, files in labels.items() if key not in used for m in files]


def _grouped(matches: Sequence[Match], keys: Sequence[_Key]) -> dict[_Key, list[Match]]:
    out: dict[_Key, list[Match]] = defaultdict(list)
    for match, key in zip(matches, keys, strict=True):
        out[key].append(match)
    return dict(out)


def _samples(
    grouped: Mapping[_Key, Sequence[Match]],
    labels: Mapping[_Key, Sequence[Match]],
    titles: Mapping[_Key, str],
) -> tuple[list[MatchedSample], list[Problem]]:
    """Return samples, with and without labels, and what is wrong with their splits and groups."""
    samples: list[MatchedSample] = []
    problems: list[Problem] = []
    for key, files in grouped.items():
        found = labels.get(key, ())
        split, group, wrong = split_and_group(titles[key], files, found)
        samples.append(MatchedSample(titles[key], tuple(files), tuple(found), split, group))
        problems += wrong
    return samples, problems


def _pairing(
    samples: Sequence[MatchedSample],
    ambiguous: Sequence[Match],
    unmatched: Sequence[Match],
    shared: tuple[str, ...],
    problems: Sequence[Problem],
) -> Pairing:
    ordered = sorted(samples, key=lambda s: (natural_key(s.name), s.name))
    return Pairing(
        tuple(s for s in ordered if s.labels),
        tuple(s for s in ordered if not s.labels),
        tuple(ambiguous),
        tuple(unmatched),
        shared,
        tuple(problems),
    )


class _Keys:
    """The keys that images may have, of those of labels, by all ways to read both paths."""

    def __init__(
        self, labels: Sequence[Match], of_key: Mapping[_Key, object], shared: Sequence[str]
    ) -> None:
        self._labels, self._of_key, self._shared = labels, of_key, shared
        self._others: dict[_Key, set[_Key]] | None = None

    def of(self, image: Match) -> list[_Key]:
        """Return the key of an image, that of no label if none fits; several if ambiguous."""
        readings = _all_keys(image, self._shared)
        hits = [k for k in readings if k in self._of_key]
        if not hits:
            others = self._other_labels()
            hits = list(dict.fromkeys(k for r in readings for k in others.get(r, ())))
        return hits or readings[:1]

    def _other_labels(self) -> Mapping[_Key, set[_Key]]:
        """Return the labels' keys by the keys of their other readings."""
        if self._others is None:
            self._others = defaultdict(set)
            for label in self._labels:
                own, *others = _all_keys(label, self._shared)
                for other in others:
                    self._others[other].add(own)
        return self._others


def _all_keys(match: Match, shared: Sequence[str]) -> list[_Key]:
    """Return the keys of all readings of a match, its own first."""
    first = _key(match, shared)
    if not _is_ambiguous(match, shared):
        return [first]
    readings = match.pattern.readings(normal(match.path))
    return list(dict.fromkeys([first, *(_key_of({**match.fields, **r}, shared) for r in readings)]))


def _is_ambiguous(match: Match, shared: Sequence[str]) -> bool:
    fields = {f: match.fields[f] for f in shared if f in match.pattern.fields}
    inner = match.pattern.array_fields
    fields = {f: v for f, v in fields.items() if f not in inner}
    return match.pattern.is_ambiguous(normal(match.path), fields)


def _names(keys: Sequence[_Key], fields: Sequence[str]) -> dict[_Key, str]:
    """Name samples by the fields in which they differ, the split only where it has to be."""
    every = list(range(len(fields)))
    plain = [i for i in every if fields[i] != "split"]
    varying = [i for i in every if len({k[i] for k in keys}) > 1] or plain
    for chosen in ([i for i in varying if i in plain], varying, every):
        names = {k: "/".join(k[i] for i in chosen) for k in keys}
        if len({*names.values()}) == len(names):
            break
    return names


def _path_names(grouped: Mapping[_Key, Sequence[Match]]) -> dict[_Key, str]:
    """Name samples by path without the folders that all have, and without extension if unique."""
    first = {key: files[0] for key, files in grouped.items()}
    common = os.path.commonprefix(
        [f"{PurePosixPath(m.path).parent.as_posix()}/" for m in first.values()]
    )
    cut = common.rfind("/") + 1 if common != "./" else 0
    full = {k: m.source[cut:] for k, m in first.items()}
    short = {k: PurePosixPath(m.path[cut:]).with_suffix("").as_posix() for k, m in first.items()}
    names = {m.path: k for k, m in first.items()}
    unique = len(set(short.values())) == len(short) and len(names) == len(first)
    return short if unique else full
