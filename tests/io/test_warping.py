"""Images placed by control points or RPCs: refused where a place counts, or warped as read."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.warp import reproject

import swath
from swath.errors import DataError
from swath.geo.tiling import Window
from swath.io.raster import Raster
from tests.errors import fails
from tests.make import NORTH_UP, UTM, looked_up, noise, write_layer, write_model, write_raster

POINTS = [
    GroundControlPoint(r, c, 10 + c / 1e3 + r / 2e3, 50 - r / 1e3 + c / 2e3)
    for r in range(0, 61, 20)
    for c in range(0, 81, 20)
]
SENSOR = RPC(
    height_off=500,
    height_scale=500,
    lat_off=50,
    lat_scale=0.1,
    long_off=10,
    long_scale=0.1,
    line_off=30,
    line_scale=30,
    samp_off=40,
    samp_scale=40,
    line_num_coeff=[0, 0.5, -1, 0.5] + [0] * 16,
    line_den_coeff=[1] + [0] * 19,
    samp_num_coeff=[0, 1, 0.5, 0.2] + [0] * 16,
    samp_den_coeff=[1] + [0] * 19,
    err_bias=None,
    err_rand=None,
)
KINDS = {
    "points": {"gcps": POINTS, "crs": "EPSG:4326"},
    "RPCs": {"rpcs": SENSOR},
}


def write_tilted(path: Path, dtype: str = "uint8", bands: int = 3, **given: object) -> Path:
    array = noise(bands, 60, 80, dtype=dtype)
    return write_raster(path, array, **(given or KINDS["points"]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_the_same_bytes_for_any_tiling(tmp_path: Path, kind: str, dtype: str, bands: int) -> None:
    path = write_tilted(tmp_path / "a.tif", dtype, bands, **KINDS[kind])
    with Raster([path], warp=True) as raster:
        assert raster.grid.crs is not None and len(raster.bands) == bands
        assert raster.grid.transform[1] == raster.grid.transform[3] == 0 > raster.grid.transform[4]
        values, valid = raster.read(raster.grid.window)
        assert 0.2 < valid.mean() < 0.8
    for side in (7, 33):
        with Raster([path], warp=True) as raster:
            for row in range(0, raster.grid.height, side):
                for col in range(0, raster.grid.width, side):
                    window = Window(row, col, side, side).within(raster.grid.window)
                    part = raster.read(window)
                    np.testing.assert_array_equal(part.values, values[:, *window.slices])
                    np.testing.assert_array_equal(part.valid, valid[window.slices])


def test_pixels_are_those_of_gdals_warper(tmp_path: Path) -> None:
    path = write_tilted(tmp_path / "a.tif")
    with Raster([path], warp=True) as raster, rasterio.open(path) as source:
        expected = np.zeros((3, raster.grid.height, raster.grid.width), np.uint8)
        reproject(
            rasterio.band(source, [1, 2, 3]),
            expected,
            gcps=POINTS,
            src_crs="EPSG:4326",
            dst_crs="EPSG:4326",
            dst_transform=raster.grid.affine,
            tolerance=0,
        )
        values, valid = raster.read(raster.grid.window)
    np.testing.assert_array_equal(np.where(valid, values, 0), expected)


def test_names_scales_and_nodata_stay(tmp_path: Path) -> None:
    array = noise(2, 60, 80, low=4, high=6, dtype="uint16")
    names = {"descriptions": ("nir", "red")}
    path = write_raster(tmp_path / "a.tif", array, "EPSG:4326", nodata=5, gcps=POINTS, **names)
    with rasterio.open(path, "r+") as out:
        out.scales, out.offsets = (0.1, 0.1), (1, 1)
    with Raster([path], warp=True, scaled=True) as raster:
        values, valid = raster.read(raster.grid.window)
        assert raster.bands == ("nir", "red") and raster.nodata == (5, 5)
    assert valid.any() and values[:, valid] == pytest.approx(1.4)


def test_an_alpha_band_and_a_mask_count_too(tmp_path: Path) -> None:
    clear = np.zeros((60, 80), np.uint8)
    clear[:, :40] = 255
    array = np.concatenate([noise(3, 60, 80), clear[None]])
    alpha = write_raster(tmp_path / "a.tif", array, **KINDS["points"], alpha="YES")
    mask = write_raster(tmp_path / "b.tif", array[:3], **KINDS["points"], mask=clear > 0)
    plain = write_tilted(tmp_path / "c.tif")
    found = []
    for path in (alpha, mask, plain):
        with Raster([path], warp=True) as raster:
            assert len(raster.bands) == 3
            found.append(raster.read(raster.grid.window).valid)
    np.testing.assert_array_equal(found[0], found[1])
    assert found[0].mean() == pytest.approx(found[2].mean() / 2, rel=0.02)


def test_what_has_a_place_is_not_warped(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", noise(1, 8, 8), UTM, NORTH_UP)
    with Raster([path], warp=True) as one, Raster([path]) as other:
        assert one.grid == other.grid
    photo = write_raster(tmp_path / "b.tif", noise(1, 8, 8))
    with fails("no-control-points", DataError, photo):
        Raster([photo], warp=True)


@pytest.mark.parametrize("kind", KINDS)
def test_predict_asks_for_warp_and_does_it(tmp_path: Path, kind: str) -> None:
    model = write_model(tmp_path / "m.swath")
    image = write_tilted(tmp_path / "a.tif", **KINDS[kind])
    area = shapely.box(9.9, 49.9, 10.05, 50.1)
    regions = write_layer(tmp_path / "r.gpkg", [area], {"class": ["x"]}, "EPSG:4326")
    with fails("control-points", DataError, image) as caught:
        swath.predict(model, image, tmp_path / "map.tif", regions=regions)
    assert "--warp" in caught.value.fix
    swath.predict(model, image, tmp_path / "map.tif", regions=regions, warp=True)
    with Raster([image], warp=True) as raster, rasterio.open(tmp_path / "map.tif") as made:
        values, valid = raster.read(raster.grid.window)
        found = made.read(1)
        assert tuple(made.transform)[:6] == raster.grid.transform and not made.gcps[0]
    expected = looked_up(values, valid)
    assert ((found == expected) | (found == 0)).all()
    assert 0.05 < (found != 0).mean() < valid.mean()


def test_prepare_asks_for_warp_and_does_it(tmp_path: Path) -> None:
    write_tilted(tmp_path / "s" / "a.tif")
    halves = [shapely.box(9.9, 49.9, 10.05, 50.1), shapely.box(10.05, 49.9, 10.2, 50.1)]
    write_layer(tmp_path / "s" / "f.gpkg", halves, {"class": ["a", "b"]}, "EPSG:4326")
    options = {"images": "a.tif", "labels": "f.gpkg", "test": "none", "val": "none"}
    with fails("control-points", DataError, tmp_path / "s" / "a.tif") as caught:
        swath.prepare(tmp_path / "s", tmp_path / "d", **options)
    assert "--warp" in caught.value.fix and "rio warp" in caught.value.fix
    swath.prepare(tmp_path / "s", tmp_path / "d", **options, warp=True)
    assert (tmp_path / "d" / "dataset.json").is_file()
