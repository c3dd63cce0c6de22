"""Layers in other CRSs than their images, and CRSs that the user names."""

import sqlite3

import numpy as np
import pyproj
import pytest
import shapely

from swath.errors import DataError, UsageError
from swath.io.vector import Features, LayerOptions, read_features
from tests.errors import fails
from tests.make import UTM, box, write_layer

AREA = box(0, 0, 10, 10)


def layer(path, **columns):
    """Write one square a value."""
    n = len(next(iter(columns.values())))
    return write_layer(path, [box(0, 10 * i, 10, 10) for i in range(n)], columns)


ENGINEERING = 'LOCAL_CS["drawing",UNIT["metre",1]]'


@pytest.mark.parametrize("crs", [ENGINEERING, "ESRI:104905"])
def test_a_crs_without_a_way_is_named(tmp_path, crs):
    path = write_layer(tmp_path / "x.gpkg", [AREA], {"code": [1]}, crs)
    features = read_features(path, options=LayerOptions())
    with fails("crs-no-transform", DataError, path) as caught:
        features.to_crs(pyproj.CRS(UTM).to_wkt())
    assert "32632" in caught.value.message and "--labels-crs" in str(caught.value.fix)
    assert features.to_crs(features.crs)[0].equals(AREA)


@pytest.mark.parametrize("srs", [-1, 0])
def test_an_undefined_crs_of_a_geopackage(tmp_path, srs):
    path = layer(tmp_path / "x.gpkg", code=[1, 2, 1])
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE gpkg_contents SET srs_id={srs}")
        connection.execute(f"UPDATE gpkg_geometry_columns SET srs_id={srs}")
    connection.close()
    features = read_features(path, options=LayerOptions())
    assert features.to_crs(None)[0].equals(AREA)
    with fails("crs-no-transform", DataError, path):
        features.to_crs(pyproj.CRS(UTM).to_wkt())
    given = read_features(path, options=LayerOptions(crs=UTM))
    assert given.to_crs(pyproj.CRS(UTM).to_wkt())[0].equals(AREA)
    assert given.findings == ()


def test_the_user_may_name_the_crs(tmp_path):
    bare = write_layer(tmp_path / "x.gpkg", [AREA], {"code": [1]}, crs=None)
    how = LayerOptions(crs="EPSG:32632")
    features = read_features(bare, options=how)
    assert pyproj.CRS(features.crs).to_epsg() == 32632 and features.findings == ()
    for name in ("y.gpkg", "y.geojson"):
        placed = write_layer(tmp_path / name, [AREA], {"code": [1]}, "EPSG:32633")
        (finding,) = read_features(placed, options=how).findings
        assert (finding.code, finding.level) == ("crs-overridden", "warning")
    bare = write_layer(tmp_path / "z.geojson", [AREA], {"code": [1]}, crs=None)
    assert read_features(bare, options=how).findings == ()
    with fails("option-value", UsageError):
        read_features(bare, options=LayerOptions(crs="EPSG:nothing"))


def test_long_edges_in_degrees_follow_the_parallel():
    wkt = pyproj.CRS("EPSG:4326").to_wkt()
    band = shapely.box(0, 50, 18, 51)
    features = Features("x", wkt, np.array([band], object), np.array([1]), "c")
    there = features.to_crs(pyproj.CRS(UTM).to_wkt())[0]
    back = pyproj.Transformer.from_crs("EPSG:4326", UTM, always_xy=True)
    for lon in (0.4, 4.5, 9, 17):
        x, south = back.transform(lon, 50.0)
        assert there.contains(shapely.Point(x, south + 1)), lon
        assert not there.intersects(shapely.Point(x, south - 1)), lon


def test_polygons_across_180_degrees_stay_whole():
    wkt = pyproj.CRS("EPSG:4326").to_wkt()
    across = shapely.Polygon([(179, 10), (-179, 10), (-179, 11), (179, 11)])
    features = Features("x", wkt, np.array([across], object), np.array([1]), "c")
    there = features.to_crs(pyproj.CRS("EPSG:32601").to_wkt())[0]
    assert there.area == pytest.approx(2 * 1 * 111.2e3 * 109.5e3, rel=0.02)


def test_what_has_no_place_in_a_crs_is_empty_and_the_rest_stays():
    wkt = pyproj.CRS("EPSG:4326").to_wkt()
    shapes = [shapely.box(500000, 5600000, 500010, 5600010), shapely.box(8, 50, 9, 51)]
    features = Features("x", wkt, np.array(shapes, object), np.array([1, 2]), "c")
    there, tree = features.to_crs_indexed(pyproj.CRS(UTM).to_wkt())
    assert shapely.is_empty(there).tolist() == [True, False]
    assert tree.query(there[1]).tolist() == [1]
