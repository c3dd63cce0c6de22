"""Layers that are read with their classes, or as geometries alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError
from swath.io.vector.class_column import find_class_column, no_such_column
from swath.io.vector.class_values import class_values, join_alike
from swath.io.vector.crs import named_crs
from swath.io.vector.features import Features, LayerOptions
from swath.io.vector.files import LayerData, read_layer
from swath.types import Finding, PathLike


def read_features(
    path: PathLike,
    field: str | None = None,
    options: LayerOptions | None = None,
    option: str = "--label-field",
) -> Features:
    """Read a layer with its class column.

    Args:
        path: a file (see `FORMATS`).
        field: the class column; by default the only one that can be, or one of a usual name
            (class, label, ...), but never an identifier.
        options: how it becomes labels; `field` there is used where `field` is None.
        option: of the command line that names the column, for errors.

    Raises:
        DataError: the file is damaged, has several layers, no geometry, no such column, several
            columns that can be the class, or no usable class.
        UsageError: an option is wrong.
    """
    path, how = Path(path), options or LayerOptions()
    data = read_layer(path, how.layer, empty=how.background is not None)
    wanted = field or how.field
    name = find_class_column(data, wanted, path, how.background is not None, option)
    findings = list(data.findings)
    if name is None:
        values: NDArray[Any] = np.full(len(data.fids), data.name, object)
    else:
        values = class_values(data.columns[name], name, path, option)
        if values.dtype.kind not in "iu":
            values, joined = join_alike(values, name, path)
            findings += joined
    crs = data.crs
    if how.crs is not None:
        crs, odd = named_crs(how.crs, data.crs, path)
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


def _drawing_order(data: LayerData, priority: str | None, path: Path) -> NDArray[np.int64]:
    """Return the order in which features are drawn, the lowest priority first."""
    if priority is None:
        return np.arange(len(data.fids))
    if priority not in data.columns:
        raise no_such_column(priority, data, path, "--priority")
    try:
        ranks = np.array([float(v) for v in data.columns[priority]], np.float64)
    except (TypeError, ValueError):
        ranks = np.array([np.nan])
    if not np.isfinite(ranks).all():
        message = f"Column {priority!r} of --priority holds values that are no numbers"
        fix = "Name a column of numbers with --priority, or leave it out: the last feature wins"
        raise DataError(message, code="priority-not-a-number", file=path, fix=fix)
    return np.argsort(ranks, kind="stable")
