"""Training batches: random windows of training samples, scaled, turned and recolored.

Batch number k of a seed is always the same, whichever process or thread makes it and in whatever
order; so training resumes exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from swath.geo.scale import ratio
from swath.geo.tiling import Window
from swath.training.batches.sampler import Patch, PatchSampler
from swath.training.recipes import Recipe


class Batch(NamedTuple):
    """The input of a training step.

    Attributes:
        pixels: raw pixel values, float32 (batch, bands, rows, columns), invalid pixels filled with
            the band's mean.
        labels: class indices, int64 (batch, rows, columns), `IGNORE` where there is no label.
        heights: meters above ground, float32 (batch, rows, columns), NaN where unknown; None where
            they are not trained.
        colors: how pixels are still to be recolored, float32 (batch, 3, bands): each band's mean,
            gain and shift; None where they are not. It is part of the step, so that a GPU does it.
    """

    pixels: Tensor
    labels: Tensor
    heights: Tensor | None = None
    colors: Tensor | None = None

    def recolored(self) -> Batch:
        """Return the batch with its pixels recolored, where that is still to be done."""
        if self.colors is None:
            return self
        mean, gain, shift = self.colors[..., None, None].unbind(1)
        return self._replace(pixels=(self.pixels - mean) * gain + mean + shift, colors=None)

    def pinned(self) -> Batch:
        """Return the batch in pinned memory, which a GPU copies from by itself."""
        return Batch(*(None if part is None else part.pin_memory() for part in self))  # type: ignore[arg-type]


class BatchStream(torch.utils.data.IterableDataset[Batch]):
    """An endless stream of batches, each of which depends on the seed and its number only.

    Args:
        sampler: draws and reads training data.
        recipe: sizes, scales and augmentation.
        seed: of all draws.

    Attributes:
        start: number of the first batch that an iteration yields.
        every: step between the numbers that it yields, so that several processes share the stream.
    """

    def __init__(self, sampler: PatchSampler, recipe: Recipe, seed: int) -> None:
        super().__init__()
        self.sampler, self.recipe, self.seed = sampler, recipe, seed
        self.start, self.every = 0, 1

    def __iter__(self) -> Iterator[Batch]:
        number = self.start
        while True:
            yield self.batch(number)
            number += self.every

    def batch(self, number: int) -> Batch:
        """Return batch `number`."""
        raise NotImplementedError

    @property
    def epoch(self) -> int:
        """Batches that make one pass over the data."""
        raise NotImplementedError


class PatchBatches(BatchStream):
    """Patches drawn by class, at random scales relative to the dataset's resolution.

    Samples are drawn by their number of labeled pixels. Pixels of other splits in the same image
    are invalid and unlabeled.
    """

    def __init__(self, sampler: PatchSampler, recipe: Recipe, seed: int) -> None:
        super().__init__(sampler, recipe, seed)
        self._latitude = sampler.dataset.manifest.latitude
        known = sampler.dataset.manifest.gsd is not None
        self._zooms = [math.log(zoom) for zoom in (recipe.scales_known if known else recipe.scales)]

    @property
    def epoch(self) -> int:
        """Batches that hold as many pixels as are labeled."""
        labeled = sum(sum(s.counts) for s in self.sampler.samples)
        return max(1, math.ceil(labeled / (self.recipe.batch * self.recipe.patch**2)))

    def batch(self, number: int) -> Batch:
        """Return batch `number`."""
        rng = np.random.default_rng([self.seed, number])
        batch = stacked([self._patch(rng) for _ in range(self.recipe.batch)])
        return _mixed(rng, batch, self.recipe.mixed)

    def _patch(self, rng: np.random.Generator) -> Batch:
        sample, row, col = self.sampler.draw(rng)
        inside = sample.window
        zoom = math.exp(rng.uniform(self._zooms[0], self._zooms[1])) * self._scale(sample.image)
        side = max(1, round(self.recipe.patch / zoom))
        top = inside.row + _start(rng, row, inside.height, side)
        left = inside.col + _start(rng, col, inside.width, side)
        patch = self.sampler.read(sample.image, Window(top, left, side, side))
        batch = resized(patch, self.recipe.patch, antialias=True)
        if self.recipe.turns:
            batch = _turned(rng, batch)
        return batch._replace(colors=self._colors(rng))

    def _scale(self, image: int) -> float:
        """Return the zoom from an image's ground sampling distance to the dataset's, or 1."""
        manifest = self.sampler.dataset.manifest
        return ratio(self.sampler.dataset.images[image].grid.gsd, manifest.gsd)

    def _colors(self, rng: np.random.Generator) -> Tensor:
        """Draw brightness, contrast and band balance, relative to training statistics."""
        mean, std, bands = self.sampler.mean, self.sampler.std, len(self.sampler.mean)
        c, b = self.recipe.contrast, self.recipe.brightness
        gain = rng.uniform(1 - c, 1 + c) * rng.uniform(1 - c / 2, 1 + c / 2, bands)
        shift = rng.uniform(-b, b) + rng.uniform(-b / 3, b / 3, bands)
        if self._latitude:  # a position, which light does not change
            gain[-1], shift[-1] = 1, 0
        changes = mean, gain.astype(np.float32), shift.astype(np.float32) * std
        return torch.from_numpy(np.stack(changes))


def _start(rng: np.random.Generator, pixel: int, length: int, side: int) -> int:
    """Draw the first row or column of a patch that shows a pixel of a sample of `length` pixels.

    It lies in the sample or reaches up to a quarter over its edge; a patch that is larger covers
    all of the sample.
    """
    low, high = sorted((0, length - side))
    margin = side // 4 if length > side else 0
    return int(np.clip(rng.integers(pixel - side + 1, pixel + 1), low - margin, high + margin))


def _turned(rng: np.random.Generator, patch: Batch) -> Batch:
    """Apply one of the eight symmetries of the square."""
    quarter, flip = int(rng.integers(4)), bool(rng.integers(2))

    def turn(part: Tensor | None) -> Tensor | None:
        if part is None:
            return None
        turned = np.rot90(part.numpy(), quarter, (-2, -1))
        return torch.from_numpy(np.ascontiguousarray(turned[..., ::-1] if flip else turned))

    return Batch(*map(turn, patch[:3]))  # type: ignore[arg-type]


def _mixed(rng: np.random.Generator, batch: Batch, share: float) -> Batch:
    """Paste a square of the patch before into a share of the patches, on average half of each."""
    if not share:
        return batch
    mixed = Batch(*(None if part is None else part.clone() for part in batch))  # type: ignore[arg-type]
    size = batch.labels.shape[-1]
    for patch in np.flatnonzero(rng.random(len(batch.labels)) < share):
        side = max(1, int(size * math.sqrt(rng.random())))
        top, left = rng.integers(size - side + 1, size=2)
        where = ..., slice(top, top + side), slice(left, left + side)
        for part, source in zip(mixed[:3], batch[:3], strict=True):
            if part is not None and source is not None:
                part[patch][where] = source[patch - 1][where]
    return mixed


def resized(patch: Patch, size: int, antialias: bool) -> Batch:
    """Resize a patch to `size` pixels a side, without a batch axis; bytes are rounded to bytes.

    Pixels are resampled bilinear, labels and heights nearest.
    """
    height, width = patch.labels.shape
    pixels = torch.from_numpy(patch.values)
    labels, heights = patch.labels, patch.heights
    if (height, width) != (size, size):
        smooth = antialias and max(height, width) > size
        pixels = F.interpolate(pixels[None], (size, size), mode="bilinear", antialias=smooth)[0]
        centers = np.arange(size) + 0.5
        rows, cols = (
            np.minimum((centers * n / size).astype(np.int64), n - 1) for n in (height, width)
        )
        labels = labels[rows][:, cols]
        heights = None if heights is None else heights[rows][:, cols]
    measured = None if heights is None else torch.from_numpy(heights)
    return Batch(pixels.float(), torch.from_numpy(labels.astype(np.int64)), measured)


def stacked(patches: Sequence[Batch]) -> Batch:
    """Join patches to a batch."""
    fields = zip(*patches, strict=True)
    joined: Any = (None if parts[0] is None else torch.stack(parts) for parts in fields)
    return Batch(*joined)


def class_shares(batches: BatchStream, count: int, classes: int) -> NDArray[np.float64]:
    """Return each class's share of the labels of the first `count` batches, float64 (classes,)."""
    found = np.zeros(256, np.int64)
    for number in range(count):
        found += np.bincount(batches.batch(number).labels.numpy().ravel(), minlength=256)
    shares: NDArray[np.float64] = found[:classes] / max(1, found[:classes].sum())
    return shares
