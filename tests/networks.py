"""Tiny ONNX networks as other programs export them, for tests of `swath import`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

RGB = "red,green,blue"
NAMES = "water,land,wood"


class Net:
    """A network under construction; `at` is its last tensor, of `channels`."""

    def __init__(self, bands: int = 3, seed: int = 0, kind: int = TensorProto.FLOAT) -> None:
        self.bands, self.channels, self.at, self.kind = bands, bands, "image", kind
        self._rng = np.random.default_rng(seed)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def weight(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def add(self, kind: str, *more: str, **attributes: Any) -> "Net":
        """Add an operator on the last tensor and `more`."""
        name = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, [self.at, *more], [name], name, **attributes))
        self.at = name
        return self

    def conv(self, channels: int, side: int = 3, stride: int = 1) -> "Net":
        shape = (channels, self.channels, side, side)
        weights = self._rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        bias = self._rng.normal(size=channels) / 4
        pads = [side // 2] * 4
        self.channels = channels
        return self.add(
            *("Conv", self.weight(weights), self.weight(bias)), pads=pads, strides=[stride] * 2
        )

    def relu(self) -> "Net":
        return self.add("Relu")

    def gate(self) -> "Net":
        """Scale channels by a function of their means over the whole input (squeeze, excite)."""
        before = self.at
        self.add("GlobalAveragePool").conv(self.channels, 1).add("Sigmoid")
        return self.add("Mul", before)

    def attend(self, tokens: int) -> "Net":
        """Mix all places by attention, on a fixed number of tokens a side."""
        before, c = self.at, self.channels
        self.add("Reshape", self.weight([1, c, tokens * tokens], np.int64))
        keys = self.at
        self.add("Transpose", perm=[0, 2, 1]).add("MatMul", keys).add("Softmax", axis=-1)
        attention = self.at
        self.at = keys
        self.add("MatMul", attention).add("Reshape", self.weight([1, c, tokens, tokens], np.int64))
        return self.add("Add", before)

    def enlarge(self, factor: int) -> "Net":
        scales = self.weight([1, 1, factor, factor])
        return self.add(
            "Resize",
            self.weight([]),
            scales,
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )

    def write(
        self,
        path: Path,
        size: Sequence[int | str | None] = (None, None),
        batch: int | str = "batch",
        nhwc: bool = False,
        outputs: Sequence[str] = (),
        kind: int = TensorProto.FLOAT,
        opset: int = 17,
        **properties: str,
    ) -> Path:
        """Write the network; `outputs` are further tensors that it gives."""
        rows, cols = (n or name for n, name in zip(size, ("height", "width"), strict=True))
        shape = [batch, rows, cols, self.bands] if nhwc else [batch, self.bands, rows, cols]
        nodes = list(self._nodes)
        if nhwc:
            nodes.insert(0, helper.make_node("Transpose", ["nhwc"], ["image"], perm=[0, 3, 1, 2]))
        graph = helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info("nhwc" if nhwc else "image", self.kind, shape)],
            [helper.make_tensor_value_info(name, kind, None) for name in (self.at, *outputs)],
            self._weights,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9
        )
        helper.set_model_props(model, properties)
        path.write_bytes(model.SerializeToString())
        return path


def local(channels: int = 3, bands: int = 3) -> Net:
    """Return a network of two convolutions, one of which halves the size."""
    return Net(bands).conv(8).relu().conv(8, stride=2).relu().enlarge(2).conv(channels)


def pooled(channels: int = 3, bands: int = 3) -> Net:
    """Return a network whose scores depend on the mean of its input."""
    return Net(bands).conv(8).relu().gate().conv(channels)


def answer(path: Path, raw: NDArray[np.float32], output: str | None = None) -> NDArray[Any]:
    """Return what a network gives, in ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return session.run(None if output is None else [output], {name: raw})[0]


def changed(path: Path, change: Any) -> bytes:
    """Return a network after a change to its message."""
    model = onnx.load(path)
    change(model)
    return model.SerializeToString()
