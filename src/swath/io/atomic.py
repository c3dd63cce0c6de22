"""Files and folders that appear whole or not at all.

Work goes to a hidden sibling of the output and is renamed onto it when it is complete, so a reader
never sees half a file and an older output stays until the new one is whole. (`tileparts` keeps the
parts of a long job in the same way.)

A hidden lock lies beside an output while it is written. The operating system lets go of it when a
process dies, however it dies, so what a killed run left is known as such, and the next run that
writes the same output removes it.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import JobError
from swath.types import PathLike

try:
    import fcntl
except ImportError:  # Windows: two runs are not told apart there, and what a killed one left stays
    fcntl = None  # type: ignore[assignment]


def hidden_path(path: Path, kind: str) -> Path:
    """Return a new name beside an output for something that becomes it, or is of use until it is written."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{kind}")


@contextmanager
def atomic_file(path: PathLike) -> Iterator[Path]:
    """Give a path to write to; when the block ends without an error, put the file at `path` in one step.

    Of two processes that write one file at a time, both write it whole, and the last one's stays.

    Raises:
        JobError: the folder does not take the file (permissions, a full disk, `path` is a folder).
    """
    path = Path(path)
    if path.is_dir():
        raise JobError(
            "this is a folder, and a file is to be written here", file=path, fix="Give a file name"
        )
    partial = hidden_path(path, "partial" + path.suffix)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path, "lock", together=True):
            try:
                yield partial
                os.replace(partial, path)
            finally:
                with suppress(OSError):
                    partial.unlink()
    except OSError as error:
        raise _refused(path, error) from error


@contextmanager
def atomic_folder(
    path: PathLike, owned: Collection[str], optional: Collection[str] = ()
) -> Iterator[Path]:
    """Give an empty folder to fill; when the block ends without an error, put it at `path`, replacing what was there.

    Args:
        path: the folder to make.
        owned: names of what we put into it; a folder that holds anything else, or not all of these,
            is not replaced.
        optional: names of what it may hold besides.

    Raises:
        JobError: `path` is a file or a folder that is not ours alone, another process is making it,
            or the disk does not take it.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise JobError(
            "this is a file, and a folder is to be written here", file=path, fix="Give another name"
        )
    found = {p.name for p in path.iterdir()} if path.is_dir() else set()
    if found and not set(owned) <= found <= {*owned, *optional}:
        other = sorted(found - {*owned, *optional}) or [
            f"no {name}" for name in sorted(set(owned) - found)
        ]
        raise JobError(
            f"this folder holds other files ({other[0]}), so it is not replaced",
            file=path,
            fix="Give a new folder, or empty this one",
        )
    target = path.resolve()
    partial, old = hidden_path(target, "partial"), hidden_path(target, "old")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target, "lock"):
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
        raise _refused(path, error) from error


@contextmanager
def exclusive(path: PathLike) -> Iterator[None]:
    """Keep every other run away from an output, from the first step of a long job to the last.

    Raises:
        JobError: another run is at it, or the folder cannot be written.
    """
    path = Path(path).resolve()
    with ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(_lock(path, "busy"))
        except OSError as error:
            raise _refused(path, error) from error
        yield


@contextmanager
def _lock(path: Path, kind: str, together: bool = False) -> Iterator[None]:
    """Hold the lock of an output, alone or together with others; who has it alone removes what killed runs left.

    Each holder adds a byte to the lock, so that nobody has to look for leavings where nobody was
    before.
    """
    if fcntl is None:
        yield
        return
    name = path.with_name(f".{path.name}.{kind}")
    file, only = _taken(name, path, together)
    try:
        before = os.fstat(file).st_size
        if before and only:
            _sweep(path)
        with suppress(OSError):
            os.write(file, b".")
        if only and together:
            _flock(file, fcntl.LOCK_SH)
        yield
    finally:
        last = _flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB) if together else only
        if last and os.fstat(file).st_size > 1:
            _sweep(path)
        if last is not False:
            with suppress(OSError):
                name.unlink()
        os.close(file)


def _taken(name: Path, path: Path, together: bool) -> tuple[int, bool | None]:
    """Open and lock a lock; return it, and whether nobody else has it, None where that cannot be known."""
    while True:
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            only = _flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if only is False and not together:
                raise JobError(
                    "another run of Swath is writing this",
                    file=path,
                    fix="Wait until it has ended, or give another name",
                )
            if only is False:
                _flock(file, fcntl.LOCK_SH)
            if name.exists() and os.path.samestat(os.fstat(file), os.stat(name)):
                return file, only
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # who had it has removed it meanwhile


def _flock(file: int, how: int) -> bool | None:
    """Lock a file; tell whether nobody else has it, None on a disk that knows no locks."""
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _sweep(path: Path) -> None:
    """Remove what killed runs left beside an output; an older folder that one had just put aside goes back."""
    for left in path.parent.iterdir():
        match = re.match(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.(partial|old)", left.name)
        if match is None:
            continue
        if match[1] == "old" and not path.exists():
            os.replace(left, path)
        elif left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            with suppress(OSError):
                left.unlink()


def file_stamps(files: Iterable[str]) -> dict[str, str]:
    """Return size and time of change of each local file, by which a changed one is noticed."""
    out = {}
    for name in files:
        path = Path(name)
        if path.is_file():
            facts = path.stat()
            out[name] = f"{facts.st_size} bytes, changed {facts.st_mtime_ns}"
    return out


def allocate_npy(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Make a memory-mapped `.npy` file of zeros whose room on the disk is taken at once.

    Without that, a full disk would kill the process when the pages are written.

    Raises:
        OSError: the disk has no room for it; inside `atomic_folder` that becomes a JobError.
    """
    array: NDArray[Any] = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, path.stat().st_size))
    return array


def _refused(path: Path, error: OSError) -> JobError:
    return JobError(
        f"cannot be written ({error.strerror or error})",
        file=path,
        fix="Check that the folder exists, is writable and has room",
    )
