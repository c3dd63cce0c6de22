"""Polygons of a finished map: outlines that are the pixels' own, so that no tile shows in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pyproj.exceptions
import rasterio
import rasterio.features
import shapely
from numpy.typing import NDArray

from swath.errors import JobError
from swath.geo.geobox import GeoBox, chunks, geobox_of
from swath.io.raster import gdal_env
from swath.io.vector import VectorLayer, put_layer
from swath.legend import Legend


@dataclass(frozen=True)
class Polygons:
    """Polygons of one map.

    Attributes:
        geometries: in the map's CRS, shape (n,).
        codes: class code of each.
        areas: in m2, NaN where the map has no CRS that lies on the earth.
        confidence: mean percent of each, NaN without a map of it.
        crs: WKT, None where the map has none.
    """

    geometries: NDArray[Any]
    codes: NDArray[np.int64]
    areas: NDArray[np.float64]
    confidence: NDArray[np.float64]
    crs: str | None


def polygonize(
    path: Path, confidence: Path | None, *, min_area: float = 0.0, simplify: float = 0.0
) -> Polygons:
    """Turn a map into polygons of equal class, joined at edges; pixels without data have none.

    Areas are of the pixels' outline, before it is smoothed. Needs memory for all outlines.

    Args:
        path: the map.
        confidence: map of percent on the same grid, 255 without data.
        min_area: smaller polygons, in m2 (pixels without a CRS), are left out.
        simplify: tolerance in pixels, 0 for none. Neighbors keep their common edge
            (Visvalingam-Whyatt on the coverage, as in GEOS's CoverageSimplifier).
    """
    with gdal_env(), rasterio.open(path) as made:
        grid, nodata = geobox_of(made), made.nodata
        found = rasterio.features.shapes(rasterio.band(made, 1), connectivity=4)
        pairs = [
            (shapely.geometry.shape(shape), int(value)) for shape, value in found if value != nodata
        ]
    outlines, codes = (
        np.array([p[0] for p in pairs], object),
        np.array([p[1] for p in pairs], np.int64),
    )
    outlines = shapely.transform(
        outlines, lambda xy: np.rint(np.column_stack(~grid.affine * (xy[:, 0], xy[:, 1])))
    )
    outlines = shapely.transform(
        shapely.segmentize(outlines, 1.0), np.rint
    )  # every pixel's corner, so that neighbors match
    areas = _areas(outlines, grid)
    means = np.full(len(codes), np.nan) if confidence is None else _means(outlines, confidence)
    enough = np.where(np.isnan(areas), shapely.area(outlines), areas) >= min_area
    outlines, codes, areas, means = outlines[enough], codes[enough], areas[enough], means[enough]
    if simplify and len(outlines):
        outlines = shapely.coverage_simplify(outlines, simplify)
    else:
        outlines = shapely.simplify(outlines, 0)  # no corners where the outline goes straight on
    return Polygons(shapely.transform(outlines, _placed(grid)), codes, areas, means, grid.crs)


def write_polygons(path: Path, polygons: Polygons, legend: Legend, target: Path) -> None:
    """Write polygons with class, code, area_m2 and confidence.

    Args:
        path: the file to write.
        polygons: what to write.
        legend: names of the classes.
        target: the name it will have; its extension says GeoPackage (`.gpkg`) or GeoParquet 1.1
            (`.parquet`).

    Raises:
        JobError: the package for GeoParquet is missing, or the file cannot be written.
    """
    names = {c.map_code: c.name for c in legend.trained}
    columns: dict[str, NDArray[Any]] = {
        "class": np.array([names.get(code, str(code)) for code in polygons.codes], object),
        "code": polygons.codes,
        "area_m2": polygons.areas,
        "confidence": polygons.confidence,
    }
    if target.suffix.lower() == ".parquet":
        _write_parquet(path, polygons, columns)
        return
    put_layer(
        path, VectorLayer("Polygon", polygons.geometries, columns, polygons.crs, "classes"), target
    )


def _write_parquet(path: Path, polygons: Polygons, columns: dict[str, NDArray[Any]]) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise JobError(
            "GeoParquet needs the package pyarrow",
            fix='Run `pip install "swath[parquet]"`, or write a .gpkg',
        ) from error
    column = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "crs": pyproj.CRS(polygons.crs).to_json_dict() if polygons.crs else None,
    }
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    table = pyarrow.table(
        {
            "geometry": list(shapely.to_wkb(polygons.geometries)),
            **{k: list(v) for k, v in columns.items()},
        }
    )
    pyarrow.parquet.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)


def _placed(grid: GeoBox) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return a function from pixel coordinates (n, 2) to the CRS."""

    def place(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(grid.point(points[:, 0], points[:, 1]))  # type: ignore[arg-type]

    return place


def _areas(outlines: NDArray[Any], grid: GeoBox) -> NDArray[np.float64]:
    """Return geodesic areas in m2 of outlines in pixel coordinates, whose edges are as short as a pixel.

    Source: Karney 2013, "Algorithms for geodesics", as in pyproj.
    """
    nowhere = np.full(len(outlines), np.nan)
    if grid.crs is None:
        return nowhere
    crs = pyproj.CRS(grid.crs)
    geod = crs.get_geod()
    if geod is None or crs.geodetic_crs is None:
        return nowhere
    try:
        move = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    except pyproj.exceptions.ProjError:
        return nowhere
    placed = shapely.transform(outlines, _placed(grid))
    turned = shapely.orient_polygons(shapely.transform(placed, move.transform, interleaved=False))
    out = np.array([abs(geod.geometry_area_perimeter(g)[0]) for g in turned], np.float64)
    return np.where(np.isfinite(out), out, np.nan)


def _means(outlines: NDArray[Any], confidence: Path) -> NDArray[np.float64]:
    """Return the mean of a map of percent inside each outline, in pixel coordinates, window by window."""
    totals, counts = np.zeros(len(outlines) + 1), np.zeros(len(outlines) + 1)
    tree = shapely.STRtree(outlines)
    with gdal_env(), rasterio.open(confidence) as made:
        for window in chunks(geobox_of(made)):
            (top, left), (bottom, right) = (window.row, window.col), window.stop
            inside = np.sort(tree.query(shapely.box(left, top, right, bottom)))
            if not len(inside):
                continue
            owner = rasterio.features.rasterize(
                ((outlines[i], i + 1) for i in inside),
                out_shape=(window.height, window.width),
                dtype="int32",
                transform=rasterio.Affine.translation(left, top),
            )
            percent = made.read(1, window=window.to_rasterio())
            known = percent != 255
            totals += np.bincount(owner[known], percent[known], len(totals))
            counts += np.bincount(owner[known], minlength=len(counts))
    means: NDArray[np.float64] = np.divide(
        totals, counts, out=np.full(len(totals), np.nan), where=counts > 0
    )
    return means[1:]
