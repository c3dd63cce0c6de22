import json
import sqlite3
import sys
import zipfile

import numpy as np
import pyogrio
import pyproj
import pytest
import shapely

from swath.errors import DataError
from swath.io.vector import LayerOptions, align_classes, read_features, read_geometries
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
        ({"class": [1.0, np.nan]}, None, "empty-class", ["'class'", "1 of 2"]),
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


# The class column.

FOUR = ("wheat", "maize", "wheat", "rye")
KINDS = ("field", "road", "road", "field")


@pytest.mark.parametrize("name", ["id", "ID", "fid_1", "OBJECTID", "uuid", "osm_id", "parcel_id"])
def test_identifiers_are_never_the_class(tmp_path, name):
    columns = {name: texts("a1", "a2", "a3", "a4"), "crop": texts(*FOUR)}
    assert read_features(layer(tmp_path / "x.gpkg", **columns)).field == "crop"
    alone = layer(tmp_path / "y.gpkg", **{name: [1, 2, 3, 4]})
    with fails("no-class-column", DataError):
        read_features(alone)


def test_a_column_with_a_value_of_its_own_in_each_of_many_features_is_an_identifier(tmp_path):
    n = 30
    columns = {"plot": np.arange(n), "label": texts(*map(str, range(n))), "crop": [1, 2] * 15}
    assert read_features(layer(tmp_path / "x.gpkg", **columns)).field == "crop"


@pytest.mark.parametrize(
    "columns",
    [
        {"crop": texts(*FOUR), "kind": texts(*KINDS)},
        {"class": texts(*FOUR), "category": texts(*KINDS)},
        {"class": [1, 1, 1, 1], "crop": texts(*FOUR)},
        {"type": texts(*["multipolygon"] * 4), "landuse": texts("a", "b", "c", "d")},
        {"year": [2019, 2019, 2020, 2020], "crop": texts("a", "b", "c", "d")},
        {"crop": texts("wheat", "maize", "rye", "oat")},
    ],
)
def test_several_columns_that_can_be_the_class_are_listed(tmp_path, columns):
    path = layer(tmp_path / "x.gpkg", **columns)
    with fails("class-column-ambiguous", DataError, path) as caught:
        read_features(path)
    assert "--label-field" in str(caught.value)
    last = [*columns][-1]
    assert last in caught.value.message and str(columns[last][0]) in caught.value.message
    assert read_features(path, last).field == last


def test_only_columns_that_features_share_are_proposed_as_the_class(tmp_path):
    path = layer(
        tmp_path / "x.gpkg",
        crop=texts("rye", "rye", "oat"),
        soil=texts("sand", "clay", "sand"),
        owner=texts("Ann", "Bob", "Eve"),
        country=texts("DE", "DE", "DE"),
    )
    with fails("class-column-ambiguous", DataError, path) as caught:
        read_features(path)
    assert "--label-field crop or --label-field soil" in str(caught.value.fix)
    assert "owner" not in str(caught.value.fix) and "country" not in str(caught.value.fix)


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        ({"area_m2": [1, 2, 3, 4], "crop": texts(*FOUR)}, "crop"),
        ({"country": texts(*["DE"] * 4), "crop": texts(*FOUR)}, "crop"),
        ({"code": [3, 1, 3, 2], "class": texts(*FOUR)}, "class"),
        ({"height": [1.5, 2.5, 3.5, 4.5], "crop": texts(*FOUR)}, "crop"),
        ({"note": texts("x", "y", "x", "z"), "class": [1, 2, 1, 1]}, "class"),
    ],
)
def test_the_column_that_is_evidently_the_class(tmp_path, columns, chosen):
    assert read_features(layer(tmp_path / "x.gpkg", **columns)).field == chosen


