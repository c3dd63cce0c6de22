"""Rasters on disk: bands, nodata, reading by windows.

Nodata is decided in `Raster.read` and nowhere else. Arrays are (bands, rows, columns).
"""

from __future__ import annotations

import math
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from glob import escape, glob
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import rasterio
import rasterio.enums
import rasterio.errors
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.vrt import WarpedVRT

from swath.errors import DataError
from swath.geo.gdal import GDAL_ERRORS
from swath.geo.geobox import GeoBox, geobox_of
from swath.geo.tiling import Pixels, Window, full_window
from swath.io.arrays import file_of, open_array, stem_of
from swath.io.orientation import ORIENTATION, apply_orientation
from swath.io.raster_limits import check_limits
from swath.io.tiff import FETCH_AGAIN, join_pages
from swath.types import PathLike

EXTENSIONS = frozenset(
    ".tif .tiff .jpg .jpeg .png .jp2 .img .vrt .bmp .webp .asc .bsq .bil .bip".split()
)
"""Endings of file names that are taken for rasters."""

ENVI_ENDINGS = frozenset({"", ".dat", ".raw", ".envi"})
"""Endings of files that are rasters where a header `.hdr` lies beside them."""

GDAL_CACHE_BYTES = 64 * 2**20  # the default is a share of the machine's memory
ALPHA_SIDE = 256  # rows and columns of the windows by which alpha is told from data
MIN_BETWEEN = 0.5  # share of pixels neither clear nor opaque from which alpha is data
MIN_DATA_VALUES = 16  # distinct values of such pixels, of data
PALETTE_BANDS = ("red", "green", "blue")


def gdal_env() -> rasterio.Env:
    """Return the environment for all work with GDAL, in which a damaged JPEG or PNG is an error.

    GDAL's shortcut for whole PNGs is off: it returns uninitialized memory where the file ends too
    soon (3.10.3). rasterio's warning of missing georeferencing is off, since photographs and masks
    have none; the filter is set each time because other libraries reset it.
    """
    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
    return rasterio.Env(
        GDAL_CACHEMAX=GDAL_CACHE_BYTES,
        GDAL_ERROR_ON_LIBJPEG_WARNING=True,
        GDAL_PNG_WHOLE_IMAGE_OPTIM="NO",
    )


@contextmanager
def gdal_errors(path: PathLike) -> Iterator[None]:
    """Run a block in `gdal_env` and raise GDAL's exceptions as a DataError of a file."""
    try:
        with gdal_env():
            yield
    except GDAL_ERRORS as error:
        raise unreadable_error(path, error) from error


