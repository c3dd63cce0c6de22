"""Finished tiles of unfinished maps: one file a tile, put whole, checked when read.

Many workers may share the folder. A part that is there with the right checksum is done: that alone
lets a job continue after a kill, and on many machines.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import JobError
from swath.io.work_folder import FileStore, store_error
from swath.types import PathLike

PARTS_PER_FOLDER = 1000

PARTS = "*/*.part"
"""Pattern of the names of all parts in a store."""

LayerArrays = dict[str, NDArray[Any]]
"""Content of a part: arrays by name, such as `class` and `confidence`."""


class TileStore:
    """The parts of one plan.

    Args:
        store: where they lie.
        plan: digest of the plan they belong to; a part of another plan counts as absent.
    """

    def __init__(self, store: FileStore, plan: str) -> None:
        self._store = store
        self._plan = plan

    def put(self, index: int, layers: Mapping[str, NDArray[Any]]) -> None:
        """Write the part of a tile.

        Raises:
            JobError: the part cannot be written.
        """
        try:
            self._store.put(_name(index), encode(self._plan, layers))
        except OSError as error:
            raise store_error(self._store, error) from error

    def get(self, index: int) -> LayerArrays | None:
        """Return the part of a tile; None where it is absent, damaged, or of another plan."""
        content = self._store.get(_name(index))
        return None if content is None else decode(self._plan, content)

    def require(self, index: int, target: PathLike) -> LayerArrays:
        """Return the part of a tile that was done for an output.

        Raises:
            JobError: it is absent, damaged, or of another plan.
        """
        part = self.get(index)
        if part is None:
            message, fix = f"Part {index} was damaged after it was done", "Give the command again"
            raise JobError(message, code="damaged-part", file=target, fix=fix)
        return part

    def missing(self, count: int) -> Iterator[int]:
        """Yield the tiles of 0..count-1 that have no good part."""
        return (i for i in range(count) if self.get(i) is None)


def _name(index: int) -> str:
    return f"{index // PARTS_PER_FOLDER:06d}/{index:09d}.part"


def encode(plan: str, layers: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a part as bytes: a line of JSON and the arrays, deflated.

    The line holds the digest of the plan, name, dtype and shape of each array, and the SHA-256 of
    the rest.
    """
    body = zlib.compress(b"".join(np.ascontiguousarray(a).tobytes() for a in layers.values()), 1)
    head = {
        "plan": plan,
        "layers": [[name, a.dtype.str, list(a.shape)] for name, a in layers.items()],
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    return json.dumps(head).encode() + b"\n" + body


def decode(plan: str, content: bytes) -> LayerArrays | None:
    """Return the arrays of a part; None where it is damaged, or of another plan."""
    line, _, body = content.partition(b"\n")
    try:
        head = json.loads(line)
        if head["plan"] != plan or head["sha256"] != hashlib.sha256(body).hexdigest():
            return None
    except (ValueError, KeyError, TypeError):
        return None
    data, at, out = zlib.decompress(body), 0, {}
    for name, dtype, shape in head["layers"]:
        count = int(np.prod(shape))
        out[name] = np.frombuffer(data, dtype, count, at).reshape(shape)
        at += out[name].nbytes
    return out
