"""Networks of other programs: which sizes they take, how far they see, whether engines agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from swath.errors import ModelError, SwathError, UsageError
from swath.evaluation.halo import MeasuredHalo, find_context, halo_on, reach_of_scores
from swath.evaluation.window_overlap import LARGEST_OVERLAP, measure_overlap
from swath.inference.output import OutputSpec
from swath.inference.runtimes import OnnxRuntime, OpenVinoRuntime, choose_setup
from swath.inference.tiled import TiledPredictor
from swath.legend import Legend
from swath.models.foreign.file import ForeignNetwork
from swath.models.foreign.graph import INTEGERS, Interface, Scaling
from swath.models.foreign.metadata import Described
from swath.models.foreign.probe import (
    CHANGED,
    Requested,
    check_folding,
    differ_by,
    find_interface,
    fold_or_refuse,
    moves_with_image,
    takes_any_size,
    takes_window,
)
from swath.options import ImportOptions
from swath.progress import track

PATCHES = 4
"""Windows on which engines are compared."""

QUICK_SIDE = 256
"""Side of the windows that networks of any size are tried on."""

STRIP = 768, 256
"""Rows and columns of the areas on which the halo is measured."""


class AreaSource(Protocol):
    """A source of areas of raw pixels to try a network on."""

    def take(self, height: int, width: int, count: int) -> list[NDArray[np.float32]]:
        """Return areas (bands, height, width)."""


@dataclass(frozen=True)
class ImportRequest:
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
                f"The {name} of the network has {len(values)} numbers, and there are "
                f"{len(self.bands)} bands",
                code="option-value",
                file=self.network.path,
                fix=f"Give --{name}: one number, or one a band, in the order of --bands",
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
class MeasuredNetwork:
    """A network with its scaling inside, and what was measured on it.

    Attributes:
        onnx: the network, of raw pixels (batch, bands, rows, columns), float32.
        interface: what its file takes and gives.
        window: side of all inputs in pixels; None where any multiple of `stride` is taken.
        stride: sides of inputs are multiples of it, in pixels.
        tiles: its halo.
        compared_on: what it was run on.
        dtype: of the image's pixels; float32 for noise.
        difference: largest difference of a score from the file's own output, over the largest.
        labels_changed: share of the labels that OpenVINO changes in float32, 0..1.
        bf16_changed: share that bf16 changes, 0..1; None where the processor has none.
    """

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


def measure_network(
    request: ImportRequest, pixels: AreaSource, dtype: str | None
) -> MeasuredNetwork:
    """Fold the scaling into a network, and find its sizes, its halo, and how far engines agree.

    Args:
        request: what is imported.
        pixels: raw pixels to run the network on.
        dtype: of the image that they are of; None for noise.

    Raises:
        ModelError: the network is not one of these classes and bands, or engines do not agree.
        UsageError: numbers of bands are not those of the bands.
    """
    known, network = request.known, request.network
    requested = Requested(
        bands=len(request.bands),
        classes=len(request.legend.trained),
        layout=known.layout or "auto",
        output=request.options.output,
        output_name=request.options.output_name,
        window=known.window,
    )
    for _ in track([0], "running the network", 1, "networks"):
        interface, side = find_interface(
            network, requested, request.scaling, lambda n: pixels.take(n, n, 1)[0][None]
        )
    free = fold_or_refuse(network, interface, request.scaling, None)
    found = None
    if request.options.window is None:
        found = _any_size(request, interface, free, pixels, side, dtype is None)
    window, onnx = None, free
    if found is None:
        window = _window(request, free, interface, pixels, side)
        onnx = fold_or_refuse(network, interface, request.scaling, window)
        found = 1, _windows(request, interface, onnx, pixels, window, dtype is None)
    stride, tiles = found
    if None in network.inputs[0].sizes[1:]:  # else the file takes its own side only
        side = window or min(side, QUICK_SIDE)
    # A window of another side than the file's own is compared on that of the file.
    tested = onnx if window in (None, side) else free
    compared = _compare(request, interface, onnx, tested, pixels, side, window)
    return MeasuredNetwork(
        onnx,
        interface,
        window,
        stride,
        tiles,
        "noise" if dtype is None else "image",
        dtype or "float32",
        *compared,
    )


def _any_size(
    request: ImportRequest,
    interface: Interface,
    onnx: bytes,
    pixels: AreaSource,
    side: int,
    is_noise: bool,
) -> tuple[int, MeasuredHalo] | None:
    """Return stride and halo of a network with local context that takes any size, else None."""
    side = min(side, QUICK_SIDE)
    raw = pixels.take(2 * side + 192, 2 * side + 192, 1)[0][None]
    try:
        runtimes = OnnxRuntime(onnx), OpenVinoRuntime(onnx)
    except SwathError:
        return None
    least = takes_any_size(runtimes, interface.classes, raw, side)
    if least is None:
        return None
    runtime = runtimes[1]
    mean = [m for m, _ in request.statistics]
    predictor = TiledPredictor(runtime, _output(interface), mean, max(least, 32), 0)
    if find_context(predictor, interface.bands) == "global":
        return None
    stride = moves_with_image(runtime, raw, side, least)
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


def _window(
    request: ImportRequest, free: bytes, interface: Interface, pixels: AreaSource, side: int
) -> int:
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
    request: ImportRequest,
    interface: Interface,
    onnx: bytes,
    pixels: AreaSource,
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
    runtime: OpenVinoRuntime, pixels: AreaSource, side: int
) -> Literal["local", "global"]:
    """Return whether scores in one corner of a window depend on pixels in the other corner."""
    raw = pixels.take(side, side, 1)[0][None]
    other, part = raw.copy(), side // 8
    other[..., -part:, -part:] = other[..., -part:, -part:][..., ::-1, ::-1] + raw.std()
    ends = [runtime(each)[..., :part, :part].copy() for each in (raw, other)]
    return "global" if differ_by(ends[1], ends[0]) > 1e-5 else "local"


def _compare(
    request: ImportRequest,
    interface: Interface,
    onnx: bytes,
    tested: bytes,
    pixels: AreaSource,
    side: int,
    window: int | None,
) -> tuple[float, float, float | None]:
    """Compare engines with the file, and bf16 with float32.

    Args:
        request: what is imported.
        interface: input and output of the file.
        onnx: the folded network.
        tested: the same for inputs of `side`.
        pixels: raw pixels.
        side: of inputs that the file takes.
        window: side of all inputs of `onnx`, None for any.

    Returns:
        Largest difference from the file in ONNX Runtime; share of labels that OpenVINO changes; and
        that bf16 changes, None where the processor has none.

    Raises:
        ModelError: they differ.
    """
    patches = [area[None] for area in pixels.take(side, side, PATCHES)]
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
