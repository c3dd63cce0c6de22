"""Writing vector layers: GeoPackages that appear whole or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyogrio
import shapely

from swath.parts import whole_file
from swath.types import PathLike


def write_layer(
    path: PathLike,
    kind: Literal["Point", "Polygon"],
    shapes: Sequence[Any],
    columns: Mapping[str, Any],
    crs: str | None,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Write shapes with columns to a GeoPackage.

    Args:
        path: the file; an older one is replaced.
        kind: of all shapes.
        shapes: shapely geometries.
        columns: name to values, one a shape.
        crs: of the shapes as WKT, None where they have none.
        facts: about the layer, kept in its metadata.

    Raises:
        JobError: the file cannot be written.
    """
    wkb = np.array([shapely.to_wkb(shape) for shape in shapes], object)
    with whole_file(path) as partial, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")  # photographs have none
        pyogrio.raw.write(
            partial, wkb, [np.asarray(v) for v in columns.values()], list(columns), driver="GPKG", crs=crs,
            geometry_type=kind, layer=kind.lower() + "s", layer_metadata=dict(facts or {}) or None,
        )  # fmt: skip
