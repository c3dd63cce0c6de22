"""GeoPackages that are written."""

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

GPKG_DATE = "1970-01-01T00:00:00.000Z"
"""Date in GeoPackages, always the same, so that equal content makes equal files."""


@dataclass(frozen=True)
class VectorLayer:
    """A vector layer to be written.

    Attributes:
        kind: geometry type of all shapes; Unknown for shapes of several types.
        shapes: shapely geometries.
        columns: name to values, one a shape.
        crs: of the shapes as WKT, None where they have none.
        name: of the layer.
        facts: metadata of the layer.
    """

    kind: Literal["Point", "Polygon", "Unknown"]
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
