"""STAC items, local and https: each asset's bands with scale, offset and nodata."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urljoin
from urllib.request import url2pathname

from swath.errors import DataError
from swath.io.products import hls, landsat, sentinel2
from swath.io.products.bands import (
    ALIASES,
    LANDSAT,
    NOT_REFLECTIVE,
    SENSORS,
    SensorBand,
    SensorBands,
    sensor_key,
)
from swath.io.products.reader import MAX_METADATA_BYTES, ProductFiles, incomplete, utc
from swath.io.products.sentinel1 import UNCALIBRATED
from swath.io.raster import EXTENSIONS
from swath.io.source_file import BandFile, Product, QualityFile, QualityKind
from swath.io.web import is_web, read_url
from swath.types import PathLike

Fields: TypeAlias = dict[str, Any]

_QUALITY: dict[str, QualityKind] = {
    "scl": "scl",
    "scl-20m": "scl",
    "scl_20m": "scl",
    "qa_pixel": "qa_pixel",
    "qa_radsat": "qa_radsat",
    "fmask": "fmask",
    "udm2": "udm2",
    "ortho_udm2": "udm2",
    "udm": "udm1",
}
"""Kind of a quality layer by the key of its asset."""

_PICTURES = frozenset({"thumbnail", "overview", "visual"})
_OTHER_ROLES = _PICTURES | {"metadata", "cloud", "snow-ice", "water-mask", "saturation"}


class _Numbers(NamedTuple):
    """What the numbers of a band mean where the item does not tell."""

    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None


def find(files: ProductFiles) -> list[str]:
    """Return the id of the item in a JSON file; nothing for another GeoJSON."""
    if files.chosen is None or not files.chosen.lower().endswith((".json", ".geojson")):
        return []
    item = _load(files.path)
    return [] if item is None else [str(item["id"])]


def read(files: ProductFiles, name: str) -> Product:
    """Describe the item in a JSON file; see `read_item`."""
    return read_item(files.path)


def is_url(path: PathLike) -> bool:
    """Return whether a path is the URL of what may be a STAC item."""
    text = str(path)
    if not is_web(text):
        return False
    bare = text.partition("?")[0]
    return bare.lower().endswith((".json", ".geojson")) or "/items/" in bare


def read_item(path: PathLike) -> Product:
    """Describe a STAC item; visual assets and pictures are no bands.

    Args:
        path: file or URL of the item.

    Raises:
        DataError: the file is no item, or none of its assets is a raster of bands.
    """
    item = _load(path)
    if item is None:
        message, fix = "The file is no STAC item", "Give a raster or item"
        raise DataError(message, code="not-a-stac-item", file=path, fix=fix)
    found: list[tuple[float, BandFile]] = []
    quality: list[QualityFile] = []
    sensor = _sensor(item)
    for key, asset in item["assets"].items():
        if not _is_raster(asset):
            continue
        kind = _QUALITY.get(key.lower())
        href = _absolute(asset["href"], path)
        if kind is not None:
            quality.append(QualityFile(path=href, kind=kind))
        elif not _OTHER_ROLES & set(asset.get("roles") or ()):
            bands_of_asset = _bands_of(key, asset, href, item, sensor)
            found += [(_resolution(key, asset), band) for band in bands_of_asset]
    bands = _distinct(found, sensor) or _only_picture(item, path)
    if not bands:
        raise incomplete(path, "no asset of the item is a raster of bands", "Name the raster")
    local = "://" not in str(path)
    return Product(
        name=str(item["id"]),
        sensor=sensor or str(item["properties"].get("constellation") or "unknown"),
        level=_level(item),
        acquired=utc(
            item["properties"].get("datetime") or item["properties"].get("start_datetime")
        ),
        baseline=_baseline(item),
        bands=tuple(bands),
        quality=tuple(quality),
        files=(str(Path(path).resolve()),) if local else (),
        warnings=tuple(_warnings(item, sensor, bands)),
    )


def _load(path: PathLike) -> Fields | None:
    """Return an item; None for JSON that is none.

    Raises:
        DataError: the file or URL cannot be read, or holds no JSON.
        JobError: the server cannot be reached.
    """
    try:
        content = _content(path)
        if b'"stac_version"' not in content:
            return None  # such as labels, which may be large
        item = json.loads(content)
    except (ValueError, RecursionError, OSError) as error:
        message = f"The file is no STAC item ({type(error).__name__})"
        fix = "Give a raster or item, and check path or URL"
        raise DataError(message, code="not-a-stac-item", file=path, fix=fix) from error
    if not isinstance(item, dict) or "stac_version" not in item or item.get("type") != "Feature":
        return None
    assets = item.get("assets")
    if not isinstance(assets, dict) or "id" not in item:
        return None
    properties = item.get("properties")
    return item | {
        "assets": {k: a for k, a in assets.items() if isinstance(a, dict) and a.get("href")},
        "properties": properties if isinstance(properties, dict) else {},
    }


def _content(path: PathLike) -> bytes:
    if "://" not in str(path):
        with Path(path).open("rb") as file:
            return file.read(MAX_METADATA_BYTES)
    return read_url(str(path), MAX_METADATA_BYTES)


def _absolute(href: str, item: PathLike) -> str:
    """Return what GDAL opens for an asset's link, which may be relative to the item."""
    if "://" in str(item):
        return href if href.startswith("/vsi") else urljoin(str(item), href)
    if href.startswith("file://"):
        return url2pathname(href.removeprefix("file://"))
    if "://" in href or href.startswith("/vsi"):
        return href
    return str((Path(item).parent / href).resolve())


