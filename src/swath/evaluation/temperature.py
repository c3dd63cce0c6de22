"""Temperature scaling of a trained network, on the validation split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from swath.data.dataset import Dataset, Sample
from swath.evaluation.scoring import labeled_scores
from swath.inference.tiled import TiledPredictor
from swath.metrics.calibration import (
    expected_calibration_error,
    fit_temperature,
    probabilities,
    reliability,
)
from swath.models.card import Calibration

MAX_TEMPERATURE_PIXELS = 2**23
"""Pixels of the validation split that are predicted, about; all may take longer than training."""


def calibrate_scores(dataset: Dataset, predictor: TiledPredictor) -> Calibration | None:
    """Fit the temperature on the validation split; return None without one.

    On training data a network is right more often than elsewhere, so that a temperature fitted
    there would make it overconfident.
    """
    samples = [s for s in dataset.manifest.of("val") if sum(s.counts)]
    return calibrate_on(dataset, samples, predictor) if samples else None


def calibrate_on(
    dataset: Dataset, samples: Sequence[Sample], predictor: TiledPredictor, before: float = 1.0
) -> Calibration:
    """Fit the temperature on labeled samples that the network was not trained on.

    Args:
        dataset: the data.
        samples: at least one, with labels.
        predictor: the network.
        before: temperature that it had, for the error before.
    """
    samples = some_samples(samples)
    scores, reference = labeled_scores(dataset, samples, predictor)
    temperature = fit_temperature(scores, reference)
    errors = []
    for t in (before, temperature):
        shares = probabilities(scores, t, axis=1)
        counts = reliability(shares.max(axis=1), shares.argmax(axis=1) == reference)
        errors.append(expected_calibration_error(counts))
    return Calibration(
        temperature=temperature,
        groups=sorted({s.group for s in samples}),
        pixels=int(np.size(reference)),
        error_before=errors[0],
        error_after=errors[1],
    )


def some_samples(samples: Sequence[Sample]) -> list[Sample]:
    """Return samples in a fixed random order, until they have `MAX_TEMPERATURE_PIXELS`."""
    chosen: list[Sample] = []
    for i in np.random.default_rng(0).permutation(len(samples)):
        if sum(s.window.size for s in chosen) >= MAX_TEMPERATURE_PIXELS:
            break
        chosen.append(samples[i])
    return chosen
