"""`swath evaluate`: how good a model is on ground that it has not seen."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath.classes import Legend
from swath.contest import iou3, score_heights
from swath.dataset import Dataset, Sample
from swath.errors import DataError, JobError, ModelError
from swath.model import Model
from swath.options import EvaluateOptions
from swath.progress import track
from swath.scores import Scores
from swath.scoring import score
from swath.verbs.verb import Result, verb

log = logging.getLogger(__name__)


class ClassScores(Result):
    """Scores of one class, 0..1, None where it has none; `pixels` are its labelled pixels, `iou3` its IoU with heights."""

    name: str
    code: int
    iou: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    pixels: int
    iou3: float | None = None


class ImageScore(Result):
    """The mean IoU of one image or block."""

    name: str
    group: str
    miou: float | None
    pixels: int


class EvaluateResult(Result):
    """How a model scored.

    Attributes:
        miou: mean IoU over the classes that truth or map hold; where unlabelled ground was learnt as a class, without it.
        miou_with_unlabeled: with it; None where it was not learnt.
        miou3: mean IoU-3, for which a true positive also needs its height; None without heights.
        accuracy: share of labelled pixels that are right.
        classes: scores of each class.
        confusion: pixels by true (rows) and mapped class (columns), in the order of `classes`.
        split: which split was scored.
        images: number of images or blocks.
        per_image: their own mean IoU, worst first.
        report: path of the page, if one was asked for.
    """

    miou: float | None
    miou_with_unlabeled: float | None = None
    miou3: float | None = None
    accuracy: float | None
    classes: list[ClassScores]
    confusion: list[list[int]]
    split: str
    images: int
    per_image: list[ImageScore]
    report: str | None = None


@dataclass(frozen=True)
class Scored:
    """A sample with its confusion matrix."""

    sample: Sample
    matrix: NDArray[np.int64]


@verb(EvaluateOptions)
def evaluate(options: EvaluateOptions) -> EvaluateResult:
    """Score a model on a split of a dataset, and write a report if asked.

    Raises:
        DataError: the dataset is damaged, or the split is empty.
        ModelError: the model is damaged, or its classes or bands are not the dataset's.
        JobError: the report cannot be written, or its packages are missing.
    """
    model = Model(options.model)
    dataset = Dataset(options.dataset)
    check_fit(model, dataset)
    samples = dataset.manifest.of(options.split)
    if not samples:
        raise DataError(
            f"the {options.split} split is empty",
            file=dataset.folder,
            fix="Choose another --split, or prepare with groups for it",
        )
    if options.split != "train" and model.card.training.data_digest != dataset.manifest.digest:
        log.warning(
            "%s was trained on another dataset or split than %s: if they share ground, the score is too good.",
            options.model,
            options.dataset,
        )
    pairs = track(score(dataset, samples, model.engine), "scoring", len(samples), "images")
    scored = [Scored(sample, matrix) for sample, matrix in pairs]
    result = summarise(dataset, options.split, scored)
    if model.card.heights and any(image.heights for image in dataset.manifest.images):
        near = sum(track(score_heights(dataset, samples, model.engine), "scoring heights", len(samples), "images"))
        result = with_heights(result, dataset.manifest.legend, scored, np.asarray(near))
    if options.report is None:
        return result
    try:
        from swath.report import write_report
    except ImportError as error:
        raise JobError(f"the report needs {error.name}", fix='Run `pip install "swath[report]"`') from error
    return result.model_copy(
        update={"report": str(write_report(options.report, model, dataset, result.model_dump(mode="json")))}
    )


def check_fit(model: Model, dataset: Dataset) -> None:
    """Refuse a dataset whose bands or classes are not the model's.

    Raises:
        ModelError: they differ.
    """
    mine, theirs = ([(c.name, c.map_code) for c in x.learnt] for x in (model.card.legend, dataset.manifest.legend))
    if mine != theirs:
        raise ModelError(
            f"its classes are {_listed(mine)}, and the dataset's are {_listed(theirs)}",
            file=model.path,
            fix="Prepare the dataset with the model's classes (--classes)",
        )
    if len(model.card.bands) != len(dataset.manifest.bands):
        raise ModelError(
            f"it takes {len(model.card.bands)} bands, and the dataset has {len(dataset.manifest.bands)}",
            file=model.path,
            fix="Prepare the dataset with the model's bands",
        )


def _listed(classes: list[tuple[str, int]]) -> str:
    return ", ".join(f"{name} ({code})" for name, code in classes)


def summarise(dataset: Dataset, split: str, scored: list[Scored]) -> EvaluateResult:
    """Turn confusion matrices into scores."""
    legend = dataset.manifest.legend
    every = Scores(np.sum([s.matrix for s in scored], axis=0))
    total = Scores(labelled_only(every.matrix, legend))
    columns = {name: getattr(total, name) for name in ("iou", "f1", "precision", "recall")}
    per_image = [
        ImageScore(
            name=s.sample.name,
            group=s.sample.group,
            miou=_known(mean_over_labelled(Scores(labelled_only(s.matrix, legend)).iou, legend)),
            pixels=int(labelled_only(s.matrix, legend).sum()),
        )
        for s in scored
    ]
    return EvaluateResult(
        miou=_known(mean_over_labelled(total.iou, legend)),
        miou_with_unlabeled=_known(every.miou) if any(c.unlabeled for c in legend.learnt) else None,
        accuracy=_known(total.accuracy),
        classes=[
            ClassScores(
                name=c.name,
                code=c.map_code,
                pixels=int(total.pixels[i]),
                **{name: _known(values[i]) for name, values in columns.items()},
            )
            for i, c in enumerate(legend.learnt)
        ],
        confusion=every.matrix.tolist(),
        split=split,
        images=len(scored),
        per_image=sorted(per_image, key=lambda s: (s.miou is None, s.miou)),
    )


def with_heights(result: EvaluateResult, legend: Legend, scored: list[Scored], near: NDArray[np.int64]) -> EvaluateResult:
    """Add IoU-3 to scores; `near` are the true positives of each class that have their height."""
    values = iou3(labelled_only(np.sum([s.matrix for s in scored], axis=0), legend), near)
    classes = [c.model_copy(update={"iou3": _known(v)}) for c, v in zip(result.classes, values, strict=True)]
    return result.model_copy(update={"miou3": _known(mean_over_labelled(values, legend)), "classes": classes})


def labelled_only(matrix: NDArray[np.int64], legend: Legend) -> NDArray[np.int64]:
    """Return a confusion matrix without the truth that means no label; where that is mapped on labelled ground it is wrong."""
    out = matrix.copy()
    out[[i for i, c in enumerate(legend.learnt) if c.unlabeled]] = 0
    return out


def mean_over_labelled(values: NDArray[np.float64], legend: Legend) -> float:
    """Return the mean of a score over the classes that have one, without that of unlabelled ground; NaN where none has."""
    kept = values[[i for i, c in enumerate(legend.learnt) if not c.unlabeled]]
    kept = kept[~np.isnan(kept)]
    return float(kept.mean()) if kept.size else float("nan")


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
