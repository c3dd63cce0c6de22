"""`swath import`: turn an ONNX segmentation network of any program into a model file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from swath.commands.base import check_ending, command
from swath.errors import DataError, ModelError, UsageError
from swath.evaluation.halo import MeasuredHalo, find_context, halo_on, reach_of_scores
from swath.evaluation.window_overlap import LARGEST_OVERLAP, measure_overlap
from swath.geo.scale import zoom_for
from swath.geo.tiling import Window
from swath.inference.output import OutputSpec
from swath.inference.runtimes import OnnxRuntime, OpenVinoRuntime, choose_setup
from swath.inference.tiled import TiledPredictor, read_scaled
from swath.legend import LandClass, Legend, default_color, read_legend
from swath.mapping.inputs import InputImage, find_inputs
from swath.models.band_matching import match_bands
from swath.models.card import Card, CardBand, Imported
from swath.models.foreign.file import ForeignNetwork, read_network
from swath.models.foreign.graph import INTEGERS, Interface, Scaling
from swath.models.foreign.metadata import Described, describe
from swath.models.foreign.noise import NoisePixels
from swath.models.foreign.probe import (
    CHANGED,
    Wishes,
    check_folding,
    differ_by,
    find_interface,
    fold_or_refuse,
    moves_with_image,
    takes_any_size,
    takes_window,
)
from swath.models.model_file import pack_model_file
from swath.options import ImportOptions
from swath.progress import track
from swath.types import OutputKind, Result

PATCHES = 4
"""Windows on which engines are compared."""

QUICK_SIDE = 256
"""Side of the windows that networks of any size are tried on."""

STRIP = 768, 256
"""Rows and columns of the areas on which the halo is measured."""

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


class _Areas(Protocol):
    """A source of raw pixels to try a network on."""

    def take(self, height: int, width: int, count: int) -> list[NDArray[np.float32]]:
        """Return areas (bands, height, width)."""


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
    known = _given(options).over(describe(network))
    legend, bands = _legend(options, known, network), _bands(known, network)
    request = _Request(options, network, known, bands, legend)
    made = _make(request)
    card = pack_model_file(options.model, _card(request, made), made.onnx, None)
    return _result(options, request, made, card)


@dataclass(frozen=True)
class _Request:
    """What is imported: options, the network, and what both and metadata say of it."""

    options: ImportOptions
    network: ForeignNetwork
    known: Described
    bands: tuple[str, ...]
    legend: Legend

    @property
    def scaling(self) -> Scaling:
        """Factor and shift of each band."""
        scale, offset, mean, std = (
            np.array(self.per_band(name), np.float64) for name in ("scale", "offset", "mean", "std")
        )
        return Scaling(tuple(scale / std), tuple((offset - mean) / std))

    def per_band(self, name: str) -> tuple[float, ...]:
        """Return numbers of each band, those that change nothing where none are known."""
        usual = 1.0 if name in ("scale", "std") else 0.0
        values: tuple[float, ...] = getattr(self.known, name) or (usual,)
        if len(values) == 1:
            return values * len(self.bands)
        if len(values) != len(self.bands):
            raise UsageError(
                f"--{name} has {len(values)} numbers, and there are {len(self.bands)} bands",
                code="option-value",
                fix="Give one, or one a band, in the order of --bands",
            )
        return values

    @property
    def statistics(self) -> list[tuple[float, float]]:
        """Mean and deviation of each band in raw numbers.

        Without a mean, numbers of the network are taken to lie between 0 and 1, or 255 where they
        are whole.
        """
        gain, shift = self.scaling.gain, self.scaling.shift
        if self.known.mean and self.known.std:
            return [(-b / a, 1 / abs(a)) for a, b in zip(gain, shift, strict=True)]
        top = 255 if self.network.inputs and self.network.inputs[0].kind in INTEGERS else 1
        return [((top / 2 - b) / a, top / 4 / abs(a)) for a, b in zip(gain, shift, strict=True)]

    @property
    def ranges_known(self) -> bool:
        """Whether raw numbers are known well enough to hold images against them."""
        return bool(self.known.mean and self.known.std) or self.known.scale is not None

    @property
    def reads_physical(self) -> bool:
        """Whether images are read as physical values, since no scale of stored numbers is given."""
        return self.known.scale is None


@dataclass(frozen=True)
class _Made:
    """A folded network, and what was measured on it."""

    onnx: bytes
    interface: Interface
    window: int | None
    stride: int
    tiles: MeasuredHalo
    compared_on: Literal["image", "noise"]
    dtype: str
    difference: float
    labels_changed: float
    bf16_changed: float | None


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


def _make(request: _Request) -> _Made:
    """Fold the network, and measure it."""
    options, image = request.options, None
    mean, std = zip(*request.statistics, strict=True)
    noise = NoisePixels(mean, std)
    if options.image is not None:
        image = _open_image(request)
    try:
        pixels: _Areas = noise if image is None else _ImageAreas(image, request, mean)
        return _measure(request, pixels, image)
    finally:
        if image is not None:
            image.close()


def _measure(request: _Request, pixels: _Areas, image: InputImage | None) -> _Made:
    known, network = request.known, request.network
    wishes = Wishes(
        bands=len(request.bands),
        classes=len(request.legend.trained),
        layout=known.layout or "auto",
        output=request.options.output,
        output_name=request.options.output_name,
        window=known.window,
    )
    for _ in track([0], "running the network", 1, "networks"):
        interface, side = find_interface(
            network, wishes, request.scaling, lambda n: pixels.take(n, n, 1)[0][None]
        )
    free = fold_or_refuse(network, interface, request.scaling, None)
    found = None
    if request.options.window is None:
        found = _any_size(request, interface, free, pixels, side, image is None)
    window, onnx = None, free
    if found is None:
        window = _window(request, free, interface, pixels, side)
        onnx = fold_or_refuse(network, interface, request.scaling, window)
        found = 1, _windows(request, interface, onnx, pixels, window, image is None)
    stride, tiles = found
    if None in network.inputs[0].sizes[1:]:  # else the file takes its own side only
        side = window or min(side, QUICK_SIDE)
    compared = _compare(request, interface, onnx, pixels, side, window)
    return _Made(
        onnx,
        interface,
        window,
        stride,
        tiles,
        "noise" if image is None else "image",
        "float32" if image is None else str(image.dtype),
        *compared,
    )


def _any_size(
    request: _Request,
    interface: Interface,
    onnx: bytes,
    pixels: _Areas,
    side: int,
    is_noise: bool,
) -> tuple[int, MeasuredHalo] | None:
    """Return stride and halo of a network with local context that takes any size, else None."""
    side = min(side, QUICK_SIDE)
    raw = pixels.take(2 * side + 192, 2 * side + 192, 1)[0][None]
    least = takes_any_size(onnx, interface.classes, raw, side)
    if least is None:
        return None
    runtime = OpenVinoRuntime(onnx)
    mean = [m for m, _ in request.statistics]
    predictor = TiledPredictor(runtime, _output(interface), mean, max(least, 32), 0)
    if find_context(predictor, interface.bands) == "global":
        return None
    stride = moves_with_image(onnx, raw, side, least)
    if stride is None:
        return None
    strips = pixels.take(*STRIP, PATCHES)
    if is_noise or _one_class(predictor, strips):
        reach = reach_of_scores(runtime, strips)
        return stride, MeasuredHalo(-(-reach // stride) * stride, None, "local")
    return stride, halo_on(
        TiledPredictor(runtime, _output(interface), mean, stride, 0), strips, "local"
    )


def _one_class(predictor: TiledPredictor, areas: Sequence[NDArray[np.float32]]) -> bool:
    """Return whether all pixels of areas have one label, so that no seam would show."""
    labels: set[int] = set()
    for area in areas:
        scores = predictor.runtime(np.ascontiguousarray(area[None]))[0]
        labels |= {*np.unique(predictor.output.class_scores(scores).argmax(axis=0)).tolist()}
    return len(labels) < 2


def _window(request: _Request, free: bytes, interface: Interface, pixels: _Areas, side: int) -> int:
    """Return the side of all inputs: that of the file, or the one that is asked for."""
    wanted = request.options.window
    if wanted is None or wanted == side:
        return side
    if takes_window(free, interface.classes, pixels.take(wanted, wanted, 1)[0][None]):
        return wanted
    fault = f"The network takes no windows of {wanted} pixels; those of its file have {side}"
    raise ModelError(
        fault, code="network-window", file=request.network.path, fix="Leave --window out"
    )


def _windows(
    request: _Request,
    interface: Interface,
    onnx: bytes,
    pixels: _Areas,
    side: int,
    is_noise: bool,
) -> MeasuredHalo:
    """Measure how far windows of one side have to overlap."""
    runtime, output = OpenVinoRuntime(onnx, shape=(side, side)), _output(interface)
    context = _context_of_window(runtime, pixels, side)
    mean = [m for m, _ in request.statistics]
    long = side + side // 2
    areas = pixels.take(long, long, PATCHES)
    predictor = TiledPredictor(runtime, output, mean, 1, 0)
    if is_noise or _one_class(predictor, [a[:, :side, :side] for a in areas]):
        return MeasuredHalo(side // LARGEST_OVERLAP, None, context)
    return measure_overlap(runtime, output, areas, side, context)


def _context_of_window(
    runtime: OpenVinoRuntime, pixels: _Areas, side: int
) -> Literal["local", "global"]:
    """Return whether scores in one corner of a window depend on pixels in the other corner."""
    raw = pixels.take(side, side, 1)[0][None]
    other, part = raw.copy(), side // 8
    other[..., -part:, -part:] = other[..., -part:, -part:][..., ::-1, ::-1] + raw.std()
    ends = [runtime(each)[..., :part, :part].copy() for each in (raw, other)]
    return "global" if differ_by(ends[1], ends[0]) > 1e-5 else "local"


def _compare(
    request: _Request,
    interface: Interface,
    onnx: bytes,
    pixels: _Areas,
    side: int,
    window: int | None,
) -> tuple[float, float, float | None]:
    """Compare engines with the file, and bf16 with float32.

    Returns:
        Largest difference from the file in ONNX Runtime; share of labels that OpenVINO changes; and
        that bf16 changes, None where the processor has none.

    Raises:
        ModelError: they differ.
    """
    patches = [area[None] for area in pixels.take(side, side, PATCHES)]
    tested = onnx
    if window not in (None, side):  # the file takes its own side only
        tested = fold_or_refuse(request.network, interface, request.scaling, None)
    difference = check_folding(request.network, interface, request.scaling, tested, patches)
    if window not in (None, side):
        patches = [area[None] for area in pixels.take(window or side, window or side, PATCHES)]
    exact, shape = OnnxRuntime(onnx), patches[0].shape[2:]
    expected = [exact(patch) for patch in patches]
    engine = OpenVinoRuntime(onnx, shape=(shape[0], shape[1]))
    found = [engine(patch).copy() for patch in patches]
    off = max(differ_by(a, b) for a, b in zip(found, expected, strict=True))
    changed = _labels_changed(found, expected)
    if changed > CHANGED and off > CHANGED:
        raise ModelError(
            f"OpenVINO changes {changed:.2%} of the labels that ONNX Runtime gives",
            code="engine-differs",
            file=request.network.path,
            fix="Export the network again with other operators, or report this with the network",
        )
    bf16 = None
    if choose_setup("openvino").precision == "bf16":
        rough = OpenVinoRuntime(onnx, precision="bf16", shape=(shape[0], shape[1]))
        bf16 = _labels_changed([rough(patch).copy() for patch in patches], expected)
    return difference, changed, bf16


def _labels_changed(
    found: Sequence[NDArray[np.float32]], expected: Sequence[NDArray[np.float32]]
) -> float:
    differ = [
        (a.argmax(axis=1) != b.argmax(axis=1)).mean() for a, b in zip(found, expected, strict=True)
    ]
    return float(np.mean(differ))


def _output(interface: Interface) -> OutputSpec:
    return OutputSpec(interface.classes, multilabel=interface.multilabel)


class _ImageAreas:
    """Areas of an image at the scale of the network; a smaller image goes on as in a mirror.

    Args:
        image: the image.
        request: what is imported.
        fill: value of invalid pixels of each band.
    """

    def __init__(self, image: InputImage, request: _Request, fill: Sequence[float]) -> None:
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


def _open_image(request: _Request) -> InputImage:
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


def _card(request: _Request, made: _Made) -> Card:
    options, known, network = request.options, request.known, request.network
    physical_floor = 0.0  # of reflectance, brightness and stored numbers
    bands = []
    for name, (mean, std) in zip(request.bands, request.statistics, strict=True):
        low = mean - SPREAD * std
        low = max(low, physical_floor) if mean > 0 else low
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


def _result(options: ImportOptions, request: _Request, made: _Made, card: Card) -> ImportResult:
    known, scaling = request.known, request.scaling
    return ImportResult(
        model=str(options.model),
        bands=list(request.bands),
        classes={c.name: c.map_code for c in card.legend.trained},
        layout=made.interface.layout,
        output=made.interface.output,
        scaling=list(zip(scaling.gain, scaling.shift, strict=True)),
        scaled=card.scaled,
        metadata=list(known.origins),
        window=made.window,
        stride=made.stride,
        halo=made.tiles.halo,
        seam=made.tiles.seam,
        context=made.tiles.context,
        compared_on=made.compared_on,
        difference=made.difference,
        labels_changed=made.labels_changed,
        bf16_changed=made.bf16_changed,
        license=known.license,
        source=known.source,
        warnings=list(_warnings(request, made)),
    )


def _warnings(request: _Request, made: _Made) -> Sequence[str]:
    """Return what the user should know before trusting a map."""
    out = []
    if not request.ranges_known:
        out.append(
            "No scaling is known, so the network gets the numbers of images as they are: give "
            "--scale, or --mean and --std, unless scaling is inside of it."
        )
    if made.compared_on == "noise":
        out.append("Engines were compared on noise: give --image to measure seams on a real image.")
    if made.interface.output == "labels":
        out.append("The network gives class numbers: the confidence of its maps is always 100%.")
    if (made.bf16_changed or 0) > CHANGED * 5:
        out.append(
            f"bf16 changes {made.bf16_changed:.2%} of the labels, so maps are made in float32."
        )
    return out
