"""What a reader of products provides, and the files that it reads: a folder, or an archive."""

from __future__ import annotations

import os
import re
import tarfile
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol
from xml.parsers import expat

from swath.errors import DataError
from swath.io.source_file import Product
from swath.types import PathLike

MAX_DEPTH = 6
"""Levels of folders in a product."""

MAX_FILES = 20_000
"""Files of a folder beyond which it is no product."""

MAX_METADATA_BYTES = 50 * 2**20
"""Size of a metadata file beyond which it is damaged or hostile."""

_ARCHIVE = re.compile(r"\.(zip|tar|tgz|tar\.(gz|bz2|xz))$", re.IGNORECASE)


class ProductReader(Protocol):
    """Reads the products of a sensor."""

    def find(self, files: ProductFiles) -> list[str]:
        """Return the names of the sensor's products among files, sorted.

        Only names of files are read. A product that is not whole is found, too.
        """

    def read(self, files: ProductFiles, name: str) -> Product:
        """Describe a product that `find` has named.

        Raises:
            DataError: metadata are damaged, or what is missing leaves nothing to use.
        """


class ProductFiles:
    """The files among which a product is looked for: a folder, or an archive read in place.

    Args:
        path: a folder, a zip or tar archive, or one file, which stands for its folder. A folder
            that unpacking has put around another of its name stands for that.

    Attributes:
        path: that path.
        root: folder or archive.
        chosen: name of the one file, None for all.

    Raises:
        DataError: an archive is damaged, or compressed as a whole.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self.is_archive = is_archive(self.path) and self.path.is_file()
        one_file = self.path.is_file() and not self.is_archive
        self.root = self.path.parent if one_file else self.path
        if self.path.is_dir():
            inner = (self.path / name for name in (self.path.name, f"{self.path.name}.SAFE"))
            self.root = next((folder for folder in inner if folder.is_dir()), self.path)
        self.chosen = self.path.name if one_file else None

    @property
    def name(self) -> str:
        """Name of folder or archive without its endings."""
        return re.sub(r"\.SAFE$", "", _ARCHIVE.sub("", self.root.name), flags=re.IGNORECASE)

    @cached_property
    def _members(self) -> dict[str, str]:
        """Names in the archive or folder, by name below the product's own folder."""
        if not self.is_archive:
            return {name: name for name in _below(self.root)}
        hidden = ("__MACOSX/", ".")
        listed = {name.removeprefix("./"): name for name in self._archived()}
        listed = {short: name for short, name in listed.items() if not short.startswith(hidden)}
        tops = {short.partition("/")[0] for short in listed}
        if len(tops) == 1 and all("/" in short for short in listed):
            return {short.partition("/")[2]: name for short, name in listed.items()}
        return listed

    @property
    def names(self) -> list[str]:
        """Paths of all files below the product's folder, with `/`, sorted."""
        return sorted(self._members)

    @property
    def top(self) -> list[str]:
        """Names of the files that lie in no folder below; of `chosen`, those beside it."""
        return [name for name in self.names if "/" not in name]

    def matching(self, pattern: re.Pattern[str], names: Sequence[str] = ()) -> list[re.Match[str]]:
        """Return the matches of whole names, by default of all files."""
        return [match for name in names or self.names if (match := pattern.fullmatch(name))]

    def gdal_path(self, name: str) -> str:
        """Return the absolute path by which GDAL opens a file."""
        root = self.root.resolve()
        if not self.is_archive:
            return str(root / name)
        kind = "vsizip" if zipfile.is_zipfile(root) else "vsitar"
        archive = root if "}" in str(root) else f"{{{root}}}"
        return f"/{kind}/{archive}/{self._members[name].removeprefix('./')}"

    def source(self, name: str) -> str:
        """Return the absolute path of the file on disk: the archive, where there is one."""
        root = self.root.resolve()
        return str(root) if self.is_archive else str(root / name)

    def read(self, name: str) -> bytes:
        """Return the content of a metadata file.

        Raises:
            DataError: the file cannot be read, or is too large.
        """
        try:
            content = self._read(name)
        except (OSError, KeyError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
            raise damaged(self.source(name), f"The file {name} cannot be read ({error})") from error
        if len(content) > MAX_METADATA_BYTES:
            raise damaged(self.source(name), f"The file {name} is too large for metadata")
        return content

    def _read(self, name: str) -> bytes:
        limit = MAX_METADATA_BYTES + 1
        if not self.is_archive:
            with (self.root / name).open("rb") as file:
                return file.read(limit)
        if zipfile.is_zipfile(self.root):
            with zipfile.ZipFile(self.root) as archive, archive.open(self._members[name]) as file:
                return file.read(limit)
        with tarfile.open(self.root, "r:") as bundle:
            member = bundle.extractfile(self._members[name])
            return b"" if member is None else member.read(limit)

    def _archived(self) -> list[str]:
        try:
            if zipfile.is_zipfile(self.root):
                with zipfile.ZipFile(self.root) as archive:
                    return [i.filename for i in archive.infolist() if not i.is_dir()]
            with tarfile.open(self.root, "r:") as archive:
                return [m.name for m in archive if m.isfile()]
        except (OSError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> DataError:
        with self.root.open("rb") as file:
            compressed = file.read(3).startswith((b"\x1f\x8b", b"BZh", b"\xfd7z"))
        if compressed:
            message = "The archive is compressed as a whole, so no part of it can be read by itself"
            fix = f"Unpack it (`python -m tarfile -e {self.root} {self.name}`), and give the folder"
            return DataError(message, code="compressed-archive", file=self.root, fix=fix)
        return damaged(str(self.root), f"The archive cannot be read ({error})")


def is_archive(path: PathLike) -> bool:
    """Return whether a name is that of a zip or tar archive."""
    return _ARCHIVE.search(Path(path).name) is not None


def _below(root: Path) -> Iterator[str]:
    """Yield the files below a folder, hidden ones left out; none if there are too many."""
    found: list[str] = []
    for folder, folders, files in os.walk(root):
        below = Path(folder).relative_to(root)
        folders[:] = [f for f in folders if not f.startswith(".") and len(below.parts) < MAX_DEPTH]
        found += [(below / name).as_posix() for name in files if not name.startswith(".")]
        if len(found) > MAX_FILES:
            return
    yield from found


def damaged(file: PathLike, message: str) -> DataError:
    """Return the error for metadata that cannot be used."""
    fix = "Download the product again"
    return DataError(message, code="product-damaged", file=file, fix=fix)


def incomplete(file: PathLike, missing: str, fix: str = "Download the whole product") -> DataError:
    """Return the error for a product that lacks what is needed."""
    message = f"The product is not whole: {missing}"
    return DataError(message, code="product-incomplete", file=file, fix=fix)


def parse_xml(content: bytes, file: PathLike) -> ElementTree.Element:
    """Parse XML metadata, in which a document type (and so an entity) is an error.

    Raises:
        DataError: the content is no XML, or declares a document type.
    """

    def refuse(*_: object) -> None:
        raise damaged(file, "The metadata declare a document type, which none of this sensor do")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(content, True)
        return ElementTree.fromstring(content)
    except (expat.ExpatError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise damaged(file, f"The metadata are no XML ({error})") from error


def elements(root: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    """Return all elements of a name, whatever their namespace, in order."""
    return [e for e in root.iter() if e.tag.rpartition("}")[2] == tag]


def text_of(root: ElementTree.Element, *tags: str) -> str | None:
    """Return the text of the first element that has one of the names, tried in order."""
    for tag in tags:
        for element in elements(root, tag):
            if element.text and element.text.strip():
                return element.text.strip()
    return None


def number(text: str | None, what: str, file: PathLike) -> float:
    """Return a number of the metadata.

    Raises:
        DataError: there is none, or it is not finite.
    """
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise damaged(file, f"{what} of the metadata is {text!r}, and a number is wanted")
    return value


def utc(text: str | None) -> str | None:
    """Return a time of the metadata as ISO 8601 in UTC, to the second, with Z."""
    if not text:
        return None
    match = re.match(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d:\d\d))?", text)
    if not match:
        return None
    return f"{match[1]}T{match[2] or '00:00:00'}Z"
