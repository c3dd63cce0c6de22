"""How a trained network becomes a model file: exported, compared with every engine, described by its card."""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - has to come first

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

from swath.data.dataset import Dataset
from swath.errors import JobError
from swath.evaluation.halo import GLOBAL_SIDE, MeasuredHalo, measure_halo
from swath.evaluation.ood import fit_ood
from swath.evaluation.platt import fit_platt
from swath.evaluation.temperature import calibrate_scores
from swath.inference.output import OutputSpec
from swath.inference.runtimes import ENGINES, Runtime, TorchRuntime, choose_setup, open_runtime
from swath.inference.tiled import ScalableNetwork, TiledPredictor
from swath.models.card import Card, CardBand, NetworkShape, Training
from swath.models.model_file import pack_model_file
from swath.models.network import CLASSIC, Network, to_onnx
from swath.options import TrainOptions
from swath.training.recipes import Recipe
from swath.types import PathLike, SplitName

HALO = 128
"""Pixels around a tile's core that are read with it while the network learns."""

WHOLE = 4096
"""Side of a tile for a network that sees images as a whole; larger images are cut."""

TOLERANCE = 1e-3
"""How much a score of an engine may differ from torch's."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A network that has been taught, with all that its card will say of it.

    Attributes:
        network: the network.
        recipe: how it was taught.
        first_weights: where its encoder came from.
        precision: of the training.
        steps: optimizer steps.
        seconds: wall time of the training.
        curve: rows (step, seconds, loss, validation mIoU or None).
        sample: raw pixel values (batch, bands, rows, columns) to compare engines on.
    """

    network: Network
    recipe: Recipe
    first_weights: str
    precision: str
    steps: int
    seconds: float
    sample: NDArray[np.float32]
    curve: list[tuple[int, float, float, float | None]] = field(default_factory=list)

    @property
    def validation_miou(self) -> float | None:
        """The last mIoU of the curve; None without a validation split."""
        return next((miou for *_, miou in reversed(self.curve) if miou is not None), None)


def engine_of(
    network: Network, dataset: Dataset, apart: bool = False, runtime: Runtime | None = None
) -> TiledPredictor:
    """Return a network as an engine, with the tiles that its packed form will have.

    Args:
        network: the network.
        dataset: what it learns.
        apart: whether its scores are log-odds of masks apart.
        runtime: what runs it; torch if None.
    """
    manifest, whole = dataset.manifest, network.spec.decoder == CLASSIC
    halo, side = (0, WHOLE) if whole else (HALO, None)
    running, classes = runtime or TorchRuntime(network), len(manifest.legend.trained)
    return ScalableNetwork(
        lambda _: running,
        OutputSpec(classes, heights=network.spec.heights, multilabel=apart),
        [b.mean for b in manifest.bands],
        network.stride,
        halo,
        side,
        gsd=None if whole else manifest.gsd,
    ).at_zoom(Fraction(1))


def pack_model(options: TrainOptions, dataset: Dataset, trained: TrainedNetwork) -> Card:
    """Write the model file.

    Raises:
        JobError: an engine does not agree with torch, or the file cannot be written.
    """
    network = trained.network.eval().to("cpu")
    manifest, spec = dataset.manifest, network.spec
    apart = trained.recipe.heads == "per-class"
    thresholds = (
        _merge_masks(network, dataset, engine_of(network, dataset, apart, _in_torch(network)))
        if apart
        else None
    )
    onnx = to_onnx(network, len(manifest.bands))
    _check_engines(onnx, network, trained.sample, options.model)
    engine = engine_of(network, dataset, apart, _fast(onnx, network))
    tiles = MeasuredHalo(0, None, "global") if engine.side else measure_halo(engine, dataset)
    core = engine.side or (GLOBAL_SIDE - 2 * tiles.halo if tiles.context == "global" else None)
    calibration = calibrate_scores(dataset, engine)
    splits: tuple[SplitName, ...] = ("train", "val", "test")
    card = Card(
        swath_version=version("swath"),
        name=Path(options.model).stem,
        legend=manifest.legend,
        bands=[
            CardBand(name=b.name, fill=b.mean, mean=mean, std=std, min=b.min, max=b.max)
            for b, mean, std in zip(manifest.bands, spec.mean, spec.std, strict=True)
        ],
        dtype=manifest.dtype,
        gsd=manifest.gsd,
        encoder=spec.encoder,
        decoder=spec.decoder,
        network=NetworkShape(widths=list(spec.widths), pixel_width=spec.pixel_width),
        stride=network.stride,
        halo=tiles.halo,
        seam=tiles.seam,
        context=tiles.context,
        latitude=manifest.latitude,
        heights=spec.heights,
        heads=trained.recipe.heads,
        thresholds=thresholds,
        core=core,
        temperature=calibration.temperature if calibration else 1.0,
        calibration=calibration,
        ood=fit_ood(dataset, engine),
        parameters=sum(p.numel() for p in network.parameters()),
        training=Training(
            data=manifest.source,
            data_digest=manifest.digest,
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
        ),
        files={},
    )
    weights = save({name: t.contiguous() for name, t in network.state_dict().items()})
    return pack_model_file(options.model, card, onnx, weights)


def _merge_masks(network: Network, dataset: Dataset, engine: TiledPredictor) -> list[float]:
    """Calibrate masks apart on the validation split, or on the training split without one; return their thresholds."""
    samples = [s for s in dataset.manifest.of("val") if sum(s.counts)] or dataset.manifest.of(
        "train"
    )
    gain, offset, thresholds = fit_platt(dataset, samples, engine)
    n = len(thresholds)
    with torch.no_grad():
        network.gain[0, :n, 0, 0] *= gain
        network.offset[0, :n, 0, 0] = offset
    return thresholds


def _fast(onnx: bytes, network: Network) -> Runtime:
    """Start what maps fastest here, in the arithmetic that all machines have."""
    setup = choose_setup(precision="float32")
    return _in_torch(network) if setup.engine == "cuda" else open_runtime(onnx, setup)


def _in_torch(network: Network) -> Runtime:
    """Run a network in torch, on a GPU where there is one."""
    return TorchRuntime(
        deepcopy(network).cuda() if choose_setup(precision="float32").engine == "cuda" else network
    )


def _check_engines(onnx: bytes, network: Network, raw: NDArray[np.float32], path: PathLike) -> None:
    """Compare every installed engine with torch on real patches.

    Raises:
        JobError: they differ by more than `TOLERANCE`, of the scores' own size where that is above
            1.
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
                f"the packed network differs from the trained one by {worst:.2g} in {name}",
                file=path,
                fix="Report this, with the encoder's and decoder's name; the checkpoints are kept",
            )


def _versions() -> dict[str, str]:
    names = ("swath", "torch", "lightning", "timm", "segmentation-models-pytorch", "onnx", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
