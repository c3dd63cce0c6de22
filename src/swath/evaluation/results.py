"""What scores look like as a verb's result, and how the counts of places become them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.evaluation.scoring import AreaScore
from swath.legend import Legend
from swath.metrics.bootstrap import by_group, intervals
from swath.metrics.boundary import boundary_iou
from swath.metrics.calibration import expected_calibration_error
from swath.metrics.confusion import Scores, mean_known, tallies
from swath.metrics.dfc2019 import iou3
from swath.types import Result


class ClassScores(Result):
    """Scores of one class, 0..1, None where it has none.

    Attributes:
        name: of the class.
        code: that a map holds for it.
        iou: intersection over union.
        iou_interval: 95% interval of it, by bootstrap over groups; None where there are fewer than
            three.
        f1: also called Dice.
        precision: user's accuracy.
        recall: producer's accuracy.
        boundary_iou: IoU of the pixels within five pixels of a boundary.
        pixels: its labeled pixels.
        iou3: its IoU with heights.
    """

    name: str
    code: int
    iou: float | None
    iou_interval: tuple[float, float] | None = None
    f1: float | None
    precision: float | None
    recall: float | None
    boundary_iou: float | None = None
    pixels: int
    iou3: float | None = None


class ImageScore(Result):
    """The mean IoU of one image or block."""

    name: str
    group: str
    miou: float | None
    pixels: int


class Reliability(Result):
    """How far confidence can be believed.

    Attributes:
        temperature: that scores are divided by.
        error_before: expected calibration error, 0..1, with temperature 1.
        error: with the temperature.
        bins: rows (mean confidence, share of right pixels, share of all pixels) after calibration,
            least confident first.
        bins_before: the same before.
    """

    temperature: float
    error_before: float | None
    error: float | None
    bins: list[tuple[float, float, float]]
    bins_before: list[tuple[float, float, float]]


class EvaluateResult(Result):
    """How a map scored.

    A class that neither truth nor map holds has no score and is left out of means; one that is
    mapped but absent from the truth has IoU 0 and counts. Intervals (95%) come from a bootstrap
    over groups, and are None where there are fewer than three.

    Attributes:
        miou: mean IoU over the classes that truth or map hold; where unlabeled ground was learnt
            as a class, without it.
        miou_interval: of it.
        miou_with_unlabeled: with it; None where it was not learnt.
        miou3: mean IoU-3, for which a true positive also needs its height; None without heights.
        heights_known: share of the labeled pixels whose true height is known; at the others any
            height is right for IoU-3.
        accuracy: share of labeled pixels that are right.
        accuracy_interval: of it.
        kappa: Cohen's.
        boundary_miou: mean boundary IoU.
        classes: scores of each class.
        confusion: pixels by true (rows) and mapped class (columns), in the order of `classes`.
        split: which split was scored; `labels` where labels were given instead of a dataset.
        images: number of images or blocks.
        groups: those that were scored.
        unmapped: labeled pixels where the map has no data; they are not scored.
        per_image: their own mean IoU, worst first.
        reliability: how far confidence can be believed; None for a map file.
        report: path of the page, if one was asked for.
    """

    miou: float | None
    miou_interval: tuple[float, float] | None = None
    miou_with_unlabeled: float | None = None
    miou3: float | None = None
    heights_known: float | None = None
    accuracy: float | None
    accuracy_interval: tuple[float, float] | None = None
    kappa: float | None = None
    boundary_miou: float | None = None
    classes: list[ClassScores]
    confusion: list[list[int]]
    split: str
    images: int
    groups: list[str] = []
    unmapped: int = 0
    per_image: list[ImageScore]
    reliability: Reliability | None = None
    report: str | None = None


def summarize(
    legend: Legend, split: str, judged: Sequence[AreaScore], temperature: float = 1.0
) -> EvaluateResult:
    """Turn the counts of places into scores."""
    every = np.sum([j.matrix for j in judged], axis=0)
    matrix = labeled_only(every, legend)
    total, with_unlabeled = Scores.of(matrix), Scores.of(every)
    unlabeled = np.array([c.unlabeled for c in legend.trained])
    edges = boundary_iou(np.sum([j.boundary for j in judged], axis=0))
    columns = {
        name: np.where(unlabeled, getattr(with_unlabeled, name), getattr(total, name))
        for name in ("iou", "f1", "precision", "recall", "pixels")
    } | {"boundary_iou": edges}
    near = [j.near for j in judged if j.near is not None] if any(j.heights for j in judged) else []
    if near:
        hits = np.sum(near, axis=0)
        columns["iou3"] = np.where(unlabeled, iou3(every, hits), iou3(matrix, hits))
    groups = tallies_by_group(judged, legend)
    miou_interval, accuracy_interval, *iou_intervals = intervals(
        groups, lambda drawn: headline(drawn, legend)
    )
    sure = [j.reliability for j in judged if j.reliability is not None]
    return EvaluateResult(
        miou=known(mean_over_labeled(total.iou, legend)),
        miou_interval=miou_interval,
        miou3=known(mean_over_labeled(columns["iou3"], legend)) if near else None,
        heights_known=sum(j.heights for j in judged) / max(1, int(every.sum())) if near else None,
        miou_with_unlabeled=known(with_unlabeled.miou) if unlabeled.any() else None,
        accuracy=known(total.accuracy),
        accuracy_interval=accuracy_interval,
        kappa=known(total.kappa),
        boundary_miou=known(mean_over_labeled(edges, legend)),
        classes=[
            ClassScores(
                name=c.name,
                code=c.map_code,
                pixels=int(columns["pixels"][i]),
                iou_interval=None if c.unlabeled else iou_intervals[i],
                **{name: known(values[i]) for name, values in columns.items() if name != "pixels"},
            )
            for i, c in enumerate(legend.trained)
        ],
        confusion=every.tolist(),
        split=split,
        images=len(judged),
        groups=sorted({j.place.group for j in judged}),
        unmapped=sum(j.unmapped for j in judged),
        per_image=sorted(
            (_image_score(j, legend) for j in judged), key=lambda s: (s.miou is None, s.miou)
        ),
        reliability=_reliability(np.sum(sure, axis=0), temperature) if sure else None,
    )


def tallies_by_group(judged: Sequence[AreaScore], legend: Legend) -> NDArray[Any]:
    """Return the tallies of each group's labeled ground, (groups, 3, classes)."""
    return by_group(
        [j.place.group for j in judged], [tallies(labeled_only(j.matrix, legend)) for j in judged]
    )


