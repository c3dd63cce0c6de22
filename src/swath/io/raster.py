"""Images on disk: bands, nodata, windowed reading.

Nodata is decided here and nowhere else (see `Raster.read`). Arrays are (bands, rows, columns).
"""

from __future__ import annotations

import math
import re
import threading
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import rasterio
import rasterio.enums
import rasterio.errors
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling

from swath.errors import DataError
from swath.geo.gdal import GDAL_ERRORS
from swath.geo.geobox import geobox_of
from swath.geo.tiling import Pixels, Window
from swath.io.orientation import ORIENTATION, apply_orientation
from swath.io.raster_limits import check_limits
from swath.io.tiff import join_pages
from swath.types import PathLike

Array: TypeAlias = NDArray[Any]

EXTENSIONS = frozenset(
    {".tif", ".tiff", ".jpg", ".jpeg", ".png", ".jp2", ".img", ".vrt", ".bmp", ".webp"}
)
"""File names that are taken for rasters."""

CACHE_BYTES = 64 * 2**20
"""What GDAL may keep in memory; its own default is a share of the machine's."""

VISIBLE = ("red", "green", "blue")
"""The bands of a palette image."""


def gdal_env() -> rasterio.Env:
    """Return the environment for all work with GDAL: a damaged JPEG or PNG is an error in it, not made-up pixels.

    GDAL's shortcut for whole PNGs returns uninitialized memory where the file ends too soon, and
    says nothing (3.10.3), so it is off; row by row the same file is an error.

    Photographs and masks without CRS are everyday input, so rasterio's warning of them is off; the
    filter is set again each time because other libraries reset it.
    """
    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
    return rasterio.Env(
        GDAL_CACHEMAX=CACHE_BYTES,
        GDAL_ERROR_ON_LIBJPEG_WARNING=True,
        GDAL_PNG_WHOLE_IMAGE_OPTIM="NO",
    )


@dataclass(frozen=True)
class _OpenFile:
    dataset: rasterio.DatasetReader
    indexes: list[int]
    nodata: list[float | None]
    alpha: int | None
    shared_mask: bool
    palette: NDArray[np.uint8] | None  # by value: the bands' colors, and alpha
    names: list[str]

    @property
    def dtypes(self) -> list[str]:
        if self.palette is not None:
            return ["uint8"] * len(self.names)
        return [self.dataset.dtypes[i - 1] for i in self.indexes]


