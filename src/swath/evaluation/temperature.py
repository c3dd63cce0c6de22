"""Calibrating a network when it has been taught: its temperature, from ground that it was not taught on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from swath.data.dataset import Dataset, Sample
from swath.evaluation.scoring import labeled_scores
from swath.inference.tiled import Engine
from swath.metrics.calibration import (
    expected_calibration_error,
    fit_temperature,
    probabilities,
    reliability,
)
from swath.models.card import Calibration

SAMPLED_PIXELS = 2**23
"""Pixels of the validation split that are looked at, about; a large one would take longer than the training."""


def calibrate_scores(dataset: Dataset, engine: Engine) -> Calibration | None:
    """Fit the temperature on the validation split.

    Without one, nothing is fitted: on ground that it has learnt, a network is right more often than
    elsewhere, so a temperature from there would promise too much; and to hold ground back from
    teaching is the user's choice (`swath prepare --val`).
    """
    samples = _some([s for s in dataset.manifest.of("val") if sum(s.counts)])
    if not samples:
        return None
    scores, reference = labeled_scores(dataset, samples, engine)
    temperature = fit_temperature(scores, reference)
    errors = []
    for t in (1.0, temperature):
        chances = probabilities(scores, t, axis=1)
        errors.append(
            expected_calibration_error(
                reliability(chances.max(axis=1), chances.argmax(axis=1) == reference)
            )
        )
    return Calibration(
        temperature=temperature,
        groups=sorted({s.group for s in samples}),
        pixels=int(np.size(reference)),
        error_before=errors[0],
        error_after=errors[1],
    )


def _some(samples: Sequence[Sample]) -> list[Sample]:
    """Return samples in an order that is random but always the same, until they have enough pixels."""
    chosen: list[Sample] = []
    for i in np.random.default_rng(0).permutation(len(samples)):
        if sum(s.window.size for s in chosen) >= SAMPLED_PIXELS:
            break
        chosen.append(samples[i])
    return chosen
