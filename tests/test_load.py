"""Much work takes as much more time as there is more of it, and no more memory; counted, so that a
busy machine fails nothing.

`benchmarks/load.py` measures the same on whole verbs, up to ten thousand files and 100,000 pixels a
side.
"""

import time
import tracemalloc

import numpy as np
import pytest

import swath
from swath.checks.duplicates import near_duplicates
from swath.data.layouts import pairs
from swath.data.splits import MAX_DEFAULT_BLOCK, Area, assign_splits, buffered, default_block
from swath.geo.footprints import MAX_PARTNERS, overlaps
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Tiling, Window, fit_tiling
from swath.io.vector import read_features
from swath.options import InspectOptions
from tests.inference.test_memory import repeated
from tests.make import NORTH_UP, UTM, box, noise, write_layer, write_raster


def seconds(work):
    """Return the processor time of the fastest of five runs."""
    took = []
    for _ in range(5):
        begun = time.process_time()
        work()
        took.append(time.process_time() - begun)
    return min(took)


def empty_pairs(folder, n):
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
        for i in range(n):
            (folder / kind / f"chip{i}.tif").touch()
    return folder


def test_listing_eight_times_the_files_takes_about_eight_times_as_long(tmp_path):
    few, many = (InspectOptions(str(empty_pairs(tmp_path / str(n), n))) for n in (200, 1600))
    assert len(pairs.find(many).samples) == 1600
    assert seconds(lambda: pairs.find(many)) < 25 * seconds(
        lambda: pairs.find(few)
    )  # 64 times if it were quadratic


def test_splitting_ten_times_the_groups_takes_about_ten_times_as_long():
    few, many = ([f"g{i}" for i in range(n)] for n in (3000, 30_000))
    times = [
        seconds(lambda groups=groups: assign_splits(groups, None, None, 0))
        for groups in (few, many)
    ]
    assert times[1] < 60 * times[0]  # 100 times if it were quadratic


@pytest.mark.parametrize("side", [10, 40])
def test_a_block_is_held_against_its_neighbors_only(side, monkeypatch):
    calls = []
    monkeypatch.setattr("swath.data.splits.window_distance", lambda a, b: calls.append(1) or 99)
    blocks = [
        Area(f"{r}-{c}", 0, Window(64 * r, 64 * c, 64, 64), f"{r}-{c}")
        for r in range(side)
        for c in range(side)
    ]
    list(buffered(blocks, assign_splits([b.group for b in blocks], None, None, 0), 4))
    assert 0 < len(calls) <= 8 * len(blocks)


def test_the_tiles_of_an_area_are_found_without_looking_at_all(monkeypatch):
    tiling, area = (
        fit_tiling(10**6, 10**6, most=4 * 10**6, halo=128, stride=32),
        Window(500_000, 700_000, 3000, 10),
    )
    made = []
    one = Tiling.__getitem__
    monkeypatch.setattr(Tiling, "__getitem__", lambda self, i: made.append(i) or one(self, i))
    cores = [t.core.within(area).size for t in tiling.meeting(area)]
    assert sum(cores) == area.size and min(cores) > 0 and len(made) == len(cores) < 10


def test_the_tiles_of_any_area_are_those_that_meet_it():
    tiling = fit_tiling(700, 450, most=192 * 192, halo=32, stride=32)
    for area in (
        Window(0, 0, 700, 450),
        Window(31, 100, 1, 1),
        Window(600, 400, 500, 500),
        Window(95, 0, 130, 450),
    ):
        assert list(tiling.meeting(area)) == [t for t in tiling if t.core.within(area).size]
    assert not list(tiling.meeting(Window(700, 0, 5, 5)))


def test_a_thousand_images_of_one_look_make_a_thousand_pairs():
    one = noise(32, 32).astype(float)
    assert list(near_duplicates([one] * 1000)) == [(0, j) for j in range(1, 1000)]


def test_images_of_one_place_are_told_of_a_few_times_each():
    grids = [GeoBox(10, 10, tuple(NORTH_UP)[:6], UTM)] * 200
    found = list(overlaps(grids, [str(i) for i in range(200)]))
    assert np.bincount([j for _, j, _ in found]).max() == MAX_PARTNERS
    assert {j for _, j, _ in found} == set(range(1, 200)) and all(
        share > 0.99 for *_, share in found
    )
    assert not list(overlaps(grids, ["one"] * 200))


def test_a_layer_is_moved_once_for_all_images(tmp_path):
    path = write_layer(tmp_path / "l.gpkg", [box(0, 0, 5, 5)], {"class": [1]})
    features, target = read_features(path), GeoBox(1, 1, crs="EPSG:4326").crs
    assert features.to_crs_indexed(target)[1] is features.to_crs_indexed(target)[1]
    assert features.to_crs_indexed(UTM)[0][0].equals_exact(box(0, 0, 5, 5), 1e-6)
    assert not features.to_crs_indexed(target)[0][0].equals_exact(box(0, 0, 5, 5), 1)


def test_blocks_of_large_rasters_fit_into_memory():
    assert (
        default_block([GeoBox(100_000, 100_000)])
        == MAX_DEFAULT_BLOCK
        == default_block([GeoBox(10**6, 10)])
    )
    assert default_block([GeoBox(1000, 2000)]) == 256


def test_inspecting_nine_times_the_pixels_takes_no_more_memory(tmp_path):
    image = write_raster(tmp_path / "one.tif", noise(3, 1024, 1024), UTM, NORTH_UP, tiled=True)
    codes = np.kron(60 * noise(64, 64, low=1, high=5), np.ones((16, 16), np.uint8))
    labels = write_raster(tmp_path / "codes.tif", np.stack([codes] * 3), UTM, NORTH_UP, tiled=True)
    peaks = []
    for times in (2, 6):
        folder = tmp_path / str(times)
        folder.mkdir()
        repeated(folder / "i.vrt", image, times)
        repeated(folder / "m.vrt", labels, times)
        tracemalloc.start()
        result = swath.inspect(folder, images="i.vrt", labels="m.vrt", classes=None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert sum(c.pixels for c in result.classes) == (1024 * times) ** 2
    assert peaks[1] < 1.3 * peaks[0], peaks
