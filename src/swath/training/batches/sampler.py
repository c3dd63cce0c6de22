"""Draw training pixels by class, and read windows without the pixels of other splits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from swath.data.dataset import Dataset, Sample
from swath.geo.tiling import Window
from swath.legend import IGNORE

SEARCHED_PIXELS = (2**12, 2**18)
"""Pixels of a sample, about, among which a class is searched: few first, which mostly suffice."""


class Patch(NamedTuple):
    """A window of an image, as it is read.

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
    """Draw pixels and read patches of training samples.

    Args:
        dataset: the prepared data.
        samples: the samples; those without a label are left out.
        balance: classes are drawn by their pixels to this power: 1 as they are, 0 all alike.
        heights: whether heights are read too.
    """

    def __init__(
        self, dataset: Dataset, samples: Sequence[Sample], balance: float, heights: bool = False
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
        self._excluded = _windows_of_other_splits(dataset, samples)

    def draw(self, rng: np.random.Generator) -> tuple[Sample, int, int]:
        """Draw a class, a sample that has it, and row and column of one of its pixels in there."""
        wanted = int(rng.choice(len(self._class_odds), p=self._class_odds))
        sample = self.samples[rng.choice(len(self.samples), p=self._sample_odds[wanted])]
        every = self.dataset.images[sample.image].read_labels(sample.window)
        for pixels in SEARCHED_PIXELS:
            step = max(1, math.isqrt(every.size // pixels))
            top, left = (int(rng.integers(min(step, length))) for length in every.shape)
            labels = every[top::step, left::step]
            found = np.flatnonzero(labels == wanted)
            if len(found):
                break
        pixel = int(rng.choice(found)) if len(found) else int(rng.integers(labels.size))
        row, col = divmod(pixel, labels.shape[1])
        return sample, top + step * row, left + step * col

    def read(self, image: int, window: Window) -> Patch:
        """Read a window; outside of the image and in other splits it is invalid and unlabeled."""
        stored = self.dataset.images[image]
        inside = window.within(stored.grid.window)
        at = inside.relative_to(window).slices
        found, known = stored.read(inside)
        kind = np.uint8 if found.dtype == np.uint8 else np.float32
        shape = window.height, window.width
        values = np.zeros((*shape, len(found)), kind).transpose(2, 0, 1)
        valid = np.zeros(shape, bool)
        labels = np.full(shape, IGNORE, np.uint8)
        heights = np.full(shape, np.nan, np.float32) if self._heights else None
        values[(slice(None), *at)], valid[at] = found, known
        labels[at] = stored.read_labels(inside)
        if heights is not None:
            heights[at] = stored.read_heights(inside)
        for other in self._excluded[image]:
            overlap = other.within(window)
            if overlap.size:
                at = overlap.relative_to(window).slices
                valid[at], labels[at] = False, IGNORE
                if heights is not None:
                    heights[at] = np.nan
        if not valid.all():
            mean = self.mean.round() if kind is np.uint8 else self.mean
            np.copyto(values, mean[:, None, None].astype(kind), where=~valid)
        return Patch(values, labels, heights, valid)


def _windows_of_other_splits(
    dataset: Dataset, samples: Sequence[Sample]
) -> dict[int, list[Window]]:
    own = {s.name for s in samples}
    windows: dict[int, list[Window]] = {i: [] for i in range(len(dataset.manifest.images))}
    for other in dataset.manifest.samples:
        if other.name not in own and other.split != "unlabeled":
            windows[other.image].append(other.window)
    return windows
