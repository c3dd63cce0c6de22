"""Recipes: named sets of training settings, which the model card records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from swath.options import TrainOptions
from swath.types import ClassWeights, Heads, Loss


@dataclass(frozen=True)
class Recipe:
    """Training settings.

    Attributes:
        sampling: `patches` (random windows at random scales) or `classic` (whole images and crops).
        patch: side of a training patch, in network pixels.
        batch: patches a step.
        scales: smallest and largest zoom of a patch (2 doubles the size of objects); drawn
            log-uniformly.
        scales_known: the same where the images' ground sampling distance is known, so that objects
            keep their size.
        crops: classic sampling: crops an image and epoch.
        corner: classic sampling: crops come from the top left corner only.
        balance: classes are drawn by their pixels to this power: 1 as they are, 0 all alike.
        optimizer: `adamw` (Loshchilov and Hutter 2019) or `adam` (Kingma and Ba 2015).
        schedule: `cosine` (after a warm-up, to 0) or `constant`.
        rate: peak learning rate.
        warm_up: share of the training that the warm-up takes.
        decay: weight decay.
        clip: largest norm of the gradient; 0 for any.
        epochs: length of a training for which no other is given; 0 where it is given in minutes.
        loss: a term for pixels, cross-entropy or focal (Lin et al. 2017), and one for regions, soft
            Dice (Milletari et al. 2016).
        region: weight of the term for regions.
        class_weights: of the term for pixels: all alike, by the effective number of pixels (Cui et
            al. 2019), or by the inverse square root of a class's share.
        heads: `softmax`, where classes exclude each other, or `per-class`, one sigmoid mask a
            class.
        heights: whether heights above ground are trained too.
        height_weight: weight of the loss of heights (smooth L1, in units of ten meters).
        mixed: share of the patches that show, in a square of random size, what another patch of
            the batch shows (CutMix, Yun et al. 2019).
        turns: whether patches are turned and mirrored.
        brightness: largest shift of a patch's brightness, in standard deviations.
        contrast: largest relative change of a patch's contrast, and of each band's.
        network: `encoder` (a pretrained encoder with a decoder), `classic` (the plain U-Net) or
            `hypercolumn` (features of a frozen encoder with a small head).
        widths: channels of the U-Net decoder from deep to shallow; it ends at half resolution.
        pixel_width: hidden channels of the pixel branch, which sees single pixels at full
            resolution; 0 for none.
        pixel_steps: steps of the pre-training of the pixel branch.
    """

    sampling: Literal["patches", "classic"] = "patches"
    patch: int = 128
    batch: int = 16
    scales: tuple[float, float] = (0.5, 2.0)
    scales_known: tuple[float, float] = (0.75, 1.33)
    crops: int = 16
    corner: bool = False
    balance: float = 0.5
    optimizer: Literal["adamw", "adam"] = "adamw"
    schedule: Literal["cosine", "constant"] = "cosine"
    rate: float = 1e-3
    warm_up: float = 0.05
    decay: float = 0.01
    clip: float = 1.0
    epochs: int = 0
    loss: Loss = "ce+dice"
    region: float = 0.5
    class_weights: ClassWeights = "none"
    heads: Heads = "softmax"
    heights: bool = False
    height_weight: float = 0.05
    mixed: float = 0.5
    turns: bool = True
    brightness: float = 0.1
    contrast: float = 0.1
    network: Literal["encoder", "classic", "hypercolumn"] = "encoder"
    widths: tuple[int, int, int, int] = (128, 64, 48, 32)
    pixel_width: int = 32
    pixel_steps: int = 1000

    def but(self, **given: Any) -> Recipe:
        """Return this recipe with other values, except where they are None."""
        return replace(self, **{key: value for key, value in given.items() if value is not None})


CLASSIC_RECIPE = Recipe(
    sampling="classic",
    patch=128,
    batch=32,
    balance=1.0,
    optimizer="adam",
    schedule="constant",
    decay=0.0,
    clip=0.0,
    epochs=10,
    loss="ce",
    brightness=0.0,
    contrast=0.0,
    network="classic",
    pixel_width=0,
)
"""The U-Net of an entry to the 2019 IEEE Data Fusion Contest, a baseline.

benchmarks/reports/recipes.md says what was chosen where its source is silent.
"""

QUICK_RECIPE = Recipe(network="hypercolumn", pixel_width=0)
"""A head on frozen features, for a few labels; see `swath.training.quick`."""

RECIPES = {"default": Recipe(), "classic": CLASSIC_RECIPE, "quick": QUICK_RECIPE}


def recipe_of(options: TrainOptions) -> Recipe:
    """Return the recipe of a training, with the settings that its options change."""
    place, _, crops = (options.classic_crops or "").rpartition(":")
    return RECIPES[options.recipe].but(
        balance=options.balance,
        loss=options.loss,
        class_weights=options.class_weights,
        heads=options.heads,
        heights=options.heights or None,
        corner=place == "corner" if place else None,
        crops=int(crops) if crops else None,
    )
