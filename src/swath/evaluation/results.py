"""Scores as a command's result, computed from the counts of areas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.evaluation.scoring import AreaScore
from swath.legend import Legend
from swath.metrics.bootstrap import Interval, by_group, intervals
from swath.metrics.boundary import boundary_iou
from swath.metrics.calibration import expected_calibration_error
from swath.metrics.confusion import Scores, mean_known, tallies
from swath.metrics.dfc2019 import iou3
from swath.models.card import FoldScores
from swath.types import Result

MIN_AGREED = 0.6
"""Share of the pixels from which labels and a map agree that have other numbers of classes."""

MAX_OWN = 0.5
"""Share of that agreement which they may have as they are."""

MAX_PAIRS = 5
"""Classes of other numbers that are listed."""


class ClassScores(Result):
    """Scores of one class, 0..1, None where it has none.

    Attributes:
        name: of the class.
        code: that a map holds for it.
        iou: intersection over union.
        iou_interval: 95% interval of it, by bootstrap over groups; None with fewer than three.
        f1: also called Dice.
        precision: user's accuracy.
        recall: producer's accuracy.
        boundary_iou: IoU of the pixels within five pixels of a boundary.
        pixels: number of labeled pixels.
        iou3: IoU-3, with heights.
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
    """Confidence against the share of right pixels.

    Attributes:
        temperature: scores are divided by it.
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
    """Scores of a map or model.

    A class that neither reference nor map holds has no score and is left out of means; one that is
    mapped but absent from the reference has IoU 0 and counts. Intervals (95%) are by bootstrap over
    groups, and None with fewer than three.

    Attributes:
        miou: mean IoU over the classes of reference or map, without unlabeled pixels as a class.
        miou_interval: of it.
        miou_with_unlabeled: mean IoU with that class; None where it was not trained.
        miou3: mean IoU-3, for which a true positive also needs its height; None without heights.
        heights_known: share of the labeled pixels whose true height is known; at the others any
            height is right for IoU-3.
        accuracy: share of labeled pixels that are right.
        accuracy_interval: of it.
        kappa: Cohen's.
        boundary_miou: mean boundary IoU.
        classes: scores of each class.
        confusion: pixels by true (rows) and mapped class (columns), in the order of `classes`.
        split: which split was scored; `labels` where labels were given instead of a dataset;
            `folds` where nothing was held out but the training's own labels, in turn.
        images: number of images or blocks.
        groups: those that were scored.
        unmapped: labeled pixels where the map has no data; they are not scored.
        per_image: mean IoU of each image or block, worst first.
        reliability: confidence against the share of right pixels; None for a map file.
        report: path of the page, if one was asked for.
        forest: mean IoU of a random forest on the same bands and split, trained on pixels of the
            training split, 0..1; None without a report, or without scikit-learn.
        forest_interval: of it, likewise.
        folds: scores of the training on labels that it held out in turn, by the quick recipe.
        warnings: sentences on scores that mean little: nothing was scored, or one class alone.
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
    forest: float | None = None
    forest_interval: tuple[float, float] | None = None
    folds: FoldScores | None = None
    warnings: list[str] = []


def summarize_folds(legend: Legend, folds: FoldScores) -> EvaluateResult:
    """Turn the scores on labels that a training held out in turn into those of a model.

    Args:
        legend: classes of the model.
        folds: see `FoldScores`.
    """
    matrix = np.array(folds.confusion)
    scores = Scores.of(matrix)
    none = np.full(len(matrix), np.nan)
    return EvaluateResult(
        miou=folds.miou,
        miou_interval=folds.interval,
        accuracy=known(scores.accuracy),
        kappa=known(scores.kappa),
        classes=_class_scores(legend, scores, scores, none, None, [None] * len(matrix)),
        confusion=matrix.tolist(),
        split="folds",
        images=0,
        per_image=[],
        folds=folds,
        warnings=degenerate(matrix, legend),
    )


