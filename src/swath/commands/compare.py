"""`swath compare`: which of two models or maps is better, by how much, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from swath.commands.base import command, missing_report_package
from swath.commands.evaluate import (
    make_predictor,
    open_model_or_map,
    open_reference,
    warn_of_other_dataset,
)
from swath.evaluation.reference import LabeledArea
from swath.evaluation.results import degenerate, headline, known, tallies_by_group
from swath.evaluation.scoring import AreaScore, score_area
from swath.legend import IGNORE, Legend
from swath.metrics.bootstrap import MIN_GROUPS, interval, resampled
from swath.models.model import Model
from swath.options import CompareOptions, EvaluateOptions
from swath.progress import track
from swath.types import Result


class Difference(Result):
    """A score of both and their difference, B minus A.

    Attributes:
        name: mIoU, accuracy, or the class whose IoU it is.
        a: score of the first.
        b: score of the second.
        difference: b - a; None where one has no score.
        interval: 95% interval of the difference, from groups drawn for both alike; None for fewer
            than three groups.
    """

    name: str
    a: float | None
    b: float | None
    difference: float | None
    interval: tuple[float, float] | None


class Disagreement(Result):
    """Shares of an image's labeled pixels where both differ, and where one of them is right."""

    name: str
    group: str
    differ: float
    only_a_right: float
    only_b_right: float


class CompareResult(Result):
    """How two maps differ.

    Attributes:
        a: the first.
        b: the second.
        split: the split that was scored.
        groups: number of groups.
        differences: mIoU, accuracy, and the IoU of each class.
        images: shares of disagreement, largest first.
        report: path of the page, if requested.
        warnings: sentences on scores that mean little, of A and of B.
    """

    a: str
    b: str
    split: str
    groups: int
    differences: list[Difference]
    images: list[Disagreement]
    report: str | None = None
    warnings: list[str] = []


@command(CompareOptions)
def compare(options: CompareOptions) -> CompareResult:
    """Score two models or maps on the same areas, and compare them in pairs.

    Raises:
        DataError: the dataset or a map is damaged, or they do not fit each other.
        ModelError: a model is damaged, or its classes or bands are not the dataset's.
        JobError: the report cannot be written, or its packages are missing.
    """
    sources = [open_model_or_map(path) for path in (options.a, options.b)]
    scored = EvaluateOptions(options.a, options.dataset, split=options.split)
    reference = open_reference(scored, *sources)
    predictors = [make_predictor(source, reference) for source in sources]
    for source in sources:
        if isinstance(source, Model) and options.split != "train":
            warn_of_other_dataset(source, reference)
    scores: tuple[list[AreaScore], list[AreaScore]] = ([], [])
    images = []
    for area in track(reference.areas, "comparing", len(reference.areas), "images"):
        predictions = [predictor.predict(reference, area) for predictor in predictors]
        for into, prediction in zip(scores, predictions, strict=True):
            into.append(score_area(reference, area, prediction))
        classes = [prediction.classes for prediction in predictions]
        images.append(_disagreement(area, reference.labels(area), *classes))
    images.sort(key=lambda image: -image.differ)
    result = CompareResult(
        a=str(options.a),
        b=str(options.b),
        split=options.split,
        groups=len({area.group for area in reference.areas}),
        differences=paired_differences(*scores, reference.legend),
        images=images,
        warnings=[
            *_degenerate("A", scores[0], reference.legend),
            *_degenerate("B", scores[1], reference.legend),
        ],
    )
    if options.report is None:
        return result
    try:
        from swath.reports.evaluation import write_comparison
    except ImportError as error:
        raise missing_report_package(error) from error
    page = write_comparison(options.report, reference, predictors, result.model_dump(mode="json"))
    return result.model_copy(update={"report": str(page)})


def _degenerate(name: str, scores: Sequence[AreaScore], legend: Legend) -> list[str]:
    """Return warnings on scores that mean little, each with the name of the scored map."""
    total = np.sum([area.matrix for area in scores], axis=0)
    return [f"{name}: {text}" for text in degenerate(total, legend)]


def paired_differences(a: list[AreaScore], b: list[AreaScore], legend: Legend) -> list[Difference]:
    """Return the differences of scores; each bootstrap draw takes the same groups for both."""
    counts = [tallies_by_group(scores, legend) for scores in (a, b)]
    of_a, of_b = (headline(c.sum(axis=0)[None], legend)[0] for c in counts)
    draws = None
    if len(counts[0]) >= MIN_GROUPS:
        a_draws, b_draws = (resampled(c, lambda t: headline(t, legend)) for c in counts)
        draws = b_draws - a_draws
    return [
        Difference(
            name=name,
            a=known(of_a[i]),
            b=known(of_b[i]),
            difference=known(of_b[i] - of_a[i]),
            interval=None if draws is None else interval(draws[:, i]),
        )
        for i, name in enumerate(["mIoU", "accuracy", *legend.names])
    ]


def _disagreement(
    area: LabeledArea, labels: NDArray[np.uint8], a: NDArray[np.uint8], b: NDArray[np.uint8]
) -> Disagreement:
    labeled = labels != IGNORE
    total = max(1, int(labeled.sum()))
    differ = labeled & (a != b)
    return Disagreement(
        name=area.name,
        group=area.group,
        differ=float(differ.sum() / total),
        only_a_right=float((differ & (a == labels)).sum() / total),
        only_b_right=float((differ & (b == labels)).sum() / total),
    )
