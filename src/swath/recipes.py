"""Recipes: named sets of training settings. A setting lives here once; the card records the recipe's name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How a network is taught.

    Attributes:
        patch: side of a training patch, in network pixels.
        batch: patches a step.
        scales: smallest and largest zoom of a patch (2 shows the ground twice as large); drawn log-uniformly.
        scales_known: the same where the images' ground sampling distance is known, so that objects keep their size.
        balance: classes are drawn by their pixels to this power: 1 as they are, 0 all alike.
        rate: peak learning rate of AdamW (Loshchilov and Hutter 2019), reached after warm-up, then cosine to 0.
        warm_up: share of the training that the warm-up takes.
        decay: weight decay.
        dice: weight of the soft Dice loss (Milletari et al. 2016) beside cross-entropy.
        brightness: largest shift of a patch's brightness, in standard deviations.
        contrast: largest relative change of a patch's contrast, and of each band's.
        widths: channels of the U-Net decoder from deep to shallow; it ends at half resolution.
        pixel_width: hidden channels of the branch that sees single pixels at full resolution; 0 for none.
        pixel_speed: how many times faster than the rest that branch learns.
    """

    patch: int = 256
    batch: int = 4
    scales: tuple[float, float] = (0.4, 1.4)
    scales_known: tuple[float, float] = (0.75, 1.33)
    balance: float = 0.5
    rate: float = 1e-3
    warm_up: float = 0.05
    decay: float = 0.01
    dice: float = 0.5
    brightness: float = 0.3
    contrast: float = 0.2
    widths: tuple[int, int, int, int] = (128, 64, 48, 32)
    pixel_width: int = 32
    pixel_speed: float = 10.0


RECIPES = {"default": Recipe()}