class Raster:
    """An image of one file, or of several files on one grid whose bands are stacked in the given order.

    Palette images are read as the red, green and blue that people see; an alpha band is a mask, not
    a band. Reading is safe from several threads.

    Args:
        paths: the files.
        names: band names; by default the files' own descriptions, else 1, 2, ..., and for a stack
            of files the part in which their names differ.
        order: bands of the one file to take, counted from 1 (an alpha band is none); all by
            default.
        raw: whether a palette image is read as the numbers it holds, as a map's codes are.
        driver: the GDAL driver that has to open the files; any if absent.

    Attributes:
        grid: the grid of all files.
        bands: names of the bands.
        dtypes: type of each band in its file; `dtype` holds them all.
        nodata: declared nodata value of each band, None where there is none.

    Raises:
        DataError: a file cannot be opened or holds complex numbers, the files do not share one
            grid, a band is not there, or there are more or fewer bands than names.
    """

    def __init__(
        self,
        paths: Sequence[PathLike],
        names: Sequence[str] | None = None,
        order: Sequence[int] | None = None,
        *,
        raw: bool = False,
        driver: str | None = None,
    ) -> None:
        self.paths = tuple(str(p) for p in paths)
        self._raw, self._driver = raw, driver
        self._stack = ExitStack()
        self._lock = threading.Lock()
        try:
            with gdal_env():
                self._files = [self._open(p, order) for p in self.paths]
        except BaseException:
            self.close()
            raise
        self.grid = geobox_of(self._files[0].dataset)
        for file, path in zip(self._files, self.paths, strict=True):
            if not geobox_of(file.dataset).same_as(self.grid):
                self.close()
                raise DataError(
                    f"its grid (size, CRS or transform) is not that of {self.paths[0]}",
                    file=path,
                    fix="Resample it first (gdalwarp -tr -te), so that the bands lie pixel on pixel",
                )
        self.dtypes = tuple(dtype for f in self._files for dtype in f.dtypes)
        self.nodata = tuple(
            value
            for f in self._files
            for value in f.nodata * (1 if f.palette is None else len(f.names))
        )
        self.dtype = np.result_type(*self.dtypes)
        own = self._band_names()
        if names and len(names) != len(own):
            self.close()
            raise DataError(
                f"it has {len(own)} band(s), and {len(names)} are wanted ({', '.join(names)})",
                file=self.paths[0],
                fix="Give a file with these bands",
                code="band-mismatch",
            )
        self.bands = tuple(names) if names else own

    def _open(self, path: str, order: Sequence[int] | None) -> _OpenFile:
        dataset = self._stack.enter_context(open_raster(path, self._driver))
        if any("complex" in t for t in dataset.dtypes):
            raise DataError(
                "it holds complex numbers",
                file=path,
                fix="Convert it to amplitude or decibels first",
            )
        interp = list(dataset.colorinterp)
        alphas = [i for i, c in enumerate(interp, 1) if c == ColorInterp.alpha]
        indexes = [i for i in dataset.indexes if i not in alphas]
        if not indexes:
            raise DataError("it has no band of data", file=path, fix="Leave it out")
        palette = _palette(dataset) if interp == [ColorInterp.palette] and not self._raw else None
        if order is not None:
            count = len(indexes) if palette is None else len(VISIBLE)
            if max(order) > count:
                raise DataError(
                    f"band {max(order)} is asked for, and it has {count}",
                    file=path,
                    fix="Count its bands from 1",
                )
            if palette is None:
                indexes = [indexes[i - 1] for i in order]
            else:
                palette = palette[:, [*(i - 1 for i in order), -1]]
        flags = dataset.mask_flag_enums[indexes[0] - 1]
        return _OpenFile(
            dataset,
            indexes,
            [dataset.nodatavals[i - 1] for i in indexes],
            alphas[0] if alphas else None,
            MaskFlags.per_dataset in flags and not alphas,
            palette,
            [VISIBLE[i - 1] for i in order or (1, 2, 3)]
            if palette is not None
            else _own_names(dataset, indexes),
        )

    def _band_names(self) -> tuple[str, ...]:
        prefixes = (
            [""]
            if len(self.paths) == 1
            else distinct_name_parts([Path(p).stem for p in self.paths])
        )
        names: list[str] = []
        for file, prefix in zip(self._files, prefixes, strict=True):
            if prefix:
                names += (
                    [prefix]
                    if len(file.names) == 1
                    else [f"{prefix}-{name}" for name in file.names]
                )
            else:
                names += file.names
        return (
            tuple(names)
            if len(set(names)) == len(names)
            else tuple(str(i) for i in range(1, len(names) + 1))
        )

    def read(
        self, window: Window, shape: tuple[int, int] | None = None, *, nearest: bool = False
    ) -> Pixels:
        """Read a window that lies inside the raster, or a picture of it with fewer rows and columns (`shape`).

        For a picture, overviews are used where there are any, and measurements are averaged unless
        `nearest` is set.

        A pixel is invalid (nodata) where the alpha band, the alpha of its palette's color or the
        file's mask is 0, where a band is NaN or infinite (as float32, in which all is reckoned), or
        where a band holds its declared nodata value. In a type of whole numbers, 0 and the largest
        unsigned value (255 in 8 bits) are also possible measurements, so of these all bands of the
        file must hold theirs.

        Raises:
            DataError: the file is damaged.
        """
        where = window.to_rasterio()
        values = []
        rows, cols = shape or (window.height, window.width)
        valid = np.ones((rows, cols), bool)
        with self._lock, gdal_env():
            for file in self._files:
                how = (
                    Resampling.nearest
                    if nearest or file.palette is not None
                    else Resampling.average
                )
                try:
                    part = file.dataset.read(
                        file.indexes,
                        window=where,
                        out_shape=(len(file.indexes), rows, cols),
                        resampling=how,
                    )
                    alpha = (
                        file.dataset.read(file.alpha, window=where, out_shape=(rows, cols))
                        if file.alpha
                        else None
                    )
                    mask = (
                        file.dataset.dataset_mask(window=where, out_shape=(rows, cols))
                        if file.shared_mask
                        else None
                    )
                except rasterio.errors.RasterioError as error:
                    raise unreadable_error(file.dataset.name, error) from error
                for extra in (alpha, mask):
                    if extra is not None:
                        valid &= extra > 0
                valid &= ~_is_nodata(part, file.nodata)
                if file.palette is not None:
                    colors = file.palette[part[0]].transpose(2, 0, 1)
                    part, opacity = colors[:-1], colors[-1]
                    valid &= opacity > 0
                values.append(part)
        together = values[0] if len(values) == 1 else np.concatenate(values)
        return Pixels(together.astype(self.dtype, copy=False), valid)

    @property
    def sources(self) -> list[str]:
        """All files that pixels come from: also those that a virtual raster names."""
        return sorted(
            {name for file in self._files for name in file.dataset.files} | set(self.paths)
        )

    def count_veiled(self, window: Window) -> int:
        """Count pixels of a window whose alpha is neither 0 nor the largest value of its type; 0 without an alpha band."""
        where = window.to_rasterio()
        count = 0
        for file in self._files:
            if file.alpha:
                with self._lock, gdal_env():
                    alpha = file.dataset.read(file.alpha, window=where)
                full = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1
                count += int(((alpha != 0) & (alpha != full)).sum())
        return count

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel, with all its bands, as it is read."""
        return len(self.bands) * self.dtype.itemsize

    @property
    def turned(self) -> bool:
        """Whether a file is to be seen turned (EXIF orientation), and is read so."""
        return any(
            f.dataset.driver == "GTiff" and f.dataset.get_tag_item(ORIENTATION) is not None
            for f in self._files
        )

    @property
    def extra_georeferencing(self) -> dict[str, Any]:
        """Ground control points (in a CRS) and RPCs of the first file, as keyword arguments of a rasterio profile."""
        dataset = self._files[0].dataset
        points, crs = dataset.gcps
        out: dict[str, Any] = {"gcps": points, "crs": crs} if points and crs else {}
        if dataset.rpcs:
            out["rpcs"] = dataset.rpcs
        return out

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def __enter__(self) -> Raster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_raster(path: PathLike, driver: str | None = None) -> rasterio.DatasetReader:
    """Open a file with GDAL, or with one of its drivers only, as one image (see `pages`) and as people see it (see `apply_orientation`).

    Raises:
        DataError: there is no such file, it is not a raster, or it claims what it cannot hold (see
            `claims`).
    """
    with gdal_env():
        try:
            dataset = rasterio.open(path, driver=driver)
            # A list of pages that is cut off with the end of the file is an error of the call after
            # the one that reads it.
            _ = dataset.subdatasets, dataset.colorinterp
        except GDAL_ERRORS as error:
            if Path(path).is_dir():
                raise DataError(
                    "this is a folder, and a raster is wanted", file=path, fix="Name the file in it"
                ) from error
            if (
                "://" not in str(path)
                and not str(path).startswith("/vsi")
                and not Path(path).exists()
            ):
                raise DataError("there is no such file", file=path, fix="Check the path") from error
            raise unreadable_error(path, error) from error
        except UnicodeEncodeError as error:
            raise DataError(
                "GDAL takes no file name that is not UTF-8", file=ascii(str(path)), fix="Rename it"
            ) from error
    if dataset.count == 0:
        dataset.close()
        raise DataError(
            "it is a container without bands of its own",
            file=path,
            fix="Name one of its subdatasets",
        )
    try:
        with gdal_env():
            check_limits(str(path), dataset)
            return apply_orientation(str(path), join_pages(str(path), dataset))
    except GDAL_ERRORS as error:
        dataset.close()
        raise unreadable_error(path, error) from error
    except DataError:
        dataset.close()
        raise


def unreadable_error(path: PathLike, error: Exception) -> DataError:
    """Make the error for a file that GDAL refuses."""
    reason = (
        re.sub(rf"'?{re.escape(str(path))}'?:?\s*", "", str(error.__cause__ or error))
        .strip()
        .rstrip(".")
        .replace("\n", " ")
    )
    return DataError(
        f"the file is damaged or not a raster ({reason})",
        file=path,
        fix="Fetch or export it again, or leave it out",
    )


def descriptions(dataset: rasterio.DatasetReader) -> Sequence[str | None]:
    """Return the descriptions of all bands; none where one of them is not in UTF-8, which hides all."""
    try:
        texts: Sequence[str | None] = dataset.descriptions
    except UnicodeDecodeError:
        return [None] * dataset.count
    return texts


def band_tags(dataset: rasterio.DatasetReader, index: int) -> dict[str, str]:
    """Return the tags of a band, none where one of them is not in UTF-8."""
    try:
        tags: dict[str, str] = dataset.tags(index)
    except UnicodeDecodeError:
        return {}
    return tags


def distinct_name_parts(stems: Sequence[str]) -> list[str]:
    """Return the part of each name in which names differ: `lsat7_2000_10`, `lsat7_2000_20` become `10`, `20`.

    Names are cut at everything that is not a letter or digit, and equal heads and tails are
    dropped.
    """
    words = [re.split(r"[^0-9A-Za-z]+", stem) for stem in stems]
    while min(map(len, words)) > 1 and len({w[0] for w in words}) == 1:
        words = [w[1:] for w in words]
    while min(map(len, words)) > 1 and len({w[-1] for w in words}) == 1:
        words = [w[:-1] for w in words]
    return ["_".join(w) for w in words]


def _own_names(dataset: rasterio.DatasetReader, indexes: Sequence[int]) -> list[str]:
    """Return the bands' descriptions, else red, green or blue where the file says so, else their numbers."""
    colors, texts = [c.name for c in dataset.colorinterp], descriptions(dataset)
    return [
        texts[i - 1] or (colors[i - 1] if colors[i - 1] in VISIBLE else str(i)) for i in indexes
    ]


