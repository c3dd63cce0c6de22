"""Options of maps of change."""

from __future__ import annotations

from dataclasses import KW_ONLY
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from swath.options.base import FROZEN, Globs, check_polygon_file, conflict, option
from swath.types import PathLike


@dataclass(frozen=True, config=FROZEN)
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
        check_polygon_file(self.polygons)
        count, model = len(self.files), self.with_model
        if self.dates and model:
            fix = "Predict each image with --probabilities, and give the maps"
            raise conflict("--dates takes maps, and the first file is a model", fix)
        if not self.dates and count != (4 if model else 3):
            wanted = "OLD NEW CHANGE, or MODEL OLD_IMAGE NEW_IMAGE CHANGE"
            message = f"{count} files are given, and {wanted} are wanted"
            raise conflict(message, "Give --dates to compare maps of more dates")
