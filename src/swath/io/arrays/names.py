"""Names of arrays in files: `FILE.nc:variable`, `FILE.h5:/group/name[3]`, `FILE.npy@0`.

A name is the file, the array in it after a colon, an index along the first axis in brackets, and
after `@` a date or number on the time axis. GDAL's own names (`NETCDF:"f.nc":v`) mean the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from swath.types import PathLike

NUMPY_KINDS = ("npy", "npz")
STORE_KINDS = ("zarr",)
HDF_KINDS = ("h5", "hdf5", "hdf", "he5", "nc", "nc4", "cdf")
ARRAY_KINDS = (*NUMPY_KINDS, *HDF_KINDS, *STORE_KINDS)
"""Endings of array files, without dots."""

_URL = re.compile(r"\w+://|/vsi")
_OWN = re.compile(
    rf"(?P<file>.*?[^/]\.(?:{'|'.join(ARRAY_KINDS)}))/?(?::/*(?P<member>[^:]*?[^:/]))?"
    r"(?:\[(?P<index>\d+)\])?(?:@(?P<at>[^@/\[\]]+))?",
    re.IGNORECASE | re.DOTALL,
)
GDAL_NAME = re.compile(r"(netcdf|hdf5|zarr):", re.IGNORECASE)
"""Beginning of GDAL's own names of arrays."""

_GDAL = re.compile(
    r'(?P<driver>netcdf|hdf5|zarr):(?:"(?P<quoted>[^"]+)"|(?P<plain>[^":]+))'
    r"(?::/*(?P<member>[^:]+?))?/?(?:\[(?P<index>\d+)\])?(?:@(?P<at>[^@/\[\]]+))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ArrayName:
    """An array in a file.

    Attributes:
        file: path of the file, or of the folder of a Zarr store.
        member: name of the array in the file, without leading slash; empty for its only one.
        index: index along the first axis; None for all.
        at: date or index on the time axis; None for all.
    """

    file: str
    member: str = ""
    index: int | None = None
    at: str | None = None

    def __str__(self) -> str:
        slash = "/" if "/" in self.member else ""
        member = f":{slash}{self.member}" if self.member else ""
        index = "" if self.index is None else f"[{self.index}]"
        return f"{self.file}{member}{index}{'' if self.at is None else f'@{self.at}'}"

    @property
    def kind(self) -> str:
        """Ending of the file, in lower case."""
        return Path(self.file).suffix.lower().lstrip(".")

    @property
    def label(self) -> str:
        """The name as a file could be called."""
        member = self.member.strip("/").replace("/", "_")
        at = re.sub(r"[^\w.-]", "-", self.at or "")
        parts = (Path(self.file).stem, member, "" if self.index is None else str(self.index), at)
        return "_".join(filter(None, parts))

    def in_file(self, file: str | PurePath) -> ArrayName:
        """Return the same array of another file."""
        return replace(self, file=str(file))


def parse_array(path: PathLike) -> ArrayName | None:
    """Return the array that a path names; None for other rasters, and for URLs.

    A file that exists by just this name is that file.
    """
    text = str(path)
    if _URL.match(text):
        return None
    gdal = _GDAL.fullmatch(text)
    if gdal is not None:
        file = gdal["quoted"] or gdal["plain"]
        return None if _URL.match(file) else _named(file, gdal)
    own = _OWN.fullmatch(text)
    if own is None:
        return None
    if own["file"] != text.rstrip("/") and Path(text).exists():
        return ArrayName(text) if Path(text).suffix.lower().lstrip(".") in ARRAY_KINDS else None
    return _named(own["file"], own)


def _named(file: str, found: re.Match[str]) -> ArrayName:
    index = found["index"]
    return ArrayName(
        file, found["member"] or "", None if index is None else int(index), found["at"]
    )


def file_of(path: PathLike) -> Path:
    """Return the local file that a path names: of an array, the file that holds it."""
    name = parse_array(path)
    return Path(path if name is None else name.file)


def stem_of(path: PathLike) -> str:
    """Return the name of a file without ending; of an array, with its name and index."""
    name = parse_array(path)
    return Path(path).stem if name is None else name.label


def is_store(path: Path) -> bool:
    """Return whether a folder is one array file (Zarr)."""
    return path.suffix.lower().lstrip(".") in STORE_KINDS and path.is_dir()
