"""Vector layers: shapes with a class column in any CRS, and GeoPackages that are written."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from pyproj.exceptions import CRSError, ProjError

from swath.errors import DataError, JobError, UsageError
from swath.io.atomic import atomic_file
from swath.io.vector_files import (
    FOLDER,
    FORMATS,
    VECTOR_EXTENSIONS,
    LayerData,
    is_vector_file,
    listed_features,
    read_layer,
)
from swath.types import Finding, PathLike

__all__ = [
    "FORMATS",
    "VECTOR_EXTENSIONS",
    "Features",
    "LayerOptions",
    "VectorLayer",
    "align_classes",
    "crs_code",
    "crs_name",
    "fold",
    "is_class_name",
    "is_vector_file",
    "listed_features",
    "put_layer",
    "read_features",
    "read_geometries",
    "refuse_losses",
    "write_layer",
]

GPKG_DATE = "1970-01-01T00:00:00.000Z"
"""Date in GeoPackages, always the same, so that equal content makes equal files."""

ONE_CLASS = "none"
"""`--label-field` of a layer whose features are all of one class."""

MAX_UNIQUE = 20
"""Features up to which a column of a usual name may have a value of its own in each."""

MAX_SEGMENTS = 4_000_000
"""Edges that densifying makes of a layer, at most."""

_STEP_DEGREES, _STEP = 0.01, 1000.0  # longest edge that is reprojected, degrees or units of a CRS

_CLASS_FIELDS = (
    "class label landcover land_cover lulc category code classname class_name "
    "class_id classid class_code classcode classvalue"
).split()
_ID_FIELDS = frozenset(
    "id fid ogc_fid objectid object_id oid gid uuid guid globalid pk osm_id full_id @id index "
    "rowid row_id feature_id featureid".split()
)
_NAMED_ID = re.compile(r"(.*)(?:_(?i:f?id|[ug]uid)|(?<=[a-z])I[dD])")
_OF_IMAGE = re.compile(r"(?i)(?:image|img|tile|scene|chip|patch|file|photo)$")
_MEASURES = re.compile(r"(shape|st)?_*(area|leng(th)?|len|perimeter|perim)(_?(m2?|ha|km2?|sqm))?")


@dataclass(frozen=True)
class LayerOptions:
    """How a vector layer becomes labels.

    Attributes:
        field: class column; None to find it, `ONE_CLASS` for none.
        layer: name of the layer, None for the only one.
        crs: CRS of the layer, instead of the file's.
        priority: column by which overlaps are decided: the highest value wins; None for the last.
        all_touched: whether polygons get all pixels that they touch.
        width: of points and lines in meters, None for one pixel.
        background: class of what no feature covers, None for no label.
        extent: polygon layer within which the background lies, None for the whole image.
    """

    field: str | None = None
    layer: str | None = None
    crs: str | None = None
    priority: str | None = None
    all_touched: bool = False
    width: float | None = None
    background: str | None = None
    extent: PathLike | None = None


@dataclass(frozen=True)
class Features:
    """The features of one layer, in the order in which they are drawn.

    Attributes:
        path: the file.
        crs: its CRS as WKT, None where it has none.
        geometries: shapely geometries (n,).
        values: the class of each (n,): all text, or all integers.
        field: the column that the classes are from; empty where all are of one class.
        layer: name of the layer.
        fids: feature ids (n,); empty for positions.
        options: how they become labels; None for a layer that is no label (regions, points).
        known: classes of all layers that are numbered together; empty for those of `values`.
        extent: layer within which the background lies.
        findings: on what was mended, joined or left out.
    """

    path: str
    crs: str | None
    geometries: NDArray[Any]
    values: NDArray[Any]
    field: str
    layer: str = ""
    fids: NDArray[np.int64] | None = None
    options: LayerOptions | None = None
    known: tuple[Any, ...] = ()
    extent: Features | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def textual(self) -> bool:
        """Whether classes are given as text."""
        return self.values.dtype.kind not in "iu"

    @property
    def how(self) -> LayerOptions:
        """How they become labels."""
        return self.options or LayerOptions()

    @cached_property
    def classes(self) -> tuple[list[Any], NDArray[np.int64]]:
        """Distinct values in ascending order, and the position in them of each feature (n,)."""
        distinct, at = np.unique(self.values, return_inverse=True)
        return distinct.tolist(), at.astype(np.int64)

    @property
    def numbered(self) -> list[Any]:
        """Distinct values of all layers that are numbered together, in ascending order."""
        return sorted(self.known) if self.known else self.classes[0]

    def ids(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the feature ids of positions (n,)."""
        return positions if self.fids is None else self.fids[positions]

    def to_crs(self, crs: str | None) -> NDArray[Any]:
        """Return the geometries in another CRS (WKT).

        Raises:
            DataError: only one of both sides has a CRS, or none leads to the other.
        """
        return self.to_crs_indexed(crs)[0]

    def to_crs_indexed(self, crs: str | None) -> tuple[NDArray[Any], shapely.STRtree]:
        """Return the geometries in another CRS (WKT) and their spatial index.

        Both are computed once a CRS, since thousands of images may share a layer. Points and lines
        are as wide as the options say.

        Raises:
            DataError: see `to_crs`.
        """
        if crs not in self._by_crs:
            geometries = self._transformed(crs)
            if self.how.width is not None:
                geometries = _widened(geometries, crs, self.how.width, self.path)
            self._by_crs[crs] = geometries, shapely.STRtree(geometries)
        return self._by_crs[crs]

    @cached_property
    def _by_crs(self) -> dict[str | None, tuple[NDArray[Any], shapely.STRtree]]:
        return {}

    def _transformed(self, crs: str | None) -> NDArray[Any]:
        no_crs = crs is None and (self.crs is None or _is_undefined(self.crs))
        if no_crs or not len(self.geometries):
            return self.geometries
        if crs is None or self.crs is None:
            raise self._crs_missing(crs)
        if pyproj.CRS(self.crs) == pyproj.CRS(crs):
            known = pyproj.CRS(crs).is_geographic
            return _unwrapped(self.geometries) if known else self.geometries
        try:
            if _is_undefined(self.crs):
                raise ProjError("undefined")
            move = pyproj.Transformer.from_crs(self.crs, crs, always_xy=True)
        except ProjError as error:
            message = (
                f"The layer's CRS, {crs_name(self.crs)}, cannot be transformed to that of the "
                f"image, {crs_name(crs)}"
            )
            fix = self._crs_fix(crs)
            raise DataError(message, code="crs-no-transform", file=self.path, fix=fix) from error
        return _projected(self.geometries, self.crs, crs, move)

    def _crs_missing(self, crs: str | None) -> DataError:
        if crs is None:
            message = f"The layer has a CRS, {crs_name(self.crs)}, and the image has none"
            fix = "Give the image its CRS and transform (rio edit-info --crs EPSG:CODE IMAGE)"
        else:
            message = f"The image has a CRS, {crs_name(crs)}, and the layer has none"
            fix = self._crs_fix(crs)
        return DataError(message, code="crs-missing", file=self.path, fix=fix)

    def _crs_fix(self, crs: str) -> str:
        if self.options is None:
            return "Save the layer with the CRS that it is in"
        return f"Name the CRS that the labels are in, such as --labels-crs {crs_code(crs)}"


