"""Train by the quick recipe: choose features, fit the head, score it by folds, pack it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swath.data.dataset import Dataset, Manifest
from swath.errors import DataError
from swath.evaluation.halo import receptive_halo
from swath.geo.tiling import Window
from swath.inference.runtimes import TorchRuntime
from swath.inference.tiled import read_scaled
from swath.metrics.confusion import Scores, confusion_matrix
from swath.models.card import Calibration, FoldScores
from swath.models.hypercolumn import HIDDEN, HYPERCOLUMN, LOCAL
from swath.models.network import Network, NetworkSpec, input_scaling, load_encoder_weights
from swath.options import TrainOptions
from swath.progress import task
from swath.training.export import TrainedNetwork, pack_model
from swath.training.quick.folds import assign_folds, score_held_out
from swath.training.quick.forest import with_forest
from swath.training.quick.heads import Heads, HeadSchedule, fit_heads, held_out_scores
from swath.training.quick.pixels import PixelTable, around, body_of, fill_of, read_pixels
from swath.training.recipes import QUICK_RECIPE
from swath.training.result import ClassSampling, TrainResult, class_pixels
from swath.types import PixelFeatures

SCHEDULE = HeadSchedule(steps=200, batch=2048)

FOLD_SCHEDULE = HeadSchedule(steps=100, batch=1024)
"""Of the heads of the folds."""

MAX_LOCAL_BANDS = 32
"""Images of more bands, such as embeddings, are described by their bands alone."""

PRIOR_POWER = 0.4
"""Part of the estimated shares of the classes that the scores heed, as a power of them."""

EM_ROUNDS = 20
"""Rounds of the estimate of the shares."""

LEAST_SHARE = 1e-3
"""Is added to the shares of the classes, so that none is ruled out."""

ABSENT_SCORE = -30.0
"""Is added to the scores of a class without a label."""

SAMPLE_SIDE = 64
"""Side of the pixels on which engines are compared."""

_RGB = ("red", "green", "blue")


@dataclass(frozen=True)
class QuickHead:
    """A head, its features, and its scores on labels that were held out in turn.

    Attributes:
        features: what describes a pixel.
        heads: the head that was fitted on all labels.
        prior: what is added to the scores of each class, (classes,), by the estimated shares.
        folds: scores; None where a class has a single group of labels.
        calibration: of the scores of held-out labels; None likewise.
    """

    features: PixelFeatures
    heads: Heads
    prior: Tensor
    folds: FoldScores | None
    calibration: Calibration | None


def train_quick(options: TrainOptions, dataset: Dataset) -> TrainResult:
    """Train the network of the quick recipe, and pack it into a model file.

    Raises:
        DataError: fewer than two classes have a label in the training split.
        JobError: the weights of the encoder are missing, or the file cannot be written.
        ModelError: they do not fit it.
        UsageError: the encoder has no feature maps.
    """
    started = time.monotonic()
    manifest = dataset.manifest
    kinds = candidates(manifest)
    network, origin = quick_network(manifest, options.encoder, options.weights, kinds[-1])
    with task("Reading features", 1.0, "images") as bar:
        table = read_pixels(dataset, network, options.seed, bar.advance)
    if len(torch.unique(table.labels)) < 2:
        raise DataError(
            "The training split has labels of fewer than two classes",
            code="one-class",
            file=dataset.folder,
            fix="Label a second class, or run `swath prepare` with --val none --test none",
        )
    head = fit_quick(table, network, kinds, len(manifest.legend.trained), options.seed)
    network = with_head(network, head)
    trained = TrainedNetwork(
        network,
        QUICK_RECIPE,
        "none" if network.encoder is None else origin,
        "32-true",
        SCHEDULE.steps,
        time.monotonic() - started,
        _sample_pixels(dataset, network.stride),
        tiles=receptive_halo(TorchRuntime(network), len(manifest.bands), network.stride),
        calibration=head.calibration,
        folds=head.folds,
    )
    card = pack_model(options, dataset, trained)
    pixels, classes = class_pixels(dataset), manifest.legend.trained
    shares = table.weights
    return TrainResult(
        model=str(options.model),
        seconds=trained.seconds,
        steps=SCHEDULE.steps,
        pixels_per_second=SCHEDULE.steps * SCHEDULE.batch / trained.seconds,
        waited=0.0,
        validation_miou=None,
        first_weights=trained.first_weights,
        parameters=card.parameters,
        sampling=[
            ClassSampling(
                name=c.name,
                share=pixels[i] / sum(pixels),
                drawn=float(shares[table.labels == i].sum() / shares.sum()),
            )
            for i, c in enumerate(classes)
        ],
        features=head.features,
        folds=head.folds,
    )


def candidates(manifest: Manifest) -> list[PixelFeatures]:
    """Return what may describe a pixel; the last one includes all others.

    The encoder's filters are made for photographs. For other images folds over the labels decide.
    """
    bands = len(manifest.bands)
    if manifest.dtype == "uint8" and bands == 3:
        return ["encoder"]
    if bands > MAX_LOCAL_BANDS:
        return ["bands"]
    return ["bands", "local", "encoder", "encoder-local"]


def quick_network(
    manifest: Manifest, encoder: str, weights: str, features: PixelFeatures
) -> tuple[Network, str]:
    """Build the network with the encoder's weights; return it and their origin."""
    names = [band.name.lower() for band in manifest.bands]
    last = len(names) - 1
    rgb = [names.index(n) if n in names else min(i, last) for i, n in enumerate(_RGB)]
    mean, std = [b.mean for b in manifest.bands], [b.std for b in manifest.bands]
    if features == "encoder":
        mean, std = ([255 * v for v in part] for part in input_scaling(encoder))
    spec = NetworkSpec(
        encoder,
        HYPERCOLUMN,
        len(manifest.legend.trained),
        tuple(mean),
        tuple(std),
        (HIDDEN,) * 4,
        0,
        features=features,
        rgb=(rgb[0], rgb[1], rgb[2]),
    )
    network = Network(spec).eval()
    if network.encoder is None:
        return network, "none"
    return network, load_encoder_weights(network, encoder, weights)


