"""Fold a foreign network into one that takes raw pixels and gives class scores.

Scaling, order of axes and types go before it; what turns its output into scores goes behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from swath.models.foreign.file import ForeignNetwork
from swath.types import OutputKind

Layout: TypeAlias = Literal["nchw", "nhwc"]

LABEL_SCORE = 20.0
"""Score of the class that a network of class numbers gives; that of the others is 0."""

LEAST_PROBABILITY = 1e-7

_FLOAT, _INT32 = 1, 6

INTEGERS: dict[int, Any] = {
    2: np.uint8,
    3: np.int8,
    4: np.uint16,
    5: np.int16,
    6: np.int32,
    7: np.int64,
}
"""Whole-number types by their number in `onnx.TensorProto`."""

FLOATS: dict[int, Any] = {1: np.float32, 10: np.float16, 11: np.float64}
"""Types with a fraction, likewise."""

_PREFIX = "foreign/"


@dataclass(frozen=True)
class Interface:
    """Input and output of a foreign network.

    Attributes:
        bands: channels of its input.
        classes: classes that it tells apart.
        layout: order of the axes of its input.
        kind: number of the type of its input.
        output_name: its output.
        output: what that is.
        channels: of the output: `classes`, or 1 (class numbers, or the second of two classes).
        output_layout: order of the axes of the output; None for (batch, rows, columns).
        shrink: pixels of the input for each of the output, along a side.
    """

    bands: int
    classes: int
    layout: Layout
    kind: int
    output_name: str
    output: OutputKind
    channels: int
    output_layout: Layout | None
    shrink: int

    @property
    def multilabel(self) -> bool:
        """Whether its output are independent masks."""
        return self.output == "sigmoid" and self.channels == self.classes


@dataclass(frozen=True)
class Scaling:
    """Turns raw pixels into what a network takes: pixels * gain + shift, by band."""

    gain: tuple[float, ...]
    shift: tuple[float, ...]

    def apply(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scale pixels (batch, bands, rows, columns)."""
        gain, shift = (np.array(v, np.float32)[:, None, None] for v in (self.gain, self.shift))
        scaled: NDArray[np.float32] = raw * gain + shift
        return scaled


def fold(
    network: ForeignNetwork, interface: Interface, scaling: Scaling, window: int | None
) -> bytes:
    """Return the network as ONNX: `raw` (1, bands, rows, columns) to `scores`, float32.

    Args:
        network: the network.
        interface: its input and output.
        scaling: of raw pixels.
        window: rows and columns of all inputs, None for any.

    Raises:
        ValueError: the operators of the file are too old for what is added to them.
    """
    from onnx import compose, helper

    model = compose.add_prefix(network.model, _PREFIX)
    graph = model.graph
    build = _Builder(graph, network.opset)
    _add_input(build, interface, scaling, _PREFIX + network.inputs[0].name)
    build.at_end = True
    scores = _add_output(build, interface, _PREFIX + interface.output_name)
    build.node("Identity", [scores], "scores")
    sizes = [window or "height", window or "width"]
    ends = (("raw", interface.bands), ("scores", interface.classes))
    values = [helper.make_tensor_value_info(name, _FLOAT, [1, n, *sizes]) for name, n in ends]
    inputs = {v.name for v in graph.input}
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.append(values[0])
    graph.output.append(values[1])
    assert inputs  # noqa: S101 - the network was checked
    model.doc_string = graph.doc_string = ""
    del model.metadata_props[:]
    content: bytes = model.SerializeToString(deterministic=True)
    return content