def _is_raster(asset: Fields) -> bool:
    kind = str(asset.get("type") or "")
    ending = Path(str(asset["href"]).partition("?")[0]).suffix.lower()
    return "tiff" in kind or "jp2" in kind or ending in EXTENSIONS


def _sensor(item: Fields) -> str | None:
    """Return the sensor of an item, if Swath has its table."""
    properties = item["properties"]
    words = " ".join(
        str(word).lower()
        for word in (item.get("collection"), properties.get("constellation"), item["id"])
        if word
    )
    platform = str(properties.get("platform") or "").lower().replace("_", "-")
    for start, sensor in (("hls.l30", "hls-l30"), ("hls.s30", "hls-s30")):
        if start in words or start.replace(".", "") in words:
            return sensor
    if platform in SENSORS:
        return platform
    kinds = {"sentinel-2": "sentinel-2", "sentinel-1": "sentinel-1"}
    return next((kinds[k] for k in kinds if platform.startswith(k) or k in words), None)


def _bands_of(
    key: str, asset: Fields, href: str, item: Fields, sensor: str | None
) -> Iterator[BandFile]:
    """Yield the bands of an asset, with the names and numbers that item and asset tell.

    Of a known sensor only its bands are: other assets are of aerosol, water vapor, angles.
    """
    described, table = _descriptions(asset), SENSORS.get(sensor or "", {})
    for index, fields in enumerate(described, 1):
        own = str(fields.get("name") or (key if len(described) == 1 else f"{key}-{index}"))
        common = str(fields.get("common_name") or fields.get("eo:common_name") or own)
        words = [own, key, common] if len(described) == 1 else [own, common]
        found = _in_table(table, words)
        if table and found is None:
            continue
        sensor_name, known = found or (own, SensorBand(ALIASES.get(common, common)))
        numbers = _numbers(fields, item, sensor, known.name)
        wavelength = _number(fields, ("center_wavelength", "eo:center_wavelength"))
        radar = sensor == "sentinel-1"
        amplitude = radar and not _is_corrected(item)
        if amplitude and numbers.nodata is None:
            numbers = numbers._replace(nodata=0.0)
        yield BandFile(
            path=href,
            index=index,
            name=known.name,
            sensor_name=sensor_name,
            wavelength=known.wavelength if wavelength is None else wavelength,
            scale=numbers.scale,
            offset=numbers.offset,
            nodata=numbers.nodata,
            decibels=radar,
            amplitude=amplitude,
        )


