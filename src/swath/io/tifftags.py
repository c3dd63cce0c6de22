"""The numbers in the first page of a TIFF, or of EXIF, which is built like one: what GDAL does not tell of a file.

Source: TIFF 6.0, section 2, and the BigTIFF design of libtiff.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

ORIENTATION, ROWS_PER_STRIP, PLANES = 274, 278, 284
WIDTH, HEIGHT, SAMPLES = 256, 257, 277
COMPRESSION, OLD_JPEG = 259, 6
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, STRIP_OFFSETS = 322, 323, 324, 273

_MOST = 4096
_WHOLE = {1: "B", 3: "H", 4: "I", 16: "Q"}


@dataclass(frozen=True)
class Tag:
    """How many values a tag has, and the first of them where it lies in the page itself and is a whole number, else None."""

    length: int
    value: int | None


def read_tags(file: BinaryIO) -> dict[int, Tag]:
    """Return the tags of the first page by number; empty where the file is no TIFF, or ends too soon."""
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 16:
        return {}
    version = struct.unpack_from(order + "H", head, 2)[0]
    if version not in (42, 43):
        return {}
    first, count, entry = ("I", "H", "HHI") if version == 42 else ("Q", "Q", "HHQ")
    at = struct.unpack_from(order + first, head, 4 if version == 42 else 8)[0]
    if at >= 1 << 63:
        return {}
    file.seek(at)
    start, width = struct.calcsize("=" + count), struct.calcsize("=" + entry + first)
    page = file.read(start + _MOST * width)
    if len(page) < start:
        return {}
    out: dict[int, Tag] = {}
    for i in range(min(struct.unpack_from(order + count, page)[0], (len(page) - start) // width)):
        here = start + i * width
        tag, kind, values = struct.unpack_from(order + entry, page, here)
        fits = (
            values == 1
            and kind in _WHOLE
            and struct.calcsize(_WHOLE[kind]) <= struct.calcsize("=" + first)
        )
        value = (
            struct.unpack_from(order + _WHOLE[kind], page, here + struct.calcsize("=" + entry))[0]
            if fits
            else None
        )
        out.setdefault(tag, Tag(values, value))
    return out
