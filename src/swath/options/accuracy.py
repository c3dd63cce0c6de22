"""Options of scores, points and areas."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from swath.options.base import FROZEN, Precision, Split, option
from swath.types import Gsd, PathLike, Tta


@dataclass(frozen=True, config=FROZEN)
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


@dataclass(frozen=True, config=FROZEN)
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


@dataclass(frozen=True, config=FROZEN)
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


@dataclass(frozen=True, config=FROZEN)
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
