"""Samples that patterns give, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass

from swath.data.layouts.patterns.matching import Match
from swath.types import Level, OwnSplit


@dataclass(frozen=True)
class Problem:
    """What is wrong with a pairing, in the words of a finding.

    Attributes:
        level: error, warning or note.
        code: stable name of the kind.
        message: one sentence.
        fix: one sentence.
        files: relative paths it is about, at least one.
        sample: name of the sample that cannot be used, or None.
    """

    level: Level
    code: str
    message: str
    fix: str
    files: tuple[str, ...]
    sample: str | None = None


@dataclass(frozen=True)
class MatchedSample:
    """Files that belong together.

    Attributes:
        name: the part in which samples differ; unique.
        images: image files, stacked in this order.
        labels: label files; empty where there are none.
        split: the dataset's own split, or None.
        group: the place, or None.
    """

    name: str
    images: tuple[Match, ...]
    labels: tuple[Match, ...] = ()
    split: OwnSplit | None = None
    group: str | None = None


@dataclass(frozen=True)
class Pairing:
    """Images and labels by their fields.

    Attributes:
        samples: samples with labels, in natural order of their names.
        unlabeled: samples without labels.
        ambiguous: images that may belong to several labels.
        unmatched_labels: labels without an image.
        shared: fields that pair images and labels; empty where labels are joined by place, and each
            sample has all.
        problems: what is wrong.
    """

    samples: tuple[MatchedSample, ...] = ()
    unlabeled: tuple[MatchedSample, ...] = ()
    ambiguous: tuple[Match, ...] = ()
    unmatched_labels: tuple[Match, ...] = ()
    shared: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def unmatched_images(self) -> tuple[Match, ...]:
        """Images without labels, and those that may belong to several."""
        return (*(m for s in self.unlabeled for m in s.images), *self.ambiguous)
