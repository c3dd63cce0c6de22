"""The model card: what a model takes and gives, its network, and its training.

On disk it is a STAC item with the MLM extension (https://github.com/stac-extensions/mlm), so that
catalogs can list it; all fields of Swath are in its property `swath:card`.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from swath.errors import ModelError, SwathError
from swath.geo.latitude import LATITUDE
from swath.legend import Legend, rgb
from swath.types import Decoder, Heads, OutputKind, PixelFeatures

CARD_VERSION = 2
"""Version of the cards of imported networks; those of trained ones are of version 1."""

RETRY = "Fetch or train the model again"

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(gt=0, le=65536)]
Band = Annotated[int, Field(ge=0, le=65535)]
Width = Annotated[int, Field(gt=0, le=4096)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Dtype = Annotated[str, Field(pattern="^(u?int(8|16|32|64)|float(16|32|64))$")]


class _CardModel(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False, populate_by_name=True)


class CardBand(_CardModel):
    """An input band, with statistics of the training images.

    `fill` replaces invalid pixels; the network subtracts `mean` and divides by `std`.
    """

    name: str
    fill: float
    mean: float
    std: Positive
    min: float
    max: float


class NetworkShape(_CardModel):
    """Channels of the decoder, from deep to shallow, and of the pixel branch.

    The other fields are those of the quick recipe; see `NetworkSpec`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    widths: Annotated[list[Width], Field(min_length=4, max_length=4)]
    pixel_width: Annotated[int, Field(ge=0, le=4096)]
    features: PixelFeatures | None = None
    rgb: tuple[Band, Band, Band] = (0, 1, 2)
    base: BaseShape | None = None
    smoothing: Annotated[int, Field(ge=0, le=255)] = 0


class BaseShape(NetworkShape):
    """Decoder, classes and channels of a network that was adapted."""

    decoder: Decoder | Literal["hypercolumn"]
    classes: Annotated[int, Field(gt=0, le=65536)]


class Training(_CardModel):
    """How a model was trained; `curve` has rows (step, seconds, loss, validation mIoU or null)."""

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
    """How the temperature was fitted, on the validation split or on labels held out in turn.

    Attributes:
        temperature: class scores are divided by it.
        groups: validation groups; none for labels held out in turn.
        pixels: number of labeled pixels.
        error_before: expected calibration error on them before, 0..1.
        error_after: after.
    """

    temperature: Positive
    groups: list[str]
    pixels: Count
    error_before: Share
    error_after: Share


class FoldScores(_CardModel):
    """Scores on labels that were held out in turn, where there was no room for a test split.

    Attributes:
        folds: number of parts; labels that are near to each other are in one part.
        groups: number of groups of labels.
        pixels: number of labeled pixels.
        confusion: rows reference, columns prediction, summed over the parts.
        miou: mean IoU of it, 0..1.
        interval: 95% interval of the mean IoU, over groups; None with too few of them.
        forest: mean IoU of a random forest on the same bands, labels and parts, 0..1; None where
            scikit-learn was not installed.
        forest_interval: of it, likewise.
    """

    folds: Annotated[int, Field(ge=2)]
    groups: Count
    pixels: Count
    confusion: list[list[Count]]
    miou: Share
    interval: tuple[Share, Share] | None
    forest: Share | None = None
    forest_interval: tuple[Share, Share] | None = None


class Imported(_CardModel):
    """Where an imported network comes from, and how it was turned into a model.

    Attributes:
        file: name of the ONNX file.
        sha256: of its content.
        license: as the user or the file names it; None if unknown.
        source: address or description of the origin; None if unknown.
        metadata: what was read besides options, such as `deepness` or `mlm`.
        layout: order of its axes, `nchw` or `nhwc`.
        output: what its output was.
        window: side of its input, where all are of one size; None for any size.
        ranges: whether the bands of the card tell the numbers that it takes.
        compared_on: `image`, or `noise` where none was given.
        difference: largest difference of a score from the file's own output, over the largest.
        labels_changed: share of the labels that OpenVINO in float32 changes.
        bf16_changed: share of the labels that bf16 changes; None where the processor has none.
    """

    file: str
    sha256: Sha256
    license: str | None
    source: str | None
    metadata: list[str]
    layout: Literal["nchw", "nhwc"]
    output: OutputKind
    window: Side | None
    ranges: bool
    compared_on: Literal["image", "noise"]
    difference: Annotated[float, Field(ge=0)]
    labels_changed: Share
    bf16_changed: Share | None


