"""Bands of a label raster: which hold labels, and whether as codes, colors or one class each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from swath.errors import DataError
from swath.geo.tiling import Window
from swath.io.raster import descriptions, gdal_errors
from swath.legend import Kind

_ROWS_AT_ONCE = 64  # that are read to find out what bands hold; most masks need no more


@dataclass(frozen=True)
class MaskReading:
    """How the label rasters of a source are read.

    Attributes:
        band: the band that holds the classes, from 1; None for the bands as they are.
        one_hot: whether each band is a class; None where the file decides.
        fit: whether masks of the image's aspect but another size are resampled (nearest).
        crs: CRS of files that have a transform but declare no CRS; None for none.
    """

    band: int | None = None
    one_hot: bool | None = None
    fit: bool = False
    crs: str | None = None


class LabelBands(NamedTuple):
    """Numbers of a file's bands, from 1: those of the labels, and those of alpha."""

    data: list[int]
    alphas: list[int]
    one_hot: bool = False


def choose_bands(
    dataset: rasterio.DatasetReader, path: str, reading: MaskReading, *, coded: bool
) -> LabelBands:
    """Return the bands that hold the labels of a file.

    Args:
        dataset: the open file.
        path: of the file, for errors.
        reading: what the user says of it.
        coded: whether the user's classes have codes, which decides where pixels do not.

    Raises:
        DataError: the file has not the band, or bands that are no labels.
    """
    alphas = _alpha_bands(dataset)
    if reading.band is not None:
        return _one_band(dataset, path, reading.band, alphas)
    data = [i for i in dataset.indexes if i not in alphas]
    if len(data) == 2:
        raise odd_bands("two bands", path)
    if len(data) > 2 and _is_one_hot(dataset, path, reading, coded):
        return LabelBands(list(dataset.indexes), [], one_hot=True)
    return LabelBands(data, alphas)


def _alpha_bands(dataset: rasterio.DatasetReader) -> list[int]:
    return [i for i, c in enumerate(dataset.colorinterp, 1) if c == ColorInterp.alpha]


def _one_band(
    dataset: rasterio.DatasetReader, path: str, wanted: int, alphas: list[int]
) -> LabelBands:
    if wanted > dataset.count:
        message = f"Band {wanted} is to hold the labels, and the file has {dataset.count}"
        fix = f"Give --label-band 1 to {dataset.count}"
        raise DataError(message, code="label-bands", file=path, fix=fix)
    # GDAL calls the fourth band of any 8-bit TIFF alpha.
    is_alpha = wanted not in alphas and (dataset.driver != "GTiff" or dataset.count == 2)
    return LabelBands([wanted], alphas if is_alpha else [])


def _is_one_hot(
    dataset: rasterio.DatasetReader, path: str, reading: MaskReading, coded: bool
) -> bool:
    if reading.one_hot is not None:
        return reading.one_hot
    with gdal_errors(path):
        found = has_one_hot_bands(dataset)
    return coded if found is None else found


def odd_bands(what: str, path: str) -> DataError:
    """Return the error on bands that are neither codes, colors nor one-hot."""
    message = (
        f"The labels have {what}, and one band of codes, three of a color, or bands of "
        "which each marks one class are wanted"
    )
    fix = "Name the band that holds the classes (--label-band 1, say)"
    return DataError(message, code="label-bands", file=path, fix=fix)


def mask_kind(dataset: rasterio.DatasetReader, reading: MaskReading | None = None) -> Kind:
    """Return whether a label raster holds colors (three bands) or codes (one, or one-hot bands)."""
    if reading is not None and (reading.band is not None or reading.one_hot):
        return "code"
    count = dataset.count - len(_alpha_bands(dataset))
    return "color" if count == 3 and not has_one_hot_bands(dataset) else "code"


def has_one_hot_bands(dataset: rasterio.DatasetReader) -> bool | None:
    """Return whether each band of a label raster is a class; None where the pixels leave it open.

    Four bands or more can be nothing else. Three bands of 0 and 255 are colors; with an alpha band,
    which GDAL assumes in 8-bit files of four bands, they are one-hot if that is exclusive, too.
    Reading ends at the first pixel that says no.
    """
    count = dataset.count - len(_alpha_bands(dataset))
    if count != 3:
        return bool(count > 3)
    if dataset.driver == "JPEG" or dataset.count > 4 or dataset.dtypes[0] != "uint8":
        return False
    return _marks_of_three(dataset)


def _marks_of_three(dataset: rasterio.DatasetReader) -> bool | None:
    """Return whether three bands, and alpha, are one-hot; None if at most one marks any pixel."""
    alone = dataset.count == 3
    used = np.zeros(dataset.count, bool)
    for row in range(0, dataset.height, _ROWS_AT_ONCE):
        rows = Window(row, 0, _ROWS_AT_ONCE, dataset.width)
        within = rows.within(Window(0, 0, dataset.height, dataset.width))
        bands = dataset.read(window=within.to_rasterio())
        if not is_exclusive(bands) or (alone and bands.max() > 1):
            return False
        used |= bands.any(axis=(1, 2))
    if alone and not used.any():
        return False
    return True if used.sum() > 1 else None


def is_exclusive(bands: NDArray[Any]) -> bool:
    """Return whether bands (n, rows, columns) hold 0, and 1 or 255 at most once a pixel."""
    value = bands.max(initial=0)
    if value not in (0, 1, 255):
        return False
    marked = bands == value if value else np.zeros(bands.shape, bool)
    return bool(((bands == 0) | marked).all() and (marked.sum(axis=0) <= 1).all())


def names_of_bands(dataset: rasterio.DatasetReader) -> dict[int, str]:
    """Return the descriptions of bands by their numbers; none unless all are distinct."""
    texts = [(text or "").strip() for text in descriptions(dataset)]
    return dict(enumerate(texts, 1)) if all(texts) and len(set(texts)) == len(texts) else {}
