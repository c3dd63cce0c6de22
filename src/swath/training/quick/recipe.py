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
from swath.evaluation.halo import MeasuredHalo, receptive_halo
from swath.geo.tiling import Window
from swath.inference.runtimes import TorchRuntime
from swath.inference.tiled import read_scaled
from swath.metrics.confusion import Scores, confusion_matrix
from swath.models.card import Calibration, FoldScores
from swath.models.hypercolumn import HIDDEN, HYPERCOLUMN, PARTS, STAGES, Hypercolumn
from swath.models.network import Network, NetworkSpec, input_scaling, load_encoder_weights
from swath.options import TrainOptions
from swath.progress import task
from swath.training.export import TrainedNetwork, pack_model
from swath.training.quick.adapt import adapted_network, base_weights, open_base
from swath.training.quick.folds import (
    assign_folds,
    classes_in_one_group,
    score_held_out,
)
from swath.training.quick.forest import with_forest
from swath.training.quick.heads import (
    BaseScores,
    Heads,
    HeadSchedule,
    fit_heads,
    held_out_scores,
    zero_heads,
)
from swath.training.quick.pixels import (
    CONTEXT,
    PixelTable,
    around,
    body_of,
    fill_of,
    read_pixels,
    rgb_bands,
)
from swath.training.recipes import QUICK_RECIPE
from swath.training.result import ClassSampling, Comparison, TrainResult, class_pixels
from swath.types import Adapted, PixelFeatures

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


@dataclass(frozen=True)
class QuickHead:
    """A head, its features, and its scores on labels that were held out in turn.

    Attributes:
        features: what describes a pixel.
        heads: the head that was fitted on all labels.
        prior: what is added to the scores of each class, (classes,), by the estimated shares.
        adapted: what was taken to adapt a model; None without one.
        compared: scores of what might have been taken; None without folds.
        folds: scores; None where a class has a single group of labels.
        calibration: of the scores of held-out labels; None likewise.
    """

    features: PixelFeatures
    heads: Heads
    prior: Tensor
    adapted: Adapted | None
    compared: Comparison | None
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
    manifest, context, score_weights = dataset.manifest, CONTEXT, None
    kinds = candidates(manifest)
    if options.from_ is None:
        network, origin = quick_network(manifest, options.encoder, options.weights, kinds[-1])
    else:
        base = open_base(options.from_, manifest)
        network, origin, kinds = adapted_network(base, manifest, kinds, options.weights)
        dataset, context = dataset.at_gsd(base.card.gsd), max(context, base.card.halo)
        score_weights = base_weights(base, manifest.legend.names)
    with task("Reading features", 1.0, "images") as bar:
        table = read_pixels(dataset, network, options.seed, bar.advance, context)
    if len(torch.unique(table.labels)) < 2:
        raise DataError(
            "The training split has labels of fewer than two classes",
            code="one-class",
            file=dataset.folder,
            fix="Label a second class, or run `swath prepare` with --val none --test none",
        )
    head = fit_quick(
        table, network, kinds, len(manifest.legend.trained), options.seed, score_weights
    )
    network = with_head(network, head)
    trained = TrainedNetwork(
        network,
        QUICK_RECIPE,
        "none" if network.encoder is None and score_weights is None else origin,
        "32-true",
        SCHEDULE.steps,
        time.monotonic() - started,
        _sample_pixels(dataset, network.stride),
        tiles=None if body_of(network).base is not None else _halo_of(network),
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
        adapted=head.adapted,
        compared=head.compared,
        folds=head.folds,
        in_one_place=[classes[i].name for i in classes_in_one_group(table.labels, table.groups)],
    )


def _halo_of(network: Network) -> MeasuredHalo:
    return receptive_halo(TorchRuntime(network), len(network.spec.mean), network.stride)


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
        rgb=rgb_bands(manifest),
    )
    network = Network(spec).eval()
    if network.encoder is None:
        return network, "none"
    return network, load_encoder_weights(network, encoder, weights)


