"""Footprints that overlap, also across 180 degrees and around poles."""

import pyproj
import pytest

from swath.geo.footprints import footprint, meet, overlaps
from swath.geo.geobox import GeoBox


def grid(crs, transform, height=40, width=40):
    return GeoBox(height, width, transform, pyproj.CRS(crs).to_wkt())


EAST = grid(4326, (0.1, 0, 179, 0, -0.1, 10))
PAIRS = {
    "-180..180 and 179..183": (EAST, grid(4326, (0.1, 0, -181, 0, -0.1, 10)), 1.0),
    "0..360": (EAST, grid(4326, (0.1, 0, -179, 0, -0.1, 10)), 0.5),
    "UTM 60 and 1": (
        grid(32660, (100, 0, 833_000, 0, -100, 100_000)),
        grid(32601, (100, 0, 165_000, 0, -100, 100_000)),
        0.97,
    ),
    "web Mercator": (
        grid(3857, (100, 0, 20_035_508, 0, -100, 0)),
        grid(3857, (100, 0, -20_037_508, 0, -100, 0)),
        0.5,
    ),
    "around a pole": (
        grid(3031, (1000, 0, -20_000, 0, -1000, 20_000)),
        grid(3031, (1000, 0, 0, 0, -1000, 20_000)),
        0.5,
    ),
    "pole in a pixel": (
        grid(3413, (1000, 0, -20_500, 0, -1000, 20_500)),
        grid(4326, (9, 0, 0, 0, -0.002, 90)),
        1.0,
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_overlaps(name):
    one, other, share = PAIRS[name]
    ((i, j, found),) = overlaps([one, other], ["a", "b"])
    assert (i, j) == (0, 1) and found == pytest.approx(share, abs=0.05)
    assert meet(one, other) and meet(other, one)


@pytest.mark.parametrize("west", [-177.0, 183.0, 100.0])
def test_neighbors_do_not_overlap(west):
    other = grid(4326, (0.1, 0, west, 0, -0.1, 10))
    assert list(overlaps([EAST, other], ["a", "b"])) == []
    assert meet(EAST, other) is False


def test_what_has_no_place_on_the_earth():
    drawing = GeoBox(4, 4, crs='LOCAL_CS["x",UNIT["metre",1]]')
    assert footprint(drawing) is None and meet(EAST, drawing) is None
    assert meet(GeoBox(4, 4), EAST) is None


@pytest.mark.parametrize("transform", [(1000, 0, 0, 0, -1000, 0), (1000, 0, -500, 0, -1000, 500)])
def test_the_gsd_beside_a_pole(transform):
    assert grid(3031, transform, 1, 1).gsd == pytest.approx(1025, rel=0.01)
