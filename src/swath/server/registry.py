"""What is served, and the only way from a name in a request to a file.

A name is a file's own, or its path below a folder that was given. It must lead to a regular file
with an allowed ending that lies inside that folder when all links are followed, and no part of it
may be hidden.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from swath.errors import DataError
from swath.server.layer import Hint, MapLayer
from swath.server.live_layer import LiveLayer, is_live, parts_folder

RASTERS = frozenset({".tif", ".tiff", ".jpg", ".jpeg", ".png", ".jp2", ".webp", ".bmp"})
"""Endings of what can be a layer."""

MODELS = frozenset({".swath"})
"""Endings of model files."""

MOST_LISTED = 1000
"""Files that are listed at most; others can still be named."""

MOST_OPEN = 128
"""Layers that are kept open at most."""


class NotServed(DataError):
    """There is no such file here, or it must not be served; a request is not told which."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "there is no such file on this server",
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
        self._open: OrderedDict[str, tuple[tuple[int, ...], MapLayer]] = OrderedDict()
        self._lock = threading.Lock()
        alone = len(paths) == 1
        for path in paths:
            if path.is_dir():
                self.add_folder(path, "" if alone else path.resolve().name)
            else:
                self.add(path)

    def add(self, path: Path, hint: Hint | None = None) -> str:
        """Put a file on the shelf.

        Returns:
            Its name.

        Raises:
            DataError: there is no such file, or it is of a kind that is not served.
        """
        path = Path(os.path.abspath(path))
        if not path.is_file() and not is_live(path):
            raise DataError("there is no such file", file=path, fix="Check the path")
        if path.suffix.lower() not in RASTERS | MODELS:
            raise DataError(
                "files of this kind are not shown",
                file=path,
                fix="Convert it: gdal_translate -of COG IN.vrt OUT.tif",
            )
        known = next((name for name, other in self._files.items() if other == path), None)
        name = known or _unused(path.name, self._files)
        self._files[name] = path
        if hint is not None:
            self._hints[name] = hint
        return name

    def add_folder(self, path: Path, prefix: str) -> None:
        """Put a folder on the shelf; names below it begin with the prefix."""
        if prefix or self._folders:
            prefix = _unused(prefix or path.resolve().name, self._folders)
        self._folders[prefix] = path.resolve()

    def path(self, name: str, endings: Collection[str] = RASTERS) -> Path:
        """Return the file of a name.

        Raises:
            NotServed: there is none, or it must not be served.
        """
        try:
            found = self._files.get(name) or self._below(name)
            live = name in self._files and found is not None and is_live(found)
            if (
                found is None
                or found.suffix.lower() not in endings
                or not (live or found.is_file())
            ):
                raise NotServed(name)
        except (OSError, ValueError):  # too long, a NUL, a loop of links
            raise NotServed(name) from None
        return found

    def _below(self, name: str) -> Path | None:
        parts = name.split("/")
        if "\\" in name or any(not part or part.startswith(".") for part in parts):
            return None
        for prefix, folder in self._folders.items():
            inner = parts[1:] if prefix and parts[0] == prefix else parts if not prefix else []
            if not inner:
                continue
            try:
                found = folder.joinpath(*inner).resolve(strict=True)
            except FileNotFoundError:
                continue
            if found.is_relative_to(folder) and not any(
                p.startswith(".") for p in found.relative_to(folder).parts
            ):
                return found
        return None

    def has(self, name: str, endings: Collection[str] = RASTERS) -> bool:
        """Tell whether there is such a file."""
        try:
            self.path(name, endings)
        except NotServed:
            return False
        return True

    def names(self, endings: Collection[str] = RASTERS) -> list[str]:
        """List names, in order, at most `MOST_LISTED`."""
        out = [name for name, path in self._files.items() if path.suffix.lower() in endings]
        for prefix, folder in self._folders.items():
            for inner in _walk(folder, endings):
                if len(out) >= MOST_LISTED:
                    return out
                name = f"{prefix}/{inner}" if prefix else inner
                if self.has(name, endings):
                    out.append(name)
        return out

    def layer(self, name: str) -> MapLayer:
        """Return the layer of a name; one whose file has changed is opened anew.

        Raises:
            NotServed: there is no such file.
            DataError: it cannot be read.
        """
        path = self.path(name)
        live = is_live(path)
        stat = (parts_folder(path) / "plan.json" if live else path).stat()
        stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        with self._lock:
            known = self._open.get(name)
            if known and known[0] == stamp:
                self._open.move_to_end(name)
                return known[1]
        layer = LiveLayer(path) if live else MapLayer(path, self._hints.get(name))
        with self._lock:
            gone = [self._open.pop(name)] if name in self._open else []
            self._open[name] = (stamp, layer)
            while len(self._open) > MOST_OPEN:
                gone.append(self._open.popitem(last=False)[1])
        for _, old in gone:
            old.close()
        return layer

    def version(self, name: str) -> str:
        """Return a text that changes when the file does."""
        path = self.path(name)
        if is_live(path):
            layer = self.layer(name)
            assert isinstance(layer, LiveLayer)  # noqa: S101 - a live path has a live layer
            return f"part{layer.refresh()}"
        stat = path.stat()
        return f"{stat.st_mtime_ns:x}{stat.st_size:x}"


def _unused(name: str, taken: Collection[str]) -> str:
    """Return the name, with a number where it is taken."""
    path, number, new = PurePosixPath(name), 2, name
    while new in taken:
        new, number = f"{path.stem}-{number}{path.suffix}", number + 1
    return new


def _walk(folder: Path, endings: Collection[str]) -> Iterator[str]:
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for file in sorted(files):
            if not file.startswith(".") and Path(file).suffix.lower() in endings:
                yield Path(base, file).relative_to(folder).as_posix()
