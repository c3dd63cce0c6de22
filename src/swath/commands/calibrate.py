"""`swath calibrate`: fit the confidence of a model to labels, without training."""

from __future__ import annotations

from swath.commands.base import command
from swath.commands.evaluate import check_fit
from swath.data.dataset import Dataset, Sample
from swath.errors import DataError, ModelError, UsageError
from swath.evaluation.temperature import calibrate_on, some_samples
from swath.io.atomic import exclusive
from swath.models.foreign.calibration import scale_scores
from swath.models.model import Model
from swath.models.model_file import pack_model_file
from swath.options import CalibrateOptions
from swath.types import Result


class CalibrateResult(Result):
    """How confident a model is now.

    Attributes:
        model: path of the model file.
        split: split whose labels were used.
        pixels: number of these labels that were used.
        temperature: class scores are divided by it; 1 for masks.
        thresholds: least probability of a pixel in the mask of each class; None without masks.
        error_before: expected calibration error on the labels as the model was, 0..1; None for
            masks.
        error_after: the same afterwards.
    """

    model: str
    split: str
    pixels: int
    temperature: float
    thresholds: list[float] | None
    error_before: float | None
    error_after: float | None


@command(CalibrateOptions)
def calibrate(options: CalibrateOptions) -> CalibrateResult:
    """Fit a temperature, or a line for each mask (Platt), to the labels of a split.

    Classes of a map stay the same; their confidence changes, and masks of independent classes do.

    Raises:
        DataError: the split has no labels.
        ModelError: the model is damaged, has other bands or classes than the dataset, or masks that
            were calibrated when it was trained.
        UsageError: the model was trained on these labels.
        JobError: a package is missing, or the file cannot be written.
    """
    with exclusive(options.model):
        model, dataset = Model(options.model), Dataset(options.dataset)
        check_fit(model, dataset)
        split, samples = _samples(options, model, dataset)
        if model.card.heads == "per-class":
            return _calibrate_masks(model, dataset, split, samples)
        found = calibrate_on(dataset, samples, model.predictor, model.card.temperature)
        changes = {"temperature": found.temperature, "calibration": found}
        _write(model, changes)
    return CalibrateResult(
        model=model.path,
        split=split,
        pixels=found.pixels,
        temperature=found.temperature,
        thresholds=None,
        error_before=found.error_before,
        error_after=found.error_after,
    )


def _samples(options: CalibrateOptions, model: Model, dataset: Dataset) -> tuple[str, list[Sample]]:
    """Return the split to use, and its labeled samples."""
    manifest, training = dataset.manifest, model.card.training
    labeled = {
        name: [s for s in manifest.of(name) if sum(s.counts)] for name in ("train", "val", "test")
    }
    split = options.split or ("val" if labeled["val"] else "train")
    own = training is not None and training.data_digest == manifest.digest
    offered = [name for name in labeled if labeled[name] and not (own and name == "train")]
    others = f", or give --split {' or '.join(offered)}" if offered else ""
    if not labeled[split]:
        raise DataError(
            f"The split {split} has no labels",
            code="no-labels",
            file=dataset.folder,
            fix=f"Prepare the dataset with labels{others}",
        )
    if own and split == "train":
        raise UsageError(
            "The model was trained on these labels, where it is right more often than elsewhere",
            code="own-labels",
            file=dataset.folder,
            fix=f"Give a dataset that it was not trained on{others}",
        )
    return split, labeled[split]


def _calibrate_masks(
    model: Model, dataset: Dataset, split: str, samples: list[Sample]
) -> CalibrateResult:
    """Fit a line and a threshold for each mask of an imported network."""
    if model.card.imported is None:
        raise ModelError(
            "The masks of the model were calibrated when it was trained",
            code="masks-calibrated",
            file=model.path,
            fix="Train from it on the new labels: swath train DATASET NEW.swath --from MODEL",
        )
    from swath.evaluation.platt import fit_platt

    found = fit_platt(dataset, some_samples(samples), model.predictor)
    changes: dict[str, object] = {"thresholds": found.thresholds}
    _write(model, changes, found.gain.tolist(), found.offset.tolist())
    return CalibrateResult(
        model=model.path,
        split=split,
        pixels=found.pixels,
        temperature=1.0,
        thresholds=found.thresholds,
        error_before=None,
        error_after=None,
    )


def _write(
    model: Model,
    changes: dict[str, object],
    gain: list[float] | None = None,
    offset: list[float] | None = None,
) -> None:
    """Write the model anew, with changes to its card, and to its scores if there are any."""
    network = model.network()
    int8 = None if model.card.int8 is None else model.network("int8")
    if gain is not None and offset is not None:
        network = scale_scores(network, gain, offset)
        int8 = None if int8 is None else scale_scores(int8, gain, offset)
    card = model.card.model_copy(update=changes)
    pack_model_file(model.path, card, network, model.weights, int8)
