"""Find out what a foreign network takes and gives, by running it.

A file tells some axes and sizes; what its output is, and which sizes it takes, shows when it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import ModelError, SwathError
from swath.inference.runtimes import OnnxRuntime, OpenVinoRuntime, Runtime
from swath.models.foreign.file import ForeignNetwork, TensorInfo
from swath.models.foreign.graph import (
    FLOATS,
    INTEGERS,
    LABEL_SCORE,
    LEAST_PROBABILITY,
    Interface,
    Layout,
    Scaling,
    fold,
)
from swath.types import OutputKind

SIDES = (512, 256, 224, 384, 128, 320, 64, 1024, 32)
"""Sides that are tried where a network does not tell the size of its input."""

MAX_SIDE = 2048
"""Largest side of windows of one size."""

MAX_SHRINK = 32
"""Most pixels of the input for each of the output, along a side."""

STRIDES = (1, 2, 4, 8, 16, 32, 64)
"""Strides that are tried for a network that takes inputs of any size."""

TOLERANCE = 1e-3
"""Difference of scores, relative to the largest, within which two are taken for equal."""

CHANGED = 0.001
"""Share of labels by which two engines may differ at most."""

_SUM_TOLERANCE = 1e-2  # of probabilities; half precision has three digits


@dataclass(frozen=True)
class Requested:
    """What is requested of a network; None, or `auto`, where it is detected.

    Attributes:
        bands: number of bands.
        classes: number of classes.
        layout: order of the axes of its input.
        output: what its output is.
        output_name: which of its outputs it is.
        window: rows and columns of its input.
    """

    bands: int
    classes: int
    layout: str = "auto"
    output: str = "auto"
    output_name: str | None = None
    window: int | None = None


class OriginalRuntime:
    """A foreign network as its file has it, in ONNX Runtime, behind a scaling.

    Args:
        network: the network.
        layout: order of the axes of its input.
        kind: number of the type of its input.
        scaling: of raw pixels.
        output_name: which of its outputs is returned.

    Raises:
        ModelError: ONNX Runtime refuses the network.
    """

    def __init__(
        self,
        network: ForeignNetwork,
        layout: Layout,
        kind: int,
        scaling: Scaling,
        output_name: str,
    ) -> None:
        self._session = OnnxRuntime(network.model.SerializeToString())
        self._batch = network.inputs[0].sizes[0] or 1
        self._layout, self._scaling, self._output = layout, scaling, output_name
        self._dtype: Any = (INTEGERS | FLOATS)[kind]

    def __call__(self, raw: NDArray[np.float32]) -> NDArray[Any]:
        """Return the output for raw pixels (1, bands, rows, columns), of a batch of one.

        Raises:
            ModelError: the network cannot be run.
        """
        values = self._scaling.apply(raw)
        if self._dtype not in FLOATS.values():
            limits = np.iinfo(self._dtype)
            values = np.clip(
                np.floor(values + 0.5), max(limits.min, -(2**24)), min(limits.max, 2**24)
            )
        values = values.astype(self._dtype)
        if self._layout == "nhwc":
            values = values.transpose(0, 2, 3, 1)
        batch = np.ascontiguousarray(np.repeat(values, self._batch, axis=0))
        return self._session.run(batch, self._output)[:1]


def find_interface(
    network: ForeignNetwork,
    requested: Requested,
    scaling: Scaling,
    take: Callable[[int], NDArray[np.float32]],
) -> tuple[Interface, int]:
    """Return input and output of a network, and the side of an input that it takes.

    Args:
        network: the network.
        requested: what is requested of it.
        scaling: of raw pixels.
        take: returns raw pixels (1, bands, side, side).

    Raises:
        ModelError: the network is not one that maps pixels to these classes.
    """
    taken = _input(network)
    layout = _layout(network, taken, requested)
    sides = _sides(network, taken, layout, requested)
    name, failed = _output_name(network, requested), None
    try:
        runtime = OriginalRuntime(network, layout, taken.kind, scaling, name)
    except ModelError as error:
        fix = "Export the network again"
        raise ModelError(error.message, code="network-fails", file=network.path, fix=fix) from error
    for side in sides:
        try:
            output = runtime(take(side))
            break
        except ModelError as error:
            failed = failed or error
    else:
        assert failed is not None  # noqa: S101 - there is a side
        fault = f"{failed.message}, at {sides[0]}x{sides[0]} pixels"
        fix = "Export the network again"
        if sides[0] not in taken.sizes:  # else the file takes its own side only
            fix = "Give the side of its input with --window, or export the network again"
        raise ModelError(fault, code="network-fails", file=network.path, fix=fix)
    return _describe(network, requested, layout, taken, name, output, side), side


def _input(network: ForeignNetwork) -> TensorInfo:
    if len(network.inputs) != 1:
        names = ", ".join(end.name[:40] for end in network.inputs)
        raise _refused(
            network,
            "network-inputs",
            f"The network has {len(network.inputs)} inputs ({names}), not one image",
        )
    end = network.inputs[0]
    if end.kind not in INTEGERS | FLOATS:
        raise _refused(network, "network-input", f"The input {end.name[:40]} holds no numbers")
    if len(end.sizes) != 4:
        raise _refused(
            network,
            "network-input",
            f"The input is {end.shown}, and one image a batch has four axes",
        )
    return end


def _layout(network: ForeignNetwork, taken: TensorInfo, requested: Requested) -> Layout:
    layout: Layout
    other: Layout
    at: dict[Layout, int | None] = {"nchw": taken.sizes[1], "nhwc": taken.sizes[3]}
    for layout, other in (("nchw", "nhwc"), ("nhwc", "nchw")):
        if requested.layout == layout:
            if at[layout] == requested.bands or at[layout] is None and at[other] != requested.bands:
                return layout
    if requested.layout == "auto":
        for layout in at:
            if at[layout] == requested.bands:
                return layout
        if at["nchw"] is None:
            return "nchw"
    raise ModelError(
        f"The input of the network is {taken.shown}, without an axis for {requested.bands} band(s)",
        code="band-mismatch",
        file=network.path,
        fix="Name as many bands with --bands as the network takes, and check --layout",
    )


def _sides(
    network: ForeignNetwork, taken: TensorInfo, layout: Layout, requested: Requested
) -> Sequence[int]:
    """Return the sides of an input to try, best first."""
    rows, cols = taken.sizes[2:] if layout == "nchw" else taken.sizes[1:3]
    if rows is not None and cols is not None and rows != cols:
        fault = f"The network takes windows of {rows}x{cols} pixels, and tiles are squares"
        fix = "Export it for squares, or with free sizes (dynamic axes)"
        raise ModelError(fault, code="network-window", file=network.path, fix=fix)
    told = rows or cols
    if told is None:
        return SIDES if requested.window is None else (requested.window,)
    if told > MAX_SIDE:
        fault = f"The network takes windows of {told} pixels, more than {MAX_SIDE}"
        raise _refused(network, "network-window", fault)
    return (told,)


def _output_name(network: ForeignNetwork, requested: Requested) -> str:
    names = [end.name for end in network.outputs]
    if requested.output_name is not None:
        if requested.output_name in names:
            return requested.output_name
        fault = f"The network has no output {requested.output_name!r}"
    elif len(names) == 1:
        return names[0]
    else:
        fault = f"The network has {len(names)} outputs, not one"
    listed = ", ".join(name[:40] for name in names)
    raise ModelError(
        fault,
        code="network-outputs",
        file=network.path,
        fix=f"Name one with --output-name: {listed}",
    )


def _describe(
    network: ForeignNetwork,
    requested: Requested,
    layout: Layout,
    taken: TensorInfo,
    name: str,
    output: NDArray[Any],
    side: int,
) -> Interface:
    """Return what an output of an input of a side means."""
    order, channels, shrink = _axes(network, requested, layout, output, side)
    axis, found = {"nchw": 1, "nhwc": 3, None: 0}[order], requested.output
    if found == "auto":
        found = _kind_by_operator(network, name, channels, requested.classes) or _kind_of(
            output, axis, channels, requested.classes
        )
    _check_kind(network, found, output, axis, channels, requested.classes)
    return Interface(
        bands=requested.bands,
        classes=requested.classes,
        layout=layout,
        kind=taken.kind,
        output_name=name,
        output=_as_kind(found),
        channels=channels,
        output_layout=order,
        shrink=shrink,
    )


def _as_kind(name: str) -> OutputKind:
    kinds: tuple[OutputKind, ...] = ("logits", "probabilities", "sigmoid", "labels")
    return next(kind for kind in kinds if kind == name)


def _axes(
    network: ForeignNetwork, requested: Requested, layout: Layout, output: NDArray[Any], side: int
) -> tuple[Layout | None, int, int]:
    """Return order of axes, channels, and pixels of the input for each of an output."""
    orders: list[tuple[Layout | None, int, tuple[int, ...]]] = []
    if output.ndim == 4:
        orders = [
            ("nchw", output.shape[1], output.shape[2:]),
            ("nhwc", output.shape[3], output.shape[1:3]),
        ]
        if layout == "nhwc":
            orders.reverse()
    elif output.ndim == 3:
        orders = [(None, 1, output.shape[1:])]
    fitting = []
    for order, channels, (rows, cols) in orders:
        if rows == cols and 0 < rows <= side and side % rows == 0:
            fitting.append((order, channels, side // rows))
    for order, channels, shrink in fitting:
        if channels in (1, requested.classes) and shrink <= MAX_SHRINK:
            return order, channels, shrink
    shape = "x".join(map(str, output.shape))
    if not fitting or fitting[0][2] > MAX_SHRINK:
        fault = f"The network turns {side}x{side} pixels into an output of {shape}, not into a map"
        raise _refused(network, "network-output", fault)
    raise ModelError(
        f"The output of the network has {fitting[0][1]} channels ({shape}), and "
        f"{requested.classes} classes are named",
        code="classes-differ",
        file=network.path,
        fix="Name a class for each channel, in their order, with --classes",
    )


_PASSING = ("Identity", "Cast", "Transpose", "Resize", "Squeeze", "Unsqueeze", "Reshape", "Slice")
_LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization")
"""Operators that give logits; sums are not among them: 1 - x and means of networks are shares."""


def _kind_by_operator(
    network: ForeignNetwork, name: str, channels: int, classes: int
) -> str | None:
    """Return what an output is by the operator that makes it, None where that does not tell."""
    makers = {output: node for node in network.model.graph.node for output in node.output}
    for _ in range(len(makers) + 1):
        node = makers.get(name)
        if node is None:
            return None
        if node.op_type not in _PASSING or not node.input:
            break
        name = node.input[0]
    if node is None or channels == 1 and classes > 2:
        return None
    kinds = {"Softmax": "probabilities", "Sigmoid": "sigmoid", "ArgMax": "labels"}
    return "logits" if node.op_type in _LINEAR else kinds.get(node.op_type)


def _kind_of(values: NDArray[Any], axis: int, channels: int, classes: int) -> str:
    """Return what an output of such values is."""
    whole = values.dtype.kind in "iub"
    if channels == 1 and (whole or classes > 2):
        return "labels"
    if values.min(initial=0) < -1e-3 or values.max(initial=0) > 1 + 1e-3:
        return "logits"
    if channels == 1:
        return "sigmoid"
    sums = values.astype(np.float64).sum(axis=axis)
    return "probabilities" if np.abs(sums - 1).max(initial=0) < _SUM_TOLERANCE else "sigmoid"


def _check_kind(
    network: ForeignNetwork, kind: str, values: NDArray[Any], axis: int, channels: int, classes: int
) -> None:
    """Refuse values that contradict what they are said to be.

    Raises:
        ModelError: they do.
    """
    wrong: str | None = None
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise _refused(network, "scores-not-finite", "The output of the network is not finite")
    low, high = float(numbers.min()), float(numbers.max())
    if kind == "labels":
        if channels != 1:
            wrong = f"it has {channels} channels"
        elif (numbers != np.round(numbers)).any():
            wrong = "its values are not whole"
        elif low < 0 or high >= classes:
            wrong = f"it has the numbers {low:.0f} to {high:.0f}, and there are {classes} classes"
    elif channels == 1 and classes != 2:
        wrong = f"it has one channel, and there are {classes} classes (the background is the first)"
    elif kind != "logits" and (low < -1e-3 or high > 1 + 1e-3):
        wrong = f"it has values from {low:.3g} to {high:.3g}"
    elif kind == "logits" and channels > 1:
        sums = numbers.sum(axis=axis)
        if low >= 0 and float(np.abs(sums - 1).max()) <= _SUM_TOLERANCE:
            wrong = "its values are 0 to 1 and have the sum 1 in each pixel, as probabilities have"
    elif kind == "probabilities" and channels > 1:
        worst = float(np.abs(numbers.sum(axis=axis) - 1).max())
        wrong = f"the sum of a pixel is {1 + worst:.3g}" if worst > _SUM_TOLERANCE else None
    if wrong is not None:
        raise ModelError(
            f"The output of the network is not of the kind {kind}: {wrong}",
            code="output-kind",
            file=network.path,
            fix="Check --output and --classes",
        )


def _refused(network: ForeignNetwork, code: str, fault: str) -> ModelError:
    return ModelError(
        fault,
        code=code,
        file=network.path,
        fix="Give a segmentation network: one image in, classes for each pixel out",
    )


def takes_window(onnx: bytes, classes: int, raw: NDArray[np.float32]) -> bool:
    """Return whether both engines give scores of the size of an input."""
    try:
        return _gives_scores([OnnxRuntime(onnx), OpenVinoRuntime(onnx)], classes, raw)
    except SwathError:
        return False


def takes_any_size(
    runtimes: Sequence[Runtime], classes: int, raw: NDArray[np.float32], side: int
) -> int | None:
    """Return the least stride of the sizes that both engines take; None if they do not.

    Args:
        runtimes: the folded network, of free sizes, in both engines.
        classes: channels of its scores.
        raw: raw pixels (1, bands, rows, columns).
        side: a side that it takes.
    """
    for stride in STRIDES:
        sizes = ((side + stride, side + 3 * stride), (side + 2 * stride, side))
        if all(_gives_scores(runtimes, classes, raw[:, :, :h, :w]) for h, w in sizes):
            return stride
    return None


def _gives_scores(runtimes: Sequence[Runtime], classes: int, raw: NDArray[np.float32]) -> bool:
    """Return whether engines give scores of the size of their input, and the same ones."""
    found = []
    for runtime in runtimes:
        try:
            scores = runtime(np.ascontiguousarray(raw))
        except ModelError:
            return False
        if scores.shape != (1, classes, *raw.shape[2:]):
            return False
        found.append(scores)
    changed = (found[0].argmax(axis=1) != found[1].argmax(axis=1)).mean()
    return differ_by(found[1], found[0]) <= 10 * TOLERANCE or changed <= CHANGED


def differ_by(scores: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest difference of scores, relative to the largest of those expected.

    It is infinite where the shapes differ, or where scores of either are not finite.
    """
    finite = np.isfinite(scores).all() and np.isfinite(expected).all()
    if scores.shape != expected.shape or not finite:
        return float("inf")
    return float(np.abs(scores - expected).max()) / max(1e-6, float(np.abs(expected).max()))