def test_a_layer_without_a_class_column_is_one_class_with_a_background(tmp_path):
    how = LayerOptions(background="other")
    for name, columns in (("a", {}), ("b", {"id": [1, 2]}), ("c", {"name": texts("x", "y")})):
        path = tmp_path / f"{name}.gpkg"
        write_layer(path, [AREA, box(20, 0, 10, 10)], columns)
        features = read_features(path, options=how)
        assert (features.field, features.values.tolist()) == ("", [name, name])
    kinds = layer(tmp_path / "d.gpkg", kind=texts("a", "b", "a"), roof=texts("x", "x", "y"))
    with fails("class-column-ambiguous", DataError):
        read_features(kinds, options=how)
    assert read_features(kinds, "none", how).values.tolist() == ["d"] * 3


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        (("1", "2", "10"), [1, 2, 10]),
        (("01", "02", "10"), [1, 2, 10]),
        ((" 3", "3 ", "-1"), [3, 3, -1]),
        (("1.0", "2", "10.0"), [1, 2, 10]),
    ],
)
def test_text_that_holds_whole_numbers_is_codes(tmp_path, values, codes):
    features = read_features(layer(tmp_path / "x.gpkg", label=texts(*values)))
    assert (features.values.dtype, features.values.tolist()) == (np.int64, codes)


@pytest.mark.parametrize("values", [("1", "2", "1a"), ("1.5", "2", "3"), ("1e3", "2", "3")])
def test_other_text_is_names(tmp_path, values):
    assert read_features(layer(tmp_path / "x.gpkg", label=texts(*values))).textual


def test_names_that_differ_in_case_or_blanks_are_one_class(tmp_path):
    path = layer(tmp_path / "x.gpkg", label=texts("Winter wheat", "winter  wheat", "Rye", "Rye "))
    features = read_features(path)
    assert sorted(set(features.values)) == ["Rye", "Winter wheat"]
    (finding,) = features.findings
    assert (finding.code, finding.level, finding.file) == (
        "class-names-alike",
        "warning",
        str(path),
    )


def test_accents_of_two_forms_of_unicode_are_one_class(tmp_path):
    one, two = "For\u00eat", "Fore\u0302t"  # they look the same
    features = read_features(layer(tmp_path / "x.gpkg", label=texts(one, two, one, "Foret")))
    assert sorted(set(features.values)) == ["Foret", one]
    joined, apart = features.findings
    assert {joined.code, apart.code} == {"class-names-alike"}
    assert "(2 features)" in joined.message and "accents alone" in apart.message


# Layers and formats.


def add_table(path, name):
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, text TEXT)")
        row = f"INSERT INTO gpkg_contents (table_name, data_type) VALUES ('{name}', 'attributes')"
        connection.execute(row)
    connection.close()


@pytest.mark.parametrize("table", ["layer_styles", "lookup"])
def test_tables_without_geometry_are_no_layers(tmp_path, table):
    path = layer(tmp_path / "x.gpkg", code=[3, 3, 9])
    add_table(path, table)
    assert read_features(path).values.tolist() == [3, 3, 9]
    assert len(read_geometries(path).geometries) == 3


def test_a_layer_is_named(tmp_path):
    path = write_layer(tmp_path / "x.gpkg", [AREA], {"code": [1]}, layer="fields")
    write_layer(path, [AREA], {"code": [2]}, layer="roads")
    add_table(path, "layer_styles")
    assert read_features(path, options=LayerOptions(layer="roads")).values.tolist() == [2]
    with fails("no-such-layer", DataError, path):
        read_features(path, options=LayerOptions(layer="lakes"))
    with fails("layer-count", DataError, path) as caught:
        read_features(path)
    assert "--layer" in str(caught.value.fix) and "layer_styles" not in caught.value.message


def placemark(name, west):
    corners = ((west, 50), (west + 1, 50), (west + 1, 51), (west, 50))
    ring = " ".join(f"{x},{y},0" for x, y in corners)
    return (
        f"<Placemark><name>{name}</name><Polygon><outerBoundaryIs><LinearRing><coordinates>{ring}"
        "</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark>"
    )


