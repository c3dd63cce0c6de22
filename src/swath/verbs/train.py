"""`swath train`: a dataset becomes a model file."""

from __future__ import annotations

import swath.torchvision_guard  # noqa: F401 - has to come first

import dataclasses
import json
import logging
import math
import platform
import shutil
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from safetensors.torch import save

from swath.card import Card, CardBand, Training
from swath.course import STRETCH, Budget, Course
from swath.dataset import Dataset
from swath.errors import JobError
from swath.fleet import Engine
from swath.model import pack
from swath.network import Network, NetworkSpec, input_scaling, load_encoder_weights, to_onnx
from swath.options import TrainOptions
from swath.patches import Patches
from swath.recipes import RECIPES, Recipe
from swath.runtime import ENGINES, TorchRuntime
from swath.teacher import Teacher
from swath.types import SplitName
from swath.validation import Validation, pixels_per_second
from swath.verbs.verb import Result, verb

log = logging.getLogger(__name__)

HALO = 128
"""Pixels around a tile's core that are read with it."""

DEFAULT_MINUTES = 30.0


class TrainResult(Result):
    """What was trained.

    Attributes:
        model: path of the model file.
        seconds: wall time of the training loop with its validation, without packing.
        steps: optimiser steps taken; `--steps` with this number repeats the run.
        pixels_per_second: patch pixels over step time.
        validation_miou: mean IoU on the validation split, None without one.
        parameters: number of weights.
    """

    model: str
    seconds: float
    steps: int
    pixels_per_second: float
    validation_miou: float | None
    parameters: int


