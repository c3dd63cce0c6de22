"""A hidden Markov chain for the classes of a pixel at several dates.

The classes of a pixel are a Markov chain over the dates, and what is seen at one date depends on
the class at that date alone (see `swath.mapping.change.posterior` for its likelihood). Rabiner
1989, "A tutorial on hidden Markov models", names the recursions: the forward and backward pass, the
path of Viterbi, and the estimate of Baum and Welch. A date without data has likelihood 1 under each
class. All steps between dates have the same transition probabilities, however long they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath.mapping.change.posterior import (
    FIRST_PRIOR,
    MAX_RATIO,
    MAX_STEPS,
    TOLERANCE,
    Floats,
    first_prior,
)

LEAST_TRANSITION = 1e-7
"""Smallest probability of a transition: none is impossible."""

TINY = np.float32(1e-30)
"""Smallest divisor."""


@dataclass(frozen=True)
class Decoded:
    """Classes of pixels at all dates.

    Attributes:
        path: the likeliest sequence of class indices, uint8 (dates, pixels).
        changed: probability that the class changed at least once (pixels,).
        ratio: likelihood of what is seen under any change, by that under none (pixels,).
        stable: the likeliest class of a pixel that never changed (pixels,).
    """

    path: NDArray[np.uint8]
    changed: Floats
    ratio: Floats
    stable: NDArray[np.uint8]


class Chain:
    """A chain of classes.

    Args:
        start: probability of each class at the first date (n,).
        pairs: probability (n, n) of each pair of classes at two dates that follow each other.
    """

    def __init__(self, start: NDArray[np.float64], pairs: NDArray[np.float64]) -> None:
        self._start = np.maximum(start, LEAST_TRANSITION).astype(np.float32)
        rows = pairs.sum(axis=1, keepdims=True)
        moves = np.where(rows > 0, pairs / np.maximum(rows, 1e-30), np.eye(len(pairs)))
        moves = np.maximum(moves, LEAST_TRANSITION)
        self.moves: Floats = (moves / moves.sum(axis=1, keepdims=True)).astype(np.float32)

    def decode(self, likelihoods: Floats) -> Decoded:
        """Return the likeliest classes of pixels, and how probable any change is.

        Args:
            likelihoods: of each class, but for a factor of date and pixel: (dates, n, pixels).
        """
        path = self._best_path(likelihoods)
        stay = np.diag(self.moves)[:, None]
        first = self._start[:, None] * likelihoods[0]
        alpha, same = first, first.copy()
        for one in likelihoods[1:]:
            alpha = (self.moves.T @ alpha) * one
            same = same * stay * one
            total = np.maximum(alpha.sum(axis=0), TINY)
            alpha, same = alpha / total, same / total
        total = np.maximum(alpha.sum(axis=0), TINY)
        changed: Floats = np.clip(1 - same.sum(axis=0) / total, 0, 1)
        prior = self.any_change(len(likelihoods))
        factor = np.float32((1 - prior) / max(prior, 1e-9))
        ratio = np.minimum(changed * factor / np.maximum(1 - changed, TINY), np.float32(MAX_RATIO))
        return Decoded(path, changed, ratio, same.argmax(axis=0).astype(np.uint8))

    def any_change(self, dates: int) -> float:
        """Return the prior probability that a pixel changes at all."""
        start = self._start / self._start.sum()
        return float(1 - (start * np.diag(self.moves) ** (dates - 1)).sum())

    def best_change(self, likelihoods: Floats) -> NDArray[np.uint8]:
        """Return the likeliest classes of pixels with just one change, uint8 (dates, pixels)."""
        dates, n, pixels = likelihoods.shape
        seen = np.log(np.maximum(likelihoods, TINY)).cumsum(axis=0)
        moves, stay = np.log(self.moves), np.log(np.diag(self.moves))[:, None]
        first = np.log(self._start)[:, None]
        best = np.full(pixels, -np.inf, np.float32)
        old, new, when = (np.zeros(pixels, np.int64) for _ in range(3))
        for t in range(1, dates):
            before = first + seen[t - 1] + (t - 1) * stay
            after = seen[-1] - seen[t - 1] + (dates - 1 - t) * stay
            for i in range(n):
                scores = before[i] + moves[i][:, None] + after
                scores[i] = -np.inf
                j = scores.argmax(axis=0)
                score = scores[j, np.arange(pixels)]
                better = score > best
                best[better], old[better], new[better], when[better] = (
                    score[better],
                    i,
                    j[better],
                    t,
                )
        later = np.arange(dates)[:, None] >= when
        return np.where(later, new, old).astype(np.uint8)

    def _best_path(self, likelihoods: Floats) -> NDArray[np.uint8]:
        dates, n, pixels = likelihoods.shape
        origin = np.zeros((dates, n, pixels), np.uint8)
        score = self._start[:, None] * likelihoods[0]
        everywhere = np.arange(pixels)
        for t in range(1, dates):
            score = score / np.maximum(score.max(axis=0), TINY)
            best = np.empty_like(score)
            for j in range(n):
                ways = score * self.moves[:, j, None]
                origin[t, j] = ways.argmax(axis=0)
                best[j] = ways[origin[t, j], everywhere]
            score = best * likelihoods[t]
        path = np.empty((dates, pixels), np.uint8)
        path[-1] = score.argmax(axis=0)
        for t in range(dates - 1, 0, -1):
            path[t - 1] = origin[t, path[t], everywhere]
        return path


def estimate_chain(
    likelihoods: Sequence[Floats],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate a chain by expectation maximization, from pixels at all dates.

    Args:
        likelihoods: of the classes at each date, (n, pixels).

    Returns:
        Probabilities of the classes at the first date (n,), and of each pair of classes at two
        dates that follow each other (n, n).
    """
    n, pixels = likelihoods[0].shape
    start, pairs = np.full(n, 1 / n), first_prior(n)
    change = FIRST_PRIOR
    for _ in range(MAX_STEPS if n > 1 else 0):
        moves = Chain(start, pairs).moves
        alphas = [np.maximum(start, LEAST_TRANSITION).astype(np.float32)[:, None] * likelihoods[0]]
        alphas[0] /= np.maximum(alphas[0].sum(axis=0), TINY)
        for one in likelihoods[1:]:
            alpha = (moves.T @ alphas[-1]) * one
            alphas.append(alpha / np.maximum(alpha.sum(axis=0), TINY))
        counts = np.zeros((n, n))
        beta = np.ones((n, pixels), np.float32)
        for alpha, one in zip(alphas[-2::-1], likelihoods[:0:-1], strict=True):
            ahead = one * beta
            beta = moves @ ahead
            total = np.maximum((alpha * beta).sum(axis=0), TINY)
            counts += moves * ((alpha / total) @ ahead.T)
            beta /= np.maximum(beta.sum(axis=0), TINY)
        first = alphas[0] * beta
        start = (first / np.maximum(first.sum(axis=0), TINY)).mean(axis=1).astype(np.float64)
        pairs = counts / counts.sum()
        before, change = change, 1 - float(np.trace(pairs))
        if abs(change - before) < TOLERANCE:
            break
    return start, pairs


def fill_missing(path: NDArray[np.uint8], held: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Give dates without data the class of the date with data before, else of the first after.

    So a change is dated where its new class was first seen.

    Args:
        path: class indices (dates, pixels).
        held: which have data; each pixel has some.
    """
    out = path.copy()
    last = path[held.argmax(axis=0), np.arange(path.shape[1])]
    for t, seen in enumerate(held):
        last = np.where(seen, path[t], last)
        out[t] = last
    return out
