"""Layers: kinds, colors, and the pixels of tiles, held against GDAL's own warper."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_bounds
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform

from swath.errors import DataError
from swath.geo.geobox import GeoBox
from swath.io.raster import gdal_env
from swath.legend import LandClass, Legend
from swath.server.layer import Hint, RasterLayer, driver_of
from swath.server.tile_images import colored, difference, stretched
from swath.server.viewer_api import class_shares, value_at
from swath.server.web_mercator import HALF_EXTENT, MercatorTile, to_lonlat
from tests.errors import fails
from tests.make import NORTH_UP, UTM, noise, write_jpeg, write_png, write_raster

TABLE = {1: (0, 114, 178), 2: (230, 159, 0), 7: (0, 158, 115)}


def write_map(path, codes, crs=UTM, transform=NORTH_UP, names=("water", "town", "wood"), **profile):
    """Write a map as `predict` does: codes 1, 2 and 7, nodata 0, a color table and names."""
    profile = {"nodata": 0, "colormap": TABLE, "descriptions": ["class"]} | profile
    path = write_raster(path, codes, crs, transform, **profile)
    with gdal_env(), rasterio.open(path, "r+") as dataset:
        dataset.update_tags(
            1, **{f"class_{code}": name for code, name in zip(TABLE, names, strict=True)}
        )
    return path


def codes_of(height, width, seed=0):
    return (
        np.array([0, 1, 2, 7], np.uint8)[noise(height // 4, width // 4, low=0, high=4, seed=seed)]
        .repeat(4, 0)
        .repeat(4, 1)
    )


def tiles_of(layer, zoom):
    west, south, east, north = layer.placement.bounds
    side = 2 * HALF_EXTENT / 2**zoom
    columns = range(int((west + HALF_EXTENT) // side), int((east + HALF_EXTENT) // side) + 1)
    rows = range(int((HALF_EXTENT - north) // side), int((HALF_EXTENT - south) // side) + 1)
    return [MercatorTile(zoom, x, y) for x in columns for y in rows]


def png(content):
    with gdal_env(), rasterio.MemoryFile(content) as memory, memory.open() as dataset:
        table = np.zeros((256, 4), np.uint8)
        for value, color in dataset.colormap(1).items():
            table[value] = color
        return table[dataset.read(1)]


def test_kinds_are_found_from_what_swath_writes(tmp_path):
    codes = codes_of(40, 40)
    percent = noise(40, 40, low=0, high=101)
    files = {
        "map": write_map(tmp_path / "m.tif", codes),
        "confidence": write_raster(
            tmp_path / "a.tif", percent, nodata=255, descriptions=["confidence"]
        ),
        "probabilities": write_raster(
            tmp_path / "m_probabilities.tif", noise(3, 40, 40, high=100), nodata=255
        ),
        "image": write_jpeg(tmp_path / "p.jpg", noise(3, 40, 40)),
    }
    assert {kind: RasterLayer(path).kind for kind, path in files.items()} == {
        kind: kind for kind in files
    }
    legend = RasterLayer(files["map"]).legend
    assert [(c.map_code, c.name, c.color) for c in legend.trained] == [
        (1, "water", "#0072B2"),
        (2, "town", "#E69F00"),
        (7, "wood", "#009E73"),
    ]


@pytest.mark.parametrize("transform", [NORTH_UP, rasterio.Affine(8, 6, 500_000, 6, -8, 5_600_000)])
def test_tiles_hold_what_gdals_warper_holds(tmp_path, transform):
    codes = codes_of(400, 360)
    layer = RasterLayer(
        write_map(
            tmp_path / "m.tif",
            codes,
            transform=transform,
            tiled=True,
            blockxsize=128,
            blockysize=128,
        )
    )
    seen = wrong = 0
    with gdal_env(), rasterio.open(layer.path) as dataset:
        for tile in tiles_of(layer, layer.placement.max_zoom + 1):
            ours = layer.tile(tile)
            place = from_bounds(*tile.bounds, 256, 256)
            with WarpedVRT(
                dataset, crs="EPSG:3857", transform=place, width=256, height=256
            ) as warped:
                theirs = warped.read(1)
            wrong += int((np.where(ours.valid, ours.values[0], 0) != theirs).sum())
            seen += int((theirs > 0).sum())
    assert seen > 300_000 and wrong / seen < 0.005


def test_a_tile_from_afar_is_a_picture_and_reads_little(tmp_path):
    layer = RasterLayer(
        write_raster(tmp_path / "i.tif", np.full((3, 2000, 2000), 90, np.uint8), UTM, NORTH_UP)
    )
    read = []
    plain = layer._fetch
    layer._fetch = lambda window, shape, nearest: (
        read.append(shape) or plain(window, shape, nearest)
    )
    values, valid = layer.tile(tiles_of(layer, layer.placement.max_zoom - 3)[0])
    assert (values[:, valid] == 90).all() and valid.any() and max(read[0]) < 300


def test_a_photograph_is_drawn_pixel_by_pixel(tmp_path):
    pixels = noise(3, 300, 280)
    layer = RasterLayer(write_png(tmp_path / "p.png", pixels))
    values, valid = layer.tile(MercatorTile(18, 2**17, 2**17))
    assert valid.all()
    np.testing.assert_array_equal(values, pixels[:, :256, :256])
    values, valid = layer.tile(MercatorTile(18, 2**17 + 1, 2**17 + 1))
    assert valid.sum() == 44 * 24
    np.testing.assert_array_equal(values[:, :44, :24], pixels[:, 256:, 256:])


def test_beside_the_raster_nothing_is_read(tmp_path):
    layer = RasterLayer(write_map(tmp_path / "m.tif", codes_of(40, 40)))
    layer._fetch = None
    assert not layer.tile(MercatorTile(3, 0, 0)).valid.any()


def test_a_reference_is_read_as_the_codes_of_the_map(tmp_path):
    legend = Legend(
        (
            LandClass("dry", (1, 4), 1, "#112233"),
            LandClass("wet", (9,), 9, "#445566"),
            LandClass("?", (5,), 5, "#000001", True),
        )
    )
    labels = np.array([[1, 4, 9, 5, 77]], np.uint8)
    layer = RasterLayer(write_png(tmp_path / "t.png", labels), Hint("reference", legend))
    values, valid = layer.read(layer.grid.window)
    assert valid.tolist() == [[True, True, True, False, False]] and values[0][valid].tolist() == [
        1,
        1,
        9,
    ]
    painted = Legend(
        (LandClass("dry", (0x112233,), 1, "#112233"), LandClass("wet", (0x445566,), 2, "#445566")),
        "color",
    )
    colors = np.array([[[0x11, 0x44, 0]], [[0x22, 0x55, 0]], [[0x33, 0x66, 0]]], np.uint8)
    layer = RasterLayer(write_png(tmp_path / "c.png", colors), Hint("reference", painted))
    values, valid = layer.read(layer.grid.window)
    assert values[0][valid].tolist() == [1, 2] and valid.tolist() == [[True, True, False]]


def test_a_map_of_sixteen_bits_takes_its_colors_from_its_style(tmp_path):
    from swath.io.qgis import write_style

    path = write_raster(tmp_path / "m.tif", np.array([[300, 2]], np.uint16), nodata=0)
    with gdal_env(), rasterio.open(path, "r+") as dataset:
        dataset.update_tags(1, class_300="town", class_2="sea")
    write_style(
        path,
        Legend((LandClass("sea", (2,), 2, "#123456"), LandClass("town", (300,), 300, "#654321"))),
    )
    layer = RasterLayer(path)
    assert layer.colors == {2: (0x12, 0x34, 0x56, 255), 300: (0x65, 0x43, 0x21, 255)}
    drawn = png(
        colored(np.array([[300, 2, 5]], np.uint16), np.array([[True, True, True]]), layer.colors)
    )
    assert drawn.tolist() == [[[0x65, 0x43, 0x21, 255], [0x12, 0x34, 0x56, 255], [0, 0, 0, 0]]]


def test_a_map_without_names_shows_its_codes_and_an_image_is_no_map(tmp_path):
    codes = np.array([[3, 5, 0]], np.uint8)
    layer = RasterLayer(write_raster(tmp_path / "m.tif", codes, nodata=0), Hint("map"))
    assert [(c.map_code, c.name) for c in layer.legend.trained] == [(3, "3"), (5, "5")]
    path = write_raster(tmp_path / "i.tif", noise(3, 8, 8))
    with fails("not-a-class-map", DataError, path):
        RasterLayer(path, Hint("map")).legend  # noqa: B018


@pytest.mark.parametrize(
    "content", [b"<VRTDataset><SRS/></VRTDataset>", b"<GDAL_WMS></GDAL_WMS>", b"", b"GIF89a"]
)
def test_no_format_is_opened_that_could_reach_further(tmp_path, content):
    (tmp_path / "x.tif").write_bytes(content)
    with fails("unsupported-format", DataError, tmp_path / "x.tif"):
        RasterLayer(tmp_path / "x.tif")


def test_each_format_has_its_driver(tmp_path):
    assert driver_of(write_raster(tmp_path / "a.tif", noise(8, 8))) == "GTiff"
    assert driver_of(write_raster(tmp_path / "b.tif", noise(8, 8), BIGTIFF="YES")) == "GTiff"
    assert driver_of(write_png(tmp_path / "a.png", noise(8, 8))) == "PNG"
    assert driver_of(write_jpeg(tmp_path / "a.jpg", noise(8, 8))) == "JPEG"


def test_a_huge_file_without_overviews_is_not_read_from_afar(tmp_path):
    path = write_raster(tmp_path / "i.tif", np.zeros((8, 8), np.uint8), tiled=True)
    with (
        gdal_env(),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=40_000,
            height=40_000,
            count=1,
            dtype="uint8",
            tiled=True,
            SPARSE_OK=True,
        ),
    ):
        pass
    layer = RasterLayer(path)
    assert 0 < layer.min_zoom < layer.placement.max_zoom
    with fails("no-overviews", DataError, path):
        layer.tile(MercatorTile(0, 0, 0))
    assert layer.tile(MercatorTile(18, 2**17, 2**17)).valid.all()


def test_stretching_is_the_same_for_all_tiles(tmp_path):
    pixels = noise(2, 64, 64, low=0, high=4000, dtype="uint16")
    layer = RasterLayer(write_raster(tmp_path / "i.tif", pixels))
    low, high = layer.stretch[0]
    assert 20 < low < 200 and 3800 < high < 3990
    drawn = stretched(np.array([[[0, 2000, 4000]]], np.uint16), [(0.0, 4000.0)])
    assert drawn.tolist() == [[[0, 128, 255]]]
    assert stretched(np.array([[[np.nan, np.inf]]]), [(0.0, 1.0)]).dtype == np.uint8


def test_differences_are_drawn_where_both_are_known(tmp_path):
    one = RasterLayer(write_map(tmp_path / "a.tif", np.array([[1, 1, 0, 7]], np.uint8), None, None))
    other = RasterLayer(
        write_map(tmp_path / "b.tif", np.array([[1, 2, 2, 0]], np.uint8), None, None)
    )
    drawn = png(difference(one.read(one.grid.window), other.read(other.grid.window)))[0]
    assert (
        drawn[0, 3] == 70 and drawn[1].tolist() == [214, 40, 57, 255] and (drawn[2:, 3] == 0).all()
    )


def test_a_value_is_the_one_that_rasterio_reads(tmp_path):
    codes = codes_of(200, 200)
    layer = RasterLayer(write_map(tmp_path / "m.tif", codes))
    with rasterio.open(layer.path) as dataset:
        for x, y in ((500_005.0, 5_599_995.0), (501_234.0, 5_598_766.0), (501_999.0, 5_598_001.0)):
            (lon,), (lat,) = transform(UTM, "EPSG:4326", [x], [y])
            found = value_at(layer, lon, lat)
            row, col = dataset.index(x, y)
            assert (found["row"], found["col"]) == (row, col)
            expected = int(next(dataset.sample([(x, y)]))[0])
            assert found["code"] == (expected or None)
            assert found["x"] == pytest.approx(x, abs=0.01) and found["y"] == pytest.approx(
                y, abs=0.01
            )
    assert value_at(layer, 0.0, 0.0) == {"inside": False}


def test_shares_count_ground_and_not_pixels_of_the_web_map(tmp_path):
    """Codes 1 north of 60 degrees and 2 south of it: the north has 13.4% of a hemisphere's area."""
    codes = np.full((900, 1800), 2, np.uint8)
    codes[:150] = 1
    layer = RasterLayer(
        write_map(
            tmp_path / "m.tif", codes, "EPSG:4326", rasterio.Affine(0.2, 0, -180, 0, -0.1, 90)
        )
    )
    found = class_shares(layer, (-180, 0, 180, 85))["shares"]
    sine = np.sin(np.radians([60, 75, 85]))
    assert found["1"] == pytest.approx((sine[2] - sine[1]) / sine[2], abs=0.01)
    assert found["1"] + found["2"] == pytest.approx(1)


