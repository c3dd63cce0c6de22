"""Heads of the quick recipe: one hidden layer each, several fitted at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from swath.models.hypercolumn import HIDDEN

RATE = 3e-3
"""Largest learning rate of AdamW (Loshchilov and Hutter 2019), in one cycle."""

DECAY = 0.05

DROPOUT = 0.2
"""Share of hidden units that a step leaves out."""

SMOOTHING = 0.1
"""Share of each label that is spread over all classes (label smoothing, Szegedy et al. 2016).

Few labels lie in the middle of objects and are nearly all fitted; without it confidence is far too
high elsewhere.
"""


TRUST = 1.0
"""Weight of the penalty on what a head changes in the scores of a base."""


@dataclass(frozen=True)
class HeadSchedule:
    """How heads are fitted.

    Attributes:
        steps: optimizer steps.
        batch: pixels a step and head.
        optional: which features half of these pixels go without, bool (features,); None for none.
    """

    steps: int
    batch: int
    optional: Tensor | None = None


@dataclass(frozen=True)
class LabeledPixels:
    """Features and labels of pixels.

    Attributes:
        features: float32 (n, features), by stride of their map as in `gather_features`.
        labels: class indices, int64 (n,).
        groups: number of the group of labels that a pixel belongs to, int64 (n,).
    """

    features: Tensor
    labels: Tensor
    groups: Tensor

    @cached_property
    def weights(self) -> Tensor:
        """How often pixels are drawn; see `balanced_weights`."""
        return balanced_weights(self.labels, self.groups)


@dataclass(frozen=True)
class BaseScores:
    """Scores that heads add to, and from which they depart where labels ask for it.

    Attributes:
        weights: of all features, which give the scores, (features, classes).
        others: features of pixels from everywhere, on which departing costs, (m, features).
    """

    weights: Tensor
    others: Tensor


@dataclass(frozen=True)
class Heads:
    """Weights of several heads.

    Attributes:
        mean: of each feature, (features,); subtracted.
        std: of each feature, (features,); divides the difference.
        first: (heads, features, hidden).
        first_bias: (heads, 1, hidden).
        last: (heads, hidden, classes).
        last_bias: (heads, 1, classes).
        base: what features add to the scores themselves, (features, classes), the same for all
            heads; None for nothing.
    """

    mean: Tensor
    std: Tensor
    first: Tensor
    first_bias: Tensor
    last: Tensor
    last_bias: Tensor
    base: Tensor | None = None

    def scores(self, features: Tensor, head: int = 0) -> Tensor:
        """Return class scores (n, classes) of features (n, features) by one head."""
        x = (features - self.mean) / self.std
        hidden = torch.relu(x @ self.first[head] + self.first_bias[head])
        scores = hidden @ self.last[head] + self.last_bias[head]
        return scores if self.base is None else scores + features @ self.base


def fit_heads(
    pixels: LabeledPixels,
    weights: Tensor,
    classes: int,
    schedule: HeadSchedule,
    seed: int,
    advance: Callable[[float], None],
    base: BaseScores | None = None,
) -> Heads:
    """Fit heads on features of labeled pixels.

    With a base, heads start at zero and learn what it lacks. The Kullback-Leibler divergence
    from it, on pixels from everywhere, is added to the loss (Li and Hoiem 2016, "Learning without
    forgetting"), so that few labels do not change it where they tell nothing.

    Args:
        pixels: labeled pixels.
        weights: how often a head sees each pixel, (heads, n); 0 for the pixels held out.
        classes: number of classes.
        schedule: steps and pixels.
        seed: of the initial weights and of the pixels drawn.
        advance: is called with the share of the work that was done.
        base: what heads add to; None for nothing.
    """
    random = torch.Generator().manual_seed(seed)
    features, labels = pixels.features, pixels.labels
    basis = features if base is None else base.others
    mean, std = basis.mean(0), basis.std(0, unbiased=False)
    std = torch.where(std > 1e-6 * (mean.abs() + 1e-6), std, torch.ones(()))
    x = (features - mean) / std
    heads, width = len(weights), features.shape[1]

    def layer(inputs: int, outputs: int) -> list[Tensor]:
        bound = inputs**-0.5
        shapes = (heads, inputs, outputs), (heads, 1, outputs)
        return [
            ((2 * torch.rand(s, generator=random) - 1) * bound).requires_grad_() for s in shapes
        ]

    parameters = [*layer(width, HIDDEN), *layer(HIDDEN, classes)]
    first, first_bias, last, last_bias = parameters
    if base is not None:
        for parameter in (last, last_bias):
            parameter.data.zero_()

    def scores_of(values: Tensor) -> Tensor:
        if schedule.optional is not None:
            without = torch.rand(values.shape[:-1], generator=random)[..., None] < 0.5
            values = values.masked_fill(without & schedule.optional, 0.0)
        hidden = torch.relu(torch.baddbmm(first_bias, values, first))
        kept = torch.rand(hidden.shape, generator=random) >= DROPOUT
        return torch.baddbmm(last_bias, hidden * kept / (1 - DROPOUT), last)

    def loss_of(drawn: Tensor) -> Tensor:
        scores, targets = scores_of(x[drawn]), labels[drawn].flatten()
        if base is None:
            return F.cross_entropy(scores.flatten(0, 1), targets, label_smoothing=SMOOTHING)
        # The labels tell nothing of classes that have none.
        labeled = torch.bincount(labels, minlength=classes) > 0
        scores = (scores + features[drawn] @ base.weights)[..., labeled].flatten(0, 1)
        targets = (labeled.cumsum(0) - 1)[targets]
        loss = F.cross_entropy(scores, targets, label_smoothing=SMOOTHING)
        others = base.others[torch.randint(len(base.others), drawn.shape, generator=random)]
        before = others @ base.weights
        after = before + scores_of((others - mean) / std)
        new, old = (torch.log_softmax(s, -1).flatten(0, 1) for s in (after, before))
        return loss + TRUST * F.kl_div(new, old, log_target=True, reduction="batchmean")

    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=schedule.steps)
    for _ in range(schedule.steps):
        drawn = torch.multinomial(weights, schedule.batch, replacement=True, generator=random)
        loss = loss_of(drawn)
        optimizer.zero_grad()
        (loss * heads).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        rates.step()
        advance(1 / schedule.steps)
    first, first_bias, last, last_bias = (p.detach() for p in parameters)
    added = None if base is None else base.weights
    return Heads(mean, std, first, first_bias, last, last_bias, added)


def zero_heads(weights: Tensor) -> Heads:
    """Return a head that adds nothing to scores of these `Heads.base` weights."""
    features, classes = weights.shape
    first, last = torch.zeros(1, features, HIDDEN), torch.zeros(1, HIDDEN, classes)
    biases = torch.zeros(1, 1, HIDDEN), torch.zeros(1, 1, classes)
    mean, std = torch.zeros(features), torch.ones(features)
    return Heads(mean, std, first, biases[0], last, biases[1], weights)


def held_out_scores(
    pixels: LabeledPixels,
    folds: Tensor,
    classes: int,
    schedule: HeadSchedule,
    seed: int,
    advance: Callable[[float], None],
    base: BaseScores | None = None,
) -> Tensor:
    """Return the scores (n, classes) of each pixel by a head that was fitted without its fold.

    Args:
        pixels: labeled pixels.
        folds: fold of each pixel, int64 (n,); see `assign_folds`.
        classes: number of classes.
        schedule: steps and pixels.
        seed: see `fit_heads`.
        advance: is called with the share of the work that was done.
        base: see `fit_heads`.
    """
    count = int(folds.max()) + 1
    kept = torch.stack([pixels.weights * (folds != k) for k in range(count)])
    heads = fit_heads(pixels, kept, classes, schedule, seed, advance, base)
    out = torch.zeros(len(folds), classes)
    for k in range(count):
        out[folds == k] = heads.scores(pixels.features[folds == k], k)
    return out


def balanced_weights(labels: Tensor, groups: Tensor) -> Tensor:
    """Return how often pixels are drawn, (n,): classes alike, groups by the root of their pixels.

    Args:
        labels: class indices, int64 (n,).
        groups: group of each pixel, int64 (n,).
    """
    pairs, index, counts = torch.unique(
        torch.stack([labels, groups]), dim=1, return_inverse=True, return_counts=True
    )
    share = counts.float().sqrt()
    total = torch.zeros(int(labels.max()) + 1).index_add_(0, pairs[0], share)
    weights: Tensor = (share / counts / total[pairs[0]])[index]
    return weights
