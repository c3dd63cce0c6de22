"""Options of each command: one frozen object per command.

The command line, the YAML file of `--config` and the Python signatures all come from these fields.
Annotated fields before `KW_ONLY` are the arguments of the command. `EXAMPLE` ends its help.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar, cast

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from swath.errors import UsageError
from swath.types import (
    ClassWeights,
    Decoder,
    Gsd,
    Heads,
    Loss,
    PathLike,
    QualityReason,
    Tta,
)

T = TypeVar("T")

Group: TypeAlias = Literal[
    "Options", "Data", "Split", "Network", "Loss", "Schedule", "Output", "Resume", "Resources"
]
"""Group of an option in `--help`, in this order; "Options" has the five that most people need."""


def option(default: T, help: str, group: Group = "Options", **limits: Any) -> T:
    """Declare a keyword option with its help text; `limits` are those of `pydantic.Field`."""
    extra: dict[str, Any] = {"group": group}
    info = Field(default, description=help, kw_only=True, json_schema_extra=extra, **limits)
    return cast(T, info)


def _split(value: Any) -> Any:
    """Turn `a,b` into ["a", "b"]; a part in double quotes may have commas."""
    if isinstance(value, str):
        parts = re.findall(r'\s*("[^"]*"|[^,]+)\s*(?:,|$)', value)
        return [part.strip().strip('"') for part in parts if part.strip()]
    if isinstance(value, (list, tuple)):
        return [str(part) for part in value]
    return [str(value)] if isinstance(value, int) else value


def _list_paths(value: Any) -> Any:
    """Turn one path into a list, and paths into text."""
    values = [value] if isinstance(value, (str, Path)) else value
    return [str(v) for v in values] if isinstance(values, (list, tuple)) else values


class Many:
    """Marks an option that can be repeated on the command line."""


def _split_reasons(value: Any) -> Any:
    """Turn `a,b` into ["a", "b"], and `none` into nothing."""
    parts = _split(value)
    return [] if parts == ["none"] else parts


Reasons = Annotated[tuple[QualityReason, ...], BeforeValidator(_split_reasons)]


def _split_numbers(value: Any) -> Any:
    """Turn `0.1,0.2`, one number or a list into numbers."""
    return list(value) if isinstance(value, (list, tuple)) else str(value).split(",")


Groups = Annotated[Sequence[str], BeforeValidator(_split)]
Numbers = Annotated[
    Sequence[Annotated[float, Field(allow_inf_nan=False)]], BeforeValidator(_split_numbers)
]
Globs = Annotated[Sequence[str], Many(), BeforeValidator(_list_paths)]

Split: TypeAlias = Literal["train", "val", "test"]
DROP: tuple[QualityReason, ...] = ("cloud", "shadow", "cirrus", "saturated", "unusable")
"""Reasons of quality layers for which pixels are dropped by default; `nodata` always is.

