"""Runtimes: raw pixels in, class scores out. All engines are behind one Protocol."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swath.errors import JobError, ModelError


class Runtime(Protocol):
    """A network that runs."""

    def __call__(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores (batch, classes, height, width) of raw pixels (batch, bands, height, width).

        Height and width are multiples of the network's stride. Everything is float32.
        """


class OpenVinoRuntime:
    """OpenVINO on the CPU, in float32.

    Args:
        onnx: the network.
        threads: how many to use, 0 for all cores.

    Raises:
        ModelError: OpenVINO does not understand the network.
    """

    def __init__(self, onnx: bytes, threads: int = 0) -> None:
        import openvino

        core = openvino.Core()
        config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        try:
            self._request = core.compile_model(core.read_model(onnx), "CPU", config).create_infer_request()
        except RuntimeError as error:
            raise ModelError(f"OpenVINO refuses the network ({error})", fix="Train it again") from error

    def __call__(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores of raw pixels; see `Runtime`."""
        scores: NDArray[np.float32] = self._request.infer({0: raw})[0]
        return scores


class OnnxRuntime:
    """ONNX Runtime on the CPU, in float32.

    Args:
        onnx: the network.
        threads: how many to use, 0 for all cores.

    Raises:
        ModelError: ONNX Runtime does not understand the network.
    """

    def __init__(self, onnx: bytes, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - its own errors share no public base
            raise ModelError(f"ONNX Runtime refuses the network ({error})", fix="Train it again") from error

    def __call__(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores of raw pixels; see `Runtime`."""
        name = self._session.get_inputs()[0].name
        scores: NDArray[np.float32] = self._session.run(None, {name: raw})[0]
        return scores


class TorchRuntime:
    """A torch module as it stands, in float32: for validation while it learns, and to check the others against.

    Args:
        module: the network; it is put into evaluation mode for each call, and back.
    """

    def __init__(self, module: Any) -> None:
        self._module = module

    def __call__(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores of raw pixels; see `Runtime`."""
        import torch

        training = self._module.training
        self._module.eval()
        try:
            with torch.inference_mode():
                device = next(self._module.parameters()).device
                batch = torch.from_numpy(raw).to(device, memory_format=torch.channels_last)
                scores: NDArray[np.float32] = self._module(batch).float().cpu().numpy()
                return scores
        finally:
            self._module.train(training)


ENGINES: dict[str, type[OpenVinoRuntime] | type[OnnxRuntime]] = {
    "openvino": OpenVinoRuntime,
    "onnxruntime": OnnxRuntime,
}


def open_runtime(onnx: bytes, engine: str = "auto") -> Runtime:
    """Start an engine.

    Args:
        onnx: the network.
        engine: `openvino`, `onnxruntime`, or `auto` for the first of them that is installed.

    Raises:
        JobError: the engine is not installed.
        ModelError: the engine does not understand the network.
    """
    for name in ENGINES if engine == "auto" else (engine,):
        try:
            return ENGINES[name](onnx)
        except ImportError:
            continue
    raise JobError("no engine to run the model is installed", fix="Run `pip install openvino` or `pip install onnxruntime`")
