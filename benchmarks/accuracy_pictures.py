"""Draw reports/accuracy.png: the test images that a model maps best and worst; see accuracy.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from recipe_pictures import draw_maps

from swath.data.dataset import Dataset
from swath.metrics.confusion import Scores

EACH = 3
"""Images drawn of the best, and of the worst."""


def best_and_worst(samples: dict[str, list[list[int]]]) -> list[str]:
    """Return the names of the samples of highest and lowest mean IoU, from best to worst."""
    known = {name: float(Scores.of(np.array(matrix)).miou) for name, matrix in samples.items()}
    order = sorted(
        (name for name, miou in known.items() if not np.isnan(miou)), key=lambda name: -known[name]
    )
    return order if len(order) <= 2 * EACH else order[:EACH] + order[-EACH:]


def draw_best_and_worst(
    dataset: Dataset, samples: dict[str, list[list[int]]], model: Path, path: Path
) -> None:
    """Draw them with their truth and the model's map."""
    draw_maps(dataset, best_and_worst(samples), {"map": model}, path)
