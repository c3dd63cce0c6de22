"""CRSs that lie on the earth or not, and those that repeat around it."""

import numpy as np
import pyproj
import pytest

from swath.geo.crs import lies_on_earth, near, turns_of, x_period

ELSEWHERE = [
    'LOCAL_CS["drawing",UNIT["metre",1]]',
    'ENGCRS["Undefined Cartesian SRS",EDATUM["Unknown engineering datum"],CS[Cartesian,2],'
    'AXIS["(E)",east],AXIS["(N)",north],LENGTHUNIT["metre",1]]',
    "IAU_2015:49900",
    "+proj=eqc +R=3396190",
    "+proj=longlat +R=1737400",
    "EPSG:4978",
    "EPSG:5773",
]


@pytest.mark.parametrize("crs", ELSEWHERE)
def test_drawings_other_bodies_and_heights_do_not_lie_on_the_earth(crs: str) -> None:
    assert not lies_on_earth(pyproj.CRS(crs).to_wkt())


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32660", "EPSG:3031", "EPSG:27572", "EPSG:5972"])
def test_usual_crss_do(crs: str) -> None:
    assert lies_on_earth(pyproj.CRS(crs).to_wkt())
    assert not lies_on_earth(None)


@pytest.mark.parametrize(
    ("crs", "period"),
    [
        ("EPSG:4326", 360),
        ("EPSG:4807", 400),  # grads
        ("EPSG:3857", 2 * np.pi * 6_378_137),
        ("EPSG:3832", 2 * np.pi * 6_378_137),  # around 150 degrees
        ("EPSG:6933", 34_735_060.89),
        ("EPSG:32660", None),
        ("EPSG:3413", None),
        ("ESRI:54009", None),
        ('LOCAL_CS["drawing",UNIT["metre",1]]', None),
    ],
)
def test_cylinders_repeat(crs: str, period: float | None) -> None:
    found = x_period(pyproj.CRS(crs).to_wkt())
    assert found == (None if period is None else pytest.approx(period, rel=1e-9))
    assert len(turns_of(pyproj.CRS(crs).to_wkt())) == (1 if period is None else 3)


def test_turned_to_a_center() -> None:
    x = np.array([-179.0, 179, 181, 0, 541])
    np.testing.assert_allclose(near(x, 180, 360), [181, 179, 181, 0, 181])
    assert near(x, 180, None) is x
