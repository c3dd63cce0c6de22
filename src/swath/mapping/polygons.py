"""Polygons of a finished map: outlines that are the pixels' own, so that no tile shows in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
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
        areas: in m2, NaN where the map has no CRS of the earth.
        confidence: mean percent of each, NaN without a map of it.
        crs: WKT, None where the map has none.
    """

    geometries: NDArray[Any]
    codes: NDArray[np.int64]
    areas: NDArray[np.float64]
    confidence: NDArray[np.float64]
    crs: str | None

    def sorted_by_area(self) -> Polygons:
        """Return the polygons, the largest first."""
        sizes = np.where(np.isnan(self.areas), shapely.area(self.geometries), self.areas)
        at = np.argsort(-sizes, kind="stable")
        parts = (self.geometries[at], self.codes[at], self.areas[at], self.confidence[at])
        return Polygons(*parts, self.crs)


def polygonize(
    path: Path,
    confidence: Path | None,
    *,
    min_area: float = 0.0,
    simplify: float = 0.0,
    codes: Collection[int] | None = None,
) -> Polygons:
    """Turn a map into polygons of equal class, joined at edges; pixels without data have none.

    Areas are of the outlines of pixels, before smoothing. All outlines are in memory.

    Args:
        path: the map.
        confidence: map of percent on the same grid, 255 without data.
        min_area: smaller polygons, in m2 (pixels without a CRS), are left out.
        simplify: tolerance in pixels, 0 for none. Neighbors keep their common edge
            (Visvalingam-Whyatt on the coverage, as in GEOS's CoverageSimplifier).
        codes: those that get polygons; None for all.
    """
    wanted = None if codes is None else frozenset(codes)
    with gdal_env(), rasterio.open(path) as made:
        grid, nodata = geobox_of(made), made.nodata
        found = rasterio.features.shapes(rasterio.band(made, 1), connectivity=4)
        pairs = [
            (shapely.geometry.shape(shape), int(value))
            for shape, value in found
            if value != nodata and (wanted is None or value in wanted)
        ]
    outlines = np.array([p[0] for p in pairs], object)
    values = np.array([p[1] for p in pairs], np.int64)
    outlines = shapely.transform(
        outlines, lambda xy: np.rint(np.column_stack(~grid.affine * (xy[:, 0], xy[:, 1])))
    )
    # A vertex at every corner of a pixel, so that the edges of neighbors match.
    outlines = shapely.transform(shapely.segmentize(outlines, 1.0), np.rint)
    areas = _areas(outlines, grid)
    means = np.full(len(values), np.nan) if confidence is None else _means(outlines, confidence)
    large = np.where(np.isnan(areas), shapely.area(outlines), areas) >= min_area
    outlines, values, areas, means = outlines[large], values[large], areas[large], means[large]
    if simplify and len(outlines):
        outlines = shapely.coverage_simplify(outlines, simplify)
    else:
        outlines = shapely.simplify(outlines, 0)  # removes vertices on straight edges
    return Polygons(shapely.transform(outlines, _to_crs(grid)), values, areas, means, grid.crs)


def write_polygons(path: Path, polygons: Polygons, legend: Legend, target: Path) -> None:
    """Write polygons with class, code, area_m2 and confidence.

    Args:
        path: the file to write.
        polygons: what to write.
        legend: names of the classes.
        target: the later name of the file, which sets the format: GeoPackage (`.gpkg`) or
            GeoParquet 1.1 (`.parquet`).

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
    write_columns(path, polygons, columns, target, "classes")


def write_columns(
    path: Path, polygons: Polygons, columns: dict[str, NDArray[Any]], target: Path, name: str
) -> None:
    """Write polygons with columns of any kind; `name` is that of the layer in a GeoPackage.

    Raises:
        JobError: the package for GeoParquet is missing, or the file cannot be written.
    """
    if target.suffix.lower() == ".parquet":
        _write_parquet(path, polygons, columns)
    else:
        layer = VectorLayer("Polygon", polygons.geometries, columns, polygons.crs, name)
        put_layer(path, layer, target)


def _write_parquet(path: Path, polygons: Polygons, columns: dict[str, NDArray[Any]]) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        message, fix = "GeoParquet needs pyarrow", 'Run `pip install "swath[parquet]"`'
        raise JobError(message, code="missing-package", fix=f"{fix}, or write a .gpkg") from error
    column = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "crs": pyproj.CRS(polygons.crs).to_json_dict() if polygons.crs else None,
    }
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    geometry = {"geometry": list(shapely.to_wkb(polygons.geometries))}
    table = pyarrow.table(geometry | {name: list(values) for name, values in columns.items()})
    pyarrow.parquet.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)


def _to_crs(grid: GeoBox) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return a function from pixel coordinates (n, 2) to the CRS."""
    return lambda xy: np.column_stack(grid.point(xy[:, 0], xy[:, 1]))  # type: ignore[arg-type]


def _areas(outlines: NDArray[Any], grid: GeoBox) -> NDArray[np.float64]:
    """Return geodesic areas in m2 of outlines in pixel coordinates with edges of one pixel.

    Source: Karney 2013, "Algorithms for geodesics", as in pyproj.
    """
    unknown = np.full(len(outlines), np.nan)
    if grid.crs is None:
        return unknown
    crs = pyproj.CRS(grid.crs)
    geod = crs.get_geod()
    if geod is None or crs.geodetic_crs is None or not (crs.is_geographic or crs.is_projected):
        return unknown
    try:
        to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    except pyproj.exceptions.ProjError:
        return unknown
    # Oriented as pixels: longitudes of outlines across 180 degrees or around a pole are no plane.
    shapes = shapely.transform(shapely.orient_polygons(outlines), _to_crs(grid))
    shapes = shapely.transform(shapes, to_degrees.transform, interleaved=False)
    out = np.array([abs(geod.geometry_area_perimeter(g)[0]) for g in shapes], np.float64)
    return np.where(np.isfinite(out), out, np.nan)


def _means(outlines: NDArray[Any], confidence: Path) -> NDArray[np.float64]:
    """Return the mean of a map of percent inside each outline, in pixel coordinates."""
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
            where = window.to_rasterio()
            percent = made.read(1, window=where)
            known = percent != 255
            totals += np.bincount(owner[known], percent[known], len(totals))
            counts += np.bincount(owner[known], minlength=len(counts))
    unknown = np.full(len(totals), np.nan)
    means: NDArray[np.float64] = np.divide(totals, counts, out=unknown, where=counts > 0)
    return means[1:]
