"""What each verb may be told: one frozen object a verb.

The command line, the YAML file of `--config` and the Python signatures all come from these fields;
their docstrings are the help texts. Positional fields are the command's arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from swath.errors import UsageError
from swath.types import ClassWeights, Decoder, Gsd, Heads, Loss, PathLike, Tta


def _split(value: Any) -> Any:
    """Turn `a,b` into ["a", "b"]."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, (list, tuple)):
        return [str(part) for part in value]
    return [str(value)] if isinstance(value, int) else value


def _listed(value: Any) -> Any:
    """Turn one path into a list, and paths into text."""
    values = [value] if isinstance(value, (str, Path)) else value
    return [str(v) for v in values] if isinstance(values, (list, tuple)) else values


class Many:
    """Marks an option that takes several values on the command line, as a shell's pattern gives them."""


Groups = Annotated[Sequence[str], BeforeValidator(_split)]
Globs = Annotated[Sequence[str], Many(), BeforeValidator(_listed)]


ENCODER = "tf_efficientnet_lite0"
"""The encoder that is taken if none is named."""

_FROZEN = ConfigDict(extra="forbid", arbitrary_types_allowed=False)


@dataclass(frozen=True, config=_FROZEN)
class SourceOptions:
    """A source folder and how to read it."""

    source: Annotated[PathLike, Field(description="Folder with images and labels.")]
    _: KW_ONLY
    layout: Annotated[
        Literal["auto", "pairs", "scene", "contest"],
        Field(description="How the folder is arranged; auto finds out."),
    ] = "auto"
    classes: Annotated[
        PathLike | None,
        Field(
            description="YAML list of {name, code or color, ignore}; found from the masks if absent."
        ),
    ] = None
    images: Annotated[
        Globs, Field(description="Scene layout: files or patterns of the images.")
    ] = ()
    labels: Annotated[
        PathLike | None, Field(description="Scene layout: label raster or vector layer.")
    ] = None
    label_field: Annotated[
        str | None, Field(description="Column of the vector layer that holds the class.")
    ] = None
    mask: Annotated[
        Globs, Field(description="Rasters (clouds, quality) whose non-zero pixels are ignored.")
    ] = ()
    unlabeled: Annotated[bool, Field(description="Keep images without a mask, unlabeled.")] = False
    bands: Annotated[
        Literal["rgb", "msi"] | None,
        Field(description="Contest layout: three visible bands, or all eight; rgb if absent."),
    ] = None
    snap_colors: Annotated[
        bool,
        Field(
            description="Take mask values that only smoothing or JPEG made for the nearest class's."
        ),
    ] = False

    @property
    def root(self) -> Path:
        """The source folder as a path."""
        return Path(self.source)


@dataclass(frozen=True, config=_FROZEN)
class InspectOptions(SourceOptions):
    """Say what is in a source folder, and what is wrong with it; or how unlike a model's training data an image is."""

    _: KW_ONLY
    report: Annotated[
        PathLike | None, Field(description="Folder for a page with the findings and pictures.")
    ] = None
    against: Annotated[
        PathLike | None,
        Field(description="Model file: say how unlike its training data SOURCE, an image, is."),
    ] = None


@dataclass(frozen=True, config=_FROZEN)
class PrepareOptions(SourceOptions):
    """Turn a source folder into a dataset that trains fast."""

    dataset: Annotated[PathLike, Field(description="Folder to write.")]
    _: KW_ONLY
    test: Annotated[
        Groups | None,
        Field(
            description="Groups of the test split, comma-separated, or none; 20% of them if absent."
        ),
    ] = None
    val: Annotated[
        Groups | None,
        Field(description="Groups of the validation split, or none; 15% of the rest if absent."),
    ] = None
    block: Annotated[
        int | None,
        Field(
            ge=32,
            description="Side of the blocks a scene is split by, in pixels; an eighth of it, at most 4096, if absent.",
        ),
    ] = None
    buffer: Annotated[
        int | None,
        Field(
            ge=0,
            description="Pixels left unlabeled between blocks of two splits; block/16 if absent.",
        ),
    ] = None
    heights: Annotated[
        bool, Field(description="Store heights above ground where the layout has them.")
    ] = True
    latitude: Annotated[
        bool,
        Field(
            description="Add a band: the latitude of each pixel, worked out from CRS and transform, also to predict."
        ),
    ] = False
    gsd: Annotated[
        float | None,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="Ground sampling distance in meters of images whose files tell none.",
        ),
    ] = None
    learn_unlabeled: Annotated[
        bool, Field(description="Learn the ignored classes too; scores come with and without.")
    ] = False
    skip_bad: Annotated[
        bool, Field(description="Drop samples with errors, and list them, instead of refusing.")
    ] = False
    seed: Annotated[int, Field(ge=0, description="Seed of the split.")] = 0