def headline(drawn: NDArray[Any], legend: Legend) -> NDArray[np.float64]:
    """Turn tallies (draws, 3, classes) into mean IoU, accuracy and the IoU of each class, (draws, 2 + classes)."""
    scores = Scores(drawn)
    mean = np.asarray(mean_over_labeled(scores.iou, legend))
    return np.concatenate([mean[:, None], np.asarray(scores.accuracy)[:, None], scores.iou], axis=1)


def _image_score(judged: AreaScore, legend: Legend) -> ImageScore:
    matrix = labeled_only(judged.matrix, legend)
    miou = known(mean_over_labeled(Scores.of(matrix).iou, legend))
    return ImageScore(
        name=judged.place.name, group=judged.place.group, miou=miou, pixels=int(matrix.sum())
    )


def _reliability(counts: NDArray[np.float64], temperature: float) -> Reliability:
    rows = []
    for pixels, confidence, right in counts:
        total = max(1.0, pixels.sum())
        rows.append(
            [
                (c / p, r / p, p / total)
                for p, c, r in zip(pixels, confidence, right, strict=True)
                if p
            ]
        )
    errors = [known(expected_calibration_error(c)) for c in counts]
    return Reliability(
        temperature=temperature,
        error_before=errors[0],
        error=errors[1],
        bins_before=rows[0],
        bins=rows[1],
    )


def labeled_only(matrix: NDArray[Any], legend: Legend) -> NDArray[Any]:
    """Return confusion matrices (..., n, n) without the truth that means no label; to map that on labeled ground is wrong."""
    out = matrix.copy()
    out[..., [i for i, c in enumerate(legend.trained) if c.unlabeled], :] = 0
    return out


def mean_over_labeled(values: NDArray[np.float64], legend: Legend) -> Any:
    """Return the mean of a score (..., n) over the classes that have one, but unlabeled ground; NaN where none has."""
    return mean_known(values[..., [i for i, c in enumerate(legend.trained) if not c.unlabeled]])


def known(value: float) -> float | None:
    """Return a number, None for NaN."""
    return None if np.isnan(value) else float(value)
