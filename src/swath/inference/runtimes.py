"""Runtimes: raw pixels in, class scores out. All engines are behind one Protocol."""

from __future__ import annotations

import os
import sys
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
"""Arithmetic of a network; scores are float32 with all."""


class Runtime(Protocol):
    """A network that runs."""

    def __call__(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores (batch, channels, rows, columns) of pixels (batch, bands, rows, columns).

        Rows and columns are multiples of the network's stride. Input and output are float32.
        """


class OpenVinoRuntime:
    """OpenVINO on the CPU. Threads that share one take turns.

    Args:
        onnx: the network.
        threads: number of threads, 0 for all cores.
        precision: `float32`, or `bf16` (which a CPU without it emulates by float32). An int8
            network is quantized itself; its other layers are in bf16 where the CPU has it.
        shape: rows and columns of all inputs, which halves the memory; None for any.

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
        self._network = onnx, threads, precision
        # OpenVINO 2026.4 computes wrong results in int8 on free shapes.
        self._compiles_each_shape = precision == "int8" and shape is None
        self._shape = shape
        self._request: Any = None
        if not self._compiles_each_shape:
            self._request = _measured_or_compiled(*self._network, shape).create_infer_request()
        self._buffers = BufferPool()
        self._lock = Lock()  # scores are in the request until they are taken out of it

    def __call__(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores of raw pixels; see `Runtime`."""
        rows, cols = raw.shape[2:]
        with self._lock:
            if self._compiles_each_shape and self._shape != (rows, cols):
                self._shape = rows, cols
                self._request = _compiled(*self._network, self._shape).create_infer_request()
            try:
                return self._infer(raw)
            except (RuntimeError, ValueError) as error:
                raise _failed("OpenVINO", error) from error

    def _infer(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Let the engine write scores of a known shape into a buffer, and copy others."""
        output = self._request.model_outputs[0]
        is_float32 = output.get_element_type().to_dtype() == np.float32
        if output.get_partial_shape().is_dynamic or not is_float32:
            scores: NDArray[np.float32] = self._request.infer({0: raw}, share_inputs=True)[0]
            return scores
        memory = self._buffers.take(tuple(output.get_shape()))
        self._request.set_output_tensor(0, _tensor(memory))
        self._request.infer({0: raw}, share_inputs=True, share_outputs=True)
        return self._buffers.lend(memory)

    def release(self) -> None:
        """Free the memory between layers and unused buffers, until the next call."""
        with self._lock:
            if self._request is not None:
                self._request.get_compiled_model().release_memory()
            self._buffers = BufferPool()


class OnnxRuntime:
    """ONNX Runtime on the CPU; without bf16.

    Args:
        onnx: the network.
        threads: number of threads, 0 for all cores.

    Raises:
        ModelError: ONNX Runtime does not understand the network.
    """

    def __init__(self, onnx: bytes, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # errors are raised, too
        try:
            # The fallback prints, and is the same provider.
            self._session = onnxruntime.InferenceSession(
                onnx, options, providers=["CPUExecutionProvider"], enable_fallback=False
            )
        except Exception as error:  # noqa: BLE001 - its own errors share no public base
            raise _refused("ONNX Runtime", error) from error

    def __call__(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores of raw pixels; see `Runtime`."""
        scores: NDArray[np.float32] = self.run(raw)
        return scores

    def run(self, values: NDArray[Any], output: str | None = None) -> NDArray[Any]:
        """Return an output, the first by default, of an input of any type.

        Raises:
            ModelError: the network cannot be run.
        """
        name, wanted = self._session.get_inputs()[0].name, None if output is None else [output]
        try:
            found: NDArray[Any] = self._session.run(wanted, {name: values})[0]
        except Exception as error:  # noqa: BLE001 - its own errors share no public base
            raise _failed("ONNX Runtime", error) from error
        return found


def _refused(engine: str, error: Exception) -> ModelError:
    fault = f"{engine} refuses the network ({error})"
    return ModelError(fault, code="network-refused", fix="Fetch or train the model again")


def _failed(engine: str, error: Exception) -> ModelError:
    return ModelError(
        f"{engine} cannot run the network ({' '.join(str(error).split())[:300].rstrip('.')})",
        code="inference-failed",
        fix="Where memory is short, give less --memory or fewer --workers; "
        "else fetch or train the model again",
    )


class TorchRuntime:
    """A torch module, channels last: for validation in training, for checks, and on GPUs.

    Args:
        module: the network, on its device; each call puts it into evaluation mode, and back.
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
            autocast = torch.autocast(device.type, torch.bfloat16, enabled=self._bf16)
            with torch.inference_mode(), autocast:
                batch = torch.from_numpy(raw).to(device, memory_format=torch.channels_last)
                scores: NDArray[np.float32] = self._module(batch).float().cpu().numpy()
                return scores
        finally:
            self._module.train(training)


ENGINES = {"openvino": OpenVinoRuntime, "onnxruntime": OnnxRuntime}
"""Engines that read ONNX. `cuda` is a `TorchRuntime` and needs the weights (see `Model.open`)."""


@dataclass(frozen=True)
class RuntimeSetup:
    """Engine and arithmetic of a run. The bytes of a map depend on all of it.

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
        """Refuse to run where the engine is missing or of another version.

        Raises:
            JobError: it is.
        """
        found = _version(self.engine)
        if found != self.version:
            fault = (
                f"The run began with {self.engine} {self.version}, and here is {found or 'none'}"
            )
            fix = "Install that version, or start over with --restart"
            raise JobError(fault, code="engine-version", fix=fix)


def choose_setup(engine: str = "auto", precision: str = "auto", threads: int = 0) -> RuntimeSetup:
    """Choose the fastest setup of this machine.

    A GPU first, then OpenVINO, then ONNX Runtime; bf16 where the hardware multiplies it; one thread
    a core. int8 has to be asked for, and is computed on the processor.

    Args:
        engine: its name, `auto`, or `cpu` for any but a GPU.
        precision: its name, or `auto`.
        threads: for one request, 0 for all cores.

    Raises:
        JobError: the engine is not here, or has no such precision.
    """
    name, found = _find_engine(engine, gpu=precision != "int8")
    if precision == "auto":
        has_bf16 = name == "cuda" or (name == "openvino" and _cpu_has_bf16())
        precision = "bf16" if has_bf16 else "float32"
    if (name, precision) in (("onnxruntime", "bf16"), ("cuda", "int8")):
        fault = f"The engine {name} does not compute in {precision}"
        fix = "Choose another --engine or --precision"
        raise JobError(fault, code="engine-precision", fix=fix)
    return RuntimeSetup(name, found, precision, threads or cores())  # type: ignore[arg-type]


def _find_engine(engine: str, gpu: bool) -> tuple[str, str]:
    """Return name and version of the first installed engine that is meant."""
    groups = {"auto": [*(["cuda"] if gpu and _has_gpu() else []), *ENGINES], "cpu": list(ENGINES)}
    for name in groups.get(engine, [engine]):
        found = _version(name)
        if found and (name != "cuda" or _has_gpu()):
            return name, found
    fault = "No engine is installed" if engine in groups else f"The engine {engine} is not here"
    fix = "Run `pip install openvino` or `pip install onnxruntime`, or leave --engine out"
    raise JobError(fault, code="no-engine", fix=fix)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_runtime(onnx: bytes, setup: RuntimeSetup, shape: tuple[int, int] | None = None) -> Runtime:
    """Start an engine that reads ONNX.

    Args:
        onnx: the network; where the precision is int8, the one that was quantized.
        setup: what to run it with.
        shape: rows and columns of all inputs, None for any.

    Raises:
        ModelError: the engine does not understand the network.
    """
    if setup.engine == "openvino":
        return OpenVinoRuntime(onnx, setup.threads, setup.precision, shape)
    return OnnxRuntime(onnx, setup.threads)


@lru_cache(maxsize=2)  # it takes seconds, and each of many small images needs it
def bytes_per_pixel(onnx: bytes, setup: RuntimeSetup, shape: tuple[int, int]) -> float:
    """Return the memory that a network needs for each pixel of its input, without weights.

    It is the largest sum of the tensors that are alive at one time, in the graph as OpenVINO runs
    it on an input of `shape`. ONNX Runtime, which plans less, needs about three times it. The next
    OpenVINO runtime of this shape takes the graph instead of making it again.
    """
    key = onnx, setup.threads, setup.precision, shape
    try:
        network = _compiled(*key)
    except ImportError:
        return 1000.0
    _measured.clear()
    if setup.engine == "openvino":
        _measured[key] = network
    graph = network.get_runtime_model()
    steps = graph.get_ordered_ops()
    last_use = {
        i.get_source_output().get_node().get_friendly_name(): n
        for n, op in enumerate(steps)
        for i in op.inputs()
    }
    alive = peak = 0
    ends: dict[int, int] = {}
    for n, op in enumerate(steps):
        if op.get_rt_info()["layerType"].astype(str) == "Const":
            continue
        size = sum(int(np.prod(o.get_shape())) * o.get_element_type().size for o in op.outputs())
        end = last_use.get(op.get_friendly_name(), n)
        ends[end] = ends.get(end, 0) + size
        alive += size
        peak = max(peak, alive)
        alive -= ends.pop(n, 0)
    return (1.1 if setup.engine == "openvino" else 3.0) * peak / (shape[0] * shape[1])


_measured: dict[tuple[bytes, int, Precision, tuple[int, int] | None], Any] = {}
"""The network whose memory was measured last, until a runtime takes it."""


def _measured_or_compiled(
    onnx: bytes, threads: int, precision: Precision, shape: tuple[int, int] | None
) -> Any:
    """Return the network that was measured if it is this one, else make it."""
    network = _measured.pop((onnx, threads, precision, shape), None)
    _measured.clear()
    return _compiled(onnx, threads, precision, shape) if network is None else network


_CORE_LOCK = Lock()


def _openvino() -> Any:
    """Return OpenVINO's core, which is the only one of this process and lasts as long.

    A core gives the thread that first uses it a stack for signals, and frees it when it is dropped.
    With several cores, or where another thread drops one, the first thread keeps a freed stack, and
    the next Ctrl-C crashes.
    """
    with _CORE_LOCK:
        return _core()


@lru_cache(maxsize=1)
def _core() -> Any:
    """Return the core; OpenVINO is imported without its telemetry, which sends that it was."""
    absent = {"openvino_telemetry"} - sys.modules.keys()
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        import openvino
    finally:
        for name in absent:
            del sys.modules[name]
    return openvino.Core()


def _tensor(memory: NDArray[np.float32]) -> Any:
    import openvino

    return openvino.Tensor(memory, shared_memory=True)


def _compiled(
    onnx: bytes, threads: int, precision: Precision, shape: tuple[int, int] | None
) -> Any:
    core = _openvino()
    # With int8 it is for the layers that are not quantized.
    half = precision == "bf16" or (precision == "int8" and _cpu_has_bf16())
    hint = "bf16" if half else "f32"
    config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    try:
        model = core.read_model(onnx)
        if shape is not None:
            bands = model.inputs[0].get_partial_shape()[1].get_length()
            model.reshape([1, bands, *shape])
        return core.compile_model(model, "CPU", config)
    except (RuntimeError, ValueError) as error:  # the latter where a name in it is no UTF-8
        raise _refused("OpenVINO", error) from error


def _version(engine: str) -> str | None:
    """Return the version of an engine's package, None where it is not installed."""
    packages = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu"), "cuda": ("torch",)}
    for package in packages.get(engine, (engine,)):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None


def _cpu_has_bf16() -> bool:
    return "BF16" in _openvino().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


_DRIVERS = (
    *("/proc/driver/nvidia/version", "/dev/nvidiactl"),
    os.path.join(os.environ.get("SYSTEMROOT", "/"), "System32", "nvcuda.dll"),
)
"""Files of which one is there if the driver of NVIDIA is."""


def _has_gpu() -> bool:
    """Return whether torch has a CUDA device; slow torch is imported only if a driver is there."""
    if not any(map(os.path.exists, _DRIVERS)):
        return False
    try:
        import swath._torchvision_shim  # noqa: F401 - before torch

        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())
