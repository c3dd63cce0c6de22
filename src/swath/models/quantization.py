"""A network in 8-bit numbers: weights and activations on ranges that are found on real patches.

Source: Jacob et al. 2018, "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", in the form of ONNX Runtime's static quantization (QDQ), which
OpenVINO runs in int8.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import JobError

FEW = 1500
"""Weights of a convolution that is too small to gain: in EfficientNet-Lite the first block and the first depthwise layers."""


def quantize_network(onnx: bytes, patches: Sequence[NDArray[np.float32]]) -> bytes:
    """Return a network whose inner convolutions work in 8 bits.

    Layers that see raw pixels, single pixels only, or give the scores are left as they are, and
    those of few weights: they decide doubtful pixels and gain little. Weights have 7 bits, so that
    processors without VNNI do not overflow. Only what a convolution takes is rounded, not what it
    gives, which an activation function then cuts.

    Args:
        onnx: the network.
        patches: raw pixels (1, bands, rows, columns), multiples of the stride; the smallest and
            largest activation of each, averaged over them, set the ranges.

    Raises:
        JobError: a package is missing.
    """
    try:
        import onnx as format_
        from onnxruntime.quantization import (
            CalibrationMethod,
            QuantFormat,
            QuantType,
            quantize_static,
        )
    except ImportError as error:
        raise JobError(
            f"this needs the package {error.name}", fix='Run `pip install "swath[train]"`'
        ) from error
    logging.getLogger().addFilter(_unasked)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(onnx)
        try:
            quantize_static(
                source,
                target,
                _CalibrationPatches(patches),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=_left_as_they_are(format_.load_from_string(onnx)),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                extra_options={
                    "WeightSymmetric": True,
                    "OpTypesToExcludeOutputQuantization": ["Conv"],
                    "CalibMovingAverage": True,
                },
            )
        finally:
            logging.getLogger().removeFilter(_unasked)
        return target.read_bytes()


class _CalibrationPatches:
    """What ONNX Runtime takes for a reader of calibration data."""

    def __init__(self, patches: Sequence[NDArray[np.float32]]) -> None:
        self._left: Iterator[NDArray[np.float32]] = iter(patches)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        patch = next(self._left, None)
        return None if patch is None else {"raw": patch}


def _unasked(record: logging.LogRecord) -> bool:
    return "pre-processing" not in record.getMessage()


def _left_as_they_are(model: Any) -> list[str]:
    """Name the convolutions of raw or single pixels, of scores, and of few weights."""
    graph = model.graph
    sizes = {w.name: list(w.dims) for w in graph.initializer}
    bands = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    channels = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    names = []
    for node in graph.node:
        if node.op_type == "Conv":
            size = sizes.get(node.input[1], [0, 0])
            group = next((a.i for a in node.attribute if a.name == "group"), 1)
            first, last = group == 1 and size[1] == bands, size[0] == channels
            if first or last or prod(size) < FEW or "/pixel/" in node.name:
                names.append(node.name)
    return names
