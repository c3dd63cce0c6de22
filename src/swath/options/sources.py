"""Options of commands that read a source folder."""

from __future__ import annotations

from dataclasses import KW_ONLY
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from swath.options.base import (
    BAND_NODATA_HELP,
    CLEAR_HELP,
    DROP,
    DROP_HELP,
    ERODE_HELP,
    FROZEN,
    LAST_CLEAR,
    MAX_EROSION,
    NODATA_HELP,
    QUALITY_HELP,
    WARP_HELP,
    Globs,
    Groups,
    Reasons,
    option,
)
from swath.types import PathLike


@dataclass(frozen=True, config=FROZEN)
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
    nodata: float | None = option(None, NODATA_HELP, "Data")
    ignore_band_nodata: bool = option(False, BAND_NODATA_HELP, "Data")
    erode_nodata: int = option(0, ERODE_HELP, "Data", ge=0, le=MAX_EROSION)
    raw: bool = option(
        False, "Read stored values as they are, without the scale and offset of bands.", "Data"
    )
    warp: bool = option(False, WARP_HELP, "Data")
    snap_colors: bool = option(
        False, "Snap mask values that smoothing or JPEG made to the nearest class.", "Data"
    )

    @property
    def root(self) -> Path:
        """The source folder as a path."""
        return Path(self.source)


@dataclass(frozen=True, config=FROZEN)
class InspectOptions(SourceOptions):
    """Report what a source folder holds, and what is wrong with it.

    With --against, SOURCE is an image, and the result is its distance from a model's training data.
    """

    EXAMPLE: ClassVar = "swath inspect photos --report photos-report"

    _: KW_ONLY
    report: PathLike | None = option(None, "Folder for an HTML page; default: no page.")
    against: PathLike | None = option(None, "Model file to compare SOURCE, an image, with.")


@dataclass(frozen=True, config=FROZEN)
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
