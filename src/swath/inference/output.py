"""Meaning of the channels that a network gives: classes, confidence, masks and heights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from swath.legend import IGNORE
from swath.metrics.calibration import probabilities

MaybeScores: TypeAlias = NDArray[np.float32] | None
Valid: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class OutputSpec:
    """What the channels of a network's scores mean: class scores, then the height if it has one.

    Methods take scores (channels, rows, columns), float32, or None where no pixel is valid, and
    the mask of valid pixels (rows, columns).

    Attributes:
        classes: number of class scores; None where all channels are.
        temperature: class scores are divided by it before they become probabilities.
        heights: whether the last channel is the height above ground in meters.
        multilabel: whether class scores are log-odds of independent masks.
        thresholds: least probability of the pixels in the mask of each class; None without masks.
    """

    classes: int | None = None
    temperature: float = 1.0
    heights: bool = False
    multilabel: bool = False
    thresholds: Sequence[float] | None = None

    @property
    def channels(self) -> int | None:
        """Number of channels; None for any."""
        if self.classes is None:
            return None
        return self.classes + (1 if self.heights else 0)

    def class_scores(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the class scores (classes, rows, columns)."""
        return scores[: self.classes]

    def indices(self, scores: MaybeScores, valid: Valid) -> NDArray[np.uint8]:
        """Return the class of each pixel (rows, columns), `IGNORE` where it is invalid."""
        out = np.full(valid.shape, IGNORE, np.uint8)
        if scores is not None:
            best = np.zeros(valid.shape, np.uint8)
            first, *others = self.class_scores(scores)
            highest = first.copy()
            for i, other in enumerate(others, 1):
                best[other > highest] = i
                np.maximum(highest, other, out=highest)
            np.copyto(out, best, where=valid)
        return out

    def probabilities(self, scores: MaybeScores, valid: Valid) -> NDArray[np.float32]:
        """Return calibrated probabilities (classes, rows, columns), NaN where invalid."""
        if scores is None:
            return np.full((self.classes or 1, *valid.shape), np.nan, np.float32)
        out = probabilities(self.class_scores(scores), self.temperature)
        out[:, ~valid] = np.nan
        return out

    def masks(self, scores: MaybeScores, valid: Valid) -> NDArray[np.uint8]:
        """Return the mask of each class (classes, rows, columns): 1, 0, or `IGNORE` if invalid.

        A mask holds the pixels whose probability reaches its threshold, so that masks may overlap.
        Without thresholds all are empty.
        """
        out = np.zeros((self.classes or 1, *valid.shape), np.uint8)
        if scores is not None and self.thresholds is not None:
            share = np.clip(self.thresholds, 1e-7, 1 - 1e-7)
            least = np.log(share / (1 - share)).astype(np.float32)  # the scores are log-odds
            out[:] = self.class_scores(scores) >= least[:, None, None]
        out[:, ~valid] = IGNORE
        return out

    def height(self, scores: MaybeScores, valid: Valid) -> NDArray[np.float32]:
        """Return the height in meters (rows, columns), NaN where invalid or not predicted."""
        if scores is None or not self.heights:
            return np.full(valid.shape, np.nan, np.float32)
        return np.where(valid, scores[-1], np.float32(np.nan))
