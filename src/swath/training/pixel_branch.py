"""Pre-train the branch of single pixels, in seconds, before the whole network is trained."""

from __future__ import annotations

import math
import time
from typing import cast

import torch
from torch import Tensor, nn

from swath.legend import IGNORE
from swath.models.network import Network
from swath.training.batches.patches import BatchStream
from swath.training.losses import RecipeLoss

MIN_PATCHES, MAX_PATCHES = 32, 256
"""Patches of which pixels are drawn; between them, as many as the steps can use."""

PIXELS_PER_PATCH = 2**11
"""Pixels of a patch that are drawn, at most."""

MAX_VALUES = 2**25
"""Values of all these pixels, at most: of many bands fewer pixels are drawn."""

DRAWING_SHARE = 0.5
"""Share of the time within which pixels are drawn."""

PIXELS_PER_STEP = 2**13

PEAK_RATE = 1e-2
"""Learning rate at the start, from which a cosine falls to 0."""

SLOPE = 2.0
"""Steepness of the edges that the hidden units start with, in standard deviations of the bands."""


def train_pixel_branch(
    network: Network, batches: BatchStream, loss: RecipeLoss, steps: int, seconds: float = math.inf
) -> float:
    """Initialize a network's pixel branch from the data, and train it alone for some steps.

    A training step sees few places, so rare colors are learned slowly from patches, if at all; here
    each step sees pixels of all training data. The norm of the branch takes the mean and deviation
    of these pixels; its first units start as edges in random directions through random pixels, so
    that they lie where colors are (similar to Bolager et al. 2023, "Sampling weights of deep neural
    networks").

    Args:
        network: changed in place; one without the branch is left as it is, and so is one for which
            no pixel is labeled.
        batches: training batches, of which pixels are drawn.
        loss: of the training.
        steps: 0 to initialize the branch only.
        seconds: limit of the time.

    Returns:
        Seconds that it took.
    """
    started = time.monotonic()
    if network.pixel is None:
        return 0.0
    random = torch.Generator().manual_seed(batches.seed)
    patches = min(max(MIN_PATCHES, steps * PIXELS_PER_STEP // PIXELS_PER_PATCH), MAX_PATCHES)
    until = started + DRAWING_SHARE * seconds
    values, labels, heights = _draw_pixels(batches, random, patches, until)
    if not len(labels):
        return time.monotonic() - started
    values = (values - network.mean.reshape(1, -1)) / network.std.reshape(1, -1)
    _initialize(network.pixel, values, random)
    optimizer = torch.optim.Adam(network.pixel.parameters(), lr=PEAK_RATE)
    for step in range(steps):
        spent = max(step / steps, (time.monotonic() - started) / seconds)
        if spent >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * 0.5 * (1 + math.cos(math.pi * spent))
        chosen = torch.randint(len(labels), (PIXELS_PER_STEP,), generator=random)
        scores = network.pixel(values[chosen].T[None, :, None]) * network.gain + network.offset
        measured = None if heights is None else heights[chosen][None, None]
        optimizer.zero_grad()
        loss(scores, labels[chosen][None, None], measured).backward()
        optimizer.step()
    optimizer.zero_grad()
    return time.monotonic() - started


def _draw_pixels(
    batches: BatchStream, random: torch.Generator, patches: int, until: float = math.inf
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Draw labeled pixels of the first patches: values (pixels, bands), labels and heights."""
    values, labels, heights = [], [], []
    for number in range(math.ceil(patches / batches.recipe.batch)):
        batch = batches.batch(number)
        limit = max(1, min(PIXELS_PER_PATCH, MAX_VALUES // (patches * batch.pixels.shape[1])))
        for patch in range(len(batch.pixels)):
            known = (batch.labels[patch] != IGNORE).flatten().nonzero()[:, 0]
            chosen = known[torch.randperm(len(known), generator=random)[:limit]]
            values.append(batch.pixels[patch].flatten(1)[:, chosen].T)
            labels.append(batch.labels[patch].flatten()[chosen])
            if batch.heights is not None:
                heights.append(batch.heights[patch].flatten()[chosen])
        if time.monotonic() > until:
            break
    return torch.cat(values), torch.cat(labels), torch.cat(heights) if heights else None


@torch.no_grad()
def _initialize(branch: nn.Sequential, values: Tensor, random: torch.Generator) -> None:
    """Set the norm to the pixels' statistics, and the first layer to edges through some of them."""
    norm, first = cast(nn.BatchNorm2d, branch[0]), cast(nn.Conv2d, branch[1])
    cast(Tensor, norm.running_mean).copy_(values.mean(0))
    cast(Tensor, norm.running_var).copy_(values.var(0, unbiased=False))
    units, bands = first.weight.shape[:2]
    directions = torch.randn(units, bands, generator=random)
    directions *= SLOPE / directions.norm(dim=1, keepdim=True)
    chosen = torch.randint(len(values), (units,), generator=random)
    through = norm(values[chosen].T[None, :, None])[0, :, 0].T
    first.weight.copy_(directions[..., None, None])
    cast(Tensor, first.bias).copy_(-(directions * through).sum(1))