def _palette(dataset: rasterio.DatasetReader) -> NDArray[np.uint8]:
    """Return red, green, blue and alpha by value (n, 4); values without a color are black."""
    table = np.zeros((65536 if dataset.dtypes[0] == "uint16" else 256, 4), np.uint8)
    table[:, 3] = 255
    for value, color in dataset.colormap(1).items():
        table[value] = color
    if dataset.nodata is not None or not table[:, 3].any():
        table[:, 3] = (
            255  # the nodata value says it, and a palette of nothing but clear colors says nothing
        )
    return table


def _is_nodata(values: Array, nodata: Sequence[float | None]) -> NDArray[np.bool_]:
    out = np.zeros(values.shape[1:], bool)
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            out |= ~np.isfinite(values.astype(np.float32, copy=False)).all(axis=0)
    ambiguous = []
    for band, value in zip(values, nodata, strict=True):
        if value is None or math.isnan(value):
            continue
        if band.dtype.kind == "u" and value in (0, np.iinfo(band.dtype).max):
            ambiguous.append(band == value)
        elif band.dtype.kind == "i" and value == 0:
            ambiguous.append(band == 0)
        else:
            out |= band == band.dtype.type(value)
    if ambiguous and len(ambiguous) == len(values):
        out |= np.logical_and.reduce(ambiguous)
    return out
