"""`swath export`: write a model's network as plain ONNX, for other programs."""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.commands.base import command
from swath.errors import JobError, ModelError
from swath.inference.runtimes import OnnxRuntime
from swath.io.atomic import atomic_file
from swath.models.card import Card
from swath.models.model import Model
from swath.options import ExportOptions
from swath.types import Result

log = logging.getLogger(__name__)

INPUT_SIDE = 512
"""Rows and columns of the exported network's input."""


class ExportResult(Result):
    """The written file, its size in bytes, and its metadata."""

    file: str
    bytes: int
    metadata: dict[str, str]


@command(ExportOptions)
def export(options: ExportOptions) -> ExportResult:
    """Write ONNX with the metadata that the QGIS plugin Deepness reads, and check the file.

    Input `image`: (1, bands, 512, 512), float32; of 8-bit models 0..1 as Deepness gives it, else
    raw values. Output `probabilities`: (1, classes, 512, 512), 0..1.

    Source: the plugin's documentation, "Add metadata to model".

    Raises:
        ModelError: the model is damaged, or takes latitude as a band.
        JobError: the package onnx is missing, the file cannot be written, or the exported network
            does not agree with the model's.
    """
    model = Model(options.model)
    card = model.card
    if card.latitude:
        raise ModelError(
            "The model takes latitude as a band, which other programs do not provide",
            code="latitude-band",
            file=model.path,
            fix="Map with `swath predict`; or run model.onnx, which is in the model file, with"
            " degrees as the last band",
        )
    if card.dtype != "uint8":
        log.warning(
            "The model takes %s, and Deepness provides only 8-bit pixels: use other programs.",
            card.dtype,
        )
    side = card.window or INPUT_SIDE
    if card.side is not None and card.side > side:
        log.warning(
            "The network sees whole images, and the file takes %d pixels at a time:"
            " expect worse maps.",
            side,
        )
    metadata = {key: json.dumps(value) for key, value in _metadata(card, side).items()}
    content = _build(model.network(), card, metadata, side)
    _check(model, content, metadata, side)
    with atomic_file(options.file) as partial:
        partial.write_bytes(content)
    return ExportResult(file=str(options.file), bytes=len(content), metadata=metadata)


def _metadata(card: Card, side: int) -> dict[str, Any]:
    bands = len(card.bands)
    out = {
        "model_type": "Segmentor",
        "class_names": {str(i): name for i, name in enumerate(card.legend.names)},
        "tile_size": side,
        "tiles_overlap": min(50, round(100 * 2 * card.halo / side)),
        "standardization_mean": [0.0] * bands,
        "standardization_std": [1.0] * bands,
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
        "bands": [band.name for band in card.bands],
        "swath_scale": 1.0 / _scale(card),
    }
    return out | ({} if card.gsd is None else {"resolution": round(100 * card.gsd, 3)})


def _scale(card: Card) -> float:
    """Return the factor from the numbers that the file takes to those of images."""
    return 255.0 if card.dtype == "uint8" else 1.0


def _build(network: bytes, card: Card, metadata: dict[str, str], side: int) -> bytes:
    """Put scaling before the network, and softmax, or sigmoid of masks, behind it."""
    try:
        import onnx
        from onnx import TensorProto, helper
    except ImportError as error:
        raise JobError(
            "Export needs the package onnx",
            code="missing-package",
            fix='Run `pip install "swath[train]"`',
        ) from error
    model = onnx.load_from_string(network)
    graph, classes = model.graph, len(card.legend.trained)
    for name, value in (("swath_scale", _scale(card)), ("swath_temperature", card.temperature)):
        graph.initializer.append(helper.make_tensor(name, TensorProto.FLOAT, [], [value]))
    for name, index in (("swath_first", 0), ("swath_last", classes), ("swath_axis", 1)):
        graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [1], [index]))
    scaling = helper.make_node("Mul", ["image", "swath_scale"], ["raw"], "swath_scaling")
    graph.node.insert(0, scaling)
    last = helper.make_node("Softmax", ["swath_cool"], ["probabilities"], axis=1)
    if card.heads == "per-class":
        last = helper.make_node("Sigmoid", ["swath_cool"], ["probabilities"])
    cut = ["scores", "swath_first", "swath_last", "swath_axis"]
    graph.node.extend(
        [
            helper.make_node("Slice", cut, ["swath_classes"]),
            helper.make_node("Div", ["swath_classes", "swath_temperature"], ["swath_cool"]),
            last,
        ]
    )
    del graph.input[:], graph.output[:]
    for values, name, n in (
        (graph.input, "image", len(card.bands)),
        (graph.output, "probabilities", classes),
    ):
        shape = [1, n, side, side]
        values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _check(model: Model, content: bytes, metadata: dict[str, str], side: int) -> None:
    """Compare the exported network with the model's own.

    Raises:
        JobError: they differ, or the metadata cannot be read back.
    """
    import onnxruntime

    card = model.card
    shape = 1, len(card.bands), side, side
    raw = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": raw / _scale(card)})[0]
    scores = OnnxRuntime(model.network())(raw)[:, : len(card.legend.trained)]
    to_shares = _sigmoid if card.heads == "per-class" else _softmax
    difference = np.abs(found - to_shares(scores / card.temperature)).max()
    read = session.get_modelmeta().custom_metadata_map
    if difference > 1e-3 or not metadata.items() <= read.items():
        raise JobError(
            "The exported network differs from the model's",
            code="engine-differs",
            file=model.path,
            fix="Report this, with the model's card",
        )


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    out: NDArray[np.float32] = np.exp(scores - scores.max(axis=1, keepdims=True))
    out /= out.sum(axis=1, keepdims=True)
    return out


def _sigmoid(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    small = np.exp(-np.abs(scores))
    out: NDArray[np.float32] = np.where(scores < 0, small, np.float32(1)) / (1 + small)
    return out
