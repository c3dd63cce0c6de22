"""Writing vector layers: GeoPackages that appear whole or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.errors import JobError
from swath.io.atomic import atomic_file
from swath.types import PathLike

NO_DATE = "1970-01-01T00:00:00.000Z"
"""Date in GeoPackages: equal content makes equal files."""


@dataclass(frozen=True)
class VectorLayer:
    """A vector layer.

    Attributes:
        kind: of all shapes.
        shapes: shapely geometries.
        columns: name to values, one a shape.
        crs: of the shapes as WKT, None where they have none.
        name: of the layer.
        facts: about the layer, kept in its metadata.
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
    """Write a layer to a GeoPackage at `path`, which becomes `target` when it is whole.

    Raises:
        JobError: the file cannot be written.
    """
    import pyogrio  # here, because it loads pandas where that is installed

    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": NO_DATE})
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
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        pyogrio.errors.FeatureError,
    ) as error:
        raise JobError(
            f"the layer cannot be written ({error})", file=target, fix="Check that there is room"
        ) from error
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