Snow and water are land cover, and through haze the ground is seen.
"""

LAST_CLEAR = 40.0
"""Cloud probability in percent from which a pixel is cloud by default."""

QUALITY_HELP = (
    "Quality layer: auto (what a product brings), none, a file or a quoted pattern, such as "
    "'qa/{id}_SCL.tif'; scl:FILE tells the kind; repeatable."
)
DROP_HELP = (
    "What a quality layer drops: cloud, shadow, cirrus, haze, saturated, unusable, snow, water, or "
    "none; default: cloud,shadow,cirrus,saturated,unusable."
)
ERODE_HELP = (
    "Pixels around those without data that have none either, such as the ring that JPEG leaves."
)
MAX_EROSION = 256
"""Largest number of pixels by which nodata grows."""

CLEAR_HELP = "Cloud probability in percent from which a pixel is cloud."

Precision: TypeAlias = Literal["auto", "float32", "bf16", "int8"]

ENCODER = "tf_efficientnet_lite0"
"""Default encoder."""

_FROZEN = ConfigDict(extra="forbid", arbitrary_types_allowed=False)


@dataclass(frozen=True, config=_FROZEN)
class SourceOptions:
    """A source folder and how to read it."""

    source: Annotated[PathLike, Field(description="Folder with images and labels.")]
    _: KW_ONLY
    layout: Literal["auto", "pairs", "pattern", "scene", "contest"] = option(
        "auto", "Layout; auto detects it."
    )
    classes: PathLike | None = option(
        None, "YAML list of {name, code or color, ignore}; default: classes found in the masks."
    )
    images: Globs = option(
        (), "Image file or quoted pattern, such as 'img/{id}.tif'; repeatable.", "Data"
    )
    labels: Globs = option(
        (), "Label raster, layer or pattern; equal {fields} pair it; repeatable.", "Data"
    )
    pairs: PathLike | None = option(
        None, "CSV with columns image and labels, also group and split.", "Data"
    )
    split: Globs = option(
        (), "CSV of name and split, or list such as test.txt; repeatable.", "Split"
    )
    label_field: str | None = option(
        None,
        "Class column of the vector layer, or none for one class; default: the only one that can "
        "be, or `class`.",
        "Data",
    )
    layer: str | None = option(None, "Layer of a vector file that has several.", "Data")
    labels_crs: str | None = option(
        None, "CRS of label rasters and layers that declare none, such as EPSG:32632.", "Data"
    )
    background: str | None = option(None, "Class of what no feature of the layer covers.", "Data")
    extent: PathLike | None = option(
        None, "Polygon layer within which --background lies; default: the image.", "Data"
    )
    all_touched: bool = option(
        False, "Polygons get all pixels that they touch, not the centers they cover.", "Data"
    )
    label_width: float | None = option(
        None,
        "Width of points and lines in meters; default: one pixel.",
        "Data",
        gt=0,
        allow_inf_nan=False,
    )
    priority: str | None = option(
        None,
        "Number column: in overlaps the highest wins; default: the last feature.",
        "Data",
    )
    label_band: int | None = option(
        None, "Band of label rasters that holds the classes, from 1.", "Data", ge=1
    )
    fit_labels: bool = option(
        False, "Resample masks of the image's aspect but another size (nearest).", "Data"
    )
    mask: Globs = option(
        (), "Raster (clouds) whose non-zero pixels are ignored; file or quoted pattern.", "Data"
    )
    quality: Globs = option(("auto",), QUALITY_HELP, "Data")
    drop: Reasons = option(DROP, DROP_HELP, "Data")
    clear_below: float = option(LAST_CLEAR, CLEAR_HELP, "Data", gt=0, le=100)
    unlabeled: bool = option(False, "Keep images without a mask, as unlabeled samples.")
    bands: Literal["rgb", "msi"] | None = option(
        None, "Contest layout: three visible bands (rgb, default) or all eight (msi).", "Data"
    )
    select_bands: Groups = option(
        (),
        "Bands of the images to use: numbers from 1 or names, such as 2,3,4,8; default: all.",
        "Data",
    )
    nodata: float | None = option(
        None, "Value that means no data in images that do not declare it; nan too.", "Data"
    )
    ignore_band_nodata: bool = option(
        False, "A pixel has data if one of its bands does; the others get their mean.", "Data"
    )
    erode_nodata: int = option(0, ERODE_HELP, "Data", ge=0, le=MAX_EROSION)
    raw: bool = option(
        False, "Read stored values as they are, without the scale and offset of bands.", "Data"
    )
    warp: bool = option(
        False, "Warp images that ground control points or RPCs place, as they are read.", "Data"
    )
    snap_colors: bool = option(
        False, "Snap mask values that smoothing or JPEG made to the nearest class.", "Data"
    )

    @property
    def root(self) -> Path:
        """The source folder as a path."""
        return Path(self.source)


@dataclass(frozen=True, config=_FROZEN)
class InspectOptions(SourceOptions):
    """Report what a source folder holds, and what is wrong with it.

    With --against, SOURCE is an image, and the result is its distance from a model's training data.
    """

    EXAMPLE: ClassVar = "swath inspect photos --report photos-report"

    _: KW_ONLY
    report: PathLike | None = option(None, "Folder for an HTML page; default: no page.")
    against: PathLike | None = option(None, "Model file to compare SOURCE, an image, with.")


@dataclass(frozen=True, config=_FROZEN)
class PrepareOptions(SourceOptions):
    """Turn a source folder into a dataset for training."""

    EXAMPLE: ClassVar = 'swath prepare photos dataset --classes classes.yaml --test "Tile 2,Tile 5"'

    dataset: Annotated[PathLike, Field(description="Folder to write.")]
    _: KW_ONLY
    test: Groups | None = option(
        None, "Groups of the test split, comma-separated, or none; default: 20% of the groups."
    )
    val: Groups | None = option(
        None, "Groups of the validation split, or none; default: 15% of the remaining groups."
    )
    block: int | None = option(
        None, "Block side in pixels; default: scene / 8, 64 to 4096.", "Split", ge=32
    )
    buffer: int | None = option(
        None, "Unlabeled pixels between blocks of two splits; default: block / 16.", "Split", ge=0
    )
    heights: bool = option(True, "Store heights above ground where the layout has them.", "Data")
    latitude: bool = option(
        False, "Add a band with the latitude of each pixel; `predict` does the same.", "Data"
    )
    gsd: float | None = option(
        None,
        "Ground sampling distance in meters of images whose files have none; default: unknown.",
        "Data",
        gt=0,
        allow_inf_nan=False,
    )
    learn_unlabeled: bool = option(
        False, "Train the ignored classes too; scores come with and without them.", "Data"
    )
    skip_bad: bool = option(False, "Drop samples with errors, instead of stopping.", "Data")
    seed: int = option(0, "Seed of the split.", "Split", ge=0)


@dataclass(frozen=True, config=_FROZEN)
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
            raise _conflict(
                "More than one of --minutes, --epochs and --steps is given", "Give one of them"
            )
        if self.classic_crops and not classic:
            raise _conflict("--classic-crops needs the classic recipe", "Add --recipe classic")
        self._check_quick()
        if classic and given:
            message = "The classic recipe has a network of its own, with random weights"
            raise _conflict(message, f"Omit {given}")

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
            raise _conflict(f"The quick recipe does not use {flag}", f"Omit {flag}")


@dataclass(frozen=True, config=_FROZEN)
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


@dataclass(frozen=True, config=_FROZEN)
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


@dataclass(frozen=True, config=_FROZEN)
class EvaluateOptions:
    """Score a model or a map on a split of a dataset.

    A map, made by any tool, can also be scored against a label raster or vector layer.
    """

    EXAMPLE: ClassVar = "swath evaluate land.swath dataset --report report"

    model: Annotated[PathLike, Field(description="Model file, or a map: a raster of class codes.")]
    dataset: Annotated[
        PathLike,
        Field(description="Folder written by `prepare`; for a map, also labels: raster or layer."),
    ]
    _: KW_ONLY
    split: Split = option("test", "Split to score.")
    report: PathLike | None = option(None, "Folder for an HTML page; default: no page.")
    classes: PathLike | None = option(
        None, "Class file for labels that are given instead of a dataset; default: the map's."
    )
    label_field: str | None = option(
        None, "Class column of a vector layer of labels; default: the only one, or `class`."
    )
    labels_crs: str | None = option(
        None, "CRS of labels that declare none, such as EPSG:32632.", "Data"
    )
    precision: Precision = option("auto", "Arithmetic of a model, as in `predict`.", "Network")
    tta: Tta = option("none", "Test-time augmentation of a model, as in `predict`.")
    gsd: Gsd = option(
        None,
        "Ground sampling distance of the images in meters, for a model, as in `predict`; default: "
        "that of the files.",
        "Network",
    )


@dataclass(frozen=True, config=_FROZEN)
class CompareOptions:
    """Score two models or maps on the same split, with intervals.

    The result has the difference of each score with its 95% interval, and where they disagree.
    """

    EXAMPLE: ClassVar = "swath compare old.swath new.swath dataset --report report"

    a: Annotated[PathLike, Field(description="Model file or map.")]
    b: Annotated[PathLike, Field(description="Other model file or map.")]
    dataset: Annotated[PathLike, Field(description="Folder written by `prepare`.")]
    _: KW_ONLY
    split: Split = option("test", "Split to score.")
    report: PathLike | None = option(None, "Folder for an HTML page; default: no page.")


@dataclass(frozen=True, config=_FROZEN)
class SampleOptions:
    """Draw points on a map for a person to label.

    The sample is stratified: rare classes get more points than their share of the area.
    """

    EXAMPLE: ClassVar = "swath sample map.tif points.gpkg -n 300"

    map: Annotated[PathLike, Field(description="Map: a raster of class codes.")]
    points: Annotated[PathLike, Field(description="GeoPackage to write.")]
    _: KW_ONLY
    n: int = option(300, "Number of points.", ge=2)
    least: int | None = option(
        None,
        "Points of each class, at least; the others by area; default: half of all points are "
        "divided equally, for maps of change 30.",
        ge=2,
    )
    pixel: float | None = option(None, "Pixel size in meters, for a map without CRS.", gt=0)
    seed: int = option(0, "Seed of the sample.", ge=0)


@dataclass(frozen=True, config=_FROZEN)
class AreaOptions:
    """Estimate the area of each class in hectares, with intervals.

    The estimate corrects the mapped area for the errors of the map (Olofsson et al. 2014).
    """

    EXAMPLE: ClassVar = "swath area map.tif --reference points.gpkg"

    map: Annotated[PathLike, Field(description="Map: a raster of class codes.")]
    _: KW_ONLY
    reference: Annotated[
        PathLike,
        Field(description="Labeled points of `sample`, or a dataset whose labels were held out."),
    ]
    field: str = option("reference", "Column of the points with the class: a code or a name.")
    split: Split = option("test", "Split of the dataset.")
    pixel: float | None = option(None, "Pixel size in meters, for a map without CRS.", gt=0)


@dataclass(frozen=True, config=_FROZEN)
class PredictOptions:
    """Map one image of any size, or many."""

    EXAMPLE: ClassVar = "swath predict land.swath scene.tif map.tif --confidence"

    model: Annotated[PathLike, Field(description="Model file.")]
    image: Annotated[
        PathLike | Sequence[PathLike],
        Field(
            description="Image to map: a raster that GDAL opens, or a product (SAFE, Landsat, HLS, "
            "PlanetScope, STAC item; folder, zip or tar). Many: a folder, a quoted pattern, or a "
            ".txt file with one path a line."
        ),
    ]
    map: Annotated[
        PathLike | None,
        Field(
            description="Cloud-optimized GeoTIFF of class codes to write; for many, or a product "
            "and no ending, a folder. Required, except that IMAGE is omitted with --stack."
        ),
    ] = None
    _: KW_ONLY
    stack: PathLike | None = option(
        None,
        "Folder with the image's bands in separate files, or a quoted pattern of files to stack in "
        "natural order, such as those of two dates; IMAGE is then omitted.",
        "Data",
    )
    band_order: Annotated[Sequence[int] | None, BeforeValidator(_split)] = option(
        None,
        "Bands of the image (of all files of --stack) in the order of the model, such as 4,3,2; "
        "default: by their names, else as in the file.",
        "Data",
    )
    mosaic: bool = option(
        False, "Write one map of all images; the first with data is used in overlaps.", "Data"
    )
    nodata: float | None = option(
        None, "Value that means no data in images that do not declare it; nan too.", "Data"
    )
    ignore_band_nodata: bool = option(
        False, "A pixel has data if one of its bands does; the others get their mean.", "Data"
    )
    erode_nodata: int = option(0, ERODE_HELP, "Data", ge=0, le=MAX_EROSION)
    raw: bool = option(
        False, "Read stored values as they are; default: as the model was trained.", "Data"
    )
    mask: Globs = option(
        (), "Raster (clouds) whose non-zero pixels become nodata; file or quoted pattern.", "Data"
    )
    quality: Globs = option(("auto",), QUALITY_HELP, "Data")
    drop: Reasons = option(DROP, DROP_HELP, "Data")
    clear_below: float = option(LAST_CLEAR, CLEAR_HELP, "Data", gt=0, le=100)
    warp: bool = option(
        False, "Warp images that ground control points or RPCs place, as they are read.", "Data"
    )
    skip_bad: bool = option(
        False, "Of many images, leave out those with errors, instead of stopping.", "Data"
    )
    regions: PathLike | None = option(None, "Polygon layer; only pixels inside are mapped.")
    confidence: bool = option(False, "Also write MAP_confidence.tif, in percent.")
    probabilities: bool = option(
        False, "Also write MAP_probabilities.tif: a band per class, in percent.", "Output"
    )
    class_masks: bool = option(
        False, "Also write MAP_masks.tif, a binary band per class (multilabel models).", "Output"
    )
    polygons: PathLike | None = option(None, "Also write polygons: *.gpkg or *.parquet.")
    min_area: float = option(0.0, "Smallest polygon to write, in m2.", "Output", ge=0)
    simplify: float = option(0.0, "Simplify outlines by pixels; no gaps.", "Output", ge=0)
    review: int = option(
        0, "Also write MAP_review.gpkg, with this number of regions to check.", "Output", ge=0
    )
    sieve: int = option(
        0, "Merge patches of fewer pixels into their largest neighbor.", "Output", ge=0
    )
    plan: bool = option(False, "Print tiles, memory, time and disk space, and map nothing.")
    memory: float = option(2.0, "Memory of each worker, in GB.", "Resources", gt=0)
    engine: Literal["auto", "openvino", "onnxruntime", "cuda"] = option(
        "auto", "Runtime of the network; auto is the fastest here.", "Network"
    )
    precision: Precision = option(
        "auto",
        "Arithmetic; auto is bf16 where the hardware has it, else float32; int8 needs `swath "
        "quantize` first.",
        "Network",
    )
    tta: Tta = option(
        "none",
        "Test-time augmentation: average over three scales (scales, 3.1 times the work), four "
        "mirrored views (flips, 4 times), or both (full, 12.5 times).",
    )
    gsd: Gsd = option(
        None,
        "Ground sampling distance of the image in meters, overrides the file; none maps pixels as "
        "they are; default: that of the file.",
        "Data",
    )
    threads: int = option(0, "Threads of each worker; 0 is one per core.", "Resources", ge=0)
    halo: int | None = option(
        None, "Pixels read around each tile; default: as in the model.", "Network", ge=0
    )
    workers: int | None = option(
        None, "Processes, or cluster actors; default: 1, all of a cluster.", "Resources", ge=1
    )
    cluster: str | None = option(
        None, "Ray cluster: auto, HOST:PORT or ray://HOST:PORT; default: none.", "Resources"
    )
    parts: PathLike | None = option(None, "Tile folder or URL; default: MAP.parts.", "Resume")
    keep_parts: bool = option(False, "Keep the finished tiles of a complete map.", "Resume")
    restart: bool = option(False, "Discard the tiles of an interrupted run.", "Resume")

    @property
    def target(self) -> Path:
        """The map to write."""
        return Path(self.map or "")

    def __post_init__(self) -> None:
        if self.map is None:
            if self.stack is None:
                raise UsageError(
                    "No MAP is given",
                    code="option-missing",
                    fix="Name the file to write: swath predict MODEL IMAGE MAP",
                )
            object.__setattr__(self, "map", self.image)
            object.__setattr__(self, "image", self.stack)
        _check_polygon_file(self.polygons)
        if self.mosaic and self.skip_bad:
            raise _conflict("--skip-bad is for images with maps of their own", "Omit --mosaic")
        if self.band_order is not None and min(self.band_order, default=0) < 1:
            raise UsageError(
                "--band-order has a band number below 1",
                code="option-value",
                fix="Count bands from 1, such as --band-order 4,3,2",
            )


@dataclass(frozen=True, config=_FROZEN)
class SuggestOptions:
    """Find regions to label next.

    They are those whose label would help the model most: uncertain, unlike what is labeled, and
    spread over place and class.
    """

    EXAMPLE: ClassVar = "swath suggest land.swath scene.tif fields.gpkg regions.gpkg"

    model: Annotated[PathLike, Field(description="Model file.")]
    image: Annotated[PathLike, Field(description="Image to label, as in `predict`.")]
    labels: Annotated[
        PathLike, Field(description="Labels of the image until now: a vector layer or a raster.")
    ]
    out: Annotated[PathLike, Field(description="GeoPackage of regions to write.")]
    _: KW_ONLY
    n: int = option(20, "Number of regions, at most.", ge=1, le=10_000)
    regions: PathLike | None = option(None, "Polygon layer; only regions inside are suggested.")
    label_field: str | None = option(
        None, "Class column of the layer; default: the only one that can be, or `class`.", "Data"
    )
    layer: str | None = option(None, "Layer of a vector file that has several.", "Data")
    labels_crs: str | None = option(
        None, "CRS of labels that declare none, such as EPSG:32632.", "Data"
    )
    band_order: Annotated[Sequence[int] | None, BeforeValidator(_split)] = option(
        None,
        "Bands of the image in the order of the model, such as 4,3,2; default: by their names, "
        "else as in the file.",
        "Data",
    )
    nodata: float | None = option(
        None, "Value that means no data in images that do not declare it; nan too.", "Data"
    )
    quality: Globs = option(("auto",), QUALITY_HELP, "Data")
    gsd: Gsd = option(
        None,
        "Ground sampling distance of the image in meters, as in `predict`; default: that of the "
        "file.",
        "Data",
    )


@dataclass(frozen=True, config=_FROZEN)
class ChangeOptions:
    """Compare maps of dates: what became what, and how sure.

    OLD and NEW are maps of the same classes. Where `predict` has written probabilities or
    confidence beside them, a pixel counts as changed only if that is sure enough. With a model
    file first, `swath change MODEL OLD_IMAGE NEW_IMAGE CHANGE`, both images are predicted before.
    With `--dates`, `swath change 2018.tif 2020.tif 2022.tif CHANGE --dates`, maps of any number of
    dates are made consistent first.
    """

    EXAMPLE: ClassVar = "swath change 2019.tif 2024.tif change.tif --polygons changes.gpkg"

    old: Annotated[PathLike, Field(description="Map of the first date, or a model file.")]
    new: Annotated[PathLike, Field(description="Map of the second date; brought onto OLD's grid.")]
    change: Annotated[
        PathLike,
        Field(description="GeoTIFF of transitions to write, with a code for each pair of classes."),
    ]
    more: Annotated[
        Globs, Field(description="Maps of more dates (--dates); CHANGE is the last file.")
    ] = ()
    _: KW_ONLY
    at_least: float | None = option(
        None,
        "Probability from which a pixel counts as changed, rounded up to whole percent; default: "
        "0.8.",
        gt=0,
        le=1,
        allow_inf_nan=False,
    )
    dates: bool = option(
        False,
        "Maps of several dates, which the names of their files or folders tell, such as "
        "map_2018.tif: also write the consistent map of each date, the first and last date of "
        "change, and the number of changes.",
    )
    shift: int = option(
        1, "Pixels by which the maps may be shifted; narrower changes are not taken.", ge=0, le=64
    )
    polygons: PathLike | None = option(None, "Also write polygons of changes: *.gpkg or *.parquet.")
    min_area: float = option(0.0, "Smallest polygon to write, in m2.", "Output", ge=0)
    table: PathLike | None = option(None, "Also write the hectares of each transition: *.csv.")
    report: PathLike | None = option(None, "Folder for an HTML page; default: no page.", "Output")
    classes: Globs = option(
        (),
        "Class file that joins the codes of both maps (`code: [3, 7]`); repeated, one for each "
        "map.",
        "Data",
    )
    prior: float | None = option(
        None,
        "Share of pixels that have changed, before the maps are seen; default: estimated. With "
        "--dates: from one date to the next.",
        "Data",
        gt=0,
        lt=1,
        allow_inf_nan=False,
    )
    accuracy: float | None = option(
        None,
        "Accuracy of maps without probabilities, such as 0.9, rounded to whole percent; default: "
        "they are taken as certain, with --dates 0.9.",
        "Data",
        gt=0,
        lt=1,
        allow_inf_nan=False,
    )
    pixel: float | None = option(
        None, "Pixel size in meters, for maps without CRS.", "Data", gt=0, allow_inf_nan=False
    )
    workers: int | None = option(None, "Processes; default: 1.", "Resources", ge=1)
    restart: bool = option(False, "Discard the tiles of an interrupted run.", "Resume")

    @property
    def files(self) -> list[PathLike]:
        """All files, the output last."""
        return [self.old, self.new, self.change, *self.more]

    @property
    def target(self) -> Path:
        """The map of change to write."""
        return Path(self.files[-1])

    @property
    def with_model(self) -> bool:
        """Whether the first file is a model, and images follow."""
        return Path(self.old).suffix.lower() == ".swath"

    def __post_init__(self) -> None:
        _check_polygon_file(self.polygons)
        count, model = len(self.files), self.with_model
        if self.dates and model:
            fix = "Predict each image with --probabilities, and give the maps"
            raise _conflict("--dates takes maps, and the first file is a model", fix)
        if not self.dates and count != (4 if model else 3):
            wanted = "OLD NEW CHANGE, or MODEL OLD_IMAGE NEW_IMAGE CHANGE"
            message = f"{count} files are given, and {wanted} are wanted"
            raise _conflict(message, "Give --dates to compare maps of more dates")


@dataclass(frozen=True, config=_FROZEN)
class CalibrateOptions:
    """Fit the confidence of a model to labels, without training.

    It is for imported networks, and for models of other regions than the labels.
    """

    EXAMPLE: ClassVar = "swath calibrate clouds.swath dataset"

    model: Annotated[PathLike, Field(description="Model file; it is overwritten.")]
    dataset: Annotated[
        PathLike, Field(description="Folder written by `prepare`, with the classes of the model.")
    ]
    _: KW_ONLY
    split: Split | None = option(
        None, "Split whose labels are used; default: val, or train where there is none."
    )


@dataclass(frozen=True, config=_FROZEN)
class QuantizeOptions:
    """Add an 8-bit network to a model file, for faster maps.

    Maps in int8 differ slightly from those in float32.
    """

    EXAMPLE: ClassVar = "swath quantize land.swath dataset"

    model: Annotated[PathLike, Field(description="Model file; it is overwritten.")]
    dataset: Annotated[
        PathLike,
        Field(description="Folder written by `prepare`; its training split sets the ranges."),
    ]
    _: KW_ONLY
    samples: int = option(32, "Calibration patches of 512 x 512 pixels.", gt=0)


@dataclass(frozen=True, config=_FROZEN)
class ImportOptions:
    """Turn any ONNX segmentation network into a model file.

    What the file, or a STAC item beside it, says of bands, classes and scaling need not be given.
    """

    EXAMPLE: ClassVar = "swath import clouds.onnx m.swath --bands red,green --classes clear,cloud"

    network: Annotated[
        PathLike, Field(description="ONNX file; PACKAGE:FILE is one in an installed package.")
    ]
    model: Annotated[PathLike, Field(description="Model file to write, *.swath.")]
    _: KW_ONLY
    bands: Groups = option((), "Names of the bands that the network takes, in its order.")
    classes: str | None = option(
        None,
        "Names of its classes by channel, such as clear,cloud; or a YAML list as of `prepare`.",
    )
    scale: Numbers = option(
        (),
        "Factor from stored numbers to those of --mean, or of the network; one, or one a band; "
        "default: none, and images are read as physical values.",
    )
    offset: Numbers = option((), "Added after --scale.", "Data")
    mean: Numbers = option((), "Mean that the network wants subtracted; one, or one a band.")
    std: Numbers = option((), "Deviation that it wants divided by; one, or one a band.")
    gsd: float | None = option(
        None,
        "Ground sampling distance that the network was trained at, in meters; images are scaled to "
        "it; default: they are not.",
        "Data",
        gt=0,
        allow_inf_nan=False,
    )
    image: PathLike | None = option(
        None, "Image to compare engines and measure seams on; default: noise.", "Data"
    )
    band_order: Annotated[Sequence[int] | None, BeforeValidator(_split)] = option(
        None, "Bands of --image in the order of the network; default: by their names.", "Data"
    )
    window: int | None = option(
        None,
        "Rows and columns of every input; default: those of the file, or any size.",
        "Network",
        ge=8,
        le=2048,
    )
    layout: Literal["auto", "nchw", "nhwc"] = option(
        "auto", "Order of the axes of the input; auto is that of the bands.", "Network"
    )
    output: Literal["auto", "logits", "probabilities", "sigmoid", "labels"] = option(
        "auto",
        "What the output is; sigmoid is of independent masks; auto is told by its values.",
        "Network",
    )
    output_name: str | None = option(
        None, "Which output, where the network has several.", "Network"
    )
    license: str | None = option(None, "License of the network, for the card.", "Output")
    source: str | None = option(None, "Where it comes from, for the card.", "Output")


@dataclass(frozen=True, config=_FROZEN)
class ModelsOptions:
    """List models of a folder or a catalog, and fetch one.

    A catalog is a static STAC catalog, a file or an address, whose items are cards of models, with
    the model file as an asset. With NAME and FILE that model is fetched, checked against the
    digest in the catalog, and checked as models of strangers are. To offer models, write a catalog
    with --write-catalog and put the folder on any web server.
    """

    EXAMPLE: ClassVar = "swath models https://example.org/catalog.json clouds clouds.swath"

    place: Annotated[
        PathLike,
        Field(description="Folder of *.swath, a model file, or a catalog: a file or an address."),
    ]
    name: Annotated[str | None, Field(description="Model to fetch from the catalog.")] = None
    file: Annotated[PathLike | None, Field(description="Model file to write, *.swath.")] = None
    _: KW_ONLY
    write_catalog: bool = option(
        False, "Write catalog.json and an item beside each model of the folder."
    )
    license: str | None = option(
        None, "License of the models that name none, for --write-catalog, such as CC-BY-4.0."
    )

    def __post_init__(self) -> None:
        if self.name is not None and self.file is None:
            fix = "Name the file to write: swath models PLACE NAME FILE"
            raise UsageError("No FILE is given", code="option-missing", fix=fix)
        if self.name is not None and self.write_catalog:
            raise _conflict("--write-catalog fetches no model", "Omit NAME and FILE")
        if self.license is not None and not self.write_catalog:
            raise _conflict("--license is for --write-catalog", "Add --write-catalog")


@dataclass(frozen=True, config=_FROZEN)
class ExportOptions:
    """Write a network as plain ONNX, for QGIS Deepness and others.

    The file has the metadata that the QGIS plugin Deepness reads.
    """

    EXAMPLE: ClassVar = "swath export land.swath land.onnx"

    model: Annotated[PathLike, Field(description="Model file.")]
    file: Annotated[PathLike, Field(description="ONNX file to write.")]


@dataclass(frozen=True, config=_FROZEN)
class SubmitOptions:
    """Map a folder of contest images into a zip file to submit."""

    EXAMPLE: ClassVar = "swath submit contest.swath Track1-Validate submission.zip"

    model: Annotated[PathLike, Field(description="Model file, trained on a contest dataset.")]
    images: Annotated[
        PathLike, Field(description="Folder with *_RGB.tif, or *_MSI.tif for eight bands.")
    ]
    archive: Annotated[PathLike, Field(description="Zip file to write.")]
    _: KW_ONLY
    tta: Tta = option("none", "Test-time augmentation, as in `predict`.")


@dataclass(frozen=True, config=_FROZEN)
class ViewOptions:
    """Show a map in the browser, over its image."""

    EXAMPLE: ClassVar = "swath view map.tif scene.tif"

    map: Annotated[PathLike, Field(description="Map or any other raster.")]
    image: Annotated[PathLike | None, Field(description="Image under the map.")] = None
    more: Annotated[Globs, Field(description="Further rasters, and vector layers.")] = ()
    _: KW_ONLY
    reference: PathLike | None = option(None, "Raster of reference labels, to compare with.")
    classes: PathLike | None = option(
        None, "Classes of the labels: the YAML list of `prepare`, or a model; default: the map's."
    )
    port: int = option(0, "Port on this machine; 0 is any free port.", ge=0, le=65535)
    open: bool = option(True, "Open the browser; --no-open prints the address only.")


@dataclass(frozen=True, config=_FROZEN)
class ServeOptions:
    """Serve maps to web maps, QGIS and browsers, and predict."""

    EXAMPLE: ClassVar = "swath serve maps --jobs jobs --port 8321"

    paths: Annotated[
        Globs,
        Field(min_length=1, description="Folders and files to serve; others are not reachable."),
    ]
    _: KW_ONLY
    host: str = option("127.0.0.1", "Address to listen on; others than this need a token.")
    port: int = option(8321, "Port; 0 is any free port.", ge=0, le=65535)
    jobs: PathLike | None = option(None, "Folder for uploads and predictions; default: none.")
    upload_mb: int = option(1024, "Largest upload, in MB.", gt=0)
    allow_origin: Groups = option((), "Web origins that may load tiles, comma-separated.")
    allow_label: PathLike | None = option(
        None, "GeoPackage of labels that clients may change; of the first file in PATHS.", "Data"
    )


@dataclass(frozen=True, config=_FROZEN)
class LabelOptions:
    """Label a scene in the browser, and see its map grow."""

    EXAMPLE: ClassVar = "swath label scene.tif fields.gpkg"

    scene: Annotated[PathLike, Field(description="Image to label.")]
    labels: Annotated[
        PathLike, Field(description="GeoPackage of labels: opened and extended, or made.")
    ]
    _: KW_ONLY
    classes: PathLike | None = option(
        None, "Classes: the YAML list of `prepare`, or a model; others are added in the page."
    )
    from_: PathLike | None = option(
        None, "Vector layer whose features a new LABELS begins with; default: none."
    )
    label_field: str | None = option(
        None, "Class column of the layer; default: the only one that can be, or `class`.", "Data"
    )
    layer: str | None = option(None, "Layer of a file that has several.", "Data")
    labels_crs: str | None = option(
        None, "CRS of --from where it declares none, such as EPSG:32632.", "Data"
    )
    author: str | None = option(None, "Name to store with labels; default: the user's.", "Data")
    minutes: float = option(
        8.0, "Minutes of training where the page trains the full recipe.", "Schedule", gt=0
    )
    port: int = option(0, "Port on this machine; 0 is any free port.", ge=0, le=65535)
    open: bool = option(True, "Open the browser; --no-open prints the address only.")


@dataclass(frozen=True, config=_FROZEN)
class DemoOptions:
    """Map the world: from labeled images to a map, on real data."""

    EXAMPLE: ClassVar = "swath demo swath-demo --view"

    folder: Annotated[PathLike, Field(description="Folder to work in.")] = "swath-demo"
    _: KW_ONLY
    minutes: float = option(7.0, "Wall time of the training loop, in minutes.", gt=0)
    steps: int | None = option(None, "Optimizer steps, instead of --minutes.", gt=0)
    view: bool = option(False, "Show the map in the browser at the end.")


O = TypeVar("O")


def flag_of(name: str) -> str:
    """Return the flag of an option: `--name`, or `-n` of one letter; `from_` stands for `from`."""
    word = name.rstrip("_").replace("_", "-")
    return f"--{word}" if len(word) > 1 else f"-{word}"


def command_line(options: Any) -> str:
    """Return the command with its options as it is typed in a shell, less options by default."""
    name = type(options).__name__.removesuffix("Options").lower()
    words = ["swath", name]
    for field in sorted(fields(options), key=lambda f: bool(f.kw_only)):
        info, value = options.__pydantic_fields__[field.name], getattr(options, field.name)
        parts = [str(v) for v in value] if isinstance(value, (list, tuple)) else [str(value)]
        if not field.kw_only:
            words += [] if value is None else parts
        elif value == info.default or (not value and not info.default):
            continue
        elif isinstance(value, bool):
            words.append(flag_of(field.name if value else f"no_{field.name}"))
        elif any(isinstance(note, Many) for note in info.metadata):
            words += [word for part in parts for word in (flag_of(field.name), part)]
        else:
            words += [flag_of(field.name), ",".join(parts) or "none"]
    return shlex.join(words)


def make_options(kind: Callable[..., O], values: dict[str, Any]) -> O:
    """Make an options object.

    Raises:
        UsageError: a value is not allowed, an option is unknown, or one is missing.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        first, fix = error.errors()[0], "See the help of the command"
        names = [str(part) for part in first["loc"] if part in values]
        name = names[0] if names else str(first["loc"][0] if first["loc"] else "options")
        if first["type"] == "missing":
            message, code = f"{name.upper()} is missing", "option-missing"
            fields = getattr(kind, "__pydantic_fields__", {})
            if name in fields and fields[name].kw_only:
                message = f"Option {name} is missing"
                fix = f"Give --{name.replace('_', '-')}, in Python {name}="
        elif first["type"] == "unexpected_keyword_argument":
            message, code = f"There is no option {name}", "option-unknown"
        elif hasattr(values.get(name), "shape") or hasattr(values.get(name), "data_vars"):
            message, code = f"Option {name} is an array, and a path is wanted", "option-value"
            fix = "Write a file, or map the array with swath.Model(PATH).predict(array)"
        else:
            message, code = f"Option {name}: {first['msg']}", "option-value"
        raise UsageError(message, code=code, fix=fix) from None


def _check_polygon_file(path: PathLike | None) -> None:
    if path and Path(path).suffix.lower() not in (".gpkg", ".parquet"):
        raise UsageError(
            "The name of the polygon file has another ending than .gpkg and .parquet",
            code="file-extension",
            file=path,
            fix="Use one of these endings",
        )


def _conflict(message: str, fix: str) -> UsageError:
    return UsageError(message, code="option-conflict", fix=fix)
