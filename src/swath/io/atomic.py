"""Files and folders that appear whole or not at all.

Work goes to a hidden sibling of the output and is renamed onto it when it is complete, so a reader
never sees half a file, and an older output stays until the new one is whole. A lock file lies
beside an output while it is written. The operating system releases the lock of a killed process,
so the next run that writes the same output recognizes what that left, and removes it.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import BaseFileLock, FileLock, Timeout
from numpy.typing import NDArray

from swath.errors import JobError, UsageError
from swath.io.arrays.names import file_of, is_store
from swath.types import PathLike

MAX_WRITERS = 16  # processes that may write one file at the same time

NO_LOCKS = tuple(
    getattr(errno, name) for name in ("EOPNOTSUPP", "ENOTSUP", "ENOLCK") if hasattr(errno, name)
)
"""Errors of file systems without locks: there no run is refused, and nothing is swept."""


def hidden_path(path: Path, kind: str) -> Path:
    """Return a new name beside an output, for a file that becomes the output or is temporary."""
    return _beside(path, secrets.token_hex(4), kind)


@contextmanager
def atomic_file(path: PathLike) -> Iterator[Path]:
    """Yield a path to write to; rename it to `path` when the block ends without an error.

    If two processes write one file at a time, both succeed, and the last one's file stays.

    Raises:
        JobError: the folder does not take the file (permissions, a full disk), or `path` is a
            folder.
    """
    path = Path(path)
    if path.is_dir():
        message = "A file is to be written, and there is a folder of this name"
        raise JobError(message, code="is-a-folder", file=path, fix="Give a file name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path, "lock", MAX_WRITERS) as token:
            partial = _beside(path, token, "partial" + path.suffix)
            try:
                yield partial
                os.replace(partial, path)
            finally:
                with suppress(OSError):
                    partial.unlink()
    except OSError as error:
        raise _write_error(path, error) from error


@contextmanager
def atomic_folder(
    path: PathLike, owned: Collection[str], optional: Collection[str] = ()
) -> Iterator[Path]:
    """Yield an empty folder to fill; rename it to `path` when the block ends without an error.

    Args:
        path: the folder to make or replace.
        owned: names of what Swath puts into it; a folder that holds anything else, or not all of
            these, is not replaced.
        optional: names of what it may hold besides.

    Raises:
        JobError: `path` is a file or a folder with other files, another process is making it, or
            the disk does not take it.
    """
    path = Path(path)
    _check_replaceable(path, set(owned), set(optional))
    target = path.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target, "lock") as token:
            partial, old = _beside(target, token, "partial"), _beside(target, token, "old")
            try:
                partial.mkdir()
                yield partial
                if target.exists():
                    os.replace(target, old)
                os.replace(partial, target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
                if old.exists() and not target.exists():
                    os.replace(old, target)
                shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise _write_error(path, error) from error


def _check_replaceable(path: Path, owned: set[str], optional: set[str]) -> None:
    if path.exists() and not path.is_dir():
        message = "A folder is to be written, and there is a file of this name"
        raise JobError(message, code="not-a-folder", file=path, fix="Give another name")
    found = {p.name for p in path.iterdir()} if path.is_dir() else set()
    foreign, absent = sorted(found - owned - optional), sorted(owned - found)
    if found and (foreign or absent):
        message = (
            f"The folder holds other files ({(foreign + [f'no {n}' for n in absent])[0]}), "
            "so Swath does not replace it"
        )
        fix = "Give a new folder, or empty this one"
        raise JobError(message, code="foreign-folder", file=path, fix=fix)


@contextmanager
def exclusive(path: PathLike) -> Iterator[None]:
    """Hold an output for one run, from the first step of a long job to the last.

    Raises:
        JobError: another run holds it, or the folder cannot be written.
    """
    path = Path(path).resolve()
    with ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(_lock(path, "busy"))
        except OSError as error:
            raise _write_error(path, error) from error
        yield


@contextmanager
def _lock(path: Path, kind: str, holders: int = 1) -> Iterator[str]:
    """Hold one of the locks of an output, and yield a token for the names of its hidden files.

    A lock file that exists is another holder's or a killed run's: only then is the folder swept.
    """
    names = {token: _beside(path, token, kind) for token in map("{:08x}".format, range(holders))}
    if any(name.exists() for name in names.values()):
        _sweep(path)
    held = ((token, _acquired(name)) for token, name in names.items())
    token, lock = next((pair for pair in held if pair[1] is not None), ("", None))
    if lock is None:
        message = "Another run of Swath is writing this output"
        fix = "Wait until it has ended, or give another name"
        raise JobError(message, code="output-in-use", file=path, fix=fix)
    try:
        yield token if lock.is_locked else secrets.token_hex(4)
    finally:
        _release(lock)


def _acquired(name: Path) -> BaseFileLock | None:
    """Return a held lock, None if another holds it; not held where the file system has no locks."""
    lock = FileLock(name, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return lock


def _release(lock: BaseFileLock) -> None:
    with suppress(OSError):
        os.unlink(lock.lock_file)  # while it is held, so that nobody else holds the same name
    lock.release()


def _sweep(path: Path) -> None:
    """Remove what killed runs left beside an output; put back a folder that one had set aside."""
    left_behind = re.compile(rf"\.{re.escape(path.name)}\.([0-9a-f]{{8}})\.(partial|old|lock)")
    for file in list(path.parent.iterdir()):
        if match := left_behind.match(file.name):
            with suppress(OSError):  # of another user, perhaps
                _remove_unheld(file, _beside(path, match[1], "lock"), path, match[2])


def _remove_unheld(file: Path, lock_file: Path, path: Path, kind: str) -> None:
    lock = _acquired(lock_file)
    if lock is None:
        return
    try:
        if not lock.is_locked or kind == "lock":
            return
        if kind == "old" and not path.exists():
            os.replace(file, path)
        elif file.is_dir():
            shutil.rmtree(file, ignore_errors=True)
        else:
            file.unlink()
    finally:
        _release(lock)


def _beside(path: Path, token: str, kind: str) -> Path:
    return path.with_name(f".{path.name}.{token}.{kind}")


def refuse_replaced(outputs: Sequence[Path], inputs: Iterable[PathLike], fix: str) -> None:
    """Refuse outputs of one name, and outputs that are inputs, under any name.

    Args:
        outputs: files that are to be written.
        inputs: files that are read; not looked for unless an output exists.
        fix: what to do.

    Raises:
        UsageError: an output would replace an input or another output.
    """
    path, count = Counter(path.resolve() for path in outputs).most_common(1)[0]
    if count > 1:
        raise UsageError(f"{count} outputs have one name", code="same-output", file=path, fix=fix)
    existing = [path for path in outputs if path.is_file()]
    if not existing:
        return
    read = {_file_id(path) for path in map(file_of, inputs) if path.is_file()}
    for path in existing:
        if _file_id(path) in read:
            message = "An output would replace an input"
            raise UsageError(message, code="output-is-input", file=path, fix=fix)


def _file_id(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino


def file_stamps(files: Iterable[str]) -> dict[str, str]:
    """Return size and modification time of each local file, to notice changes."""
    out = {}
    for name in files:
        path = file_of(name)
        if is_store(path):
            facts = [file.stat() for file in path.rglob("*") if file.is_file()]
        elif path.is_file():
            facts = [path.stat()]
        else:
            continue
        size, changed = (
            sum(f.st_size for f in facts),
            max((f.st_mtime_ns for f in facts), default=0),
        )
        out[name] = f"{size} bytes, changed {changed}"
    return out


def allocate_npy(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Create a memory-mapped `.npy` file of zeros whose room on the disk is allocated at once.

    Without that, a full disk would kill the process when the pages are written.

    Raises:
        OSError: the disk has no room for it; inside `atomic_folder` that becomes a JobError.
    """
    array: NDArray[Any] = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, path.stat().st_size))
    return array


def _write_error(path: Path, error: OSError) -> JobError:
    message = f"The output cannot be written ({error.strerror or error})"
    fix = "Check that the folder exists, is writable and has room"
    return JobError(message, code="not-writable", file=path, fix=fix)