def write_kml(path, **folders):
    """Write placemarks, by the name of their folder."""
    content = "".join(
        f"<Folder><name>{folder}</name>{''.join(marks)}</Folder>"
        for folder, marks in folders.items()
    )
    path.write_text(
        f'<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>{content}'
        "</Document></kml>"
    )
    return path


def test_kml_has_classes_in_names_or_folders(tmp_path):
    marks = [placemark("wheat", 9), placemark("maize", 10)]
    names = read_features(write_kml(tmp_path / "a.kml", f=marks))
    assert (names.field, names.values.tolist()) == ("Name", ["wheat", "maize"])
    two = write_kml(
        tmp_path / "b.kml",
        wheat=[placemark("1", 9), placemark("2", 10)],
        maize=[placemark("3", 11)],
    )
    folders = read_features(two)
    assert (folders.field, folders.values.tolist()) == ("Folder", ["wheat", "wheat", "maize"])
    one = read_features(two, options=LayerOptions(layer="maize"))
    assert one.values.tolist() == [3]
    path = write_kml(
        tmp_path / "c.kml", north=[placemark("a", 9), placemark("b", 10)], south=[placemark("b", 9)]
    )
    with fails("class-column-ambiguous", DataError, path):
        read_features(path)


@pytest.mark.parametrize("folder", ["", "inner/"])
def test_a_zipped_shapefile(tmp_path, folder):
    layer(tmp_path / "s" / "f.shp", code=[3, 3, 9])
    path = tmp_path / "f.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for part in (tmp_path / "s").iterdir():
            archive.write(part, folder + part.name)
    assert read_features(path).values.tolist() == [3, 3, 9]
    with zipfile.ZipFile(tmp_path / "g.zip", "w") as archive:
        archive.writestr("readme.txt", "no layer")
    with fails("labels-format", DataError, tmp_path / "g.zip"):
        read_features(tmp_path / "g.zip")


@pytest.mark.parametrize(("name", "driver"), [("f.gdb", "OpenFileGDB"), ("f.gml", "GML")])
def test_geodatabases_and_gml(tmp_path, name, driver):
    path = write_layer(tmp_path / name, [AREA, box(20, 0, 10, 10)], {"code": [3, 9]}, driver=driver)
    assert read_features(path).values.tolist() == [3, 9]


def test_geoparquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "x.parquet"
    about = {"primary_column": "shape", "columns": {"shape": {"encoding": "WKB"}}}
    shapes = [shapely.to_wkb(shapely.box(9, 50, 10, 51)), shapely.to_wkb(shapely.box(1, 2, 3, 4))]
    table = pyarrow.table({"shape": shapes, "class": ["a", "b"], "size": [1.5, 2.5]})
    table = table.replace_schema_metadata({"geo": json.dumps(about)})
    pyarrow.parquet.write_table(table, path)
    features = read_features(path)
    assert features.values.tolist() == ["a", "b"]
    assert pyproj.CRS(features.crs).is_geographic
    assert features.geometries[0].equals(shapely.box(9, 50, 10, 51))
    assert len(read_features(path, options=LayerOptions(layer="x")).values) == 2
    with fails("no-such-layer", DataError, path):
        read_features(path, options=LayerOptions(layer="y"))
    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), path)
    with fails("unreadable", DataError, path):
        read_features(path)


def test_geoparquet_without_its_package(tmp_path, monkeypatch):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with fails("missing-package", DataError, tmp_path / "x.parquet") as caught:
        read_features(tmp_path / "x.parquet")
    assert "swath[parquet]" in str(caught.value.fix)


@pytest.mark.parametrize("name", ["x.ods", "x.dxf", "x.xlsx"])
def test_formats_that_are_not_read_are_named(tmp_path, name):
    (tmp_path / name).write_text("lon,lat,class\n9,50,1\n")
    with fails("labels-format", DataError, tmp_path / name) as caught:
        read_features(tmp_path / name)
    assert ".gpkg" in str(caught.value.fix)


