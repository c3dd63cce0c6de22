import json

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely

from swath.legend import LandClass, Legend
from swath.mapping.polygons import polygonize, write_polygons
from tests.make import NORTH_UP, UTM, write_raster

LEGEND = Legend((LandClass("water", (3,), 3, "#0000FF"), LandClass("land", (7,), 7, "#00FF00")))
CODES = np.full((60, 80), 3, np.uint8)
CODES[10:30, 10:50] = 7
CODES[20:25, 20:25] = 3
CODES[50:, 60:] = 0


def made(tmp_path, codes=CODES, crs=UTM, transform=NORTH_UP):
    return write_raster(tmp_path / "m.tif", codes, crs, transform, nodata=0)


def test_outlines_are_the_pixels_own(tmp_path):
    found = polygonize(made(tmp_path), None)
    assert sorted(found.codes.tolist()) == [3, 3, 7]
    by_code = {
        (c, round(a))
        for c, a in zip(found.codes.tolist(), shapely.area(found.geometries) / 100, strict=True)
    }
    assert by_code == {(7, 775), (3, 25), (3, 60 * 80 - 800 - 200)}
    assert shapely.bounds(found.geometries[found.codes == 7][0]).tolist() == [
        500_100,
        5_599_700,
        500_500,
        5_599_900,
    ]
    np.testing.assert_allclose(found.areas, shapely.area(found.geometries), rtol=2e-3)
    assert np.isnan(found.confidence).all()


def test_areas_are_of_the_earth_and_not_of_the_projection(tmp_path):
    """EPSG:3857 doubles lengths at 60 degrees north; the second map is a belt around the globe."""
    web = rasterio.Affine(1000, 0, 0, 0, -1000, 8_399_738)  # at 60 degrees north
    found = polygonize(made(tmp_path, np.full((4, 4), 3, np.uint8), "EPSG:3857", web), None)
    assert found.areas[0] == pytest.approx(16e6 / 4, rel=0.01)
    degrees = rasterio.Affine(10, 0, -180, 0, -10, 10)
    found = polygonize(made(tmp_path, np.full((2, 36), 3, np.uint8), "EPSG:4326", degrees), None)
    assert found.areas[0] == pytest.approx(4 * np.pi * 6371e3**2 * np.sin(np.radians(10)), rel=0.01)


def test_without_a_crs_there_is_no_area(tmp_path):
    found = polygonize(made(tmp_path, crs=None, transform=None), None, min_area=30)
    assert np.isnan(found.areas).all() and found.crs is None and len(found.codes) == 2


def test_small_ones_are_left_out(tmp_path):
    assert sorted(polygonize(made(tmp_path), None, min_area=3000).codes.tolist()) == [3, 7]


def test_confidence_is_the_mean_inside(tmp_path):
    percent = np.where(CODES == 7, 80, 40).astype(np.uint8)
    percent[10:15, 10:50] = 255
    percent[20:25, 20:25] = 90
    found = polygonize(
        made(tmp_path), write_raster(tmp_path / "c.tif", percent, UTM, NORTH_UP, nodata=255)
    )
    assert sorted(found.confidence.tolist()) == [40, 80, 90]


def test_smoothing_opens_no_gap(tmp_path):
    codes = (
        np.random.default_rng(0)
        .choice(np.array([3, 7], np.uint8), (12, 12))
        .repeat(5, 0)
        .repeat(5, 1)
    )
    plain, smooth = (polygonize(made(tmp_path, codes), None, simplify=s) for s in (0, 4))
    assert (
        shapely.get_num_coordinates(smooth.geometries).sum()
        < shapely.get_num_coordinates(plain.geometries).sum()
    )
    assert (
        shapely.coverage_is_valid(smooth.geometries) and shapely.is_valid(smooth.geometries).all()
    )
    assert shapely.area(shapely.union_all(smooth.geometries)) == pytest.approx(
        shapely.area(smooth.geometries).sum()
    )
    np.testing.assert_array_equal(plain.areas, smooth.areas)


def test_a_geopackage_says_class_code_area_and_confidence_and_no_date(tmp_path):
    found = polygonize(made(tmp_path), None)
    for name in ("a.gpkg", "b.gpkg"):
        write_polygons(tmp_path / name, found, LEGEND, tmp_path / name)
    meta, _, wkb, columns = pyogrio.raw.read(tmp_path / "a.gpkg")
    assert (
        meta["fields"].tolist() == ["class", "code", "area_m2", "confidence"] and meta["crs"] == UTM
    )
    assert set(zip(columns[0], columns[1], strict=True)) == {("water", 3), ("land", 7)}
    assert shapely.area(shapely.from_wkb(wkb)).sum() == pytest.approx((CODES != 0).sum() * 100)
    assert (tmp_path / "a.gpkg").read_bytes() == (tmp_path / "b.gpkg").read_bytes()


def test_geoparquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    found = polygonize(made(tmp_path), None)
    write_polygons(tmp_path / "a.parquet", found, LEGEND, tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["columns"]["geometry"]["crs"]["id"]["code"] == 32632
    assert shapely.equals(shapely.from_wkb(table["geometry"].to_pylist()), found.geometries).all()


def test_a_map_without_data_has_no_polygons(tmp_path):
    found = polygonize(made(tmp_path, np.zeros((5, 5), np.uint8)), None, simplify=1)
    assert len(found.codes) == 0
    write_polygons(tmp_path / "a.gpkg", found, LEGEND, tmp_path / "a.gpkg")
    assert pyogrio.read_info(tmp_path / "a.gpkg")["features"] == 0
