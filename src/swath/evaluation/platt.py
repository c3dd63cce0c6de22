"""Platt scaling of independent masks, and the threshold of each mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from swath.data.dataset import Dataset, Sample
from swath.evaluation.scoring import labeled_scores
from swath.inference.tiled import TiledPredictor


@dataclass(frozen=True)
class PlattFit:
    """The calibration of independent masks.

    Attributes:
        gain: of the score of each class (classes,), float32.
        offset: added after it (classes,), float32.
        thresholds: of each class, 0..1.
        pixels: number of labels that they were fitted to.
    """

    gain: Tensor
    offset: Tensor
    thresholds: list[float]
    pixels: int


def fit_platt(dataset: Dataset, samples: Sequence[Sample], predictor: TiledPredictor) -> PlattFit:
    """Fit a line from each class's score to its log-odds, and the threshold of the best F1.

    Args:
        dataset: the data.
        samples: those that were not trained on, if there are any.
        predictor: gives uncalibrated scores.

    Source: Platt 1999, "Probabilistic outputs for support vector machines".
    """
    scores, labels = labeled_scores(dataset, samples, predictor)
    reference = F.one_hot(torch.from_numpy(labels.astype(np.int64)), scores.shape[1]).double()
    raw = torch.from_numpy(scores).double()
    log_gain, offset = (
        torch.zeros(scores.shape[1], dtype=torch.float64, requires_grad=True) for _ in range(2)
    )
    optimizer = torch.optim.LBFGS([log_gain, offset], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        # The small term keeps a class that the samples lack at its initial line.
        loss = F.binary_cross_entropy_with_logits(raw * log_gain.exp() + offset, reference)
        loss = loss + 1e-4 * (log_gain.square().mean() + offset.square().mean())
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    gain = log_gain.detach().exp()
    shares = torch.sigmoid(raw * gain + offset.detach()).numpy()
    thresholds = [best_threshold(shares[:, c], labels == c) for c in range(scores.shape[1])]
    return PlattFit(gain.float(), offset.detach().float(), thresholds, len(labels))


def best_threshold(shares: NDArray[np.float64], reference: NDArray[np.bool_]) -> float:
    """Return the least probability for which F1 is best; 0.5 where no pixel has the class."""
    if not reference.any():
        return 0.5
    order = np.argsort(-shares)
    hits = np.cumsum(reference[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + reference.sum())
    return float(shares[order[int(f1.argmax())]])
