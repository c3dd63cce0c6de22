"""Bands of the sensors: the sensor's name, the common name, and the center wavelength.

Common names are those of the STAC extension `eo`, with rededge1, rededge2 and rededge3 for
the three that share one name there. Wavelengths are in micrometers.

Sources: Sentinel-2 Spectral Response Functions 3.0 (ESA); Landsat Collection 2 data format control
books and HLS v2.0 user guide (USGS, NASA); PlanetScope product specifications (Planet).
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias


class SensorBand(NamedTuple):
    """A band of a sensor."""

    name: str
    wavelength: float | None = None


SensorBands: TypeAlias = dict[str, SensorBand]
"""Bands by the sensor's name, in its order."""

_SENTINEL2_NAMES = {
    "B01": "coastal",
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "rededge1",
    "B06": "rededge2",
    "B07": "rededge3",
    "B08": "nir",
    "B8A": "nir08",
    "B09": "nir09",
    "B10": "cirrus",
    "B11": "swir16",
    "B12": "swir22",
}

_CENTERS_A = "0.4427 0.4924 0.5598 0.6646 0.7041 0.7405 0.7828 0.8328 0.8647 0.9451 1.3735 1.6137"
_CENTERS_B = "0.4422 0.4921 0.5590 0.6649 0.7038 0.7391 0.7797 0.8329 0.8640 0.9432 1.3769 1.6104"


def _sentinel2(centers: str) -> SensorBands:
    pairs = zip(_SENTINEL2_NAMES.items(), map(float, centers.split()), strict=True)
    return {own: SensorBand(name, center) for (own, name), center in pairs}


SENTINEL2A = _sentinel2(f"{_CENTERS_A} 2.2024")
SENTINEL2B = _sentinel2(f"{_CENTERS_B} 2.1857")

TM = {
    "B1": SensorBand("blue", 0.485),
    "B2": SensorBand("green", 0.56),
    "B3": SensorBand("red", 0.66),
    "B4": SensorBand("nir08", 0.83),
    "B5": SensorBand("swir16", 1.65),
    "B6": SensorBand("lwir", 11.45),
    "B7": SensorBand("swir22", 2.215),
}
"""Thematic Mapper of Landsat 4 and 5."""

ETM = {
    "B1": SensorBand("blue", 0.483),
    "B2": SensorBand("green", 0.56),
    "B3": SensorBand("red", 0.662),
    "B4": SensorBand("nir08", 0.835),
    "B5": SensorBand("swir16", 1.648),
    "B6": SensorBand("lwir", 11.335),
    "B7": SensorBand("swir22", 2.206),
    "B8": SensorBand("pan", 0.706),
}
"""Enhanced Thematic Mapper Plus of Landsat 7."""

OLI = {
    "B1": SensorBand("coastal", 0.443),
    "B2": SensorBand("blue", 0.482),
    "B3": SensorBand("green", 0.561),
    "B4": SensorBand("red", 0.655),
    "B5": SensorBand("nir08", 0.865),
    "B6": SensorBand("swir16", 1.609),
    "B7": SensorBand("swir22", 2.201),
    "B8": SensorBand("pan", 0.59),
    "B9": SensorBand("cirrus", 1.373),
    "B10": SensorBand("lwir11", 10.895),
    "B11": SensorBand("lwir12", 12.005),
}
"""Operational Land Imager and Thermal Infrared Sensor of Landsat 8 and 9."""

HLS_L30 = {f"B{int(own[1:]):02d}": band for own, band in OLI.items() if band.name != "pan"}
HLS_S30 = SENTINEL2A

PLANETSCOPE_4 = {
    "blue": SensorBand("blue", 0.485),
    "green": SensorBand("green", 0.545),
    "red": SensorBand("red", 0.63),
    "nir": SensorBand("nir", 0.82),
}

PLANETSCOPE_8 = {
    "coastal_blue": SensorBand("coastal", 0.443),
    "blue": SensorBand("blue", 0.49),
    "green_i": SensorBand("green_i", 0.531),
    "green": SensorBand("green", 0.565),
    "yellow": SensorBand("yellow", 0.61),
    "red": SensorBand("red", 0.665),
    "rededge": SensorBand("rededge1", 0.705),
    "nir": SensorBand("nir", 0.865),
}

POLARIZATIONS = {own.upper(): SensorBand(own) for own in ("vv", "vh", "hh", "hv")}

LANDSAT: dict[str, SensorBands] = {
    "landsat-4": TM,
    "landsat-5": TM,
    "landsat-7": ETM,
    "landsat-8": OLI,
    "landsat-9": OLI,
}

SENSORS: dict[str, SensorBands] = {
    **LANDSAT,
    "sentinel-2": SENTINEL2A,
    "hls-l30": HLS_L30,
    "hls-s30": HLS_S30,
    "sentinel-1": POLARIZATIONS,
}
"""Bands of the sensors whose own names of bands are plain."""

COMMON_NAMES = frozenset(
    {band.name for table in (*SENSORS.values(), PLANETSCOPE_8) for band in table.values()}
)

ALIASES = {"rededge071": "rededge1", "rededge075": "rededge2", "rededge078": "rededge3"}
"""Other common names of bands (version 2 of the STAC extension)."""

NOT_REFLECTIVE = frozenset({"pan", "lwir", "lwir11", "lwir12"})
"""Common names of bands that are taken only where they are asked for.

Thermal bands hold temperatures, and the panchromatic one would set the grid of all others.
"""


def sensor_key(own: str) -> str:
    """Return a sensor's name of a band without leading zeros, in capitals: `B4` of `b04`."""
    return re.sub(r"(?<=[A-Z])0+(?=[1-9])", "", own.upper())
