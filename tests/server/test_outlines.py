"""Vector layers over a map: read in any CRS, bounded, listed by rank, and drawn on the page."""

import json
from urllib.parse import urlencode
from urllib.request import urlopen

import numpy as np
import pytest
import shapely
from rasterio.transform import from_origin

import swath
from swath.errors import DataError
from swath.geo.geobox import GeoBox
from swath.server import outlines
from swath.server.outlines import describe, feature_at, read_outlines
from swath.server.web_mercator import Placement
from tests.errors import fails
from tests.make import NORTH_UP, UTM, box, truncate, write_layer, write_raster
from tests.server.screen import share, until
from tests.server.test_layer import write_map

GRID = Placement(GeoBox(300, 400, tuple(NORTH_UP)[:6], UTM))
YELLOW = (255, 210, 31)
SQUARES = [box(200, 300, 20, 20), box(50, 50, 20, 20), box(250, 20, 20, 20)]
COLUMNS = {"rank": [2, 1, 3], "confidence": [41, 52, 63], "class": ["town", "water", "wood"]}


def one(path, maps=(GRID,)):
    (layer,) = read_outlines(path, maps)
    return layer


def degrees(shape, crs=UTM):
    import pyproj

    move = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    return shapely.transform(shape, move.transform, interleaved=False)


def test_features_are_in_order_of_rank_with_their_columns(tmp_path):
    layer = one(write_layer(tmp_path / "r.gpkg", SQUARES, COLUMNS))
    found = describe(layer)
    assert (found["name"], found["count"], found["rank"]) == ("r.gpkg", 3, "rank")
    assert found["shown"] == ["class", "confidence"]
    assert [row["columns"]["class"] for row in found["rows"]] == ["water", "town", "wood"]
    assert found["rows"][0]["bounds"] == pytest.approx(degrees(SQUARES[1]).bounds, abs=1e-6)
    lon, lat = found["rows"][1]["point"]
    assert feature_at(layer, lon, lat, 0) == {
        "inside": True,
        "id": 1,
        "columns": {"rank": 2, "confidence": 41, "class": "town"},
        "others": 0,
    }
    west = found["rows"][1]["bounds"][0] - 1e-5
    assert feature_at(layer, west, lat, 0) == {"inside": False}
    assert feature_at(layer, west, lat, 2e-5)["id"] == 1


@pytest.mark.parametrize("name", ["r.geojson", "r.shp", "r.gpkg", "r.fgb"])
def test_points_and_lines_of_any_format_and_crs_are_placed(tmp_path, name):
    for kind, shape in (
        ("Point", shapely.Point(*NORTH_UP @ (100.5, 100.5))),
        ("LineString", shapely.LineString([NORTH_UP @ (10, 10), NORTH_UP @ (90, 200)])),
    ):
        path = write_layer(
            tmp_path / kind / name, [degrees(shape)], {"n": [1]}, "EPSG:4326", geometry_type=kind
        )
        features = json.loads(one(path).outlines().geojson)["features"]
        assert [f["id"] for f in features] == [0] and features[0]["properties"] == {}
        drawn = shapely.from_geojson(json.dumps(features[0]["geometry"]))
        assert drawn.equals_exact(degrees(shape), 1e-7)


def test_layers_without_crs_go_over_maps_without(tmp_path):
    photo = Placement(GeoBox(300, 400, (1.0, 0, 0, 0, 1.0, 0), None))
    path = write_layer(tmp_path / "r.gpkg", [shapely.box(100, 50, 120, 80)], {"n": [1]}, None)
    x, y = photo.mercator(np.array([110.0]), np.array([65.0]))
    found = describe(one(path, [photo]))["rows"][0]
    assert found["point"] == pytest.approx([x[0] / 111319.4908, y[0] / 111319.4908], rel=1e-6)
    with fails("crs-missing", DataError, path):
        one(path)
    with fails("crs-missing", DataError):
        one(write_layer(tmp_path / "u.gpkg", SQUARES, COLUMNS), [photo])


def test_a_layer_beyond_180_degrees_is_turned_to_the_map(tmp_path):
    around = Placement(GeoBox(100, 200, tuple(from_origin(179, 1, 0.01, 0.01))[:6], "EPSG:4326"))
    path = write_layer(
        tmp_path / "r.gpkg", [shapely.box(-179.6, 0.4, -179.5, 0.5)], {}, "EPSG:4326"
    )
    assert describe(one(path, [around]))["rows"][0]["bounds"] == [180.4, 0.4, 180.5, 0.5]


