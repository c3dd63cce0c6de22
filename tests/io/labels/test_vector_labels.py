"""What a pixel gets from points, lines and polygons, and what is counted as lost."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely
from rasterio.control import GroundControlPoint

from swath.errors import DataError
from swath.geo.geobox import GeoBox
from swath.io.labels import UNLABELED, VectorLabels
from swath.io.vector import Features, LayerOptions, align_classes
from swath.legend import LandClass, Legend, legend_of_codes
from tests.errors import fails
from tests.make import NORTH_UP, UTM, box, noise, place, write_raster

WKT = pyproj.CRS(UTM).to_wkt()
DEGREES = pyproj.CRS("EPSG:4326").to_wkt()
GRID = GeoBox(20, 30, tuple(NORTH_UP)[:6], WKT)


def layer(geometries, values, crs=WKT, extent=None, **options):
    """Return features of positions 0, 1, ... as ids."""
    kind = object if any(isinstance(v, str) for v in values) else int
    return Features(
        "x.gpkg",
        crs,
        np.array(geometries, object),
        np.array(values, kind),
        "c",
        options=LayerOptions(**options),
        extent=extent,
    )


def point(row, col):
    return shapely.Point(place(col, row))


def line(*places):
    return shapely.LineString([place(col, row) for row, col in places])


def burn(features, grid=GRID, legend=None, **options):
    labels = VectorLabels(features, grid, legend, **options)
    return labels.read(grid.window, "code")


def tally(features, grid=GRID):
    labels = VectorLabels(features, grid)
    labels.read(grid.window, "code")
    labels.count(grid.window)
    return labels.tally


def counts(codes):
    values, pixels = np.unique(codes[codes != UNLABELED], return_counts=True)
    return dict(zip(values.tolist(), pixels.tolist(), strict=True))


def test_points_take_one_pixel_and_lines_all_that_they_touch():
    codes = burn(layer([point(2.4, 3.6), line((5.5, 0.2), (7.5, 9.8))], [1, 2]))
    assert codes[2, 3] == 1 and (codes == 1).sum() == 1
    crossed = {(int(5.5 + 2 * (x - 0.2) / 9.6), int(x)) for x in np.linspace(0.2, 9.8, 5000)}
    assert {*zip(*np.nonzero(codes == 2), strict=True)} == crossed


def test_points_and_lines_of_a_width():
    codes = burn(layer([point(10, 10), line((3, 20), (18, 20))], [1, 2], width=60.0))
    rows, cols = np.nonzero(codes == 1)
    assert np.hypot(rows + 0.5 - 10, cols + 0.5 - 10).max() < 3.01
    assert 26 <= len(rows) <= 32
    assert (codes[5:16, 17:23] == 2).all() and (codes[5:16, [16, 23]] == UNLABELED).all()


def test_a_width_is_in_meters_in_any_crs():
    grid = GeoBox(200, 200, (0.0001, 0, 10, 0, -0.0001, 60), DEGREES)
    codes = burn(layer([shapely.Point(10.01, 59.99)], [1], DEGREES, width=222.64), grid)
    rows, cols = np.nonzero(codes == 1)
    assert np.ptp(rows) + 1 == pytest.approx(20, abs=1)
    assert np.ptp(cols) + 1 == pytest.approx(40, abs=1)
    mercator = pyproj.CRS("EPSG:3857")
    x, y = pyproj.Transformer.from_crs(4326, mercator, always_xy=True).transform(10, 60)
    grid = GeoBox(100, 100, (10, 0, x - 500, 0, -10, y + 500), mercator.to_wkt())
    codes = burn(layer([shapely.Point(x, y)], [1], mercator.to_wkt(), width=200.0), grid)
    assert np.ptp(np.nonzero(codes == 1)[1]) + 1 == pytest.approx(40, abs=1)
    with fails("crs-missing", DataError):
        burn(layer([shapely.Point(1, 1)], [1], None, width=2.0), GeoBox(4, 4))


def test_all_touched():
    shape = box(3.6, 3.6, 4, 4)
    assert counts(burn(layer([shape], [1]))) == {1: 16}
    assert counts(burn(layer([shape], [1], all_touched=True))) == {1: 25}


@pytest.mark.parametrize(
    ("values", "legend", "expected"),
    [
        (["a", "b"], None, (1, 2, 0)),
        ([3, 7], None, (3, 7, 0)),
        ([0, 2], None, (0, 2, 1)),
        ([0, 1], None, (0, 1, 2)),
        (["a", "Other"], None, (2, 1, 1)),
    ],
)
def test_the_background_has_a_free_code(values, legend, expected):
    features = layer([box(0, 0, 5, 5), box(0, 5, 5, 5)], values, background="other")
    codes = burn(features, legend=legend)
    assert (codes[0, 0], codes[0, 5], codes[10, 10]) == expected
    names = VectorLabels(features, GRID).names
    assert names[expected[2]].casefold() == "other"


def test_the_background_is_a_class_of_the_file_of_classes():
    legend = Legend(
        (LandClass("a", (4,), 4, "#000000"), LandClass("ground", (9,), 9, "#FFFFFF")),
        origin="classes.yaml",
    )
    codes = burn(layer([box(0, 0, 5, 5)], ["a"], background="ground"), legend=legend)
    assert counts(codes) == {4: 25, 9: 575}
    with fails("unknown-class", DataError):
        burn(layer([box(0, 0, 5, 5)], ["a"], background="else"), legend=legend)


def test_the_background_lies_within_the_extent():
    extent = layer([box(0, 0, 10, 10)], [1])
    codes = burn(layer([box(0, 0, 5, 5)], [3], background="other", extent=extent))
    assert counts(codes) == {0: 75, 3: 25}


def test_an_image_without_a_feature_is_all_background():
    empty = layer([], [], background="other")
    (full, none) = align_classes([layer([box(0, 0, 5, 5)], [3], background="other"), empty])
    assert counts(burn(none)) == {0: 600} and counts(burn(full)) == {0: 575, 3: 25}


def test_codes_meet_a_file_of_classes_by_number_or_name():
    by_number = legend_of_codes([1, 2, 10], "code", {1: "x", 2: "y", 10: "z"})
    shapes = [box(0, 0, 1, 1), box(0, 1, 1, 1)]
    assert counts(burn(layer(shapes, [1, 10]), legend=by_number)) == {1: 1, 10: 1}
    assert counts(burn(layer(shapes, ["X", "10"]), legend=by_number)) == {1: 1, 10: 1}
    by_name = legend_of_codes([5, 6], "code", {5: "111", 6: "112"})
    assert counts(burn(layer(shapes, [111, 112]), legend=by_name)) == {5: 1, 6: 1}


def test_a_class_outside_the_image_need_not_be_in_the_file_of_classes():
    legend = Legend((LandClass("a", (4,), 4, "#000000"),), origin="classes.yaml")
    shapes, values = [box(0, 0, 5, 5), box(900, 900, 5, 5)], ["a", "b"]
    assert counts(burn(layer(shapes, values), legend=legend)) == {4: 25}
    with fails("unknown-class", DataError):
        burn(layer([shapes[0], box(5, 5, 5, 5)], values), legend=legend)


def test_labels_on_both_sides_of_180_degrees():
    grid = GeoBox(10, 40, (0.1, 0, 178, 0, -0.1, 11), DEGREES)
    parts = [shapely.box(179, 10, 180, 11), shapely.box(-180, 10, -179, 11)]
    across = shapely.Polygon([(179, 10), (-179, 10), (-179, 11), (179, 11)])
    for geometries in (parts, [shapely.MultiPolygon(parts)], [across]):
        codes = burn(layer(geometries, [1] * len(geometries), DEGREES), grid)
        assert (codes[:, 10:30] == 1).all() and (codes == 1).sum() == 200
    west = GeoBox(10, 20, (0.1, 0, -180, 0, -0.1, 11), DEGREES)
    assert (burn(layer([across], [1], DEGREES), west) == 1).sum() == 100


# What is lost.


def test_polygons_that_cover_no_center_are_counted():
    lost = tally(
        layer(
            [box(0.6, 0.6, 0.8, 0.8), box(2.2, 2.2, 0.2, 0.2), box(5, 5, 2, 2), box(-3, 0, 1, 1)],
            ["a", "a", "b", "c"],
        )
    )
    assert (lost.small.tolist(), lost.visible.tolist()) == ([0, 1], [2])
    assert not len(lost.hidden) and not lost.contested


def test_a_narrow_road_between_the_centers_is_small():
    road = line((5.9, 1), (5.9, 25)).buffer(2, cap_style=2)
    assert tally(
        layer([box(0, 0, 20, 15), box(0, 15, 20, 15), road], [1, 2, 3])
    ).small.tolist() == [2]


def test_features_hidden_by_later_ones_are_counted():
    shapes = [box(2, 2, 3, 3), box(3, 3, 5, 5), box(0, 0, 20, 30), point(1.5, 1.5)]
    lost = tally(layer(shapes, ["a", "b", "b", "c"]))
    assert (lost.hidden.tolist(), lost.visible.tolist()) == ([0], [2, 3])
    assert lost.contested == 9 + 1
    assert tally(layer(shapes[::-1], ["c", "b", "b", "a"])).hidden.tolist() == [0]


def test_points_of_two_classes_in_a_pixel_are_counted():
    shapes = [point(1.4, 1.4), point(1.6, 1.6), point(4.5, 4.5), point(4.6, 4.6)]
    lost = tally(layer(shapes, [1, 2, 3, 3]))
    assert (lost.shared.tolist(), lost.visible.tolist()) == ([0], [1, 3])


def test_neighbors_without_overlap_lose_nothing():
    shapes = [box(5 * r, 5 * c, 5, 5) for r in range(4) for c in range(6)]
    lost = tally(layer(shapes, list(range(24))))
    assert lost.visible.tolist() == [*range(24)] and not lost.contested
    assert not len(lost.hidden) and not len(lost.small)


def test_the_count_does_not_depend_on_windows():
    rng = np.random.default_rng(2)
    shapes = [
        box(r, c, h, w) for r, c, h, w in rng.uniform([-2, -2, 0.1, 0.1], [20, 30, 4, 4], (120, 4))
    ]
    labels = VectorLabels(layer(shapes, [i % 4 for i in range(120)]), GRID)
    for row in (0, 7, 14):
        for col in (0, 11, 22):
            window = type(GRID.window)(row, col, 7, 11).within(GRID.window)
            labels.read(window, "code")
            labels.count(window)
    parts, whole = labels.tally, tally(layer(shapes, [i % 4 for i in range(120)]))
    for name in ("visible", "hidden", "small", "shared"):
        assert getattr(parts, name).tolist() == getattr(whole, name).tolist(), name
    assert parts.contested == whole.contested


# Images that labels cannot be read onto.


def test_an_image_of_control_points_is_to_be_warped(tmp_path):
    points = [GroundControlPoint(r, c, 10 + c, 50 - r) for r in (0, 9) for c in (0, 9)]
    path = write_raster(tmp_path / "i.tif", noise(1, 10, 10), "EPSG:4326", gcps=points)
    features = layer([shapely.box(10, 45, 15, 50)], [1], DEGREES)
    with fails("control-points", DataError, path) as caught:
        VectorLabels(features, GeoBox(10, 10), image=path)
    assert "rio warp" in str(caught.value.fix)