def summarize(
    legend: Legend, split: str, scored: Sequence[AreaScore], temperature: float = 1.0
) -> EvaluateResult:
    """Turn the counts of areas into scores."""
    every = np.sum([area.matrix for area in scored], axis=0)
    matrix = labeled_only(every, legend)
    total, with_unlabeled = Scores.of(matrix), Scores.of(every)
    has_unlabeled = any(c.unlabeled for c in legend.trained)
    edges = boundary_iou(np.sum([area.boundary for area in scored], axis=0))
    with_height = _iou3(legend, every, scored)
    groups = tallies_by_group(scored, legend)
    miou_interval, accuracy_interval, *iou_intervals = intervals(
        groups, lambda drawn: headline(drawn, legend)
    )
    per_image = [_image_score(area, legend) for area in scored]
    bins = [area.reliability for area in scored if area.reliability is not None]
    result = EvaluateResult(
        miou=known(mean_over_labeled(total.iou, legend)),
        miou_interval=miou_interval,
        miou_with_unlabeled=known(with_unlabeled.miou) if has_unlabeled else None,
        accuracy=known(total.accuracy),
        accuracy_interval=accuracy_interval,
        kappa=known(total.kappa),
        boundary_miou=known(mean_over_labeled(edges, legend)),
        classes=_class_scores(legend, total, with_unlabeled, edges, with_height, iou_intervals),
        confusion=every.tolist(),
        split=split,
        images=len(scored),
        groups=sorted({area.area.group for area in scored}),
        unmapped=sum(area.unmapped for area in scored),
        per_image=sorted(per_image, key=lambda s: (s.miou is None, s.miou)),
        reliability=_reliability(np.sum(bins, axis=0), temperature) if bins else None,
        warnings=degenerate(matrix, legend),
    )
    if with_height is None:
        return result
    share = sum(area.heights for area in scored) / max(1, int(every.sum()))
    miou3 = known(mean_over_labeled(with_height, legend))
    return result.model_copy(update={"miou3": miou3, "heights_known": share})


def degenerate(matrix: NDArray[np.int64], legend: Legend) -> list[str]:
    """Return sentences on a confusion matrix (n, n), rows reference, whose scores mean little."""
    labeled, mapped = (np.flatnonzero(matrix.sum(axis=axis)) for axis in (1, 0))
    if not len(labeled):
        return ["No labeled pixel has data in the map, so nothing is scored."]
    out = []
    if len(labeled) == 1:
        name = legend.names[labeled[0]]
        out.append(f"All labels are of one class, {name}: scores of one class show no skill.")
    if len(mapped) == 1 and len(legend.trained) > 1:
        name = legend.names[mapped[0]]
        out.append(f"The map has one class, {name}, at all labeled pixels.")
    return out + _renumbered(matrix, legend)


def _renumbered(matrix: NDArray[np.int64], legend: Legend) -> list[str]:
    """Return a sentence where labels and map agree once the classes of one have other numbers."""
    labeled = np.flatnonzero(matrix.sum(axis=1))
    best = _partners(matrix)[labeled]
    agreed = matrix[labeled, best].sum() / matrix.sum()
    own = np.trace(matrix) / matrix.sum()
    if len(labeled) < 2 or agreed < MIN_AGREED or own > MAX_OWN * agreed:
        return []
    names = legend.names
    pairs = [f"{names[i]} to {names[j]}" for i, j in zip(labeled, best, strict=True) if i != j]
    shown = ", ".join(pairs[:MAX_PAIRS]) + (", ..." if len(pairs) > MAX_PAIRS else "")
    return [
        f"Labels and map agree at {own:.0%} of the pixels, and would at {agreed:.0%} if "
        f"the labels' classes were renumbered ({shown}): check that both have the same codes."
    ]