def moves_with_image(
    runtime: Runtime, raw: NDArray[np.float32], side: int, stride: int
) -> int | None:
    """Return the least shift, from `stride` on, by which scores move as the image does.

    The middle of an input of twice the side is compared. None where no shift is: then the scores
    depend on the place in the input, or on all of it.
    """
    size = 2 * side
    whole = runtime(np.ascontiguousarray(raw[:, :, :size, :size])).copy()
    middle = slice(side - side // 8, side + side // 8)
    for shift in (s for s in STRIDES if s >= stride):
        moved = runtime(np.ascontiguousarray(raw[:, :, shift : size + shift, shift : size + shift]))
        back = moved[:, :, middle, middle]
        ahead = slice(middle.start + shift, middle.stop + shift)
        if differ_by(back, whole[:, :, ahead, ahead]) <= TOLERANCE:
            return shift
    return None


def check_folding(
    network: ForeignNetwork,
    interface: Interface,
    scaling: Scaling,
    onnx: bytes,
    raw: Sequence[NDArray[np.float32]],
) -> float:
    """Return the largest difference between a folded network and the file, both in ONNX Runtime.

    Args:
        network: the file.
        interface: its input and output.
        scaling: of raw pixels.
        onnx: the folded network.
        raw: raw pixels, each (1, bands, side, side).

    Raises:
        ModelError: they differ.
    """
    original = OriginalRuntime(
        network, interface.layout, interface.kind, scaling, interface.output_name
    )
    folded, worst = OnnxRuntime(onnx), 0.0
    for each in raw:
        worst = max(worst, differ_by(folded(each), expected_scores(interface, original(each))))
    if worst > 10 * TOLERANCE:
        raise ModelError(
            f"The network gives other scores once its scaling is part of it (by {worst:.2g})",
            code="engine-differs",
            file=network.path,
            fix="Export it with a batch of one image; else report this, with the network",
        )
    return worst


def expected_scores(interface: Interface, output: NDArray[Any]) -> NDArray[np.float32]:
    """Turn an output of the file into class scores (1, classes, rows, columns), by NumPy."""
    order = {"nchw": (0, 1, 2, 3), "nhwc": (0, 3, 1, 2)}
    layout = interface.output_layout
    values = output[:, None] if layout is None else output.transpose(order[layout])
    values = values.astype(np.float64)
    if interface.shrink > 1:
        values = _enlarge(values, interface.shrink, smooth=interface.output != "labels")
    one, classes = interface.channels == 1, interface.classes
    if interface.output == "labels":
        hot = values == np.arange(classes).reshape(1, classes, 1, 1)
        return np.where(hot, LABEL_SCORE, 0).astype(np.float32)
    if interface.output == "sigmoid" or interface.output == "probabilities" and one:
        values = _log(values) - _log(1 - values)
    elif interface.output == "probabilities":
        values = _log(values)
    if one and classes == 2:
        values = np.concatenate([np.zeros_like(values), values], axis=1)
    return values.astype(np.float32)


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    out: NDArray[np.float64] = np.log(np.maximum(values, LEAST_PROBABILITY))
    return out


def _enlarge(values: NDArray[np.float64], factor: int, smooth: bool) -> NDArray[np.float64]:
    """Enlarge the last two axes: bilinear, pixel centers aligned, or by nearest neighbor."""
    for axis in (2, 3):
        n = values.shape[axis]
        at = (np.arange(n * factor) + 0.5) / factor - 0.5
        if not smooth:
            values = np.repeat(values, factor, axis=axis)
            continue
        at = np.clip(at, 0, n - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, n - 1)
        weight = (at - low).reshape([-1 if i == axis else 1 for i in range(4)])
        values = values.take(low, axis) * (1 - weight) + values.take(high, axis) * weight
    return values


def fold_or_refuse(
    network: ForeignNetwork, interface: Interface, scaling: Scaling, window: int | None
) -> bytes:
    """Fold a network; see `fold`.

    Raises:
        ModelError: its operators are too old, or are not what they seem.
    """
    try:
        return fold(network, interface, scaling, window)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise _refused(
            network, "network-fails", f"The network cannot be changed ({reason})"
        ) from error
