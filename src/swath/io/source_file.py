"""Files that images are made of: what their bands are, how they are opened and read."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from glob import escape, glob
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import rasterio
import rasterio.errors
from numpy.typing import NDArray
from pydantic import BaseModel
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.vrt import WarpedVRT

from swath.errors import DataError, check_path
from swath.geo.gdal import GDAL_ERRORS
from swath.geo.geobox import GeoBox, geobox_of
from swath.geo.interpolation import AxisWeights, axis_weights, resample
from swath.geo.tiling import Window, full_window
from swath.io.arrays import file_of, open_array
from swath.io.nodata import BandMarks, Coverage, can_hold, either, find_coverage, mark_band
from swath.io.orientation import apply_orientation
from swath.io.raster_limits import check_limits
from swath.io.tiff import FETCH_AGAIN, join_pages
from swath.io.vector.formats import is_vector_file
from swath.types import PathLike

EXTENSIONS = frozenset(
    ".tif .tiff .jpg .jpeg .jpe .jfif .png .jp2 .img .vrt .bmp .webp .asc .bsq .bil .bip".split()
)
"""Endings of file names that are taken for rasters."""

ENVI_ENDINGS = frozenset({"", ".dat", ".raw", ".envi"})
"""Endings of files that are rasters where a header `.hdr` lies beside them."""

GDAL_CACHE_BYTES = 64 * 2**20  # the default is a share of the machine's memory
ALPHA_SIDE = 256  # rows and columns of the windows by which alpha is told from data
MIN_BETWEEN = 0.5  # share of pixels neither clear nor opaque from which alpha is data
MIN_DATA_VALUES = 16  # distinct values of such pixels, of data
_MASK_NAME = re.compile(r"alpha|mask|opacity|valid|\bband\W*\d|^\W*\d*\W*$", re.IGNORECASE)
"""Names of bands that may be alpha."""

PALETTE_BANDS = ("red", "green", "blue")


QualityKind: TypeAlias = Literal[
    "qa_pixel", "qa_radsat", "scl", "udm2", "udm1", "fmask", "cloud_probability", "mask", "polygons"
]


class BandFile(BaseModel, frozen=True):
    """One band of an image.

    Attributes:
        path: any path that GDAL opens.
        index: band of the file, from 1.
        name: common name, such as blue or nir, where it is known; else the sensor's.
        sensor_name: name that the sensor's documentation uses, such as B02.
        wavelength: center in micrometers.
        scale: physical value = stored value * scale + offset.
        offset: see `scale`.
        nodata: stored value that means no data; None for what the file declares.
        decibels: whether the value is 10 * log10 of the scaled one.
        amplitude: whether the value in decibels is that of the square, 20 * log10.
    """

    path: str
    index: int = 1
    name: str
    sensor_name: str = ""
    wavelength: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    decibels: bool = False
    amplitude: bool = False


class QualityFile(BaseModel, frozen=True):
    """A layer that tells which pixels of an image are usable.

    Attributes:
        path: raster, any path that GDAL opens, or vector layer.
        index: band of the raster, from 1; of `udm2`, the first of its bands.
        kind: what its values mean.
    """

    path: str
    index: int = 1
    kind: QualityKind


class Product(BaseModel, frozen=True):
    """An image as a sensor's provider delivers it.

    Attributes:
        name: of the product, without extension.
        sensor: such as sentinel-2.
        level: such as L2A.
        acquired: date and time, ISO 8601, in UTC.
        baseline: version of the provider's processing.
        bands: the bands, in the sensor's order.
        quality: its quality layers.
        files: metadata files that the above was read from, and the archive around the bands.
        warnings: sentences on what is missing or not as usual.
    """

    name: str
    sensor: str
    level: str = ""
    acquired: str | None = None
    baseline: str | None = None
    bands: tuple[BandFile, ...]
    quality: tuple[QualityFile, ...] = ()
    files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Path of its metadata or archive, else of its first band."""
        return self.files[0] if self.files else self.bands[0].path

    @property
    def place(self) -> str:
        """Path of its SAFE folder or archive, else `path`."""
        archive = re.match(r"/vsi(?:zip|tar)/\{?(.+?\.(?:zip|tar))\b", self.path, re.IGNORECASE)
        path = archive[1] if archive else self.path
        folder = re.match(r"(.+?\.SAFE)/", path, re.IGNORECASE)
        return folder[1] if folder else path

    @property
    def is_placed_by_points(self) -> bool:
        """Whether ground control points place its images, which are warped as they are read."""
        return self.sensor == "sentinel-1" and self.level == "GRD"

    @property
    def local_files(self) -> set[str]:
        """All files that are read of it, without URLs and paths into archives."""
        paths = {*self.files, *(b.path for b in self.bands), *(q.path for q in self.quality)}
        return {path for path in paths if "://" not in path and not path.startswith("/vsi")}


