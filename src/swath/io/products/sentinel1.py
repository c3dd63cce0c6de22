"""Sentinel-1: ground range detected (SAFE), and terrain-corrected backscatter (GeoTIFF)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from swath.io.products.bands import POLARIZATIONS
from swath.io.products.reader import ProductFiles, incomplete
from swath.io.source_file import BandFile, Product

_SAFE = re.compile(
    r"(?P<name>S1[A-D]_(?:IW|EW|SM|S\d)_(?P<type>GRD|SLC|RAW|OCN)\w_1S\w{2}_"
    r"(?P<time>\d{8}T\d{6})_.*)",
    re.IGNORECASE,
)
_MEASUREMENT = re.compile(
    r"measurement/s1[a-d]-\w+-grd-(?P<band>vv|vh|hh|hv)-.*\.tiff?"
    r"|measurement/(?:iw|ew)-(?P<short>vv|vh|hh|hv)\.tiff?",
    re.IGNORECASE,
)
_CORRECTED = re.compile(
    r"(?P<name>S1[A-D]?_.*?(?P<time>\d{8}T\d{6}).*?)_(?P<band>VV|VH|HH|HV)\.tiff?", re.IGNORECASE
)
_HYP3 = re.compile(r".*_RTC\d\d_[GS]_[gs](?P<scale>[pda])[um][nf][ec][dm]_.*", re.IGNORECASE)
_SHORT = re.compile(r"(?:iw|ew)-(?P<band>vv|vh|hh|hv)\.rtc\.tiff?", re.IGNORECASE)

UNCALIBRATED = (
    "Sentinel-1 GRD is not calibrated: its bands are 20 log10 of the stored amplitude, not "
    "sigma0 or gamma0. Maps need a model that was trained on GRD."
)


def find(files: ProductFiles) -> list[str]:
    """Return the names of the products."""
    if files.chosen is not None:
        return []
    match = _SAFE.fullmatch(files.name)
    if match and (match["type"].upper() != "GRD" or not files.matching(_CORRECTED, files.top)):
        return [files.name]
    if files.matching(_SHORT, files.top):
        return [files.name]
    return sorted({match["name"] for match in files.matching(_CORRECTED, files.top)})


def read(files: ProductFiles, name: str) -> Product:
    """Describe a product.

    Raises:
        DataError: there is no band, or they are complex or not on the ground (SLC, RAW, OCN).
    """
    match = _SAFE.fullmatch(name)
    if match and match["type"].upper() != "GRD":
        message = f"it is {match['type'].upper()}, and GRD or terrain-corrected images are read"
        raise incomplete(files.path, message, "Get the GRD or RTC product of the same place")
    corrected = _corrected(files, name)
    images = corrected or {
        (m["band"] or m["short"]).upper(): m[0] for m in files.matching(_MEASUREMENT)
    }
    if not images:
        raise incomplete(files.path, "there is no image of a polarization (measurement/*.tiff)")
    time = re.search(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)", name)
    return Product(
        name=name,
        sensor="sentinel-1",
        level="RTC" if corrected else "GRD",
        acquired="{}-{}-{}T{}:{}:{}Z".format(*time.groups()) if time else None,
        bands=tuple(_bands(files, name, images, bool(corrected))),
        files=(files.source(""),) if files.is_archive else (),
        warnings=() if corrected else (UNCALIBRATED,),
    )


def _bands(
    files: ProductFiles, name: str, images: dict[str, str], corrected: bool
) -> Iterator[BandFile]:
    """Yield bands in decibels; the names of ASF's products tell power, amplitude or decibels."""
    hyp3 = _HYP3.fullmatch(name)
    scale = hyp3["scale"].lower() if hyp3 else "p"
    for own, band in POLARIZATIONS.items():
        if own in images:
            yield BandFile(
                path=files.gdal_path(images[own]),
                name=band.name,
                sensor_name=own,
                nodata=None if corrected else 0.0,
                decibels=scale != "d",
                amplitude=not corrected or scale == "a",
            )


def _corrected(files: ProductFiles, name: str) -> dict[str, str]:
    """Return the terrain-corrected images of a product by polarization."""
    own = [m for m in files.matching(_CORRECTED, files.top) if m["name"] == name]
    own += files.matching(_SHORT, files.top) if name == files.name else []
    return {match["band"].upper(): match[0] for match in own}
