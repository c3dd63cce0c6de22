"""`swath label`: what is opened, what is refused, and the way to a map by the quick recipe."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import rasterio

import swath
from swath.errors import DataError, JobError, UsageError
from swath.io.vector import VectorLayer, write_layer
from tests.errors import fails
from tests.make import NORTH_UP, UTM, write_raster
from tests.server.labeling.conftest import Page, halves


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_raster(tmp_path / "scene.tif", halves(height=300, width=320), UTM, NORTH_UP)


def test_what_cannot_be_labeled_is_refused(scene, tmp_path):
    with fails("no-such-file", DataError):
        swath.label(tmp_path / "none.tif", tmp_path / "l.gpkg", open=False)
    with fails("labels-format", DataError):
        swath.label(scene, tmp_path / "l.shp", open=False)
    with fails("no-such-file", UsageError):
        swath.label(scene, tmp_path / "l.gpkg", open=False, classes=tmp_path / "none.yaml")
    write_layer(tmp_path / "bare.gpkg", VectorLayer("Polygon", [], {"class": []}, None, "l"))
    with fails("crs-missing", DataError, tmp_path / "bare.gpkg"):
        swath.label(scene, tmp_path / "bare.gpkg", open=False)
    assert not (tmp_path / "l.gpkg").exists()


def test_a_taken_port_leaves_the_labels_free(scene, tmp_path):
    running = swath.label(scene, tmp_path / "a.gpkg", open=False)
    port = int(running.url.rsplit(":", 1)[1].strip("/"))
    try:
        with fails("port-unavailable", JobError):
            swath.label(scene, tmp_path / "b.gpkg", open=False, port=port)
    finally:
        running.close()
    again = swath.label(scene, tmp_path / "b.gpkg", open=False)
    assert (again.features, again.classes, again.crs) == (0, [], UTM)
    again.close()


def test_the_command_serves_until_it_is_ended(scene, tmp_path):
    command = [sys.executable, "-m", "swath", "label", scene, tmp_path / "l.gpkg", "--no-open"]
    process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True)
    try:
        result = json.loads(process.stdout.readline())
        assert result["labels"] == str(tmp_path / "l.gpkg") and result["url"].startswith("http")
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


@pytest.mark.slow
def test_from_labels_to_the_files_that_the_shell_makes(scene, tmp_path):
    running = swath.label(scene, tmp_path / "l.gpkg", open=False)
    try:
        page = Page(running, running._session.layer.grid)
        page.add_halves()
        status = page.train()
        assert "encoder" in status["features"] and status["score"]["miou"] > 0.9, status
        assert page.post("finish").status_code == 202
        job = page.until(lambda now: now["job"]["state"] != "running", 300)["job"]
        assert job["state"] == "done" and job["score"] > 0.9, job
        shown = [row["name"] for row in page.client.get("/scene").json()["layers"]]
        assert "scene.tif" in shown
        with rasterio.open(tmp_path / "l-map.tif") as dataset:
            codes = dataset.read(1)
        right = np.where(np.arange(320) < 160, 1, 2)
        assert (codes == right).mean() > 0.95
        quick, _ = running._session.quick.read(running._session.layer.grid.window)
        assert (quick == codes).mean() > 0.95
        names = {p.name for p in tmp_path.iterdir()}
        assert {"l.swath", "l-map.tif", "l-map.gpkg", "l-classes.yaml", "l-dataset"} <= names
    finally:
        running.close()
