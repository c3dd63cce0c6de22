"""The card of a model: all that must be known to use it, and to judge it.

On disk it is a STAC item with the MLM extension (https://github.com/stac-extensions/mlm), so catalogues can list it;
Swath's own fields are whole in its property `swath:card`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from swath.classes import Legend
from swath.errors import ModelError
from swath.options import Heads

FORMAT_VERSION = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")


class CardBand(_Frozen):
    """An input band: `fill` (the training mean) replaces invalid pixels; the network subtracts `mean` and divides by `std`."""

    name: str
    fill: float
    mean: float
    std: float
    min: float
    max: float


class Training(_Frozen):
    """How a model came to be; `curve` has one row (step, seconds, loss, validation mIoU or null) a stretch."""

    data: str
    data_digest: str
    groups: dict[str, list[str]]
    recipe: str
    settings: dict[str, Any]
    seed: int
    steps: int
    seconds: float
    first_weights: str
    precision: str
    versions: dict[str, str]
    curve: list[tuple[int, float, float, float | None]]
    validation_miou: float | None


class Calibration(_Frozen):
    """How the temperature was fitted: on which validation groups, on how many pixels, and what it changed there.

    Attributes:
        temperature: class scores are divided by it.
        groups: validation groups.
        pixels: labelled pixels that were looked at.
        error_before: expected calibration error on them before, 0..1.
        error_after: after.
    """

    temperature: float
    groups: list[str]
    pixels: int
    error_before: float
    error_after: float


class Familiarity(_Frozen):
    """What the training data are like, to tell how unlike them an image is (see `swath.familiarity`).

    Attributes:
        mean: mean description of the training images.
        precision: inverse covariance of descriptions.
        threshold: distance from which an image is called unlike them; 1 is usual among themselves.
        images: number of images, or blocks, that were described.
    """

    mean: list[float]
    precision: list[list[float]]
    threshold: float
    images: int


class Card(_Frozen):
    """What a model is: input, output, network, and training.

    Attributes:
        format_version: of this card; every version up to the present one can be read.
        swath_version: of the program that wrote it.
        name: of the model.
        legend: its classes, with colours and codes.
        bands: its input, in order.
        dtype: type of the images it was taught with.
        gsd: ground sampling distance of those images, in metres; None where they had no CRS.
        encoder: timm name.
        decoder: name.
        network: everything else the network is built from.
        stride: height and width of an input are multiples of it.
        halo: pixels around a tile's core that are read with it.
        seam: share of labels that tiles with this halo changed against whole images; None where that was not measured.
        context: `global` where a pixel's class depends on all of its read window, however far, else `local`.
        int8: how the network in 8-bit numbers was made and how far it differs; None where the file has none.
        heights: whether the network's last channel, after the class scores, is the height above ground in metres.
        heads: `softmax`, or `per-class` where the scores are calibrated log-odds of masks apart.
        thresholds: per-class heads: probability from which on a pixel belongs to the mask of a class.
        core: side of a tile's core where the result depends on it, for a network with global context; None for any.
        temperature: class scores are divided by it before they are turned into probabilities (softmax).
        calibration: how the temperature was fitted; None where there was no validation split, and it is 1.
        familiarity: what the training data are like; None for models of an older Swath.
        parameters: number of weights.
        training: how it was made.
        files: SHA-256 of the other files in the model file.
    """

    format_version: int = FORMAT_VERSION
    swath_version: str
    name: str
    legend: Legend
    bands: list[CardBand]
    dtype: str
    gsd: float | None
    encoder: str
    decoder: str
    network: dict[str, Any]
    stride: int
    halo: int
    seam: float | None = None
    context: Literal["local", "global"] = "local"
    int8: dict[str, Any] | None = None
    heights: bool = False
    heads: Heads = "softmax"
    thresholds: list[float] | None = None
    core: int | None = None
    temperature: float = 1.0
    calibration: Calibration | None = None
    familiarity: Familiarity | None = None
    parameters: int
    training: Training
    files: dict[str, str]

    @model_validator(mode="after")
    def _one_threshold_a_class(self) -> Card:
        if self.thresholds is not None and len(self.thresholds) != len(self.legend.learnt):
            raise ValueError("thresholds and classes differ in number")
        return self

    @property
    def side(self) -> int | None:
        """Side of the read windows of a network with global context, None for others."""
        return None if self.core is None else self.core + 2 * self.halo

    def to_stac(self) -> dict[str, Any]:
        """Return the card as a STAC item (JSON object) with MLM properties."""
        import pystac
        from pystac.extensions.classification import Classification
        from pystac.extensions.mlm import (
            InputStructure,
            MLMExtension,
            ModelBand,
            ModelInput,
            ModelOutput,
            ResultStructure,
            TaskType,
        )
        from pystac.extensions.raster import DataType

        # A model was made at no place and time that it knows of; STAC wants an interval, and the data's would be a guess.
        item = pystac.Item(
            id=self.name, geometry=None, bbox=None, datetime=None,
            properties={"start_datetime": "1970-01-01T00:00:00Z", "end_datetime": "9999-12-31T23:59:59Z"},
        )  # fmt: skip
        shape = ["batch", "bands", "height", "width"]
        mlm = MLMExtension.ext(item, add_if_missing=True)
        mlm.apply(
            name=self.name,
            architecture=f"{self.decoder}, encoder {self.encoder}",
            tasks=[TaskType.SEMANTIC_SEGMENTATION],
            framework="ONNX",
            total_parameters=self.parameters,
            pretrained=self.training.first_weights != "none",
            pretrained_source=self.training.first_weights,
            input=[
                ModelInput.create(
                    name="raw pixel values",
                    bands=[ModelBand.create(b.name) for b in self.bands],
                    input=InputStructure.create([-1, len(self.bands), -1, -1], shape, DataType.FLOAT32),
                    description="Scaling is part of the network; invalid pixels are replaced by the fill of their band.",
                )
            ],
            output=[
                ModelOutput.create(
                    name="class scores",
                    tasks=[TaskType.SEMANTIC_SEGMENTATION],
                    result=ResultStructure.create(
                        [-1, len(self.legend.learnt) + self.heights, -1, -1],
                        ["batch", "classes", "height", "width"],
                        DataType.FLOAT32,
                    ),
                    classes=[
                        Classification.create(value=c.map_code, name=c.name, color_hint=c.color[1:]) for c in self.legend.learnt
                    ],
                )
            ],
        )
        item.properties["swath:card"] = self.model_dump(mode="json")
        asset = pystac.Asset("model.onnx", title="The network", media_type="application/octet-stream", roles=["mlm:model"])
        item.add_asset("model", asset)
        return item.to_dict(include_self_link=False)

    @classmethod
    def from_stac(cls, item: Any, file: str) -> Card:
        """Read a card back from its STAC item.

        Raises:
            ModelError: the item has no card, or one that is damaged or newer than this Swath reads.
        """
        try:
            content = item["properties"]["swath:card"]
            if content["format_version"] > FORMAT_VERSION:
                raise ModelError(
                    f"the model's format {content['format_version']} is newer than this Swath reads ({FORMAT_VERSION})",
                    file=file,
                    fix="Update Swath",
                )
            return cls.model_validate(content)
        except (KeyError, TypeError, ValidationError) as error:
            raise ModelError("the model's card is damaged", file=file, fix="Train or fetch the model again") from error