class OodStatistics(_CardModel):
    """Statistics of the training images, for out-of-distribution distances (`evaluation.ood`).

    Attributes:
        mean: mean description of the training images.
        precision: inverse covariance of descriptions.
        threshold: distance above which an image is out of distribution; 1 is usual in training.
        images: number of images, or blocks, that were described.
    """

    mean: list[float]
    precision: list[list[float]]
    threshold: Positive
    images: Count


class Card(_CardModel):
    """Input, output, network and training of a model.

    Attributes:
        format_version: of the card; this version and older ones can be read.
        swath_version: of the program that wrote it.
        name: of the model.
        legend: its classes, with colors and codes.
        bands: its input, in order.
        dtype: type of the training images.
        gsd: their ground sampling distance in meters; None where they had no CRS.
        encoder: timm name; `none` of imported networks.
        decoder: name; `hypercolumn` of the quick recipe; `imported` of networks that were read
            from ONNX, without weights and training; `upernet` of older models, which are
            mapped with but not trained on.
        network: widths of the network; None of imported ones.
        stride: height and width of an input are multiples of it.
        halo: pixels around a tile's core that are read with it.
        seam: share of labels that tiles with this halo change against whole images; None if it was
            not measured.
        context: `global` where a pixel's class depends on all of its read window, else `local`.
        int8: how the int8 network was made and how much it differs; None without one.
        latitude: whether the last band is latitude, computed from the position of pixels.
        scaled: whether images are read as physical values, by the scale and offset of their bands.
        heights: whether the last channel, after the class scores, is the height above ground in
            meters.
        heads: `softmax`, or `per-class` where scores are calibrated log-odds of independent masks.
        thresholds: least probability in the mask of each class, for per-class heads.
        core: side of a tile's core, for a network with global context or windows of one size; None
            for any.
        temperature: class scores are divided by it before softmax.
        calibration: how the temperature was fitted; None where nothing was held out and it is 1.
        folds: scores on labels held out in turn, by the quick recipe; else None.
        ood: statistics of the training images; None for models of an older Swath.
        parameters: number of weights.
        training: how it was trained; None of imported networks.
        imported: where an imported network comes from; None of trained ones.
        files: SHA-256 of the other files in the model file.
    """

    format_version: int = 1
    swath_version: str
    name: str
    legend: Legend
    bands: Annotated[list[CardBand], Field(min_length=1)]
    dtype: Dtype
    gsd: Positive | None
    encoder: str
    decoder: Decoder | Literal["classic", "hypercolumn", "imported", "upernet"]
    network: NetworkShape | None
    stride: Annotated[int, Field(gt=0, le=1024)]
    halo: Annotated[int, Field(ge=0, le=16384)]
    seam: Share | None = None
    context: Literal["local", "global"] = "local"
    int8: dict[str, Any] | None = None
    latitude: bool = False
    scaled: bool = False
    heights: bool = False
    heads: Heads = "softmax"
    thresholds: list[Share] | None = None
    core: Side | None = None
    temperature: Annotated[float, Field(ge=1e-3, le=1e3)] = 1.0
    calibration: Calibration | None = None
    folds: FoldScores | None = None
    ood: OodStatistics | None = Field(None, alias="familiarity")  # codespell:ignore familiarity
    parameters: Count
    training: Training | None
    imported: Imported | None = None
    files: dict[str, Sha256]

    @model_validator(mode="after")
    def _fits_itself(self) -> Card:
        classes, bands = len(self.legend.trained), len(self.bands)
        codes = Counter(c.map_code for c in self.legend.trained)
        for c in self.legend.trained:
            rgb(c.color)
        twice = [code for code, count in codes.items() if count > 1]
        thresholds, ood = self.thresholds, self.ood
        described = 4 * bands + classes  # see `evaluation.ood.describe_image`
        faults = {
            f"two classes have the map code {twice[:1]}": bool(twice),
            "the halo is not a multiple of the stride": self.halo % self.stride != 0,
            "the last band is not latitude": self.latitude
            and (bands < 2 or self.bands[-1].name != LATITUDE),
            "the core is smaller than the stride": self.core is not None
            and self.core < self.stride,
            "the network is neither a trained nor an imported one": any(
                is_trained == (self.imported is not None)
                for is_trained in (
                    self.network is not None,
                    self.training is not None,
                    self.decoder != "imported",
                )
            ),
            "the window is not that of the tiles": self.window is not None
            and self.window != self.side,
            "the thresholds are not one a class": thresholds is not None
            and len(thresholds) != classes,
            "the ood statistics are of other bands or classes": ood is not None
            and {len(ood.mean), len(ood.precision), *map(len, ood.precision)} != {described},
        }
        for fault, holds in faults.items():
            if holds:
                raise ValueError(fault)
        return self

    @property
    def channels(self) -> int:
        """Channels of the output: class scores, and the height if it has one."""
        return len(self.legend.trained) + (1 if self.heights else 0)

    @property
    def image_bands(self) -> list[str]:
        """Names of the bands that an image has."""
        names = [band.name for band in self.bands]
        return names[:-1] if self.latitude else names

    @property
    def window(self) -> int | None:
        """Side of the only inputs that the network takes, None where it takes others, too."""
        return None if self.imported is None else self.imported.window

    @property
    def known_dtype(self) -> str | None:
        """Type of the training images; None where it is not known."""
        known = self.imported is None or self.imported.compared_on == "image"
        return self.dtype if known else None

    @property
    def ranges_known(self) -> bool:
        """Whether the bands tell the numbers of the training images."""
        return self.imported is None or self.imported.ranges

    @property
    def side(self) -> int | None:
        """Side of all read windows: of global context or windows of one size; None for others."""
        return None if self.core is None else self.core + 2 * self.halo

    @property
    def mapped_gsd(self) -> float | None:
        """Ground sampling distance that images are scaled to, in meters; None if they are not.

        The classic network scales all images to one size itself.
        """
        return None if self.decoder == "classic" else self.gsd

    @property
    def _architecture(self) -> str:
        if self.imported is not None:
            return f"imported from {self.imported.file}"
        return f"{self.decoder}, encoder {self.encoder}"

    def to_stac(self) -> dict[str, Any]:
        """Return the card as a STAC item (JSON object) with MLM properties."""
        import pystac
        from pystac.extensions import mlm
        from pystac.extensions.classification import Classification
        from pystac.extensions.raster import DataType

        # STAC needs an interval, and that of the training images is not known.
        interval = {
            "start_datetime": "1970-01-01T00:00:00Z",
            "end_datetime": "9999-12-31T23:59:59Z",
        }
        item = pystac.Item(self.name, geometry=None, bbox=None, datetime=None, properties=interval)
        description = (
            "Scaling is part of the network; invalid pixels are replaced by the fill of their band."
        )
        if self.latitude:
            description += " The last band is each pixel's absolute latitude in degrees."
        tasks, float32 = [mlm.TaskType.SEMANTIC_SEGMENTATION], DataType.FLOAT32
        pixels = mlm.ModelInput.create(
            name="raw pixel values",
            bands=[mlm.ModelBand.create(b.name) for b in self.bands],
            input=mlm.InputStructure.create(
                [-1, len(self.bands), -1, -1], ["batch", "bands", "height", "width"], float32
            ),
            description=description,
        )
        scores = mlm.ModelOutput.create(
            name="class scores",
            tasks=tasks,
            result=mlm.ResultStructure.create(
                [-1, self.channels, -1, -1], ["batch", "classes", "height", "width"], float32
            ),
            classes=[
                Classification.create(value=c.map_code, name=c.name, color_hint=c.color[1:])
                for c in self.legend.trained
            ],
        )
        origin = "none" if self.training is None else self.training.first_weights
        if self.imported is not None:
            origin = self.imported.source or self.imported.file
            if self.imported.license is not None:
                item.properties["license"] = self.imported.license
        mlm.MLMExtension.ext(item, add_if_missing=True).apply(
            name=self.name,
            architecture=self._architecture,
            tasks=tasks,
            framework="ONNX",
            total_parameters=self.parameters,
            pretrained=origin != "none",
            pretrained_source=origin,
            input=[pixels],
            output=[scores],
        )
        item.properties["swath:card"] = self.model_dump(mode="json", by_alias=True)
        media_type = "application/octet-stream"
        asset = pystac.Asset("model.onnx", "The network", None, media_type, ["mlm:model"])
        item.add_asset("model", asset)
        return item.to_dict(include_self_link=False)

    @classmethod
    def from_stac(cls, item: Any, file: str) -> Card:
        """Read a card from its STAC item.

        Raises:
            ModelError: the item has no card, or one that is damaged or of a newer format.
        """
        try:
            content = item["properties"]["swath:card"]
            version = content["format_version"]
            if version <= CARD_VERSION:
                return cls.model_validate(content)
        except (KeyError, TypeError, ValueError, SwathError) as error:
            raise card_error(error, file) from error
        fault = f"The model's format {version} is newer than this Swath reads ({CARD_VERSION})"
        raise ModelError(fault, code="newer-format", file=file, fix="Update Swath")


def card_error(error: Exception, file: str) -> ModelError:
    """Make the error for a card that cannot be read."""
    reason = error.message if isinstance(error, SwathError) else f"{type(error).__name__}: {error}"
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".lstrip(": ")
    fault = f"The card of the model is damaged ({reason[:300]})"
    return ModelError(fault, code="damaged-card", file=file, fix=RETRY)
