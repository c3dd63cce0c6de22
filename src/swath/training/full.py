"""Train a network by gradient descent on patches, in processes that can be interrupted."""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - has to come first

import dataclasses
import json
import logging
import math
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from swath.data.dataset import Dataset
from swath.errors import DataError, JobError
from swath.inference.memory import freed_memory_kept
from swath.inference.tiled import TiledPredictor
from swath.io.work_folder import WorkFolder, open_store
from swath.models.model import Model
from swath.models.network import CLASSIC, Network, NetworkSpec, input_scaling, load_encoder_weights
from swath.options import TrainOptions
from swath.training.batches.classic_batches import ClassicBatches
from swath.training.batches.patches import BatchStream, PatchBatches, class_shares
from swath.training.batches.prefetch import Prefetcher, prefetch_threads
from swath.training.batches.sampler import PatchSampler
from swath.training.callbacks import (
    EPOCH_STEPS,
    Budget,
    Checkpoints,
    TrainingClock,
    WholeCheckpoints,
)
from swath.training.export import TrainedNetwork, pack_model, predictor_of
from swath.training.few_labels import FEW_PIXELS, quick_part
from swath.training.finetune import spec_like, transfer_weights
from swath.training.pixel_branch import train_pixel_branch
from swath.training.recipes import Recipe
from swath.training.result import ClassSampling, TrainResult, class_pixels
from swath.training.task import TrainingTask
from swath.training.validation import Validation, pixels_per_second

log = logging.getLogger(__name__)

DEFAULT_MINUTES = 30.0

PIXEL_STEPS_RATIO = 4
"""Steps of the pixel branch's pre-training for each step of the training, at most."""

PIXEL_TIME_SHARE = 0.05
"""Share of the training's time that the pre-training may take."""

COUNTED_PATCHES = 100
"""Patches in which classes are counted, to report how they are drawn."""


def is_follower() -> bool:
    """Return whether this is a further process of a training that another process started."""
    return bool(getattr(rank_zero_only, "rank", 0))


def train_full(options: TrainOptions, dataset: Dataset, recipe: Recipe) -> TrainResult:
    """Train a network by gradient descent on patches, and pack it into a model file.

    Raises:
        DataError: the dataset has no heights where they are to be trained.
        UsageError: an option is wrong, such as an encoder that does not exist.
        JobError: weights are missing, the interrupted training to resume was another, the loss
            diverged, or the disk is full.
    """
    if recipe.heights and not any(image.heights for image in dataset.manifest.images):
        raise DataError(
            "The dataset has no heights",
            code="no-heights",
            file=dataset.folder,
            fix="Prepare a source that has heights, or leave out --heights",
        )
    torch.manual_seed(options.seed)
    network, first_weights = _network(dataset, options, recipe)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    work = _workplace(options, dataset, network.spec, recipe)
    started = time.monotonic()
    quick = None if is_follower() else quick_part(options, dataset, recipe)
    batches = _batches(dataset, recipe, options.seed)
    training_task = TrainingTask(network, recipe, class_pixels(dataset))
    budget = _budget(options, batches)
    last = work / "last.ckpt"
    before = time.monotonic() - started
    if options.from_ is None and not last.exists():
        limits = _pixel_branch_limits(budget, recipe)
        before += train_pixel_branch(network, batches, training_task.loss, *limits)
    engine = predictor_of(network, dataset, recipe.heads == "per-class")
    threads = prefetch_threads(options.devices)
    prefetcher = Prefetcher(batches, threads, pin=torch.cuda.is_available())

    def validation() -> Validation:
        return _validation(dataset, engine, budget, recipe, options.seed)

    clock = TrainingClock(prefetcher, budget, validation, before)
    with _quiet(), freed_memory_kept(), prefetcher:
        trainer = _trainer(options, [clock, _checkpoints(work)])
        _fit(trainer, training_task, prefetcher, last if last.exists() else None)
    if not trainer.is_global_zero:
        raise SystemExit(0)  # the first process packs the model
    if Dataset(options.dataset).manifest.digest != dataset.manifest.digest:
        raise JobError(
            "The dataset has changed during the training",
            code="dataset-changed",
            file=dataset.folder,
            fix="Train again",
        )
    trained = TrainedNetwork(
        network if quick is None else quick.joined(network.to("cpu")),
        recipe,
        first_weights,
        str(trainer.precision),
        clock.steps,
        clock.seconds,
        batches.batch(0).recolored().pixels[:4].numpy(),
        clock.curve,
    )
    card = pack_model(options, dataset, trained)
    shutil.rmtree(work, ignore_errors=True)
    return TrainResult(
        model=str(options.model),
        seconds=clock.seconds,
        steps=clock.steps,
        pixels_per_second=clock.pixels_per_second(trainer.world_size * options.accumulate),
        waited=clock.waited,
        validation_miou=trained.validation_miou,
        first_weights=first_weights,
        parameters=card.parameters,
        sampling=_sampling(dataset, batches),
        with_quick=quick is not None,
    )


