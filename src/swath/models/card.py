"""The card of a model: all that must be known to use it, and to judge it.

On disk it is a STAC item with the MLM extension (https://github.com/stac-extensions/mlm), so
catalogs can list it; Swath's own fields are whole in its property `swath:card`.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from swath.errors import ModelError, SwathError
from swath.geo.latitude import LATITUDE
from swath.legend import Legend, rgb
from swath.types import Decoder, Heads

FORMAT_VERSION = 1

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(gt=0, le=65536)]
Width = Annotated[int, Field(gt=0, le=4096)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Dtype = Literal[
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "float32",
    "float64",
]


class _CardModel(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False, populate_by_name=True)


class CardBand(_CardModel):
    """An input band: `fill` (the training mean) replaces invalid pixels; the network subtracts `mean` and divides by `std`."""

    name: str
    fill: float
    mean: float
    std: Positive
    min: float
    max: float


class NetworkShape(_CardModel):
    """What else the network is built from: channels of the decoder from deep to shallow, and those of the pixel branch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    widths: Annotated[list[Width], Field(min_length=4, max_length=4)]
    pixel_width: Annotated[int, Field(ge=0, le=4096)]


class Training(_CardModel):
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


class Calibration(_CardModel):
    """How the temperature was fitted: on which validation groups, on how many pixels, and what it changed there.

    Attributes:
        temperature: class scores are divided by it.
        groups: validation groups.
        pixels: labeled pixels that were looked at.
        error_before: expected calibration error on them before, 0..1.
        error_after: after.
    """

    temperature: Positive
    groups: list[str]
    pixels: Count
    error_before: Share
    error_after: Share


class OodStatistics(_CardModel):
    """What the training data are like, to tell how unlike them an image is (see `swath.evaluation.ood`).

    Attributes:
        mean: mean description of the training images.
        precision: inverse covariance of descriptions.
        threshold: distance from which an image is called unlike them; 1 is usual among themselves.
        images: number of images, or blocks, that were described.
    """

    mean: list[float]
    precision: list[list[float]]
    threshold: Positive
    images: Count


