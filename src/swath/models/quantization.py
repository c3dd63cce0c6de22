"""Static quantization of a network to 8 bits, with ranges from real patches.

Source: Jacob et al. 2018, "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", in the form of ONNX Runtime's static quantization (QDQ), which
OpenVINO runs in int8.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import JobError

MIN_WEIGHTS = 1500
"""Weights of the smallest quantized convolution.

In EfficientNet-Lite, the first block and the first depthwise layers have fewer.
"""


def quantize_network(onnx: bytes, patches: Sequence[NDArray[np.float32]]) -> bytes:
    """Quantize the inner convolutions of a network to 8 bits.

    Layers of raw pixels, of single pixels, of the scores, and of few weights stay float32: they
    decide uncertain pixels and gain little. Weights have 7 bits, so that processors without VNNI do
    not overflow. Inputs of convolutions are rounded, and outputs, which an activation function then
    clips, are not.

    Args:
        onnx: the network.
        patches: raw pixels (1, bands, rows, columns), multiples of the stride; the smallest and
            largest activation of each, averaged over them, set the ranges.

    Raises:
        JobError: a package is missing.
    """
    try:
        import onnx as format_
        from onnxruntime import quantization as ort
    except ImportError as error:
        fault = f"Quantization needs the package {error.name}"
        fix = 'Run `pip install "swath[train]"`'
        raise JobError(fault, code="missing-package", fix=fix) from error
    feeds = ({"raw": patch} for patch in patches)
    logging.getLogger().addFilter(_is_not_advice)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(onnx)
        try:
            ort.quantize_static(
                source,
                target,
                SimpleNamespace(get_next=lambda: next(feeds, None)),
                quant_format=ort.QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=_excluded_layers(format_.load_from_string(onnx)),
                per_channel=True,
                reduce_range=True,
                activation_type=ort.QuantType.QUInt8,
                weight_type=ort.QuantType.QInt8,
                calibrate_method=ort.CalibrationMethod.MinMax,
                extra_options={
                    "WeightSymmetric": True,
                    "OpTypesToExcludeOutputQuantization": ["Conv"],
                    "CalibMovingAverage": True,
                },
            )
        finally:
            logging.getLogger().removeFilter(_is_not_advice)
        return target.read_bytes()


def _is_not_advice(record: logging.LogRecord) -> bool:
    return "pre-processing" not in record.getMessage()


def _excluded_layers(model: Any) -> list[str]:
    """Return the names of convolutions of raw or single pixels, scores, or few weights."""
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
            if first or last or prod(size) < MIN_WEIGHTS or "/pixel/" in node.name:
                names.append(node.name)
    return names
