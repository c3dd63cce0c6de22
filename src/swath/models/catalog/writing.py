"""Write a static STAC catalog of a folder of models."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from swath.errors import JobError
from swath.io.atomic import atomic_file
from swath.models.card import Card
from swath.models.catalog.entry import ListedModel
from swath.models.catalog.reading import CATALOG_NAME, SHA256, Listing

FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
_ROOT = {"rel": "root", "href": f"./{CATALOG_NAME}", "type": "application/json"}


def write_catalog(folder: Path, listing: Listing, license: str | None) -> Path:
    """Write `catalog.json`, and beside each model its item, `NAME.swath.json`.

    All links are relative, so that the folder can be put on any web server.

    Args:
        folder: of the models.
        listing: what it holds, of `list_folder`.
        license: of the models that name none.

    Returns:
        The catalog.

    Raises:
        ModelError: a file is damaged or no model.
        JobError: a `catalog.json` of another origin is in the place, or the disk takes no file.
    """
    for _, error in listing.faults:
        raise error
    path = folder / CATALOG_NAME
    if path.exists() and not _is_catalog(path):
        message, fix = "The file is no STAC catalog, so it is not replaced", "Move it elsewhere"
        raise JobError(message, code="foreign-file", file=path, fix=fix)
    links = [_ROOT]
    for model, card in zip(listing.models, listing.cards, strict=True):
        file = Path(model.file)
        item = _item(model, card, license)
        _write(file.with_name(f"{file.name}.json"), item)
        href = f"./{quote(os.fsencode(file.name))}.json"
        links.append({"rel": "item", "href": href, "type": "application/geo+json"})
    catalog = {
        "type": "Catalog",
        "id": folder.resolve().name or "models",
        "stac_version": item["stac_version"],
        "description": f"{len(listing.models)} land-cover models of Swath",
        "links": links,
    }
    _write(path, catalog)
    return path


def _item(model: ListedModel, card: Card, license: str | None) -> dict[str, Any]:
    """Return the item of a model, which is its card without what only training reads."""
    file, item = Path(model.file), _shortened(card).to_stac()
    item["id"] = file.stem
    item["links"] = [_ROOT, {**_ROOT, "rel": "parent"}]
    item["stac_extensions"].append(FILE_EXTENSION)
    if license is not None:
        item["properties"].setdefault("license", license)
    item["assets"] = {
        "model": {
            "href": f"./{quote(os.fsencode(file.name))}",
            "title": "The model file",
            "type": "application/zip",
            "roles": ["mlm:model"],
            "file:size": model.bytes,
            "file:checksum": f"{SHA256}{model.sha256}",
        }
    }
    return item


def _shortened(card: Card) -> Card:
    training = card.training and card.training.model_copy(update={"curve": []})
    return card.model_copy(update={"training": training, "ood": None})


def _is_catalog(path: Path) -> bool:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("type") == "Catalog" and "stac_version" in found


def _write(path: Path, content: dict[str, Any]) -> None:
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
