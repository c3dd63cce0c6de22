"""A network's confusion matrix over samples of a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from swath.dataset import Dataset, Sample
from swath.fleet import Engine, classify
from swath.scores import confusion


def score(dataset: Dataset, samples: Iterable[Sample], engine: Engine) -> Iterator[tuple[Sample, NDArray[np.int64]]]:
    """Yield each sample with its confusion matrix (classes, classes), rows truth.

    An image is classified as it would be in use: what surrounds a sample's window is read as context, and only the window is
    scored.
    """
    n = len(dataset.manifest.legend.learnt)
    for sample in samples:
        image = dataset.images[sample.image]
        matrix = np.zeros((n, n), np.int64)
        for window, predicted in classify(image, engine, sample.window):
            matrix += confusion(image.read_labels(window), predicted, n)
        yield sample, matrix
