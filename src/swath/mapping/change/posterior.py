"""Probability of change of a pixel from the class probabilities of two dates.

Model: given the classes (i, j) of a pixel at both dates, what is seen at one date does not depend
on what is seen at the other. With class probabilities p and q of the dates, and their means over
the maps as the shares of the classes under which they were made,

    P(i, j | both) = p_i / mean(p)_i * q_j / mean(q)_j * prior_ij / (sum over all pairs).

The prior of each pair of classes is what makes the pixels of both maps most likely. Expectation
maximization finds it, as Saerens, Latinne and Decaestecker 2002, "Adjusting the outputs of a
classifier to new a priori probabilities", does for the classes of one date.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath.legend import IGNORE

FLOOR = 0.25
"""Percent that all classes together have which are stored as 0 percent: these have under 0.5."""

FIRST_PRIOR = 0.05
"""Prior of change at which the estimate begins."""

MAX_STEPS = 500
"""Steps of expectation maximization."""

TOLERANCE = 1e-6
"""Change of the prior of change at which the estimate ends."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Evidence:
    """How classes and percents of one date become likelihoods of the classes.

    Attributes:
        kind: what is known of a pixel: percents of all classes, that of its class, how often its
            class is mapped where it is true, or its class alone.
        shares: mean probability of each class (n,), which the classes have under the classifier.
    """

    kind: str
    shares: tuple[float, ...]

    def likelihoods(self, classes: NDArray[np.uint8], percents: NDArray[np.uint8] | None) -> Floats:
        """Return the likelihood of each class, but for a factor of the pixel, float32 (n, pixels).

        Args:
            classes: indices (pixels,), none of them `IGNORE`.
            percents: (n, pixels) with probabilities, (1, pixels) with confidence or accuracy, None
                without.
        """
        n, shares = len(self.shares), np.maximum(np.array(self.shares), 1e-9)
        if percents is None:
            out: Floats = np.zeros((n, len(classes)), np.float32)
            out[classes, np.arange(len(classes))] = 1
            return out
        if self.kind == "probabilities":
            levels = np.maximum(np.arange(256), FLOOR / max(1, n - 1))
            table = (levels / shares[:, None]).astype(np.float32)
            return np.stack([row[values] for row, values in zip(table, percents, strict=True)])
        if self.kind == "accuracy":
            right = percents[0].astype(np.float32)
            out = np.repeat((100 - right)[None] / max(1, n - 1), n, axis=0)
            out[classes, np.arange(len(classes))] = right
            return out
        own = np.clip(percents[0].astype(np.float64), 100 / n, 100 - FLOOR)
        rest = (100 - own) / np.maximum(1 - shares[classes], 1e-9)
        out = np.repeat(rest[None].astype(np.float32), n, axis=0)
        out[classes, np.arange(len(classes))] = own / shares[classes]
        return out

    def seen(self, classes: NDArray[np.uint8], percents: NDArray[np.uint8] | None) -> Floats:
        """Return likelihoods as `likelihoods` does, and 1 for all classes where one is `IGNORE`."""
        held = classes != IGNORE
        if held.all():
            return self.likelihoods(classes, percents)
        known = percents if percents is None else percents[:, held]
        out: Floats = np.ones((len(self.shares), len(classes)), np.float32)
        out[:, held] = self.likelihoods(classes[held], known)
        return out

    def probabilities(
        self, classes: NDArray[np.uint8], percents: NDArray[np.uint8] | None
    ) -> NDArray[np.float64]:
        """Return probabilities (n, pixels) of the classes, with this evidence's shares."""
        scores = self.likelihoods(classes, percents) * np.array(self.shares)[:, None]
        out: NDArray[np.float64] = scores / np.maximum(scores.sum(axis=0), 1e-30)
        return out


