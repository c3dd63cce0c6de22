"""A layer of labels that is opened to be extended, or made."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError, UsageError
from swath.geo.geobox import GeoBox
from swath.io.atomic import exclusive
from swath.io.vector import (
    Features,
    LayerOptions,
    VectorLayer,
    find_class_column,
    read_features,
    read_layer,
    write_layer,
)
from swath.legend import Legend, default_color, fold
from swath.server.labeling.labels.class_table import LabelClass
from swath.server.labeling.labels.label_store import OWN_COLUMNS, LabelStore

FIELD = "class"
"""Class column of a layer that is made here."""

LAYER = "labels"
"""Name of such a layer."""


@dataclass(frozen=True)
class LabelSource:
    """Where labels are, and how they begin.

    Attributes:
        path: the GeoPackage.
        legend: classes that the user names; None for those of the file.
        start: layer whose features a new file begins with; None for none.
        field: class column; None to find it.
        layer: name of the layer; None for the only one.
        crs: CRS of `start`, instead of the file's.
    """

    path: Path
    legend: Legend | None = None
    start: Path | None = None
    field: str | None = None
    layer: str | None = None
    crs: str | None = None


def open_labels(source: LabelSource, grid: GeoBox) -> tuple[LabelStore, str | None, list[str]]:
    """Open or make a layer of labels for a scene.

    Args:
        source: where the labels are.
        grid: grid of the scene.

    Returns:
        The store, the CRS of its layer (WKT), and warnings.

    Raises:
        DataError: the file is no GeoPackage, or its layer has no class column.
        UsageError: `start` is given for a file that exists.
        JobError: another process writes the file.
    """
    path = source.path
    if path.suffix.lower() != ".gpkg":
        message = "Labels are kept in a GeoPackage (.gpkg)"
        fix = f"Take the layer over: --from {path.name} {path.stem}.gpkg"
        if not path.exists():
            fix = f"Name the file {path.stem}.gpkg"
        raise DataError(message, code="labels-format", file=path, fix=fix)
    held = ExitStack()
    try:
        held.enter_context(exclusive(path))
        if path.exists():
            return _open(source, held)
        return _make(source, grid, held)
    except BaseException:
        held.close()
        raise


def _open(source: LabelSource, held: ExitStack) -> tuple[LabelStore, str | None, list[str]]:
    path = source.path
    if source.start is not None:
        message = "The file of labels exists, and --from is for a new one"
        fix = "Leave out --from, or name another file"
        raise UsageError(message, code="option-conflict", file=path, fix=fix)
    data = read_layer(path, source.layer, empty=True)
    foreign = {name: values for name, values in data.columns.items() if name not in OWN_COLUMNS}
    field = source.field or (FIELD if FIELD in foreign else None)
    if field is None and len(data.fids):
        others = type(data)(data.name, data.crs, data.fids, data.geometries, foreign, ())
        field = find_class_column(others, None, path, False)
    if field is None or field not in data.columns:
        message = f"The layer has no column {field or FIELD!r} for the classes"
        fix = f"Name one with --label-field: {', '.join(foreign) or 'none'}"
        raise DataError(message, code="no-class-column", file=path, fix=fix)
    store = LabelStore(path, data.name, field, held)
    warnings = [finding.message for finding in data.findings]
    return store, data.crs, warnings + _set_classes(store, source.legend, data.columns[field])


def _make(
    source: LabelSource, grid: GeoBox, held: ExitStack
) -> tuple[LabelStore, str | None, list[str]]:
    shapes: Any = np.array([], object)
    values: NDArray[Any] = np.array([], object)
    findings: Sequence[str] = ()
    if source.start is not None:
        features = _read_start(source)
        shapes, values = features.to_crs(grid.crs), features.values
        findings = [finding.message for finding in features.findings]
    texts = np.array([_name_of(value, source.legend) for value in values.tolist()], object)
    none = np.full(len(texts), None, object)
    columns = {
        FIELD: texts,
        "author": none,
        "time": np.full(len(texts), np.datetime64("NaT"), "datetime64[ms]"),
        "source": none,
    }
    write_layer(source.path, VectorLayer("Unknown", shapes, columns, grid.crs, LAYER))
    store = LabelStore(source.path, LAYER, FIELD, held)
    return store, grid.crs, [*findings, *_set_classes(store, source.legend, texts)]


def _read_start(source: LabelSource) -> Features:
    assert source.start is not None  # noqa: S101 - the caller checks
    return read_features(
        source.start, source.field, LayerOptions(layer=source.layer, crs=source.crs)
    )


def _name_of(value: Any, legend: Legend | None) -> str:
    """Return the name of a class by its code, or text as it is."""
    for one in legend.classes if legend else ():
        if value in one.codes:
            return one.name
    return str(value)


def _set_classes(store: LabelStore, legend: Legend | None, values: NDArray[Any]) -> list[str]:
    """Write the classes, unless the file has them and the user names none; return warnings.

    Classes of labels that the user does not name are added.
    """
    known = list(store.classes.all) if store.classes.exists else []
    if legend is not None:
        known = [LabelClass(c.map_code, c.name, c.color) for c in legend.trained]
    elif known:
        return []
    added = _missing_codes(known, values) if store.coded else _missing_names(known, values)
    start = max((c.code for c in known), default=0) + 1
    new = [
        LabelClass(start + i if code is None else code, name, default_color(len(known) + i))
        for i, (code, name) in enumerate(added)
    ]
    store.classes.make([*known, *new])
    if legend is None or not new:
        return []
    listed = ", ".join(one.name for one in new)
    return [f"Labels have classes that the class file does not name, which were added: {listed}."]


def _missing_codes(known: list[LabelClass], values: NDArray[Any]) -> list[tuple[int | None, str]]:
    """Return codes that no class has, with their names."""
    present = {int(v) for v in values.tolist() if v is not None and v == v}
    return [(code, str(code)) for code in sorted(present - {c.code for c in known})]


def _missing_names(known: list[LabelClass], values: NDArray[Any]) -> list[tuple[int | None, str]]:
    """Return names that no class has; of those that differ in case or blanks, one."""
    texts = sorted({str(v).strip() for v in values.tolist() if v is not None} - {""})
    spellings = {fold(text): text for text in reversed(texts)}
    taken = {fold(c.name) for c in known}
    return [(None, text) for key, text in sorted(spellings.items()) if key not in taken]
