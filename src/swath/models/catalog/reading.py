"""Read folders of models, and static STAC catalogs of strangers."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from swath.errors import DataError, JobError, ModelError, SwathError
from swath.models.card import Card
from swath.models.catalog.entry import ListedModel
from swath.models.catalog.linked_file import LinkedFile
from swath.models.model_file import MAX_BYTES, ModelFile
from swath.types import PathLike

ENDING = ".swath"
CATALOG_NAME = "catalog.json"

SHA256 = "1220"
"""Beginning of the multihash of a SHA-256: code of the hash, and its length in bytes."""

MAX_LINKS = 2000
"""Links to catalogs and items that are followed from one catalog on."""

MAX_DOCUMENT_BYTES = 8 * 2**20
MAX_CATALOG_BYTES = 128 * 2**20
MAX_SECONDS = 300.0
MAX_DEPTH = 16

_TELL_HOST = "Tell the host of the catalog, or give another one"


@dataclass
class Listing:
    """Models of a folder or a catalog.

    Attributes:
        place: folder, file or address.
        models: in the order of the place.
        cards: of the models of a folder; none of a catalog, which may say otherwise.
        faults: name of each entry that is no usable model, and why.
    """

    place: str
    models: list[ListedModel] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)
    faults: list[tuple[str, SwathError]] = field(default_factory=list)

    def add(self, path: Path) -> None:
        """Add a model file.

        Raises:
            ModelError: the file is damaged or no model.
        """
        file, size = ModelFile(path), path.stat().st_size
        listed = ListedModel.of_card(file.card, path.stem, str(path), None, size, file.digest)
        self.models.append(listed)
        self.cards.append(file.card)


def list_folder(folder: Path) -> Listing:
    """List the model files of a folder, or one model file.

    Raises:
        ModelError: a single file is no model, or the folder has none.
    """
    if not folder.is_dir():
        listing = Listing(str(folder))
        listing.add(folder)
        return listing
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ENDING)
    if not files:
        fix = f"Give a folder with *{ENDING} files, or a catalog: a file or an address"
        raise ModelError(f"The folder has no *{ENDING}", code="no-models", file=folder, fix=fix)
    listing = Listing(str(folder))
    for path in files:
        try:
            listing.add(path)
        except ModelError as error:
            listing.faults.append((path.stem, error))
    return listing


def list_catalog(catalog: PathLike) -> Listing:
    """List the models of a static STAC catalog.

    Links of `child` and `item` are followed. An item that is no model, or cannot be read, is a
    fault of the listing.

    Args:
        catalog: a catalog, a collection or one item: a file, or an address of http or https.

    Raises:
        DataError: it cannot be read, is no STAC, links to itself, or is too large.
        JobError: the server cannot be reached or is too slow.
    """
    place = LinkedFile.of(catalog)
    listing = Listing(place.href)
    _Reader(listing).read(place, ())
    return listing


class _Reader:
    """Reads one catalog within the limits."""

    def __init__(self, listing: Listing) -> None:
        self._listing, self._seen, self._bytes, self._links = listing, set[str](), 0, 0
        self._deadline = time.monotonic() + MAX_SECONDS

    def read(self, place: LinkedFile, above: tuple[str, ...]) -> None:
        """Read a document, and all that it links to."""
        if place.href in above:
            raise self._hostile("catalog-loop", f"The catalog links to itself: {place.href}")
        if place.href in self._seen:
            return
        self._seen.add(place.href)
        document = self._document(place, len(above))
        kind = document.get("type")
        if kind == "Feature":
            self._add(document, place, is_alone=not above)
            return
        if kind not in ("Catalog", "Collection"):
            raise _not_stac(place.href, f"its type is {str(kind)[:40]!r}")
        for name, link in _links(document):
            self._links += 1
            if self._links > MAX_LINKS:
                message = f"The catalog has more than {MAX_LINKS} links"
                raise self._hostile("catalog-size", message)
            try:
                self.read(place.follow(link), (*above, place.href))
            except _Hostile:
                raise
            except (DataError, ModelError) as error:
                self._listing.faults.append((name, error))

    def _add(self, item: Mapping[str, Any], place: LinkedFile, is_alone: bool) -> None:
        """Add an item to the listing, or its fault where it is one of many."""
        name = str(item.get("id"))[:200]
        try:
            self._listing.models.append(_of_item(item, name, place))
        except (DataError, ModelError) as error:
            if is_alone:
                raise
            self._listing.faults.append((name, error))

    def _document(self, place: LinkedFile, depth: int) -> Mapping[str, Any]:
        if depth > MAX_DEPTH:
            message = f"The catalog is nested more than {MAX_DEPTH} times"
            raise self._hostile("catalog-size", message)
        if time.monotonic() > self._deadline:
            raise JobError(
                f"The catalog cannot be read within {MAX_SECONDS:.0f} s",
                code="too-slow",
                file=self._listing.place,
                fix="Give a smaller part of it, such as one item",
            )
        content = b"".join(place.chunks(MAX_DOCUMENT_BYTES, self._deadline))
        self._bytes += len(content)
        if self._bytes > MAX_CATALOG_BYTES:
            message = f"The catalog has more than {MAX_CATALOG_BYTES} bytes"
            raise self._hostile("catalog-size", message)
        try:
            document = json.loads(content, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise _not_stac(place.href, "it is no JSON") from error
        if not isinstance(document, dict) or "stac_version" not in document:
            raise _not_stac(place.href, "it has no stac_version")
        return document

    def _hostile(self, code: str, message: str) -> _Hostile:
        return _Hostile(message, code=code, file=self._listing.place, fix=_TELL_HOST)


class _Hostile(DataError):
    """The whole catalog is refused, not one document."""


def _links(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield title and address of the links that lead to models."""
    links = document.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") in ("child", "item"):
            href = link.get("href")
            yield str(link.get("title") or href)[:200], href


