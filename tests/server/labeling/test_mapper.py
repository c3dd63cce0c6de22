"""The thread behind the quick map: interruption, failures, views, memory, and the cache on disk."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import rasterio
import shapely
from safetensors.numpy import save_file

from swath.errors import DataError
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window
from swath.server.labeling.labels.label_store import NewLabel
from swath.server.labeling.labels.opening import LabelSource, open_labels
from swath.server.labeling.quick.feature_cache import FeatureCache
from swath.server.labeling.quick.label_pixels import MAX_PIXELS, label_pixels
from swath.server.labeling.quick.mapper import MAX_VIEW_BLOCKS, NICENESS, QuickMapper
from swath.server.labeling.quick.quick_map import MAX_BLOCKS, NODATA, MappedBlock, QuickMap
from swath.server.labeling.quick.trainer import FitStopped, FittedHead, HeadScores
from swath.server.labeling.view_geometry import ViewGeometry

GRID = GeoBox(2048, 3072)


class FakeTrainer:
    """Classes by column: the left half is class 0; what it is asked for is counted."""

    encoder = "fake"

    def __init__(self):
        self.windows, self.fits = [], 0
        self.hold, self.fault = threading.Event(), None
        self.hold.set()

    def features(self, window):
        self.windows.append(window)
        cols = np.arange(window.col, window.col + window.width, dtype=np.float32)
        plane = np.broadcast_to(cols, (1, window.height, window.width))
        return {"x": plane.copy(), "valid": np.ones(plane.shape[1:], bool)}

    def sample(self, features, rows, cols):
        return features["x"][:, rows, cols].T

    def fit(self, samples, count, report, stopped):
        self.fits += 1
        if self.fault:
            raise self.fault
        while not self.hold.wait(0.01):
            report(0.5)
            if stopped():
                raise FitStopped
        means = [samples.values[samples.classes == k].mean() for k in range(count)]
        return FittedHead(np.mean(means), "columns")

    def validate(self, samples, count, report, stopped):
        return HeadScores(0.5 + 0.1 * self.fits, 2, (0.5,) * count)

    def predict(self, features, head):
        right = features["x"][0] > head.content
        return np.stack([np.where(right, 10, 90), np.where(right, 90, 10)]).astype(np.uint8)


@pytest.fixture
def made(tmp_path):
    """Make mappers with their parts, and close them at the end."""
    kept = []

    def make(grid=GRID):
        store, crs, _ = open_labels(LabelSource(tmp_path / "l.gpkg"), grid)
        for name in ("left", "right"):
            store.add_class(name, None, None)
        labels = [NewLabel(shapely.box(c, 10, c + 16, 26), 1 + (c > 1000)) for c in (40, 1500)]
        store.add(labels, "ann")
        trainer, quick = FakeTrainer(), QuickMap(grid)
        cache = FeatureCache(tmp_path / "cache", lambda: "key")
        geometry = ViewGeometry(grid, crs, "l.gpkg")
        mapper = QuickMapper(store, geometry, quick, trainer, cache)
        kept.append((mapper, store, trainer))
        return mapper, store, trainer, quick

    yield make
    for mapper, store, trainer in kept:
        trainer.hold.set()
        mapper.close()
        store.close()


def until(ready, seconds=20):
    for _ in range(int(seconds / 0.02)):
        if ready():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def test_the_view_is_mapped_first_then_the_rest(made):
    mapper, _, _, quick = made()
    order = []
    put = quick.put
    quick.put = lambda index, block: (order.append(index), put(index, block))
    view = Window(1030, 1540, 1000, 1000)
    mapper.train(view)
    until(lambda: mapper.progress.phase == "idle")
    assert sorted(order) == list(range(24))
    assert set(order[:6]) >= {15, 16, 21, 22} and "view" in mapper.progress.seconds
    codes, _ = quick.read(Window(0, 0, 4, 3072))
    assert (codes[:, :700] == 1).all() and (codes[:, 800:] == 2).all()
    assert sum(quick.shares(1).values()) == pytest.approx(1)


def test_features_of_the_view_are_there_before_the_first_training(made):
    mapper, _, trainer, quick = made()
    mapper.look(Window(0, 0, 500, 600))
    until(lambda: len(trainer.windows) == 2)
    assert not mapper.busy and not quick.mapped(1)
    mapper.train(Window(0, 0, 500, 600))
    until(lambda: mapper.progress.phase == "idle")
    assert len(trainer.windows) == len(set(trainer.windows)) == 24


def test_newer_labels_interrupt_a_fit(made):
    mapper, store, trainer, _ = made()
    trainer.hold.clear()
    mapper.train(Window(0, 0, 10, 10))
    until(lambda: mapper.progress.phase == "fitting")
    store.add([NewLabel(shapely.box(90, 90, 99, 99), 1)], "ann")
    mapper.train(Window(0, 0, 10, 10))
    until(lambda: trainer.fits == 2)
    trainer.hold.set()
    until(lambda: mapper.round is not None)
    assert mapper.round.number == 1 and mapper.round.revision == store.revision


def test_a_stop_gives_up_and_a_look_goes_on(made):
    mapper, _, trainer, quick = made()
    trainer.hold.clear()
    mapper.train(Window(0, 0, 10, 10))
    until(lambda: mapper.progress.phase == "fitting")
    mapper.stop()
    until(lambda: not mapper.busy)
    trainer.hold.set()
    mapper.look(Window(0, 0, 100, 100))
    time.sleep(0.1)
    assert not quick.mapped(1)
    mapper.train(Window(0, 0, 10, 10))
    until(lambda: mapper.progress.phase == "idle" and mapper.round is not None)
    assert len(quick.mapped(1)) == 24


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (DataError("The file is damaged", code="unreadable", fix="Mend it"), "unreadable"),
        (ValueError("odd"), "unexpected"),
        (MemoryError(), "unexpected"),
    ],
)
def test_a_fault_is_shown_and_the_next_training_works(fault, code, made):
    mapper, _, trainer, _ = made()
    trainer.fault = fault
    mapper.train(Window(0, 0, 10, 10))
    until(lambda: mapper.progress.phase == "failed")
    assert mapper.progress.error.code == code and not mapper.busy
    trainer.fault = None
    mapper.train(Window(0, 0, 10, 10))
    until(lambda: mapper.progress.phase == "idle")
    assert mapper.round.number == 1 and mapper.progress.error is None


def test_features_are_computed_once_and_only_where_they_are_needed(made):
    grid = GeoBox(40_000, 40_000)
    mapper, store, trainer, quick = made(grid)
    mapper.train(Window(20_000, 20_000, 900, 1400))
    until(lambda: mapper.progress.phase == "idle", 60)
    assert len(trainer.windows) <= MAX_BLOCKS + 2 and len(set(trainer.windows)) == len(
        trainer.windows
    )
    before = len(trainer.windows)
    store.add([NewLabel(shapely.box(20_100, 20_100, 20_110, 20_110), 1)], "ann")
    mapper.train(Window(20_000, 20_000, 900, 1400))
    until(lambda: mapper.progress.phase == "idle" and mapper.round.number == 2, 60)
    assert len(trainer.windows) == before
    mapper.look(Window(0, 0, 40_000, 40_000))
    until(lambda: mapper.progress.phase == "idle", 60)
    blocks, total = mapper.view_blocks()
    assert len(blocks) == MAX_VIEW_BLOCKS and total == len(quick.mosaic.cores)
    assert len(quick.mapped(2)) == MAX_BLOCKS


def test_a_map_of_two_classes_keeps_old_blocks_until_new_ones_are_there():
    quick = QuickMap(GeoBox(600, 512))
    one = np.ones((512, 512), np.uint16)
    quick.put(0, MappedBlock(1, one, one.astype(np.uint8)))
    assert quick.mapped(1) == {0} and quick.mapped(2) == set()
    codes, _ = quick.read(Window(500, 0, 24, 4))
    assert (codes[:12] == 1).all() and (codes[12:] == NODATA).all()
    before = quick.version
    quick.put(1, MappedBlock(2, 2 * one[:88], one[:88].astype(np.uint8)))
    assert quick.version != before and quick.shares(2) == {2: 1.0}
    assert quick.version_of(Window(0, 0, 512, 512)) == before
    assert quick.version_of(Window(500, 0, 24, 4)) == quick.version


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_threads_that_train_and_map_yield_to_the_page(made):
    mapper, store, trainer, _ = made()
    threads = {t.name: t.native_id for t in threading.enumerate()}
    mapper.look(Window(0, 0, 512, 512))
    until(lambda: trainer.windows, 60)
    threads |= {t.name: t.native_id for t in threading.enumerate()}
    own = [number for name, number in threads.items() if name.startswith("swath-quick-")]
    assert len(own) >= 2
    assert {os.getpriority(os.PRIO_PROCESS, number) for number in own} == {NICENESS}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == 0


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [
        (shapely.box(10, 20, 14, 22), 8),
        (shapely.Point(700.2, 3.9), 1),
        (shapely.MultiPoint([(1, 1), (1.5, 1.5), (9, 9)]), 2),
        (shapely.LineString([(0.5, 0.5), (9.5, 0.5)]), 10),
        (shapely.box(10.1, 10.1, 10.3, 10.3), 1),
        (shapely.box(0, 0, 2000, 2000), MAX_PIXELS),
        (shapely.box(510, 510, 514, 514), 16),
    ],
)
def test_pixels_of_a_label(shape, pixels):
    quick = QuickMap(GRID)
    parts = label_pixels(shape, quick.mosaic, 0)
    at = [
        (quick.mosaic.cores[p.block].col + c, quick.mosaic.cores[p.block].row + r)
        for p in parts
        for r, c in zip(p.rows, p.cols, strict=True)
    ]
    assert len(at) == len(set(at)) == pixels
    assert shapely.box(*shape.bounds).buffer(1).covers(shapely.MultiPoint(at))


def test_the_cache_is_bounded_and_damage_costs_nothing_but_time(tmp_path):
    features = {"x": np.zeros((1, 64, 64), np.float32), "valid": np.ones((64, 64), bool)}
    windows = [Window(0, 64 * i, 64, 64) for i in range(20)]
    cache = FeatureCache(tmp_path, lambda: "scene", max_bytes=200_000)
    for window in windows:
        cache.put(window, features)
        time.sleep(0.002)
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 200_000
    assert cache.get(windows[0]) is None
    np.testing.assert_array_equal(cache.get(windows[-1])["valid"], features["valid"])
    assert FeatureCache(tmp_path, lambda: "other").get(windows[-1]) is None
    for content in (b"", b"x" * 100):
        cache._path(windows[-1]).write_bytes(content)
        assert cache.get(windows[-1]) is None
    save_file({"valid": np.ones((3, 3), bool)}, cache._path(windows[-1]))
    assert cache.get(windows[-1]) is None
    nowhere = FeatureCache(tmp_path / "file" / "below", lambda: "scene")
    (tmp_path / "file").mkdir(exist_ok=True)
    nowhere.put(windows[0], features)


HUGE = """
import resource, sys, time
from pathlib import Path
import httpx2
import swath
running = swath.label(sys.argv[1], sys.argv[2], open=False)
from tests.server.labeling.conftest import Page
page = Page(running, running._session.layer.grid)
page.add_halves()
for number, col in enumerate((5000, 19000, 35000), 1):
    page.add(page.box(col, 20000), "dark")
    w, n = page.at(col, 19500)
    e, s = page.at(col + 1400, 20400)
    assert page.post("train", view=[w, s, e, n]).status_code == 202

    def mapped(status):
        view = status["map"]["view"]
        return status["round"] == number and view["done"] == view["total"] or status["error"]

    status = page.until(mapped, 200)
    assert status["error"] is None, status
    time.sleep(5)
for zoom in (6, 10, 14, 18):
    side = 2 ** (zoom - 1)
    query = {"url": "quick-map", "v": status["map"]["version"]}
    answer = page.client.get(f"/cog/tiles/WebMercatorQuad/{zoom}/{side}/{side}", params=query)
    assert answer.status_code == 200
page.close()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_a_scene_of_1600_million_pixels_is_labeled_in_two_gigabytes(tmp_path):
    scene = tmp_path / "huge.tif"
    profile = {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True}
    size = {"height": 40_000, "width": 40_000, "count": 3, "dtype": "uint8"}
    with rasterio.open(scene, "w", driver="GTiff", bigtiff="YES", **size, **profile) as out:
        noise = np.random.default_rng(0).integers(0, 255, (3, 1024, 1024), np.uint8)
        for col in (0, 4608, 18_944, 34_816):
            out.write(noise, window=rasterio.windows.Window(col, 19_968, 1024, 1024))
    command = [sys.executable, "-c", HUGE, str(scene), str(tmp_path / "l.gpkg")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) < 2000
