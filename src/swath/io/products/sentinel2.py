"""Sentinel-2 level 1C and 2A in SAFE format: folders and zips, also of the time before 2016-12."""

from __future__ import annotations

import re
from collections import defaultdict
from xml.etree.ElementTree import Element

from swath.io.products.bands import SENTINEL2A, SENTINEL2B
from swath.io.products.reader import (
    ProductFiles,
    damaged,
    elements,
    incomplete,
    number,
    parse_xml,
    text_of,
    utc,
)
from swath.io.source_file import BandFile, Product, QualityFile

NATIVE = dict.fromkeys(("B02", "B03", "B04", "B08"), 10) | dict.fromkeys(("B01", "B09", "B10"), 60)
"""Resolution of bands in meters; that of all others is 20."""

NODATA = 0.0

FIRST_SHIFTED_BASELINE, OWN_BASELINE = 4.0, 90.0
"""Processing baseline since which 1000 is added to the numbers; that of no provider."""

_METADATA = re.compile(r"MTD_MSIL(1C|2A)\.xml|S2._(?:OPER|USER)_MTD_(?:SAF)L(1C|2A)_.*\.xml")
_IMAGE = re.compile(
    r"(?:GRANULE/(?P<granule>[^/]+)/)?IMG_DATA/(?:R\d\dm/)?(?P<stem>[^/]+?_)"
    r"(?P<band>B\d\d|B8A)(?:_(?P<meters>\d\d)m)?\.(?:jp2|tiff?)",
    re.IGNORECASE,
)
_CLASSES = re.compile(r"(?:GRANULE/([^/]+)/)?IMG_DATA/(?:R\d\dm/)?[^/]+_SCL_(\d\d)m\.(?:jp2|tiff?)")
_MASK = re.compile(r"(?:GRANULE/([^/]+)/)?QI_DATA/MSK_CLASSI_B00\.jp2")
_NAME = re.compile(r"S2[A-D]_(?:MSIL(1C|2A)|(?:OPER|USER)_PRD_MSIL(1C|2A))_.*", re.IGNORECASE)
_LISTED = re.compile(r".*_(B\d\d|B8A)(?:_\d\dm)?")


def find(files: ProductFiles) -> list[str]:
    """Return the product's name; of a product of several tiles, the names of its granules."""
    if files.chosen is not None and not _METADATA.fullmatch(files.chosen):
        return []
    if not files.matching(_METADATA, files.top) and not _NAME.fullmatch(files.name):
        return []
    granules = {match["granule"] for match in files.matching(_IMAGE)}
    return sorted(filter(None, granules)) if len(granules) > 1 else [files.name]


def read(files: ProductFiles, name: str) -> Product:
    """Describe a product, or the granule of that name.

    Raises:
        DataError: the metadata are missing or damaged, or there is no band.
    """
    metadata = files.matching(_METADATA, files.top)
    if not metadata:
        level = _NAME.fullmatch(files.name)
        known = f"MTD_MSIL{(level[1] or level[2]).upper()}.xml" if level else "MTD_MSIL2A.xml"
        raise incomplete(files.path, f"its metadata, {known}, are missing")
    file, level_name = metadata[0][0], metadata[0][1] or metadata[0][2]
    root = parse_xml(files.read(file), files.source(file))
    images = _images(files, name)
    if not images:
        raise incomplete(files.path, f"{file} is there, and no image of a band (IMG_DATA)")
    bands = _bands(files, root, images, files.source(file))
    quality = _quality(files, name)
    missing = sorted(_listed(root) - set(images))
    warnings = [f"Bands {', '.join(missing)} are listed in {file}, and missing."] * bool(missing)
    if level_name == "2A" and not quality:
        warnings.append("The scene classification (SCL) is missing: no quality layer.")
    return Product(
        name=name,
        sensor="sentinel-2",
        level=f"L{level_name}",
        acquired=utc(text_of(root, "PRODUCT_START_TIME", "DATATAKE_SENSING_START")),
        baseline=text_of(root, "PROCESSING_BASELINE"),
        bands=tuple(bands),
        quality=tuple(quality),
        files=(files.source(file),),
        warnings=tuple(warnings),
    )