def _partners(matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the mapped class of each reference class, each once: most shared pixels first."""
    left = matrix.copy()
    out = np.zeros(len(matrix), np.int64)
    for _ in range(len(matrix)):
        row, column = np.unravel_index(left.argmax(), left.shape)
        out[row] = column
        left[row], left[:, column] = -1, -1
    return out


def _iou3(
    legend: Legend, every: NDArray[np.int64], scored: Sequence[AreaScore]
) -> NDArray[np.float64] | None:
    """Return IoU-3 of each class; None where no height is known."""
    if not any(area.heights for area in scored):
        return None
    hits = np.sum([a.height_hits for a in scored if a.height_hits is not None], axis=0)
    unlabeled = np.array([c.unlabeled for c in legend.trained])
    return np.where(unlabeled, iou3(every, hits), iou3(labeled_only(every, legend), hits))


def _class_scores(
    legend: Legend,
    total: Scores,
    with_unlabeled: Scores,
    edges: NDArray[np.float64],
    with_height: NDArray[np.float64] | None,
    iou_intervals: Sequence[Interval | None],
) -> list[ClassScores]:
    """Return the scores of each class; those of unlabeled pixels are `with_unlabeled`."""
    names = ("iou", "f1", "precision", "recall")
    of_class = [with_unlabeled if c.unlabeled else total for c in legend.trained]
    return [
        ClassScores(
            name=c.name,
            code=c.map_code,
            iou_interval=None if c.unlabeled else iou_intervals[i],
            boundary_iou=known(edges[i]),
            pixels=int(scores.pixels[i]),
            iou3=None if with_height is None else known(with_height[i]),
            **{name: known(getattr(scores, name)[i]) for name in names},
        )
        for i, (c, scores) in enumerate(zip(legend.trained, of_class, strict=True))
    ]


def tallies_by_group(scored: Sequence[AreaScore], legend: Legend) -> NDArray[Any]:
    """Return the tallies of each group's labeled pixels, (groups, 3, classes)."""
    tallied = [tallies(labeled_only(area.matrix, legend)) for area in scored]
    return by_group([area.area.group for area in scored], tallied)


def headline(drawn: NDArray[Any], legend: Legend) -> NDArray[np.float64]:
    """Return mean IoU, accuracy and the IoU of each class, (draws, 2 + classes).

    Args:
        drawn: tallies (draws, 3, classes).
        legend: the classes.
    """
    scores = Scores(drawn)
    mean = np.asarray(mean_over_labeled(scores.iou, legend))
    return np.concatenate([mean[:, None], np.asarray(scores.accuracy)[:, None], scores.iou], axis=1)


def _image_score(scored: AreaScore, legend: Legend) -> ImageScore:
    matrix = labeled_only(scored.matrix, legend)
    return ImageScore(
        name=scored.area.name,
        group=scored.area.group,
        miou=known(mean_over_labeled(Scores.of(matrix).iou, legend)),
        pixels=int(matrix.sum()),
    )


def _reliability(counts: NDArray[np.float64], temperature: float) -> Reliability:
    rows = []
    for bins in counts:
        total = max(1.0, bins[0].sum())
        rows.append([(c / p, r / p, p / total) for p, c, r in bins.T if p])
    errors = [known(expected_calibration_error(c)) for c in counts]
    return Reliability(
        temperature=temperature,
        error_before=errors[0],
        error=errors[1],
        bins_before=rows[0],
        bins=rows[1],
    )


def labeled_only(matrix: NDArray[Any], legend: Legend) -> NDArray[Any]:
    """Return confusion matrices (..., n, n) without the row of unlabeled pixels as a class."""
    out = matrix.copy()
    out[..., [i for i, c in enumerate(legend.trained) if c.unlabeled], :] = 0
    return out


def mean_over_labeled(values: NDArray[np.float64], legend: Legend) -> Any:
    """Return the mean of a score (..., n) over the labeled classes that have one, else NaN."""
    return mean_known(values[..., [i for i, c in enumerate(legend.trained) if not c.unlabeled]])


def known(value: float) -> float | None:
    """Return a number, None for NaN."""
    return None if np.isnan(value) else float(value)
