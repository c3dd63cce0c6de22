"""The files that are served, and the only way from a name in a request to a file.

A name is a file's own, or its path below a served folder. It must lead to a regular file with an
allowed ending that lies inside that folder when all links are followed, and no part of it may be
hidden.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from swath.errors import DataError, check_path
from swath.io.vector import is_vector_file
from swath.server.layer import Hint, MapLayer, RasterLayer
from swath.server.live_layer import LiveLayer, is_live, parts_folder

RASTERS = frozenset({".tif", ".tiff", ".jpg", ".jpeg", ".png", ".jp2", ".webp", ".bmp"})
"""Endings of files that can be a layer."""

MODELS = frozenset({".swath"})
"""Endings of model files."""

MAX_LISTED = 1000
"""Files that are listed; others can still be named."""

MAX_OPEN = 128
"""Layers that are kept open."""


class NotServed(DataError):
    """There is no such file, or it must not be served; the client cannot tell which."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "There is no such file on this server",
            code="no-such-file",
            file=PurePosixPath(name).name[:100],
            fix="See the list of files",
        )


class Registry:
    """Files and folders that are served.

    Args:
        paths: the files and folders.

    Raises:
        DataError: one of them does not exist.
    """

    def __init__(self, paths: Sequence[Path] = ()) -> None:
        self._files: dict[str, Path] = {}
        self._folders: dict[str, Path] = {}
        self._hints: dict[str, Hint] = {}
        self._made: dict[str, tuple[MapLayer, Callable[[], str]]] = {}
        self._open: OrderedDict[str, tuple[tuple[int, ...], MapLayer]] = OrderedDict()
        self._lock = threading.Lock()
        for path in paths:
            if path.is_dir():
                self.add_folder(path, "" if len(paths) == 1 else path.resolve().name)
            else:
                self.add(path)

    def add(self, path: Path, hint: Hint | None = None) -> str:
        """Register a file; return its name.

        Raises:
            DataError: there is no such file, or its format is not supported.
        """
        path = Path(os.path.abspath(path))
        if not path.is_file() and not is_live(path):
            message, fix = "There is no such file", check_path(path)
            raise DataError(message, code="no-such-file", file=path, fix=fix)
        if path.suffix.lower() not in RASTERS | MODELS:
            fix = f"Convert it: `rio convert {path.name} OUT.tif --driver COG`"
            if is_vector_file(path):
                fix = f"Give a raster; vector layers go over a map: `swath view MAP {path.name}`"
            message = "Files of this format are not shown here"
            raise DataError(message, code="unsupported-format", file=path, fix=fix)
        known = next((name for name, other in self._files.items() if other == path), None)
        name = known or unused_name(path.name, self._files)
        self._files[name] = path
        if hint is not None:
            self._hints[name] = hint
        return name

    def add_made(self, name: str, layer: MapLayer, version: Callable[[], str]) -> None:
        """Register a layer without a file, under a name without an ending.

        Args:
            name: how requests name it.
            layer: the layer.
            version: returns a text that changes when its pixels do.
        """
        self._made[name] = layer, version

    def add_folder(self, path: Path, prefix: str) -> None:
        """Register a folder; names below it begin with the prefix."""
        if prefix or self._folders:
            prefix = unused_name(prefix or path.resolve().name, self._folders)
        self._folders[prefix] = path.resolve()

    def path(self, name: str, endings: Collection[str] = RASTERS) -> Path:
        """Return the file of a name.

        Raises:
            NotServed: there is none, or it must not be served.
        """
        try:
            found = self._files.get(name) or self._find_below(name)
            if found is not None and found.suffix.lower() in endings:
                if found.is_file() or (name in self._files and is_live(found)):
                    return found
        except (OSError, ValueError):  # too long, a NUL, a loop of links
            raise NotServed(name) from None
        raise NotServed(name)

    def _find_below(self, name: str) -> Path | None:
        parts = name.split("/")
        if "\\" in name or any(not part or part.startswith(".") for part in parts):
            return None
        for prefix, folder in self._folders.items():
            if prefix and parts[0] != prefix:
                continue
            inner = parts[1:] if prefix else parts
            found = folder.joinpath(*inner)
            if not inner or not found.exists():
                continue
            found = found.resolve(strict=True)
            if found.is_relative_to(folder) and not _is_hidden(found.relative_to(folder)):
                return found
        return None

    def has(self, name: str, endings: Collection[str] = RASTERS) -> bool:
        """Return whether there is such a file."""
        try:
            self.path(name, endings)
        except NotServed:
            return False
        return True

    def names(self, endings: Collection[str] = RASTERS) -> list[str]:
        """List names, in order, at most `MAX_LISTED`."""
        out = [name for name, path in self._files.items() if path.suffix.lower() in endings]
        for prefix, folder in self._folders.items():
            for inner in _walk(folder, endings):
                if len(out) >= MAX_LISTED:
                    return out
                name = f"{prefix}/{inner}" if prefix else inner
                if self.has(name, endings):
                    out.append(name)
        return out

    def layer(self, name: str) -> MapLayer:
        """Return the layer of a name; one whose file has changed is opened again.

        Raises:
            NotServed: there is no such file.
            DataError: the file cannot be read.
        """
        if name in self._made:
            return self._made[name][0]
        path = self.path(name)
        live = is_live(path)
        stat = (parts_folder(path) / "plan.json" if live else path).stat()
        stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        with self._lock:
            known = self._open.get(name)
            if known and known[0] == stamp:
                self._open.move_to_end(name)
                return known[1]
        layer = LiveLayer(path) if live else RasterLayer(path, self._hints.get(name))
        with self._lock:
            gone = [self._open.pop(name)] if name in self._open else []
            self._open[name] = (stamp, layer)
            while len(self._open) > MAX_OPEN:
                gone.append(self._open.popitem(last=False)[1])
        for _, old in gone:
            old.close()
        return layer

    def version(self, name: str) -> str:
        """Return a text that changes when the file does."""
        if name in self._made:
            return self._made[name][1]()
        path = self.path(name)
        if is_live(path):
            layer = self.layer(name)
            assert isinstance(layer, LiveLayer)  # noqa: S101 - a live path has a live layer
            return f"part{layer.refresh()}"
        stat = path.stat()
        return f"{stat.st_mtime_ns:x}{stat.st_size:x}"


def unused_name(name: str, taken: Collection[str]) -> str:
    """Return the name, with a number where it is taken."""
    path, number, new = PurePosixPath(name), 2, name
    while new in taken:
        new, number = f"{path.stem}-{number}{path.suffix}", number + 1
    return new


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _walk(folder: Path, endings: Collection[str]) -> Iterator[str]:
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for file in sorted(files):
            if not file.startswith(".") and Path(file).suffix.lower() in endings:
                yield Path(base, file).relative_to(folder).as_posix()