def _in_granule(granule: str | None, files: ProductFiles, name: str) -> bool:
    return name == files.name or granule == name


def _images(files: ProductFiles, name: str) -> dict[str, str]:
    """Return the image of each band in the sensor's order: of native resolution, else the finest.

    The metadata list also copies of other resolutions; level 1C has one image a band.
    """
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for match in files.matching(_IMAGE):
        if _in_granule(match["granule"], files, name):
            found[match["band"].upper()][int(match["meters"] or 0)] = match[0]
    return {
        own: found[own].get(NATIVE.get(own, 20)) or found[own][min(found[own])]
        for own in SENTINEL2A
        if own in found
    }


def _listed(root: Element) -> set[str]:
    """Return the bands whose images the metadata list."""
    named = [e.text or "" for tag in ("IMAGE_FILE", "IMAGE_ID") for e in elements(root, tag)]
    return {match[1] for text in named if (match := _LISTED.fullmatch(text.strip()))}


def _bands(files: ProductFiles, root: Element, images: dict[str, str], file: str) -> list[BandFile]:
    text = text_of(root, "BOA_QUANTIFICATION_VALUE", "QUANTIFICATION_VALUE")
    quantification = number(text, "QUANTIFICATION_VALUE", file)
    if quantification <= 0:
        raise damaged(file, f"QUANTIFICATION_VALUE is {text}")
    offsets, centers = _offsets(root, file), _centers(root, file)
    _check_offsets(root, offsets, images, file)
    spacecraft = text_of(root, "SPACECRAFT_NAME") or files.name
    table = SENTINEL2B if "2B" in spacecraft[:12].upper() else SENTINEL2A
    return [
        BandFile(
            path=files.gdal_path(image),
            name=table[own].name,
            sensor_name=own,
            wavelength=centers.get(own, table[own].wavelength),
            scale=1 / quantification,
            offset=offsets.get(own, 0.0) / quantification,
            nodata=NODATA,
        )
        for own, image in images.items()
    ]


def _offsets(root: Element, file: str) -> dict[str, float]:
    """Return what is added to the stored numbers of bands, since baseline 04.00."""
    bands, out = list(SENTINEL2A), {}
    for element in (*elements(root, "BOA_ADD_OFFSET"), *elements(root, "RADIO_ADD_OFFSET")):
        index = int(number(element.get("band_id"), "band_id of an offset", file))
        if 0 <= index < len(bands):
            out[bands[index]] = number(element.text, "The offset of a band", file)
    return out


def _check_offsets(
    root: Element, offsets: dict[str, float], images: dict[str, str], file: str
) -> None:
    """Refuse metadata that do not tell an offset that the numbers have.

    Only one's own processing (99.99) has baselines of both kinds.
    """
    baseline = text_of(root, "PROCESSING_BASELINE")
    missing = [own for own in images if own not in offsets]
    if baseline is None or not missing:
        return
    value = number(baseline, "PROCESSING_BASELINE", file)
    if offsets or FIRST_SHIFTED_BASELINE <= value < OWN_BASELINE:
        message = f"The metadata (baseline {baseline}) have no offset of {', '.join(missing)}"
        raise damaged(file, message)


def _centers(root: Element, file: str) -> dict[str, float]:
    """Return the center wavelengths of bands in micrometers, where the metadata have them."""
    out = {}
    for element in elements(root, "Spectral_Information"):
        own, center = element.get("physicalBand", ""), text_of(element, "CENTRAL")
        if center and own[:1] == "B":
            micrometers = round(number(center, "A wavelength", file) / 1000, 6)
            out[f"B{own[1:]:0>2}"] = micrometers
    return out


def _quality(files: ProductFiles, name: str) -> list[QualityFile]:
    classes = [m for m in files.matching(_CLASSES) if _in_granule(m[1], files, name)]
    if classes:
        finest = min(classes, key=lambda match: int(match[2]))
        return [QualityFile(path=files.gdal_path(finest[0]), kind="scl")]
    masks = [m[0] for m in files.matching(_MASK) if _in_granule(m[1], files, name)]
    clouds_and_cirrus = (1, 2)
    return [
        QualityFile(path=files.gdal_path(mask), index=index, kind="mask")
        for mask in masks
        for index in clouds_and_cirrus
    ]
