"""PlanetScope analytic images of 4 or 8 bands, with UDM2 or UDM: files, folders of an order."""

from __future__ import annotations

import re

from swath.io.products.bands import PLANETSCOPE_4, PLANETSCOPE_8, SensorBands
from swath.io.products.reader import (
    ProductFiles,
    damaged,
    elements,
    incomplete,
    number,
    parse_xml,
    text_of,
)
from swath.io.raster import open_raster
from swath.io.source_file import BandFile, Product, QualityFile

SURFACE_SCALE, NODATA = 0.0001, 0.0
"""Of surface reflectance; stored value without data."""

_IMAGE = re.compile(
    r"(?P<scene>(?P<day>\d{8})_(?P<time>\d{6})_\w+?_3[AB])_AnalyticMS(?P<surface>_SR)?"
    r"(?P<eight>_8b)?(?:_harmonized)?(?:_clip)?(?:_reproject)?\.tiff?",
    re.IGNORECASE,
)
_TABLES: dict[int, SensorBands] = {4: PLANETSCOPE_4, 8: PLANETSCOPE_8}


def find(files: ProductFiles) -> list[str]:
    """Return the names of the analytic images without their ending."""
    names = files.top if files.chosen is None else [files.chosen]
    if not names:
        return []
    return sorted(match[0].rpartition(".")[0] for match in files.matching(_IMAGE, names))


def read(files: ProductFiles, name: str) -> Product:
    """Describe an image.

    Raises:
        DataError: the image has not 4 or 8 bands, or that of level 1 lacks its metadata.
    """
    (match,) = (m for m in files.matching(_IMAGE, files.top) if m[0].rpartition(".")[0] == name)
    path, scene = files.gdal_path(match[0]), match["scene"]
    with open_raster(path) as dataset:
        count = dataset.count
    if count not in _TABLES:
        message = f"The image has {count} bands, and those of PlanetScope are 4 or 8"
        raise damaged(path, message)
    metadata = _sibling(files, scene, r"_AnalyticMS(?:_SR)?(?:_8b)?_metadata(?:_clip)?\.xml")
    if match["surface"]:
        scales, used = [SURFACE_SCALE] * count, []
    elif metadata is None:
        raise incomplete(path, f"the metadata, {scene}_AnalyticMS_metadata.xml, are missing")
    else:
        scales, used = _coefficients(files, metadata, count), [files.source(metadata)]
    bands = [
        BandFile(
            path=path,
            index=index,
            name=band.name,
            sensor_name=own,
            wavelength=band.wavelength,
            scale=scale,
            nodata=NODATA,
        )
        for index, ((own, band), scale) in enumerate(
            zip(_TABLES[count].items(), scales, strict=True), 1
        )
    ]
    quality = _quality(files, scene)
    day, time = match["day"], match["time"]
    warnings = () if quality else (f"UDM2 of {scene} is missing: no quality layer.",)
    return Product(
        name=name,
        sensor="planetscope",
        level="SR" if match["surface"] else "TOA",
        acquired=f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}Z",
        bands=tuple(bands),
        quality=quality,
        files=(*used, *([files.source("")] if files.is_archive else [])),
        warnings=warnings,
    )


def _sibling(files: ProductFiles, scene: str, ending: str) -> str | None:
    """Return the file of a scene with an ending."""
    pattern = re.compile(re.escape(scene) + ending, re.IGNORECASE)
    return next((match[0] for match in files.matching(pattern, files.top)), None)


def _quality(files: ProductFiles, scene: str) -> tuple[QualityFile, ...]:
    clip = r"(?:_clip)?(?:_reproject)?\.tiff?"
    if udm2 := _sibling(files, scene, rf"_udm2{clip}"):
        return (QualityFile(path=files.gdal_path(udm2), kind="udm2"),)
    if udm1 := _sibling(files, scene, rf"_AnalyticMS(?:_8b)?_DN_udm{clip}"):
        return (QualityFile(path=files.gdal_path(udm1), kind="udm1"),)
    return ()


def _coefficients(files: ProductFiles, metadata: str, count: int) -> list[float]:
    """Return what makes top-of-atmosphere reflectance of the stored numbers, by band."""
    source = files.source(metadata)
    found: dict[int, float] = {}
    for element in elements(parse_xml(files.read(metadata), source), "bandSpecificMetadata"):
        index = int(number(text_of(element, "bandNumber"), "ps:bandNumber", source))
        text = text_of(element, "reflectanceCoefficient")
        found[index] = number(text, f"ps:reflectanceCoefficient of band {index}", source)
    missing = [str(i) for i in range(1, count + 1) if i not in found]
    if missing:
        message = f"The metadata have no ps:reflectanceCoefficient of bands {', '.join(missing)}"
        raise damaged(source, message)
    return [found[i] for i in range(1, count + 1)]