def test_shares_of_another_map_are_compared(tmp_path):
    one = RasterLayer(write_map(tmp_path / "a.tif", np.full((64, 64), 1, np.uint8), None, None))
    half = np.full((64, 64), 1, np.uint8)
    half[:16] = 2
    other = RasterLayer(write_map(tmp_path / "b.tif", half, None, None))
    box = (*to_lonlat(*one.placement.bounds[:2]), *to_lonlat(*one.placement.bounds[2:]))
    found = class_shares(one, box, other)
    assert found["shares"] == {"1": pytest.approx(1)} and found["differing"] == pytest.approx(
        0.25, abs=0.01
    )


def test_what_differs_is_counted_on_the_files_own_pixels(tmp_path):
    """One raster has overviews and the other none, so that decimated reads differ."""
    codes = noise(1024, 1024, low=1, high=3)
    path = write_map(tmp_path / "a.tif", codes, None, None, tiled=True)
    with gdal_env(), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([3], rasterio.enums.Resampling.nearest)
    one, other = RasterLayer(path), RasterLayer(write_map(tmp_path / "b.tif", codes, None, None))
    box = (*to_lonlat(*one.placement.bounds[:2]), *to_lonlat(*one.placement.bounds[2:]))
    assert class_shares(one, box, other)["differing"] == 0
    pictures = (layer.tile(MercatorTile(16, 2**15, 2**15)) for layer in (one, other))
    assert np.not_equal(*(p.values for p in pictures)).any()
    assert (
        png(
            difference(
                *(layer.tile(MercatorTile(16, 2**15, 2**15), exact=2**20) for layer in (one, other))
            )
        )[..., 3]
        == 70
    ).all()


def test_a_layer_borrows_a_grid(tmp_path):
    grid = GeoBox(20, 30, tuple(NORTH_UP)[:6], UTM)
    layer = RasterLayer(write_jpeg(tmp_path / "p.jpg", noise(3, 20, 30)), Hint(grid=grid))
    assert layer.grid == grid and not layer.placement.in_pixels
