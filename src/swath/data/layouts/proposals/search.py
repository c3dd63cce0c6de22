"""Proposals: patterns that are written, tried and ranked."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from swath.data.layouts.patterns import Pairing, match_files, natural_key, pair
from swath.data.layouts.proposals.fields import Span, Template, fits, same, text_at, with_repeats
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
    best: tuple[tuple[float, ...], Proposal] | None = None
    trial = _Trial([f.path for f in paths])
    for kind in kinds_of(masks, images):
        for proposal in _proposals(kind, images, trial, len(masks), seen):
            rank = _rank(kind, proposal, seen)
            if best is None or rank > best[0]:
                best = rank, proposal
            break
    return best[1] if best else _by_place(masks, images, trial.paths)


def _by_place(
    masks: Sequence[File], images: Sequence[File], everything: Sequence[str]
) -> Proposal | None:
    """Propose one label file, or a few vector files, for all images of the largest group."""
    vectors = [f for f in masks if f.is_vector and not {*f.words[-1]} & OTHER_WORDS]
    if len(masks) == 1:
        vectors = list(masks)
    groups: dict[tuple[int, str], list[File]] = defaultdict(list)
    for image in images:
        if not {w for words in image.words for w in words} & OTHER_WORDS:
            groups[image.depth, image.extension].append(image)
    same = {(f.depth, f.extension) for f in vectors}
    if len(same) != 1 or len(vectors) > 20 or not groups:
        return None
    group = max(groups.values(), key=len)
    patterns = (written(group, {}),), (written(vectors, {}),)
    try:
        pairing = pair(*(match_files(p, everything) for p in patterns))
    except SwathError:
        return None
    used = {m.path for s in pairing.samples for m in s.images}
    if used != {f.path for f in group}:
        return None
    return Proposal(*patterns, len(pairing.samples), len(masks))


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


def _proposals(
    kind: Kind,
    images: Sequence[File],
    trial: _Trial,
    masks: int,
    seen: Seen,
) -> Iterator[Proposal]:
    """Yield proposals for one kind of label that hold when they are tried, best first."""
    found: list[tuple[tuple[float, ...], Proposal]] = []
    for group in _groups(images):
        for fields, template in islice(fits(kind, group), MOST_FITS):
            proposal = _tried(kind, fields, template, group, trial, masks)
            if proposal:
                rank, text, first = proposal
                content = seen(first)
                found.append(((*rank, min(content.bands, 3) if content else 0), text))
                break
    yield from (p for _, p in sorted(found, key=lambda f: f[0], reverse=True))


def _groups(images: Sequence[File]) -> Iterator[list[File]]:
    """Yield images of one depth and extension, and those of them with as many words in a name."""
    groups: dict[tuple[int, str], list[File]] = defaultdict(list)
    for image in images:
        groups[image.depth, image.extension].append(image)
    for group in groups.values():
        yield group
        for at in reversed(range(group[0].depth)):
            parts: dict[int, list[File]] = defaultdict(list)
            for image in group:
                parts[len(image.parts[at])].append(image)
            if 1 < len(parts) <= MOST_PARTS:
                yield from parts.values()


def _tried(
    kind: Kind,
    labels: Template,
    template: Template,
    group: Sequence[File],
    trial: _Trial,
    masks: int,
) -> tuple[tuple[float, ...], Proposal, str] | None:
    """Write the patterns for a fit, try them, and return the proposal, its rank and an image."""
    used = set(template.spans.values())
    names = {n: n if n in used or n == "split" else "" for n in labels.spans.values()}
    label_template = Template({s: names[n] for s, n in labels.spans.items() if names[n]})
    keys = {
        tuple(same(n, v) for n, v in sorted(label_template.values(f).items()) if n in used)
        for f in kind.files
    }
    seen: Iterable[tuple[str, ...]] = ()
    for dates in (False, True):
        present = image_kinds(group, template, keys, dates=dates)
        if dates and present.keys() == seen:
            break
        seen = present.keys()
        for chosen in islice(choices(present), MOST_SETS):
            files = [f for k in chosen for f in present[k]]
            both = [template.spans, label_template.spans]
            if all(_one_split(f, s) for f, s in zip((files, kind.files), both, strict=True)):
                both = [{k: v for k, v in s.items() if v != "split"} for s in both]
            both[0] = with_repeats(Template(both[0]), files).spans
            label_pattern = written(kind.files, both[1])
            for patterns in image_patterns(files, [present[k] for k in chosen], both[0]):
                pairing = trial.pairing(patterns, label_pattern)
                if pairing is None or not _holds_up(pairing, kind.files, files):
                    continue
                proposal = Proposal(patterns, (label_pattern,), len(pairing.samples), masks)
                words = {w for k in chosen for t in k for w in words_of(t)}
                rank = max((image_rank(w) for w in words), default=0)
                other = any(w in OTHER_WORDS for w in words)
                return (-other, len(pairing.samples), rank, -len(patterns)), proposal, files[0].path
    return None


def _one_split(files: Sequence[File], spans: Mapping[Span, str]) -> bool:
    """Return whether all files have the same text for `{split}`."""
    own = [s for s, name in spans.items() if name == "split"]
    return all(len({text_at(f, s) for f in files}) == 1 for s in own)


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
    own = {f.path for f in labels}
    if pairing.ambiguous or not pairing.shared:
        return False
    if sum(m.path in own for m in pairing.unmatched_labels) > MOST_UNMATCHED * len(labels):
        return False
    if any(len(s.labels) != 1 for s in pairing.samples):
        return False
    labeled = {s.name for s in pairing.samples}
    problems = [p for p in pairing.problems if p.level == "error"]
    if any(p.sample is None or p.sample in labeled for p in problems):
        return False
    meant = {f.path for f in images}
    used = {m.path for s in pairing.samples for m in s.images}
    all_labels = {m.path for s in pairing.samples for m in s.labels}
    return used <= meant and all_labels <= own
