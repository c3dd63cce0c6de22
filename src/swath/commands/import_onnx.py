"""`swath import`: turn an ONNX segmentation network of any program into a model file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from swath.commands.base import check_ending, command
from swath.errors import DataError, UsageError
from swath.evaluation.foreign_network import (
    AreaSource,
    ImportRequest,
    MeasuredNetwork,
    measure_network,
)
from swath.geo.scale import zoom_for
from swath.geo.tiling import Window
from swath.inference.tiled import read_scaled
from swath.legend import LandClass, Legend, default_color, read_legend
from swath.mapping.inputs import InputImage, find_inputs
from swath.models.band_matching import match_bands
from swath.models.card import Card, CardBand, Imported
from swath.models.foreign.file import ForeignNetwork, read_network
from swath.models.foreign.metadata import Described, describe
from swath.models.foreign.noise import NoisePixels
from swath.models.foreign.probe import CHANGED
from swath.models.model_file import pack_model_file
from swath.options import ImportOptions
from swath.types import OutputKind, Result

SPREAD = 4.0
"""Deviations from the mean within which the numbers of a band are expected."""


class ImportResult(Result):
    """What a network was turned into.

    Attributes:
        model: path of the model file.
        bands: names of the bands that it takes, in order.
        classes: code of each class, by name, in the order of the channels.
        layout: order of the axes of the input of the file.
        output: what the output of the file is.
        scaling: what is done to raw pixels, a band after the other: factor and what is added.
        scaled: whether images are read as physical values.
        metadata: what was read besides options.
        window: side of all inputs; None where any multiple of `stride` is taken.
        stride: sides of inputs are multiples of it.
        halo: pixels that are read around a tile's core.
        seam: share of labels that seams change; None if it was not measured.
        context: `local`, or `global` where a label depends on all of an input.
        compared_on: `image` or `noise`.
        difference: largest difference of a score from the file's own output, over the largest.
        labels_changed: share of the labels that OpenVINO changes in float32.
        bf16_changed: share of the labels that bf16 changes; None where the processor has none.
        license: as named.
        source: as named.
        warnings: what the user should know before trusting a map.
    """

    model: str
    bands: list[str]
    classes: dict[str, int]
    layout: str
    output: OutputKind
    scaling: list[tuple[float, float]]
    scaled: bool
    metadata: list[str]
    window: int | None
    stride: int
    halo: int
    seam: float | None
    context: str
    compared_on: Literal["image", "noise"]
    difference: float
    labels_changed: float
    bf16_changed: float | None
    license: str | None
    source: str | None
    warnings: list[str] = []


@command(ImportOptions)
def import_onnx(options: ImportOptions) -> ImportResult:
    """Turn an ONNX segmentation network into a model file.

    The file is checked as models of strangers are; scaling, order of axes and types become part of
    the network; the sizes that it takes and the context of its labels are found by running it; and
    both engines are compared with the file's own output.

    Raises:
        UsageError: bands or classes are not named, or options contradict each other.
        ModelError: the network is damaged, dangerous, not one of these classes and bands, or
            engines do not agree on it.
        DataError: the image cannot be read, or has other bands.
        JobError: a package is missing, or the file cannot be written.
    """
    check_ending(options.model, (".swath",), "MODEL")
    network = read_network(options.network)
    known = _given(options).filled_from(describe(network))
    legend, bands = _legend(options, known, network), _bands(known, network)
    request = ImportRequest(options, network, known, bands, legend)
    made = _make(request)
    card = pack_model_file(options.model, _card(request, made), made.onnx, None)
    return _result(request, made, card)


def _given(options: ImportOptions) -> Described:
    """Return what options say."""

    def numbers(values: Sequence[float]) -> tuple[float, ...] | None:
        return tuple(values) or None

    if any(value == 0 for value in (*options.scale, *options.std)):
        fix = "Give the factor, or the deviation, of each band"
        raise UsageError("--scale or --std is 0", code="option-value", fix=fix)
    if bool(options.mean) != bool(options.std):
        fix = "Give both, with 0 for no mean and 1 for no deviation"
        raise UsageError("One of --mean and --std is given", code="option-conflict", fix=fix)
    return Described(
        bands=tuple(options.bands) or None,
        scale=numbers(options.scale),
        offset=numbers(options.offset),
        mean=numbers(options.mean),
        std=numbers(options.std),
        gsd=options.gsd,
        window=options.window,
        layout=None if options.layout == "auto" else options.layout,
        license=options.license,
        source=options.source,
    )


def _bands(known: Described, network: ForeignNetwork) -> tuple[str, ...]:
    if known.bands is None:
        fix = "Name them in the order of the network, such as --bands red,green,blue"
        fault = "The bands of the network are not known"
        raise UsageError(fault, code="option-missing", file=network.path, fix=fix)
    if len({*known.bands}) < len(known.bands):
        fault, fix = "Two bands have one name", "Give each its own"
        raise UsageError(fault, code="duplicate-name", fix=fix)
    return known.bands


def _legend(options: ImportOptions, known: Described, network: ForeignNetwork) -> Legend:
    """Return the classes in the order of the channels.

    Raises:
        UsageError: they are not named, or some are to be ignored.
    """
    given = options.classes
    if given is not None and (Path(given).is_file() or Path(given).suffix in (".yaml", ".yml")):
        legend = read_legend(given)
        if len(legend.trained) < len(legend.classes):
            fault, fix = "A class is to be ignored", "List one class for each channel"
            raise UsageError(fault, code="class-file", file=given, fix=fix)
        return legend
    names = known.classes if given is None else tuple(n.strip() for n in given.split(","))
    if not names:
        fault = "The classes of the network are not known"
        fix = "Name them in the order of its channels, such as --classes clear,cloud"
        raise UsageError(fault, code="option-missing", file=network.path, fix=fix)
    codes = known.codes if given is None and known.codes else range(len(names))
    colors = known.colors if given is None else None
    colors = colors or tuple(map(default_color, range(len(names))))
    return Legend(
        tuple(
            LandClass(name, (code,), code, color)
            for name, code, color in zip(names, codes, colors, strict=True)
        ),
        origin="--classes" if given is not None else str(network.path),
    )


def _make(request: ImportRequest) -> MeasuredNetwork:
    """Fold the network, and measure it."""
    options, image = request.options, None
    mean, std = zip(*request.statistics, strict=True)
    noise = NoisePixels(mean, std)
    if options.image is not None:
        image = _open_image(request)
    try:
        pixels: AreaSource = noise if image is None else _ImageAreas(image, request, mean)
        return measure_network(request, pixels, None if image is None else str(image.dtype))
    finally:
        if image is not None:
            image.close()


class _ImageAreas:
    """Areas of an image at the scale of the network; a smaller image goes on as in a mirror.

    Args:
        image: the image.
        request: what is imported.
        fill: value of invalid pixels of each band.
    """

    def __init__(self, image: InputImage, request: ImportRequest, fill: Sequence[float]) -> None:
        self._image, self._fill = image, fill
        self._zoom = zoom_for(image.grid.gsd, request.known.gsd)

    def take(self, height: int, width: int, count: int) -> list[NDArray[np.float32]]:
        """Return areas along the diagonal of the image, as valid as they are there."""
        grid, zoom = self._image.grid, self._zoom
        rows, cols = (-(-n * zoom.denominator // zoom.numerator) for n in (height, width))
        areas = []
        for k in range(count):
            share = (k + 0.5) / count
            row, col = (
                int(max(0, total - n) * share)
                for total, n in ((grid.height, rows), (grid.width, cols))
            )
            window = Window(row, col, rows, cols).within(grid.window)
            raw = read_scaled(self._image, window, zoom, self._fill).values[:, :height, :width]
            more = [(0, 0), (0, height - raw.shape[1]), (0, width - raw.shape[2])]
            areas.append(np.pad(raw, more, mode="symmetric") if any(map(sum, more)) else raw)
        return areas


def _open_image(request: ImportRequest) -> InputImage:
    """Open the image with the bands of the network, found as `predict` finds them.

    Raises:
        DataError: there is not one image, or it has other bands.
    """
    options = request.options
    by_order = options.band_order is not None
    found = find_inputs(options.image or "", request.bands, by_order=by_order)
    if len(found) != 1:
        fault, fix = f"There are {len(found)} images", "Give one with --image"
        raise DataError(fault, code="one-image", file=options.image, fix=fix)
    order = None if options.band_order is None else tuple(options.band_order)
    source = found[0].model_copy(update={"order": order, "scaled": request.reads_physical})
    image = source.open()
    if order is None and source.bands is None:
        places = match_bands(request.bands, [[name] for name in image.image.bands], image.name)
        if places is not None:
            image.close()
            order = tuple(place + 1 for place in places)
            image = source.model_copy(update={"order": order}).open()
    if len(image.image.bands) != len(request.bands):
        count, wanted = len(image.image.bands), len(request.bands)
        image.close()
        raise DataError(
            f"The image has {count} band(s), and the network takes {wanted}",
            code="band-mismatch",
            file=options.image,
            fix="Tell which with --band-order, counted from 1",
        )
    return image


def _card(request: ImportRequest, made: MeasuredNetwork) -> Card:
    options, known, network = request.options, request.known, request.network
    bands = []
    for name, (mean, std) in zip(request.bands, request.statistics, strict=True):
        low = mean - SPREAD * std
        low = max(low, 0.0) if mean > 0 else low  # reflectance, brightness and stored numbers
        bands.append(
            CardBand(name=name, fill=mean, mean=mean, std=std, min=low, max=mean + SPREAD * std)
        )
    multilabel, classes = made.interface.multilabel, made.interface.classes
    return Card(
        format_version=2,
        swath_version=version("swath"),
        name=Path(options.model).stem,
        legend=request.legend,
        bands=bands,
        dtype=made.dtype,
        gsd=known.gsd,
        encoder="none",
        decoder="imported",
        network=None,
        stride=made.stride,
        halo=made.tiles.halo,
        seam=made.tiles.seam,
        context=made.tiles.context,
        scaled=request.reads_physical,
        heads="per-class" if multilabel else "softmax",
        thresholds=[0.5] * classes if multilabel else None,
        core=None if made.window is None else made.window - 2 * made.tiles.halo,
        parameters=network.parameters,
        training=None,
        imported=Imported(
            file=network.path.name,
            sha256=network.sha256,
            license=known.license,
            source=known.source,
            metadata=list(known.origins),
            layout=made.interface.layout,
            output=made.interface.output,
            window=made.window,
            ranges=request.ranges_known,
            compared_on=made.compared_on,
            difference=made.difference,
            labels_changed=made.labels_changed,
            bf16_changed=made.bf16_changed,
        ),
        files={},
    )


def _result(request: ImportRequest, made: MeasuredNetwork, card: Card) -> ImportResult:
    scaling, imported = request.scaling, card.imported
    assert imported is not None  # noqa: S101 - the card is that of an imported network
    return ImportResult(
        model=str(request.options.model),
        bands=list(request.bands),
        classes={c.name: c.map_code for c in card.legend.trained},
        scaling=list(zip(scaling.gain, scaling.shift, strict=True)),
        scaled=card.scaled,
        stride=card.stride,
        halo=card.halo,
        seam=card.seam,
        context=card.context,
        warnings=list(_warnings(request, made)),
        **imported.model_dump(exclude={"file", "sha256", "ranges"}),
    )


def _check_scaling(known: Described) -> list[str]:
    """Return a warning where the mean is not one of the numbers that the scale makes."""
    if not known.mean or not known.std:
        return []
    mean, std = np.abs(known.mean), np.abs(known.std)
    if not known.scale:
        if mean.max() > 1 or std.max() > 1:
            return []
        return [
            "--mean and --std are of fractions of 1, and no --scale is given, so images have to "
            f"hold fractions: give --scale {1 / 255:.6g} if they have 8 bits."
        ]
    scale = np.abs(known.scale)
    highest = np.where(scale >= 1 / 256, 255, 65535) * scale + np.abs(known.offset or [0]).max()
    if (mean <= highest).all():
        return []
    return [
        f"--scale {scale.min():.6g} makes numbers up to {highest.max():.4g}, and --mean is "
        f"{mean.max():.4g}: leave --scale out if the mean is one of the numbers of images."
    ]


def _warnings(request: ImportRequest, made: MeasuredNetwork) -> Sequence[str]:
    """Return what the user should know before trusting a map."""
    out = []
    if not request.ranges_known:
        out.append(
            "No scaling is known, so the network gets the numbers of images as they are: give "
            "--scale, or --mean and --std, unless scaling is inside of it."
        )
    out += _check_scaling(request.known)
    if made.compared_on == "noise":
        out.append("Engines were compared on noise: give --image to measure seams on a real image.")
    if made.interface.output == "labels":
        out.append("The network gives class numbers: the confidence of its maps is always 100%.")
    if (made.bf16_changed or 0) > CHANGED * 5:
        out.append(
            f"bf16 changes {made.bf16_changed:.2%} of the labels, so maps are made in float32."
        )
    return out