def crs_name(crs: str | None) -> str:
    """Return the name of a CRS for messages, with its code where it has one."""
    if crs is None:
        return "no CRS"
    known = pyproj.CRS(crs)
    authority = known.to_authority()
    return f"{known.name} ({':'.join(authority)})" if authority else known.name


def crs_code(crs: str | None) -> str:
    """Return the code of a CRS as options take it, `EPSG:CODE` where it has none."""
    authority = pyproj.CRS(crs).to_authority() if crs else None
    return ":".join(authority) if authority else "EPSG:CODE"


def _is_undefined(crs: str) -> bool:
    """Return whether a CRS is one of those that GeoPackage has for layers without any."""
    return pyproj.CRS(crs).name.lower().startswith("undefined")


def _projected(
    geometries: NDArray[Any], source: str, target: str, move: pyproj.Transformer
) -> NDArray[Any]:
    """Reproject geometries; long edges follow those of the source, as along a parallel.

    What has no place in the target is empty.
    """
    degrees = pyproj.CRS(source).is_geographic
    if degrees:
        geometries = _unwrapped(geometries)
    moved = _moved(geometries, move, degrees)
    bad = _not_finite(moved)
    if bad.any():  # a part may have a place: cut to where the target is used
        area = pyproj.CRS(target).area_of_use
        if area is not None and degrees:
            box = area.west - 10, area.south - 10, area.east + 10, area.north + 10
            moved[bad] = _moved(shapely.clip_by_rect(geometries[bad], *box), move, degrees)
        moved[_not_finite(moved)] = shapely.Point()
    return moved