@dataclass(frozen=True, config=_FROZEN)
class TrainingOptions:
    """What to teach, by what recipe, and how long."""

    _: KW_ONLY
    recipe: Annotated[
        Literal["default", "classic"],
        Field(
            description="Named set of training settings; classic is the plain U-Net that all is measured against."
        ),
    ] = "default"
    minutes: Annotated[
        float | None, Field(gt=0, description="Wall time of a training loop (default 30).")
    ] = None
    epochs: Annotated[
        int | None, Field(gt=0, description="Passes over the labeled pixels, instead of minutes.")
    ] = None
    steps: Annotated[
        int | None, Field(gt=0, description="Optimizer steps, instead of minutes.")
    ] = None
    encoder: Annotated[
        str, Field(description="Encoder: any timm model that gives feature maps.")
    ] = ENCODER
    decoder: Annotated[Decoder, Field(description="Decoder of the network.")] = "unet"
    weights: Annotated[
        str,
        Field(
            description="Encoder's first weights: auto (what is installed or timm finds), none, or a safetensors FILE."
        ),
    ] = "auto"
    heads: Annotated[
        Heads | None,
        Field(description="One softmax over all classes, or one sigmoid mask a class (per-class)."),
    ] = None
    heights: Annotated[bool, Field(description="Learn the height above ground as well.")] = False
    balance: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="Power of a class's pixels by which patches are drawn: 1 as they are, 0 all classes alike.",
        ),
    ] = None
    loss: Annotated[Loss | None, Field(description="A term for pixels and one for regions.")] = None
    class_weights: Annotated[
        ClassWeights | None, Field(description="Weights of the classes in the term for pixels.")
    ] = None
    classic_crops: Annotated[
        str | None,
        Field(
            pattern=r"^(corner|grid):[1-9]\d*$",
            description="Classic recipe: crops an image, from its corner (corner:9) or anywhere (grid:16, the default).",
        ),
    ] = None

    def __post_init__(self) -> None:
        if sum(v is not None for v in (self.minutes, self.epochs, self.steps)) > 1:
            raise UsageError("more than one of minutes, epochs and steps is given", fix="Give one")
        if self.classic_crops and self.recipe != "classic":
            raise UsageError(
                "--classic-crops is for the classic recipe", fix="Add --recipe classic"
            )
        network = {
            "--encoder": self.encoder != ENCODER,
            "--decoder": self.decoder != "unet",
            "--weights": self.weights != "auto",
        }
        if self.recipe == "classic" and any(network.values()):
            given = next(flag for flag, other in network.items() if other)
            raise UsageError(
                "the classic recipe has a network of its own, from random weights",
                fix=f"Leave out {given}",
            )


@dataclass(frozen=True, config=_FROZEN)
class TrainOptions(TrainingOptions):
    """Teach a network, and pack it into a model file."""

    dataset: Annotated[PathLike, Field(description="Folder that `prepare` wrote.")]
    model: Annotated[PathLike, Field(description="Model file to write, *.swath.")]
    _: KW_ONLY
    from_: Annotated[
        PathLike | None,
        Field(
            description="Model to go on from: its encoder, decoder and weights, for classes and bands of the same names."
        ),
    ] = None
    resume: Annotated[
        bool, Field(description="Continue an interrupted training of this model file.")
    ] = False
    devices: Annotated[
        int, Field(gt=0, description="Processes here, one a GPU (or a share of the CPU each).")
    ] = 1
    nodes: Annotated[
        int, Field(gt=0, description="Machines that train together (SLURM, torchrun).")
    ] = 1
    accumulate: Annotated[int, Field(gt=0, description="Batches a step in each process.")] = 1
    tensorboard: Annotated[
        PathLike | None, Field(description="Folder for TensorBoard to read the curves from.")
    ] = None
    seed: Annotated[int, Field(ge=0, description="Seed of weights, patches and augmentation.")] = 0


