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