def _in_table(table: SensorBands, words: Sequence[str]) -> tuple[str, SensorBand] | None:
    """Return the band of a sensor that one of some words names: its own name, or a common one."""
    by_name = {band.name: own for own, band in table.items()}
    by_key = {sensor_key(own): own for own in table}
    for word in words:
        own = by_key.get(sensor_key(word)) or by_name.get(ALIASES.get(word, word))
        if own is not None:
            return own, table[own]
    return None


def _numbers(fields: Fields, item: Fields, sensor: str | None, name: str) -> _Numbers:
    """Return scale, offset and nodata of a band: the item's, else those of the documentation."""
    usual = _usual_numbers(item, sensor, name)
    scale = _number(fields, ("scale", "raster:scale"))
    offset = _number(fields, ("offset", "raster:offset"))
    if scale is None and offset is None:
        scale, offset = usual.scale, usual.offset
    elif sensor == "sentinel-2" and _offset_applied(item):
        offset = 0.0  # the pixels hold it already, though `raster:bands` names it
    nodata = _number(fields, ("nodata",))
    if nodata is not None and not math.isfinite(nodata):
        nodata = None  # no data in any raster
    elif nodata is None:
        nodata = usual.nodata
    return _Numbers(
        1.0 if scale is None else scale,
        0.0 if offset is None else offset,
        nodata,
    )


def _descriptions(asset: Fields) -> list[Fields]:
    """Return the fields of each band: `bands`, else `eo:bands`, and `raster:bands`."""
    lists = [
        [f for f in asset.get(word) or [] if isinstance(f, dict)]
        for word in ("eo:bands", "raster:bands", "bands")
    ]
    shared = {k: v for k, v in asset.items() if k in _SHARED}
    count = max(1, *map(len, lists))
    out = [dict(shared) for _ in range(count)]
    for found in lists:
        for fields, new in zip(out, found, strict=False):
            fields.update(new)
    return out


_SHARED = (
    "raster:scale",
    "raster:offset",
    "raster:spatial_resolution",
    "nodata",
    "eo:common_name",
    "eo:center_wavelength",
)
"""Fields of STAC 1.1 that an asset has for all of its bands."""


def _number(fields: Fields, names: Sequence[str]) -> float | None:
    """Return the first of some fields that is a number; `nan` as text is one, too."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, str) and value.lower() in ("nan", "inf", "-inf"):
            return float(value)
    return None


def _usual_numbers(item: Fields, sensor: str | None, name: str) -> _Numbers:
    """Return scale, offset and nodata that a sensor's documentation gives, for items without."""
    thermal = name in NOT_REFLECTIVE and name != "pan"
    if sensor == "sentinel-2":
        baseline = _number_of(_baseline(item))
        shifted = baseline is not None and baseline >= sentinel2.FIRST_SHIFTED_BASELINE
        offset = -0.1 if shifted and not _offset_applied(item) else 0.0
        return _Numbers(0.0001, offset, sentinel2.NODATA)
    if sensor in ("hls-l30", "hls-s30"):
        return _Numbers(hls.THERMAL_SCALE if thermal else hls.SCALE, 0.0, hls.NODATA)
    if sensor in LANDSAT and _level(item).startswith("L2"):
        if thermal:
            return _Numbers(landsat.THERMAL_SCALE, landsat.THERMAL_OFFSET, landsat.NODATA)
        return _Numbers(landsat.SCALE, landsat.OFFSET, landsat.NODATA)
    return _Numbers()


def _offset_applied(item: Fields) -> bool:
    return item["properties"].get("earthsearch:boa_offset_applied") is True


