"""STAC items as images: the rasters among their assets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from swath.errors import DataError
from swath.io.raster import EXTENSIONS

if TYPE_CHECKING:
    import pystac


def find_assets(path: Path, bands: Sequence[str]) -> tuple[str, list[str]]:
    """Return the id of a STAC item, and the path or URL of each band, or of its only raster.

    Args:
        path: file of the item.
        bands: names of the bands; an asset of one band has the band's name, its common name, or
            its own key.

    Raises:
        DataError: the file is no item, or its assets leave open which is meant.
    """
    import pystac

    try:
        item = pystac.Item.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - pystac raises what its parser meets
        message, fix = f"The file is no STAC item ({type(error).__name__})", "Give a raster or item"
        raise DataError(message, code="not-a-stac-item", file=path, fix=fix) from error
    assets = {key: asset for key, asset in item.assets.items() if _is_raster(asset)}
    by_band = {
        name: _href(asset) for key, asset in assets.items() for name in _band_names(key, asset)
    }
    if all(band in by_band for band in bands):
        return item.id, [by_band[band] for band in bands]
    data = [_href(a) for a in assets.values() if not a.roles or "data" in a.roles]
    if len(data) != 1:
        wanted = f"The item has no assets of the model's bands ({', '.join(bands)})"
        message, fix = f"{wanted}, and {len(data)} rasters with data", "Name the raster itself"
        raise DataError(message, code="band-missing", file=path, fix=fix)
    return item.id, data


def _href(asset: pystac.Asset) -> str:
    return asset.get_absolute_href() or asset.href


def _is_raster(asset: pystac.Asset) -> bool:
    kind = asset.media_type or ""
    return "tiff" in kind or "jp2" in kind or Path(_href(asset)).suffix.lower() in EXTENSIONS


def _band_names(key: str, asset: pystac.Asset) -> list[str]:
    """List the names of the only band of an asset; none for an asset of several bands."""
    bands = asset.extra_fields.get("eo:bands") or asset.extra_fields.get("bands") or [{}]
    if len(bands) != 1:
        return []
    names = [bands[0].get(word) for word in ("name", "common_name", "eo:common_name")]
    return [str(name) for name in (*names, key) if name]
