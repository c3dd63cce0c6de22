"""Products: images as the providers of sensors deliver them, one module a sensor.

A reader is a module that provides what `ProductReader` lists, and one row of `READERS`. All it
returns is a `Product`: bands under common names, what their numbers mean, and quality layers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from swath.errors import DataError
from swath.io.products import band_files, hls, landsat, planetscope, sentinel1, sentinel2, stac
from swath.io.products.bands import NOT_REFLECTIVE, sensor_key
from swath.io.products.reader import ProductFiles, ProductReader, is_archive
from swath.io.source_file import BandFile, Product
from swath.types import Faults, PathLike

__all__ = [
    "READERS",
    "ProductFiles",
    "ProductReader",
    "band_named",
    "choose_bands",
    "default_bands",
    "describe_band",
    "find_product",
    "find_products",
    "is_product_path",
]

READERS: dict[str, ProductReader] = {
    "sentinel-2": sentinel2,
    "landsat": landsat,
    "hls": hls,
    "planetscope": planetscope,
    "sentinel-1": sentinel1,
    "stac": stac,
}
"""Readers of sensors, by name; the first that recognizes a path reads it."""

_PRODUCT_NAME = re.compile(r"S[12][A-D]_|L[COTEM]0\d_|HLS\.|.*\.SAFE\b", re.IGNORECASE)

MAX_LEVELS = 3
"""Levels of folders below a folder in which products are looked for."""


def find_product(path: PathLike) -> Product | None:
    """Return the product at a path: a folder, an archive, one of its files, or a STAC item.

    A plain folder of band files is one, too.

    Returns:
        The product; None where the path is something else, such as a raster.

    Raises:
        DataError: the product is damaged, what is missing leaves nothing to use, or the path holds
            several products.
    """
    found = _products_at(path, {**READERS, "band files": band_files})
    if len(found) > 1:
        names = ", ".join(product.name for product in found)
        message = f"The path holds {len(found)} products ({names}), and one is wanted"
        fix = "Move each into a folder of its own, and name one"
        raise DataError(message, code="several-products", file=path, fix=fix)
    return found[0] if found else None


def find_products(
    path: PathLike, *, plain: bool = False, faults: Faults | None = None
) -> list[Product]:
    """Return the products at a path, or else in the folder of that path and those below.

    Args:
        path: see `find_product`.
        plain: whether plain folders of band files count, too.
        faults: takes the errors of products in folders; None where these are raised.

    Raises:
        DataError: a product is damaged, or what is missing leaves nothing to use.
    """
    readers = {**READERS, "band files": band_files} if plain else READERS
    return (
        list(_products_below(Path(path), readers, MAX_LEVELS, faults))
        if not stac.is_url(path)
        else [stac.read_item(path)]
    )


def _products_below(
    path: Path, readers: dict[str, ProductReader], levels: int, faults: Faults | None
) -> Iterator[Product]:
    found = _products_at(path, readers)
    yield from found
    if found or not levels or not path.is_dir():
        return
    for child in sorted(path.iterdir()):
        if child.name.startswith(".") or not (child.is_dir() or is_archive(child)):
            continue
        try:
            yield from _products_below(child, readers, levels - 1, faults)
        except DataError as error:
            if not child.is_dir() and not _PRODUCT_NAME.match(child.name):
                continue  # an archive of something else
            if faults is None:
                raise
            faults.append((str(child), error))


def _products_at(path: PathLike, readers: dict[str, ProductReader]) -> list[Product]:
    if stac.is_url(path):
        return [stac.read_item(path)]
    if "://" in str(path) or not Path(path).exists():
        return []
    files = ProductFiles(path)
    for reader in readers.values():
        names = reader.find(files)
        if names:
            return [reader.read(files, name) for name in names]
    return []


def is_product_path(path: PathLike, *, plain: bool = False) -> bool:
    """Return whether a path is that of a folder, archive or file that a reader finds.

    Only names are read, no metadata.

    Args:
        path: see `find_product`.
        plain: whether a plain folder of band files counts, too.
    """
    if "://" in str(path) or not Path(path).exists():
        return stac.is_url(path)
    files = ProductFiles(path)
    if any(reader.find(files) for reader in READERS.values()):
        return True
    return plain and bool(band_files.find(files))


def default_bands(product: Product) -> tuple[BandFile, ...]:
    """Return the bands that are taken where none are asked for: all reflective ones.

    Of a product without any, all.
    """
    found = tuple(band for band in product.bands if band.name not in NOT_REFLECTIVE)
    return found or product.bands


def band_named(product: Product, name: str) -> BandFile | None:
    """Return the band of a common name, or of the sensor's own name; None where there is none."""
    for band in product.bands:
        if band.name.casefold() == name.casefold():
            return band
    key = sensor_key(name)
    return next((band for band in product.bands if sensor_key(band.sensor_name) == key), None)


def choose_bands(product: Product, names: Sequence[str]) -> tuple[BandFile, ...]:
    """Return the bands of some names, common or the sensor's own, in their order.

    A number counts the default bands from 1.

    Raises:
        DataError: the product has no such band, or two names are of one.
    """
    numbered = {str(i): band for i, band in enumerate(default_bands(product), 1)}
    found = {name: band_named(product, name) or numbered.get(name) for name in names}
    missing = [name for name, band in found.items() if band is None]
    if missing:
        have = ", ".join(describe_band(band) for band in product.bands)
        message = f"The product has no band {', '.join(missing)} of those wanted "
        message += f"({', '.join(names)}); {product.name} has {have}"
        fix = "Choose among these by --select-bands, or take a model of other bands"
        raise DataError(message, code="band-missing", file=product.path, fix=fix)
    bands = tuple(band for band in found.values() if band is not None)
    if len({(band.path, band.index) for band in bands}) < len(names):
        message = f"A band is selected twice ({', '.join(names)})"
        fix = "Name each band once"
        raise DataError(message, code="band-twice", file=product.path, fix=fix)
    return bands


def describe_band(band: BandFile) -> str:
    """Return the common name of a band and the sensor's own, such as `red (B04)`."""
    same = band.sensor_name.casefold() in ("", band.name.casefold())
    return band.name if same else f"{band.name} ({band.sensor_name})"