@pytest.mark.parametrize("ending", [".dbf", ".shx"])
def test_an_incomplete_shapefile_is_named(tmp_path, ending):
    path = layer(tmp_path / "x.shp", code=[1, 2])
    path.with_suffix(ending).unlink()
    with fails("incomplete-shapefile", DataError, path) as caught:
        read_features(path)
    assert f"x{ending}" in caught.value.message


# Geometries.


def write_geojson(path, *geometries):
    rows = [
        {"type": "Feature", "properties": {"class": f"c{i}"}, "geometry": g}
        for i, g in enumerate(geometries)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": rows}))
    return path


def ring(*points):
    return {"type": "Polygon", "coordinates": [[list(p) for p in points]]}


SQUARE = ring((0, 0), (1, 0), (1, 1), (0, 1), (0, 0))
NAN = float("nan")


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (ring((0, 0), (1, 1)), "geometry-broken"),
        (ring((NAN, 1), (2, 3), (4, 5), (NAN, 1)), "geometry-broken"),
        (ring((0, 0), (1, 1), (2, 2), (0, 0)), "geometry-broken"),
        ({"type": "Polygon", "coordinates": []}, "geometry-empty"),
    ],
)
def test_features_that_cannot_be_used_are_named(tmp_path, bad, code):
    path = write_geojson(tmp_path / "x.geojson", SQUARE, bad, SQUARE)
    features = read_features(path)
    assert features.values.tolist() == ["c0", "c2"]
    (finding,) = features.findings
    assert (finding.code, finding.level, finding.file) == (code, "warning", str(path))
    assert "feature 1" in finding.message
    with fails(code, DataError, path):
        read_geometries(path)
    with fails("no-geometry", DataError):
        read_features(write_geojson(tmp_path / "y.geojson", bad))


def test_invalid_polygons_are_mended(tmp_path):
    bow = ring((0, 0), (2, 2), (2, 0), (0, 2), (0, 0))
    features = read_features(write_geojson(tmp_path / "x.geojson", SQUARE, bow))
    assert [f.code for f in features.findings] == ["geometry-mended"]
    assert "feature 1" in features.findings[0].message
    assert shapely.is_valid(features.geometries).all()
    assert shapely.area(features.geometries).tolist() == [1, 2]


# Order, and several layers.


def test_the_highest_priority_is_drawn_last(tmp_path):
    path = layer(tmp_path / "x.gpkg", code=[1, 2, 3], rank=[5, 9, 1], note=texts("a", "b", "a"))
    features = read_features(path, "code", LayerOptions(priority="rank"))
    assert features.values.tolist() == [3, 1, 2]
    assert features.ids(np.arange(3)).tolist() == [3, 1, 2]
    with fails("priority-not-a-number", DataError, path):
        read_features(path, "code", LayerOptions(priority="note"))
    with fails("no-such-column", DataError, path):
        read_features(path, "code", LayerOptions(priority="nothing"))


def test_layers_of_one_source_are_numbered_together(tmp_path):
    a = read_features(layer(tmp_path / "a.gpkg", crop=texts("wheat", "wheat", "rye")))
    b = read_features(layer(tmp_path / "b.gpkg", crop=texts("rye", "maize", "rye")))
    assert [f.numbered for f in align_classes([a, b])] == [["maize", "rye", "wheat"]] * 2
    with fails("class-types-differ", DataError):
        align_classes([a, read_features(layer(tmp_path / "c.gpkg", code=[1, 2]))])


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3413", 90), ("EPSG:3031", -90)])
def test_a_polygon_around_a_pole_covers_it_in_degrees(tmp_path, crs, pole):
    disk = shapely.buffer(shapely.Point(0, 0), 100_000)
    path = write_layer(tmp_path / "p.gpkg", [disk], {"class": ["ice"]}, crs)
    (found,) = read_features(path).to_crs(pyproj.CRS("EPSG:4326").to_wkt())
    west, _, east, _ = found.bounds
    assert east - west == pytest.approx(360) and found.area == pytest.approx(360 * 0.92, rel=0.05)
    assert found.covers(shapely.Point(west + 100, pole * 0.995))
