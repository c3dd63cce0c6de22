"""The classic recipe's views: each image as a whole and crops of it, 128 pixels a side, neither turned nor recolored.

The source took its crops from the top left corner of an image only (`corner:N`); the default draws
as many at random from the whole grid of positions, which is the evident intent, and draws them anew
each epoch.
"""

from __future__ import annotations

import math

import numpy as np

from swath.geo.tiling import Window
from swath.training.patches import Batch, Batches, resized, stacked
from swath.training.recipes import Recipe
from swath.training.sampler import PatchSampler

STRIDE = 16
"""Pixels between two positions of a crop."""


class ClassicViews(Batches):
    """Epochs of whole images and crops, in an order drawn anew each epoch.

    Args:
        ground: what is learnt from; its samples are the images.
        recipe: `patch` is the side of a view, `crops` their number an image, `corner` whether they
            come from the corner, `balance` below 1 draws crops by class.
        seed: of all draws.
        start: number of the first batch.
    """

    def __init__(self, ground: PatchSampler, recipe: Recipe, seed: int, start: int = 0) -> None:
        super().__init__(ground, recipe, seed, start)
        self._views = len(ground.samples) * (1 + recipe.crops)

    @property
    def epoch(self) -> int:
        """Batches that hold each whole image once and `crops` crops an image."""
        return math.ceil(self._views / self.recipe.batch)

    def batch(self, number: int) -> Batch:
        """Return batch `number`; the last of an epoch begins the next, so that all are of one size."""
        first = number * self.recipe.batch
        return stacked(
            [self._view(*divmod(n, self._views)) for n in range(first, first + self.recipe.batch)]
        )

    def _view(self, epoch: int, place: int) -> Batch:
        order = np.random.default_rng([self.seed, epoch]).permutation(self._views)
        view = int(order[place])
        sample = self.ground.samples[view // (1 + self.recipe.crops)]
        crop = view % (1 + self.recipe.crops) - 1
        if crop < 0:
            return resized(
                self.ground.read(sample.image, sample.window), self.recipe.patch, antialias=False
            )
        rng = np.random.default_rng([self.seed, epoch, view])
        row = col = 0
        if self.recipe.corner:
            row, col = divmod(crop, math.ceil(math.sqrt(self.recipe.crops)))
        elif self.recipe.balance < 1:
            sample, *spot = self.ground.draw(rng)
            row, col = (
                _showing(rng, at, n, self.recipe.patch)
                for at, n in zip(spot, _sides(sample.window), strict=True)
            )
        else:
            row, col = (
                int(rng.integers(_positions(n, self.recipe.patch))) for n in _sides(sample.window)
            )
        size, inside = self.recipe.patch, sample.window
        window = Window(inside.row + row * STRIDE, inside.col + col * STRIDE, size, size)
        return resized(self.ground.read(sample.image, window), size, antialias=False)


def _sides(window: Window) -> tuple[int, int]:
    return window.height, window.width


def _positions(length: int, size: int) -> int:
    """Return how many crops lie side by side along an image: 57 of 128 pixels along 1024."""
    return max(1, (length - size) // STRIDE + 1)


def _showing(rng: np.random.Generator, spot: int, length: int, size: int) -> int:
    """Draw a position whose crop shows a pixel."""
    last = _positions(length, size) - 1
    low, high = (
        min(last, max(0, at)) for at in (math.ceil((spot - size + 1) / STRIDE), spot // STRIDE)
    )
    return int(rng.integers(low, high + 1))