def _moved(geometries: NDArray[Any], move: pyproj.Transformer, degrees: bool) -> NDArray[Any]:
    step = _STEP_DEGREES if degrees else _STEP
    step = max(step, float(np.nansum(shapely.length(geometries))) / MAX_SEGMENTS)
    with np.errstate(invalid="ignore"):
        dense = shapely.segmentize(geometries, step)
        moved = shapely.transform(dense, move.transform, interleaved=False)
    return np.asarray(moved, object)


def _not_finite(geometries: NDArray[Any]) -> NDArray[np.bool_]:
    xy, owner = shapely.get_coordinates(geometries, return_index=True)
    out = np.zeros(len(geometries), bool)
    out[owner[~np.isfinite(xy).all(axis=1)]] = True
    return out


def _unwrapped(geometries: NDArray[Any]) -> NDArray[Any]:
    """Continue rings and lines that cross the meridian of 180 degrees beyond it."""
    west, _, east, _ = shapely.bounds(geometries).T
    wide = np.flatnonzero((east - west > 180) & (east - west < 359.9))
    if not len(wide):
        return geometries
    out = geometries.copy()
    for i in wide:
        xy = shapely.get_coordinates(out[i])
        parts = len(shapely.get_parts(shapely.get_parts(out[i])))
        jump = np.abs(np.diff(xy[:, 0]))
        if parts == 1 and len(jump) and jump.max() > 180:
            longitudes = np.unwrap(xy[:, 0], period=360)
            out[i] = shapely.set_coordinates(
                shapely.from_wkb(shapely.to_wkb(out[i])), np.column_stack([longitudes, xy[:, 1]])
            )
    return out


