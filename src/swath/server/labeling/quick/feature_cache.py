"""Features of windows on disk, up to a size; what was not used for longest is deleted first."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from swath.geo.tiling import Window
from swath.server.labeling.quick.trainer import Features

MAX_BYTES = 4 * 10**9
"""Default size of a cache."""

ENDING = ".features"


class FeatureCache:
    """Keeps features. A full disk or a damaged file costs time, nothing else.

    Args:
        folder: where the files lie; it may be shared with other processes.
        key: returns the text that names encoder and scene; it is asked for at the first use.
        max_bytes: size of all files in the folder.
    """

    def __init__(self, folder: Path, key: Callable[[], str], max_bytes: int = MAX_BYTES) -> None:
        self._folder, self._key, self._max_bytes = folder, key, max_bytes
        self._lock = threading.Lock()
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        self._size = sum(size for size, _, _ in self._files())

    def get(self, window: Window) -> Features | None:
        """Return the features of a window; None where they are not there."""
        path = self._path(window)
        try:
            found = load(path.read_bytes())
        except (OSError, SafetensorError, ValueError):
            return None
        with suppress(OSError):
            os.utime(path)
        valid = found.get("valid")
        whole = valid is not None and valid.shape == (window.height, window.width)
        return found if whole else None

    def put(self, window: Window, features: Features) -> None:
        """Keep the features of a window."""
        path = self._path(window)
        partial = path.with_suffix(f".{secrets.token_hex(4)}.partial")
        try:
            content = save({name: np.ascontiguousarray(a) for name, a in features.items()})
            partial.write_bytes(content)
            os.replace(partial, path)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            return
        with self._lock:
            self._size += len(content)
            if self._size > self._max_bytes:
                self._sweep()

    def _sweep(self) -> None:
        """Delete the oldest files until a tenth of the room is free."""
        files = sorted(self._files(), key=lambda row: row[1])
        total = sum(size for size, _, _ in files)
        for size, _, path in files:
            if total <= self._max_bytes * 0.9:
                break
            with suppress(OSError):
                path.unlink()
                total -= size
        self._size = total

    def _files(self) -> list[tuple[int, int, Path]]:
        """Return size, time of the last use and path of each file."""
        found = []
        with suppress(OSError):
            for path in self._folder.iterdir():
                with suppress(OSError):
                    stat = path.stat()
                    if path.suffix in (ENDING, ".partial"):
                        found.append((stat.st_size, stat.st_mtime_ns, path))
        return found

    def _path(self, window: Window) -> Path:
        place = f"{window.row},{window.col},{window.height},{window.width}"
        name = hashlib.sha256(f"{self._key()}|{place}".encode()).hexdigest()[:40]
        return self._folder / f"{name}{ENDING}"
