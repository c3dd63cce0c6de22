"""Runtimes: raw pixels in, class scores out. All engines are behind one Protocol."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from threading import Lock
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from swath.errors import JobError, ModelError
from swath.inference.memory import BufferPool

Precision: TypeAlias = Literal["float32", "bf16", "int8"]
"""In what numbers a network computes; scores come out as float32 from all."""


class Runtime(Protocol):
    """A network that runs."""

    def __call__(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores (batch, classes, height, width) of raw pixels (batch, bands, height, width).

        Height and width are multiples of the network's stride. Input and output are float32.
        """


class OpenVinoRuntime:
    """OpenVINO on the CPU. Threads that share one take turns.

    Args:
        onnx: the network.
        threads: how many to use, 0 for all cores.
        precision: `float32`, or `bf16` (which a CPU without it emulates by float32). A network of
            int8 says so itself; its other layers are in bf16 where the CPU has it.
        shape: rows and columns of all that will be asked, which needs less than half the memory;
            None for any.

    Raises:
        ModelError: OpenVINO does not understand the network.
    """

    def __init__(
        self,
        onnx: bytes,
        threads: int = 0,
        precision: Precision = "float32",
        shape: tuple[int, int] | None = None,
    ) -> None:
        self._made_from = onnx, threads, precision
        self._changes = (
            precision == "int8" and shape is None
        )  # OpenVINO 2026.4 computes nonsense in int8 on free shapes
        self._shape = shape
        self._request: Any = (
            None
            if self._changes
            else _compiled(onnx, threads, precision, shape).create_infer_request()
        )
        self._spare = BufferPool()
        self._one_at_a_time = Lock()  # scores lie in the request until they are taken out of it

    def __call__(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores of raw pixels; see `Runtime`."""
        rows, cols = raw.shape[2:]
        with self._one_at_a_time:
            if self._changes and self._shape != (rows, cols):
                self._shape = rows, cols
                self._request = _compiled(*self._made_from, self._shape).create_infer_request()
            try:
                return self._infer(raw)
            except (RuntimeError, ValueError) as error:
                raise _failed("OpenVINO", error) from error

    def _infer(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Let the engine write scores of a known shape where they are to lie, and copy others."""
        output = self._request.model_outputs[0]
        if (
            output.get_partial_shape().is_dynamic
            or output.get_element_type().to_dtype() != np.float32
        ):
            scores: NDArray[np.float32] = self._request.infer({0: raw}, share_inputs=True)[0]
            return scores
        memory = self._spare.take(tuple(output.get_shape()))
        self._request.set_output_tensor(0, _tensor(memory))
        self._request.infer({0: raw}, share_inputs=True, share_outputs=True)
        return self._spare.lend(memory)

    def release(self) -> None:
        """Give back the memory of tensors between the layers, and spare memory of scores; the next call takes it again."""
        with self._one_at_a_time:
            if self._request is not None:
                self._request.get_compiled_model().release_memory()
            self._spare = BufferPool()


class OnnxRuntime:
    """ONNX Runtime on the CPU; without bf16.

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
            self._session = onnxruntime.InferenceSession(
                onnx,
                options,
                providers=["CPUExecutionProvider"],
                enable_fallback=False,  # which prints, and is the same again
            )
        except Exception as error:  # noqa: BLE001 - its own errors share no public base
            raise ModelError(
                f"ONNX Runtime refuses the network ({error})", fix="Fetch or train the model again"
            ) from error

    def __call__(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores of raw pixels; see `Runtime`."""
        name = self._session.get_inputs()[0].name
        try:
            scores: NDArray[np.float32] = self._session.run(None, {name: raw})[0]
        except Exception as error:  # noqa: BLE001 - its own errors share no public base
            raise _failed("ONNX Runtime", error) from error
        return scores


def _failed(engine: str, error: Exception) -> ModelError:
    return ModelError(
        f"{engine} cannot run the network ({' '.join(str(error).split())[:300].rstrip('.')})",
        fix="Where memory is short, give less --memory or fewer --workers; else fetch or train the model again",
    )


class TorchRuntime:
    """A torch module as it stands, channels last: for validation while it learns, to check the others against, and on GPUs.

    Args:
        module: the network, on its device; it is put into evaluation mode for each call, and back.
        precision: `float32`, or `bf16` by autocast.
    """

    def __init__(self, module: Any, precision: Precision = "float32") -> None:
        self._module = module
        self._bf16 = precision == "bf16"

    def __call__(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores of raw pixels; see `Runtime`."""
        import torch

        training = self._module.training
        self._module.eval()
        try:
            device = next(self._module.parameters()).device
            with (
                torch.inference_mode(),
                torch.autocast(device.type, torch.bfloat16, enabled=self._bf16),
            ):
                batch = torch.from_numpy(raw).to(device, memory_format=torch.channels_last)
                scores: NDArray[np.float32] = self._module(batch).float().cpu().numpy()
                return scores
        finally:
            self._module.train(training)


ENGINES: dict[str, type[OpenVinoRuntime] | type[OnnxRuntime]] = {
    "openvino": OpenVinoRuntime,
    "onnxruntime": OnnxRuntime,
}
"""Engines that read ONNX. `cuda` is a `TorchRuntime` and needs the weights (see `Model.open`)."""


@dataclass(frozen=True)
class RuntimeSetup:
    """How a network is run. The bytes of a map depend on all of it.

    Attributes:
        engine: `openvino`, `onnxruntime` or `cuda`.
        version: of its package.
        precision: of its arithmetic.
        threads: for one request.
    """

    engine: str
    version: str
    precision: Precision
    threads: int

    def check(self) -> None:
        """Refuse to run where this setup is not to be had.

        Raises:
            JobError: the engine is missing or of another version.
        """
        found = _version(self.engine)
        if found != self.version:
            raise JobError(
                f"this run was begun with {self.engine} {self.version}, and here is {found or 'none'}",
                fix="Install that version, or start over with --restart",
            )


def choose_setup(engine: str = "auto", precision: str = "auto", threads: int = 0) -> RuntimeSetup:
    """Pick the fastest setup of this machine.

    A GPU first, then OpenVINO, then ONNX Runtime; bf16 where the hardware multiplies it; one thread
    a core. int8 is never picked, only asked for, and computed on the processor. `cpu` as an engine
    leaves the GPU out.

    Raises:
        JobError: the engine that is asked for is not here, or has no such precision.
    """
    any_of = {
        "auto": [*(["cuda"] if precision != "int8" and _has_gpu() else []), *ENGINES],
        "cpu": list(ENGINES),
    }
    names = any_of.get(engine, [engine])
    found = next((name for name in names if _version(name)), None)
    if found is None or (found == "cuda" and not _has_gpu()):
        raise JobError(
            "no engine to run the model is installed"
            if engine in any_of
            else f"the engine {engine} is not to be had here",
            fix="Run `pip install openvino` or `pip install onnxruntime`, or leave --engine out",
        )
    if precision == "auto":
        precision = (
            "bf16" if found == "cuda" or (found == "openvino" and _cpu_has_bf16()) else "float32"
        )
    if (found, precision) in (("onnxruntime", "bf16"), ("cuda", "int8")):
        raise JobError(
            f"{found} does not compute in {precision}", fix="Choose another --engine or --precision"
        )
    return RuntimeSetup(found, _version(found) or "", precision, threads or cores())  # type: ignore[arg-type]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_runtime(onnx: bytes, setup: RuntimeSetup, shape: tuple[int, int] | None = None) -> Runtime:
    """Start an engine that reads ONNX.

    Args:
        onnx: the network; where the precision is int8, the one that was quantized.
        setup: what to run it with.
        shape: rows and columns of all that will be asked, None for any.

    Raises:
        ModelError: the engine does not understand the network.
    """
    if setup.engine == "openvino":
        return OpenVinoRuntime(onnx, setup.threads, setup.precision, shape)
    return OnnxRuntime(onnx, setup.threads)


@lru_cache(maxsize=2)  # it takes seconds, and many small images may ask
def bytes_per_pixel(onnx: bytes, setup: RuntimeSetup, side: int) -> float:
    """Return the memory that a network needs for each pixel of its input, weights not counted.

    It is the largest sum of all tensors that are alive at one time, in the graph as OpenVINO runs
    it on a square of `side` pixels. OpenVINO itself needs that; ONNX Runtime, which plans less,
    about three times as much.
    """
    try:
        graph = _compiled(onnx, setup.threads, setup.precision, (side, side)).get_runtime_model()
    except ImportError:
        return 1000.0
    steps = graph.get_ordered_ops()
    last_use = {
        i.get_source_output().get_node().get_friendly_name(): n
        for n, op in enumerate(steps)
        for i in op.inputs()
    }
    alive = most = 0
    ends: dict[int, int] = {}
    for n, op in enumerate(steps):
        if op.get_rt_info()["layerType"].astype(str) == "Const":
            continue
        size = sum(int(np.prod(o.get_shape())) * o.get_element_type().size for o in op.outputs())
        end = last_use.get(op.get_friendly_name(), n)
        ends[end] = ends.get(end, 0) + size
        alive += size
        most = max(most, alive)
        alive -= ends.pop(n, 0)
    return (1.1 if setup.engine == "openvino" else 3.0) * most / side**2


_ONE_CORE = Lock()


def _openvino() -> Any:
    """Return OpenVINO's core, the only one of this process, which lasts as long.

    A core gives the thread that first uses it a stack for signals, and frees it when it is dropped.
    Where there are several, or another thread drops it, the first goes on with a stack that is
    gone: the next Ctrl-C would be a crash.
    """
    with _ONE_CORE:
        return _core()


@lru_cache(maxsize=1)
def _core() -> Any:
    import openvino

    return openvino.Core()


def _tensor(memory: NDArray[np.float32]) -> Any:
    import openvino

    return openvino.Tensor(memory, shared_memory=True)


def _compiled(
    onnx: bytes, threads: int, precision: Precision, shape: tuple[int, int] | None
) -> Any:
    core = _openvino()
    half = precision == "bf16" or (
        precision == "int8" and _cpu_has_bf16()
    )  # for the layers that are not in int8
    config: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    try:
        model = core.read_model(onnx)
        if shape is not None:
            bands = model.inputs[0].get_partial_shape()[1].get_length()
            model.reshape([1, bands, *shape])
        return core.compile_model(model, "CPU", config)
    except (
        RuntimeError,
        ValueError,
    ) as error:  # the latter where its message quotes a name that is no text
        raise ModelError(
            f"OpenVINO refuses the network ({error})", fix="Fetch or train the model again"
        ) from error


def _version(engine: str) -> str | None:
    """Return the version of an engine's package, None where it is not installed."""
    for package in {"onnxruntime": ("onnxruntime", "onnxruntime-gpu"), "cuda": ("torch",)}.get(
        engine, (engine,)
    ):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None


def _cpu_has_bf16() -> bool:
    return "BF16" in _openvino().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _has_gpu() -> bool:
    """Tell whether torch sees a CUDA device; torch is asked only where a driver is installed, for its import takes seconds."""
    if not any(map(os.path.exists, ("/proc/driver/nvidia/version", "/dev/nvidiactl"))):
        return False
    try:
        import swath._torchvision_shim  # noqa: F401 - before torch

        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())
