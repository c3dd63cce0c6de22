import numpy as np
import pyogrio
import pyproj
import pytest
import shapely

from swath.errors import DataError
from swath.io.vector import read_features
from tests.errors import fails
from tests.make import UTM, box, truncate, write_layer

AREA = box(0, 0, 10, 10)


def layer(path, **columns):
    """Write one square a value."""
    n = len(next(iter(columns.values())))
    return write_layer(path, [box(0, 10 * i, 10, 10) for i in range(n)], columns)


def texts(*values):
    return np.array(values, dtype=object)


@pytest.mark.parametrize("name", ["x.gpkg", "x.shp", "wälder und felder.gpkg"])
def test_formats_give_the_same(tmp_path, name):
    features = read_features(layer(tmp_path / name, code=[3, 3, 9]))
    assert features.values.tolist() == [3, 3, 9]
    assert features.values.dtype == np.int64
    assert not features.textual
    assert features.field == "code"
    assert pyproj.CRS(features.crs).to_epsg() == 32632
    assert shapely.area(features.geometries).tolist() == [10_000] * 3


def test_geojson_is_in_degrees(tmp_path):
    features = read_features(
        write_layer(
            tmp_path / "x.geojson", [shapely.box(9, 50, 9.1, 50.1)], {"code": [1]}, "EPSG:4326"
        )
    )
    there = features.to_crs(pyproj.CRS(UTM).to_wkt())
    assert shapely.area(there[0]) == pytest.approx(7166 * 11124, rel=0.01)
    assert shapely.bounds(there[0])[1] == pytest.approx(5_538_630, abs=100)
    assert features.to_crs(pyproj.CRS("EPSG:4326").to_wkt())[0].equals(features.geometries[0])


def test_whole_floats_are_codes(tmp_path):
    features = read_features(layer(tmp_path / "x.gpkg", code=[1.0, 2.0]))
    assert (features.values.tolist(), features.values.dtype) == ([1, 2], np.int64)


def test_text_is_trimmed_and_kept(tmp_path):
    features = read_features(layer(tmp_path / "x.gpkg", label=texts(" Wälder", "sea ", "1")))
    assert features.textual
    assert features.values.tolist() == ["Wälder", "sea", "1"]


@pytest.mark.parametrize(
    ("columns", "wanted", "chosen"),
    [
        ({"whatever": [1]}, None, "whatever"),
        ({"area": [1], "Class": [2]}, None, "Class"),
        ({"id": [1], "code": [2], "label": [3]}, None, "label"),
        ({"id": [1], "class": [2]}, "id", "id"),
    ],
)
def test_the_class_column(tmp_path, columns, wanted, chosen):
    features = read_features(layer(tmp_path / "x.gpkg", **columns), wanted)
    assert (features.field, features.values.tolist()) == (chosen, columns[chosen])


@pytest.mark.parametrize(
    ("columns", "wanted", "code", "words"),
    [
        ({"a": [1], "b": [2]}, None, "class-column-ambiguous", ["a (1)", "b (2)", "--label-field"]),
        ({"a": [1], "b": [2]}, "c", "no-such-column", ["'c'", "a, b"]),
        ({"class": [1.5, 2.0]}, None, "fractional-code", ["'class'"]),
        ({"class": [1.0, np.nan]}, None, "fractional-code", ["'class'"]),
        ({"class": texts("a", None, " ")}, None, "empty-class", ["'class'", "2 of 3"]),
    ],
)
def test_a_column_that_cannot_be_meant(tmp_path, columns, wanted, code, words):
    path = layer(tmp_path / "x.gpkg", **columns)
    with fails(code, DataError, path) as caught:
        read_features(path, wanted)
    assert all(word in str(caught.value) for word in words)


def test_features_without_geometry_are_left_out(tmp_path):
    features = read_features(
        write_layer(tmp_path / "x.gpkg", [AREA, None, AREA], {"code": [1, 2, 3]})
    )
    assert features.values.tolist() == [1, 3]
    with fails("no-geometry", DataError):
        read_features(write_layer(tmp_path / "y.gpkg", [None], {"code": [1]}))
    with fails("no-geometry", DataError):
        read_features(
            write_layer(tmp_path / "z.gpkg", np.array([], object), {"code": np.array([], "int64")})
        )


def test_which_of_several_layers_is_not_guessed(tmp_path):
    path = write_layer(tmp_path / "x.gpkg", [AREA], {"code": [1]}, layer="fields")
    write_layer(path, [AREA], {"code": [1]}, layer="roads")
    assert len(pyogrio.list_layers(path)) == 2
    with fails("layer-count", DataError, path) as caught:
        read_features(path)
    assert all(word in caught.value.message for word in ("2", "fields", "roads"))


def test_an_index_may_reorder_flatgeobuf(tmp_path):
    features = read_features(layer(tmp_path / "x.fgb", code=[3, 3, 9]))
    left = shapely.bounds(features.geometries)[:, 0]
    assert features.values[np.argsort(left)].tolist() == [3, 3, 9]


@pytest.mark.parametrize("name", ["x.gpkg", "x.geojson", "x.shp"])
def test_a_damaged_layer_is_named(tmp_path, name):
    path = tmp_path / name
    path.write_text("no layer")
    with fails("unreadable", DataError, path):
        read_features(path)


def test_a_layer_cut_off_is_named(tmp_path):
    path = truncate(layer(tmp_path / "x.geojson", code=[1, 2, 3]))
    with fails("unreadable", DataError, path):
        read_features(path)


def test_an_absent_layer_is_named(tmp_path):
    with fails("no-such-file", DataError, tmp_path / "none.gpkg"):
        read_features(tmp_path / "none.gpkg")


def test_a_crs_on_one_side_only_is_refused(tmp_path):
    bare = read_features(write_layer(tmp_path / "x.gpkg", [AREA], {"code": [1]}, crs=None))
    placed = read_features(write_layer(tmp_path / "y.gpkg", [AREA], {"code": [1]}))
    assert bare.crs is None
    assert bare.to_crs(None)[0].equals(AREA)
    with fails("crs-missing", DataError, tmp_path / "x.gpkg"):
        bare.to_crs(placed.crs)
    with fails("crs-missing", DataError, tmp_path / "y.gpkg"):
        placed.to_crs(None)


def test_landsat_polygons(shared_data):
    features = read_features(shared_data / "landsat" / "landsat96_polygons.shp")
    assert (features.field, len(features.values), len(features.geometries)) == ("label", 34, 34)
    assert set(features.values) == {
        "agriculture",
        "developed",
        "forest",
        "herbaceous",
        "sediment",
        "shrubland",
        "water",
    }
    assert read_features(features.path, "id").values.dtype == np.int64
