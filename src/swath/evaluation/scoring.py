"""Holding a map against the truth: what a model says now, or what a map file says, counted place by place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from swath.data.dataset import Dataset, Sample, StoredImage
from swath.errors import DataError
from swath.evaluation.reference import LabeledArea, Reference
from swath.inference.tiled import Engine, classify, predict_window
from swath.io.labels import UNLABELED
from swath.io.map_reader import MapFile
from swath.legend import IGNORE, Legend
from swath.metrics.boundary import boundary_counts
from swath.metrics.calibration import probabilities, reliability
from swath.metrics.confusion import confusion_matrix
from swath.metrics.dfc2019 import near_height_hits

ENOUGH = 2**20
"""Labeled pixels, at most about this many, that a calibration looks at."""


@dataclass(frozen=True)
class Prediction:
    """What is mapped at a place.

    Attributes:
        classes: class indices (rows, columns), `IGNORE` where nothing is mapped.
        confidence: probability of the mapped class (2, rows, columns), before and after
            calibration; None if unknown.
        heights: meters above ground (rows, columns), NaN where nothing is mapped; None where they
            are not mapped.
    """

    classes: NDArray[np.uint8]
    confidence: NDArray[np.float32] | None = None
    heights: NDArray[np.float32] | None = None


class Predictor(Protocol):
    """Whoever says what is where."""

    def look(self, reference: Reference, place: LabeledArea) -> Prediction:
        """Return what is mapped at a place.

        Raises:
            DataError: that cannot be said of this place.
        """


class ModelPredictor:
    """A model that maps as it would in use: what surrounds a place is read as context.

    Args:
        engine: the running network.
        temperature: its calibration.
    """

    def __init__(self, engine: Engine, temperature: float) -> None:
        self._engine = engine
        self._temperatures = (1.0, temperature)

    def look(self, reference: Reference, place: LabeledArea) -> Prediction:
        """Return what the model maps at a place; see `Predictor`."""
        image = reference.image(place)
        if image is None:
            raise DataError(
                "a model needs images to map",
                file=reference.origin,
                fix="Give a dataset, or a map instead of a model",
            )
        shape = (place.window.height, place.window.width)
        classes = np.full(shape, IGNORE, np.uint8)
        confidence = np.zeros((2, *shape), np.float32)
        heights = np.full(shape, np.nan, np.float32) if self._engine.heights else None
        for answer in predict_window(image, self._engine, place.window):
            rows, cols = answer.window.relative_to(place.window).slices
            classes[rows, cols] = answer.indices
            if heights is not None:
                heights[rows, cols] = answer.height
            if answer.scores is not None:
                for sure, temperature in zip(confidence, self._temperatures, strict=True):
                    sure[rows, cols] = probabilities(
                        answer.scores[: self._engine.classes], temperature
                    ).max(axis=0)
        return Prediction(classes, confidence, heights)


class MapPredictor:
    """A map file, read onto the grid of each place's image (nearest).

    Args:
        mapped: the map.
        legend: the classes of the truth; a code that none of them has is an error.
    """

    def __init__(self, mapped: MapFile, legend: Legend) -> None:
        self._map = mapped
        self._legend = legend.of_maps()
        self._on = lru_cache(1)(mapped.on)

    def look(self, reference: Reference, place: LabeledArea) -> Prediction:
        """Return what the map holds at a place; see `Predictor`."""
        codes = self._on(reference.grid(place)).read(place.window, "code")
        unknown = (codes != UNLABELED) & ~self._legend.known(codes)
        if unknown.any():
            raise DataError(
                f"it holds the code {codes[unknown][0]} ({int(unknown.sum())} pixels at {place.name}), which no class has",
                file=self._map.path,
                fix=f"The codes are {', '.join(f'{c.map_code} ({c.name})' for c in self._legend.trained)}",
            )
        return Prediction(self._legend.encode(codes))


@dataclass(frozen=True)
class AreaScore:
    """The counts of one place; those of several add up.

    Attributes:
        place: the place.
        matrix: confusion matrix (n, n), rows truth.
        boundary: see `boundary_counts`, (2, n).
        reliability: see `reliability`, before and after calibration (2, 3, bins); None where
            confidence is not known.
        unmapped: labeled pixels where nothing is mapped; they are not among the others.
        near: true positives of each class that have their height, (n,); None where truth or map has
            no heights.
        heights: labeled pixels whose true height is known.
    """

    place: LabeledArea
    matrix: NDArray[np.int64]
    boundary: NDArray[np.int64]
    reliability: NDArray[np.float64] | None
    unmapped: int
    near: NDArray[np.int64] | None
    heights: int


def score_areas(reference: Reference, mapper: Predictor) -> Iterator[AreaScore]:
    """Yield the counts of each place, in order.

    Raises:
        DataError: a place cannot be mapped.
    """
    for place in reference.places:
        yield count(reference, place, mapper.look(reference, place))


def count(reference: Reference, place: LabeledArea, mapped: Prediction) -> AreaScore:
    """Hold what is mapped at a place against its labels."""
    n = len(reference.legend.trained)
    labels = reference.labels(place)
    unmapped = (labels != IGNORE) & (mapped.classes == IGNORE)
    labels = np.where(unmapped, np.uint8(IGNORE), labels)
    known = labels != IGNORE
    right = mapped.classes[known] == labels[known]
    sure = (
        None
        if mapped.confidence is None
        else np.stack([reliability(c[known], right) for c in mapped.confidence])
    )
    matrix, boundary = (
        confusion_matrix(labels, mapped.classes, n),
        boundary_counts(labels, mapped.classes, n),
    )
    meters = None if mapped.heights is None else reference.heights(place)
    near, heights = None, 0
    if meters is not None and mapped.heights is not None:
        near = near_height_hits(labels, mapped.classes, meters, mapped.heights, n)
        heights = int(np.isfinite(meters[known]).sum())
    return AreaScore(place, matrix, boundary, sure, int(unmapped.sum()), near, heights)


def score(
    dataset: Dataset, samples: Iterable[Sample], engine: Engine
) -> Iterator[tuple[Sample, NDArray[np.int64]]]:
    """Yield each sample with its confusion matrix (classes, classes), rows truth, in little memory."""
    n = len(dataset.manifest.legend.trained)
    for sample in samples:
        image = dataset.images[sample.image]
        matrix = np.zeros((n, n), np.int64)
        for window, predicted in classify(image, engine, sample.window):
            matrix += confusion_matrix(image.read_labels(window), predicted, n)
        yield sample, matrix


def labeled_scores(
    dataset: Dataset, samples: Sequence[Sample], engine: Engine
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the class scores (pixels, classes) and labels (pixels,) of every n-th labeled pixel, about `ENOUGH` at most."""
    total = sum(sum(s.counts) for s in samples)
    step = max(1, total // ENOUGH)
    found: list[NDArray[np.float32]] = []
    reference: list[NDArray[np.uint8]] = []
    for sample in samples:
        image: StoredImage = dataset.images[sample.image]
        for answer in predict_window(image, engine, sample.window):
            labels = image.read_labels(answer.window)
            known = np.flatnonzero((labels != IGNORE) & answer.valid)[::step]
            if answer.scores is not None and len(known):
                scores = answer.scores[: engine.classes]
                found.append(scores.reshape(len(scores), -1)[:, known].T)
                reference.append(labels.ravel()[known])
    return np.concatenate(found), np.concatenate(reference)
