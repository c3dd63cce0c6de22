"""A classifier of pixels by their bands alone, for machines without torch.

Each class is a Gaussian of the bands and of their means and deviations over 5x5 pixels, with a
covariance that is mixed with that of all classes (regularized discriminant analysis, Friedman
1989). Priors are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.geo.tiling import Window
from swath.metrics.confusion import Scores, confusion_matrix, mean_known
from swath.server.labeling.quick.trainer import (
    Features,
    FitStopped,
    FittedHead,
    HeadScores,
    Samples,
)
from swath.server.layer import MapLayer

RADIUS = 2
"""Pixels around each that its local mean and deviation are of."""

FOLDS = 5
"""Folds over labels, at most."""

MIN_LABELS = 2
"""Labels of a class in a fold's training part and in all, at least, so that there are folds."""

POOLED = 0.3
"""Share of the covariance of all classes in that of each."""

CHUNK = 65_536
"""Pixels that are classified at once."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class _Gaussians:
    """Scaling of the features, and of each class the mean, whitening matrix and log determinant."""

    center: Floats
    scale: Floats
    means: Floats
    whitening: Floats
    offsets: Floats


class ColorTrainer:
    """The classifier of one scene; see `Trainer`.

    Args:
        layer: the scene.
    """

    def __init__(self, layer: MapLayer) -> None:
        self._layer = layer

    @property
    def encoder(self) -> str:
        """Text that names the features."""
        return "colors-1"

    def features(self, window: Window) -> Features:
        """Return bands with local means and deviations, float32, and which pixels have data."""
        around = window.grow(RADIUS).within(self._layer.grid.window)
        values, valid = self._layer.read(around)
        bands = np.where(valid, values, 0).astype(np.float32)
        counts = np.maximum(_box_sums(valid.astype(np.float32)), 1)
        means = np.stack([_box_sums(band) / counts for band in bands])
        squares = np.stack([_box_sums(band * band) / counts for band in bands])
        deviations = np.sqrt(np.maximum(squares - means**2, 0))
        inner = window.relative_to(around).slices
        joined = np.concatenate([bands, means, deviations])[:, inner[0], inner[1]]
        return {"bands": np.ascontiguousarray(joined), "valid": valid[inner]}

    def sample(
        self, features: Features, rows: NDArray[np.int64], cols: NDArray[np.int64]
    ) -> NDArray[Any]:
        """Return features of pixels (n, channels)."""
        return np.asarray(features["bands"][:, rows, cols].T)

    def fit(
        self,
        samples: Samples,
        count: int,
        report: Callable[[float], None],
        stopped: Callable[[], bool],
    ) -> FittedHead:
        """Fit a Gaussian to each class; see `Trainer.fit`."""
        head = _fit(samples.values, samples.classes, count)
        report(1.0)
        return FittedHead(head, "bands, and their means and deviations over 5x5 pixels")

    def validate(
        self,
        samples: Samples,
        count: int,
        report: Callable[[float], None],
        stopped: Callable[[], bool],
    ) -> HeadScores | None:
        """Fit Gaussians to the labels of all folds but one, in turn; see `Trainer.validate`."""
        return _cross_validate(samples, count, stopped)

    def predict(self, features: Features, head: FittedHead) -> NDArray[np.uint8]:
        """Return the probability of each class in percent (classes, rows, columns)."""
        bands = features["bands"]
        flat = bands.reshape(len(bands), -1).T
        parts = [_percent(flat[i : i + CHUNK], head.content) for i in range(0, len(flat), CHUNK)]
        percent = np.concatenate(parts).T
        return np.ascontiguousarray(percent.reshape(len(percent), *bands.shape[1:]))


def _fit(values: NDArray[Any], classes: NDArray[np.uint8], count: int) -> _Gaussians:
    values = values.astype(np.float32)
    center, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    scaled = (values - center) / scale
    own = [scaled[classes == k] for k in range(count)]
    means = np.stack(
        [part.mean(axis=0) if len(part) else np.full(len(center), 1e3) for part in own]
    )
    around = np.concatenate([part - mean for part, mean in zip(own, means, strict=True)])
    width = len(center)
    pooled = around.T @ around / max(1, len(around)) + 1e-2 * np.eye(width)
    whitening, offsets = [], []
    for part, mean in zip(own, means, strict=True):
        trust = (1 - POOLED) * len(part) / (len(part) + 5 * width)
        about = (part - mean).T @ (part - mean) / max(1, len(part))
        inverse = np.linalg.inv(np.linalg.cholesky(trust * about + (1 - trust) * pooled))
        whitening.append(inverse.T)
        offsets.append(float(np.log(np.diag(inverse)).sum()))
    single = (np.asarray(a, np.float32) for a in (center, scale, means, whitening, offsets))
    return _Gaussians(*single)


def _percent(values: NDArray[Any], head: _Gaussians) -> NDArray[np.uint8]:
    """Return the probability of each class in percent (n, classes)."""
    scaled = (values.astype(np.float32) - head.center) / head.scale
    logs = np.stack(
        [
            offset - 0.5 * (((scaled - mean) @ white) ** 2).sum(axis=1)
            for mean, white, offset in zip(head.means, head.whitening, head.offsets, strict=True)
        ],
        axis=1,
    )
    # Neighbors are alike, so that their features count less than as many independent ones.
    logs = (logs - logs.max(axis=1, keepdims=True)) / np.sqrt(values.shape[1])
    odds = np.exp(logs)
    return np.asarray(np.rint(100 * odds / odds.sum(axis=1, keepdims=True)), np.uint8)


def _cross_validate(samples: Samples, count: int, stopped: Callable[[], bool]) -> HeadScores | None:
    """Return the scores of folds over labels; None where a class has too few labels."""
    groups, at = np.unique(samples.groups, return_inverse=True)
    owner = np.zeros(len(groups), np.int64)
    owner[at] = samples.classes
    counts = np.bincount(owner, minlength=count)
    folds = int(min(FOLDS, counts[counts > 0].min(initial=FOLDS)))
    if folds < MIN_LABELS:
        return None
    fold = np.zeros(len(groups), np.int64)
    random = np.random.default_rng(0)
    for k in range(count):
        own = random.permutation(np.flatnonzero(owner == k))
        fold[own] = np.arange(len(own)) % folds
    confusion = np.zeros((count, count), np.int64)
    for number in range(folds):
        if stopped():
            raise FitStopped
        held = fold[at] == number
        head = _fit(samples.values[~held], samples.classes[~held], count)
        guess = _percent(samples.values[held], head).argmax(axis=1).astype(np.uint8)
        confusion += confusion_matrix(samples.classes[held], guess, count)
    iou = Scores.of(confusion).iou
    by_class = tuple(None if np.isnan(score) else float(score) for score in iou)
    return HeadScores(float(mean_known(iou)), folds, by_class)


def _box_sums(values: Floats) -> Floats:
    """Return sums over (2 * RADIUS + 1) squared pixels, those outside being 0 (rows, columns)."""
    size = 2 * RADIUS + 1
    padded = np.pad(values.astype(np.float64), RADIUS)
    total = np.pad(padded.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = total[size:, size:] - total[:-size, size:] - total[size:, :-size]
    return np.asarray(sums + total[:-size, :-size], np.float32)