@dataclass(frozen=True, config=_FROZEN)
class EvaluateOptions:
    """Score a model on a split it has not seen, or a map that any tool made against a dataset or labels."""

    model: Annotated[PathLike, Field(description="Model file, or a map: a raster of class codes.")]
    dataset: Annotated[
        PathLike,
        Field(
            description="Folder that `prepare` wrote; for a map, also a label raster or vector layer."
        ),
    ]
    _: KW_ONLY
    split: Annotated[Literal["train", "val", "test"], Field(description="Split to score.")] = "test"
    report: Annotated[
        PathLike | None, Field(description="Folder for a page with scores and pictures.")
    ] = None
    classes: Annotated[
        PathLike | None,
        Field(description="Class file, where labels are given instead of a dataset."),
    ] = None
    label_field: Annotated[
        str | None, Field(description="Column of a vector layer of labels that holds the class.")
    ] = None
    precision: Annotated[
        Literal["auto", "float32", "bf16", "int8"],
        Field(description="Arithmetic of a model, as in `predict`."),
    ] = "auto"
    tta: Annotated[
        Tta, Field(description="Test-time augmentation of a model, as in `predict`.")
    ] = "none"
    gsd: Annotated[
        Gsd,
        Field(description="Ground sampling distance of the images for a model, as in `predict`."),
    ] = None


@dataclass(frozen=True, config=_FROZEN)
class CompareOptions:
    """Score two models or maps on the same ground: which is better, by how much, and where they disagree."""

    a: Annotated[PathLike, Field(description="Model file or map.")]
    b: Annotated[PathLike, Field(description="The other model file or map.")]
    dataset: Annotated[PathLike, Field(description="Folder that `prepare` wrote.")]
    _: KW_ONLY
    split: Annotated[Literal["train", "val", "test"], Field(description="Split to score.")] = "test"
    report: Annotated[
        PathLike | None, Field(description="Folder for a page with scores and pictures.")
    ] = None


@dataclass(frozen=True, config=_FROZEN)
class CrossvalidateOptions(TrainingOptions):
    """Train and score on each part of the data in turn: every group judges a model that has not seen it."""

    dataset: Annotated[
        PathLike, Field(description="Folder that `prepare` wrote; its own split is not used.")
    ]
    folder: Annotated[PathLike, Field(description="Folder for the models and the result.")]
    _: KW_ONLY
    folds: Annotated[int, Field(ge=2, description="Number of parts.")] = 5
    seed: Annotated[int, Field(ge=0, description="Seed of the parts and of each training.")] = 0


@dataclass(frozen=True, config=_FROZEN)
class SampleOptions:
    """Draw points on a map for a person to check, more of them where classes are rare."""

    map: Annotated[PathLike, Field(description="Map: a raster of class codes.")]
    points: Annotated[PathLike, Field(description="Layer to write: a GeoPackage.")]
    _: KW_ONLY
    n: Annotated[int, Field(ge=2, description="Number of points.")] = 300
    pixel: Annotated[
        float | None, Field(gt=0, description="Side of a pixel in meters, for a map without CRS.")
    ] = None
    seed: Annotated[int, Field(ge=0, description="Seed of the draw.")] = 0


@dataclass(frozen=True, config=_FROZEN)
class AreaOptions:
    """Say how many hectares of each class there are, corrected for the map's errors, and how sure that is."""

    map: Annotated[PathLike, Field(description="Map: a raster of class codes.")]
    _: KW_ONLY
    reference: Annotated[
        PathLike,
        Field(
            description="Checked points (see `sample`), or a dataset whose labels were held out."
        ),
    ]
    field: Annotated[
        str, Field(description="Column of the points with what a person saw: a code or a name.")
    ] = "reference"
    split: Annotated[
        Literal["train", "val", "test"], Field(description="Split of the dataset.")
    ] = "test"
    pixel: Annotated[
        float | None, Field(gt=0, description="Side of a pixel in meters, for a map without CRS.")
    ] = None


