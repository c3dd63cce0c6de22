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
from pathlib import Path
from typing import Protocol

from swath.errors import JobError


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


class LocalFolder:
    """A folder on a local or shared disk. Files are renamed into place.

    Args:
        root: the folder; made when the first file is put.
        owned: names of what `clear` removes; None for the whole folder.
    """

    def __init__(self, root: str, owned: Collection[str] | None = None) -> None:
        self.root = root
        self._path = Path(root)
        self._owned = owned

    def get(self, name: str) -> bytes | None:
        """Return the content of a file; see `FileStore`."""
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, name: str, content: bytes) -> None:
        """Write a file; see `FileStore`."""
        os.replace(self._write(name, content), self._path / name)

    def put_first(self, name: str, content: bytes) -> bytes:
        """Write a file unless one is there; see `FileStore`."""
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
        """Return whether the name of any file matches; see `FileStore`."""
        return next(self._path.glob(pattern), None) is not None

    def clear(self) -> None:
        """Remove the work; see `FileStore`."""
        if self._owned is None:
            shutil.rmtree(self._path, ignore_errors=True)
        for path in (self._path / name for name in self._owned or ()):
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)


class RemoteFolder:
    """A folder that fsspec reaches, such as `s3://bucket/parts`: a single put is whole or absent.

    Args:
        root: URL of the folder.

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
                f"The place for unfinished work cannot be reached ({error})",
                code="missing-package",
                file=root,
                fix='Run `pip install "swath[cluster]"`',
            ) from error

    def get(self, name: str) -> bytes | None:
        """Return the content of a file; see `FileStore`."""
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
        """Write a file unless one is there, from one process at a time; see `FileStore`."""
        found = self.get(name)
        if found is None:
            self.put(name, content)
        return content if found is None else found

    def holds(self, pattern: str) -> bool:
        """Return whether the name of any file matches; see `FileStore`."""
        return bool(self._files.glob(f"{self._path}/{pattern}"))

    def clear(self) -> None:
        """Remove the work; see `FileStore`."""
        with suppress(FileNotFoundError):
            self._files.rm(self._path, recursive=True)


def open_store(root: str) -> FileStore:
    """Return the store at a path or URL."""
    return RemoteFolder(root) if "://" in root else LocalFolder(root)


def store_error(store: FileStore, error: OSError) -> JobError:
    """Return the error for a place that does not take a file."""
    return JobError(
        f"Unfinished work cannot be written here ({error.strerror or error})",
        code="not-writable",
        file=store.root,
        fix="Make room or choose a writable place; the same command continues from what is done",
    )


class WorkFolder:
    """Unfinished work, and a record of what it belongs to.

    Args:
        store: place of both.
        record: name of the file with the record.
        protected: pattern of files that are not removed for other work; None to protect nothing.
        fix: what to do where protected files belong to other work.
    """

    def __init__(
        self, store: FileStore, record: str, protected: str | None = None, fix: str | None = None
    ) -> None:
        self._store = store
        self._record = record
        self._protected = protected
        self._fix = fix

    def open(
        self,
        make: Callable[[], str],
        changes: Callable[[str], Collection[str]] | None = None,
    ) -> str:
        """Continue the work that the record allows, or remove what is there and start over.

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
            found = self._store.get(self._record)
            if found is not None:
                text = found.decode(errors="replace")
                changed = changes(text) if changes else ["input"] * (text != make())
                if not changed:
                    return text
                if self._protected is not None and self._store.holds(self._protected):
                    raise JobError(
                        f"Unfinished work of another run is here; changed: {', '.join(changed)}",
                        code="other-work",
                        file=self._store.root,
                        fix=self._fix,
                    )
            self._store.clear()
            return self._store.put_first(self._record, make().encode()).decode()
        except OSError as error:
            raise store_error(self._store, error) from error

    def remove(self) -> None:
        """Remove the work when it is done."""
        self._store.clear()
