"""The result of a training."""

from __future__ import annotations

import numpy as np

from swath.data.dataset import Dataset
from swath.models.card import FoldScores
from swath.types import Adapted, PixelFeatures, Result


class ClassSampling(Result):
    """A class's shares of the labeled training pixels and of the pixels in patches, 0..1."""

    name: str
    share: float
    drawn: float


class Comparison(Result):
    """Mean IoU of ways to adapt a model, on labels that were held out in turn, 0..1.

    Such labels lie in the image of the others, so that labels alone score higher than on other
    images.
    """

    unchanged: float
    corrected: float
    labels: float


class TrainResult(Result):
    """The result of a training.

    Attributes:
        model: path of the model file.
        seconds: wall time of the training loop with its validation, without packing.
        steps: optimizer steps taken; `--steps` with this number repeats the run.
        pixels_per_second: patch pixels over step time.
        waited: share of the time of steps and of waiting for their batches that was waiting, 0..1.
        validation_miou: mean IoU on the validation split, None without one.
        first_weights: origin of the weights before training.
        parameters: number of weights.
        sampling: share of each class in the data and in patches.
        features: what describes a pixel, by the quick recipe; else None.
        adapted: what was taken to adapt a model, by the quick recipe; else None.
        compared: what it was compared with; None without labels to hold out.
        folds: scores on labels held out in turn, by the quick recipe; None with too few of them.
        in_one_place: classes whose labels are all in one place, so that none can be held out.
        with_quick: whether labels were few, and the model is averaged with the quick recipe.
    """

    model: str
    seconds: float
    steps: int
    pixels_per_second: float
    waited: float
    validation_miou: float | None
    first_weights: str
    parameters: int
    sampling: list[ClassSampling]
    features: PixelFeatures | None = None
    adapted: Adapted | None = None
    compared: Comparison | None = None
    folds: FoldScores | None = None
    in_one_place: list[str] = []
    with_quick: bool = False


def class_pixels(dataset: Dataset) -> list[int]:
    """Count labeled training pixels by class."""
    counts = [s.counts for s in dataset.manifest.of("train") if s.counts]
    totals: list[int] = np.sum(counts, axis=0).tolist()
    return totals