def _network(dataset: Dataset, options: TrainOptions, recipe: Recipe) -> tuple[Network, str]:
    """Build the network with its initial weights; return it and their origin."""
    if options.from_ is not None:
        model = Model(options.from_)
        labeled = sum(class_pixels(dataset))
        if labeled < FEW_PIXELS:
            log.warning(
                "The training split has %d labeled pixels; so few often make a model worse."
                " `--recipe quick` with the same --from corrects it by them.",
                labeled,
            )
        network = Network(spec_like(model, dataset.manifest, recipe))
        return network, transfer_weights(network, model, dataset.manifest)
    network = Network(_spec(dataset, options, recipe))
    if recipe.network == "classic":
        return network, "none"
    return network, load_encoder_weights(network, options.encoder, options.weights)


def _batches(dataset: Dataset, recipe: Recipe, seed: int) -> BatchStream:
    samples = dataset.manifest.of("train")
    sampler = PatchSampler(dataset, samples, recipe.balance, recipe.heights)
    kind = ClassicBatches if recipe.sampling == "classic" else PatchBatches
    return kind(sampler, recipe, seed)


def _sampling(dataset: Dataset, batches: BatchStream) -> list[ClassSampling]:
    pixels, classes = class_pixels(dataset), dataset.manifest.legend.trained
    drawn = class_shares(batches, math.ceil(COUNTED_PATCHES / batches.recipe.batch), len(classes))
    return [
        ClassSampling(name=c.name, share=pixels[i] / sum(pixels), drawn=float(drawn[i]))
        for i, c in enumerate(classes)
    ]


