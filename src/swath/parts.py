"""Files and folders that appear whole or not at all.

Work goes to a hidden sibling of the output and is renamed onto it when it is complete, so a reader never sees half a file and
an older output stays until the new one is whole. (`tileparts` keeps the parts of a long job in the same way.)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import JobError
from swath.types import PathLike


def _sibling(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{kind}")


@contextmanager
def whole_file(path: PathLike) -> Iterator[Path]:
    """Give a path to write to; when the block ends without an error, put the file at `path` in one step.

    Raises:
        JobError: the folder does not take the file (permissions, a full disk, `path` is a folder).
    """
    path = Path(path)
    if path.is_dir():
        raise JobError("this is a folder, and a file is to be written here", file=path, fix="Give a file name")
    partial = _sibling(path, "partial" + path.suffix)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink()


@contextmanager
def whole_folder(path: PathLike, owned: Collection[str], optional: Collection[str] = ()) -> Iterator[Path]:
    """Give an empty folder to fill; when the block ends without an error, put it at `path`, replacing what was there.

    Args:
        path: the folder to make.
        owned: names of what we put into it; a folder that holds anything else, or not all of these, is not replaced.
        optional: names of what it may hold besides.

    Raises:
        JobError: `path` is a file or a folder that is not ours alone, or the disk does not take it.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise JobError("this is a file, and a folder is to be written here", file=path, fix="Give another name")
    found = {p.name for p in path.iterdir()} if path.is_dir() else set()
    if found and not set(owned) <= found <= {*owned, *optional}:
        other = sorted(found - {*owned, *optional}) or [f"no {name}" for name in sorted(set(owned) - found)]
        raise JobError(
            f"this folder holds other files ({other[0]}), so it is not replaced",
            file=path,
            fix="Give a new folder, or empty this one",
        )
    target = path.resolve()
    partial, old = _sibling(target, "partial"), _sibling(target, "old")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed and had the same number
        partial.mkdir(parents=True)
        yield partial
        if target.exists():
            os.replace(target, old)
        os.replace(partial, target)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if old.exists() and not target.exists():
            os.replace(old, target)
        shutil.rmtree(old, ignore_errors=True)


def allocate(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Make a memory-mapped `.npy` file of zeros whose room on the disk is taken at once.

    Without that, a full disk would kill the process when the pages are written.

    Raises:
        OSError: the disk has no room for it; inside `whole_folder` that becomes a JobError.
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