@dataclass(frozen=True, config=_FROZEN)
class PredictOptions:
    """Map an image of any size, or many."""

    model: Annotated[PathLike, Field(description="Model file.")]
    image: Annotated[
        PathLike | Sequence[PathLike],
        Field(
            description="Image to map: any raster that GDAL opens, a STAC item; or many: a folder, a pattern in quotes, "
            "a .txt file with one path a line."
        ),
    ]
    map: Annotated[
        PathLike | None,
        Field(
            description="Map to write: a cloud-optimized GeoTIFF of class codes; for many, a folder."
        ),
    ] = None
    _: KW_ONLY
    stack: Annotated[
        PathLike | None,
        Field(
            description="Folder with the image's bands in separate files; IMAGE may then be left out."
        ),
    ] = None
    band_order: Annotated[
        Sequence[int] | None,
        BeforeValidator(_split),
        Field(description="The image's bands in the model's order, such as 4,3,2."),
    ] = None
    mosaic: Annotated[
        bool,
        Field(description="One map of all images; where they overlap, the first with data counts."),
    ] = False
    mask: Annotated[
        Globs, Field(description="Rasters (clouds) whose non-zero pixels become nodata.")
    ] = ()
    regions: Annotated[
        PathLike | None, Field(description="Polygon layer; nothing outside of it is mapped.")
    ] = None
    confidence: Annotated[bool, Field(description="Also write MAP_confidence.tif, in percent.")] = (
        False
    )
    probabilities: Annotated[
        bool, Field(description="Also write MAP_probabilities.tif, one band a class, in percent.")
    ] = False
    class_masks: Annotated[
        bool,
        Field(
            description="Also write MAP_masks.tif, one band of 0 and 1 a class, by its threshold (per-class models)."
        ),
    ] = False
    polygons: Annotated[
        PathLike | None, Field(description="Also write polygons: *.gpkg or *.parquet.")
    ] = None
    min_area: Annotated[
        float, Field(ge=0, description="Leave out polygons smaller than this, in m2.")
    ] = 0.0
    simplify: Annotated[
        float,
        Field(ge=0, description="Smooth polygons' outlines by about so many pixels; no gaps open."),
    ] = 0.0
    review: Annotated[
        int,
        Field(
            ge=0,
            description="Also write MAP_review.gpkg: so many regions where a person's look is worth most.",
        ),
    ] = 0
    sieve: Annotated[
        int,
        Field(
            ge=0, description="Give patches of fewer pixels than this to their largest neighbor."
        ),
    ] = 0
    plan: Annotated[
        bool, Field(description="Only say what it would take: tiles, memory, time, disk.")
    ] = False
    memory: Annotated[float, Field(gt=0, description="Memory that each worker may use, in GB.")] = (
        2.0
    )
    engine: Annotated[
        Literal["auto", "openvino", "onnxruntime", "cuda"],
        Field(description="What runs the network; auto is the fastest here."),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "float32", "bf16", "int8"],
        Field(
            description="Arithmetic; auto is bf16 where the hardware has it, else float32. int8 needs `swath quantize` first."
        ),
    ] = "auto"
    tta: Annotated[
        Tta,
        Field(
            description="Test-time augmentation: average over each tile at three scales (scales, 3.1 times the work), "
            "mirrored (flips, 4 times), or both (full, 12.5 times)."
        ),
    ] = "none"
    gsd: Annotated[
        Gsd,
        Field(
            description="Ground sampling distance of the image in meters, where its file tells none or a wrong one; none to "
            "map its pixels as they are, whatever size the model knows things in."
        ),
    ] = None
    threads: Annotated[
        int, Field(ge=0, description="Threads of each worker; 0 for one a core.")
    ] = 0
    halo: Annotated[
        int | None,
        Field(ge=0, description="Pixels read around each tile; the model's own if absent."),
    ] = None
    workers: Annotated[
        int | None,
        Field(ge=1, description="Processes, or on a cluster actors, to share the tiles."),
    ] = None
    cluster: Annotated[
        str | None, Field(description="Ray cluster to work on: auto, HOST:PORT or ray://HOST:PORT.")
    ] = None
    parts: Annotated[
        PathLike | None, Field(description="Folder or URL for finished tiles; MAP.parts if absent.")
    ] = None
    keep_parts: Annotated[
        bool, Field(description="Do not remove the finished tiles when the map is whole.")
    ] = False
    restart: Annotated[
        bool,
        Field(description="Throw the tiles of an unfinished run away instead of continuing it."),
    ] = False

    @property
    def target(self) -> Path:
        """The map to write."""
        return Path(self.map or "")

    def __post_init__(self) -> None:
        if self.map is None:
            if self.stack is None:
                raise UsageError(
                    "no MAP is given", fix="Say where to write it: swath predict MODEL IMAGE MAP"
                )
            object.__setattr__(self, "map", self.image)
            object.__setattr__(self, "image", self.stack)
        if self.polygons is not None and Path(self.polygons).suffix.lower() not in (
            ".gpkg",
            ".parquet",
        ):
            raise UsageError(
                "polygons are written as *.gpkg or *.parquet",
                file=self.polygons,
                fix="Give one of these names",
            )
        if self.band_order is not None and (
            self.stack is not None or min(self.band_order, default=0) < 1
        ):
            raise UsageError(
                "--band-order counts the bands of one file from 1",
                fix="Such as --band-order 4,3,2, without --stack",
            )


