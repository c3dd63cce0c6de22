"""Options of training."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from swath.options.base import ENCODER, FROZEN, conflict, option
from swath.types import ClassWeights, Decoder, Heads, Loss, PathLike


@dataclass(frozen=True, config=FROZEN)
class TrainingOptions:
    """Network, recipe and duration of a training."""

    _: KW_ONLY
    recipe: Literal["default", "classic", "quick"] = option(
        "default",
        "Named set of training settings; quick fits a few labels in seconds, classic is the plain "
        "U-Net baseline.",
        "Network",
    )
    minutes: float | None = option(None, "Minutes of training; default: 30.", gt=0)
    epochs: int | None = option(None, "Epochs, instead of minutes.", "Schedule", gt=0)
    steps: int | None = option(None, "Optimizer steps, instead of --minutes.", "Schedule", gt=0)
    encoder: str = option(ENCODER, "Encoder: any timm model that returns feature maps.")
    decoder: Decoder = option("unet", "Decoder of the network.", "Network")
    weights: str = option(
        "auto", "Initial encoder weights: auto (installed), none, or a safetensors file.", "Network"
    )
    heads: Heads | None = option(
        None, "One softmax (default), or one sigmoid mask per class (multilabel).", "Network"
    )
    heights: bool = option(False, "Train a height above ground as well.", "Network")
    balance: float | None = option(
        None,
        "Sampling by class: 1 in proportion to pixels, 0 equally; default: as the recipe.",
        "Loss",
        ge=0,
        le=1,
    )
    loss: Loss | None = option(
        None, "Pixel loss, and a region loss to add; default: as the recipe.", "Loss"
    )
    class_weights: ClassWeights | None = option(
        None, "Class weights in the pixel loss; default: as the recipe.", "Loss"
    )
    classic_crops: str | None = option(
        None,
        "Classic recipe: crops per image, corner:N or grid:N (random); default: grid:16.",
        "Schedule",
        pattern=r"^(corner|grid):[1-9]\d*$",
    )

    def __post_init__(self) -> None:
        classic = self.recipe == "classic"
        network = {
            "--encoder": self.encoder != ENCODER,
            "--decoder": self.decoder != "unet",
            "--weights": self.weights != "auto",
        }
        given = next((flag for flag, other in network.items() if other), None)
        if sum(v is not None for v in (self.minutes, self.epochs, self.steps)) > 1:
            raise conflict(
                "More than one of --minutes, --epochs and --steps is given", "Give one of them"
            )
        if self.classic_crops and not classic:
            raise conflict("--classic-crops needs the classic recipe", "Add --recipe classic")
        self._check_quick()
        if classic and given:
            message = "The classic recipe has a network of its own, with random weights"
            raise conflict(message, f"Omit {given}")

    def _check_quick(self) -> None:
        """Refuse options that the quick recipe does not heed."""
        if self.recipe != "quick":
            return
        unused = ("minutes", "epochs", "steps", "heads", "balance", "loss", "class_weights")
        given = [name for name in unused if getattr(self, name) is not None]
        given += ["decoder"] if self.decoder != "unet" else []
        given += ["heights"] if self.heights else []
        if given:
            flag = f"--{given[0].replace('_', '-')}"
            raise conflict(f"The quick recipe does not use {flag}", f"Omit {flag}")


@dataclass(frozen=True, config=FROZEN)
class TrainOptions(TrainingOptions):
    """Train a network, and pack it into a model file."""

    EXAMPLE: ClassVar = "swath train dataset land.swath --minutes 30"

    dataset: Annotated[PathLike, Field(description="Folder written by `prepare`.")]
    model: Annotated[PathLike, Field(description="Model file to write, *.swath.")]
    _: KW_ONLY
    from_: PathLike | None = option(
        None,
        "Model file to fine-tune, or to correct by a few labels (--recipe quick); default: none.",
    )
    resume: bool = option(False, "Continue an interrupted training of this model file.")
    devices: int = option(1, "Local processes: one per GPU, or CPU shares.", "Resources", gt=0)
    nodes: int = option(1, "Machines that train together (SLURM, torchrun).", "Resources", gt=0)
    accumulate: int = option(1, "Batches per optimizer step and process.", "Resources", gt=0)
    tensorboard: PathLike | None = option(None, "Folder for TensorBoard logs.", "Output")
    seed: int = option(0, "Seed of weights, patches and augmentation.", ge=0)


@dataclass(frozen=True, config=FROZEN)
class CrossvalidateOptions(TrainingOptions):
    """Train and score on each part of a dataset in turn.

    Each group is scored by a model that was trained without it.
    """

    EXAMPLE: ClassVar = "swath crossvalidate dataset folds --folds 5 --minutes 10"

    dataset: Annotated[
        PathLike, Field(description="Folder written by `prepare`; its own split is not used.")
    ]
    folder: Annotated[PathLike, Field(description="Folder for the models and the result.")]
    _: KW_ONLY
    folds: int = option(5, "Number of parts.", ge=2)
    seed: int = option(0, "Seed of the parts and of each training.", ge=0)
