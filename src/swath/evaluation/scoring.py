"""Scores of models and maps against reference labels, counted area by area."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from swath.data.dataset import Dataset, Sample
from swath.errors import DataError
from swath.evaluation.reference import LabeledArea, Reference
from swath.inference.tiled import TiledPredictor, classify, predict_window
from swath.io.labels import UNLABELED
from swath.io.map_reader import MapFile
from swath.legend import IGNORE, Legend
from swath.metrics.boundary import boundary_counts
from swath.metrics.calibration import probabilities, reliability
from swath.metrics.confusion import confusion_matrix
from swath.metrics.dfc2019 import near_height_hits

MAX_CALIBRATION_PIXELS = 2**20
"""Labeled pixels of a calibration, about."""


@dataclass(frozen=True)
class AreaPrediction:
    """Classes, confidence and heights that are mapped in an area.

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
    """A source of predictions: a model, or a map file."""

    def predict(self, reference: Reference, area: LabeledArea) -> AreaPrediction:
        """Return what is mapped in an area.

        Raises:
            DataError: the area cannot be mapped.
        """


class ModelPredictor:
    """A model that maps as in use: what surrounds an area is read as context.

    Args:
        predictor: the running network.
        temperature: its calibration.
    """

    def __init__(self, predictor: TiledPredictor, temperature: float) -> None:
        self._predictor = predictor
        self._temperatures = (1.0, temperature)

    def predict(self, reference: Reference, area: LabeledArea) -> AreaPrediction:
        """Return what the model maps in an area; see `Predictor`."""
        image = reference.image(area)
        if image is None:
            raise DataError(
                "The reference has labels and no images, which a model needs",
                code="no-images",
                file=reference.origin,
                fix="Give a dataset, or a map instead of a model",
            )
        shape = (area.window.height, area.window.width)
        classes = np.full(shape, IGNORE, np.uint8)
        confidence = np.zeros((2, *shape), np.float32)
        has_heights = self._predictor.output.heights
        heights = np.full(shape, np.nan, np.float32) if has_heights else None
        for tile in predict_window(image, self._predictor, area.window):
            rows, cols = tile.window.relative_to(area.window).slices
            classes[rows, cols] = tile.indices
            if heights is not None:
                heights[rows, cols] = tile.height
            if tile.scores is not None:
                scores = tile.output.class_scores(tile.scores)
                for layer, temperature in zip(confidence, self._temperatures, strict=True):
                    layer[rows, cols] = probabilities(scores, temperature).max(axis=0)
        return AreaPrediction(classes, confidence, heights)


class MapPredictor:
    """A map file, read onto the grid of each area's image (nearest).

    Args:
        mapped: the map.
        legend: the classes of the reference; a code that none of them has is an error.
    """

    def __init__(self, mapped: MapFile, legend: Legend) -> None:
        self._map = mapped
        self._legend = legend.of_maps()
        self._on = lru_cache(1)(mapped.on)

    def predict(self, reference: Reference, area: LabeledArea) -> AreaPrediction:
        """Return what the map holds in an area; see `Predictor`."""
        codes = self._on(reference.grid(area)).read(area.window, "code")
        unknown = (codes != UNLABELED) & ~self._legend.known(codes)
        if unknown.any():
            names = ", ".join(f"{c.map_code} ({c.name})" for c in self._legend.trained)
            raise DataError(
                f"The map has code {codes[unknown][0]} ({int(unknown.sum())} pixels at "
                f"{area.name}), which is of no class",
                code="unknown-code",
                file=self._map.path,
                fix=f"The codes are {names}",
            )
        return AreaPrediction(self._legend.encode(codes))


@dataclass(frozen=True)
class AreaScore:
    """The counts of one area; those of several add up.

    Attributes:
        area: the area.
        matrix: confusion matrix (n, n), rows reference.
        boundary: see `boundary_counts`, (2, n).
        reliability: see `reliability`, before and after calibration (2, 3, bins); None where
            confidence is not known.
        unmapped: labeled pixels where nothing is mapped; they are not among the others.
        height_hits: true positives of each class that have their height, (n,); None where
            reference or map has no heights.
        heights: labeled pixels whose true height is known.
    """

    area: LabeledArea
    matrix: NDArray[np.int64]
    boundary: NDArray[np.int64]
    reliability: NDArray[np.float64] | None
    unmapped: int
    height_hits: NDArray[np.int64] | None
    heights: int


def score_areas(reference: Reference, predictor: Predictor) -> Iterator[AreaScore]:
    """Yield the counts of each area, in order.

    Raises:
        DataError: an area cannot be mapped.
    """
    for area in reference.areas:
        yield score_area(reference, area, predictor.predict(reference, area))


def score_area(reference: Reference, area: LabeledArea, mapped: AreaPrediction) -> AreaScore:
    """Count a prediction of an area against its labels."""
    n = len(reference.legend.trained)
    labels = reference.labels(area)
    unmapped = (labels != IGNORE) & (mapped.classes == IGNORE)
    labels = np.where(unmapped, np.uint8(IGNORE), labels)
    known = labels != IGNORE
    bins = None
    if mapped.confidence is not None:
        right = mapped.classes[known] == labels[known]
        bins = np.stack([reliability(layer[known], right) for layer in mapped.confidence])
    meters = None if mapped.heights is None else reference.heights(area)
    height_hits, heights = None, 0
    if meters is not None and mapped.heights is not None:
        height_hits = near_height_hits(labels, mapped.classes, meters, mapped.heights, n)
        heights = int(np.isfinite(meters[known]).sum())
    return AreaScore(
        area,
        confusion_matrix(labels, mapped.classes, n),
        boundary_counts(labels, mapped.classes, n),
        bins,
        int(unmapped.sum()),
        height_hits,
        heights,
    )


def score_samples(
    dataset: Dataset, samples: Iterable[Sample], predictor: TiledPredictor
) -> Iterator[tuple[Sample, NDArray[np.int64]]]:
    """Yield each sample and its confusion matrix (classes, classes), rows reference."""
    n = len(dataset.manifest.legend.trained)
    for sample in samples:
        image = dataset.images[sample.image]
        matrix = np.zeros((n, n), np.int64)
        for window, predicted in classify(image, predictor, sample.window):
            matrix += confusion_matrix(image.read_labels(window), predicted, n)
        yield sample, matrix


def labeled_scores(
    dataset: Dataset, samples: Sequence[Sample], predictor: TiledPredictor
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return class scores (pixels, classes) and labels (pixels,) of evenly chosen labeled pixels.

    They are about `MAX_CALIBRATION_PIXELS` at most.
    """
    total = sum(sum(s.counts) for s in samples)
    step = max(1, total // MAX_CALIBRATION_PIXELS)
    found: list[NDArray[np.float32]] = []
    reference: list[NDArray[np.uint8]] = []
    for sample in samples:
        image = dataset.images[sample.image]
        for tile in predict_window(image, predictor, sample.window):
            labels = image.read_labels(tile.window)
            known = np.flatnonzero((labels != IGNORE) & tile.valid)[::step]
            if tile.scores is not None and len(known):
                scores = tile.output.class_scores(tile.scores)
                found.append(scores.reshape(len(scores), -1)[:, known].T)
                reference.append(labels.ravel()[known])
    return np.concatenate(found), np.concatenate(reference)