def fit_quick(
    table: PixelTable,
    network: Network,
    kinds: Sequence[PixelFeatures],
    classes: int,
    seed: int,
    score_weights: Tensor | None = None,
) -> QuickHead:
    """Choose the features by folds, and fit the head.

    Args:
        table: features of labeled pixels, of the last of `kinds`.
        network: describes pixels by them.
        kinds: what may describe a pixel.
        classes: number of classes.
        seed: of weights and draws.
        score_weights: weights of the scores of a model that is adapted; see `base_weights`.
    """
    folds = assign_folds(table.labels, table.groups)
    described: set[PixelFeatures] = {*kinds, "model"} if score_weights is not None else {*kinds}
    tables = {kind: table.columns(columns_of(network, kind)) for kind in described}
    bases = {kind: placed_base(score_weights, network, kind, tables[kind]) for kind in described}
    chosen, unchanged = kinds[-1], False
    compared: Comparison | None = None
    scored: tuple[FoldScores, Calibration] | tuple[None, None] = (None, None)
    with task("Fitting", float(1 if folds is None else 1 + len(kinds)), "heads") as bar:
        if folds is not None:
            how = folds, classes, FOLD_SCHEDULE, seed, bar.advance
            held_out = {k: held_out_scores(tables[k], *how, bases[k]) for k in kinds}
            miou = {kind: _miou(held_out[kind], table.labels) for kind in kinds}
            best = max(kinds, key=lambda kind: miou[kind])
            chosen = best if score_weights is None else chosen
            found = held_out[chosen]
            if (extra := bases.get("model")) is not None:
                as_it_is = tables["model"].features @ extra.weights
                before = _miou(as_it_is, table.labels)
                alone = max((miou[k] for k in kinds if bases[k] is None), default=0.0)
                compared = Comparison(unchanged=before, corrected=miou[chosen], labels=alone)
                unchanged = before > miou[chosen]
                chosen, found = ("model", as_it_is) if unchanged else (chosen, found)
            count = int(folds.max()) + 1
            found_scores, calibration = score_held_out(found, table.labels, table.groups, count)
            bands = table.columns(columns_of(network, "bands")).features
            yardstick = bands, table.labels, table.groups, folds, seed
            scored = with_forest(found_scores, *yardstick), calibration
        own, extra = tables[chosen], bases[chosen]
        if unchanged and extra is not None:
            heads = zero_heads(extra.weights)
        else:
            optional = coarse_features(network, chosen) if folds is None else None
            last = classes, replace(SCHEDULE, optional=optional), seed, bar.advance, extra
            heads = fit_heads(own, own.weights[None], *last)
    absent = torch.bincount(table.labels, minlength=classes) == 0
    if extra is not None:
        absent &= (extra.weights == 0).all(0)
    prior = absent * ABSENT_SCORE
    if extra is None:
        in_one = classes_in_one_group(table.labels, table.groups)
        prior = estimated_prior(heads.scores(own.others), absent, in_one)
    adapted: Adapted | None = None
    if score_weights is not None:
        adapted = "unchanged" if unchanged else "corrected"
    return QuickHead(chosen, heads, prior, adapted, compared, *scored)


def placed_base(
    score_weights: Tensor | None, network: Network, features: PixelFeatures, table: PixelTable
) -> BaseScores | None:
    """Return the scores of a model that heads add to; None for features that are not of it.

    Args:
        score_weights: weights of the model's scores (scores, classes); None without a model.
        network: describes pixels by all features.
        features: which of them heads take.
        table: these features.
    """
    if score_weights is None or "scores" not in PARTS[features]:
        return None
    own = [part for part in body_of(network).parts if part[0] in PARTS[features]]
    empty = torch.zeros(1, score_weights.shape[1])
    rows = [score_weights if part == "scores" else empty.expand(n, -1) for part, _, n in own]
    return BaseScores(torch.cat(rows), table.others)


def columns_of(network: Network, features: PixelFeatures) -> list[int]:
    """Return which of a network's features, by stride, are those of a kind."""
    return _columns(body_of(network), *PARTS[features])


def coarse_features(network: Network, features: PixelFeatures) -> Tensor | None:
    """Return which features describe what is around a pixel, bool (features,); None without such.

    They are all but the same in a label, so that a single label of a class tells little of them.
    """
    own = [part for part in body_of(network).parts if part[0] in PARTS[features]]
    coarse = [
        torch.full((n,), part == "encoder" and stride == 2**STAGES) for part, stride, n in own
    ]
    found = torch.cat(coarse)
    return found if found.any() else None


def _columns(body: Hypercolumn, *parts: str) -> list[int]:
    columns: list[int] = []
    start = 0
    for name, _, count in body.parts:
        if name in parts:
            columns += range(start, start + count)
        start += count
    return columns


def _miou(scores: Tensor, labels: Tensor) -> float:
    predicted = scores.argmax(1).numpy().astype(np.uint8)
    reference = labels.numpy().astype(np.uint8)
    return Scores.of(confusion_matrix(reference, predicted, scores.shape[1])).miou


def estimated_prior(scores: Tensor, absent: Tensor, in_one_place: Sequence[int]) -> Tensor:
    """Return what is added to class scores, (classes,), because classes have unequal areas.

    The head is fitted on as many pixels of each class. The shares in the images are estimated by
    expectation maximization (Saerens, Latinne and Decaestecker 2002, "Adjusting the outputs of a
    classifier to new a priori probabilities"), and heeded with the power `PRIOR_POWER`, as they
    are uncertain themselves. Classes without a label are never mapped. The share of a class whose
    labels lie in one place is not known: its scores are left as they are.

    Args:
        scores: of pixels from everywhere (n, classes).
        absent: whether a class has no label, bool (classes,).
        in_one_place: classes whose labels are of one group; see `classes_in_one_group`.
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
    shift[list(in_one_place)] = 0.0
    return torch.where(absent, torch.tensor(ABSENT_SCORE), shift)


def with_head(network: Network, head: QuickHead) -> Network:
    """Return the network of the chosen features with its head."""
    if network.spec.features != head.features:
        base = network.spec.base if "scores" in PARTS[head.features] else None
        spec = replace(network.spec, features=head.features, base=base)
        wide, network = network, Network(spec).eval()
        for name in ("encoder", "base"):
            part = getattr(body_of(network), name)
            if part is not None:
                part.load_state_dict(getattr(body_of(wide), name).state_dict())
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
        if body.base is not None:
            known = cast(Tensor, heads.base)[_columns(body, "scores")]
            body.answer.weight.copy_(known.T[..., None, None])
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
