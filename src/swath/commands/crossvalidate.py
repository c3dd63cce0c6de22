"""`swath crossvalidate`: train on all but one part of the data and score on it, for each part."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from swath.commands.base import command
from swath.data.dataset import Dataset
from swath.data.folds import make_folds, resplit
from swath.data.statistics import check_class_count
from swath.evaluation.reference import DatasetReference
from swath.evaluation.results import EvaluateResult, summarize
from swath.evaluation.scoring import AreaScore, ModelPredictor, score_areas
from swath.io.atomic import atomic_file, exclusive
from swath.io.work_folder import WorkFolder, open_store
from swath.models.model import Model
from swath.options import CrossvalidateOptions, TrainingOptions
from swath.progress import track
from swath.types import Result

RESULT = "crossvalidation.json"
BEGUN = ".crossvalidation-begun.json"


class Fold(Result):
    """One part: its groups, the scores of the model that was trained without them, its file."""

    groups: list[str]
    miou: float | None
    accuracy: float | None
    model: str


class CrossvalidateResult(Result):
    """Scores of cross-validation.

    Attributes:
        miou: mean IoU over the counts of all folds together.
        miou_interval: 95% interval of it, by bootstrap over all groups.
        mean: mean of the folds' mean IoU.
        deviation: standard deviation between folds (n - 1).
        folds: each part.
        pooled: all scores over the counts of all folds together.
        result: path of the same as a file.
        warnings: sentences on scores that mean little.
    """

    miou: float | None
    miou_interval: tuple[float, float] | None
    mean: float | None
    deviation: float | None
    folds: list[Fold]
    pooled: EvaluateResult
    result: str
    warnings: list[str] = []


@command(CrossvalidateOptions)
def crossvalidate(options: CrossvalidateOptions) -> CrossvalidateResult:
    """Train and score once a fold; every group is scored with a model trained without it.

    After an interruption the same command continues.

    Raises:
        DataError: the dataset is damaged, or has fewer groups than folds.
        UsageError: a training option is wrong.
        JobError: a model or the result cannot be written.
    """
    with exclusive(options.folder):
        return _crossvalidate(options)


def _crossvalidate(options: CrossvalidateOptions) -> CrossvalidateResult:
    dataset = Dataset(options.dataset)
    check_class_count(dataset.manifest, dataset.folder)
    parts = make_folds(dataset, options.folds, options.seed)
    folder = Path(options.folder)
    names = [*(field.name for field in fields(TrainingOptions)), "seed"]
    given = {name: getattr(options, name) for name in names}
    settings = {name: value for name, value in given.items() if value is not None}
    _begin(folder, json.dumps([dataset.manifest.digest, parts, settings]), len(parts))
    folds: list[Fold] = []
    everything: list[AreaScore] = []
    for number, groups in enumerate(track(parts, "folds", len(parts), "folds"), 1):
        data, path = folder / f".fold-{number}", folder / f"fold-{number}.swath"
        try:
            resplit(dataset, data, groups)
            if not path.exists():
                _train_fold(data, path, settings)
            reference, model = DatasetReference(Dataset(data), "test"), Model(path)
            predictor = ModelPredictor(model.predictor, model.card.temperature)
            counts = list(score_areas(reference, predictor))
        finally:
            shutil.rmtree(data, ignore_errors=True)
        scored = summarize(reference.legend, "test", counts)
        fold = Fold(groups=groups, miou=scored.miou, accuracy=scored.accuracy, model=str(path))
        folds.append(fold)
        everything += counts
    result = _result(dataset, folds, everything, str(folder / RESULT))
    with atomic_file(folder / RESULT) as partial:
        partial.write_text(json.dumps(result.model_dump(mode="json"), indent=1), encoding="utf-8")
    (folder / BEGUN).unlink(missing_ok=True)
    return result


def _begin(folder: Path, present: str, folds: int) -> None:
    """Make the folder, or continue in it if its record matches; other work's models are removed.

    Raises:
        JobError: the folder cannot be written.
    """
    models = [f"fold-{number}.swath" for number in range(1, folds + 1)]
    store = open_store(str(folder), [BEGUN, *models, *(f"{name}.training" for name in models)])
    WorkFolder(store, BEGUN).open(lambda: present)


def _train_fold(data: Path, path: Path, settings: dict[str, Any]) -> None:
    from swath.commands.train import train

    train(data, path, **settings, resume=Path(f"{path}.training").exists())


def _result(
    dataset: Dataset, folds: list[Fold], counts: list[AreaScore], path: str
) -> CrossvalidateResult:
    pooled = summarize(dataset.manifest.legend, "folds", counts)
    known = [fold.miou for fold in folds if fold.miou is not None]
    return CrossvalidateResult(
        miou=pooled.miou,
        miou_interval=pooled.miou_interval,
        mean=float(np.mean(known)) if known else None,
        deviation=float(np.std(known, ddof=1)) if len(known) > 1 else None,
        folds=folds,
        pooled=pooled,
        result=path,
        warnings=pooled.warnings,
    )