class Card(_CardModel):
    """What a model is: input, output, network, and training.

    Attributes:
        format_version: of this card; every version up to the present one can be read.
        swath_version: of the program that wrote it.
        name: of the model.
        legend: its classes, with colors and codes.
        bands: its input, in order.
        dtype: type of the images it was taught with.
        gsd: ground sampling distance of those images, in meters; None where they had no CRS.
        encoder: timm name.
        decoder: name.
        network: everything else the network is built from.
        stride: height and width of an input are multiples of it.
        halo: pixels around a tile's core that are read with it.
        seam: share of labels that tiles with this halo changed against whole images; None where
            that was not measured.
        context: `global` where a pixel's class depends on all of its read window, however far, else
            `local`.
        int8: how the network in 8-bit numbers was made and how far it differs; None where the file
            has none.
        latitude: whether the last band is latitude, worked out from where a pixel lies and not read
            from an image.
        heights: whether the network's last channel, after the class scores, is the height above
            ground in meters.
        heads: `softmax`, or `per-class` where the scores are calibrated log-odds of masks apart.
        thresholds: per-class heads: probability from which on a pixel belongs to the mask of a
            class.
        core: side of a tile's core where the result depends on it, for a network with global
            context; None for any.
        temperature: class scores are divided by it before they are turned into probabilities
            (softmax).
        calibration: how the temperature was fitted; None where there was no validation split, and
            it is 1.
        ood: what the training data are like; None for models of an older Swath.
        parameters: number of weights.
        training: how it was made.
        files: SHA-256 of the other files in the model file.
    """

    format_version: int = FORMAT_VERSION
    swath_version: str
    name: str
    legend: Legend
    bands: Annotated[list[CardBand], Field(min_length=1)]
    dtype: Dtype
    gsd: Positive | None
    encoder: str
    decoder: Decoder | Literal["classic"]
    network: NetworkShape
    stride: Annotated[int, Field(gt=0, le=1024)]
    halo: Annotated[int, Field(ge=0, le=16384)]
    seam: Share | None = None
    context: Literal["local", "global"] = "local"
    int8: dict[str, Any] | None = None
    latitude: bool = False
    heights: bool = False
    heads: Heads = "softmax"
    thresholds: list[Share] | None = None
    core: Side | None = None
    temperature: Annotated[float, Field(ge=1e-3, le=1e3)] = 1.0
    calibration: Calibration | None = None
    ood: OodStatistics | None = Field(None, alias="familiarity")
    parameters: Count
    training: Training
    files: dict[str, Sha256]

    @model_validator(mode="after")
    def _fits_itself(self) -> Card:
        """Refuse a card whose facts contradict each other."""
        classes, bands = len(self.legend.trained), len(self.bands)
        for c in self.legend.trained:
            rgb(c.color)
        twice = [
            code
            for code, count in Counter(c.map_code for c in self.legend.trained).items()
            if count > 1
        ]
        known = self.ood
        described = 4 * bands + classes  # see `evaluation.ood.describe_image`
        reasons = {
            f"two classes share the map code {twice[:1]}": bool(twice),
            "the halo is no multiple of the stride": self.halo % self.stride != 0,
            "its last band is no latitude": self.latitude
            and (bands < 2 or self.bands[-1].name != LATITUDE),
            "tiles are smaller than the stride": self.core is not None and self.core < self.stride,
            "the thresholds are not one a class": self.thresholds is not None
            and len(self.thresholds) != classes,
            "the familiarity is of other bands or classes": known is not None
            and {len(known.mean), len(known.precision), *map(len, known.precision)} != {described},
        }
        for reason, holds in reasons.items():
            if holds:
                raise ValueError(reason)
        return self

    @property
    def channels(self) -> int:
        """Channels of the network's output: class scores, and heights where it gives them."""
        return len(self.legend.trained) + self.heights

    @property
    def image_bands(self) -> list[str]:
        """Names of the bands that an image brings."""
        return [band.name for band in self.bands[: len(self.bands) - self.latitude]]

    @property
    def side(self) -> int | None:
        """Side of the read windows of a network with global context, None for others."""
        return None if self.core is None else self.core + 2 * self.halo

    @property
    def mapped_gsd(self) -> float | None:
        """Ground sampling distance that images are brought to, in meters; None where they are mapped as they are.

        The classic network brings all images to one size itself.
        """
        return None if self.decoder == "classic" else self.gsd

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

        # A model was made at no place and time that it knows of; STAC wants an interval, and the
        # data's would be a guess.
        item = pystac.Item(
            id=self.name,
            geometry=None,
            bbox=None,
            datetime=None,
            properties={
                "start_datetime": "1970-01-01T00:00:00Z",
                "end_datetime": "9999-12-31T23:59:59Z",
            },
        )
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
                    input=InputStructure.create(
                        [-1, len(self.bands), -1, -1], shape, DataType.FLOAT32
                    ),
                    description="Scaling is part of the network; invalid pixels are replaced by the fill of their band."
                    + " The last band is each pixel's absolute latitude in degrees."
                    * self.latitude,
                )
            ],
            output=[
                ModelOutput.create(
                    name="class scores",
                    tasks=[TaskType.SEMANTIC_SEGMENTATION],
                    result=ResultStructure.create(
                        [-1, self.channels, -1, -1],
                        ["batch", "classes", "height", "width"],
                        DataType.FLOAT32,
                    ),
                    classes=[
                        Classification.create(value=c.map_code, name=c.name, color_hint=c.color[1:])
                        for c in self.legend.trained
                    ],
                )
            ],
        )
        item.properties["swath:card"] = self.model_dump(mode="json", by_alias=True)
        asset = pystac.Asset(
            "model.onnx",
            title="The network",
            media_type="application/octet-stream",
            roles=["mlm:model"],
        )
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
        except ModelError:
            raise
        except (KeyError, TypeError, ValueError, SwathError) as error:
            raise damaged(error, file) from error


def damaged(error: Exception, file: str) -> ModelError:
    """Make the error for a card that cannot be read."""
    reason = error.message if isinstance(error, SwathError) else f"{type(error).__name__}: {error}"
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".lstrip(": ")
    return ModelError(
        f"the model's card is damaged ({reason[:300]})",
        file=file,
        fix="Fetch or train the model again",
    )
