"""`swath compare`: which of two models or maps is better, by how much, and where they disagree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.commands.base import command
from swath.commands.evaluate import mapper_of, open_judged, open_reference, warn_of_other_data
from swath.errors import JobError
from swath.evaluation.reference import LabeledArea
from swath.evaluation.results import headline, known, tallies_by_group
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
    """How much of one image both map differently, and whose class is right there, as shares of its labeled pixels."""

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
        split: that was scored.
        groups: number of groups.
        differences: mIoU, accuracy, and the IoU of each class.
        images: where they disagree, most first.
        report: path of the page, if one was asked for.
    """

    a: str
    b: str
    split: str
    groups: int
    differences: list[Difference]
    images: list[Disagreement]
    report: str | None = None


@command(CompareOptions)
def compare(options: CompareOptions) -> CompareResult:
    """Score two models or maps on the same ground, and compare them in pairs.

    Raises:
        DataError: the dataset or a map is damaged, or they do not fit each other.
        ModelError: a model is damaged, or its classes or bands are not the dataset's.
        JobError: the report cannot be written, or its packages are missing.
    """
    both = [open_judged(path) for path in (options.a, options.b)]
    reference = open_reference(
        EvaluateOptions(options.a, options.dataset, split=options.split), *both
    )
    mappers = [mapper_of(judged, reference) for judged in both]
    for judged in both:
        if isinstance(judged, Model) and options.split != "train":
            warn_of_other_data(judged, reference)
    counts: tuple[list[AreaScore], list[AreaScore]] = ([], [])
    images = []
    for place in track(reference.areas, "comparing", len(reference.areas), "images"):
        a, b = (mapper.predict(reference, place) for mapper in mappers)
        for into, mapped in zip(counts, (a, b), strict=True):
            into.append(score_area(reference, place, mapped))
        images.append(_disagreement(place, reference.labels(place), a.classes, b.classes))
    images.sort(key=lambda image: -image.differ)
    result = CompareResult(
        a=str(options.a),
        b=str(options.b),
        split=options.split,
        groups=len({place.group for place in reference.areas}),
        differences=paired_differences(*counts, reference.legend),
        images=images,
    )
    if options.report is None:
        return result
    try:
        from swath.reports.evaluation import write_comparison
    except ImportError as error:
        raise JobError(
            f"the report needs {error.name}", fix='Run `pip install "swath[report]"`'
        ) from error
    page = write_comparison(options.report, reference, mappers, result.model_dump(mode="json"))
    return result.model_copy(update={"report": str(page)})


def paired_differences(a: list[AreaScore], b: list[AreaScore], legend: Legend) -> list[Difference]:
    """Return the differences of scores; each draw of the bootstrap takes the same groups for both."""
    names = ["mIoU", "accuracy", *legend.names]
    counts = [tallies_by_group(judged, legend) for judged in (a, b)]
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
        for i, name in enumerate(names)
    ]


def _disagreement(
    place: LabeledArea, labels: NDArray[np.uint8], a: NDArray[np.uint8], b: NDArray[np.uint8]
) -> Disagreement:
    labeled = labels != IGNORE
    total = max(1, int(labeled.sum()))
    differ = labeled & (a != b)
    return Disagreement(
        name=place.name,
        group=place.group,
        differ=float(differ.sum() / total),
        only_a_right=float((differ & (a == labels)).sum() / total),
        only_b_right=float((differ & (b == labels)).sum() / total),
    )
