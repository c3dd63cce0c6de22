"""A full training on few labels is averaged with the quick recipe on the same labels.

Both err in other places: the network knows shapes and context, the head on frozen features fits
few labels without forgetting. The network's scores are smoothed first, as those of its branch of
single pixels differ much from pixel to pixel where labels are few.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swath.data.dataset import Dataset
from swath.errors import UsageError
from swath.geo.tiling import Window, iter_blocks
from swath.inference.tiled import predict_window
from swath.models.network import Network
from swath.options import TrainOptions
from swath.progress import task
from swath.training.export import predictor_of
from swath.training.quick.pixels import BLOCK, body_of, read_pixels, training_areas
from swath.training.quick.recipe import candidates, fit_quick, quick_network, with_head
from swath.training.recipes import Recipe
from swath.training.result import class_pixels
from swath.types import PixelFeatures

FEW_PIXELS = 50_000
"""Labeled pixels that are few, at most: 75 squares of 16 pixels a side have 19 200."""

MAX_SHARE = 0.25
"""Share of the pixels that training may read that few labels cover, at most."""

QUICK_WEIGHT = 0.7
"""Weight of the quick recipe's scores; the rest is that of the network."""

SMOOTHING = 5
"""Side of the squares over which the network's scores are averaged, twice."""

SAMPLED_BLOCKS, SAMPLED_STEP = 4, 7
"""Blocks of which the mean confidence is taken, and the step between their pixels."""

TEMPERATURES = 0.25, 8.0
"""Least and largest temperature of the scores."""

_JOINED: dict[PixelFeatures, PixelFeatures] = {
    "bands": "model",
    "encoder": "encoder-model",
    "encoder-local": "encoder-local-model",
}
"""What describes a pixel for the quick recipe, and what with the network besides."""


def has_few_labels(options: TrainOptions, dataset: Dataset, recipe: Recipe) -> bool:
    """Return whether a training is to be averaged with the quick recipe."""
    labeled, areas = class_pixels(dataset), training_areas(dataset)
    plain = (recipe.network, recipe.sampling, recipe.heads) == ("encoder", "patches", "softmax")
    return bool(
        plain
        and options.from_ is None
        and not recipe.heights
        and options.weights != "none"
        and np.count_nonzero(labeled) > 1
        and sum(labeled) < min(FEW_PIXELS, MAX_SHARE * sum(window.size for _, window in areas))
    )


class QuickPart:
    """The network of the quick recipe, fitted to the labels of a dataset.

    Args:
        options: of the training.
        dataset: has few labels.

    Raises:
        JobError: the weights of the encoder are missing.
        UsageError: the encoder has no feature maps of stride 8.
    """

    def __init__(self, options: TrainOptions, dataset: Dataset) -> None:
        manifest = dataset.manifest
        kinds = [kind for kind in candidates(manifest) if kind in _JOINED]
        given = manifest, options.encoder, options.weights, kinds[-1]
        network, _ = quick_network(*given)
        with task("Reading features", 1.0, "images") as bar:
            table = read_pixels(dataset, network, options.seed, bar.advance)
        self._dataset = dataset
        self.head = fit_quick(table, network, kinds, len(manifest.legend.trained), options.seed)
        self.network = with_head(network, self.head)

    def joined(self, network: Network) -> Network:
        """Return one network whose scores are a weighted mean of these and a network's.

        They are scaled so that the mean confidence is that of the quick recipe, which folds over
        the labels have calibrated. The network itself saw all labels, and is too sure.
        """
        quick, kind = body_of(self.network), _JOINED[self.head.features]
        spec = replace(self.network.spec, features=kind, base=network.spec, smoothing=SMOOTHING)
        out = Network(spec).eval()
        body = body_of(out)
        if quick.encoder is not None:
            body.encoder.load_state_dict(quick.encoder.state_dict())
        cast(Network, body.base).load_state_dict(network.state_dict())
        calibration = self.head.calibration
        own = 1.0 if calibration is None else calibration.temperature
        with torch.no_grad():
            for stride in body.channels:
                layer = body.layer(stride)
                layer.weight.zero_()
                if stride in quick.channels:  # its features come first
                    known = quick.layer(stride)
                    layer.weight[:, : known.in_channels].copy_(known.weight)
            cast(Tensor, body.layer(1).bias).copy_(cast(Tensor, quick.layer(1).bias))
            body.last.weight.copy_(QUICK_WEIGHT * quick.last.weight)
            cast(Tensor, body.last.bias).copy_(QUICK_WEIGHT * cast(Tensor, quick.last.bias))
            body.answer.weight.copy_((1 - QUICK_WEIGHT) * torch.eye(spec.classes)[..., None, None])
            quick_scores, scores = self._sample(self.network), self._sample(out)
            if quick_scores is not None and scores is not None:
                out.gain /= temperature_for(scores, confidence_of(quick_scores, own))
        return out

    def _sample(self, network: Network) -> NDArray[np.float32] | None:
        """Return a network's scores of pixels of some blocks, (classes, n); None without data."""
        blocks, predictor = list(_blocks(self._dataset)), predictor_of(network, self._dataset)
        step = max(1, len(blocks) // SAMPLED_BLOCKS)
        parts: list[NDArray[np.float32]] = []
        used = 0
        for image, window in (block for i in range(step) for block in blocks[i::step]):
            before = len(parts)
            for part in predict_window(self._dataset.images[image], predictor, window):
                if part.scores is not None:
                    parts.append(part.scores[:, part.valid][:, ::SAMPLED_STEP])
            used += len(parts) > before
            if used == SAMPLED_BLOCKS:
                break
        return np.concatenate(parts, 1) if parts else None


def quick_part(options: TrainOptions, dataset: Dataset, recipe: Recipe) -> QuickPart | None:
    """Fit the quick recipe where labels are few; None where they are not or it has no features."""
    if not has_few_labels(options, dataset, recipe):
        return None
    try:
        return QuickPart(options, dataset)
    except UsageError:
        return None


def confidence_of(scores: NDArray[np.float32], temperature: float) -> float:
    """Return the mean probability of the highest of scores (classes, n) at a temperature."""
    highest = scores.max(0, keepdims=True)
    return float((1 / np.exp((scores - highest) / temperature).sum(0)).mean())


def temperature_for(scores: NDArray[np.float32], confidence: float) -> float:
    """Return the temperature at which scores (classes, n) have a mean confidence."""
    low, high = TEMPERATURES
    for _ in range(30):
        middle = math.sqrt(low * high)
        if confidence_of(scores, middle) > confidence:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


def _blocks(dataset: Dataset) -> Iterator[tuple[int, Window]]:
    """Yield images and blocks of them that training may read, those without a label, too."""
    for image, area in training_areas(dataset):
        for _, part in iter_blocks(area.height, area.width, BLOCK):
            yield image, Window(part.row + area.row, part.col + area.col, part.height, part.width)