def _number_of(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _baseline(item: Fields) -> str | None:
    properties = item["properties"]
    words = ("s2:processing_baseline", "processing:version")
    return next((str(properties[word]) for word in words if properties.get(word)), None)


def _level(item: Fields) -> str:
    """Return the level of processing, such as L2A; empty where the item does not tell."""
    properties = item["properties"]
    for word in ("landsat:correction", "s2:product_type", "sar:product_type", "processing:level"):
        if properties.get(word):
            return str(properties[word]).removeprefix("S2MSI")
    return ""


def _is_corrected(item: Fields) -> bool:
    return "rtc" in f"{item.get('collection')} {item['id']}".lower()


def _warnings(item: Fields, sensor: str | None, bands: Sequence[BandFile]) -> Iterator[str]:
    """Yield what is not known of the numbers of an item of a known sensor."""
    if sensor == "sentinel-1":
        if not _is_corrected(item):
            yield UNCALIBRATED
        return
    stored = [b.sensor_name for b in bands if (b.scale, b.offset) == (1.0, 0.0)]
    if sensor is not None and stored:
        yield f"The item tells no scale of {', '.join(stored)}: numbers are taken as stored."
    told = any(
        _number(fields, ("offset", "raster:offset")) is not None
        for asset in item["assets"].values()
        for fields in _descriptions(asset)
    )
    if sensor == "sentinel-2" and not told and not _offset_applied(item) and not _baseline(item):
        yield (
            "The item tells no processing baseline, so the offset of Sentinel-2 since 04.00 (-0.1) "
            "is not known, and none was taken."
        )


def _resolution(key: str, asset: Fields) -> float:
    """Return the size of an asset's pixels in meters, 0 where it is not told."""
    fields = _descriptions(asset)[0] | {"gsd": asset.get("gsd")}
    told = _number(fields, ("gsd", "raster:spatial_resolution", "spatial_resolution"))
    if told is not None:
        return told
    match = re.search(r"_(\d+)m$", key)
    return float(match[1]) if match else 0.0


def _distinct(found: Sequence[tuple[float, BandFile]], sensor: str | None) -> list[BandFile]:
    """Return one file of each band, in the sensor's order.

    That is of an asset of one band, of the native resolution, else the finest.
    """
    bands = [band for _, band in found]
    per_path = Counter(band.path for band in bands)

    def rank(one: tuple[float, BandFile]) -> tuple[bool, bool, float]:
        meters, band = one
        native = sentinel2.NATIVE.get(band.sensor_name, 20) if sensor == "sentinel-2" else meters
        return per_path[band.path] > 1, meters != native, meters

    chosen: dict[str, BandFile] = {}
    for _, band in sorted(found, key=rank):
        key = band.sensor_name if sensor in SENSORS else f"{band.name} {band.sensor_name}"
        chosen.setdefault(key, band)
    if sensor not in SENSORS:
        return _with_distinct_names([band for band in bands if band in chosen.values()])
    return [chosen[own] for own in SENSORS[sensor] if own in chosen]


def _with_distinct_names(bands: Sequence[BandFile]) -> list[BandFile]:
    """Return bands of which those that share a common name go by their own."""
    count = Counter(band.name for band in bands)
    return [
        band if count[band.name] == 1 else band.model_copy(update={"name": band.sensor_name})
        for band in bands
    ]


def _only_picture(item: Fields, path: PathLike) -> list[BandFile]:
    """Return the bands of the only raster among an item's pictures; none of several."""
    rasters = {k: a for k, a in item["assets"].items() if _is_raster(a) and not _is_preview(a)}
    if len(rasters) != 1:
        return []
    ((key, asset),) = rasters.items()
    return list(_bands_of(key, asset, _absolute(asset["href"], path), item, None))


def _is_preview(asset: Fields) -> bool:
    return bool({"thumbnail", "overview"} & set(asset.get("roles") or ()))
