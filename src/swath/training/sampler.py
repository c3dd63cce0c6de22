"""The ground that may be learnt from: places drawn by class, and windows read without the pixels of other splits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from swath.data.dataset import Dataset, Sample
from swath.geo.tiling import Window
from swath.legend import IGNORE

SAMPLED_PIXELS = (2**12, 2**18)
"""Pixels of a sample, at most about so many, in which a class is looked for: in few first, where most are found."""


class Patch(NamedTuple):
    """A window of the ground.

    Attributes:
        values: raw pixel values (bands, rows, columns), the band's mean where they are invalid;
            uint8 if the image's are, which are scaled faster, else float32.
        labels: class indices, uint8 (rows, columns), `IGNORE` where there is no label.
        heights: meters above ground, float32 (rows, columns), NaN where unknown; None where none
            are wanted.
        valid: whether a pixel is, bool (rows, columns).
    """

    values: NDArray[np.uint8] | NDArray[np.float32]
    labels: NDArray[np.uint8]
    heights: NDArray[np.float32] | None
    valid: NDArray[np.bool_]


class PatchSampler:
    """The samples that a network is taught from.

    Args:
        dataset: the prepared data.
        samples: the samples; those without a label are left out.
        balance: classes are drawn by their pixels to this power: 1 as they are, 0 all alike.
        heights: whether heights are read too.
    """

    def __init__(
        self,
        dataset: Dataset,
        samples: Sequence[Sample],
        balance: float,
        heights: bool = False,
    ) -> None:
        self.dataset = dataset
        self.samples = [s for s in samples if sum(s.counts)]
        self.mean = np.array([b.mean for b in dataset.manifest.bands], np.float32)
        self.std = np.array([b.std for b in dataset.manifest.bands], np.float32)
        self._heights = heights
        counts = np.array([s.counts for s in self.samples], np.float64)
        totals = counts.sum(axis=0)
        self._class_odds = np.where(totals > 0, totals, 0.0) ** balance * (totals > 0)
        self._class_odds /= self._class_odds.sum()
        self._sample_odds = (counts / np.maximum(totals, 1)).T
        self._hidden = _hidden_windows(dataset, samples)

    def draw(self, rng: np.random.Generator) -> tuple[Sample, int, int]:
        """Draw a class, a sample that holds it, and a pixel of the class: its row and column in the sample's window."""
        wanted = int(rng.choice(len(self._class_odds), p=self._class_odds))
        sample = self.samples[rng.choice(len(self.samples), p=self._sample_odds[wanted])]
        every = self.dataset.images[sample.image].read_labels(sample.window)
        for looked_at in SAMPLED_PIXELS:
            step = max(1, math.isqrt(every.size // looked_at))
            top, left = (int(rng.integers(min(step, length))) for length in every.shape)
            labels = every[top::step, left::step]
            seen = np.flatnonzero(labels == wanted)
            if len(seen):
                break
        spot = int(rng.choice(seen)) if len(seen) else int(rng.integers(labels.size))
        row, col = divmod(spot, labels.shape[1])
        return sample, top + step * row, left + step * col

    def read(self, image: int, window: Window) -> Patch:
        """Read a window that may reach over the image's edge; what lies outside, or is hidden, is invalid and unlabeled."""
        stored = self.dataset.images[image]
        inside = window.within(stored.grid.window)
        at = inside.relative_to(window).slices
        found, known = stored.read(inside)
        kind = np.uint8 if found.dtype == np.uint8 else np.float32
        values = np.zeros((window.height, window.width, len(found)), kind).transpose(2, 0, 1)
        labels = np.full((window.height, window.width), IGNORE, np.uint8)
        valid = np.zeros((window.height, window.width), bool)
        heights = (
            np.full((window.height, window.width), np.nan, np.float32) if self._heights else None
        )
        values[(slice(None), *at)], valid[at] = found, known
        labels[at] = stored.read_labels(inside)
        if heights is not None:
            heights[at] = stored.read_heights(inside)
        for other in self._hidden[image]:
            overlap = other.within(window)
            if overlap.size:
                where = overlap.relative_to(window).slices
                valid[where], labels[where] = False, IGNORE
                if heights is not None:
                    heights[where] = np.nan
        if not valid.all():
            mean = self.mean.round() if kind is np.uint8 else self.mean
            np.copyto(values, mean[:, None, None].astype(kind), where=~valid)
        return Patch(values, labels, heights, valid)


def _hidden_windows(dataset: Dataset, samples: Sequence[Sample]) -> dict[int, list[Window]]:
    """List, by image, the windows that belong to other splits."""
    shown = {s.name for s in samples}
    hidden: dict[int, list[Window]] = {i: [] for i in range(len(dataset.manifest.images))}
    for other in dataset.manifest.samples:
        if other.name not in shown and other.split != "unlabeled":
            hidden[other.image].append(other.window)
    return hidden
