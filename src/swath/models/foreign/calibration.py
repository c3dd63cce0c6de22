"""Change the scores that a network gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def scale_scores(onnx: bytes, gain: Sequence[float], offset: Sequence[float]) -> bytes:
    """Return a network whose scores are multiplied by `gain`, with `offset` added, by class.

    Args:
        onnx: a network of a model file.
        gain: one number a class.
        offset: one number a class.
    """
    from onnx import helper, load_from_string, numpy_helper

    model = load_from_string(onnx)
    graph = model.graph
    number = len(graph.node)
    inner, scaled = f"swath/inner_{number}", f"swath/scaled_{number}"
    for node in graph.node:
        node.output[:] = [inner if name == "scores" else name for name in node.output]
        node.input[:] = [inner if name == "scores" else name for name in node.input]
    names = []
    for what, values in (("gain", gain), ("offset", offset)):
        names.append(f"swath/{what}_{number}")
        array = np.array(values, np.float32).reshape(1, -1, 1, 1)
        graph.initializer.append(numpy_helper.from_array(array, names[-1]))
    graph.node.append(helper.make_node("Mul", [inner, names[0]], [scaled]))
    graph.node.append(helper.make_node("Add", [scaled, names[1]], ["scores"]))
    content: bytes = model.SerializeToString(deterministic=True)
    return content
