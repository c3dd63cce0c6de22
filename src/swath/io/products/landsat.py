"""Landsat 4 to 9, Collection 2, levels 1 and 2: folders and tar archives."""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeAlias
from xml.etree.ElementTree import Element

from swath.io.products.bands import LANDSAT
from swath.io.products.reader import (
    ProductFiles,
    damaged,
    incomplete,
    number,
    parse_xml,
    utc,
)
from swath.io.source_file import BandFile, Product, QualityFile, QualityKind

SCALE, OFFSET = 0.0000275, -0.2
"""Of surface reflectance in all of Collection 2, where the metadata are missing."""

THERMAL_SCALE, THERMAL_OFFSET = 0.00341802, 149.0
"""Of surface temperature in kelvin, likewise."""

NODATA = 0.0

Metadata: TypeAlias = dict[str, dict[str, str]]
"""Values by key, by group."""

_SCENE = r"(?P<scene>L[COTEM]0[4-9]_(?P<level>L[12]\w{2})_\d{6}_(?P<date>\d{8})_\d{8}_02_\w\w)"
_METADATA = re.compile(rf"{_SCENE}_MTL\.(?P<format>json|txt|xml)", re.IGNORECASE)
_IMAGE = re.compile(rf"{_SCENE}_(?:(?P<kind>SR|ST)_)?(?P<band>B\d\d?)\.tiff?", re.IGNORECASE)
_QUALITY = re.compile(rf"{_SCENE}_(?P<kind>QA_PIXEL|QA_RADSAT)\.tiff?", re.IGNORECASE)

_FORMATS = ("json", "txt", "xml")


def find(files: ProductFiles) -> list[str]:
    """Return the names of the scenes, by metadata or images of bands."""
    if files.chosen is not None:
        match = _METADATA.fullmatch(files.chosen)
        return [match["scene"]] if match else []
    found = [*files.matching(_METADATA, files.top), *files.matching(_IMAGE, files.top)]
    return sorted({match["scene"] for match in found})


def read(files: ProductFiles, name: str) -> Product:
    """Describe a scene.

    Raises:
        DataError: metadata are damaged, those of level 1 are missing, or there is no band.
    """
    own = [m for m in files.matching(_METADATA, files.top) if m["scene"] == name]
    own.sort(key=lambda match: _FORMATS.index(match["format"].lower()))
    images = [m for m in files.matching(_IMAGE, files.top) if m["scene"] == name]
    if not images:
        raise incomplete(files.path, f"{own[0][0]} is there, and no image of a band")
    level = images[0]["level"].upper()
    if not own and level.startswith("L1"):
        raise incomplete(files.path, f"its metadata, {name}_MTL.json, are missing")
    file = own[0][0] if own else None
    metadata = _parse(files, file) if file else {}
    source = files.source(file) if file else str(files.path)
    sensor = f"landsat-{int(name[2:4])}"
    bands = _bands(files, images, metadata, sensor, source)
    if not bands:
        raise incomplete(files.path, f"no image of a band of {sensor} is there")
    warnings = [] if file else [f"The metadata, {name}_MTL.json, are missing: usual scale taken."]
    missing = _missing(metadata, files)
    if missing:
        warnings.append(f"Files are listed in the metadata, and missing: {', '.join(missing)}.")
    kinds: dict[str, QualityKind] = {"QA_PIXEL": "qa_pixel", "QA_RADSAT": "qa_radsat"}
    quality = [m for m in files.matching(_QUALITY, files.top) if m["scene"] == name]
    if not any(m["kind"].upper() == "QA_PIXEL" for m in quality):
        warnings.append("QA_PIXEL is missing: clouds are not known.")
    return Product(
        name=name,
        sensor=sensor,
        level=level,
        acquired=_acquired(metadata, images[0]["date"]),
        baseline=metadata.get("PRODUCT_CONTENTS", {}).get("PROCESSING_SOFTWARE_VERSION")
        or metadata.get("LEVEL1_PROCESSING_RECORD", {}).get("PROCESSING_SOFTWARE_VERSION"),
        bands=tuple(bands),
        quality=tuple(
            QualityFile(path=files.gdal_path(m[0]), kind=kinds[m["kind"].upper()]) for m in quality
        ),
        files=(source,) if file or files.is_archive else (),
        warnings=tuple(warnings),
    )


