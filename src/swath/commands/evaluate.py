"""`swath evaluate`: how well a model, or a map of any origin, agrees with reference labels."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path

from swath.commands.base import command, missing_report_package
from swath.data.dataset import MANIFEST, Dataset
from swath.data.statistics import check_class_count
from swath.errors import ModelError, UsageError
from swath.evaluation.reference import DatasetReference, LabelReference, Reference
from swath.evaluation.results import EvaluateResult, summarize, summarize_folds
from swath.evaluation.scoring import MapPredictor, ModelPredictor, Predictor, score_areas
from swath.evaluation.yardstick import score_forest
from swath.io.arrays import parse_array
from swath.io.map_reader import MapFile
from swath.legend import read_legend
from swath.models.band_matching import same_bands
from swath.models.model import Model
from swath.options import EvaluateOptions, command_line
from swath.progress import track
from swath.types import Gsd, PathLike, Tta

log = logging.getLogger(__name__)


@command(EvaluateOptions)
def evaluate(options: EvaluateOptions) -> EvaluateResult:
    """Score a model or a map on a split of a dataset, or a map on labels; write a report if asked.

    Raises:
        DataError: the dataset, the map or the labels are damaged, or do not fit each other.
        ModelError: the model is damaged, its classes or bands are not the dataset's, or it has no
            network in that precision.
        JobError: the engine or the packages of the report are missing, or the report cannot be
            written.
        UsageError: a model is given with labels without images, or a map with an option for models.
    """
    source = open_model_or_map(options.model, options.tta, options.gsd)
    if isinstance(source, Model) and _has_folds_alone(options, source):
        return _report_folds(options, source)
    reference = open_reference(options, source)
    predictor = make_predictor(source, reference, options.precision, options.gsd)
    model = source if isinstance(source, Model) else None
    if model and options.split != "train":
        warn_of_other_dataset(model, reference)
    scores = score_areas(reference, predictor)
    scored = list(track(scores, "scoring", len(reference.areas), "images"))
    split = options.split if isinstance(reference, DatasetReference) else "labels"
    result = summarize(reference.legend, split, scored, model.card.temperature if model else 1.0)
    if result.unmapped:
        template = "%s has no data at %d labeled pixels; they are not scored."
        log.warning(template, options.model, result.unmapped)
    if model is not None:
        result = result.model_copy(update={"folds": model.card.folds})
    if options.report is None:
        return result
    try:
        from swath.reports.evaluation import Origin, write_report
    except ImportError as error:
        raise missing_report_package(error) from error
    if model is not None and isinstance(reference, DatasetReference):
        result = _with_forest(result, reference.dataset, options)
    origin = Origin(command_line(options), model.card if model else None)
    values = result.model_dump(mode="json")
    page = write_report(options.report, reference, predictor, values, origin)
    return result.model_copy(update={"report": str(page)})


def _with_forest(
    result: EvaluateResult, dataset: Dataset, options: EvaluateOptions
) -> EvaluateResult:
    """Add what a random forest has on the same split."""
    if options.split == "train":
        return result
    forest = score_forest(dataset, options.split)
    if forest is None:
        return result
    found = {"forest": forest.miou, "forest_interval": forest.interval}
    return result.model_copy(update=found)


def _has_folds_alone(options: EvaluateOptions, model: Model) -> bool:
    """Return whether the split is empty, and the model has scores on labels held out in turn.

    Those are of the dataset that it was trained on.
    """
    folder = Path(options.dataset)
    training = model.card.training
    if (
        model.card.folds is None
        or training is None
        or parse_array(folder) is not None
        or not folder.is_dir()
    ):
        return False
    manifest = Dataset(folder).manifest
    own = manifest.digest == training.data_digest
    return own and not manifest.of(options.split)


def _report_folds(options: EvaluateOptions, model: Model) -> EvaluateResult:
    """Return the scores on labels that the training held out in turn; write a report if asked."""
    folds = model.card.folds
    if folds is None:
        raise AssertionError("the model has no folds")
    result = summarize_folds(model.card.legend, folds)
    if options.report is None:
        return result
    try:
        from swath.reports.evaluation import Origin, write_fold_report
    except ImportError as error:
        raise missing_report_package(error) from error
    origin = Origin(command_line(options), model.card)
    values = result.model_dump(mode="json")
    page = write_fold_report(options.report, Dataset(options.dataset), values, origin)
    return result.model_copy(update={"report": str(page)})


def open_model_or_map(path: PathLike, tta: Tta = "none", gsd: Gsd = None) -> Model | MapFile:
    """Open what is scored: a model file, with its test-time augmentation, or else a map.

    Raises:
        ModelError: the model is damaged.
        DataError: the file is not a map either.
        UsageError: the file is a map, and an option for models is given.
    """
    if Path(path).suffix == ".swath" or zipfile.is_zipfile(path) and parse_array(path) is None:
        return Model(path, tta=tta)
    for option, given in (("--tta", tta != "none"), ("--gsd", gsd is not None)):
        if given:
            raise UsageError(
                f"Option {option} is for models, and the file is a map",
                code="option-conflict",
                file=path,
                fix=f"Leave {option} out, or give a model",
            )
    return MapFile(path)


def open_reference(options: EvaluateOptions, *sources: Model | MapFile) -> Reference:
    """Open the reference of models and maps: a dataset, or labels on the first map's grid.

    Raises:
        DataError: the reference is damaged, or does not fit a map.
        UsageError: a model is given with labels without images.
    """
    path = Path(options.dataset)
    array = parse_array(path) is not None
    if not array and (path.is_dir() or not path.exists() or path.name == MANIFEST):
        maps = [source for source in sources if isinstance(source, MapFile)]
        folder = path.parent if path.name == MANIFEST else path
        dataset = Dataset(folder)
        _refuse_label_options(options, folder)
        check_class_count(dataset.manifest, folder)
        return DatasetReference(dataset, options.split, maps)
    if isinstance(sources[0], Model):
        raise UsageError(
            "A model is scored on a dataset, and this file holds labels without images",
            code="no-images",
            file=path,
            fix="Give a folder that `swath prepare` wrote, or a map instead of the model",
        )
    legend = read_legend(options.classes) if options.classes is not None else None
    return LabelReference(path, sources[0], legend, options.label_field, options.labels_crs)


def _refuse_label_options(options: EvaluateOptions, folder: Path) -> None:
    """Raise an error where options of labels are given with a dataset, which has its own."""
    of_labels = {
        "--classes": options.classes,
        "--label-field": options.label_field,
        "--labels-crs": options.labels_crs,
    }
    for option, given in of_labels.items():
        if given is not None:
            message = f"{option} is for a file of labels, and this is a dataset"
            fix = f"Leave out {option}"
            raise UsageError(message, code="option-conflict", file=folder, fix=fix)


def make_predictor(
    source: Model | MapFile, reference: Reference, precision: str = "auto", gsd: Gsd = None
) -> Predictor:
    """Make the predictor of a map, or of a model in a precision and for images of a GSD in meters.

    Raises:
        ModelError: the model's classes or bands are not those of the reference.
        UsageError: a ground sampling distance is given, and the model has none.
    """
    if isinstance(source, MapFile):
        return MapPredictor(source, reference.legend)
    if isinstance(reference, DatasetReference):
        check_fit(source, reference.dataset)
    engine = source.open(source.setup(precision=precision))
    if gsd is not None:
        engine = engine.for_gsd(source.gsd_of(gsd))
    return ModelPredictor(engine, source.card.temperature)


def warn_of_other_dataset(model: Model, reference: Reference) -> None:
    """Warn where a model was trained on another dataset, whose areas may overlap the reference."""
    if not isinstance(reference, DatasetReference) or model.card.training is None:
        return
    if model.card.training.data_digest != reference.dataset.manifest.digest:
        template = (
            "%s was trained on another dataset or split than %s: if they overlap, the score is "
            "too good."
        )
        log.warning(template, model.path, reference.origin)


def check_fit(model: Model, dataset: Dataset) -> None:
    """Check that a dataset has the bands and classes of a model.

    Raises:
        ModelError: they differ.
    """
    card, manifest = model.card, dataset.manifest
    ours, theirs = (
        [f"{c.name} ({c.map_code})" for c in x.trained] for x in (card.legend, manifest.legend)
    )
    if ours != theirs:
        code, fix = "classes-differ", "with the model's classes (--classes)"
        listed, other = ", ".join(ours), ", ".join(theirs)
        message = f"The model's classes are {listed}, and the dataset's are {other}"
    elif card.latitude != manifest.latitude:
        code, fix = "latitude-band", f"{'with' if card.latitude else 'without'} --latitude"
        takes = "takes" if card.latitude else "does not take"
        message = f"The model {takes} latitude as a band, unlike the dataset"
    elif not same_bands(card.image_bands, manifest.stored_bands):
        listed = ",".join(card.image_bands)
        code, fix = "band-mismatch", f"with the model's bands (--select-bands {listed})"
        message = f"The model takes the bands {listed}, and the dataset has "
        message += ",".join(manifest.stored_bands)
    else:
        return
    raise ModelError(message, code=code, file=model.path, fix=f"Prepare the dataset {fix}")
