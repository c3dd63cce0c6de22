"""Folders of unfinished work beside an output, which the same command continues.

Files are put whole or not at all. A record says what the work belongs to, so that work of other
input or options is never continued.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from swath.errors import JobError


def user_cache() -> Path:
    """Return the folder of what this user's runs keep for later ones; it may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "swath"


class FileStore(Protocol):
    """A place for files that are put whole or not at all. Names are relative, with slashes."""

    root: str

    def get(self, name: str) -> bytes | None:
        """Return the content of a file, None where there is none."""

    def put(self, name: str, content: bytes) -> None:
        """Write a file; OSError where the place does not take the file."""

    def put_first(self, name: str, content: bytes) -> bytes:
        """Write a file unless one is there, and return what is there then."""

    def holds(self, pattern: str) -> bool:
        """Return whether the name of any file matches a glob pattern."""

    def clear(self) -> None:
        """Remove the work."""


class _LocalFolder:
    """A folder on a local or shared disk. Files are renamed into place."""

    def __init__(self, root: str, owned: Collection[str] | None) -> None:
        self.root, self._path, self._owned = root, Path(root), owned

    def get(self, name: str) -> bytes | None:
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, name: str, content: bytes) -> None:
        os.replace(self._write(name, content), self._path / name)

    def put_first(self, name: str, content: bytes) -> bytes:
        path, partial = self._path / name, self._write(name, content)
        try:
            os.link(partial, path)  # fails where the name is taken, on shared disks too
        except FileExistsError:
            pass
        except OSError:  # a disk without links
            if not path.exists():
                os.replace(partial, path)
        partial.unlink(missing_ok=True)
        return path.read_bytes()

    def _write(self, name: str, content: bytes) -> Path:
        path = self._path / name
        partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(content)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            raise
        return partial

    def holds(self, pattern: str) -> bool:
        return any(self._path.glob(pattern))

    def clear(self) -> None:
        if self._owned is None:
            shutil.rmtree(self._path, ignore_errors=True)
        for path in (self._path / name for name in self._owned or ()):
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)


class _RemoteFolder:
    """A folder that fsspec reaches, where a single put is whole or absent."""

    def __init__(self, root: str) -> None:
        self.root = root
        try:
            import fsspec

            self._files, self._path = fsspec.core.url_to_fs(root)
        except (ImportError, ValueError) as error:
            message = f"The place for unfinished work cannot be reached ({error})"
            fix = 'Run `pip install "swath[cluster]"`'
            raise JobError(message, code="missing-package", file=root, fix=fix) from error

    def get(self, name: str) -> bytes | None:
        try:
            content: bytes = self._files.cat_file(f"{self._path}/{name}")
        except FileNotFoundError:
            return None
        return content

    def put(self, name: str, content: bytes) -> None:
        self._files.makedirs(f"{self._path}/{name}".rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(f"{self._path}/{name}", content)

    def put_first(self, name: str, content: bytes) -> bytes:  # from one process at a time
        found = self.get(name)
        if found is None:
            self.put(name, content)
        return content if found is None else found

    def holds(self, pattern: str) -> bool:
        return bool(self._files.glob(f"{self._path}/{pattern}"))

    def clear(self) -> None:
        with suppress(FileNotFoundError):
            self._files.rm(self._path, recursive=True)


def open_store(root: str, owned: Collection[str] | None = None) -> FileStore:
    """Return the store of a local folder, or of one that fsspec reaches.

    Args:
        root: path, or a URL such as `s3://bucket/parts`; made when the first file is put.
        owned: names of what `clear` removes from a local folder; None for the whole folder.

    Raises:
        JobError: fsspec, or what it needs for this kind of URL, is not installed.
    """
    return _RemoteFolder(root) if "://" in root else _LocalFolder(root, owned)


def store_error(store: FileStore, error: OSError) -> JobError:
    """Return the error for a place that does not take a file."""
    message = f"Unfinished work cannot be written here ({error.strerror or error})"
    fix = "Make room or choose a writable place; the same command continues from what is done"
    return JobError(message, code="not-writable", file=store.root, fix=fix)


@dataclass(frozen=True)
class WorkFolder:
    """Unfinished work, and a record of what it belongs to.

    Attributes:
        store: place of both.
        record: name of the file with the record.
        protected: pattern of files that are not removed for other work; None to protect nothing.
        fix: what to do where protected files belong to other work.
    """

    store: FileStore
    record: str
    protected: str | None = None
    fix: str | None = None

    def open(
        self, make: Callable[[], str], changes: Callable[[str], Collection[str]] | None = None
    ) -> str:
        """Continue the work where the record allows it, else remove what is there and start over.

        Args:
            make: makes the record of new work.
            changes: returns the names of what has changed since a stored record was made; by
                default, any difference from the new record is a change.

        Returns:
            The record that is there then.

        Raises:
            JobError: protected files belong to other work, or the place cannot be written.
        """
        try:
            found = self.store.get(self.record)
            if found is not None:
                text = found.decode(errors="replace")
                if changes is None:
                    changed: Collection[str] = [] if text == make() else ["input"]
                else:
                    changed = changes(text)
                if not changed:
                    return text
                if self.protected is not None and self.store.holds(self.protected):
                    message = "Unfinished work of another run is here; changed since then: "
                    message, root = message + ", ".join(changed), self.store.root
                    raise JobError(message, code="other-work", file=root, fix=self.fix)
            self.store.clear()
            return self.store.put_first(self.record, make().encode()).decode()
        except OSError as error:
            raise store_error(self.store, error) from error

    def remove(self) -> None:
        """Remove the work when it is done."""
        self.store.clear()
