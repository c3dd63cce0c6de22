"""Rasters: images of one or several files on one grid, read by windows.

Nodata is decided in `Raster.read` and nowhere else. Arrays are (bands, rows, columns).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from shlex import quote
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Pixels, Window
from swath.io.arrays import stem_of
from swath.io.nodata import BandMarks, BandTally, NodataVote, can_hold, erode, possible_fills
from swath.io.orientation import ORIENTATION
from swath.io.source_file import (
    ENVI_ENDINGS,
    EXTENSIONS,
    PALETTE_BANDS,
    BandFile,
    FileBand,
    SourceFile,
    band_tags,
    descriptions,
    find_files,
    gdal_env,
    gdal_errors,
    has_raster_name,
    open_raster,
    open_source,
    unreadable_error,
)
from swath.io.warping import warp as warp_image
from swath.types import PathLike

__all__ = [
    "ENVI_ENDINGS",
    "EXTENSIONS",
    "Raster",
    "band_tags",
    "descriptions",
    "distinct_name_parts",
    "find_files",
    "gdal_env",
    "gdal_errors",
    "has_raster_name",
    "open_raster",
    "unreadable_error",
]


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
        order: bands to take, counted from 1 without alpha bands, of several files on and on; all by
            default.
        select: bands of all files to take, by name or counted from 1; all by default.
        nodata: value that means no data, besides what the files declare; as in them, 0 and the
            largest unsigned value only where all bands hold it. Palette images have none.
        raw: whether a palette image is read as the values it holds, such as a map's codes.
        driver: the only GDAL driver that may open the files; any by default.
        scaled: whether values are physical: the stored ones times scale plus offset, as float32,
            of bands that have these (by their product, or as GDAL reports them).
        gsd: size of the pixels of the grid, in units of the CRS; by default the finest of the
            files. Values are averaged where that is coarser than a file.
        ignore_band_nodata: whether a pixel is valid if one of its bands is; the other bands have
            `fill` there.
        fill: value of each band where it alone has no data, 0 by default.
        warp: whether images placed by control points or RPCs are read on a north-up grid; see
            `swath.io.warping.warp`.
        erode_nodata: pixels around those without data that have none either.

    Attributes:
        grid: the grid of all files. Files of coarser pixels that cover the finest grid are
            resampled onto it, window by window: bilinear, classes by the nearest pixel.
        bands: names of the bands.
        wavelengths: center of each band in micrometers, None where that is not known.
        is_scaled: whether a band is read as other numbers than the stored ones.
        scales: factor of each band's stored values; `offsets` is added to the product.
        dtypes: dtype of each band as it is read; `dtype` holds them all.
        nodata: declared nodata value of each band as it is stored, None where there is none.
        given_nodata: the argument `nodata`.

    Raises:
        DataError: a file cannot be opened or holds complex numbers, the files do not share one
            grid, a band is missing, or there are more or fewer bands than names.
    """

    def __init__(  # noqa: PLR0913 - each is a fact that the caller alone knows
        self,
        paths: Sequence[PathLike | BandFile],
        names: Sequence[str] | None = None,
        order: Sequence[int] | None = None,
        *,
        select: Sequence[str] = (),
        nodata: float | None = None,
        raw: bool = False,
        driver: str | None = None,
        scaled: bool = False,
        gsd: float | None = None,
        ignore_band_nodata: bool = False,
        fill: Sequence[float] = (),
        warp: bool = False,
        erode_nodata: int = 0,
    ) -> None:
        self.given_nodata, self._scaled, self._warp = nodata, scaled, warp
        self._erosion = erode_nodata
        self._ignore, self._fill = ignore_band_nodata, tuple(fill)
        self._stack = ExitStack()
        self._lock = threading.Lock()
        try:
            stacked = order is not None and len(paths) > 1 and not isinstance(paths[0], BandFile)
            own = None if stacked else order
            self._files, self._picked = self._open_files(paths, names, own, raw, driver)
            self.paths = tuple(file.path for file in self._files)
            self.grid = self._join_grids(gsd)
            self.bands = self._band_names(None if stacked else names)
            if order is not None and stacked:
                self._pick_places([self._ordered_place(number) for number in order])
                self.bands = self._check_names(list(self.bands), names)
            if select:
                self._pick_bands(select)
            self._files = [file.with_nodata(nodata) for file in self._files]
        except BaseException:
            self.close()
            raise
        self._describe_bands()

    def _describe_bands(self) -> None:
        flat = [band for file in self._files for band in file.bands]
        self._tallies = [BandTally() for _ in flat]
        self._moved = self._picked != list(range(len(flat)))
        self._chosen = [flat[i] for i in self._picked]
        self.dtypes = tuple(str(self._dtype_of(band)) for band in self._chosen)
        self.dtype = np.result_type(*self.dtypes)
        self.is_scaled = any(map(self._is_scaled, self._chosen))
        self.nodata = tuple(band.nodata for band in self._chosen)
        self.wavelengths = tuple(band.about.wavelength for band in self._chosen)
        self.scales = tuple(band.about.scale for band in self._chosen)
        self.offsets = tuple(band.about.offset for band in self._chosen)

    def _open_files(
        self,
        paths: Sequence[PathLike | BandFile],
        names: Sequence[str] | None,
        order: Sequence[int] | None,
        raw: bool,
        driver: str | None,
    ) -> tuple[list[SourceFile], list[int]]:
        """Open all files, bands of one file once; return them and the place of each band."""
        groups = _group_bands(paths, order)
        wanted = len(names) if names and len(groups) == 1 else None
        files = []
        for path, bands in groups:
            # Entered, a dataset keeps the GDAL environment of its thread; closing in another fails.
            dataset = open_raster(path, driver)
            self._stack.callback(dataset.close)
            about = [band for _, band in bands]
            with gdal_env():
                warped = warp_image(path, dataset) if self._warp else None
                if warped is not None:
                    self._stack.callback(warped.close)
                how: dict[str, Any] = {"order": order, "raw": raw, "wanted": wanted}
                files.append(open_source(path, dataset, about=about, warped=warped, **how))
        places = [place for _, bands in groups for place, _ in bands]
        if not places:
            places = list(range(sum(len(file.bands) for file in files)))
        return files, [places.index(i) for i in range(len(places))]

    def _dtype_of(self, band: FileBand) -> np.dtype[Any]:
        return np.dtype(np.float32) if self._is_scaled(band) else band.dtype

    def _join_grids(self, gsd: float | None) -> GeoBox:
        """Put files of other pixels on one grid, and return it.

        Raises:
            DataError: a file does not cover the grid, or its pixels are not parallel to it.
        """
        grids = [file.grid for file in self._files]
        finest = min(grids, key=lambda grid: abs(grid.affine.determinant))
        wanted = finest if gsd is None else finest.with_pixels(gsd)
        for i, (file, grid) in enumerate(zip(self._files, grids, strict=True)):
            if grid.same_as(wanted):
                continue
            if not grid.can_fill(wanted, coarser=gsd is None):
                raise self._grid_error(file.path, self.paths[grids.index(finest)])
            self._files[i] = file.on_grid(wanted)
        return wanted

    def _grid_error(self, path: str, finest: str) -> DataError:
        if path == finest:
            message = "The file has no CRS, so its pixels have no size to change"
            fix = "Leave out --gsd"
            return DataError(message, code="grid-mismatch", file=path, fix=fix)
        message = f"The grid (size, CRS or transform) is not that of {finest}"
        fix = (
            f"Warp it to that grid first (`rio warp {quote(path)} NEW.tif --like {quote(finest)}`)"
        )
        return DataError(message, code="grid-mismatch", file=path, fix=f"{fix}, if both have a CRS")

    def _band_names(self, wanted: Sequence[str] | None) -> tuple[str, ...]:
        """Return the wanted names, else those of the files, numbers if these are not distinct."""
        stems = distinct_name_parts([stem_of(p) for p in self.paths])
        own: list[str] = []
        for file, stem in zip(self._files, stems, strict=True):
            names = [band.about.name for band in file.bands]
            if len(self._files) == 1 or file.named or not stem:
                own += names
            elif len(names) == 1:
                own.append(stem)
            else:
                own += [f"{stem}-{name}" for name in names]
        return self._check_names([own[i] for i in self._picked], wanted)

    def _check_names(self, own: list[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
        if wanted and len(wanted) != len(own):
            message = (
                f"The image has {len(own)} band(s), and {len(wanted)} are wanted "
                f"({', '.join(wanted)})"
            )
            fix = "Give a file with these bands"
            raise DataError(message, code="band-mismatch", file=self.paths[0], fix=fix)
        numbers = [str(i) for i in range(1, len(own) + 1)]
        return tuple(wanted or (own if len(set(own)) == len(own) else numbers))

    def _pick_bands(self, wanted: Sequence[str]) -> None:
        """Keep the wanted bands, in their order.

        Raises:
            DataError: there is no such band, or one is wanted twice.
        """
        chosen = [self._band_place(name) for name in wanted]
        if len(set(chosen)) < len(chosen):
            message = f"A band is selected twice ({', '.join(wanted)})"
            fix = "Name each band once in --select-bands"
            raise DataError(message, code="band-twice", file=self.paths[0], fix=fix)
        self._pick_places(chosen)

    def _ordered_place(self, number: int) -> int:
        if number > len(self.bands):
            message = f"Band {number} is wanted, and the files have {len(self.bands)}"
            fix = f"Count these from 1: {', '.join(self.bands)}"
            raise DataError(message, code="band-missing", file=self.paths[0], fix=fix)
        return number - 1

    def _pick_places(self, chosen: Sequence[int]) -> None:
        """Keep the bands of some places, counted from 0, in their order."""
        places = [self._picked[i] for i in chosen]
        files, kept, start = [], [], 0
        for file in self._files:
            own = [i for i in range(start, start + len(file.bands)) if i in places]
            if own:
                files.append(file.select([i - start + 1 for i in own]))
                kept += own
            start += len(file.bands)
        self._files = files
        self.bands = tuple(self.bands[i] for i in chosen)
        self._picked = [kept.index(i) for i in places]

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

        This is the one place where nodata is decided; all others use `Pixels.valid`. It is decided
        on stored values, before they are scaled. A pixel is invalid where

        - the alpha band, the alpha of its palette color or a file's mask is 0;
        - no source of a virtual raster covers a band;
        - a band is NaN or infinite (as float32, in which all is computed);
        - a band holds its declared nodata value;
        - of nodata values that are also possible measurements, which are 0 and the largest unsigned
          value (255 in 8 bits), all bands of the image that declare one hold theirs. A PNG's
          transparent color is such a value of its bands;
        - such a pixel lies within `erode_nodata` pixels, also outside of the window (not in windows
          that are reduced).

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
        own = window.height, window.width
        if not self._erosion or (shape or own) != own:
            return self._read(window, shape or own, nearest)
        around = window.grow(self._erosion).within(self.grid.window)
        core = window.relative_to(around).slices
        values, valid = self._read(around, (around.height, around.width), nearest, core)
        return Pixels(values[:, *core], erode(valid, self._erosion)[core])

    def _read(
        self,
        window: Window,
        shape: tuple[int, int],
        nearest: bool,
        core: tuple[slice, slice] = (slice(None), slice(None)),
    ) -> Pixels:
        """Read a window; `core` are the rows and columns of it that are tallied."""
        vote = NodataVote(shape, self._ignore)
        parts: list[NDArray[Any]] = []
        place = 0
        alike = len(set(self.dtypes)) == 1 and not self._scaled and not self._ignore
        for file in self._files:
            with self._lock:
                stored = file.read(window, shape, nearest)
            if stored.outside is not None:
                vote.exclude(stored.outside)
            whole = stored.values if alike else None
            for values, marks, band in zip(stored.values, stored.marks, file.bands, strict=True):
                vote.add(marks, self._can_miss(file, band))
                tally = self._tallies[place]
                place += 1
                missing = marks.at(core).any
                tally.add(missing, values[core].size)
                if whole is None:
                    values = self._to_numbers(values, band, vote)
                    if self._ignore:
                        tally.sum_up(values[core], missing)
                        values = self._filled(values, marks.certain, place - 1)
                    parts.append(values[None])
            if whole is not None:
                parts.append(whole)
        stacked = parts[0] if len(parts) == 1 else np.concatenate(parts)
        stacked = stacked[self._picked] if self._moved else stacked
        return Pixels(stacked.astype(self.dtype, copy=False), vote.valid())

    def _to_numbers(self, stored: NDArray[Any], band: FileBand, vote: NodataVote) -> NDArray[Any]:
        """Return physical values; those without a logarithm are invalid."""
        if not self._is_scaled(band):
            return stored
        numbers = band.to_numbers(stored)
        lost = ~np.isfinite(numbers)
        if lost.any():
            vote.add(BandMarks(lost), counts=False)
            numbers[lost & np.isfinite(stored)] = 0
        return numbers

    def _filled(
        self, values: NDArray[Any], missing: NDArray[np.bool_] | None, place: int
    ) -> NDArray[Any]:
        """Return a band whose own nodata has the fill value, where that is ignored."""
        if missing is None:
            return values
        fill = self._fill[self._picked.index(place)] if self._fill else 0
        return np.where(missing, np.asarray(fill).astype(values.dtype), values)

    def _can_miss(self, file: SourceFile, band: FileBand) -> bool:
        """Return whether a band can have no data where the others have."""
        told = (band.nodata, file.given, file.coverage)
        return band.dtype.kind == "f" or any(fact is not None for fact in told)

    @property
    def dead(self) -> tuple[str, ...]:
        """Names of the bands that had no data in all that was read so far."""
        flat = [self._tallies[i].alive for i in self._picked]
        return tuple(name for name, alive in zip(self.bands, flat, strict=True) if not alive)

    @property
    def tallies(self) -> tuple[tuple[float, int], ...]:
        """Sum and number of each band's own values so far, with `ignore_band_nodata`."""
        return tuple((self._tallies[i].total, self._tallies[i].count) for i in self._picked)

    @property
    def fills(self) -> dict[float, NDArray[np.float64]]:
        """Stored values that may mean no data, and what they are in each band (bands,)."""
        kinds = [str(band.dtype) for band in self._chosen]
        return {value: self._numbers_of(value) for value in possible_fills(kinds)}

    @property
    def lossy(self) -> bool:
        """Whether a file is compressed as JPEG or WebP, which change values beside nodata."""
        profiles = (file.dataset.profile for file in self._files)
        kinds = [f"{p['driver']} {p.get('compress', '')}".lower() for p in profiles]
        return any("jpeg" in kind or "webp" in kind for kind in kinds)

    def _numbers_of(self, value: float) -> NDArray[np.float64]:
        """Return what a stored value is in each band (bands,), NaN where no pixel can have it."""
        out = np.full(len(self._chosen), np.nan)
        for i, band in enumerate(self._chosen):
            if can_hold(band.dtype, value):
                with np.errstate(over="ignore"):
                    stored = np.array([value]).astype(band.dtype)
                out[i] = (band.to_numbers(stored) if self._is_scaled(band) else stored)[0]
        return out

    def _is_scaled(self, band: FileBand) -> bool:
        return self._scaled and band.is_scaled

    @property
    def sources(self) -> list[str]:
        """All files that pixels come from, also those that a virtual raster names."""
        return sorted({*self.paths, *(name for f in self._files for name in f.dataset.files)})

    @property
    def is_warped(self) -> bool:
        """Whether a file is warped, since control points or RPCs place it."""
        return any(file.covered is not None for file in self._files)

    @property
    def alpha_as_band(self) -> bool:
        """Whether a band that the file calls alpha holds data and is read as a band."""
        return any(file.data_alpha is not None for file in self._files)

    @property
    def named_by_color(self) -> bool:
        """Whether bands have the names of colors that a file without descriptions gives them."""
        plain = [f for f in self._files if not f.named and not any(descriptions(f.dataset))]
        return any(band.about.name in PALETTE_BANDS for f in plain for band in f.bands)

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


def _group_bands(
    paths: Sequence[PathLike | BandFile], order: Sequence[int] | None
) -> list[tuple[str, list[tuple[int, BandFile]]]]:
    """Return the files to open, each with its wanted bands and their places; none for all bands.

    Args:
        paths: files, or bands of files.
        order: bands to take, counted from 1, where bands are given.
    """
    bands = [path for path in paths if isinstance(path, BandFile)]
    if not bands:
        return [(str(path), []) for path in paths]
    if order is not None:
        bands = [bands[i - 1] for i in order]
    groups: dict[str, list[tuple[int, BandFile]]] = {}
    for place, band in enumerate(bands):
        groups.setdefault(band.path, []).append((place, band))
    return list(groups.items())


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
