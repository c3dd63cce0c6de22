"""Between tiles of web Mercator and the pixels of rasters."""

import math

import numpy as np
import pyproj
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.geo.geobox import GeoBox
from swath.server.web_mercator import (
    HALF_EXTENT,
    PIXEL_ZOOM,
    MercatorTile,
    Placement,
    to_lonlat,
    to_mercator,
)
from tests.make import NORTH_UP, UTM

WORLD = Placement(GeoBox(1800, 3600, (0.1, 0, -180, 0, -0.1, 90), "EPSG:4326"))
SCENE = Placement(GeoBox(400, 300, tuple(NORTH_UP)[:6], UTM))
TURNED = Placement(GeoBox(400, 300, (8.0, 6.0, 500_000, 6.0, -8.0, 5_600_000), UTM))
PHOTO = Placement(GeoBox(400, 300))


def test_tiles_partition_the_square():
    assert MercatorTile(0, 0, 0).bounds == pytest.approx(
        (-HALF_EXTENT, -HALF_EXTENT, HALF_EXTENT, HALF_EXTENT)
    )
    assert MercatorTile(1, 1, 0).bounds == pytest.approx((0, 0, HALF_EXTENT, HALF_EXTENT))
    assert MercatorTile(24, 2**24 - 1, 0).exists
    assert not any(
        MercatorTile(*t).exists
        for t in ((0, 1, 0), (3, -1, 0), (3, 0, 8), (25, 0, 0), (-1, 0, 0), (10**9, 0, 0))
    )


@given(st.floats(-179.9, 179.9), st.floats(-85, 85))
def test_degrees_come_back(lon, lat):
    assert to_lonlat(*to_mercator(lon, lat)) == pytest.approx((lon, lat), abs=1e-9)


@pytest.mark.parametrize("place", [WORLD, SCENE, TURNED, PHOTO])
@given(col=st.floats(1, 299), row=st.floats(100, 399))
def test_pixels_come_back(place, col, row):
    found = place.pixels(*place.mercator(np.array([col]), np.array([row])))
    assert (found[0][0], found[1][0]) == pytest.approx((col, row), abs=1e-3)


