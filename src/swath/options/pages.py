"""Options of pages in the browser, and of the demo and suggestions that lead there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from swath.options.base import (
    FROZEN,
    NODATA_HELP,
    QUALITY_HELP,
    Globs,
    Groups,
    option,
    split_words,
)
from swath.types import Gsd, PathLike


@dataclass(frozen=True, config=FROZEN)
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
    band_order: Annotated[Sequence[int] | None, BeforeValidator(split_words)] = option(
        None,
        "Bands of the image in the order of the model, such as 4,3,2; default: by their names, "
        "else as in the file.",
        "Data",
    )
    nodata: float | None = option(None, NODATA_HELP, "Data")
    quality: Globs = option(("auto",), QUALITY_HELP, "Data")
    gsd: Gsd = option(
        None,
        "Ground sampling distance of the image in meters, as in `predict`; default: that of the "
        "file.",
        "Data",
    )


@dataclass(frozen=True, config=FROZEN)
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


@dataclass(frozen=True, config=FROZEN)
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


@dataclass(frozen=True, config=FROZEN)
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


@dataclass(frozen=True, config=FROZEN)
class DemoOptions:
    """Map the world: from labeled images to a map, on real data."""

    EXAMPLE: ClassVar = "swath demo swath-demo --view"

    folder: Annotated[PathLike, Field(description="Folder to work in.")] = "swath-demo"
    _: KW_ONLY
    minutes: float = option(7.0, "Wall time of the training loop, in minutes.", gt=0)
    steps: int | None = option(None, "Optimizer steps, instead of --minutes.", gt=0)
    view: bool = option(False, "Show the map in the browser at the end.")
