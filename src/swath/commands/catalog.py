"""`swath models`: list models of a folder or a catalog, fetch one, and write a catalog."""

from __future__ import annotations

import shlex
from pathlib import Path

from swath.commands.base import check_ending, command
from swath.errors import UsageError
from swath.io.atomic import refuse_replaced
from swath.models.catalog.entry import ListedModel
from swath.models.catalog.fetching import fetch_model, find_model
from swath.models.catalog.reading import CATALOG_NAME, ENDING, Listing, list_catalog, list_folder
from swath.models.catalog.writing import write_catalog
from swath.options import ModelsOptions
from swath.types import Result


class CatalogResult(Result):
    """Models of a place.

    Attributes:
        place: folder, file or address.
        models: what it lists; after a model was fetched, that one, as its file describes it.
        file: model file that was written; None for none.
        catalog: catalog that was written; None for none.
        warnings: entries that are no usable model, and why; where a file is not as listed.
    """

    place: str
    models: list[ListedModel]
    file: str | None = None
    catalog: str | None = None
    warnings: list[str] = []


@command(ModelsOptions)
def catalog(options: ModelsOptions) -> CatalogResult:
    """List models with bands, classes, resolution, license, scores and size; fetch one.

    A catalog is a static STAC catalog: JSON documents that link each other by `child` and `item`.
    Each item is the card of a model (STAC with the MLM extension, Swath's fields under
    `swath:card`), with one asset whose address ends in `.swath`. Its `file:checksum` is the SHA-256
    as a multihash (`1220`, then 64 hexadecimal digits), its `file:size` the bytes (STAC file
    extension). Relative links must stay in the folder of the catalog; others are of http or https,
    and of https where they are linked from https. `write_catalog=True` writes all of it.

    Raises:
        DataError: the catalog cannot be read, is refused, or has no such model; or the file is not
            the one that it says.
        ModelError: a model is damaged, too new, or none.
        JobError: the server cannot be reached or is too slow, or a file cannot be written.
        UsageError: options contradict each other.
    """
    place = Path(options.place)
    is_local = place.is_dir() or place.suffix.lower() == ENDING and "://" not in str(options.place)
    if options.write_catalog and not place.is_dir():
        message, fix = "A catalog is written of a folder", f"Give a folder with *{ENDING} files"
        raise UsageError(message, code="not-a-folder", file=place, fix=fix)
    if options.name is not None and is_local:
        inside = shlex.quote(str(place / CATALOG_NAME))
        message = "A model is fetched from a catalog, and this is none"
        fix = f"Give {inside}, after `swath models {shlex.quote(str(place))} --write-catalog`"
        raise UsageError(message, code="not-a-catalog", file=place, fix=fix)
    listing = list_folder(place) if is_local else list_catalog(options.place)
    faults = [str(error) for _, error in listing.faults]
    if options.write_catalog:
        path = write_catalog(place, listing, options.license)
        return CatalogResult(place=listing.place, models=listing.models, catalog=str(path))
    if options.name is None or options.file is None:
        return CatalogResult(place=listing.place, models=listing.models, warnings=faults)
    return _fetched(listing, options.name, Path(options.file))


def _fetched(listing: Listing, name: str, path: Path) -> CatalogResult:
    """Fetch a model; warn of what its file says otherwise than the catalog."""
    check_ending(path, (ENDING,), "FILE")
    listed = find_model(listing, name)
    refuse_replaced([path], [listed.file], "Give another FILE")
    model = fetch_model(listed, path)
    warnings = [
        f"The catalog says other {field} than the model file, which counts"
        for field in ("bands", "classes", "gsd")
        if getattr(listed, field) != getattr(model, field)
    ]
    return CatalogResult(place=listing.place, models=[model], file=str(path), warnings=warnings)