@verb(TrainOptions)
def train(options: TrainOptions) -> TrainResult:
    """Teach a network on the training split, and pack it into a model file.

    Raises:
        DataError: the dataset is damaged.
        UsageError: an option is wrong, such as an encoder that does not exist.
        JobError: weights are not to be had, the interrupted training to resume was another, or the disk is full.
    """
    dataset = Dataset(options.dataset)
    recipe = RECIPES[options.recipe]
    torch.manual_seed(options.seed)
    spec = _spec(dataset, options, recipe)
    network = Network(spec)
    first_weights = load_encoder_weights(network, options.encoder, options.weights)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    work = _workplace(options, dataset, spec)
    patches = Patches(dataset, dataset.manifest.of("train"), recipe, options.seed)
    teacher = Teacher(network, recipe)
    engine = Engine(TorchRuntime(network), [b.mean for b in dataset.manifest.bands], network.stride, HALO)
    budget = _budget(options, dataset, recipe)
    course = Course(patches, budget, lambda: _validation(dataset, engine, budget, recipe, options.seed))
    last = work / "last.ckpt"
    with _quiet():
        trainer = Trainer(
            max_epochs=-1,
            limit_train_batches=STRETCH,
            accelerator="auto",
            devices=1,
            precision="bf16-mixed" if has_bf16() else "32-true",
            gradient_clip_val=1.0,
            callbacks=[course, _checkpoints(work)],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        _fit(trainer, teacher, patches, last if last.exists() else None)
    facts = {"first_weights": first_weights, "precision": str(trainer.precision)}
    return _finish(options, dataset, teacher, course, work, facts)


def _fit(trainer: Trainer, teacher: Teacher, patches: Patches, checkpoint: Path | None) -> None:
    """Run the loop; Ctrl-C, which Lightning turns into an exit, becomes an error that says how to go on.

    Raises:
        JobError: training was interrupted.
    """
    loader = torch.utils.data.DataLoader(patches, batch_size=None)
    try:
        trainer.fit(teacher, loader, ckpt_path=None if checkpoint is None else str(checkpoint), weights_only=True)
    except SystemExit:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise JobError("training was interrupted", fix="Give the same command with --resume to continue") from None


def has_bf16() -> bool:
    """Tell whether this machine multiplies bfloat16 in hardware: a GPU of compute capability 8, AVX-512 BF16 or AMX."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    flags = Path("/proc/cpuinfo")
    words = set(flags.read_text(encoding="ascii", errors="ignore").split()) if flags.exists() else set()
    return bool(words & {"avx512_bf16", "amx_bf16"})


def _spec(dataset: Dataset, options: TrainOptions, recipe: Recipe) -> NetworkSpec:
    """Scale 8-bit red, green, blue as the encoder's weights expect, and all else by the statistics of the training split."""
    bands = dataset.manifest.bands
    if dataset.manifest.dtype == "uint8" and len(bands) == 3:
        mean, std = ([255 * v for v in part] for part in input_scaling(options.encoder))
    else:
        mean, std = [b.mean for b in bands], [b.std for b in bands]
    return NetworkSpec(
        options.encoder,
        options.decoder,
        len(dataset.manifest.legend.learnt),
        tuple(mean),
        tuple(std),
        recipe.widths,
        recipe.pixel_width,
    )


def _budget(options: TrainOptions, dataset: Dataset, recipe: Recipe) -> Budget:
    if options.steps is not None:
        return Budget(None, options.steps)
    if options.epochs is not None:
        labelled = sum(sum(s.counts) for s in dataset.manifest.of("train"))
        return Budget(None, max(1, math.ceil(options.epochs * labelled / (recipe.batch * recipe.patch**2))))
    return Budget(60 * (options.minutes or DEFAULT_MINUTES), None)


def _workplace(options: TrainOptions, dataset: Dataset, spec: NetworkSpec) -> Path:
    """Make the folder of checkpoints beside the model file: a fresh one, or the interrupted training's own.

    Raises:
        JobError: the interrupted training had other data or settings, or the folder cannot be made.
    """
    work = Path(f"{options.model}.training")
    settings = work / "settings.json"
    present = json.dumps([dataset.manifest.digest, dataclasses.asdict(spec), options.recipe, options.seed])
    try:
        if not options.resume:
            shutil.rmtree(work, ignore_errors=True)
        elif settings.exists() and settings.read_text(encoding="utf-8") != present:
            raise JobError(
                "the interrupted training had other data, network, recipe or seed",
                file=work,
                fix="Give the same options, or start afresh without --resume",
            )
        elif not (work / "last.ckpt").exists():
            log.warning("%s: nothing to resume here, so training starts afresh.", work)
        work.mkdir(parents=True, exist_ok=True)
        settings.write_text(present, encoding="utf-8")
    except OSError as error:
        raise JobError(f"cannot be written ({error.strerror})", file=work, fix="Choose a writable place") from error
    return work


def _checkpoints(work: Path) -> ModelCheckpoint:
    return ModelCheckpoint(
        dirpath=work,
        filename="last",
        every_n_epochs=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def _validation(dataset: Dataset, engine: Engine, budget: Budget, recipe: Recipe, seed: int) -> Validation:
    """Set up validation; where steps are given, their time is guessed at three times that of predicting their pixels."""
    seconds = budget.seconds
    if seconds is None:
        pixels = (budget.steps or 0) * recipe.batch * recipe.patch**2
        seconds = 3 * pixels / pixels_per_second(engine)
    return Validation(dataset, engine, seconds, seed)


def _finish(
    options: TrainOptions, dataset: Dataset, teacher: Teacher, course: Course, work: Path, facts: dict[str, str]
) -> TrainResult:
    """Pack the network, check that every engine agrees with torch, and remove the checkpoints."""
    network = teacher.network.eval().to("cpu")
    manifest = dataset.manifest
    spec = network.spec
    onnx = to_onnx(network, len(manifest.bands))
    _check_engines(onnx, network, dataset, options)
    recipe = RECIPES[options.recipe]
    miou = next((m for *_, m in reversed(course.curve) if m is not None), None)
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
        network={"widths": spec.widths, "pixel_width": spec.pixel_width},
        stride=network.stride,
        halo=HALO,
        parameters=sum(p.numel() for p in network.parameters()),
        training=Training(
            data=manifest.source,
            data_digest=manifest.digest,
            groups={split: sorted({s.group for s in manifest.of(split)}) for split in splits},
            recipe=options.recipe,
            settings=dataclasses.asdict(recipe),
            seed=options.seed,
            steps=course.steps,
            seconds=course.seconds,
            first_weights=facts["first_weights"],
            precision=facts["precision"],
            versions=_versions(),
            curve=course.curve,
            validation_miou=miou,
        ),
        files={},
    )
    weights = save({name: t.contiguous() for name, t in network.state_dict().items()})
    pack(options.model, card, onnx, weights)
    shutil.rmtree(work, ignore_errors=True)
    return TrainResult(
        model=str(options.model),
        seconds=course.seconds,
        steps=course.steps,
        pixels_per_second=course.steps * recipe.batch * recipe.patch**2 / max(course.step_seconds, 1e-9),
        validation_miou=miou,
        parameters=card.parameters,
    )


def _check_engines(onnx: bytes, network: Network, dataset: Dataset, options: TrainOptions) -> None:
    """Compare every installed engine with torch on real patches; they may differ by 1e-3 in score.

    Raises:
        JobError: they differ by more.
    """
    patches = Patches(dataset, dataset.manifest.of("train"), RECIPES[options.recipe], options.seed)
    raw = patches.batch(0)[0][:4].numpy()
    expected = TorchRuntime(network)(raw)
    for name, engine in ENGINES.items():
        try:
            worst = float(np.abs(engine(onnx)(raw) - expected).max())
        except ImportError:
            continue
        if worst > 1e-3:
            raise JobError(
                f"the packed network differs from the trained one by {worst:.2g} in {name}",
                file=options.model,
                fix="Report this, with the encoder's and decoder's name; the checkpoints are kept",
            )


def _versions() -> dict[str, str]:
    names = ("swath", "torch", "lightning", "timm", "segmentation-models-pytorch", "onnx", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning from printing tips; its errors still come as exceptions."""
    loggers = [
        logging.getLogger(name)
        for name in (
            "lightning.pytorch",
            "lightning.fabric",
            "lightning.pytorch.utilities.rank_zero",
            "pytorch_lightning",
        )
    ]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