@dataclass(frozen=True, config=_FROZEN)
class QuantizeOptions:
    """Add a network in 8-bit numbers to a model file, for faster and slightly different maps."""

    model: Annotated[PathLike, Field(description="Model file; it is written anew.")]
    dataset: Annotated[
        PathLike,
        Field(description="Folder that `prepare` wrote; its training split sets the ranges."),
    ]
    _: KW_ONLY
    samples: Annotated[int, Field(gt=0, description="Windows of 512 pixels to look at.")] = 32


@dataclass(frozen=True, config=_FROZEN)
class ExportOptions:
    """Write a model's network as plain ONNX, with what the QGIS plugin Deepness wants to know."""

    model: Annotated[PathLike, Field(description="Model file.")]
    file: Annotated[PathLike, Field(description="ONNX file to write.")]


@dataclass(frozen=True, config=_FROZEN)
class SubmitOptions:
    """Map a folder of contest images, and zip the maps as the contest takes them."""

    model: Annotated[PathLike, Field(description="Model file, trained on a contest dataset.")]
    images: Annotated[
        PathLike,
        Field(description="Folder with the contest's *_RGB.tif, or *_MSI.tif for eight bands."),
    ]
    archive: Annotated[PathLike, Field(description="Zip file to write.")]
    _: KW_ONLY
    tta: Annotated[Tta, Field(description="Test-time augmentation, as in `predict`.")] = "none"


@dataclass(frozen=True, config=_FROZEN)
class ViewOptions:
    """Show a map in the browser, over its image."""

    map: Annotated[PathLike, Field(description="Map to look at, or any image.")]
    image: Annotated[PathLike | None, Field(description="Image it was made from.")] = None
    more: Annotated[Globs, Field(description="Further maps, images, confidences.")] = ()
    _: KW_ONLY
    reference: Annotated[
        PathLike | None, Field(description="Raster of labels, to compare with.")
    ] = None
    classes: Annotated[
        PathLike | None,
        Field(
            description="Classes of the labels: the YAML list given to `prepare`, or the model; the map's own if absent."
        ),
    ] = None
    port: Annotated[
        int, Field(ge=0, le=65535, description="Port on this machine; 0 is any that is free.")
    ] = 0
    open: Annotated[
        bool,
        Field(
            description="Open the browser, where there is a screen (--no-open: only say the address)."
        ),
    ] = True


@dataclass(frozen=True, config=_FROZEN)
class ServeOptions:
    """Serve maps to web maps, QGIS and browsers, and predict for them."""

    paths: Annotated[
        Globs,
        Field(min_length=1, description="Folders and files to serve; nothing else can be reached."),
    ]
    _: KW_ONLY
    host: Annotated[
        str, Field(description="Address to listen on; any but this machine's own needs a token.")
    ] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port; 0 is any that is free.")] = 8321
    jobs: Annotated[
        PathLike | None,
        Field(
            description="Folder for predictions that clients ask for, with their uploads; without it there are none."
        ),
    ] = None
    upload_mb: Annotated[int, Field(gt=0, description="Largest upload, in megabytes.")] = 1024
    allow_origin: Annotated[
        Groups, Field(description="Origins of web pages that may show the tiles, comma-separated.")
    ] = ()


@dataclass(frozen=True, config=_FROZEN)
class DemoOptions:
    """Map the world: the whole way from labeled images to a map, on real data."""

    folder: Annotated[PathLike, Field(description="Folder to work in.")] = "swath-demo"
    _: KW_ONLY
    minutes: Annotated[float, Field(gt=0, description="Wall time of the training loop.")] = 7.0
    steps: Annotated[
        int | None, Field(gt=0, description="Optimizer steps, instead of minutes.")
    ] = None
    view: Annotated[bool, Field(description="Show the map in the browser at the end.")] = False


O = TypeVar("O")


def make_options(kind: Callable[..., O], values: dict[str, Any]) -> O:
    """Make an options object.

    Raises:
        UsageError: a value is not allowed, an option is unknown, or one is missing.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        names = [str(part) for part in first["loc"] if part in values]
        name = names[0] if names else str(first["loc"][0] if first["loc"] else "options")
        if first["type"] == "missing":
            raise UsageError(f"{name.upper()} is missing", fix="See --help") from None
        raise UsageError(f"option {name}: {first['msg']}", fix="See --help") from None