def test_what_does_not_lie_on_the_map_is_told(tmp_path):
    away = [box(900, 900, 5, 5), *SQUARES]
    world = one(write_layer(tmp_path / "w.gpkg", [shapely.box(0, 40, 20, 60)], {}, "EPSG:4326"))
    assert describe(world)["rows"][0]["bounds"] == pytest.approx(GRID.degrees, abs=1e-9)
    layer = one(write_layer(tmp_path / "some.gpkg", away, {"n": [0, 1, 2, 3]}))
    assert describe(layer)["count"] == 3 and "1 of 4 features" in layer.outlines().warnings[0]
    with fails("layer-misses-map", DataError, tmp_path / "none.gpkg") as caught:
        one(write_layer(tmp_path / "none.gpkg", away[:1], {"n": [0]}))
    assert "9.1" in caught.value.message and "9.0" in caught.value.message
    empty = one(
        write_layer(tmp_path / "empty.gpkg", np.array([], object), {"n": np.array([], int)})
    )
    assert describe(empty)["rows"] == [] and empty.outlines().warnings
    assert feature_at(empty, 9, 50, 1) == {"inside": False}


def test_several_layers_are_several_and_too_much_is_refused(tmp_path, monkeypatch):
    path = write_layer(tmp_path / "r.gpkg", SQUARES, COLUMNS, layer="a")
    write_layer(path, SQUARES[:1], {}, layer="b", append=True)
    assert [layer.name for layer in read_outlines(path, [GRID])] == ["r.gpkg: a", "r.gpkg: b"]
    monkeypatch.setattr(outlines, "MAX_POINTS", 14)
    with fails("layer-too-large", DataError, path):
        read_outlines(path, [GRID])
    monkeypatch.setattr(outlines, "MAX_LAYERS", 1)
    with fails("layer-count", DataError, path):
        read_outlines(path, [GRID])
    with fails("unreadable", DataError):
        read_outlines(truncate(write_layer(tmp_path / "cut.gpkg", SQUARES, COLUMNS), 0.01), [GRID])
    with fails("no-such-file", DataError):
        read_outlines(tmp_path / "absent.gpkg", [GRID])


def test_a_changed_file_is_read_again(tmp_path):
    layer = one(write_layer(tmp_path / "r.gpkg", SQUARES, COLUMNS))
    before = layer.version
    write_layer(tmp_path / "r.gpkg", SQUARES[:2], {"n": [1, 2]}, layer="r")
    assert layer.version != before and describe(layer)["count"] == 2


@pytest.fixture(scope="module")
def page_of_regions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regions")
    path = write_map(folder / "m.tif", np.ones((300, 400), np.uint8))
    image = write_raster(folder / "i.tif", np.full((3, 300, 400), 90, np.uint8), UTM, NORTH_UP)
    write_layer(folder / "m_review.gpkg", SQUARES, COLUMNS, layer="regions")
    regions = write_layer(folder / "next.gpkg", SQUARES, COLUMNS, layer="regions")
    running = swath.view(path, image, [regions, regions], open=False)
    yield running
    running.close()


def test_view_takes_layers_in_any_place_and_those_of_predict(page_of_regions, tmp_path):
    assert page_of_regions.layers == [
        "i.tif",
        "m.tif",
        "next.gpkg",
        "next-2.gpkg",
        "m_review.gpkg",
    ]
    with urlopen(f"{page_of_regions.url}outlines?{urlencode({'url': 'next.gpkg'})}") as answer:
        assert len(json.load(answer)["features"]) == 3
    path = write_map(tmp_path / "m.tif", np.ones((300, 400), np.uint8))
    (tmp_path / "m_review.gpkg").write_bytes(b"damaged")
    layer = write_layer(tmp_path / "r.gpkg", SQUARES, COLUMNS)
    running = swath.view(path, layer, open=False)
    assert running.layers == ["m.tif", "r.gpkg"] and "m_review.gpkg" in running.warnings[0]
    running.close()
    with fails("unsupported-format", DataError, layer) as caught:
        swath.view(layer, path, open=False)
    assert f"swath view MAP {layer.name}" in caught.value.fix
    with fails("unsupported-format", DataError, layer):
        swath.view(path, reference=layer, open=False)


def test_outlines_are_drawn_and_a_list_flies_to_each(visit, page_of_regions):
    page = visit(page_of_regions.url + "#on=1~~m.tif&on=1~~next.gpkg")
    until(lambda: share(page, YELLOW) > 0.0005)
    before = share(page, YELLOW)
    assert page.locator("#outlines h2").all_inner_texts()[-1] == "next.gpkg"
    rows = page.locator("#outlines ul").last.locator("button")
    assert rows.all_inner_texts()[0].split() == ["1", "water", "·", "52"]
    rows.first.click()
    until(lambda: share(page, YELLOW) > 3 * before)
    table = page.locator("#card").inner_text()
    assert "next.gpkg" in table and "confidence" in table and "water" in table
    options = page.locator("#pair-left option").count()
    page.keyboard.press("s")
    assert page.locator("#pair-left option").count() == 2 and options == 0
    page.keyboard.press("s")
    box = page.locator("#layers li", has_text="next.gpkg").locator("input[type=checkbox]")
    box.click()
    until(lambda: share(page, YELLOW) < 0.0001)
