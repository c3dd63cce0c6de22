"""Places of change, by hand."""

import numpy as np
import pytest

import swath
from swath.io.map_reader import MapFile
from swath.mapping.change import places
from swath.mapping.change.dates import maps_of_dates
from swath.mapping.change.places import find_places
from tests.make import NORTH_UP, UTM, write_raster
from tests.mapping.change.made import write_date


@pytest.fixture
def changed(tmp_path):
    """A map of change with a ring of 13, a square of 12, and 12 in one corner; percents beside."""
    old = np.zeros((100, 120), int)
    new = old.copy()
    new[10:30, 10:40] = 2
    new[15:25, 15:35] = 0
    new[50:60, 70:100] = 1
    new[60:64, 100:104] = 1  # touches at a corner only
    maps = [write_date(tmp_path / f"{n}.tif", one + 1) for n, one in (("old", old), ("new", new))]
    swath.change(*maps, tmp_path / "c.tif", shift=0)
    percents = np.full((100, 120), 90, np.uint8)
    percents[10:20] = 100
    percents[0] = 255
    write_raster(tmp_path / "c_confidence.tif", percents, UTM, NORTH_UP, nodata=255)
    return tmp_path / "c.tif"


def test_patches_have_size_window_and_confidence(changed):
    with MapFile(changed) as file:
        found = find_places(changed, file.transitions)
    assert [(p.code, p.pixels) for p in found] == [(13, 400), (12, 300), (12, 16)]
    first = found[0]
    assert (first.window.row, first.window.col) == (10, 10)
    assert (first.window.height, first.window.width) == (20, 30)
    assert first.confidence == pytest.approx(95) and found[1].confidence == 90
    assert first.hectares == pytest.approx(4.003, rel=1e-3)
    with MapFile(changed) as file:
        codes = file.codes(file.grid.window)
    assert [codes[p.row, p.col] for p in found] == [13, 12, 12]


def test_of_a_large_map_some_pixels_are_read(changed, monkeypatch):
    monkeypatch.setattr(places, "LONGEST", 60)
    with MapFile(changed) as file:
        found = find_places(changed, file.transitions)
        codes = file.codes(file.grid.window)
    assert [p.code for p in found[:2]] == [13, 12] and found[1].pixels == 300
    assert codes[found[1].row, found[1].col] == 12 and found[0].pixels == pytest.approx(400, 0.1)


def test_maps_of_dates_are_found_beside(tmp_path):
    names = ("c.tif", "c_new.tif", "c_old.tif", "c_2018-06.tif", "c_confidence.tif", "d_2018.tif")
    for name in names:
        (tmp_path / name).touch()
    found = [path.name for path in maps_of_dates(tmp_path / "c.tif")]
    assert found == ["c_2018-06.tif", "c_old.tif", "c_new.tif"]
