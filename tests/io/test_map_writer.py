import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rio_cogeo.cogeo import cog_validate

from swath.errors import JobError
from swath.geo.geobox import GeoBox, geobox_of
from swath.geo.tiling import Window
from swath.io.atomic import atomic_file
from swath.io.map_writer import MapWriter, class_map
from swath.io.raster import Raster, open_raster
from swath.legend import LandClass, Legend
from tests.make import NORTH_UP, UTM, write_raster

WKT = rasterio.CRS.from_string(UTM).to_wkt()
PLACED = GeoBox(20, 30, tuple(NORTH_UP)[:6], WKT)


LEGEND = Legend(
    tuple(
        LandClass(n, (c,), c, k) for n, c, k in (("water", 3, "#0000FF"), ("Wälder", 7, "#00FF00"))
    )
)

ZERO_USED = Legend((LandClass("water", (0,), 0, "#0000FF"), LandClass("land", (3,), 3, "#00FF00")))


def write_map(path, grid, codes, legend=LEGEND, extra=None):
    writer = MapWriter(path, grid, class_map(legend), extra)
    try:
        half = grid.width // 2 // 16 * 16
        for window in (
            Window(0, 0, grid.height, half),
            Window(0, half, grid.height, grid.width - half),
        ):
            if window.size:
                writer.write(codes[window.slices], window)
        writer.finish()
    finally:
        writer.close()
    return path


def test_a_map_is_a_valid_cog_with_everything_on_it(tmp_path):
    grid = GeoBox(700, 1100, tuple(NORTH_UP)[:6], WKT)
    codes = np.random.default_rng(0).choice(np.array([0, 3, 7], "uint8"), (700, 1100))
    path = write_map(tmp_path / "map é.tif", grid, codes)
    valid, errors, warnings = cog_validate(path)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(path) as made:
        assert (made.read(1) == codes).all()
        assert (made.count, made.dtypes[0], made.nodata) == (1, "uint8", 0)
        assert (made.crs, made.transform) == (rasterio.CRS.from_string(UTM), NORTH_UP)
        assert made.block_shapes == [(512, 512)]
        assert made.compression.name == "deflate"
        assert made.overviews(1)
        assert set(np.unique(made.read(1, out_shape=(350, 550)))) <= {0, 3, 7}
        table = made.colormap(1)
        assert (table[3], table[7]) == ((0, 0, 255, 255), (0, 255, 0, 255))
        assert made.tags(1)["class_3"] == "water"
        assert made.tags(1)["class_7"] == "Wälder"
        assert made.descriptions == ("class",)
    assert [p.name for p in tmp_path.iterdir()] == ["map é.tif"]


def test_what_was_not_written_is_nodata(tmp_path):
    writer = MapWriter(tmp_path / "m.tif", PLACED, class_map(ZERO_USED))
    writer.write(np.full((5, 5), 3, "uint8"), Window(2, 3, 5, 5))
    writer.finish()
    writer.close()
    with rasterio.open(tmp_path / "m.tif") as made:
        expected = np.full((20, 30), 255)
        expected[2:7, 3:8] = 3
        assert (made.read(1) == expected).all()
        assert made.nodata == 255


def test_large_codes_make_a_16_bit_map(tmp_path):
    legend = Legend(
        (
            LandClass("a", (0,), 0, "#000000"),
            LandClass("b", (255,), 255, "#000000"),
            LandClass("c", (40_000,), 40_000, "#010101"),
        )
    )
    codes = np.random.default_rng(0).choice(
        np.array([0, 255, 40_000, 65_535], "uint16"), (600, 1100)
    )
    path = write_map(tmp_path / "m.tif", GeoBox(600, 1100, PLACED.transform, WKT), codes, legend)
    with rasterio.open(path) as made:
        assert (made.dtypes[0], made.nodata) == ("uint16", 65_535)
        assert (made.read(1) == codes).all()
        assert made.tags(1)["class_40000"] == "c"
        assert made.overviews(1)
        assert set(np.unique(made.read(1, out_shape=(300, 550)))) <= {0, 255, 40_000, 65_535}
    assert cog_validate(path)[0]


def test_a_photographs_map_has_no_georeferencing(tmp_path):
    path = write_map(tmp_path / "m.tif", GeoBox(20, 30), np.full((20, 30), 3, "uint8"))
    with open_raster(path) as made:
        assert geobox_of(made) == GeoBox(20, 30)


def test_a_transform_without_crs_is_kept(tmp_path):
    path = write_map(
        tmp_path / "m.tif", GeoBox(20, 30, PLACED.transform), np.full((20, 30), 3, "uint8")
    )
    with open_raster(path) as made:
        assert geobox_of(made) == GeoBox(20, 30, PLACED.transform)


def test_a_rotated_grid_is_kept(tmp_path):
    turned = GeoBox(20, 30, (6.0, 8.0, 500_000.0, 8.0, -6.0, 5_600_000.0), WKT)
    with open_raster(write_map(tmp_path / "m.tif", turned, np.full((20, 30), 7, "uint8"))) as made:
        assert geobox_of(made).same_as(turned)


def test_ground_control_points_are_kept(tmp_path):
    points = [
        GroundControlPoint(r, c, 9 + c / 1000, 50 - r / 1000)
        for r, c in ((0, 0), (0, 30), (20, 0), (20, 30))
    ]
    image = write_raster(
        tmp_path / "i.tif", np.ones((1, 20, 30), "uint8"), gcps=points, crs="EPSG:4326"
    )
    with Raster([image]) as raster:
        assert raster.grid.crs is None
        path = write_map(
            tmp_path / "m.tif",
            raster.grid,
            np.full((20, 30), 3, "uint8"),
            extra=raster.extra_georeferencing,
        )
    with rasterio.open(path) as made:
        found, crs = made.gcps
        assert [(p.row, p.col, p.x, p.y) for p in found] == [
            (p.row, p.col, p.x, p.y) for p in points
        ]
        assert crs == rasterio.CRS.from_epsg(4326)


def test_a_map_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "m.tif") as partial:
        writer = MapWriter(partial, PLACED, class_map(LEGEND))
        try:
            raise RuntimeError
        finally:
            writer.close()
    assert not list(tmp_path.iterdir())


def test_a_map_for_a_folder_that_is_not_there_is_a_matter_of_the_job(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JobError), atomic_file(tmp_path / "file" / "m.tif") as partial:
        MapWriter(partial, PLACED, class_map(LEGEND))
