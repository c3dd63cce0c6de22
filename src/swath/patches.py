"""Training batches: random windows of a dataset's training samples, scaled, turned and recoloured.

Batch number k of a seed is always the same, whoever asks for it and in whatever order; so training resumes exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from swath.classes import IGNORE
from swath.dataset import Dataset, Sample
from swath.grid import Window
from swath.recipes import Recipe

LOOKED_AT = 2**18
"""Pixels of a sample, at most about this many, in which a class is looked for."""


class Patches(torch.utils.data.IterableDataset[tuple[Tensor, Tensor]]):
    """An endless row of batches.

    Each batch is raw pixel values, float32 (batch, bands, patch, patch), invalid pixels filled with the band's mean, and class
    indices, int64 (batch, patch, patch), `IGNORE` where there is no label. Samples are drawn by their number of labelled
    pixels; pixels of other splits in the same image are hidden.

    Args:
        dataset: the prepared data.
        samples: the samples to draw from.
        recipe: sizes, scales and augmentation.
        seed: of all draws.
        start: number of the first batch.
    """

    def __init__(self, dataset: Dataset, samples: Sequence[Sample], recipe: Recipe, seed: int, start: int = 0) -> None:
        super().__init__()
        self._dataset = dataset
        self._samples = [s for s in samples if sum(s.counts)]
        self._recipe = recipe
        self._seed = seed
        self.start = start
        counts = np.array([s.counts for s in self._samples], np.float64)
        totals = counts.sum(axis=0)
        self._class_odds = np.where(totals > 0, totals, 0.0) ** recipe.balance * (totals > 0)
        self._class_odds /= self._class_odds.sum()
        self._sample_odds = (counts / np.maximum(totals, 1)).T
        self._mean = np.array([b.mean for b in dataset.manifest.bands], np.float32)
        self._std = np.array([b.std for b in dataset.manifest.bands], np.float32)
        known = dataset.manifest.gsd is not None
        self._zooms = [math.log(zoom) for zoom in (recipe.scales_known if known else recipe.scales)]
        self._hidden = _hidden_windows(dataset, samples)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        number = self.start
        while True:
            yield self.batch(number)
            number += 1

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        """Return batch `number`."""
        rng = np.random.default_rng([self._seed, number])
        pairs = [self._patch(rng) for _ in range(self._recipe.batch)]
        pixels, labels = zip(*pairs, strict=True)
        return torch.stack(pixels), torch.stack(labels)

    def _patch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        size = self._recipe.patch
        image, window = self._place(rng)
        side = window.height
        values, valid, labels = self._read(image, window)
        values[:, ~valid] = self._mean[:, None]
        pixels = torch.from_numpy(values)
        if side != size:
            pixels = F.interpolate(pixels[None], (size, size), mode="bilinear", antialias=side > size)[0]
        nearest = np.minimum(((np.arange(size) + 0.5) * side / size).astype(np.int64), side - 1)
        target = torch.from_numpy(labels[nearest[:, None], nearest].astype(np.int64))
        pixels, target = _turn(rng, pixels, target)
        return self._recolour(rng, pixels), target

    def _place(self, rng: np.random.Generator) -> tuple[int, Window]:
        """Draw a class, a sample that holds it, and a square window of it around a pixel of the class."""
        wanted = int(rng.choice(len(self._class_odds), p=self._class_odds))
        sample = self._samples[rng.choice(len(self._samples), p=self._sample_odds[wanted])]
        side = max(1, round(self._recipe.patch / math.exp(rng.uniform(self._zooms[0], self._zooms[1]))))
        inside = sample.window
        step = max(1, math.isqrt(inside.size // LOOKED_AT))
        labels = self._dataset.images[sample.image].read_labels(inside)[rng.integers(step) :: step, rng.integers(step) :: step]
        seen = np.flatnonzero(labels == wanted)
        spot = int(rng.choice(seen)) if len(seen) else int(rng.integers(labels.size))
        row, col = (step * at for at in divmod(spot, labels.shape[1]))
        window = Window(
            inside.row + _start(rng, row, inside.height, side), inside.col + _start(rng, col, inside.width, side), side, side
        )
        return sample.image, window

    def _read(self, image: int, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.uint8]]:
        """Read a window that may reach over the image's edge; what lies outside, or is hidden, is invalid and unlabelled."""
        stored = self._dataset.images[image]
        inside = window.within(stored.grid.window)
        at = inside.relative_to(window).slices
        values = np.zeros((len(self._mean), window.height, window.width), np.float32)
        valid = np.zeros((window.height, window.width), bool)
        labels = np.full((window.height, window.width), IGNORE, np.uint8)
        values[(slice(None), *at)], valid[at] = stored.read(inside)
        labels[at] = stored.read_labels(inside)
        for other in self._hidden[image]:
            overlap = other.within(window)
            if overlap.size:
                where = overlap.relative_to(window).slices
                valid[where] = False
                labels[where] = IGNORE
        return values, valid, labels

    def _recolour(self, rng: np.random.Generator, pixels: Tensor) -> Tensor:
        """Change brightness, contrast and the balance of bands, all relative to the training statistics."""
        r = self._recipe
        bands = len(self._mean)
        gain = rng.uniform(1 - r.contrast, 1 + r.contrast) * rng.uniform(1 - r.contrast / 2, 1 + r.contrast / 2, bands)
        shift = rng.uniform(-r.brightness, r.brightness) + rng.uniform(-r.brightness / 3, r.brightness / 3, bands)
        mean = torch.from_numpy(self._mean)[:, None, None]
        scale = torch.from_numpy(gain.astype(np.float32))[:, None, None]
        offset = torch.from_numpy(shift.astype(np.float32) * self._std)[:, None, None]
        return (pixels - mean) * scale + mean + offset


def _start(rng: np.random.Generator, spot: int, length: int, side: int) -> int:
    """Draw where a patch begins that shows `spot` of a sample of `length` pixels.

    It lies in the sample or reaches up to a quarter over its edge; a patch that is larger covers all of the sample.
    """
    low, high = sorted((0, length - side))
    margin = side // 4 if length > side else 0
    return int(np.clip(rng.integers(spot - side + 1, spot + 1), low - margin, high + margin))


def _turn(rng: np.random.Generator, pixels: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Apply one of the eight symmetries of the square."""
    quarter, flip = int(rng.integers(4)), bool(rng.integers(2))
    pixels, target = (torch.rot90(t, quarter, (-2, -1)) for t in (pixels, target))
    return (pixels.flip(-1), target.flip(-1)) if flip else (pixels, target)


def _hidden_windows(dataset: Dataset, samples: Sequence[Sample]) -> dict[int, list[Window]]:
    """List, by image, the windows that belong to other splits."""
    shown = {s.name for s in samples}
    hidden: dict[int, list[Window]] = {i: [] for i in range(len(dataset.manifest.images))}
    for other in dataset.manifest.samples:
        if other.name not in shown and other.split != "unlabeled":
            hidden[other.image].append(other.window)
    return hidden
