"""Checks of an ONNX file from an unknown source, before an engine runs it.

An engine would follow a path to external data, and run a loop for ever. A map needs neither, so
files with them are refused. Only messages are parsed, with the standard library.

Source: the wire format of protocol buffers, and `onnx.proto` (numbers of fields).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

from swath.errors import ModelError

ProtoField: TypeAlias = tuple[int, int, memoryview | int]
"""Number, wire type, and content of a field."""

MAX_PARTS = 200_000
"""Most nodes and tensors of a network."""

FLOAT = 1
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


class _Refused(Exception):
    """A network is not to be run: a code, and what the network is or has."""


def check_onnx(onnx: bytes, bands: int, channels: int, file: str) -> None:
    """Refuse a network that is damaged, dangerous, or not as its card describes it.

    Args:
        onnx: the network.
        bands: channels of its one input (batch, bands, height, width).
        channels: those of its one output (batch, channels, height, width), where it has a size.
        file: the model file, for errors.

    Raises:
        ModelError: the network is refused.
    """

    def check(parts: list[ProtoField]) -> None:
        _check_end(parts, 11, "input", (bands,))
        _check_end(parts, 12, "output", (channels, None))  # exporters leave some sizes free

    _check(onnx, file, "Fetch or train the model again", check)


def check_foreign(onnx: bytes, file: str) -> None:
    """Refuse a network that is damaged or dangerous; its ends may be any.

    Args:
        onnx: the network, without weights in other files.
        file: its file, for errors.

    Raises:
        ModelError: the network is refused.
    """
    fix = "Export a plain network for inference: one graph of standard operators, without control "
    _check(onnx, file, f"{fix}flow", lambda _: None)


def _check(
    onnx: bytes, file: str, fix: str, check_ends: Callable[[list[ProtoField]], None]
) -> None:
    try:
        check_ends(_check_model(memoryview(onnx)))
    except (ValueError, IndexError) as error:
        code, reason = "not-onnx", f"is not ONNX ({error})"
    except _Refused as error:
        code, reason = error.args
    else:
        return
    raise ModelError(f"The network {reason}", code=code, file=file, fix=fix)


def _check_model(data: memoryview) -> list[ProtoField]:
    """Check all but the ends of a network, and return the parts of its graph."""
    graphs = [_message(f) for f in _fields(data) if f[0] == 7]
    if len(graphs) != 1:
        raise ValueError(f"{len(graphs)} graphs")
    if any(number in (20, 25) for number, *_ in _fields(data)):
        raise _Refused("onnx-functions", "has functions or training steps")
    parts = list(islice(_fields(graphs[0]), MAX_PARTS + 1))
    if len(parts) > MAX_PARTS:
        raise _Refused("onnx-size", f"has more than {MAX_PARTS} parts")
    for part in parts:
        if part[0] == 15:
            raise _Refused("onnx-sparse-weights", "has sparse weights")
        if part[0] == 1:
            _check_node(_message(part))
        elif part[0] == 5:
            _check_tensor(_message(part))
    return parts


def _check_end(
    parts: Sequence[ProtoField], number: int, end: str, wanted: tuple[int | None, ...]
) -> None:
    """Refuse other than one input, or output, of (any, wanted, any, any) float32."""
    values = [_message(part) for part in parts if part[0] == number]
    if len(values) != 1:
        raise _Refused(f"network-{end}s", f"has {len(values)} {end}s, not one")
    kind, sizes = _shape(values[0])
    if kind != FLOAT or len(sizes) != 4 or sizes[1] not in wanted:
        shown = ", ".join("any" if size is None else str(size) for size in sizes)
        raise _Refused(
            f"network-{end}",
            f"has an {end} ({shown}) of type {kind}, and by the card it is "
            f"(any, {wanted[0]}, any, any) of type {FLOAT}",
        )


def _check_node(data: memoryview) -> None:
    """Refuse operators that are not of the standard, or hold a graph (Loop, Scan, If)."""
    for field in _fields(data):
        if field[0] == 7 and bytes(_message(field)) not in (b"", b"ai.onnx"):
            domain = bytes(_message(field)[:40]).decode("utf-8", "replace")
            raise _Refused("onnx-operator", f"has an operator of {domain!r}, not of the standard")
        if field[0] == 5:
            for inner in _fields(_message(field)):
                if inner[0] in (6, 11):
                    raise _Refused("onnx-control-flow", "has a loop or a branch")
                if inner[0] in (22, 23):
                    raise _Refused("onnx-sparse-weights", "has sparse weights")
                if inner[0] in (5, 10):
                    _check_tensor(_message(inner))


def _check_tensor(data: memoryview) -> None:
    for number, _, content in _fields(data):
        if number in (_EXTERNAL_DATA, _DATA_LOCATION) and content not in (0, b""):
            raise _Refused("onnx-external-data", "has weights in other files")


def _shape(value: memoryview) -> tuple[int, list[int | None]]:
    """Return type and sizes of an input or output; None for a size that is free."""
    kind, sizes = 0, []
    for typed in (f for f in _fields(value) if f[0] == 2):
        for tensor in (f for f in _fields(_message(typed)) if f[0] == 1):
            for field in _fields(_message(tensor)):
                if field[0] == 1:
                    kind = _number(field)
                elif field[0] == 2:
                    dims = (dim for dim in _fields(_message(field)) if dim[0] == 1)
                    sizes += [_size(_message(dim)) for dim in dims]
    return kind, sizes


def _size(dim: memoryview) -> int | None:
    return next((_number(f) for f in _fields(dim) if f[0] == 1), None)


def _fields(data: memoryview) -> Iterator[ProtoField]:
    """Yield the fields of a message; raise ValueError if it is not one."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"a field of wire type {wire}")
        if at + length > len(data):
            raise ValueError("truncated")
        yield number, wire, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number is too long")


def _message(field: ProtoField) -> memoryview:
    if isinstance(field[2], int):
        raise ValueError("a message is a number")
    return field[2]


def _number(field: ProtoField) -> int:
    if not isinstance(field[2], int):
        raise ValueError("a number is a message")
    return field[2]