@pytest.mark.parametrize("place", [WORLD, SCENE, TURNED, PHOTO])
def test_interpolated_coordinates_are_the_exact_ones_to_an_eighth_of_a_pixel(place):
    west, south, east, north = place.bounds
    for zoom in (2, place.max_zoom - 2, place.max_zoom, place.max_zoom + 2):
        side = 2 * HALF_EXTENT / 2**zoom
        tile = MercatorTile(
            zoom,
            int(((west + east) / 2 + HALF_EXTENT) // side),
            int((HALF_EXTENT - (south + north) / 2) // side),
        )
        middles = (np.arange(256) + 0.5) / 256
        x = tile.bounds[0] + middles * side
        y = tile.bounds[3] - middles * side
        exact = place.pixels(*np.meshgrid(x, y))
        step = max(1.0, float(np.nanmax(np.abs(np.diff(exact[0], axis=1)))))
        for ours, true in zip(np.broadcast_arrays(*place.coordinates(tile)), exact, strict=True):
            np.testing.assert_allclose(ours, true, atol=0.13 * step)


def test_what_no_crs_reaches_is_not_inside():
    col, row = Placement(GeoBox(10, 10, tuple(NORTH_UP)[:6], "EPSG:3031")).coordinates(
        MercatorTile(0, 0, 0)
    )
    assert col.shape == row.shape == (256, 256) and np.isfinite(col).any()


def test_a_photograph_lies_pixel_on_pixel_with_tiles_of_its_zoom():
    assert PHOTO.in_pixels and PHOTO.max_zoom == PIXEL_ZOOM
    col, row = PHOTO.coordinates(MercatorTile(PIXEL_ZOOM, 2**17, 2**17))
    np.testing.assert_allclose(np.broadcast_arrays(col, row)[0][0], np.arange(256) + 0.5, atol=1e-6)
    np.testing.assert_allclose(row[:, 0], np.arange(256) + 0.5, atol=1e-6)
    assert PHOTO.bounds[0] == 0 and PHOTO.bounds[3] == 0


@pytest.mark.parametrize(
    "crs",
    [
        'LOCAL_CS["drawing",UNIT["metre",1]]',
        'GEOGCS["Mars",DATUM["M",SPHEROID["M",3396190,169]],'
        'PRIMEM["M",0],UNIT["degree",0.0174532925199433]]',
    ],
)
def test_a_crs_without_a_way_to_the_map_is_drawn_in_pixels(crs):
    place = Placement(GeoBox(400, 300, tuple(NORTH_UP)[:6], crs))
    assert place.in_pixels and place.bounds == PHOTO.bounds and place.max_zoom == PIXEL_ZOOM


def test_bounds_and_zoom_fit_the_ground():
    west, south, east, north = SCENE.bounds
    lon, lat = to_lonlat((west + east) / 2, (south + north) / 2)
    assert (lon, lat) == pytest.approx((9.02, 50.53), abs=0.03)
    meters = 2 * HALF_EXTENT / 256 / 2**SCENE.max_zoom * math.cos(math.radians(lat))
    assert 5 < meters <= 10
    assert WORLD.bounds == pytest.approx((-HALF_EXTENT, -HALF_EXTENT, HALF_EXTENT, HALF_EXTENT))


LINE = {
    "180..": Placement(GeoBox(40, 40, (0.01, 0, 179.8, 0, -0.01, 10), "EPSG:4326")),
    "..-180": Placement(GeoBox(40, 40, (0.01, 0, -180.2, 0, -0.01, 10), "EPSG:4326")),
    "UTM 60": Placement(GeoBox(40, 40, (1000, 0, 808_000, 0, -1000, 1_100_000), "EPSG:32660")),
    "UTM 1": Placement(GeoBox(40, 40, (1000, 0, 150_000, 0, -1000, 1_100_000), "EPSG:32601")),
    "Mercator": Placement(
        GeoBox(40, 40, (1000, 0, HALF_EXTENT - 20_000, 0, -1000, 1_100_000), "EPSG:3857")
    ),
}


@pytest.mark.parametrize("name", LINE)
def test_a_raster_across_180_degrees_is_narrow_and_shown_on_both_sides(name):
    place = LINE[name]
    west, _, east, _ = place.bounds
    assert east - west < 60_000 and (west < -HALF_EXTENT or east > HALF_EXTENT)
    for x in (HALF_EXTENT - 5000, 5000 - HALF_EXTENT, HALF_EXTENT + 5000, -HALF_EXTENT - 5000):
        col, row = place.pixels(np.array([x]), np.array([1_090_000.0]))
        assert 0 < col[0] < 40 and 0 < row[0] < 40
    (east_col, west_col), _ = place.pixels(
        np.array([HALF_EXTENT - 5000, 5000 - HALF_EXTENT]), np.full(2, 1_090_000.0)
    )
    assert 5 < west_col - east_col < 15
    zoom = 6
    for x in (2**zoom - 1, 0):
        col, row = place.coordinates(MercatorTile(zoom, x, 2 ** (zoom - 1) - 2))
        col, row = np.broadcast_arrays(col, row)
        assert ((col >= 0) & (col < 40) & (row >= 0) & (row < 40)).sum() > 3


@pytest.mark.parametrize("west", [0.0, -180.0])
def test_global_rasters_of_both_conventions_show_the_same(west):
    place = Placement(GeoBox(180, 360, (1, 0, west, 0, -1, 90), "EPSG:4326"))
    assert place.bounds == pytest.approx((-HALF_EXTENT, -HALF_EXTENT, HALF_EXTENT, HALF_EXTENT))
    lon = np.array([-170.5, -0.5, 0.5, 170.5])
    col, _ = place.pixels(lon / 180 * HALF_EXTENT, np.zeros(4))
    np.testing.assert_allclose(col, (lon - west) % 360, atol=1e-6)


@pytest.mark.parametrize(
    "crs", ['LOCAL_CS["drawing",UNIT["metre",1]]', "IAU_2015:49910", "EPSG:4978"]
)
def test_what_does_not_lie_on_the_earth_is_shown_in_pixels(crs):
    place = Placement(GeoBox(400, 300, tuple(NORTH_UP)[:6], pyproj.CRS(crs).to_wkt()))
    assert place.in_pixels and place.max_zoom == PHOTO.max_zoom and place.bounds == PHOTO.bounds
