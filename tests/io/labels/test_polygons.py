"""Polygons on the grid of an image, in any window and CRS."""

import numpy as np
import pytest
import rasterio
import shapely
import shapely.affinity
from hypothesis import given
from hypothesis import strategies as st

from swath.errors import DataError
from swath.geo.geobox import GeoBox, chunks, geobox_of
from swath.geo.tiling import Window
from swath.io.labels import (
    UNLABELED,
    VectorLabels,
)
from swath.io.raster import open_raster
from swath.io.vector import Features, read_features
from swath.legend import LandClass, Legend
from tests.errors import fails
from tests.make import (
    NORTH_UP,
    UTM,
    box,
    place,
    write_layer,
)

WKT = rasterio.CRS.from_string(UTM).to_wkt()
GRID = GeoBox(20, 30, tuple(NORTH_UP)[:6], WKT)
PLAIN = GeoBox(20, 30)
PLAIN = GeoBox(20, 30)


def burn(features, grid=GRID, legend=None, window=None):
    return VectorLabels(features, grid, legend).read(window or grid.window, "code")


def polygons(geometries, values, crs=WKT):
    return Features(
        "x.gpkg",
        crs,
        np.array(geometries, object),
        np.array(values, object if isinstance(values[0], str) else int),
        "c",
    )


def test_a_pixel_has_the_class_of_its_center():
    center = shapely.Point(place(5.5, 3.5))
    labels = burn(polygons([center.buffer(4.9)], [7]))
    assert np.argwhere(labels != UNLABELED).tolist() == [[3, 5]]
    beside = shapely.affinity.translate(center, 5, 5).buffer(4.9)
    assert (burn(polygons([beside], [7])) == UNLABELED).all()


def test_the_last_feature_wins_in_every_window():
    features = polygons([box(0, 0, 10, 10), box(5, 5, 10, 10), box(7, 0, 2, 30)], [1, 2, 1])
    expected = np.full((20, 30), UNLABELED)
    for (row, col, height, width), value in (
        ((0, 0, 10, 10), 1),
        ((5, 5, 10, 10), 2),
        ((7, 0, 2, 30), 1),
    ):
        expected[Window(row, col, height, width).slices] = value
    assert (burn(features) == expected).all()
    for window in (Window(6, 3, 4, 9), Window(0, 0, 1, 1), Window(19, 29, 1, 1)):
        assert (burn(features, window=window) == expected[window.slices]).all()


squares = st.tuples(
    st.integers(-5, 18),
    st.integers(-5, 28),
    st.integers(1, 15),
    st.integers(1, 15),
    st.integers(0, 9),
)


@given(st.lists(squares, min_size=1, max_size=8))
def test_polygons_are_painted_in_order(parts):
    expected = np.full((20, 30), UNLABELED)
    for *window, value in parts:
        expected[Window(*window).within(GRID.window).slices] = value
    features = polygons([box(*window) for *window, _ in parts], [value for *_, value in parts])
    assert (burn(features) == expected).all()


@given(st.integers(1, 19), st.integers(1, 29), st.integers(0, 2**32 - 1))
def test_windows_of_polygons_join_without_a_seam(row, col, seed):
    rng = np.random.default_rng(seed)
    circles = [
        shapely.Point(place(*rng.uniform((0, 0), (30, 20)))).buffer(r)
        for r in rng.uniform(10, 80, 5)
    ]
    labels = VectorLabels(polygons(circles, [1, 2, 3, 4, 5]), GRID)
    whole = labels.read(GRID.window, "code")
    cuts = [
        Window(0, 0, row, col),
        Window(0, col, row, 30 - col),
        Window(row, 0, 20 - row, col),
        Window(row, col, 20 - row, 30 - col),
    ]
    assert all((labels.read(w, "code") == whole[w.slices]).all() for w in cuts)


def test_polygons_on_a_rotated_image():
    turned = rasterio.Affine(6, 8, 500_000, 8, -6, 5_600_000)
    grid = GeoBox(20, 30, tuple(turned)[:6], WKT)
    labels = burn(polygons([box(3, 4, 5, 6, turned)], [2]), grid)
    expected = np.full((20, 30), UNLABELED)
    expected[3:8, 4:10] = 2
    assert (labels == expected).all()
    window = Window(5, 5, 10, 10)
    assert (
        burn(polygons([box(3, 4, 5, 6, turned)], [2]), grid, window=window)
        == expected[window.slices]
    ).all()


