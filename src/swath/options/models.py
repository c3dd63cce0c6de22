"""Options of commands on model files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from swath.errors import UsageError
from swath.options.base import FROZEN, Groups, Numbers, Split, conflict, option, split_words
from swath.types import PathLike


@dataclass(frozen=True, config=FROZEN)
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


@dataclass(frozen=True, config=FROZEN)
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


@dataclass(frozen=True, config=FROZEN)
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
    band_order: Annotated[Sequence[int] | None, BeforeValidator(split_words)] = option(
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


@dataclass(frozen=True, config=FROZEN)
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
            raise conflict("--write-catalog fetches no model", "Omit NAME and FILE")
        if self.license is not None and not self.write_catalog:
            raise conflict("--license is for --write-catalog", "Add --write-catalog")


@dataclass(frozen=True, config=FROZEN)
class ExportOptions:
    """Write a network as plain ONNX, for QGIS Deepness and others.

    The file has the metadata that the QGIS plugin Deepness reads.
    """

    EXAMPLE: ClassVar = "swath export land.swath land.onnx"

    model: Annotated[PathLike, Field(description="Model file.")]
    file: Annotated[PathLike, Field(description="ONNX file to write.")]
