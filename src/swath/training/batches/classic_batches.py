"""Batches of the classic recipe: whole images and crops of them, neither turned nor recolored.

The source took its crops from the top left corner of an image only (`corner:N`); the default draws
as many at random from the whole grid of positions, which is the evident intent, and draws them anew
each epoch.
"""

from __future__ import annotations

import math

import numpy as np

from swath.geo.tiling import Window
from swath.training.batches.patches import Batch, BatchStream, resized, stacked
from swath.training.batches.sampler import PatchSampler
from swath.training.recipes import Recipe

CROP_STEP = 16
"""Pixels between two positions of a crop."""


class ClassicBatches(BatchStream):
    """Epochs of whole images and crops, in an order drawn anew each epoch.

    The images are the samples. A `balance` of the recipe below 1 draws crops by class.
    """

    def __init__(self, sampler: PatchSampler, recipe: Recipe, seed: int) -> None:
        super().__init__(sampler, recipe, seed)
        self._patches = len(sampler.samples) * (1 + recipe.crops)

    @property
    def epoch(self) -> int:
        """Batches that hold each whole image once and `crops` crops an image."""
        return math.ceil(self._patches / self.recipe.batch)

    def batch(self, number: int) -> Batch:
        """Return batch `number`; the last of an epoch is filled from the next epoch."""
        first = number * self.recipe.batch
        numbers = range(first, first + self.recipe.batch)
        return stacked([self._patch(*divmod(n, self._patches)) for n in numbers])

    def _patch(self, epoch: int, position: int) -> Batch:
        order = np.random.default_rng([self.seed, epoch]).permutation(self._patches)
        number = int(order[position])
        sample = self.sampler.samples[number // (1 + self.recipe.crops)]
        crop, size = number % (1 + self.recipe.crops) - 1, self.recipe.patch
        if crop < 0:
            whole = self.sampler.read(sample.image, sample.window)
            return resized(whole, size, antialias=False)
        rng = np.random.default_rng([self.seed, epoch, number])
        if self.recipe.corner:
            row, col = divmod(crop, math.ceil(math.sqrt(self.recipe.crops)))
        elif self.recipe.balance < 1:
            sample, *pixel = self.sampler.draw(rng)
            row, col = (
                _position_of(rng, at, length, size)
                for at, length in zip(pixel, _sides(sample.window), strict=True)
            )
        else:
            row, col = (int(rng.integers(_positions(n, size))) for n in _sides(sample.window))
        top, left = sample.window.row + row * CROP_STEP, sample.window.col + col * CROP_STEP
        patch = self.sampler.read(sample.image, Window(top, left, size, size))
        return resized(patch, size, antialias=False)


def _sides(window: Window) -> tuple[int, int]:
    return window.height, window.width


def _positions(length: int, size: int) -> int:
    """Return how many crops lie side by side along an image: 57 of 128 pixels along 1024."""
    return max(1, (length - size) // CROP_STEP + 1)


def _position_of(rng: np.random.Generator, pixel: int, length: int, size: int) -> int:
    """Draw a position whose crop shows a pixel."""
    last = _positions(length, size) - 1
    first_shown, last_shown = math.ceil((pixel - size + 1) / CROP_STEP), pixel // CROP_STEP
    low, high = min(last, max(0, first_shown)), min(last, max(0, last_shown))
    return int(rng.integers(low, high + 1))