def fit_quick(
    table: PixelTable, network: Network, kinds: Sequence[PixelFeatures], classes: int, seed: int
) -> QuickHead:
    """Choose the features by folds, and fit the head.

    Args:
        table: features of labeled pixels, of the last of `kinds`.
        network: describes pixels by them.
        kinds: what may describe a pixel.
        classes: number of classes.
        seed: of weights and draws.
    """
    folds = assign_folds(table.labels, table.groups)
    tables = {kind: table.columns(columns_of(network, kind)) for kind in kinds}
    chosen = kinds[-1]
    scored: tuple[FoldScores, Calibration] | tuple[None, None] = (None, None)
    with task("Fitting", float(1 if folds is None else 1 + len(kinds)), "heads") as bar:
        if folds is not None:
            how = folds, classes, FOLD_SCHEDULE, seed, bar.advance
            held_out = {kind: held_out_scores(tables[kind], *how) for kind in kinds}
            chosen = max(kinds, key=lambda kind: _miou(held_out[kind], table.labels))
            count = int(folds.max()) + 1
            found = score_held_out(held_out[chosen], table.labels, table.groups, count)
            bands = table.columns(columns_of(network, "bands")).features
            given = bands, table.labels, table.groups, folds, seed
            scored = with_forest(found[0], *given), found[1]
        own = tables[chosen]
        heads = fit_heads(own, own.weights[None], classes, SCHEDULE, seed, bar.advance)
    absent = torch.bincount(table.labels, minlength=classes) == 0
    prior = estimated_prior(heads.scores(own.others), absent)
    return QuickHead(chosen, heads, prior, *scored)


def columns_of(network: Network, features: PixelFeatures) -> list[int]:
    """Return which of a network's features, by stride, are those of a kind."""
    bands, channels = len(network.spec.mean), body_of(network).channels
    pixel = bands
    if features in ("local", "encoder-local"):
        pixel *= 1 + 2 * len(LOCAL)
    columns, start = list(range(pixel)), channels[1]
    if features in ("encoder", "encoder-local"):
        columns += range(start, sum(channels.values()))
    return columns


def _miou(scores: Tensor, labels: Tensor) -> float:
    predicted = scores.argmax(1).numpy().astype(np.uint8)
    reference = labels.numpy().astype(np.uint8)
    return Scores.of(confusion_matrix(reference, predicted, scores.shape[1])).miou


def estimated_prior(scores: Tensor, absent: Tensor) -> Tensor:
    """Return what is added to class scores, (classes,), because classes have unequal areas.

    The head is fitted on as many pixels of each class. The shares in the images are estimated by
    expectation maximization (Saerens, Latinne and Decaestecker 2002, "Adjusting the outputs of a
    classifier to new a priori probabilities"), and heeded with the power `PRIOR_POWER`, as they
    are uncertain themselves. Classes without a label are never mapped.

    Args:
        scores: of pixels from everywhere (n, classes).
        absent: whether a class has no label, bool (classes,).
    """
    known = (~absent).float()
    uniform = known / known.sum()
    scores = scores.masked_fill(absent, -torch.inf)
    likely = torch.softmax(scores, 1)
    shares = uniform
    for _ in range(EM_ROUNDS):
        posterior = likely * (shares / uniform.clamp(min=1e-9))
        shares = (posterior / posterior.sum(1, keepdim=True)).mean(0)
    shift = PRIOR_POWER * ((shares + LEAST_SHARE).log() - (uniform + LEAST_SHARE).log())
    return torch.where(absent, torch.tensor(ABSENT_SCORE), shift)


def with_head(network: Network, head: QuickHead) -> Network:
    """Return the network of the chosen features with its head."""
    if network.spec.features != head.features:
        wide, network = network, Network(replace(network.spec, features=head.features)).eval()
        if network.encoder is not None:
            network.encoder.load_state_dict(wide.encoder.state_dict())
    install(network, head.heads, head.prior)
    return network


def install(network: Network, heads: Heads, prior: Tensor) -> None:
    """Put the first of some heads into a network, with its scaling and prior.

    Args:
        network: of the features that the head was fitted on; it is changed.
        heads: its head 0 is taken.
        prior: is added to the scores of each class, (classes,).
    """
    body = body_of(network)
    first = heads.first[0] / heads.std[:, None]
    bias = heads.first_bias[0, 0] - heads.mean @ first
    start = 0
    with torch.no_grad():
        for stride, count in body.channels.items():
            body.layer(stride).weight.copy_(first[start : start + count].T[..., None, None])
            start += count
        cast(Tensor, body.layer(1).bias).copy_(bias)
        body.last.weight.copy_(heads.last[0].T[..., None, None])
        cast(Tensor, body.last.bias).copy_(heads.last_bias[0, 0] + prior)


def _sample_pixels(dataset: Dataset, stride: int) -> NDArray[np.float32]:
    """Return pixels (1, bands, rows, columns) of a training image, to compare engines on."""
    sample = dataset.manifest.of("train")[0]
    corner = Window(sample.window.row, sample.window.col, SAMPLE_SIDE, SAMPLE_SIDE)
    window, fill = around(corner, sample.window, 0), fill_of(dataset)
    values = read_scaled(dataset.images[sample.image], window, Fraction(1), fill).values
    sides = [(0, -n % stride) for n in values.shape[1:]]
    return np.pad(values, [(0, 0), *sides], mode="edge")[None]
