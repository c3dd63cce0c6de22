"""Options of mapping images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from swath.errors import UsageError
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
    Precision,
    Reasons,
    check_polygon_file,
    conflict,
    option,
    split_words,
)
from swath.types import Gsd, PathLike, Tta


@dataclass(frozen=True, config=FROZEN)
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
    band_order: Annotated[Sequence[int] | None, BeforeValidator(split_words)] = option(
        None,
        "Bands of the image (of all files of --stack) in the order of the model, such as 4,3,2; "
        "default: by their names, else as in the file.",
        "Data",
    )
    mosaic: bool = option(
        False, "Write one map of all images; the first with data is used in overlaps.", "Data"
    )
    nodata: float | None = option(None, NODATA_HELP, "Data")
    ignore_band_nodata: bool = option(False, BAND_NODATA_HELP, "Data")
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
    warp: bool = option(False, WARP_HELP, "Data")
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
        check_polygon_file(self.polygons)
        if self.mosaic and self.skip_bad:
            raise conflict("--skip-bad is for images with maps of their own", "Omit --mosaic")
        if self.band_order is not None and min(self.band_order, default=0) < 1:
            raise UsageError(
                "--band-order has a band number below 1",
                code="option-value",
                fix="Count bands from 1, such as --band-order 4,3,2",
            )


@dataclass(frozen=True, config=FROZEN)
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
