"""Which pixels of an image have no data: the rule for all types, files and bands."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.tiling import Window

FLOAT_MAX = float(np.finfo(np.float32).max)
NETCDF_FILL = float(np.float32(9.969209968386869e36))

MAX_NESTED = 10
"""Virtual rasters within each other that are followed."""

CERTAIN_FILLS = (-9999.0, -32768.0, -99999.0, FLOAT_MAX, -FLOAT_MAX, NETCDF_FILL)
"""Values that programs write where there is no data, and that are hardly measurements."""

MIN_RUN = 16  # equal pixels in a row along the border that are no coincidence
MIN_WHITE_RUN = 1 / 12  # the same of the largest value, as share of a line: roofs are shorter
MIN_BORDER = 0.05  # share of an image's border in such runs from which their value means no data
MAX_OFF_COLOR = 16  # largest distance from nodata in all bands of a pixel that JPEG made of it
RING_COLORS = (0, 255)  # of nodata in lossy files
MAX_RING = 16  # pixels from nodata to which such pixels are looked for: a block of JPEG
MIN_RING = 0.2  # share of the pixels beside nodata, more than elsewhere, that are a ring
MIN_TAIL = 0.01  # the same at the distance to which it reaches
SOLID_WITHIN = 3  # pixels to the next one with data, of areas without data
MIN_SOLID = 0.5  # share of nodata as far from data: saturated roofs and lamps are ragged

Mask = NDArray[np.bool_]
Rectangles = NDArray[np.float64]  # (n, 4): first row, first column, last row, last column


@dataclass(frozen=True)
class BandMarks:
    """Where a band (rows, columns) holds something that means no data; None where nowhere.

    Attributes:
        certain: NaN, infinity, or a value that is no measurement.
        ambiguous: the declared value, and the user's, where these are possible measurements.
    """

    certain: Mask | None
    ambiguous: tuple[Mask | None, Mask | None] = (None, None)

    @property
    def any(self) -> Mask | None:
        """Where the band holds any of them."""
        return either([self.certain, *self.ambiguous])

    def at(self, index: Any) -> BandMarks:
        """Return the marks of other pixels, by an index of arrays."""
        first, second = (None if m is None else m[index] for m in self.ambiguous)
        return BandMarks(None if self.certain is None else self.certain[index], (first, second))


def either(masks: Sequence[Mask | None]) -> Mask | None:
    """Return where one of several masks is set; None where all are None."""
    out = None
    for mask in masks:
        if mask is not None:
            out = mask if out is None else out | mask
    return out


def mark_band(
    band: NDArray[Any], declared: float | None, given: float | None = None, together: bool = False
) -> BandMarks:
    """Find what means no data in a band (rows, columns), as it is stored.

    Args:
        band: stored values.
        declared: value that its file declares.
        given: value that the user gave.
        together: whether the declared values of the file's bands are one color, such as the
            transparent color of a PNG.
    """
    certain, ambiguous = [_not_finite(band)], [None, None]
    for slot, value in enumerate((declared, given)):
        if value is None or not can_hold(band.dtype, value):
            continue
        held = band == band.dtype.type(value)
        if is_ambiguous(band.dtype, value) or (together and slot == 0):
            ambiguous[slot] = held
        else:
            certain.append(held)
    return BandMarks(either(certain), (ambiguous[0], ambiguous[1]))


def is_ambiguous(dtype: np.dtype[Any], value: float) -> bool:
    """Return whether a value is also a possible measurement: 0, or the largest unsigned one."""
    return value == 0 or (dtype.kind == "u" and value == np.iinfo(dtype).max)


def can_hold(dtype: np.dtype[Any], value: float) -> bool:
    """Return whether a pixel of a dtype can have a value, NaN apart."""
    if math.isnan(value):
        return False
    if dtype.kind not in "iu":
        return True
    limits = np.iinfo(dtype)
    return math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max


def _not_finite(band: NDArray[Any]) -> Mask | None:
    if band.dtype.kind != "f":
        return None
    with np.errstate(over="ignore"):
        out: Mask = ~np.isfinite(band.astype(np.float32, copy=False))
    return out if out.any() else None


@dataclass
class BandTally:
    """What was read of a band.

    Attributes:
        alive: whether a pixel had data.
        total: sum of the values that are data.
        count: their number.
    """

    alive: bool = False
    total: float = 0.0
    count: int = 0

    def add(self, missing: Mask | None, pixels: int) -> None:
        """Note whether any of the pixels has data."""
        self.alive = self.alive or (pixels > 0 and (missing is None or not missing.all()))

    def sum_up(self, values: NDArray[Any], missing: Mask | None) -> None:
        """Add values (rows, columns) that are data."""
        known = values if missing is None else values[~missing]
        self.total += float(known.sum(dtype=np.float64))
        self.count += known.size


@dataclass
class NodataVote:
    """Joins the marks of an image's bands into which of its pixels are valid.

    Args:
        shape: rows and columns.
        ignore: whether a pixel is valid if one of its bands is.
    """

    shape: tuple[int, int]
    ignore: bool = False
    _bad: list[Mask] = field(default_factory=list)
    _every: Mask | None = None
    _groups: dict[int, Mask] = field(default_factory=dict)

    def add(self, marks: BandMarks, counts: bool) -> None:
        """Add a band; `counts` if it can hold no data anywhere."""
        if self.ignore:
            if counts:
                own = marks.any
                own = np.zeros(self.shape, bool) if own is None else own
                self._every = own if self._every is None else self._every & own
            return
        if marks.certain is not None:
            self._bad.append(marks.certain)
        for slot, mask in enumerate(marks.ambiguous):
            if mask is not None:
                known = self._groups.get(slot)
                self._groups[slot] = mask if known is None else known & mask

    def exclude(self, mask: Mask) -> None:
        """Add pixels that are invalid whatever the bands hold."""
        self._bad.append(mask)

    def valid(self) -> Mask:
        """Return the valid pixels (rows, columns)."""
        bad = either([*self._bad, *self._groups.values(), self._every])
        return np.ones(self.shape, bool) if bad is None else ~bad


@dataclass(frozen=True)
class Coverage:
    """What the sources of a virtual raster cover.

    Attributes:
        size: rows and columns of the raster.
        bands: rectangles of each band, in pixels; None for a band that is covered or not known.
    """

    size: tuple[int, int]
    bands: tuple[Rectangles | None, ...]

    def gaps(self, band: int, window: Window, shape: tuple[int, int]) -> Mask | None:
        """Return what no source covers of a window of a band, counted from 1; None for nothing."""
        boxes = self.bands[band - 1]
        if boxes is None:
            return None
        scale = np.array([shape[0] / window.height, shape[1] / window.width] * 2)
        boxes = (boxes - np.array([window.row, window.col] * 2)) * scale
        boxes = np.clip(np.ceil(boxes - 0.5), 0, [*shape, *shape]).astype(int)
        boxes = boxes[(boxes[:, :2] < boxes[:, 2:]).all(1)]
        out = np.ones(shape, bool)
        for top, left, bottom, right in boxes:
            out[top:bottom, left:right] = False
        return out if out.any() else None


def find_coverage(path: str) -> Coverage | None:
    """Return what the sources of a virtual raster on disk cover; None where that is not told.

    Raises:
        DataError: a source is missing.
    """
    return _coverage(Path(path), 0) if Path(path).is_file() else None


def _coverage(path: Path, depth: int) -> Coverage | None:
    try:
        root = ElementTree.parse(path).getroot()  # noqa: S314 - expat limits expansion
    except (ElementTree.ParseError, UnicodeDecodeError, OSError):
        return None
    if root.tag != "VRTDataset" or root.get("subClass") or depth > MAX_NESTED:
        return None
    size = int(root.get("rasterYSize", 0)), int(root.get("rasterXSize", 0))
    inner: dict[Path, Coverage | None] = {}
    bands = [_band_boxes(band, path, size, depth, inner) for band in root.iter("VRTRasterBand")]
    return Coverage(size, tuple(bands)) if any(b is not None for b in bands) else None


def _band_boxes(
    band: ElementTree.Element,
    path: Path,
    size: tuple[int, int],
    depth: int,
    inner: dict[Path, Coverage | None],
) -> Rectangles | None:
    """Return the rectangles of a band that sources cover; None where that is all of it."""
    sources = [s for s in band if s.find("SourceFilename") is not None]
    if not sources or band.get("subClass", "VRTSourcedRasterBand") != "VRTSourcedRasterBand":
        return None
    found = []
    for source in sources:
        own = _source_path(source, path)
        if own is not None and own not in inner:
            inner[own] = _coverage(own, depth + 1) if own.suffix.lower() == ".vrt" else None
        covers = None if own is None else inner[own]
        found.append(_source_boxes(source, size, covers))
    boxes = np.concatenate(found)
    whole = (boxes[:, :2] <= 0).all(1) & (boxes[:, 2:] >= np.array(size)).all(1)
    return None if whole.any() else boxes


def _source_path(source: ElementTree.Element, vrt: Path) -> Path | None:
    """Return the local file of a source; None for what is no file, such as a URL.

    Raises:
        DataError: it is missing.
    """
    element = source.find("SourceFilename")
    name = (element.text or "").strip() if element is not None else ""
    if not name or name.startswith(("<", "/vsi")) or re.match(r"[A-Za-z0-9_]{2,}:", name):
        return None
    relative = element is not None and element.get("relativeToVRT") == "1"
    found = vrt.parent / name if relative else Path(name)
    if not found.exists():
        message = f"A source of the virtual raster is missing: {found}"
        fix = "Put the file back, or build the virtual raster again from the files there are"
        raise DataError(message, code="missing-source", file=vrt, fix=fix)
    return found


def _source_boxes(
    source: ElementTree.Element, size: tuple[int, int], covers: Coverage | None
) -> Rectangles:
    """Return what a source covers of its virtual raster, in whose pixels the rectangles are."""
    target = _rectangle(source.find("DstRect"), size)
    number = source.findtext("SourceBand", "1").strip()
    inner = None
    if covers is not None and number.isdecimal() and int(number) <= len(covers.bands):
        inner = covers.bands[int(number) - 1]
    if covers is None or inner is None:
        return target[None]
    origin = _rectangle(source.find("SrcRect"), covers.size)
    scale = (target[2:] - target[:2]) / np.maximum(origin[2:] - origin[:2], 1e-9)
    seen = np.clip(inner, np.tile(origin[:2], 2), np.tile(origin[2:], 2))
    boxes: Rectangles = (seen - np.tile(origin[:2], 2)) * np.tile(scale, 2) + np.tile(target[:2], 2)
    return boxes


def _rectangle(element: ElementTree.Element | None, size: tuple[int, int]) -> NDArray[np.float64]:
    if element is None:
        return np.array([0, 0, *size], float)
    row, col, height, width = (
        float(element.get(name, 0)) for name in ("yOff", "xOff", "ySize", "xSize")
    )
    return np.array([row, col, row + height, col + width])


Fills: TypeAlias = Mapping[float, NDArray[np.float64]]
"""Stored values that may mean no data, and what they are in each band (bands,); NaN where nothing.
"""


def possible_fills(dtypes: Iterable[str]) -> list[float]:
    """Return stored values that may mean no data in bands of some dtypes: 0, and the largest."""
    kinds = map(np.dtype, dtypes)
    largest = {float(np.iinfo(kind).max) for kind in kinds if kind.kind == "u"}
    return [0.0, *CERTAIN_FILLS, *sorted(largest)]


def count_fills(values: NDArray[Any], valid: Mask, fills: Fills) -> dict[float, int]:
    """Count the valid pixels that hold a fill value: a certain one in any band, else in all.

    Args:
        values: pixels (bands, rows, columns).
        valid: where they are not declared to be nodata (rows, columns).
        fills: the values to look for.
    """
    counts = {}
    for value, numbers in fills.items():
        if not np.isfinite(numbers).any():
            continue
        held = (_held_by_any if value in CERTAIN_FILLS else _held_by_all)(values, numbers)
        count = 0 if held is None else int((held & valid).sum())
        if count:
            counts[value] = count
    return counts


def count_border(
    values: NDArray[Any], valid: Mask, edges: tuple[bool, bool, bool, bool], fills: Fills
) -> dict[float, int]:
    """Count border pixels in long runs of one value, of all bands, that evidently means nodata.

    Args:
        values: pixels (bands, rows, columns).
        valid: where they are not declared to be nodata (rows, columns).
        edges: whether the first row, last row, first column and last column are the image's own
            border.
        fills: the values to look for.
    """
    everything = slice(None)
    lines: list[Any] = [(0, everything), (-1, everything), (everything, 0), (everything, -1)]
    own = [line for line, is_border in zip(lines, edges, strict=True) if is_border]
    counts: dict[float, int] = {}
    for line in own:
        border, usable = values[(everything, *line)], valid[line]
        for value, numbers in fills.items():
            held = _held_by_all(border, numbers)
            least = min(MIN_RUN, usable.size)
            if value > 0 and value not in CERTAIN_FILLS:
                least = max(least, math.ceil(MIN_WHITE_RUN * usable.size))
            count = 0 if held is None else _count_in_runs(held & usable, least)
            if count:
                counts[value] = counts.get(value, 0) + count
    return counts


def erode(valid: Mask, pixels: int) -> Mask:
    """Return the valid pixels that have no invalid one within a square of 2 * pixels + 1.

    What lies outside of the array counts as valid.
    """
    out = valid
    for _ in range(pixels):
        if out.all():
            break
        out = ~_spread(~out)
    return out


def _spread(mask: Mask) -> Mask:
    """Return a mask and the eight neighbors of its pixels."""
    rows = mask.copy()
    rows[1:] |= mask[:-1]
    rows[:-1] |= mask[1:]
    out = rows.copy()
    out[:, 1:] |= rows[:, :-1]
    out[:, :-1] |= rows[:, 1:]
    return out


@dataclass(frozen=True)
class Ring:
    """Pixels beside nodata that lossy compression has made of nodata and data.

    Attributes:
        color: what they are close to in all bands, 0 or 255.
        depth: pixels from nodata to which they reach.
        count: their number.
        declared: whether nodata is declared; otherwise pixels of exactly `color` are meant.
    """

    color: int
    depth: int
    count: int
    declared: bool

    @property
    def mend(self) -> str:
        """Options that leave them out."""
        value = "" if self.declared else f"--nodata {self.color} "
        return f"{value}--erode-nodata {self.depth}"


class RingTally:
    """Counts pixels close to black and white by their distance from nodata, window by window."""

    def __init__(self) -> None:
        kinds = [(color, declared) for color in RING_COLORS for declared in (True, False)]
        self._counts = {kind: np.zeros((2, MAX_RING + 2), np.int64) for kind in kinds}
        self._solid = dict.fromkeys(kinds, 0)

    def add(self, values: NDArray[Any], valid: Mask) -> None:
        """Count a window of 8-bit pixels (bands, rows, columns); see `Raster.read`."""
        for (color, declared), counts in self._counts.items():
            empty = ~valid if declared else valid & (values == color).all(axis=0)
            if not empty.any():
                continue
            off = values if color == 0 else 255 - values
            near = (off <= MAX_OFF_COLOR).all(axis=0)
            counts[:, 0] += int((near & empty).sum()), int(empty.sum())
            unseen = valid & ~empty
            edge = ~empty
            for _ in range(SOLID_WITHIN):
                edge = _spread(edge)
            self._solid[color, declared] += int((~edge).sum())
            for distance in range(1, MAX_RING + 1):
                empty = _spread(empty)
                found = unseen & empty
                counts[:, distance] += int((near & found).sum()), int(found.sum())
                unseen &= ~empty
            counts[:, -1] += int((near & unseen).sum()), int(unseen.sum())

    def find(self, undeclared: Iterable[float]) -> Ring | None:
        """Return the ring, None where there is none.

        Args:
            undeclared: values that evidently mean nodata, and are not declared.
        """
        held = set(undeclared)
        for (color, declared), counts in self._counts.items():
            near, total = counts
            known = 2 * near[0] > total[0] if declared else color in held
            shares = near[1:-1] / np.maximum(total[1:-1], 1) - near[-1] / max(1, total[-1])
            solid = self._solid[color, declared] > MIN_SOLID * total[0]
            if known and solid and shares[0] > MIN_RING:
                depth = int(np.argmin([*(shares > MIN_TAIL), False]))
                return Ring(color, depth, int(near[1 : depth + 1].sum()), declared)
        return None


def _held_by_all(values: NDArray[Any], numbers: NDArray[np.float64]) -> Mask | None:
    if not np.isfinite(numbers).all():
        return None
    out: Mask | None = None
    for band, number in zip(values, numbers, strict=True):
        held = band == band.dtype.type(number)
        out = held if out is None else out & held
        if not out.any():
            return None
    return out


def _held_by_any(values: NDArray[Any], numbers: NDArray[np.float64]) -> Mask | None:
    bands = [
        band == band.dtype.type(number)
        for band, number in zip(values, numbers, strict=True)
        if np.isfinite(number)
    ]
    return either(bands)


def _count_in_runs(marked: Mask, least: int) -> int:
    """Count the marked pixels of a line that lie in runs of at least `least`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= least].sum())