def measure_shares(
    kind: str, n: int, classes: NDArray[np.uint8], percents: NDArray[np.uint8] | None
) -> Evidence:
    """Return the evidence of a date whose shares are the mean probabilities of some pixels.

    Pixels without data, `IGNORE`, are left out.
    """
    held = classes != IGNORE
    classes, percents = classes[held], None if percents is None else percents[:, held]
    counts = np.bincount(classes, minlength=n) + 0.5
    first = Evidence(kind, tuple((counts / counts.sum()).tolist()))
    if percents is None or not len(classes):
        return first
    means = first.probabilities(classes, percents).mean(axis=1)
    return Evidence(kind, tuple(means.tolist()))


def first_prior(n: int) -> NDArray[np.float64]:
    """Return the prior of pairs of classes (n, n) at which an estimate begins."""
    prior = np.full((n, n), FIRST_PRIOR / max(1, n * (n - 1)))
    prior[np.diag_indices(n)] = (1 - FIRST_PRIOR) / n if n > 1 else 1
    return prior


def estimate_prior(old: Floats, new: Floats) -> NDArray[np.float64]:
    """Estimate the prior probability of each pair of classes by expectation maximization.

    Args:
        old: likelihoods of the old classes, (n, pixels).
        new: those of the new classes.

    Returns:
        Probabilities (n, n) of old (rows) and new classes, of sum 1.
    """
    n, pixels = old.shape
    prior = first_prior(n)
    if n == 1:
        return np.ones((1, 1))
    change = FIRST_PRIOR
    for _ in range(MAX_STEPS):
        total = np.einsum("ip,ip->p", old, prior.astype(np.float32) @ new)
        prior *= (old / np.maximum(total, 1e-30)) @ new.T / pixels
        prior /= prior.sum()
        before, change = change, 1 - float(np.trace(prior))
        if abs(change - before) < TOLERANCE:
            break
    return prior


def with_change(prior: NDArray[np.float64], change: float) -> NDArray[np.float64]:
    """Return a prior (n, n) whose pairs of different classes have a given sum."""
    n = len(prior)
    stay = np.eye(n, dtype=bool)
    off = np.where(stay, 0, prior)
    off = off / off.sum() if off.sum() > 0 else ~stay / max(1, n * (n - 1))
    same = np.where(stay, prior, 0)
    out: NDArray[np.float64] = off * change + same / same.sum() * (1 - change)
    return out


MAX_RATIO = 1e12
"""Largest ratio of likelihoods."""


def change_ratio(
    old: Floats, new: Floats, prior: NDArray[np.float64]
) -> tuple[Floats, NDArray[np.uint8]]:
    """Compare the likelihood of pixels under change with that under none.

    Args:
        old: likelihoods of the old classes, (n, pixels).
        new: those of the new classes.
        prior: probability of each pair (n, n).

    Returns:
        The ratio, 0 to `MAX_RATIO`, and the likeliest class of a pixel that has not changed
        (pixels,).
    """
    weights = prior.astype(np.float32)
    total = np.einsum("ip,ip->p", old, weights @ new)
    same = old * new * np.diag(weights)[:, None]
    stable = same.sum(axis=0)
    stay = float(np.trace(prior))
    factor = np.float32(stay / max(1 - stay, 1e-9))
    ratio = np.maximum(total - stable, 0) * factor / np.maximum(stable, 1e-30)
    return np.minimum(ratio, np.float32(MAX_RATIO)), same.argmax(axis=0).astype(np.uint8)


def best_pairs(
    old: Floats, new: Floats, prior: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the likeliest pair of different classes of pixels, as old and new class index."""
    n, pixels = old.shape
    best = np.full(pixels, -1, np.float32)
    was = np.full(pixels, IGNORE, np.uint8)
    now = np.full(pixels, IGNORE, np.uint8)
    for i in range(n):
        row = prior[i].astype(np.float32)
        row[i] = 0
        scores = row[:, None] * new
        j = scores.argmax(axis=0)
        score = old[i] * scores[j, np.arange(pixels)]
        better = (score > best) & (j != i)
        best[better], was[better], now[better] = score[better], i, j[better]
    return was, now
