"""Proposals: patterns that are written, tried and ranked."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from swath.data.layouts.patterns import Pairing, match_files, natural_key, pair
from swath.data.layouts.proposals.fields import Span, Template, fits, key_of, text_at, with_repeats
from swath.data.layouts.proposals.files import (
    FEW_VALUES,
    RASTERS,
    VECTORS,
    File,
    Kind,
    Look,
    Seen,
    by_role,
    kinds_of,
)
from swath.data.layouts.proposals.stacks import choices, image_kinds
from swath.data.layouts.proposals.words import OTHER_WORDS, image_rank, mask_rank, words_of
from swath.data.layouts.proposals.writing import image_patterns, written
from swath.errors import SwathError

MOST_UNMATCHED = 0.1
"""Share of label files that may have no image."""

MOST_TRIALS = 24
"""Pairs of patterns that are tried on any folder."""

MOST_MATCHES = 4_000_000
"""Matches of paths that trials may take in all, where that allows more of them."""

MOST_FITS = 6
"""Ways to find fields in a group of images whose patterns are tried."""

MOST_SETS = 4
"""Sets of images to stack that are tried for one way to find fields."""

MOST_PARTS = 12
"""Numbers of words in names by which images are told apart."""

MOST_LAYERS = 20
"""Vector files that are joined for all images, at most."""

_Patterns: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], int]
"""Patterns of images, patterns of labels, and how many samples they give."""


@dataclass(frozen=True)
class Proposal:
    """Patterns that pair files.

    Attributes:
        images: patterns of the images.
        labels: patterns of the labels.
        pairs: samples with labels that they give.
        masks: label files that were found in the folder, of this kind or another.
    """

    images: tuple[str, ...]
    labels: tuple[str, ...]
    pairs: int
    masks: int

    @property
    def has_fields(self) -> bool:
        """Whether each image has labels of its own; else all have the same."""
        return any("{" in text for text in self.labels)

    @property
    def options(self) -> str:
        """The options as they are to be typed."""
        words = [(name, text) for name in ("images", "labels") for text in getattr(self, name)]
        return " ".join(f"--{name} {_quoted(text)}" for name, text in words)


def _quoted(text: str) -> str:
    return shlex.quote(text) if "'" in text else f"'{text}'"


def propose(files: Iterable[str], *, look: Look | None = None) -> Proposal | None:
    """Propose patterns for the images and labels of a folder.

    Args:
        files: all relative POSIX paths of the folder.
        look: opens a raster, to tell masks from images where words do not; at most `MOST_LOOKS`
            files are opened.

    Returns:
        The best proposal of those that pair every label file of one kind, but for a tenth at most
        that has no image, with as many images each; or None.
    """
    paths = [File(f) for f in sorted(files, key=natural_key)]
    paths = [f for f in paths if f.extension in RASTERS | VECTORS]
    seen = Seen(look)
    masks, images = by_role(paths, seen)
    trial = _Trial([f.path for f in paths])
    best: tuple[tuple[float, ...], Proposal] | None = None
    for kind in kinds_of(masks, images):
        found = _best_of(kind, images, trial, seen)
        if found is not None:
            proposal = Proposal(*found, len(masks))
            rank = _rank(kind, proposal, seen)
            if best is None or rank > best[0]:
                best = rank, proposal
    return best[1] if best else _by_place(masks, images, trial)


def _by_place(masks: Sequence[File], images: Sequence[File], trial: _Trial) -> Proposal | None:
    """Propose one label file, or a few vector files, for all images of the largest group."""
    labels = [f for f in masks if len(masks) == 1 or (f.is_vector and not _is_other(f.words[-1]))]
    groups = list(_alike(f for f in images if not _is_other(f.every_word)))
    if len(_alike(labels)) != 1 or len(labels) > MOST_LAYERS or not groups:
        return None
    group = max(groups, key=len)
    patterns = (written(group, {}),), written(labels, {})
    pairing = trial.pairing(*patterns)
    if pairing is None or _used(pairing)[0] != {f.path for f in group}:
        return None
    return Proposal(patterns[0], (patterns[1],), len(pairing.samples), len(masks))


def _used(pairing: Pairing) -> tuple[set[str], set[str]]:
    """Return the images and the labels of all samples."""
    images = {m.path for s in pairing.samples for m in s.images}
    return images, {m.path for s in pairing.samples for m in s.labels}


def _is_other(words: Iterable[str]) -> bool:
    return not OTHER_WORDS.isdisjoint(words)


def _alike(files: Iterable[File]) -> Collection[list[File]]:
    """Group files by depth and extension."""
    groups: dict[tuple[int, str], list[File]] = defaultdict(list)
    for file in files:
        groups[file.depth, file.extension].append(file)
    return groups.values()


def _rank(kind: Kind, proposal: Proposal, seen: Seen) -> tuple[float, ...]:
    """Order proposals: classes rather than numbers of fields, many classes, plain names, many."""
    others = sum(w in OTHER_WORDS for w in kind.words)
    contents = [c for c in (seen(f.path) for f in kind.files[:2]) if c and c.bands == 1]
    values = max((c.values or 0 for c in contents), default=0)
    surely = max((mask_rank(w) for w in kind.words), default=kind.role)
    # Kinds of a few files beside a large one are leftovers.
    large = proposal.pairs * 4 >= proposal.masks or proposal.pairs > 20
    vector = kind.files[0].is_vector and len(kind.files) < 2
    return (
        -others,
        -vector,
        large,
        surely,
        min(values, FEW_VALUES),
        -len(kind.words),
        proposal.pairs,
    )


def _best_of(kind: Kind, images: Sequence[File], trial: _Trial, seen: Seen) -> _Patterns | None:
    """Return the best patterns for one kind of label that hold when they are tried."""
    best: tuple[tuple[float, ...], _Patterns] | None = None
    for group in _groups(images):
        tried = (_tried(kind, *fit, group, trial) for fit in islice(fits(kind, group), MOST_FITS))
        rank, patterns, first = next(filter(None, tried), ((), None, ""))
        if patterns is None:
            continue
        content = seen(first)
        rank = *rank, min(content.bands, 3) if content else 0
        if best is None or rank > best[0]:
            best = rank, patterns
    return best[1] if best else None


def _groups(images: Sequence[File]) -> Iterator[list[File]]:
    """Yield images of one depth and extension, and those of them with as many words in a name."""
    for group in _alike(images):
        yield group
        for at in reversed(range(group[0].depth)):
            parts: dict[int, list[File]] = defaultdict(list)
            for image in group:
                parts[len(image.parts[at])].append(image)
            if 1 < len(parts) <= MOST_PARTS:
                yield from parts.values()


def _tried(
    kind: Kind, labels: Template, template: Template, group: Sequence[File], trial: _Trial
) -> tuple[tuple[float, ...], _Patterns, str] | None:
    """Return the first patterns for a fit that hold, with their rank and the first image."""
    used = {*template.spans.values()}
    keys = {key_of(labels.values(f), used) for f in kind.files}
    spans = {s: n for s, n in labels.spans.items() if n in used or n == "split"}
    for chosen in _stacks(group, template, keys):
        files = [f for members in chosen.values() for f in members]
        both = with_repeats(template, files).spans, spans
        if all(map(_one_split, (files, kind.files), both)):
            both = _without_split(both[0]), _without_split(both[1])
        label_pattern = written(kind.files, both[1])
        for patterns in image_patterns(files, list(chosen.values()), both[0]):
            pairing = trial.pairing(patterns, label_pattern)
            if pairing is not None and _holds_up(pairing, kind.files, files):
                number = len(pairing.samples)
                rank = *_stack_rank(chosen, number), -len(patterns)
                return rank, (patterns, (label_pattern,), number), files[0].path
    return None


def _stacks(
    group: Sequence[File], template: Template, keys: set[tuple[str, ...]]
) -> Iterator[dict[tuple[str, ...], list[File]]]:
    """Yield images to stack, by their kinds: first as if dates were one kind, then by date."""
    seen: Iterable[tuple[str, ...]] = ()
    for dates in (False, True):
        present = image_kinds(group, template, keys, dates=dates)
        if present.keys() != seen:
            for chosen in islice(choices(present), MOST_SETS):
                yield {k: present[k] for k in chosen}
        seen = present.keys()


def _stack_rank(kinds: Iterable[tuple[str, ...]], pairs: int) -> tuple[float, ...]:
    words = {w for k in kinds for text in k for w in words_of(text)}
    rank = max((image_rank(w) for w in words), default=0)
    return -any(w in OTHER_WORDS for w in words), pairs, rank


def _one_split(files: Sequence[File], spans: Mapping[Span, str]) -> bool:
    """Return whether all files have the same text for `{split}`."""
    own = [s for s, name in spans.items() if name == "split"]
    return all(len({text_at(f, s) for f in files}) == 1 for s in own)


def _without_split(spans: Mapping[Span, str]) -> dict[Span, str]:
    return {span: name for span, name in spans.items() if name != "split"}


class _Trial:
    """The paths of a folder, on which patterns are tried as long as that takes seconds."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self._left = max(MOST_TRIALS, MOST_MATCHES // max(len(paths), 1))

    def pairing(self, images: Sequence[str], labels: str) -> Pairing | None:
        """Return what patterns give; None if they cannot be used, or too many were tried."""
        self._left -= 1
        if self._left < 0:
            return None
        try:
            return pair(match_files(images, self.paths), match_files([labels], self.paths))
        except SwathError:
            return None


def _holds_up(pairing: Pairing, labels: Sequence[File], images: Sequence[File]) -> bool:
    """Return whether nearly all label files are used, each once, and no file beyond those meant."""
    names = {None, *(s.name for s in pairing.samples)}
    wrong = any(p.level == "error" and p.sample in names for p in pairing.problems)
    if wrong or pairing.ambiguous or not pairing.shared:
        return False
    if any(len(s.labels) > 1 for s in pairing.samples):
        return False
    own, meant = {f.path for f in labels}, {f.path for f in images}
    left = own.intersection(m.path for m in pairing.unmatched_labels)
    used = _used(pairing)
    return used[0] <= meant and used[1] <= own and len(left) <= MOST_UNMATCHED * len(own)