def _of_item(item: Mapping[str, Any], name: str, place: LinkedFile) -> ListedModel:
    """Return what an item lists.

    Raises:
        DataError: it has no asset, or several, that are model files, or a link or a digest that is
            refused.
        ModelError: it has no card of a model.
    """
    assets = item.get("assets")
    found = [
        asset
        for asset in (assets.values() if isinstance(assets, dict) else ())
        if isinstance(asset, dict) and _is_model(asset.get("href"))
    ]
    if len(found) != 1:
        message = f"The item has {len(found)} assets that are *{ENDING}, and one is wanted"
        raise DataError(message, code="item-assets", file=place.href, fix=_TELL_HOST)
    properties = item.get("properties")
    given = properties.get("license") if isinstance(properties, dict) else None
    return ListedModel.of_card(
        Card.from_stac(item, place.href),
        name,
        place.follow(found[0]["href"]).href,
        given[:200] if isinstance(given, str) else None,
        _size(found[0].get("file:size"), place.href),
        _sha256(found[0].get("file:checksum"), place.href),
    )


def _is_model(href: object) -> bool:
    if not isinstance(href, str):
        return False
    try:
        return unquote(urlsplit(href).path).lower().endswith(ENDING)
    except ValueError:  # such as an unclosed bracket
        return False


def _size(value: object, file: str) -> int | None:
    if value is None or (isinstance(value, int) and 0 < value <= MAX_BYTES):
        return value
    message = f"The size of the model is {str(value)[:40]}, not 1 to {MAX_BYTES} bytes"
    raise DataError(message, code="file-size", file=file, fix=_TELL_HOST)


def _sha256(value: object, file: str) -> str | None:
    """Return the hexadecimal digits of a multihash."""
    if value is None:
        return None
    text = str(value).lower()
    if re.fullmatch(SHA256 + "[0-9a-f]{64}", text):
        return text.removeprefix(SHA256)
    message = f"The digest {text[:80]!r} is no SHA-256 in the form of a multihash"
    fix = f"Ask the host of the catalog for `file:checksum`: {SHA256}, then 64 hexadecimal digits"
    raise DataError(message, code="digest-kind", file=file, fix=fix)


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a finite number")


def _not_stac(file: str, why: str) -> DataError:
    message = f"The file is no STAC catalog ({why})"
    fix = f"Give a {CATALOG_NAME}, its address, or a folder with *{ENDING} files"
    return DataError(message, code="not-a-catalog", file=file, fix=fix)
