"""Files as broken disks, cut downloads and strangers leave them: the bytes of a good file, changed
at random by seed."""

import struct

import numpy as np

EXTREMES = (
    0,
    1,
    2,
    0x7F,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
)
"""Numbers at which programs trip."""


def mutate(content: bytes, other: bytes, dice: np.random.Generator) -> tuple[bytes, str]:
    """Return a file's bytes, changed, and how; `other` is another file to splice with."""
    ways = [
        _truncate,
        _flip,
        _flip,
        _flip_head,
        _flip_head,
        _extreme,
        _zero,
        _double,
        _drop,
        _extend,
        _swap,
    ]
    if content[:4] in (b"II*\0", b"MM\0*"):
        ways += [_tag] * 8 + [_loop]
    way = ways[dice.integers(len(ways))]
    if dice.random() < 0.05:
        way = None
        at, cut = int(dice.integers(len(content))), int(dice.integers(len(other)))
        return content[:at] + other[cut:], "splice"
    out = bytearray(content)
    for _ in range(1 if way is _truncate else int(dice.integers(1, 4))):
        if len(out) > 8:
            out = way(out, dice)
    return bytes(out), way.__name__[1:]


def _truncate(out: bytearray, dice: np.random.Generator) -> bytearray:
    return out[: int(dice.integers(len(out)))]


def _flip(out: bytearray, dice: np.random.Generator) -> bytearray:
    for _ in range(int(dice.integers(1, 20))):
        out[int(dice.integers(len(out)))] ^= 1 << int(dice.integers(8))
    return out


def _flip_head(out: bytearray, dice: np.random.Generator) -> bytearray:
    for _ in range(int(dice.integers(1, 6))):
        out[int(dice.integers(min(512, len(out))))] ^= 1 << int(dice.integers(8))
    return out


def _extreme(out: bytearray, dice: np.random.Generator) -> bytearray:
    at = int(dice.integers(min(1024, len(out) - 4)))
    out[at : at + 4] = struct.pack(
        ("<I", ">I")[dice.integers(2)], EXTREMES[dice.integers(len(EXTREMES))]
    )
    return out


def _zero(out: bytearray, dice: np.random.Generator) -> bytearray:
    at, length = int(dice.integers(len(out))), int(dice.integers(1, 2 + len(out) // 4))
    out[at : at + length] = bytes(len(out[at : at + length]))
    return out


def _double(out: bytearray, dice: np.random.Generator) -> bytearray:
    at, length = int(dice.integers(len(out))), int(dice.integers(1, 200))
    return out[: at + length] + out[at:]


def _drop(out: bytearray, dice: np.random.Generator) -> bytearray:
    at, length = int(dice.integers(len(out))), int(dice.integers(1, 200))
    return out[:at] + out[at + length :]


def _extend(out: bytearray, dice: np.random.Generator) -> bytearray:
    return out + dice.bytes(int(dice.integers(1, 500)))


def _swap(out: bytearray, dice: np.random.Generator) -> bytearray:
    """The other byte order, said in the first two bytes alone."""
    out[:2] = {b"II": b"MM", b"MM": b"II"}.get(bytes(out[:2]), bytes(out[1::-1]))
    return out


def _entries(out: bytearray) -> tuple[str, list[int]]:
    """Return the byte order of a classic TIFF and where the entries of its first page are."""
    order = "<" if out[:2] == b"II" else ">"
    start = struct.unpack_from(order + "I", out, 4)[0]
    if start + 2 > len(out):
        return order, []
    count = struct.unpack_from(order + "H", out, start)[0]
    return order, [at for at in range(start + 2, start + 2 + 12 * count, 12) if at + 12 <= len(out)]


def _tag(out: bytearray, dice: np.random.Generator) -> bytearray:
    """Another tag, type, count or value in one entry of the first page."""
    order, entries = _entries(out)
    if not entries:
        return out
    at = entries[dice.integers(len(entries))]
    extreme = EXTREMES[dice.integers(len(EXTREMES))]
    part = dice.integers(6)
    if part == 0:
        struct.pack_into(order + "H", out, at, int(dice.integers(254, 34000)))
    elif part == 1:
        struct.pack_into(order + "H", out, at + 2, int(dice.integers(0, 20)))
    elif part == 2:
        struct.pack_into(order + "I", out, at + 4, extreme)
    elif part == 3:
        struct.pack_into(order + "I", out, at + 8, extreme)
    elif part == 4:
        struct.pack_into(order + "H", out, at + 8, int(dice.integers(0, 70)))
    else:
        source = entries[dice.integers(len(entries))]
        out[at : at + 12] = out[source : source + 12]
    return out


def _loop(out: bytearray, dice: np.random.Generator) -> bytearray:
    """The next page is the first one, or anywhere."""
    order, entries = _entries(out)
    if entries and entries[-1] + 16 <= len(out):
        where = (
            struct.unpack_from(order + "I", out, 4)[0]
            if dice.random() < 0.5
            else int(dice.integers(len(out)))
        )
        struct.pack_into(order + "I", out, entries[-1] + 12, where)
    return out
