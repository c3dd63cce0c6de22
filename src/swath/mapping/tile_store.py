"""The parts of a long job: one small file a tile, put whole, checked when read, in a folder that many workers may share.

A part that is there with the right checksum is done. That alone gives resume after a kill, and work
on many machines.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swath.errors import JobError

SHARD = 1000
"""Parts in one sub-folder."""

PLAN = "plan.json"

LayerArrays = dict[str, NDArray[Any]]
"""What a part holds: arrays by name, such as `class` and `confidence`."""


class FileStore(Protocol):
    """A place for files that are put whole or not at all. Names are relative, with slashes."""

    root: str

    def get(self, name: str) -> bytes | None:
        """Return a file's content, None where there is none."""

    def put(self, name: str, content: bytes) -> None:
        """Write a file; OSError where the place does not take it."""

    def put_first(self, name: str, content: bytes) -> bytes:
        """Write a file unless it is there, and return what is there then."""

    def holds_parts(self) -> bool:
        """Tell whether any part is there."""

    def clear(self) -> None:
        """Remove the place with all that is in it."""


class LocalFolder:
    """A folder on a disk, its own or a shared one. Files are renamed into place.

    Args:
        root: the folder; made when the first file is put.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._path = Path(root)

    def get(self, name: str) -> bytes | None:
        """Return a file's content; see `FileStore`."""
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, name: str, content: bytes) -> None:
        """Write a file; see `FileStore`."""
        partial = self._write(name, content)
        os.replace(partial, self._path / name)

    def put_first(self, name: str, content: bytes) -> bytes:
        """Write a file unless it is there; see `FileStore`."""
        partial = self._write(name, content)
        try:
            os.link(
                partial, self._path / name
            )  # fails where the name is taken, on shared disks too
        except FileExistsError:
            pass
        except OSError:  # a disk without links
            if not (self._path / name).exists():
                os.replace(partial, self._path / name)
        partial.unlink(missing_ok=True)
        return (self._path / name).read_bytes()

    def _write(self, name: str, content: bytes) -> Path:
        path = self._path / name
        partial = path.with_name(
            f".{path.name}.{os.getpid()}.{hashlib.sha256(os.urandom(8)).hexdigest()[:8]}"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(content)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            raise
        return partial

    def holds_parts(self) -> bool:
        """Tell whether any part is there; see `FileStore`."""
        return next(self._path.glob("*/*.part"), None) is not None

    def clear(self) -> None:
        """Remove the folder; see `FileStore`."""
        shutil.rmtree(self._path, ignore_errors=True)


class RemoteFolder:
    """A folder anywhere that fsspec reaches, such as `s3://bucket/parts`: a single put is whole or absent there.

    Args:
        root: the folder's URL.

    Raises:
        JobError: fsspec, or what it needs for this kind of place, is not installed.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        try:
            import fsspec

            self._files, self._path = fsspec.core.url_to_fs(root)
        except (ImportError, ValueError) as error:
            raise JobError(
                f"this place cannot be reached ({error})",
                file=root,
                fix='Run `pip install "swath[cluster]"`',
            ) from error

    def get(self, name: str) -> bytes | None:
        """Return a file's content; see `FileStore`."""
        try:
            content: bytes = self._files.cat_file(f"{self._path}/{name}")
        except FileNotFoundError:
            return None
        return content

    def put(self, name: str, content: bytes) -> None:
        """Write a file; see `FileStore`."""
        self._files.makedirs(f"{self._path}/{name}".rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(f"{self._path}/{name}", content)

    def put_first(self, name: str, content: bytes) -> bytes:
        """Write a file unless it is there; the driver alone does so, before it starts workers; see `FileStore`."""
        there = self.get(name)
        if there is None:
            self.put(name, content)
        return content if there is None else there

    def holds_parts(self) -> bool:
        """Tell whether any part is there; see `FileStore`."""
        return bool(self._files.glob(f"{self._path}/*/*.part"))

    def clear(self) -> None:
        """Remove the folder; see `FileStore`."""
        with suppress(FileNotFoundError):
            self._files.rm(self._path, recursive=True)


def open_store(root: str) -> FileStore:
    """Return the store at a path or URL."""
    return RemoteFolder(root) if "://" in root else LocalFolder(root)


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
            JobError: it cannot be written.
        """
        try:
            self._store.put(_name(index), encode(self._plan, layers))
        except OSError as error:
            raise store_error(self._store, error) from error

    def get(self, index: int) -> LayerArrays | None:
        """Return the part of a tile; None where it is absent, damaged, or another plan's."""
        content = self._store.get(_name(index))
        return None if content is None else decode(self._plan, content)

    def missing(self, count: int) -> Iterator[int]:
        """Yield the tiles of 0..count-1 that have no good part."""
        return (i for i in range(count) if self.get(i) is None)


def store_error(store: FileStore, error: OSError) -> JobError:
    """Make the error for a place that does not take a file."""
    return JobError(
        f"a part cannot be written here ({error.strerror or error})",
        file=store.root,
        fix="All that is done is kept: make room, and give the same command again to continue",
    )


def _name(index: int) -> str:
    return f"{index // SHARD:06d}/{index:09d}.part"


def encode(plan: str, layers: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a part as bytes: a line of JSON (plan, layers, SHA-256 of the rest), and the arrays, deflated."""
    body = zlib.compress(b"".join(np.ascontiguousarray(a).tobytes() for a in layers.values()), 1)
    head = {
        "plan": plan,
        "layers": [[name, a.dtype.str, list(a.shape)] for name, a in layers.items()],
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    return json.dumps(head).encode() + b"\n" + body


def decode(plan: str, content: bytes) -> LayerArrays | None:
    """Return the arrays of a part; None if it is damaged, or another plan's."""
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
