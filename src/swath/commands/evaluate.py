"""`swath evaluate`: how good a model is on ground that it has not seen, or a map that any tool made."""

from __future__ import annotations

import logging
import shlex
import zipfile
from pathlib import Path

from swath.commands.base import command
from swath.data.dataset import MANIFEST, Dataset
from swath.errors import JobError, ModelError, UsageError
from swath.evaluation.reference import DatasetReference, LabelReference, Reference
from swath.evaluation.results import EvaluateResult, summarize
from swath.evaluation.scoring import MapPredictor, ModelPredictor, Predictor, score_areas
from swath.inference.runtimes import choose_setup
from swath.io.map_reader import MapFile
from swath.legend import read_legend
from swath.models.model import Model
from swath.options import EvaluateOptions
from swath.progress import track
from swath.types import Gsd, PathLike, Tta

log = logging.getLogger(__name__)


@command(EvaluateOptions)
def evaluate(options: EvaluateOptions) -> EvaluateResult:
    """Score a model or a map against a split of a dataset, or a map against labels, and write a report if asked.

    Raises:
        DataError: the dataset, the map or the labels are damaged, or do not fit each other.
        ModelError: the model is damaged, its classes or bands are not the dataset's, or it has no
            network in that precision.
        JobError: the engine is not to be had, or the report cannot be written, or its packages are
            missing.
        UsageError: a model is to be scored against labels without images, or what is for models is
            asked for of a map.
    """
    judged_by = open_judged(options.model, options.tta, options.gsd)
    reference = open_reference(options, judged_by)
    mapper = mapper_of(judged_by, reference, options.precision, options.gsd)
    model = judged_by if isinstance(judged_by, Model) else None
    if model and options.split != "train":
        warn_of_other_data(model, reference)
    counts = list(track(score_areas(reference, mapper), "scoring", len(reference.areas), "images"))
    split = options.split if isinstance(reference, DatasetReference) else "labels"
    result = summarize(reference.legend, split, counts, model.card.temperature if model else 1.0)
    if result.unmapped:
        log.warning(
            "%s has no data at %d labeled pixels; they are not scored.",
            options.model,
            result.unmapped,
        )
    if options.report is None:
        return result
    try:
        from swath.reports.evaluation import Origin, write_report
    except ImportError as error:
        raise JobError(
            f"the report needs {error.name}", fix='Run `pip install "swath[report]"`'
        ) from error
    origin = Origin(_command(options), model.card if model else None)
    page = write_report(options.report, reference, mapper, result.model_dump(mode="json"), origin)
    return result.model_copy(update={"report": str(page)})


def _command(options: EvaluateOptions) -> str:
    """Return the command line that means these options."""
    words = ["swath", "evaluate", str(options.model), str(options.dataset)]
    if Path(options.dataset).is_dir():
        words += ["--split", options.split]
    if options.classes is not None:
        words += ["--classes", str(options.classes)]
    if options.label_field is not None:
        words += ["--label-field", options.label_field]
    if options.precision != "auto":
        words += ["--precision", options.precision]
    if options.tta != "none":
        words += ["--tta", options.tta]
    if options.gsd is not None:
        words += ["--gsd", f"{options.gsd}"]
    return shlex.join([*words, "--report", str(options.report)])


def open_judged(path: PathLike, tta: Tta = "none", gsd: Gsd = None) -> Model | MapFile:
    """Open what is to be judged: a model file, with its test-time augmentation, or else a map.

    Raises:
        ModelError: the model is damaged.
        DataError: it is no map either.
        UsageError: it is a map, and what is for models is asked for.
    """
    if Path(path).suffix == ".swath" or zipfile.is_zipfile(path):
        return Model(path, tta=tta)
    for option, given in (("--tta", tta != "none"), ("--gsd", gsd is not None)):
        if given:
            raise UsageError(
                f"a map is as it is; {option} is for models",
                file=path,
                fix=f"Leave {option} out, or give a model",
            )
    return MapFile(path)


def open_reference(options: EvaluateOptions, *judged: Model | MapFile) -> Reference:
    """Open what models and maps are held against: a dataset, or labels on the first map's grid.

    Raises:
        DataError: it is damaged, or does not fit a map.
        UsageError: a model is to be held against labels.
    """
    path = Path(options.dataset)
    if path.is_dir() or not path.exists() or path.name == MANIFEST:
        maps = [one for one in judged if isinstance(one, MapFile)]
        return DatasetReference(
            Dataset(path.parent if path.name == MANIFEST else path), options.split, maps
        )
    if isinstance(judged[0], Model):
        raise UsageError(
            "a model is scored on a dataset, which has images to map",
            file=path,
            fix="Give a folder that `swath prepare` wrote; or map the image first, and give the map instead of the model",
        )
    legend = read_legend(options.classes) if options.classes is not None else None
    return LabelReference(path, judged[0], legend, options.label_field)


def mapper_of(
    judged: Model | MapFile, reference: Reference, precision: str = "auto", gsd: Gsd = None
) -> Predictor:
    """Make the mapper of a model, in a precision and for images of a ground sampling distance, or of a map.

    Raises:
        ModelError: the model's classes or bands are not those of the truth.
        UsageError: the model knows no ground sampling distance, and the images' is told.
    """
    if isinstance(judged, MapFile):
        return MapPredictor(judged, reference.legend)
    if isinstance(reference, DatasetReference):
        check_fit(judged, reference.dataset)
    engine = judged.open(choose_setup(precision=precision))
    if gsd is not None:
        engine = engine.for_gsd(judged.gsd_of(gsd))
    return ModelPredictor(engine, judged.card.temperature)


def warn_of_other_data(model: Model, reference: Reference) -> None:
    """Warn where a model was trained on other data, so that nobody knows what it has seen."""
    if (
        isinstance(reference, DatasetReference)
        and model.card.training.data_digest != reference.dataset.manifest.digest
    ):
        log.warning(
            "%s was trained on another dataset or split than %s: if they share ground, the score is too good.",
            model.path,
            reference.origin,
        )


def check_fit(model: Model, dataset: Dataset) -> None:
    """Refuse a dataset whose bands or classes are not the model's.

    Raises:
        ModelError: they differ.
    """
    mine, theirs = (
        [(c.name, c.map_code) for c in x.trained]
        for x in (model.card.legend, dataset.manifest.legend)
    )
    if mine != theirs:
        raise ModelError(
            f"its classes are {_listed(mine)}, and the dataset's are {_listed(theirs)}",
            file=model.path,
            fix="Prepare the dataset with the model's classes (--classes)",
        )
    if model.card.latitude and not dataset.manifest.latitude:
        raise ModelError(
            "it takes latitude as a band",
            file=model.path,
            fix="Prepare the dataset with --latitude",
        )
    if dataset.manifest.latitude and not model.card.latitude:
        raise ModelError(
            "it takes no latitude", file=model.path, fix="Prepare the dataset without --latitude"
        )
    if len(model.card.bands) != len(dataset.manifest.bands):
        raise ModelError(
            f"it takes {len(model.card.bands)} bands, and the dataset has {len(dataset.manifest.bands)}",
            file=model.path,
            fix="Prepare the dataset with the model's bands",
        )


def _listed(classes: list[tuple[str, int]]) -> str:
    return ", ".join(f"{name} ({code})" for name, code in classes)