def _trainer(options: TrainOptions, callbacks: list[Callback]) -> Trainer:
    """Set up the loop; several processes each compute their batches and average the gradients.

    Raises:
        JobError: TensorBoard is asked for and not installed.
    """
    logger: TensorBoardLogger | bool = False
    if options.tensorboard is not None:
        try:
            logger = TensorBoardLogger(options.tensorboard, name=Path(options.model).stem)
        except ModuleNotFoundError as error:
            raise JobError(
                "--tensorboard needs the package TensorBoard",
                code="missing-package",
                fix="Run `pip install tensorboard`",
            ) from error
    return Trainer(
        max_epochs=-1,
        limit_train_batches=EPOCH_STEPS * options.accumulate,
        accumulate_grad_batches=options.accumulate,
        accelerator="auto",
        devices=options.devices,
        num_nodes=options.nodes,
        strategy="auto" if options.devices * options.nodes == 1 else "ddp",
        use_distributed_sampler=False,
        precision="bf16-mixed" if has_bf16() else "32-true",
        callbacks=[*callbacks, _KeepSigterm()],
        plugins=[WholeCheckpoints()],
        logger=logger,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


class _KeepSigterm(Callback):
    """Keeps the handler of SIGTERM: Lightning's waits for all processes, of which one was told."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the handler."""
        self._before = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the handler."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._before)


def _fit(
    trainer: Trainer, training_task: TrainingTask, prefetcher: Prefetcher, checkpoint: Path | None
) -> None:
    """Run the loop.

    Raises:
        JobError: training was interrupted, by Ctrl-C, which Lightning turns into an exit.
    """
    before = signal.getsignal(signal.SIGINT)
    path = None if checkpoint is None else str(checkpoint)
    try:
        trainer.fit(training_task, prefetcher, ckpt_path=path, weights_only=True)
    except SystemExit:
        signal.signal(signal.SIGINT, before)
        raise JobError(
            "Training was interrupted",
            code="interrupted",
            fix="Give the same command with --resume to continue",
        ) from None


def has_bf16() -> bool:
    """Return whether hardware multiplies bfloat16: GPU of capability 8, AVX-512 BF16 or AMX."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    flags = Path("/proc/cpuinfo")
    text = flags.read_text(encoding="ascii", errors="ignore") if flags.exists() else ""
    return bool(set(text.split()) & {"avx512_bf16", "amx_bf16"})


def _spec(dataset: Dataset, options: TrainOptions, recipe: Recipe) -> NetworkSpec:
    """Describe the network; the classic one takes raw values.

    8-bit RGB is scaled as the encoder's weights expect, all else by statistics of the train split.
    """
    manifest = dataset.manifest
    bands, classes = manifest.bands, len(manifest.legend.trained)
    if recipe.network == "classic":
        raw = (0.0,) * len(bands), (1.0,) * len(bands)
        return NetworkSpec(CLASSIC, CLASSIC, classes, *raw, recipe.widths, 0, recipe.heights)
    if manifest.dtype == "uint8" and len(bands) == 3:
        mean, std = ([255 * v for v in part] for part in input_scaling(options.encoder))
    else:
        mean, std = [b.mean for b in bands], [b.std for b in bands]
    scaling, shape = (tuple(mean), tuple(std)), (recipe.widths, recipe.pixel_width)
    kind = options.encoder, options.decoder
    return NetworkSpec(*kind, classes, *scaling, *shape, recipe.heights)


def _budget(options: TrainOptions, batches: BatchStream) -> Budget:
    if options.steps is not None:
        return Budget(None, options.steps)
    epochs = options.epochs or (batches.recipe.epochs if options.minutes is None else 0)
    if epochs:
        return Budget(None, epochs * batches.epoch)
    return Budget(60 * (options.minutes or DEFAULT_MINUTES), None)


def _pixel_branch_limits(budget: Budget, recipe: Recipe) -> tuple[int, float]:
    """Return steps and seconds of the pixel branch's pre-training, a small part of the training."""
    steps = min(recipe.pixel_steps, (budget.steps or recipe.pixel_steps) * PIXEL_STEPS_RATIO)
    return steps, (budget.seconds or math.inf) * PIXEL_TIME_SHARE


def _workplace(options: TrainOptions, dataset: Dataset, spec: NetworkSpec, recipe: Recipe) -> Path:
    """Make the folder of checkpoints beside the model file, or reopen the interrupted training's.

    Raises:
        JobError: the interrupted training had other data or settings, or the folder cannot be made.
    """
    work = Path(f"{options.model}.training")
    if is_follower():
        return work  # the first process made it
    values = [dataclasses.asdict(spec), dataclasses.asdict(recipe), options.seed]
    present = json.dumps([dataset.manifest.digest, *values])

    def changes(old: str) -> list[str]:
        names = ("data", "network", "recipe", "seed")
        try:
            pairs = zip(json.loads(old), json.loads(present), names, strict=True)
            return [name for before, now, name in pairs if before != now]
        except (ValueError, TypeError):
            return ["settings"]

    store = open_store(str(work))
    if not options.resume:
        store.clear()
    elif not (work / "last.ckpt").exists():
        log.warning("%s: nothing to resume here, so training starts afresh.", work)
    fix = "Give the same options, or start afresh without --resume"
    WorkFolder(store, "settings.json", "*", fix).open(lambda: present, changes)
    return work


def _checkpoints(work: Path) -> Checkpoints:
    return Checkpoints(
        dirpath=work,
        filename="last",
        every_n_epochs=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def _validation(
    dataset: Dataset, engine: TiledPredictor, budget: Budget, recipe: Recipe, seed: int
) -> Validation:
    """Set up validation; steps are estimated at three times the time of predicting their pixels."""
    seconds = budget.seconds
    if seconds is None:
        pixels = (budget.steps or 0) * recipe.batch * recipe.patch**2
        seconds = 3 * pixels / pixels_per_second(engine)
    return Validation(dataset, engine, seconds, seed)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning from printing tips; its errors still come as exceptions."""
    quiet = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    loggers = [logging.getLogger(name) for name in (*quiet, "pytorch_lightning")]
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