def _widened(geometries: NDArray[Any], crs: str | None, width: float, path: str) -> NDArray[Any]:
    """Buffer points and lines to a width in meters on the earth, at the center of each."""
    thin = (shapely.get_dimensions(geometries) < 2) & ~shapely.is_empty(geometries)
    if not thin.any():
        return geometries
    if crs is None:
        message = "The labels have no CRS, so their width in meters is unknown"
        fix = "Leave out --label-width, or give labels and images a CRS"
        raise DataError(message, code="crs-missing", file=path, fix=fix)
    known = pyproj.CRS(crs)
    shapes = np.asarray(geometries[thin], object)
    bounds = shapely.bounds(shapes)
    x, y = bounds[:, [0, 2]].mean(axis=1), bounds[:, [1, 3]].mean(axis=1)
    unit = 1e-4 if known.is_geographic else 1.0
    to_degrees = pyproj.Transformer.from_crs(known, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(x, y)
    geod = pyproj.Geod(ellps="WGS84")
    scale = []  # meters of a unit along x and y, per shape
    for dx, dy in ((unit, 0.0), (0.0, unit)):
        to_lon, to_lat = to_degrees.transform(x + dx, y + dy)
        scale.append(geod.inv(lon, lat, to_lon, to_lat)[2] / unit)
    factors = np.maximum(np.column_stack(scale), 1e-12)
    meters = _scaled(shapes, factors)
    out = np.asarray(geometries, object).copy()
    out[thin] = _scaled(shapely.buffer(meters, width / 2), 1 / factors)
    return out


def _scaled(shapes: NDArray[Any], factors: NDArray[np.float64]) -> NDArray[Any]:
    xy, owner = shapely.get_coordinates(shapes, return_index=True)
    copies = shapely.from_wkb(shapely.to_wkb(shapes))
    return np.asarray(shapely.set_coordinates(copies, xy * factors[owner]), object)


def read_features(
    path: PathLike, field: str | None = None, options: LayerOptions | None = None
) -> Features:
    """Read a layer with its class column.

    Args:
        path: a file (see `FORMATS`).
        field: the class column; by default the only one that can be, or one of a usual name
            (class, label, ...), but never an identifier.
        options: how it becomes labels; `field` there is used where `field` is None.

    Raises:
        DataError: the file is damaged, has several layers, no geometry, no such column, several
            columns that can be the class, or no usable class.
        UsageError: an option is wrong.
    """
    path, how = Path(path), options or LayerOptions()
    data = read_layer(path, how.layer, empty=how.background is not None)
    name = _choose(data, field or how.field, path, how.background is not None)
    findings = list(data.findings)
    if name is None:
        values: NDArray[Any] = np.full(len(data.fids), data.name, object)
    else:
        values = _class_values(data.columns[name], name, path)
        if values.dtype.kind not in "iu":
            values, joined = _join_alike(values, name, path)
            findings += joined
    crs = data.crs
    if how.crs is not None:
        crs, odd = _given_crs(how.crs, data.crs, path)
        findings += odd
    order = _drawing_order(data, how.priority, path)
    extent = None if how.extent is None else read_geometries(how.extent)
    return Features(
        str(path),
        crs,
        data.geometries[order],
        values[order],
        name or "",
        data.name,
        data.fids[order],
        options,
        (),
        extent,
        tuple(findings),
    )


def read_geometries(path: PathLike) -> Features:
    """Read a layer without its columns; the value of every feature is 1.

    Raises:
        DataError: the file is damaged, has several layers, or no geometry, or a broken one.
    """
    data = read_layer(Path(path))
    refuse_losses(data.findings)
    ones = np.ones(len(data.fids), np.int64)
    return Features(str(path), data.crs, data.geometries, ones, "", data.name, data.fids)


def refuse_losses(findings: Sequence[Finding]) -> None:
    """Raise an error where features were left out, for layers of which none may be missing.

    Raises:
        DataError: a geometry is broken or empty.
    """
    for finding in findings:
        if finding.code in ("geometry-broken", "geometry-empty"):
            message, fix = finding.message.rstrip("."), finding.fix.rstrip(".")
            raise DataError(message, code=finding.code, file=finding.file, fix=fix)


def align_classes(layers: Sequence[Features]) -> list[Features]:
    """Return layers whose classes are numbered together, as one source has them.

    Where a layer's features are all of one class, its name is the same in all.

    Raises:
        DataError: some have their classes as codes and others as names.
    """
    layers = [f if f.field else replace(f, values=f.values.copy()) for f in layers]
    single = {f.layer for f in layers if not f.field}
    if len(single) > 1:
        layers = [
            f if f.field else replace(f, values=np.full(len(f.values), "labeled", object))
            for f in layers
        ]
    filled = [f for f in layers if len(f.values)]
    for other in filled[1:]:
        if other.textual != filled[0].textual:
            message = f"The classes are {'names' if other.textual else 'codes'} here, and "
            message += f"{'names' if filled[0].textual else 'codes'} in {filled[0].path}"
            fix = "Give all layers one class column of one type (--label-field)"
            raise DataError(message, code="class-types-differ", file=other.path, fix=fix)
    known = tuple(sorted({v for f in filled for v in f.classes[0]}))
    return [replace(f, known=known) for f in layers]


def _given_crs(wanted: str, declared: str | None, path: Path) -> tuple[str, list[Finding]]:
    """Return the CRS that the user names, with a finding where the file declares another."""
    try:
        crs = pyproj.CRS.from_user_input(wanted)
    except CRSError as error:
        message = f"The CRS {wanted!r} of --labels-crs is not known ({error})"
        raise UsageError(message, code="option-value", fix="Give it as EPSG:CODE") from error
    bare = declared is None or _is_undefined(declared)
    if bare or path.suffix.lower() in (".geojson", ".json") or crs == pyproj.CRS(declared):
        return crs.to_wkt(), []
    message = f"The file declares {crs_name(declared)}; {crs.name} is used (--labels-crs)."
    fix = "Leave out --labels-crs if the file is right."
    return crs.to_wkt(), [Finding("warning", "crs-overridden", str(path), message, fix)]


def _drawing_order(data: LayerData, priority: str | None, path: Path) -> NDArray[np.int64]:
    """Return the order in which features are drawn, the lowest priority first."""
    if priority is None:
        return np.arange(len(data.fids))
    if priority not in data.columns:
        raise _no_such_column(priority, data, path, "--priority")
    try:
        ranks = np.array([float(v) for v in data.columns[priority]], np.float64)
    except (TypeError, ValueError):
        ranks = np.array([np.nan])
    if not np.isfinite(ranks).all():
        message = f"Column {priority!r} of --priority holds values that are no numbers"
        fix = "Name a column of numbers with --priority, or leave it out: the last feature wins"
        raise DataError(message, code="priority-not-a-number", file=path, fix=fix)
    return np.argsort(ranks, kind="stable")


def _no_such_column(wanted: str, data: LayerData, path: Path, option: str) -> DataError:
    listed = ", ".join(data.columns) or "none"
    message, fix = f"The layer has no column {wanted!r}", f"Name one with {option}: {listed}"
    return DataError(message, code="no-such-column", file=path, fix=fix)


@dataclass(frozen=True)
class _Column:
    """A column that may be the class: its distinct values, and of which feature each is (n,)."""

    name: str
    distinct: list[Any]
    at: NDArray[np.int64]

    @property
    def unique(self) -> bool:
        return len(self.at) > 1 and len(self.distinct) == len(self.at)

    @property
    def constant(self) -> bool:
        return len(self.at) > 1 and len(self.distinct) == 1

    @property
    def listed(self) -> str:
        shown = ", ".join(str(v) for v in self.distinct[:4])
        return f"{self.name} ({shown}{', ...' if len(self.distinct) > 4 else ''})"

    def parts_like(self, other: _Column) -> bool:
        """Return whether both part the features alike."""
        pairs = {*zip(self.at.tolist(), other.at.tolist(), strict=True)}
        return len(pairs) == len(self.distinct) == len(other.distinct)


def _choose(data: LayerData, wanted: str | None, path: Path, background: bool) -> str | None:
    """Return the class column, None where all features are of one class."""
    if wanted is not None:
        if wanted in data.columns:
            return wanted
        if wanted == ONE_CLASS:
            return None
        raise _no_such_column(wanted, data, path, "--label-field")
    if not len(data.fids):
        return None
    kml = path.suffix.lower() in (".kml", ".kmz")
    usual = [*_CLASS_FIELDS, *(["name", FOLDER.lower()] if kml else [])]
    possible = [c for c in _columns(data) if not (c.unique and len(c.at) > MAX_UNIQUE)]
    live = [c for name in usual for c in possible if c.name.lower() == name]
    if FOLDER in data.columns and len(live) > 1:  # names of placemarks in folders of classes
        live = [c for c in live if not c.unique] or live
    found = _usual(live, possible) if live else _only(possible)
    if found is not None:
        return found.name
    if not possible or (background and all(c.unique for c in possible)):
        if background:
            return None
        message = f"No column is evidently the class (columns: {', '.join(data.columns) or 'none'})"
        fix = "Name it with --label-field, or what lies around the one class with --background"
        raise DataError(message, code="no-class-column", file=path, fix=fix)
    message = f"The class may be in one of these columns: {'; '.join(c.listed for c in possible)}"
    fix = f"Name it, such as --label-field {possible[-1].name!r} ({ONE_CLASS} if all are one class)"
    raise DataError(message, code="class-column-ambiguous", file=path, fix=fix)


def _usual(live: Sequence[_Column], possible: Sequence[_Column]) -> _Column | None:
    """Return the first column of a usual name, None where another may be meant."""
    best, others = live[0], [c for c in live[1:] if not c.constant]
    if best.constant:
        others = [c for c in possible if not c.constant and not c.unique]
    return best if all(best.parts_like(c) for c in others) else None


def _only(possible: Sequence[_Column]) -> _Column | None:
    """Return the only column, or the only one that is not the same in all features."""
    several = [c for c in possible if not c.constant] if len(possible) > 1 else possible
    return several[0] if len(several) == 1 and not several[0].unique else None


def _columns(data: LayerData) -> Iterator[_Column]:
    """Yield the columns that may hold classes: no identifiers, measures, dates or fractions."""
    for name, values in data.columns.items():
        lower = name.lower()
        if (
            re.sub(r"_?\d+$", "", lower) in _ID_FIELDS
            or _MEASURES.fullmatch(lower)
            or values.dtype.kind == "M"
        ):
            continue
        if values.dtype.kind == "f":
            known = values[np.isfinite(values)]
            whole = len(known) and (known == np.round(known)).all()
            if not whole and lower not in _CLASS_FIELDS:
                continue
        texts = ["" if v is None or v != v else str(v).strip() for v in values.tolist()]
        if not any(texts):
            continue
        distinct, at = np.unique(np.array(texts, object), return_inverse=True)
        column = _Column(name, distinct.tolist(), at)
        if not _identifies(column):
            yield column


def is_class_name(column: str) -> bool:
    """Return whether a column's name says that it is the class."""
    return column.lower() in _CLASS_FIELDS


def _identifies(column: _Column) -> bool:
    """Return whether a column, by its name, holds a number of each feature or of the image."""
    named = _NAMED_ID.fullmatch(column.name)
    if named is None or column.name.lower() in _CLASS_FIELDS:
        return False
    of_image = column.constant and _OF_IMAGE.search(named[1]) is not None
    return column.unique or len(column.at) == 1 or of_image


def _class_values(values: NDArray[Any], field: str, path: Path) -> NDArray[Any]:
    """Return codes or trimmed text; text that holds whole numbers only is codes."""
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    if values.dtype.kind == "f":
        if np.isfinite(values).all() and (values == np.round(values)).all():
            return values.astype(np.int64)
        message = f"Column {field!r} holds numbers that are not whole, or are missing"
        fix = "Give --label-field a column of class codes or names"
        raise DataError(message, code="fractional-code", file=path, fix=fix)
    empty = np.array([v is None or not str(v).strip() for v in values], bool)
    if empty.any():
        message = f"Column {field!r} is empty in {int(empty.sum())} of {len(values)} features"
        fix = "Fill in their class, or delete them"
        raise DataError(message, code="empty-class", file=path, fix=fix)
    texts = [str(v).strip() for v in values]
    if texts and all(re.fullmatch(r"[+-]?\d{1,15}(\.0+)?", t, re.ASCII) for t in texts):
        return np.array([int(t.partition(".")[0]) for t in texts], np.int64)
    return np.array(texts, dtype=object)


def fold(name: str) -> str:
    """Return a class name without its case and surplus blanks."""
    return " ".join(name.casefold().split())


def _join_alike(values: NDArray[Any], field: str, path: Path) -> tuple[NDArray[Any], list[Finding]]:
    """Join names that differ in case or blanks alone, as the most common of their spellings."""
    counts = Counter(values.tolist())
    spellings: dict[str, list[str]] = {}
    for name in sorted(counts, key=lambda n: (-counts[n], n)):
        spellings.setdefault(fold(name), []).append(name)
    findings = []
    for names in spellings.values():
        if len(names) > 1:
            listed = ", ".join(f"{n!r} ({counts[n]} features)" for n in names)
            message = (
                f"Column {field!r} has classes whose names differ in case or blanks: {listed}."
            )
            fix = f"None, if they are one class: they are read as {names[0]!r}."
            findings.append(Finding("warning", "class-names-alike", str(path), message, fix))
    return np.array([spellings[fold(v)][0] for v in values], object), findings


@dataclass(frozen=True)
class VectorLayer:
    """A vector layer to be written.

    Attributes:
        kind: geometry type of all shapes.
        shapes: shapely geometries.
        columns: name to values, one a shape.
        crs: of the shapes as WKT, None where they have none.
        name: of the layer.
        facts: metadata of the layer.
    """

    kind: Literal["Point", "Polygon"]
    shapes: Sequence[Any] | NDArray[Any]
    columns: Mapping[str, Any]
    crs: str | None
    name: str
    facts: Mapping[str, str] = field(default_factory=dict)


def write_layer(path: PathLike, layer: VectorLayer) -> None:
    """Write a layer to a GeoPackage, whole or not at all; an older file is replaced.

    Raises:
        JobError: the file cannot be written.
    """
    with atomic_file(path) as partial:
        put_layer(partial, layer, path)


def put_layer(path: PathLike, layer: VectorLayer, target: PathLike) -> None:
    """Write a layer to a GeoPackage that is renamed later.

    Args:
        path: where to write.
        layer: the layer.
        target: the later name, for errors.

    Raises:
        JobError: the file cannot be written.
    """
    import pyogrio  # here, because it loads pandas where that is installed
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": GPKG_DATE})
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")  # photographs have none
            pyogrio.raw.write(
                path,
                np.array([shapely.to_wkb(shape) for shape in layer.shapes], object),
                [np.asarray(v) for v in layer.columns.values()],
                list(layer.columns),
                driver="GPKG",
                crs=layer.crs,
                geometry_type=layer.kind,
                layer=layer.name,
                layer_metadata=dict(layer.facts) or None,
            )
    except (DataSourceError, DataLayerError, FeatureError) as error:
        message = f"The layer cannot be written ({error})"
        fix = "Check that there is room"
        raise JobError(message, code="not-writable", file=target, fix=fix) from error
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
