"""Pack a trained network into a model file: export, compare with every engine, describe."""

from __future__ import annotations

import dataclasses
import platform
from copy import deepcopy
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from swath.data.dataset import Dataset, Manifest
from swath.errors import JobError
from swath.evaluation.halo import GLOBAL_SIDE, MeasuredHalo, measure_halo
from swath.evaluation.ood import fit_ood
from swath.evaluation.platt import fit_platt
from swath.evaluation.temperature import calibrate_scores
from swath.inference.output import OutputSpec
from swath.inference.runtimes import ENGINES, Runtime, TorchRuntime, choose_setup, open_runtime
from swath.inference.tiled import ScalableNetwork, TiledPredictor
from swath.models.card import Calibration, Card, CardBand, FoldScores, Training
from swath.models.model_file import pack_model_file
from swath.models.network import CLASSIC, Network, to_onnx
from swath.options import TrainOptions
from swath.training.recipes import Recipe
from swath.types import PathLike, SplitName

TRAINING_HALO = 128
"""Pixels read around a tile's core in validations during training."""

WHOLE_IMAGE_SIDE = 4096
"""Side of a tile for a network that sees images as a whole; larger images are cut."""

TOLERANCE = 1e-3
"""Allowed difference of a score between an engine and torch, relative where it is above 1."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network, with the facts about its training that the card records.

    Attributes:
        network: the network.
        recipe: training settings.
        first_weights: origin of its weights before training.
        precision: of the training.
        steps: optimizer steps.
        seconds: wall time of the training.
        sample: raw pixel values (batch, bands, rows, columns) to compare engines on.
        curve: rows (step, seconds, loss, validation mIoU or None).
        tiles: the halo, if it is known; else it is measured.
        calibration: on labels held out in turn, for data without a validation split.
        folds: scores on labels held out in turn.
    """

    network: Network
    recipe: Recipe
    first_weights: str
    precision: str
    steps: int
    seconds: float
    sample: NDArray[np.float32]
    curve: list[tuple[int, float, float, float | None]] = field(default_factory=list)
    tiles: MeasuredHalo | None = None
    calibration: Calibration | None = None
    folds: FoldScores | None = None

    @property
    def validation_miou(self) -> float | None:
        """The last mIoU of the curve; None without a validation split."""
        return next((miou for *_, miou in reversed(self.curve) if miou is not None), None)


def predictor_of(
    network: Network, dataset: Dataset, multilabel: bool = False, runtime: Runtime | None = None
) -> TiledPredictor:
    """Return a network as a predictor, with the tiles that its packed form will have.

    Args:
        network: the network.
        dataset: its training data.
        multilabel: whether its scores are log-odds of independent sigmoid masks.
        runtime: what runs it; torch if None.
    """
    manifest, whole = dataset.manifest, network.spec.decoder == CLASSIC
    halo, side = (0, WHOLE_IMAGE_SIDE) if whole else (TRAINING_HALO, None)
    running, classes = runtime or TorchRuntime(network), len(manifest.legend.trained)

    return ScalableNetwork(
        lambda _: running,
        OutputSpec(classes, heights=network.spec.heights, multilabel=multilabel),
        [b.mean for b in manifest.bands],
        network.stride,
        halo,
        side,
        gsd=None if whole else manifest.gsd,
    ).at_zoom(Fraction(1))


