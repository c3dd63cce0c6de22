"""What an ONNX file says of itself, read before an engine is given a stranger's one.

An engine would follow a path to external data, and would run a loop for ever. A map needs neither,
so files with them are refused here. Only messages are walked, so that nothing but the standard
library is needed.

Source: the protocol buffers' wire format, and `onnx.proto` (numbers of fields).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

Field = tuple[int, int, memoryview | int]
"""Number, wire type, and content of a field."""

MOST = 200_000
"""Nodes and tensors of a network; more is no network that Swath makes."""

FLOAT = 1
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def refusal(onnx: bytes, bands: int, channels: int) -> str | None:
    """Say why a network is not to be run, None where nothing speaks against it.

    Args:
        onnx: the file.
        bands: that its one input (batch, bands, height, width) must have.
        channels: that its one output (batch, channels, height, width) must have, if it says.
    """
    try:
        return _model(memoryview(onnx), bands, channels)
    except (ValueError, IndexError) as error:
        return f"it is no ONNX file ({error})"


def _model(data: memoryview, bands: int, channels: int) -> str | None:
    graphs = [_message(f) for f in _fields(data) if f[0] == 7]
    if len(graphs) != 1:
        return "it is no ONNX file"
    if any(number in (20, 25) for number, *_ in _fields(data)):
        return "it has functions or training steps, which no map needs"
    parts = list(islice(_fields(graphs[0]), MOST + 1))
    if len(parts) > MOST:
        return f"it has more than {MOST} parts"
    if any(number == 15 for number, *_ in parts):
        return "it has sparse weights"
    check = {1: _node, 5: _tensor}
    reasons = (check[part[0]](_message(part)) for part in parts if part[0] in check)
    found = next((reason for reason in reasons if reason), None)
    return (
        found or _side(parts, 11, "input", (bands,)) or _side(parts, 12, "output", (channels, None))
    )


def _side(
    parts: Sequence[Field], number: int, what: str, wanted: tuple[int | None, ...]
) -> str | None:
    """Refuse other than one input, or output, of (any, wanted, any, any) float32; exporters leave some outputs' sizes free."""
    values = [_message(part) for part in parts if part[0] == number]
    if len(values) != 1:
        return f"it has {len(values)} {what}s, and one is needed"
    kind, sizes = _shape(values[0])
    if kind == FLOAT and len(sizes) == 4 and sizes[1] in wanted:
        return None
    shown = ", ".join("any" if size is None else str(size) for size in sizes)
    return f"its {what} is ({shown}) of type {kind}, and by its card it is (any, {wanted[0]}, any, any) of type {FLOAT}"


def _node(data: memoryview) -> str | None:
    """Refuse what is not of the standard, or holds a graph of its own (Loop, Scan, If)."""
    for field in _fields(data):
        if field[0] == 7 and bytes(_message(field)) not in (b"", b"ai.onnx"):
            return f"it has an operator of {_text(field)}, which is not of the standard"
        if field[0] == 5:
            for inner in _fields(_message(field)):
                if inner[0] in (6, 11):
                    return "it has a loop or a branch, which no map needs"
                if inner[0] in (22, 23):
                    return "it has sparse weights"
                reason = _tensor(_message(inner)) if inner[0] in (5, 10) else None
                if reason:
                    return reason
    return None


def _tensor(data: memoryview) -> str | None:
    if any(
        number in (_EXTERNAL_DATA, _DATA_LOCATION) and content not in (0, b"")
        for number, _, content in _fields(data)
    ):
        return "it has weights in other files"
    return None


def _shape(value: memoryview) -> tuple[int, list[int | None]]:
    """Return type and sizes of an input or output; None for a size that is free."""
    kind, sizes = 0, []
    for typed in (f for f in _fields(value) if f[0] == 2):
        for tensor in (f for f in _fields(_message(typed)) if f[0] == 1):
            for field in _fields(_message(tensor)):
                if field[0] == 1:
                    kind = _number(field)
                elif field[0] == 2:
                    sizes += [
                        _size(_message(dim)) for dim in _fields(_message(field)) if dim[0] == 1
                    ]
    return kind, sizes


def _size(dim: memoryview) -> int | None:
    return next((_number(f) for f in _fields(dim) if f[0] == 1), None)


def _fields(data: memoryview) -> Iterator[Field]:
    """Yield the fields of a message.

    Raises:
        ValueError: it is none.
    """
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
            raise ValueError(f"a field of kind {wire}")
        if at + length > len(data):
            raise ValueError("it is cut off")
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


def _message(field: Field) -> memoryview:
    content = field[2]
    if isinstance(content, int):
        raise ValueError("a message is a number")
    return content


def _number(field: Field) -> int:
    content = field[2]
    if not isinstance(content, int):
        raise ValueError("a number is a message")
    return content


def _text(field: Field) -> str:
    return repr(bytes(_message(field)[:40]).decode("utf-8", "replace"))
