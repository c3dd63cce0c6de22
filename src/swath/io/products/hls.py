"""Harmonized Landsat and Sentinel-2, version 2: folders of L30 and S30 files."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from swath.io.products.bands import NOT_REFLECTIVE, SENSORS
from swath.io.products.reader import ProductFiles, incomplete
from swath.io.source_file import BandFile, Product, QualityFile

SCALE, NODATA = 0.0001, -9999.0
"""Of reflectance; stored value without data."""

THERMAL_SCALE = 0.01
"""Of brightness temperature in degrees Celsius."""

_GRANULE = (
    r"(?P<granule>HLS\.(?P<kind>[LS]30)\.T\w{5}\.(?P<time>\d{7}T\d{6})\.(?P<version>v\d\.\d))"
)
_FILE = re.compile(rf"{_GRANULE}\.(?P<band>B\d\d|B8A|Fmask)(?:\.subset)?\.tiff?", re.IGNORECASE)


def find(files: ProductFiles) -> list[str]:
    """Return the names of the granules."""
    if files.chosen is not None:
        return []
    return sorted({match["granule"] for match in files.matching(_FILE, files.top)})


def read(files: ProductFiles, name: str) -> Product:
    """Describe a granule.

    Raises:
        DataError: there is no band.
    """
    own = [m for m in files.matching(_FILE, files.top) if m["granule"] == name]
    sensor = f"hls-{own[0]['kind'].lower()}"
    of_band = {match["band"].upper(): match[0] for match in own}
    mask = of_band.pop("FMASK", None)
    bands = [
        BandFile(
            path=files.gdal_path(of_band[key]),
            name=band.name,
            sensor_name=key,
            wavelength=band.wavelength,
            scale=THERMAL_SCALE if band.name in NOT_REFLECTIVE else SCALE,
            nodata=NODATA,
        )
        for key, band in SENSORS[sensor].items()
        if key in of_band
    ]
    if not bands:
        raise incomplete(files.path, f"{name} has Fmask, and no image of a band")
    missing = [key for key in SENSORS[sensor] if key not in of_band]
    warnings = [f"Bands {', '.join(missing)} of {name} are missing."] if missing else []
    if mask is None:
        warnings.append(f"Fmask of {name} is missing: no quality layer.")
    time = datetime.strptime(own[0]["time"].upper(), "%Y%jT%H%M%S").replace(tzinfo=UTC)
    return Product(
        name=name,
        sensor=sensor,
        level=own[0]["kind"].upper(),
        acquired=time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        baseline=own[0]["version"],
        bands=tuple(bands),
        quality=(QualityFile(path=files.gdal_path(mask), kind="fmask"),) if mask else (),
        files=(files.source(""),) if files.is_archive else (),
        warnings=tuple(warnings),
    )