def pack_model(options: TrainOptions, dataset: Dataset, trained: TrainedNetwork) -> Card:
    """Write the model file, and return its card.

    Raises:
        JobError: an engine does not agree with torch, or the file cannot be written.
    """
    network = trained.network.eval().to("cpu")
    manifest, spec = dataset.manifest, network.spec
    multilabel, thresholds = trained.recipe.heads == "per-class", None
    if multilabel:
        scored = predictor_of(network, dataset, multilabel, _torch_runtime(network))
        thresholds = _calibrate_masks(network, dataset, scored)
    onnx = to_onnx(network, len(manifest.bands))
    _check_engines(onnx, network, trained.sample, options.model)
    engine = predictor_of(network, dataset, multilabel, _fastest_runtime(onnx, network))
    tiles = trained.tiles
    if tiles is None:
        tiles = MeasuredHalo(0, None, "global") if engine.side else measure_halo(engine, dataset)
    core = engine.side or (GLOBAL_SIDE - 2 * tiles.halo if tiles.context == "global" else None)
    calibration = calibrate_scores(dataset, engine) or trained.calibration
    scaling = zip(manifest.bands, spec.mean, spec.std, strict=True)
    card = Card(
        swath_version=version("swath"),
        name=Path(options.model).stem,
        legend=manifest.legend,
        bands=[
            CardBand(name=b.name, fill=b.mean, mean=mean, std=std, min=b.min, max=b.max)
            for b, mean, std in scaling
        ],
        dtype=manifest.dtype,
        gsd=manifest.gsd,
        encoder=spec.encoder,
        decoder=spec.decoder,
        network=spec.to_shape(),
        stride=network.stride,
        halo=tiles.halo,
        seam=tiles.seam,
        context=tiles.context,
        latitude=manifest.latitude,
        scaled=manifest.scaled,
        heights=spec.heights,
        heads=trained.recipe.heads,
        thresholds=thresholds,
        core=core,
        temperature=calibration.temperature if calibration else 1.0,
        calibration=calibration,
        folds=trained.folds,
        ood=fit_ood(dataset, engine),
        parameters=sum(p.numel() for p in network.parameters()),
        training=_training_facts(options, manifest, dataset.digest, trained),
        files={},
    )
    weights = save({name: t.contiguous() for name, t in network.state_dict().items()})
    return pack_model_file(options.model, card, onnx, weights)


def _training_facts(
    options: TrainOptions, manifest: Manifest, digest: str, trained: TrainedNetwork
) -> Training:
    splits: tuple[SplitName, ...] = ("train", "val", "test")
    return Training(
        data=manifest.source,
        data_digest=digest,
        groups={split: sorted({s.group for s in manifest.of(split)}) for split in splits},
        recipe=options.recipe,
        settings=dataclasses.asdict(trained.recipe),
        seed=options.seed,
        steps=trained.steps,
        seconds=trained.seconds,
        first_weights=trained.first_weights,
        precision=trained.precision,
        versions=_versions(),
        curve=trained.curve,
        validation_miou=trained.validation_miou,
    )


def _calibrate_masks(network: Network, dataset: Dataset, engine: TiledPredictor) -> list[float]:
    """Put the calibration of independent masks into the network; return their thresholds."""
    validation = [s for s in dataset.manifest.of("val") if sum(s.counts)]
    found = fit_platt(dataset, validation or dataset.manifest.of("train"), engine)
    n = len(found.thresholds)
    with torch.no_grad():
        network.gain[0, :n, 0, 0] *= found.gain
        network.offset[0, :n, 0, 0] = found.offset
    return found.thresholds


def _fastest_runtime(onnx: bytes, network: Network) -> Runtime:
    """Start the fastest engine of this machine, in float32, which all machines have."""
    setup = choose_setup(precision="float32")
    return _torch_runtime(network) if setup.engine == "cuda" else open_runtime(onnx, setup)


def _torch_runtime(network: Network) -> Runtime:
    """Run a network in torch, on a GPU where there is one."""
    gpu = choose_setup(precision="float32").engine == "cuda"
    return TorchRuntime(deepcopy(network).cuda() if gpu else network)


def _check_engines(onnx: bytes, network: Network, raw: NDArray[np.float32], path: PathLike) -> None:
    """Compare every installed engine with torch on real patches.

    Raises:
        JobError: they differ by more than `TOLERANCE`.
    """
    expected = TorchRuntime(network)(raw)
    for name, engine in ENGINES.items():
        try:
            found = engine(onnx)(raw)
        except ImportError:
            continue
        worst = float(np.abs(found - expected).max()) / max(1.0, float(np.abs(expected).max()))
        if worst > TOLERANCE:
            raise JobError(
                f"The packed network differs from the trained one by {worst:.2g} in {name}",
                code="engine-differs",
                file=path,
                fix="Report this, with the names of encoder and decoder; the checkpoints are kept",
            )


def _versions() -> dict[str, str]:
    names = ("swath", "torch", "lightning", "timm", "segmentation-models-pytorch", "onnx", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
