"""Plain folders in which each band of an image is a file named after it, such as `X_B02.tif`."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from pathlib import Path

from swath.errors import DataError
from swath.geo.geobox import GeoBox, geobox_of
from swath.io.products.bands import COMMON_NAMES, SENTINEL2A, sensor_key
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


def find(files: ProductFiles) -> list[str]:
    """Return the names of the images, if all rasters of a folder are bands, on one place each.

    One band is no image. Headers are read, since tiles of an image are also called B1 and B2.
    """
    if files.chosen is not None or files.is_archive:
        return []
    rasters = [name for name in files.top if Path(name).suffix.lower() in EXTENSIONS]
    images: dict[str, list[str]] = defaultdict(list)
    for name in rasters:
        match = _NAME.fullmatch(Path(name).stem)
        if match is None:
            return []
        images[match["head"] or files.name].append(name)
    enough = all(len(_band_words(names)) > 1 for names in images.values())
    if not enough or not all(_on_one_place(files, names) for names in images.values()):
        return []
    return sorted(images)


def read(files: ProductFiles, name: str) -> Product:
    """Describe an image; names of bands are the files' unless they can only be Sentinel-2's.

    Raises:
        DataError: two files are the same band.
    """
    own = [
        (match["word"], file)
        for file in files.top
        if Path(file).suffix.lower() in EXTENSIONS
        and (match := _NAME.fullmatch(Path(file).stem))
        and (match["head"] or files.name) == name
    ]
    kinds = [(_QUALITY[w.lower()], file) for w, file in own if w.lower() in _QUALITY]
    bands = [_band(files, w, file, own) for w, file in own if w.lower() not in _QUALITY]
    names = [band.name for band in bands]
    twice = sorted({band for band in names if names.count(band) > 1})
    if twice:
        message = f"several files are band {', '.join(twice)}"
        raise incomplete(files.path, message, "Leave one file of each band in the folder")
    order = {band.name: i for i, band in enumerate(SENTINEL2A.values())}
    bands.sort(key=lambda band: (order.get(band.name, len(order)), _number_of(band.sensor_name)))
    return Product(
        name=name,
        sensor="sentinel-2" if _is_sentinel2([w for w, _ in own]) else "unknown",
        bands=tuple(bands),
        quality=tuple(QualityFile(path=files.gdal_path(f), kind=kind) for kind, f in kinds),
    )


def _band_words(names: list[str]) -> list[str]:
    words = [match["word"] for name in names if (match := _NAME.fullmatch(Path(name).stem))]
    return [word for word in words if word.lower() not in _QUALITY]


def _is_sentinel2(words: list[str]) -> bool:
    return bool(_ONLY_SENTINEL2 & {word.upper() for word in words})


def _number_of(own: str) -> tuple[float, str]:
    """Return what sorts B1, B2, B8, B8A, B9; names without a number come last."""
    match = re.fullmatch(r"B(\d+)(A?)", own.upper())
    return (float(match[1]), match[2]) if match else (math.inf, own)


def _band(files: ProductFiles, word: str, file: str, own: list[tuple[str, str]]) -> BandFile:
    table = {sensor_key(k): (k, band) for k, band in SENTINEL2A.items()}
    known = table.get(sensor_key(word)) if _is_sentinel2([w for w, _ in own]) else None
    if known is not None:
        key, band = known
        name, wavelength = band.name, band.wavelength
    else:
        key, name, wavelength = word, word, None
        if word.lower() in COMMON_NAMES:
            name = word.lower()
    path = files.gdal_path(file)
    return BandFile(path=path, name=name, sensor_name=key, wavelength=wavelength)


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