def test_polygons_in_another_crs(tmp_path):
    near = read_features(write_layer(tmp_path / "a.gpkg", [box(3, 4, 10, 12)], {"code": [5]}))
    degrees = near.to_crs(rasterio.CRS.from_epsg(4326).to_wkt())
    far = read_features(write_layer(tmp_path / "b.gpkg", degrees, {"code": [5]}, "EPSG:4326"))
    assert (burn(far) == burn(near)).all()
    assert (burn(near) == 5).sum() == 120


def test_polygons_with_a_crs_on_one_side_only():
    with fails("crs-missing", DataError, "x.gpkg"):
        burn(polygons([box(0, 0, 1, 1)], [1], None))
    with fails("crs-missing", DataError, "x.gpkg"):
        burn(polygons([box(0, 0, 1, 1)], [1]), PLAIN)


def test_text_gets_codes_in_alphabetical_order():
    labels = VectorLabels(
        polygons([box(0, 0, 1, 1), box(0, 1, 1, 1), box(0, 2, 1, 1)], ["wood", "Äcker", "sea"]),
        GRID,
    )
    assert labels.names == {1: "sea", 2: "wood", 3: "Äcker"}
    assert labels.read(GRID.window, "code")[0, :4].tolist() == [2, 3, 1, UNLABELED]


def test_text_takes_the_codes_of_the_legend():
    legend = Legend((LandClass("sea", (9, 8), 9, "#000000"), LandClass("wood", (4,), 4, "#000000")))
    labels = burn(polygons([box(0, 0, 1, 1), box(0, 1, 1, 1)], ["wood", "sea"]), legend=legend)
    assert labels[0, :2].tolist() == [4, 9]


def test_text_that_is_no_class_is_named():
    legend = Legend((LandClass("sea", (1,), 1, "#000000"),), origin="classes.yaml")
    features = polygons([box(0, 0, 1, 1)] * 3, ["sea", "see", "see"])
    with fails("unknown-class", DataError, "x.gpkg") as caught:
        VectorLabels(features, GRID, legend)
    assert "'see' of 2 " in caught.value.message and "classes.yaml" in caught.value.fix


def test_polygons_have_no_colors():
    with fails("labels-codes", DataError, "x.gpkg"):
        VectorLabels(polygons([box(0, 0, 1, 1)], [1]), GRID).read(GRID.window, "color")


def test_names_of_features_are_those_of_classes_with_colors_alone():
    classes = (
        LandClass("sea", (0x0000FF,), 1, "#0000FF"),
        LandClass("wood", (0xFF00,), 2, "#00FF00"),
    )
    legend = Legend(classes, "color", origin="classes.yaml")
    shapes = [box(0, 0, 1, 1), box(0, 1, 1, 1)]
    labels = VectorLabels(polygons(shapes, ["wood", "Sea"]), GRID, legend)
    assert labels.read(GRID.window, "color")[0, :3].tolist() == [0xFF00, 0x0000FF, UNLABELED]
    with fails("labels-codes", DataError, "x.gpkg") as caught:  # whose codes nothing names
        VectorLabels(polygons(shapes, [1, 2]), GRID, legend)
    assert "classes.yaml" in str(caught.value.fix)


def test_landsat_polygons_agree_with_the_label_raster(shared_data):
    folder = shared_data / "landsat"
    features = read_features(folder / "landsat96_polygons.shp", "id")
    with open_raster(folder / "lsat7_2000_10.tif") as image:
        grid = geobox_of(image)
    labels = VectorLabels(features, grid)
    painted = np.concatenate([labels.read(w, "code").ravel() for w in chunks(grid)])
    assert set(np.unique(painted)) == {UNLABELED, *features.values}
    area = shapely.area(features.to_crs(grid.crs)).sum() / 28.5**2
    assert (painted != UNLABELED).sum() == pytest.approx(area, rel=0.05)