@dataclass(frozen=True)
class _SourceFile:
    """An open file, its bands, and what marks its pixels as nodata."""

    path: str
    dataset: rasterio.DatasetReader
    indexes: list[int]
    alpha: int | None
    shared_mask: bool
    palette: NDArray[np.uint8] | None  # by value: the bands' colors, then alpha
    names: list[str]
    data_alpha: int | None = None  # band that is called alpha and read as data
    given: float | None = None  # nodata value that the user gave

    @property
    def dtypes(self) -> list[str]:
        if self.palette is not None:
            return ["uint8"] * len(self.names)
        return [self.dataset.dtypes[i - 1] for i in self.indexes]

    @property
    def nodata(self) -> list[float | None]:
        """Declared nodata values of the bands that are read: of a palette image, one."""
        return [self.dataset.nodatavals[i - 1] for i in self.indexes]

    def select(self, order: Sequence[int]) -> _SourceFile:
        """Return the file with some of its bands, which are counted from 1."""
        if max(order) > len(self.names):
            message = f"Band {max(order)} is wanted, and the file has {len(self.names)}"
            fix = "Count its bands from 1"
            raise DataError(message, code="band-missing", file=self.path, fix=fix)
        chosen = [i - 1 for i in order]
        names = [self.names[i] for i in chosen]
        if self.palette is not None:
            return replace(self, names=names, palette=self.palette[:, [*chosen, -1]])
        return replace(self, names=names, indexes=[self.indexes[i] for i in chosen])

    def read(
        self, window: Window, shape: tuple[int, int], nearest: bool
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        nearest = nearest or self.palette is not None
        where: dict[str, Any] = {"window": window.to_rasterio(), "out_shape": shape}
        with gdal_errors(self.path):
            values = self.dataset.read(
                self.indexes,
                window=where["window"],
                out_shape=(len(self.indexes), *shape),
                resampling=Resampling.nearest if nearest else Resampling.average,
            )
            masks = [self.dataset.read(self.alpha, **where)] if self.alpha else []
            masks += [self.dataset.dataset_mask(**where)] if self.shared_mask else []
        valid = ~_is_nodata(values, self.nodata)
        if self.given is not None:
            valid &= ~_is_nodata(values, [self.given] * len(values))
        if self.palette is not None:
            *values, opacity = self.palette[values[0]].transpose(2, 0, 1)
            values, masks = np.stack(values), [*masks, opacity]
        for mask in masks:
            valid &= mask > 0
        return values, valid


def has_raster_name(path: Path) -> bool:
    """Return whether a file is taken for a raster by its name, or by an ENVI header beside it."""
    ending = path.suffix.lower()
    if ending not in ENVI_ENDINGS:
        return ending in EXTENSIONS
    return any(header.is_file() for header in (path.with_suffix(".hdr"), Path(f"{path}.hdr")))


def find_files(pattern: PathLike, root: Path | None = None) -> list[Path]:
    """Return the files that match a pattern, sorted.

    Leading folders that exist by their own name are taken as they are, also with brackets or stars
    in it, and so is a file of just that name.

    Args:
        pattern: with `*`, `?`, `[...]` within a name and `**` for any folders.
        root: folder that the pattern starts from; the working directory by default.
    """
    base, parts = root or Path(), list(Path(pattern).parts)
    if (base / pattern).is_file():
        return [base / pattern]
    while parts and (base / parts[0]).is_dir() and parts[0] != "**":
        base, parts = base / parts[0], parts[1:]
    if not parts:
        return []
    found = glob(str(Path(escape(str(base)), *parts)), recursive=True)
    return [path for path in map(Path, sorted(found)) if path.is_file()]


class Raster:
    """An image of one file, or of several files on one grid whose bands are stacked in their order.

    Palette images are read as red, green and blue. An alpha band is a mask, not a band, unless it
    evidently holds data: GDAL calls the fourth band of 8-bit files alpha, also near infrared. The
    number of `names` decides, else the values: those of data are many, and few are clear or opaque.
    Reading is safe from several threads. Each file is opened once.

    Args:
        paths: the files.
        names: band names; by default the files' own descriptions, else 1, 2, ..., and for a stack
            of files the part in which their names differ.
        order: bands of the one file to take, counted from 1 without alpha bands; all by default.
        select: bands of all files to take, by name or counted from 1; all by default.
        nodata: value that means no data, besides what the files declare; as in them, 0 and the
            largest unsigned value only where all bands hold it. Palette images have none.
        raw: whether a palette image is read as the values it holds, such as a map's codes.
        driver: the only GDAL driver that may open the files; any by default.
        align: whether files of coarser pixels are resampled (bilinear) onto the finest grid, which
            they have to cover.

    Attributes:
        grid: the grid of all files, or the finest of theirs.
        bands: names of the bands.
        dtypes: dtype of each band in its file; `dtype` holds them all.
        nodata: declared nodata value of each band, None where there is none.
        given_nodata: the argument `nodata`.

    Raises:
        DataError: a file cannot be opened or holds complex numbers, the files do not share one
            grid, a band is missing, or there are more or fewer bands than names.
    """

    def __init__(  # noqa: PLR0913 - each is a fact that the caller alone knows
        self,
        paths: Sequence[PathLike],
        names: Sequence[str] | None = None,
        order: Sequence[int] | None = None,
        *,
        select: Sequence[str] = (),
        nodata: float | None = None,
        raw: bool = False,
        driver: str | None = None,
        align: bool = False,
    ) -> None:
        self.paths, self.given_nodata = tuple(str(p) for p in paths), nodata
        self._stack = ExitStack()
        self._lock = threading.Lock()
        try:
            self._files = []
            for path in self.paths:
                dataset = self._stack.enter_context(open_raster(path, driver))
                with gdal_env():
                    wanted = len(names) if names and len(self.paths) == 1 else None
                    self._files.append(_source_file(dataset, path, order, raw, wanted))
            if align:
                self._align()
            self.grid = self._common_grid()
            self.bands = self._band_names(names)
            self._picked = self._pick_bands(select) if select else None
            self._files = [_with_nodata(file, nodata) for file in self._files]
        except BaseException:
            self.close()
            raise
        dtypes = [dtype for f in self._files for dtype in f.dtypes]
        declared = [
            value
            for f in self._files
            for value in (f.nodata if f.palette is None else f.nodata * len(f.names))
        ]
        at = range(len(dtypes)) if self._picked is None else self._picked
        self.dtypes = tuple(dtypes[i] for i in at)
        self.dtype = np.result_type(*self.dtypes)
        self.nodata = tuple(declared[i] for i in at)

    def _align(self) -> None:
        """Replace files of coarser pixels by their view on the finest grid."""
        grids = [geobox_of(file.dataset) for file in self._files]
        finest = max(grids, key=lambda g: g.height * g.width)
        for i, (file, grid) in enumerate(zip(self._files, grids, strict=True)):
            if not grid.same_as(finest) and _covers(grid, finest):
                with gdal_errors(file.path):
                    view = WarpedVRT(
                        file.dataset,
                        crs=finest.crs,
                        transform=finest.affine,
                        height=finest.height,
                        width=finest.width,
                        resampling=(
                            Resampling.nearest if file.palette is not None else Resampling.bilinear
                        ),
                    )
                self._files[i] = replace(file, dataset=self._stack.enter_context(view))

    def _common_grid(self) -> GeoBox:
        grid, *others = (geobox_of(file.dataset) for file in self._files)
        for other, path in zip(others, self.paths[1:], strict=True):
            if not other.same_as(grid):
                message = f"The grid (size, CRS or transform) is not that of {self.paths[0]}"
                files = f"{quote(path)} NEW.tif --like {quote(self.paths[0])}"
                fix = f"Warp it to that grid first (`rio warp {files}`), if both have a CRS"
                raise DataError(message, code="grid-mismatch", file=path, fix=fix)
        return grid

    def _band_names(self, wanted: Sequence[str] | None) -> tuple[str, ...]:
        """Return the wanted names, else those of the files, numbers if these are not distinct."""
        stems = distinct_name_parts([stem_of(p) for p in self.paths])
        own: list[str] = []
        for file, stem in zip(self._files, stems, strict=True):
            if len(self._files) == 1 or not stem:
                own += file.names
            elif len(file.names) == 1:
                own.append(stem)
            else:
                own += [f"{stem}-{name}" for name in file.names]
        if wanted and len(wanted) != len(own):
            message = (
                f"The image has {len(own)} band(s), and {len(wanted)} are wanted "
                f"({', '.join(wanted)})"
            )
            fix = "Give a file with these bands"
            raise DataError(message, code="band-mismatch", file=self.paths[0], fix=fix)
        numbers = [str(i) for i in range(1, len(own) + 1)]
        return tuple(wanted or (own if len(set(own)) == len(own) else numbers))

    def _pick_bands(self, wanted: Sequence[str]) -> list[int]:
        """Keep the wanted bands; return the place of each among those of the files that are left.

        Raises:
            DataError: there is no such band, or one is wanted twice.
        """
        places = [self._band_place(name) for name in wanted]
        if len(set(places)) < len(places):
            message = f"A band is selected twice ({', '.join(wanted)})"
            fix = "Name each band once in --select-bands"
            raise DataError(message, code="band-twice", file=self.paths[0], fix=fix)
        files, kept, start = [], [], 0
        for file in self._files:
            own = [i for i in range(start, start + len(file.names)) if i in places]
            if own:
                files.append(file.select([i - start + 1 for i in own]))
                kept += own
            start += len(file.names)
        self._files = files
        self.bands = tuple(self.bands[i] for i in places)
        return [kept.index(i) for i in places]

    def _band_place(self, name: str) -> int:
        if name in self.bands:
            return self.bands.index(name)
        lower = [band.casefold() for band in self.bands]
        if lower.count(name.casefold()) == 1:
            return lower.index(name.casefold())
        if name.isdecimal() and 1 <= int(name) <= len(self.bands):
            return int(name) - 1
        message = f"The image has no band {name!r} that --select-bands names"
        fix = f"Its bands are {', '.join(self.bands)}, counted from 1"
        raise DataError(message, code="band-missing", file=self.paths[0], fix=fix)

    def read(
        self, window: Window, shape: tuple[int, int] | None = None, *, nearest: bool = False
    ) -> Pixels:
        """Read a window that lies inside the raster, and decide which of its pixels are nodata.

        This is the one place where nodata is decided; all others use `Pixels.valid`. A pixel is
        invalid where the alpha band, the alpha of its palette color or the file's mask is 0, where
        a band is NaN or infinite (as float32, in which all is computed), or where a band holds its
        declared nodata value. In an integer dtype, 0 and the largest unsigned value (255 in 8 bits)
        are also possible measurements, so of these all bands of the file must hold theirs.

        Args:
            window: rows and columns of the raster.
            shape: rows and columns to reduce the window to; its own by default. Overviews are used
                where there are any, and values are averaged.
            nearest: take the nearest value instead of averages.

        Returns:
            Values (bands, rows, columns) of `dtype`, and where they are valid.

        Raises:
            DataError: the file is damaged.
        """
        shape = shape or (window.height, window.width)
        parts, valid = [], np.ones(shape, bool)
        with self._lock:
            for file in self._files:
                values, known = file.read(window, shape, nearest)
                parts.append(values)
                valid &= known
        stacked = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if self._picked is not None:
            stacked = stacked[self._picked]
        return Pixels(stacked.astype(self.dtype, copy=False), valid)

    @property
    def sources(self) -> list[str]:
        """All files that pixels come from, also those that a virtual raster names."""
        return sorted({*self.paths, *(name for f in self._files for name in f.dataset.files)})

    @property
    def alpha_as_band(self) -> bool:
        """Whether a band that the file calls alpha holds data and is read as a band."""
        return any(file.data_alpha is not None for file in self._files)

    def count_veiled(self, window: Window) -> int:
        """Count the pixels of a window whose alpha is neither 0 nor the largest of its dtype."""
        count = 0
        for file in self._files:
            if file.alpha:
                with self._lock, gdal_errors(file.path):
                    alpha = file.dataset.read(file.alpha, window=window.to_rasterio())
                opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1
                count += int(((alpha != 0) & (alpha != opaque)).sum())
        return count

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel, with all its bands, as `read` returns it."""
        return len(self.bands) * self.dtype.itemsize

    @property
    def turned(self) -> bool:
        """Whether a file has been turned by its EXIF orientation."""
        datasets = (f.dataset for f in self._files if f.dataset.driver == "GTiff")
        return any(dataset.get_tag_item(ORIENTATION) is not None for dataset in datasets)

    @property
    def extra_georeferencing(self) -> dict[str, Any]:
        """GCPs (in a CRS) and RPCs of the first file, as keywords of a rasterio profile."""
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

    def __exit__(self, *error: object) -> None:
        self.close()


def _covers(coarse: GeoBox, fine: GeoBox) -> bool:
    """Return whether a grid of coarser pixels has the corners of a finer one, to half a pixel."""
    if coarse.crs is None or not coarse.same_crs(fine):
        return False
    if coarse.height >= fine.height or coarse.width >= fine.width:
        return False
    inverse = ~coarse.affine
    for col, row in ((0, 0), (1, 0), (0, 1), (1, 1)):
        x, y = inverse * fine.point(col * fine.width, row * fine.height)
        if abs(x - col * coarse.width) > 0.5 or abs(y - row * coarse.height) > 0.5:
            return False
    return True


def open_raster(path: PathLike, driver: str | None = None) -> rasterio.DatasetReader:
    """Open a file as one image (`join_pages`) that is upright (`apply_orientation`).

    Args:
        path: the file.
        driver: the only GDAL driver that may open it; any by default.

    Raises:
        DataError: there is no such file, it is no raster, or it declares more than it can hold
            (`check_limits`).
    """
    try:
        with gdal_env():
            dataset = None if driver else open_array(path)
            dataset = dataset or rasterio.open(path, driver=driver)
            # GDAL reports a list of pages that is cut off with the file one call late.
            _ = dataset.subdatasets, dataset.colorinterp
    except GDAL_ERRORS as error:
        raise _opening_error(path, error) from error
    except UnicodeEncodeError as error:
        message = "GDAL takes no file name that is not UTF-8"
        fix = "Rename it"
        raise DataError(message, code="file-name", file=ascii(str(path)), fix=fix) from error
    try:
        if dataset.count == 0:
            message = "The file is a container without bands of its own"
            raise DataError(message, code="no-bands", file=path, fix="Name one of its subdatasets")
        with gdal_errors(path):
            check_limits(str(path), dataset)
            return apply_orientation(str(path), join_pages(str(path), dataset))
    except DataError:
        dataset.close()
        raise


def _opening_error(path: PathLike, error: Exception) -> DataError:
    local = "://" not in str(path) and not str(path).startswith("/vsi")
    if Path(path).is_dir():
        message = "A raster is wanted, and this is a folder"
        return DataError(message, code="is-a-folder", file=path, fix="Name the file in it")
    if local and not file_of(path).exists():
        file = file_of(path)
        return DataError(
            "There is no such file", code="no-such-file", file=file, fix="Check the path"
        )
    return unreadable_error(path, error)


def unreadable_error(path: PathLike, error: Exception) -> DataError:
    """Return the error for a file that GDAL refuses."""
    reason = re.sub(rf"'?{re.escape(str(path))}'?:?\s*", "", str(error.__cause__ or error))
    reason = reason.strip().rstrip(".").replace("\n", " ")
    message = f"The file is damaged or not a raster ({reason})"
    return DataError(message, code="unreadable", file=path, fix=FETCH_AGAIN)


def descriptions(dataset: rasterio.DatasetReader) -> Sequence[str | None]:
    """Return the descriptions of all bands; None for all if one of them is not in UTF-8."""
    try:
        return list(dataset.descriptions)
    except UnicodeDecodeError:
        return [None] * dataset.count


def band_tags(dataset: rasterio.DatasetReader, index: int) -> dict[str, str]:
    """Return the tags of a band, none where one of them is not in UTF-8."""
    try:
        return dict(dataset.tags(index))
    except UnicodeDecodeError:
        return {}


def distinct_name_parts(stems: Sequence[str]) -> list[str]:
    """Return the part of each name in which names differ: `10`, `20` of `lsat7_10`, `lsat7_20`.

    Names are split at all but letters and digits, and equal heads and tails are dropped.
    """
    words = [re.split(r"[^0-9A-Za-z]+", stem) for stem in stems]
    while min(map(len, words)) > 1 and len({w[0] for w in words}) == 1:
        words = [w[1:] for w in words]
    while min(map(len, words)) > 1 and len({w[-1] for w in words}) == 1:
        words = [w[:-1] for w in words]
    return ["_".join(w) for w in words]


def _source_file(
    dataset: rasterio.DatasetReader,
    path: str,
    order: Sequence[int] | None,
    raw: bool,
    wanted: int | None,
) -> _SourceFile:
    """Describe an open file; `wanted` is the number of its bands, where that is known."""
    if any("complex" in dtype for dtype in dataset.dtypes):
        fix = "Convert it to amplitude or decibels first"
        raise DataError("The file holds complex numbers", code="complex-values", file=path, fix=fix)
    interp = list(dataset.colorinterp)
    alphas = [i for i, color in enumerate(interp, 1) if color == ColorInterp.alpha]
    indexes = [i for i in dataset.indexes if i not in alphas]
    data_alpha = None
    if len(alphas) == 1 and len(indexes) > 2:
        if order is not None:
            is_data = len(indexes) < max(order) <= dataset.count
        elif wanted in (len(indexes), dataset.count):
            is_data = wanted == dataset.count
        else:
            is_data = _holds_data(dataset, alphas[0], path)
        if is_data:
            data_alpha, indexes, alphas = alphas[0], list(dataset.indexes), []
    if not indexes:
        raise DataError(
            "The file has no band of data", code="no-bands", file=path, fix="Leave it out"
        )
    flags = dataset.mask_flag_enums[indexes[0] - 1]
    shared_mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
    palette = _palette(dataset) if interp == [ColorInterp.palette] and not raw else None
    names = _own_names(dataset, indexes) if palette is None else list(PALETTE_BANDS)
    alpha = alphas[0] if alphas else None
    file = _SourceFile(path, dataset, indexes, alpha, shared_mask, palette, names, data_alpha)
    return file if order is None else file.select(order)


def _holds_data(dataset: rasterio.DatasetReader, alpha: int, path: str) -> bool:
    """Return whether an alpha band holds measurements, by a few windows of it.

    Most of their pixels are then neither clear nor opaque, and have many values; soft edges are
    few pixels, and a layer that is translucent throughout has few values.
    """
    if dataset.dtypes[alpha - 1] not in ("uint8", "uint16"):
        return False
    opaque = np.iinfo(dataset.dtypes[alpha - 1]).max
    whole = full_window(dataset.height, dataset.width)
    middle = Window((whole.height - ALPHA_SIDE) // 2, (whole.width - ALPHA_SIDE) // 2, 0, 0)
    values = []
    for row, col in ((middle.row, middle.col), (middle.row // 2, middle.col // 2)):
        window = Window(max(0, row), max(0, col), ALPHA_SIDE, ALPHA_SIDE).within(whole)
        with gdal_errors(path):
            values.append(dataset.read(alpha, window=window.to_rasterio()).ravel())
    pixels = np.concatenate(values)
    between = pixels[(pixels != 0) & (pixels != opaque)]
    many = len(np.unique(between)) >= MIN_DATA_VALUES
    return bool(many and len(between) > MIN_BETWEEN * len(pixels))


def _with_nodata(file: _SourceFile, value: float | None) -> _SourceFile:
    """Return the file with a nodata value that the user gave.

    Raises:
        DataError: no pixel of the file can have that value.
    """
    if value is None or file.palette is not None:
        return file
    for dtype in map(np.dtype, file.dtypes):
        if dtype.kind in "iu" and not (
            math.isfinite(value)
            and value == int(value)
            and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max
        ):
            message = f"The value of --nodata, {value:g}, is none that {dtype} pixels can have"
            fix = "Give the value that the pixels without data have, or leave --nodata out"
            raise DataError(message, code="nodata-range", file=file.path, fix=fix)
    return replace(file, given=value)


def _own_names(dataset: rasterio.DatasetReader, indexes: Sequence[int]) -> list[str]:
    """Return the bands' descriptions, else red, green or blue as interpreted, else numbers."""
    colors, texts = [c.name for c in dataset.colorinterp], descriptions(dataset)
    return [
        texts[i - 1] or (colors[i - 1] if colors[i - 1] in PALETTE_BANDS else str(i))
        for i in indexes
    ]


def _palette(dataset: rasterio.DatasetReader) -> NDArray[np.uint8]:
    """Return red, green, blue and alpha by value (n, 4); values without a color are black."""
    table = np.zeros((65536 if dataset.dtypes[0] == "uint16" else 256, 4), np.uint8)
    table[:, 3] = 255
    for value, color in dataset.colormap(1).items():
        table[value] = color
    if dataset.nodata is not None or not table[:, 3].any():
        table[:, 3] = 255  # a nodata value takes precedence; all clear colors mean nothing
    return table


def _is_nodata(values: NDArray[Any], nodata: Sequence[float | None]) -> NDArray[np.bool_]:
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