class _Builder:
    """Adds nodes to a graph, before its own or behind them."""

    def __init__(self, graph: Any, opset: int) -> None:
        self._graph, self._opset = graph, opset
        self._count = self._first = 0
        self.at_end = False

    def require(self, opset: int, what: str) -> None:
        """Raise an error if the standard operators are older."""
        if self._opset < opset:
            raise ValueError(f"{what} needs operator set {opset}, and the file has {self._opset}")

    def node(
        self, kind: str, inputs: Sequence[str], output: str | None = None, **attributes: Any
    ) -> str:
        """Add a node, and return the name of its output."""
        from onnx import helper

        self._count += 1
        name = output or f"swath/{kind}_{self._count}"
        made = helper.make_node(kind, inputs, [name], f"swath/node_{self._count}", **attributes)
        if self.at_end:
            self._graph.node.append(made)
        else:
            self._graph.node.insert(self._first, made)
            self._first += 1
        return name

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add a constant, and return its name."""
        from onnx import numpy_helper

        self._count += 1
        name = f"swath/constant_{self._count}"
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def cast(self, name: str, kind: int) -> str:
        """Add a conversion to a type."""
        return self.node("Cast", [name], to=kind)

    def over_axis(self, kind: str, name: str) -> str:
        """Add an operator over axis 1, which is an attribute of old versions."""
        if self._opset < (18 if kind == "ReduceMax" else 13):
            return self.node(kind, [name], axes=[1])
        return self.node(kind, [name, self.constant([1], np.int64)])


def _add_input(build: _Builder, interface: Interface, scaling: Scaling, name: str) -> None:
    """Add what turns `raw` into the input of the network."""
    bands = (1, interface.bands, 1, 1)
    gain, shift = (np.reshape(v, bands) for v in (scaling.gain, scaling.shift))
    at = "raw"
    if (gain != 1).any():
        at = build.node("Mul", [at, build.constant(gain)])
    if (shift != 0).any():
        at = build.node("Add", [at, build.constant(shift)])
    if interface.kind in INTEGERS:
        limits = np.iinfo(INTEGERS[interface.kind])
        at = build.node("Floor", [build.node("Add", [at, build.constant(0.5)])])
        at = build.node("Max", [at, build.constant(max(limits.min, -(2**24)))])
        at = build.node("Min", [at, build.constant(min(limits.max, 2**24))])
    if interface.kind != _FLOAT:
        at = build.cast(at, interface.kind)
    if interface.layout == "nhwc":
        at = build.node("Transpose", [at], perm=[0, 2, 3, 1])
    build.node("Identity", [at], name)


def _add_output(build: _Builder, interface: Interface, name: str) -> str:
    """Add what turns the output of the network into class scores."""
    at = build.cast(name, _FLOAT)
    if interface.output_layout is None:
        at = build.over_axis("Unsqueeze", at)
    elif interface.output_layout == "nhwc":
        at = build.node("Transpose", [at], perm=[0, 3, 1, 2])
    labels = interface.output == "labels"
    if interface.shrink > 1:
        build.require(11, "Enlarging the output")
        scales = build.constant([1, 1, interface.shrink, interface.shrink])
        how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        if labels:
            how = {
                "mode": "nearest",
                "coordinate_transformation_mode": "asymmetric",
                "nearest_mode": "floor",
            }
        at = build.node("Resize", [at, build.constant([]), scales], **how)
    if labels:
        return _of_labels(build, interface.classes, at)
    one = interface.channels == 1
    if interface.output == "sigmoid" or interface.output == "probabilities" and one:
        rest = build.node("Sub", [build.constant(1), at])
        at = build.node("Sub", [_log(build, at), _log(build, rest)])
    elif interface.output == "probabilities":
        at = _log(build, at)
    if one and interface.classes == 2:
        at = build.node("Concat", [build.node("Mul", [at, build.constant(0)]), at], axis=1)
    return at


def _log(build: _Builder, name: str) -> str:
    # Each logarithm has its own limit: in bf16 nothing lies between 0.998 and 1.
    return build.node("Log", [build.node("Max", [name, build.constant(LEAST_PROBABILITY)])])


def _of_labels(build: _Builder, classes: int, name: str) -> str:
    """Add scores of class numbers; they are NaN where no class has the number."""
    build.require(7, "Comparing class numbers")
    numbers = build.constant(np.arange(classes).reshape(1, classes, 1, 1), np.int32)
    same = build.node("Equal", [build.cast(name, _INT32), numbers])
    same = build.cast(same, _FLOAT)
    found = build.node("Div", [same, build.over_axis("ReduceMax", same)])
    return build.node("Mul", [found, build.constant(LABEL_SCORE)])