def _bands(
    files: ProductFiles,
    images: list[re.Match[str]],
    metadata: Metadata,
    sensor: str,
    source: str,
) -> list[BandFile]:
    table, out = LANDSAT[sensor], []
    of_band = {(m["kind"] or "").upper() + m["band"].upper(): m for m in images}
    for own, band in table.items():
        match = next((of_band[k] for k in (f"SR{own}", f"ST{own}", own) if k in of_band), None)
        if match is None:
            continue
        scaling = _scaling(match, metadata, source)
        if scaling is None:
            continue
        out.append(
            BandFile(
                path=files.gdal_path(match[0]),
                name=band.name,
                sensor_name=own,
                wavelength=band.wavelength,
                scale=scaling[0],
                offset=scaling[1],
                nodata=NODATA,
            )
        )
    return out


def _scaling(match: re.Match[str], metadata: Metadata, source: str) -> tuple[float, float] | None:
    """Return scale and offset of an image; None for radiance of thermal bands (level 1)."""
    kind, number_of_band = (match["kind"] or "").upper(), match["band"][1:]
    if kind and not metadata:
        return (SCALE, OFFSET) if kind == "SR" else (THERMAL_SCALE, THERMAL_OFFSET)
    if kind == "ST":
        group, word, band = "SURFACE_TEMPERATURE", "TEMPERATURE", f"ST_B{number_of_band}"
    else:
        group, word, band = "SURFACE_REFLECTANCE", "REFLECTANCE", number_of_band
    name = f"LEVEL2_{group}_PARAMETERS" if kind else "LEVEL1_RADIOMETRIC_RESCALING"
    values = metadata.get(name, {})
    keys = [f"{word}_{part}_BAND_{band}" for part in ("MULT", "ADD")]
    if not kind and keys[0] not in values:
        if f"RADIANCE_MULT_BAND_{band}" in values:
            return None
        raise damaged(source, f"{keys[0]} is missing from {name} of the metadata")
    scale, offset = (number(values.get(key), f"{key} in {name}", source) for key in keys)
    if kind:
        return scale, offset
    elevation = metadata.get("IMAGE_ATTRIBUTES", {}).get("SUN_ELEVATION")
    sun = math.sin(math.radians(number(elevation, "SUN_ELEVATION", source)))
    if sun <= 0:
        message = f"SUN_ELEVATION is {elevation} degrees: a night scene has no reflectance"
        raise damaged(source, message)
    return scale / sun, offset / sun


def _missing(metadata: Metadata, files: ProductFiles) -> list[str]:
    """Return the listed images of bands and quality that are not there."""
    present = set(files.top)
    wanted = re.compile(r"FILE_NAME_(BAND_.*|QUALITY_L1_.*)")
    listed = [v for k, v in metadata.get("PRODUCT_CONTENTS", {}).items() if wanted.fullmatch(k)]
    return sorted(name for name in listed if name not in present)


def _acquired(metadata: Metadata, date: str) -> str | None:
    values = metadata.get("IMAGE_ATTRIBUTES", {})
    day = values.get("DATE_ACQUIRED") or f"{date[:4]}-{date[4:6]}-{date[6:]}"
    return utc(f"{day}T{values.get('SCENE_CENTER_TIME', '00:00:00')}")


def _parse(files: ProductFiles, name: str) -> Metadata:
    content, source = files.read(name), files.source(name)
    kind = name.rpartition(".")[2].lower()
    if kind == "xml":
        return {_tag(g): {_tag(e): (e.text or "") for e in g} for g in parse_xml(content, source)}
    if kind == "txt":
        return _parse_text(content.decode("utf-8", "replace"))
    try:
        groups = json.loads(content)["LANDSAT_METADATA_FILE"]
        return {group: _strings(values) for group, values in groups.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(source, f"{name} holds no LANDSAT_METADATA_FILE ({error})") from error


def _strings(values: dict[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}


def _tag(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _parse_text(text: str) -> Metadata:
    """Parse the text format: `GROUP = NAME`, and `KEY = value` in it."""
    out: Metadata = {}
    group = ""
    for line in text.splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            continue
        if key == "GROUP":
            group = value
        elif key != "END_GROUP":
            out.setdefault(group, {})[key] = value.strip('"')
    return out
