"""Landsat 4 to 9, Collection 2, levels 1 and 2: folders and tar archives."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Scene:
    """Files of a scene.

    Attributes:
        files: all files.
        name: of the scene.
        images: images of bands.
        quality: quality layers.
        file: name of the metadata, None where they are missing.
        metadata: what they hold.
    """

    files: ProductFiles
    name: str
    images: list[re.Match[str]]
    quality: list[re.Match[str]]
    file: str | None
    metadata: Metadata

    @property
    def sensor(self) -> str:
        return f"landsat-{int(self.name[2:4])}"

    @property
    def source(self) -> str:
        """Path of the metadata, else of the product."""
        return self.files.source(self.file) if self.file else str(self.files.path)

    def value(self, key: str, *groups: str) -> str | None:
        """Return a value of the first group that has it."""
        found = (self.metadata.get(group, {}).get(key) for group in groups)
        return next((value for value in found if value), None)


def read(files: ProductFiles, name: str) -> Product:
    """Describe a scene.

    Raises:
        DataError: metadata are damaged, those of level 1 are missing, or there is no band.
    """
    scene = _open_scene(files, name)
    bands = _bands(scene)
    if not bands:
        raise incomplete(files.path, f"no image of a band of {scene.sensor} is there")
    kinds: dict[str, QualityKind] = {"QA_PIXEL": "qa_pixel", "QA_RADSAT": "qa_radsat"}
    groups = ("PRODUCT_CONTENTS", "LEVEL1_PROCESSING_RECORD")
    return Product(
        name=name,
        sensor=scene.sensor,
        level=scene.images[0]["level"].upper(),
        acquired=_acquired(scene),
        baseline=scene.value("PROCESSING_SOFTWARE_VERSION", *groups),
        bands=tuple(bands),
        quality=tuple(
            QualityFile(path=files.gdal_path(m[0]), kind=kinds[m["kind"].upper()])
            for m in scene.quality
        ),
        files=(scene.source,) if scene.file or files.is_archive else (),
        warnings=tuple(_warnings(scene)),
    )


def _open_scene(files: ProductFiles, name: str) -> _Scene:
    metadata, images, quality = (
        [match for match in files.matching(pattern, files.top) if match["scene"] == name]
        for pattern in (_METADATA, _IMAGE, _QUALITY)
    )
    metadata.sort(key=lambda match: _FORMATS.index(match["format"].lower()))
    file = metadata[0][0] if metadata else None
    if not images:
        raise incomplete(files.path, f"{file} is there, and no image of a band")
    if file is None and images[0]["level"].upper().startswith("L1"):
        raise incomplete(files.path, f"its metadata, {name}_MTL.json, are missing")
    return _Scene(files, name, images, quality, file, _parse(files, file) if file else {})


def _warnings(scene: _Scene) -> Iterator[str]:
    if scene.file is None:
        yield f"The metadata, {scene.name}_MTL.json, are missing: usual scale taken."
    missing = _missing(scene.metadata, scene.files)
    if missing:
        yield f"Files are listed in the metadata, and missing: {', '.join(missing)}."
    if not any(match["kind"].upper() == "QA_PIXEL" for match in scene.quality):
        yield "QA_PIXEL is missing: clouds are not known."


def _bands(scene: _Scene) -> list[BandFile]:
    out = []
    of_band = {(m["kind"] or "").upper() + m["band"].upper(): m for m in scene.images}
    for own, band in LANDSAT[scene.sensor].items():
        match = next((of_band[k] for k in (f"SR{own}", f"ST{own}", own) if k in of_band), None)
        scaling = _scaling(match, scene.metadata, scene.source) if match else None
        if match is None or scaling is None:
            continue
        out.append(
            BandFile(
                path=scene.files.gdal_path(match[0]),
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
    sun = _sine_of_sun(metadata, source)
    return scale / sun, offset / sun


def _sine_of_sun(metadata: Metadata, source: str) -> float:
    """Return the sine of the sun's elevation, by which reflectance of level 1 is divided."""
    elevation = metadata.get("IMAGE_ATTRIBUTES", {}).get("SUN_ELEVATION")
    sun = math.sin(math.radians(number(elevation, "SUN_ELEVATION", source)))
    if sun <= 0:
        message = f"SUN_ELEVATION is {elevation} degrees: a night scene has no reflectance"
        raise damaged(source, message)
    return sun


def _missing(metadata: Metadata, files: ProductFiles) -> list[str]:
    """Return the listed images of bands and quality that are not there."""
    present = {name.lower() for name in files.top}
    wanted = re.compile(r"FILE_NAME_(BAND_.*|QUALITY_L1_.*)")
    listed = [v for k, v in metadata.get("PRODUCT_CONTENTS", {}).items() if wanted.fullmatch(k)]
    return sorted(name for name in listed if name.lower() not in present)


def _acquired(scene: _Scene) -> str | None:
    date, group = scene.images[0]["date"], "IMAGE_ATTRIBUTES"
    day = scene.value("DATE_ACQUIRED", group) or f"{date[:4]}-{date[4:6]}-{date[6:]}"
    return utc(f"{day}T{scene.value('SCENE_CENTER_TIME', group) or '00:00:00'}")


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
