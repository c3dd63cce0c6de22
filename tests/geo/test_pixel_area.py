import numpy as np
import pyproj
import pytest

from swath.errors import DataError
from swath.geo.geobox import GeoBox
from swath.geo.pixel_area import PixelAreas
from swath.geo.tiling import Window
from tests.errors import fails


def grid(crs, transform, height=40, width=30):
    return GeoBox(height, width, transform, pyproj.CRS(crs).to_wkt())


def test_the_whole_globe_in_degrees_is_the_surface_of_the_earth():
    world = grid(4326, (1, 0, -180, 0, -1, 90), 180, 360)
    assert PixelAreas(world).of(world.window).sum() == pytest.approx(510_065_621_724_000, rel=1e-9)


@pytest.mark.parametrize("lat", [0.0, 47.0, -80.0])
def test_a_cell_in_degrees_is_what_geodesy_says(lat):
    cells = grid(4326, (0.01, 0, 10, 0, -0.01, lat), 1, 1)
    edge = np.linspace(0, 0.01, 50)
    lon = np.concatenate([10 + edge, np.full(50, 10.01), 10.01 - edge, np.full(50, 10.0)])
    lats = np.concatenate(
        [np.full(50, lat), lat - edge, np.full(50, lat - 0.01), lat - 0.01 + edge]
    )
    area, _ = pyproj.Geod(ellps="WGS84").polygon_area_perimeter(lon, lats)
    assert PixelAreas(cells).of(cells.window)[0, 0] == pytest.approx(abs(area), rel=1e-6)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        (32632, (100, 0, 500_000, 0, -100, 5_600_000)),
        (3857, (100, 0, 1_000_000, 0, -100, 8_000_000)),
        (6933, (100, 0, 1_000_000, 0, -100, 5_000_000)),
        (2264, (300, 0, 2_000_000, 0, -300, 700_000)),  # feet
        (32632, (70, 70, 300_000, 70, -70, 5_600_000)),  # turned by 45 degrees
    ],
)
def test_a_projected_raster_covers_the_ground_of_its_outline(crs, transform):
    raster = grid(crs, transform)
    steps = np.linspace(0, 1, 200)
    corners = [(0, 0), (30, 0), (30, 40), (0, 40), (0, 0)]
    sides = zip(corners, corners[1:], strict=False)
    line = [
        raster.point(a + t * (c - a), b + t * (d - b)) for (a, b), (c, d) in sides for t in steps
    ]
    to = pyproj.Transformer.from_crs(crs, pyproj.CRS(crs).geodetic_crs, always_xy=True)
    lon, lat = to.transform(*np.array(line).T)
    area, _ = pyproj.CRS(crs).get_geod().polygon_area_perimeter(lon, lat)
    assert PixelAreas(raster).of(raster.window).sum() == pytest.approx(abs(area), rel=1e-5)


def test_windows_are_parts_of_the_whole():
    for raster in (grid(3857, (500, 0, 1e6, 0, -500, 8e6)), grid(4326, (0.1, 0, 5, 0, -0.1, 60))):
        areas = PixelAreas(raster)
        assert areas.of(Window(3, 4, 5, 6)) == pytest.approx(areas.of(raster.window)[3:8, 4:10])


def test_without_a_crs_the_side_of_a_pixel_must_be_told():
    with fails("crs-missing", DataError) as caught:
        PixelAreas(GeoBox(3, 3))
    assert "--pixel" in caught.value.fix
    assert PixelAreas(GeoBox(3, 3), 30).of(GeoBox(3, 3).window).tolist() == [[900.0] * 3] * 3


def test_a_local_crs_is_refused():
    with fails("crs-not-on-earth", DataError):
        PixelAreas(GeoBox(3, 3, crs='LOCAL_CS["x",UNIT["metre",1]]'))


@pytest.mark.parametrize("crs", [3031, 3413, 6931])
@pytest.mark.parametrize("shift", [0, 500])
def test_a_pole_at_a_corner_or_center_of_a_pixel_is_a_place_like_any_other(crs, shift):
    raster = grid(crs, (1000, 0, -15_000 + shift, 0, -1000, 20_000 - shift))
    areas = PixelAreas(raster).of(raster.window)
    assert np.isfinite(areas).all() and (areas > 0).all()
    assert np.ptp(areas) < 1e-4 * areas.mean()
    away = grid(crs, (1000, 0, 40_000, 0, -1000, 20_000))
    assert areas.mean() == pytest.approx(PixelAreas(away).of(away.window).mean(), rel=1e-3)


def test_a_global_grid_whose_rows_have_a_pole_in_their_middle():
    world = grid(4326, (1, 0, 0, 0, -1, 90.5), 181, 360)
    areas = PixelAreas(world).of(world.window)
    assert (areas > 0).all() and areas.sum() == pytest.approx(510_065_621_724_000, rel=1e-9)
    plane = grid(4087, (222_638.98, 0, -20_037_508, 0, -222_638.98, 10_018_754), 90, 180)
    areas = PixelAreas(plane).of(plane.window)
    assert (areas > 0).all() and areas.sum() == pytest.approx(510_065_621_724_000, rel=1e-3)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        (4326, (0.001, 0.001, 10, 0.001, -0.001, 47)),  # turned by 45 degrees
        (32660, (100, 0, 832_000, 0, -100, 1_000_000)),  # across 180 degrees
        (3857, (100, 0, 20_036_000, 0, -100, 8_000_000)),
        (4326, (0.001, 0, 359.99, 0, -0.001, 47)),
    ],
)
def test_turned_grids_and_180_degrees(crs, transform):
    test_a_projected_raster_covers_the_ground_of_its_outline(crs, transform)


def test_a_drawing_may_tell_the_side_of_its_pixels():
    raster = GeoBox(3, 3, crs='LOCAL_CS["x",UNIT["metre",1]]')
    assert PixelAreas(raster, 30).of(raster.window).tolist() == [[900.0] * 3] * 3
    with fails("crs-not-on-earth", DataError, "map.tif"):
        PixelAreas(raster, file="map.tif")


def test_a_datum_in_grads():
    paris = grid(27572, (100, 0, 600_000, 0, -100, 2_400_000))
    assert PixelAreas(paris).of(paris.window) == pytest.approx(10_000, rel=2e-3)
