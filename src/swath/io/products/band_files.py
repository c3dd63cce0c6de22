"""Plain folders in which each band of an image is a file named after it, such as `X_B02.tif`."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from swath.errors import DataError
from swath.geo.geobox import GeoBox, geobox_of
from swath.io.products.bands import COMMON_NAMES, SENTINEL2A, SensorBand, sensor_key
from swath.io.products.reader import ProductFiles, incomplete
from swath.io.raster import EXTENSIONS, open_raster
from swath.io.source_file import BandFile, Product, QualityFile, QualityKind

_NAME = re.compile(
    rf"(?:(?P<head>.+)[_.\- ])?(?P<word>B\d\d?|B8A|{'|'.join(sorted(COMMON_NAMES))}"
    r"|SCL|QA_PIXEL|QA_RADSAT|Fmask)(?:_\d\dm)?",
    re.IGNORECASE,
)
_QUALITY: dict[str, QualityKind] = {
    "scl": "scl",
    "qa_pixel": "qa_pixel",
    "qa_radsat": "qa_radsat",
    "fmask": "fmask",
}
_ONLY_SENTINEL2 = frozenset({"B8A", "B12"})


class _NamedFile(NamedTuple):
    """A file that is named after a band or quality layer."""

    image: str
    word: str
    file: str

    @property
    def is_band(self) -> bool:
        return self.word.lower() not in _QUALITY


def find(files: ProductFiles) -> list[str]:
    """Return the names of the images, if all rasters of a folder are bands, on one place each.

    One band is no image. Headers are read, since tiles of an image are also called B1 and B2.
    """
    if files.chosen is not None or files.is_archive:
        return []
    named = _named_files(files)
    if named is None:
        return []
    images: dict[str, list[_NamedFile]] = defaultdict(list)
    for one in named:
        images[one.image].append(one)
    if any(sum(one.is_band for one in found) < 2 for found in images.values()):
        return []
    if not all(_on_one_place(files, [one.file for one in f]) for f in images.values()):
        return []
    return sorted(images)


def read(files: ProductFiles, name: str) -> Product:
    """Describe an image; names of bands are the files' unless they can only be Sentinel-2's.

    Raises:
        DataError: two files are the same band.
    """
    own = [one for one in _named_files(files) or () if one.image == name]
    is_sentinel2 = bool(_ONLY_SENTINEL2 & {one.word.upper() for one in own})
    bands = [_band(files, one, is_sentinel2) for one in own if one.is_band]
    count = Counter(band.name for band in bands)
    twice = sorted(band for band in count if count[band] > 1)
    if twice:
        message = f"several files are band {', '.join(twice)}"
        raise incomplete(files.path, message, "Leave one file of each band in the folder")
    order = {band.name: i for i, band in enumerate(SENTINEL2A.values())}
    bands.sort(key=lambda band: (order.get(band.name, len(order)), _number_of(band.sensor_name)))
    return Product(
        name=name,
        sensor="sentinel-2" if is_sentinel2 else "unknown",
        bands=tuple(bands),
        quality=tuple(
            QualityFile(path=files.gdal_path(one.file), kind=_QUALITY[one.word.lower()])
            for one in own
            if not one.is_band
        ),
    )


def _named_files(files: ProductFiles) -> list[_NamedFile] | None:
    """Return the rasters of a folder by the names of bands; None if one has another name."""
    out = []
    for name in files.top:
        if Path(name).suffix.lower() in EXTENSIONS:
            match = _NAME.fullmatch(Path(name).stem)
            if match is None:
                return None
            out.append(_NamedFile(match["head"] or files.name, match["word"], name))
    return out or None


def _number_of(own: str) -> tuple[float, str]:
    """Return what sorts B1, B2, B8, B8A, B9; names without a number come last."""
    match = re.fullmatch(r"B(\d+)(A?)", own.upper())
    return (float(match[1]), match[2]) if match else (math.inf, own)


def _band(files: ProductFiles, one: _NamedFile, is_sentinel2: bool) -> BandFile:
    table = {sensor_key(k): (k, band) for k, band in SENTINEL2A.items()} if is_sentinel2 else {}
    common = one.word.lower() if one.word.lower() in COMMON_NAMES else one.word
    key, band = table.get(sensor_key(one.word), (one.word, SensorBand(common)))
    return BandFile(
        path=files.gdal_path(one.file),
        name=band.name,
        sensor_name=key,
        wavelength=band.wavelength,
    )


def _on_one_place(files: ProductFiles, names: list[str]) -> bool:
    grids: list[GeoBox] = []
    for name in names:
        try:
            with open_raster(files.gdal_path(name)) as dataset:
                if dataset.count != 1:
                    return False
                grids.append(geobox_of(dataset))
        except DataError:
            return False
    return all(_same_place(grids[0], grid) for grid in grids[1:])


def _same_place(a: GeoBox, b: GeoBox) -> bool:
    """Return whether two grids have the same corners, to one of their larger pixels."""
    if not a.same_crs(b):
        return False
    size = max(abs(value) for grid in (a, b) for value in (*grid.transform[:2], grid.transform[4]))
    return all(
        math.dist(a.point(col * a.width, row * a.height), b.point(col * b.width, row * b.height))
        <= size
        for col, row in ((0, 0), (1, 0), (0, 1), (1, 1))
    )
