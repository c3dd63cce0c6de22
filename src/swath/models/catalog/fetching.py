"""Fetch a model that a catalog lists: whole, as its digest says, and checked."""

from __future__ import annotations

import hashlib
from difflib import get_close_matches
from pathlib import Path

from swath.errors import DataError, JobError, ModelError
from swath.io.atomic import atomic_file
from swath.io.web import is_web
from swath.models.catalog.entry import ListedModel
from swath.models.catalog.linked_file import LinkedFile
from swath.models.catalog.reading import Listing
from swath.models.model_file import MAX_BYTES, ModelFile
from swath.progress import task

_TELL_HOST = "Do not use the file, and tell the host of the catalog"


def find_model(listing: Listing, name: str) -> ListedModel:
    """Return the model of a name.

    Raises:
        SwathError: the entry of this name is no usable model.
        DataError: there is none, or several.
    """
    found = [model for model in listing.models if model.name == name]
    if len(found) == 1:
        return found[0]
    for faulty, error in listing.faults:
        if faulty == name and not found:
            raise error
    names = [model.name for model in listing.models]
    if found:
        message = f"The catalog has {len(found)} models of the name {name!r}"
        fix = "Give the item of the one that you want instead of the catalog"
        raise DataError(message, code="name-ambiguous", file=listing.place, fix=fix)
    near = get_close_matches(name, names, 3) or names[:10]
    fix = f"Choose one of: {', '.join(near)}" if near else "Give another catalog"
    message = f"The catalog has no model {name[:80]!r}"
    raise DataError(message, code="model-unknown", file=listing.place, fix=fix)


def fetch_model(model: ListedModel, path: Path) -> ListedModel:
    """Write a model file, whole or not at all, after all checks of a stranger's model.

    Returns:
        What the file itself says, which replaces what the catalog says.

    Raises:
        DataError: the catalog gives no digest, or the file has another digest or size.
        ModelError: the file is damaged, too new, or no model.
        JobError: the server cannot be reached, or the file cannot be written.
    """
    if model.sha256 is None:
        message = "The catalog gives no digest of the model, so what is fetched cannot be checked"
        fix = "Ask its host for `file:checksum`, as `swath models FOLDER --write-catalog` writes it"
        raise DataError(message, code="digest-missing", file=model.file, fix=fix)
    limit = MAX_BYTES if model.bytes is None else model.bytes
    digest, size = hashlib.sha256(), 0
    with atomic_file(path) as partial:
        with partial.open("wb") as file, task(f"fetching {model.name}", limit, "bytes") as bar:
            for chunk in LinkedFile.of(model.file).chunks(limit):
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
                bar.advance(len(chunk))
        if model.bytes is not None and size < model.bytes:
            message = f"The file has {size} of the {model.bytes} bytes that the catalog says"
            fix = "Run the command again" if is_web(model.file) else _TELL_HOST
            raise JobError(message, code="truncated-download", file=model.file, fix=fix)
        if digest.hexdigest() != model.sha256:
            message = "The file is not the one that the catalog says: its digest is another"
            raise DataError(message, code="digest-differs", file=model.file, fix=_TELL_HOST)
        try:
            card = ModelFile(partial).card
        except ModelError as error:
            fix = (error.code == "newer-format" and error.fix) or _TELL_HOST
            raise ModelError(error.message, code=error.code, file=model.file, fix=fix) from error
    return ListedModel.of_card(card, model.name, str(path), model.license, size, digest.hexdigest())