@dataclass(frozen=True)
class FileBand:
    """A band of an open file.

    Attributes:
        index: its number in the file, from 1; of a palette's color, from 1 for red.
        dtype: of the stored values.
        nodata: value that means no data, declared by the file or the product.
        about: its name and what its numbers mean.
    """

    index: int
    dtype: np.dtype[Any]
    nodata: float | None
    about: BandFile

    def to_numbers(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return physical values (float32) of stored ones; what has no logarithm is NaN."""
        about = self.about
        if stored.dtype.itemsize <= 2 and stored.size > 65536 and stored.dtype.kind in "iu":
            limits = np.iinfo(stored.dtype)
            table = self.to_numbers(np.arange(limits.min, limits.max + 1, dtype=stored.dtype))
            return table.take(stored.astype(np.intp) - int(limits.min))
        numbers = stored.astype(np.float64)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            numbers *= about.scale
            numbers += about.offset
            if about.decibels:
                factor = 20 if about.amplitude else 10
                numbers = np.where(numbers > 0, factor * np.log10(numbers), np.nan)
            return numbers.astype(np.float32)

    @property
    def is_scaled(self) -> bool:
        """Whether physical values are other than stored ones."""
        return self.about.decibels or (self.about.scale, self.about.offset) != (1, 0)


@dataclass(frozen=True)
class GridView:
    """A file's pixels on another grid: the grid, and weights of its rows and columns."""

    grid: GeoBox
    rows: AxisWeights
    cols: AxisWeights


@dataclass(frozen=True)
class Stored:
    """What a window of a file holds.

    Attributes:
        values: stored values (bands, rows, columns).
        marks: where each band has no data.
        outside: pixels that have no data whatever the bands hold; None for none.
    """

    values: NDArray[Any]
    marks: list[BandMarks]
    outside: NDArray[np.bool_] | None


@dataclass(frozen=True)
class SourceFile:
    """An open file, its bands, and what marks its pixels as nodata.

    Attributes:
        path: any path that GDAL opens.
        dataset: the open file.
        bands: the bands to read.
        named: whether the names of bands are known from elsewhere than the file.
        alpha: band that marks pixels as nodata.
        shared_mask: whether the file has a mask.
        palette: colors and alpha by value, of an image that is read by its colors.
        classes: whether the values are classes, which have no mean.
        data_alpha: band that is called alpha and read as data.
        color_nodata: whether the bands' nodata values are one color.
        given: nodata value that the user gave.
        coverage: what the sources of a virtual raster cover.
        view: grid that pixels are resampled onto.
        covered: band that is 0 where an image that is warped has no pixel.
    """

    path: str
    dataset: rasterio.DatasetReader
    bands: tuple[FileBand, ...]
    named: bool
    alpha: int | None
    shared_mask: bool
    palette: NDArray[np.uint8] | None
    classes: bool
    data_alpha: int | None
    color_nodata: bool
    given: float | None = None
    coverage: Coverage | None = None
    view: GridView | None = None
    covered: int | None = None

    @property
    def grid(self) -> GeoBox:
        """The grid on which the file is read."""
        return geobox_of(self.dataset) if self.view is None else self.view.grid

    def select(self, places: Sequence[int]) -> SourceFile:
        """Return the file with some of its bands, which are counted from 1."""
        if max(places) > len(self.bands):
            raise _band_missing(self.path, max(places), len(self.bands))
        return replace(self, bands=tuple(self.bands[i - 1] for i in places))

    def on_grid(self, grid: GeoBox) -> SourceFile:
        """Return the file as it is read on another grid of parallel rows, which it covers."""
        to_own = ~geobox_of(self.dataset).affine * grid.affine
        rows = axis_weights(grid.height, to_own.e, to_own.f, self.dataset.height)
        cols = axis_weights(grid.width, to_own.a, to_own.c, self.dataset.width)
        return replace(self, view=GridView(grid, rows, cols))

    def with_nodata(self, value: float | None) -> SourceFile:
        """Return the file with a nodata value that the user gave.

        Raises:
            DataError: no pixel of the file can have that value.
        """
        if value is None or self.palette is not None:
            return self
        for band in self.bands:
            if band.dtype.kind in "iu" and not can_hold(band.dtype, value):
                message = (
                    f"The value of --nodata, {value:g}, is none that {band.dtype} pixels can have"
                )
                fix = "Give the value that the pixels without data have, or leave --nodata out"
                raise DataError(message, code="nodata-range", file=self.path, fix=fix)
        return replace(self, given=value)

    def read(self, window: Window, shape: tuple[int, int], nearest: bool) -> Stored:
        """Read a window of `grid`, reduced to a shape.

        Values are averaged where the shape is smaller, unless `nearest`.

        Raises:
            DataError: the file is damaged.
        """
        if self.view is None:
            return self._read_own(window, shape, nearest)
        if shape != (window.height, window.width):
            return self._read_reduced(window, shape, nearest)
        rows, top, height = self.view.rows.part(window.row, window.height)
        cols, left, width = self.view.cols.part(window.col, window.width)
        stored = self._read_own(Window(top, left, height, width), (height, width), nearest)
        at = np.ix_(rows.nearest, cols.nearest)
        if nearest or self.classes:
            values = stored.values[:, rows.nearest][:, :, cols.nearest]
        else:
            held = [either([m.any, stored.outside]) for m in stored.marks]
            pairs = zip(stored.values, held, strict=True)
            values = np.stack([resample(band, rows, cols, mask) for band, mask in pairs])
        outside = None if stored.outside is None else stored.outside[at]
        return Stored(values, [marks.at(at) for marks in stored.marks], outside)

    def _read_reduced(self, window: Window, shape: tuple[int, int], nearest: bool) -> Stored:
        """Read about the pixels of a window of the view, for pictures."""
        own = geobox_of(self.dataset)
        to_own = ~own.affine * self.grid.affine
        col, row = to_own * (window.col, window.row)
        stop_col, stop_row = to_own * (window.stop[1], window.stop[0])
        top, left = min(max(0, round(row)), own.height - 1), min(max(0, round(col)), own.width - 1)
        height, width = max(1, round(stop_row) - top), max(1, round(stop_col) - left)
        return self._read_own(Window(top, left, height, width).within(own.window), shape, nearest)

    def _read_own(self, window: Window, shape: tuple[int, int], nearest: bool) -> Stored:
        """Read a window of the file's own pixels."""
        nearest = nearest or self.classes
        indexes = [1] if self.palette is not None else [band.index for band in self.bands]
        where: dict[str, Any] = {"window": window.to_rasterio(), "out_shape": shape}
        with gdal_errors(self.path):
            how = Resampling.nearest if nearest else Resampling.average
            if len({self.dataset.dtypes[index - 1] for index in indexes}) == 1:
                shapes = where | {"out_shape": (len(indexes), *shape)}
                values = self.dataset.read(indexes, **shapes, resampling=how)
            else:  # virtual rasters have bands of several dtypes, which rasterio reads one by one
                values = np.stack(
                    [self.dataset.read(index, **where, resampling=how) for index in indexes]
                )
            bands = [band for band in (self.alpha, self.covered) if band]
            masks = [self.dataset.read(band, **where) for band in bands]
            masks += [self.dataset.dataset_mask(**where)] if self.shared_mask else []
        outside: list[NDArray[np.bool_] | None] = [mask == 0 for mask in masks]
        if self.palette is not None:
            outside.append(mark_band(values[0], self.bands[0].nodata).any)
            *values, opacity = self.palette[values[0]].transpose(2, 0, 1)
            values = np.stack([values[band.index - 1] for band in self.bands])
            return Stored(values, [BandMarks(None)] * len(values), either([*outside, opacity == 0]))
        marks = []
        for band, stored in zip(self.bands, values, strict=True):
            own = mark_band(stored, band.nodata, self.given, self.color_nodata)
            gaps = self.coverage.gaps(band.index, window, shape) if self.coverage else None
            marks.append(replace(own, certain=either([own.certain, gaps])))
        return Stored(values, marks, either(outside))


def open_source(
    path: str,
    dataset: rasterio.DatasetReader,
    *,
    about: Sequence[BandFile] = (),
    order: Sequence[int] | None = None,
    raw: bool = False,
    wanted: int | None = None,
    warped: WarpedVRT | None = None,
) -> SourceFile:
    """Describe an open file.

    Args:
        path: the file.
        dataset: the same, open.
        about: its bands that are wanted, where these are known; all by default.
        order: bands to take, counted from 1 without alpha bands; all by default.
        raw: whether palette images are read by their values.
        wanted: number of bands, where that is known.
        warped: the file on another grid, which is read instead; see `swath.io.warping`.

    Raises:
        DataError: the file holds complex numbers, or has no such band.
    """
    _check_bands(dataset, path, about)
    indexes, alpha, data_alpha = _split_alpha(
        dataset, path, [b.index for b in about] or order, exact=bool(about), wanted=wanted
    )
    flags = dataset.mask_flag_enums[indexes[0] - 1]
    has_mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
    interp = list(dataset.colorinterp)
    is_palette = interp == [ColorInterp.palette] and not raw and not about
    file = SourceFile(
        path,
        warped or dataset,
        tuple(
            _palette_bands(dataset, path)
            if is_palette
            else _file_bands(dataset, path, indexes, about)
        ),
        named=bool(about),
        alpha=alpha,
        shared_mask=has_mask and warped is None,  # whose last band holds it
        palette=_palette(dataset) if is_palette else None,
        classes=ColorInterp.palette in interp,
        data_alpha=data_alpha,
        color_nodata="NODATA_VALUES" in dataset.tags(),
        coverage=find_coverage(path) if dataset.driver == "VRT" and warped is None else None,
        covered=None if warped is None else warped.count,
    )
    return file if order is None or about else file.select(order)


def _check_bands(dataset: rasterio.DatasetReader, path: str, about: Sequence[BandFile]) -> None:
    if any("complex" in dtype for dtype in dataset.dtypes):
        fix = "Convert it to amplitude or decibels first"
        raise DataError("The file holds complex numbers", code="complex-values", file=path, fix=fix)
    for band in about:
        if band.index > dataset.count:
            raise _band_missing(path, band.index, dataset.count)


def _band_missing(path: str, number: int, count: int) -> DataError:
    message = f"Band {number} is wanted, and the file has {count}"
    return DataError(message, code="band-missing", file=path, fix="Count its bands from 1")


def _split_alpha(
    dataset: rasterio.DatasetReader,
    path: str,
    order: Sequence[int] | None,
    *,
    exact: bool,
    wanted: int | None,
) -> tuple[list[int], int | None, int | None]:
    """Return the bands of data, the band that is their mask, and one called alpha that is data.

    Args:
        dataset: the file.
        path: its path.
        order: bands that are wanted.
        exact: whether `order` counts alpha bands.
        wanted: number of bands, where that is known.
    """
    alphas = _alpha_bands(dataset)
    indexes = [i for i in dataset.indexes if i not in alphas]
    if exact and order:
        return list(order), next((i for i in alphas if i not in order), None), None
    if order is not None:
        wanted = dataset.count if max(order) > len(indexes) else len(indexes)
    if len(alphas) == 1 and len(indexes) > 2 and _is_data(dataset, alphas[0], path, wanted):
        return list(dataset.indexes), None, alphas[0]
    if not indexes:
        raise DataError(
            "The file has no band of data", code="no-bands", file=path, fix="Leave it out"
        )
    return indexes, alphas[0] if alphas else None, None


def _alpha_bands(dataset: rasterio.DatasetReader) -> list[int]:
    return [i for i, c in enumerate(dataset.colorinterp, 1) if c == ColorInterp.alpha]


def _is_data(dataset: rasterio.DatasetReader, alpha: int, path: str, wanted: int | None) -> bool:
    """Return whether the one alpha band is data: by the number of bands, its name, its values."""
    if wanted in (dataset.count - 1, dataset.count):
        return bool(wanted == dataset.count)
    text = descriptions(dataset)[alpha - 1]
    if text and not _MASK_NAME.search(text):
        return True
    return _holds_data(dataset, alpha, path)


def _palette_bands(dataset: rasterio.DatasetReader, path: str) -> list[FileBand]:
    kind, nodata = np.dtype(np.uint8), dataset.nodata
    about = [BandFile(path=path, index=1, name=name) for name in PALETTE_BANDS]
    return [FileBand(i, kind, nodata, one) for i, one in enumerate(about, 1)]


def _file_bands(
    dataset: rasterio.DatasetReader, path: str, indexes: Sequence[int], about: Sequence[BandFile]
) -> list[FileBand]:
    """Return the bands of a file; numbers that a product does not explain are the file's."""
    if not about:
        names = _own_names(dataset, indexes)
        about = [
            BandFile(path=path, index=i, name=name) for i, name in zip(indexes, names, strict=True)
        ]
    out = []
    for one in about:
        at = one.index - 1
        if (one.scale, one.offset) == (1, 0):
            scale, offset = dataset.scales[at], dataset.offsets[at]
            if math.isfinite(scale) and math.isfinite(offset) and scale != 0:
                one = one.model_copy(update={"scale": scale, "offset": offset})
        nodata = dataset.nodatavals[at] if one.nodata is None else one.nodata
        out.append(FileBand(one.index, np.dtype(dataset.dtypes[at]), nodata, one))
    return out


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


def has_raster_name(path: Path) -> bool:
    """Return whether a file is taken for a raster by its name, or by an ENVI header beside it."""
    ending = path.suffix.lower()
    if ending not in ENVI_ENDINGS:
        return ending in EXTENSIONS
    return any(header.is_file() for header in (path.with_suffix(".hdr"), Path(f"{path}.hdr")))


def find_files(pattern: PathLike, root: Path | None = None, *, folders: bool = False) -> list[Path]:
    """Return the files that match a pattern, sorted.

    Leading folders that exist by their own name are taken as they are, also with brackets or stars
    in it, and so is a file of just that name.

    Args:
        pattern: with `*`, `?`, `[...]` within a name and `**` for any folders.
        root: folder that the pattern starts from; the working directory by default.
        folders: whether folders that match are returned, too.
    """
    base, parts = root or Path(), list(Path(pattern).parts)
    if (base / pattern).is_file() or folders and (base / pattern).is_dir():
        return [base / pattern]
    while parts and (base / parts[0]).is_dir() and parts[0] != "**":
        base, parts = base / parts[0], parts[1:]
    if not parts:
        return []
    found = glob(str(Path(escape(str(base)), *parts)), recursive=True)
    return [p for p in map(Path, sorted(found)) if p.is_file() or folders and p.is_dir()]


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
        message, fix = "There is no such file", check_path(file)
        return DataError(message, code="no-such-file", file=file, fix=fix)
    if local and is_vector_file(file_of(path)) and file_of(path).suffix.lower() != ".zip":
        message = "A raster is wanted, and this is a vector layer or table"
        fix = "Give an image, such as a GeoTIFF"
        return DataError(message, code="not-a-raster", file=path, fix=fix)
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
