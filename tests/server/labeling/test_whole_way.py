"""From no labels to a map, by mouse and keys, with a server that is killed in the middle."""

import json
import sys

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely

import swath
from swath.geo.geobox import GeoBox
from swath.io.vector import VectorLayer, write_layer
from swath.metrics.confusion import Scores, confusion_matrix
from tests.make import write_raster
from tests.server.labeling.page_user import (
    DUBAI,
    SCREEN,
    PageUser,
    Served,
    class_indices,
    squares,
)
from tests.server.screen import until

SIDE, EACH = 20, 5
"""Side of a polygon in pixels, and polygons a class."""


@pytest.fixture
def served(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    running = []

    def serve(scene, labels):
        running.append(Served(scene, labels))
        return running[-1]

    yield serve
    for one in running:
        one.kill()


def stored(path):
    """Return the classes and the geometries of all labels."""
    table = pyogrio.raw.read(path, layer="labels")
    return table[3][table[0]["fields"].tolist().index("class")], shapely.from_wkb(table[2])


def begin(visit, server, shape):
    page = visit(server.url, size=SCREEN, failing=True)
    user = PageUser(page, GeoBox(shape[1], shape[0]))
    user.whole_view()
    user.saved(0)
    assert page.locator("#class-list li").count() == 0
    return user


def go_through_a_kill(user, server, labels, count, corners):
    """Draw over a killed server, which comes back; return the number of labels then."""
    before = [shape.wkb for shape in stored(labels)[1]]
    user.polygon(corners[0], close=False)
    server.kill()
    user.page.keyboard.press("Enter")
    until(lambda: user.page.locator("#saved").inner_text() == "1 not saved")
    assert [shape.wkb for shape in stored(labels)[1]] == before
    server.start()
    user.saved(count + 1)
    user.page.reload()
    user.page.wait_for_selector("html[data-ready=yes]")
    user.saved(count + 1)
    user.polygon(corners[1])
    user.saved(count + 2)
    _, shapes = stored(labels)
    assert [shape.wkb for shape in shapes[:-2]] == before
    for shape, wanted in zip(shapes[-2:], corners[:2], strict=True):
        assert shape.bounds == pytest.approx(shapely.Polygon(wanted).bounds, abs=1.5)
    return count + 2


def finish(user):
    """Finish, and return the names of the files."""
    user.page.locator("[data-act=finish]:enabled").click()
    user.page.locator("#done[open]").wait_for(timeout=300_000)
    assert "swath train" in user.page.locator("#done-commands").inner_text()
    return user.page.locator("#done-files code").all_inner_texts()


def miou(path, reference, count):
    """Return the mean IoU of a map with codes 1 to `count`; reference has 255 for unlabeled."""
    with rasterio.open(path) as file:
        codes = file.read(1)
    known = reference != 255
    counts = confusion_matrix(reference[known], (codes[known] - 1).clip(0, count - 1), count)
    return Scores.of(counts).miou


def test_a_killed_server_loses_nothing_that_was_saved(served, visit, tmp_path, monkeypatch):
    monkeypatch.setenv("COLORS", "yes")
    noise = np.random.default_rng(0).integers(0, 20, (3, 100, 160), np.uint8)
    noise[:, :, 80:] += 150
    labels = tmp_path / "l.gpkg"
    server = served(write_raster(tmp_path / "scene.tif", noise), labels)
    user = begin(visit, server, noise.shape[1:])
    for number, (name, col) in enumerate((("dark", 10), ("light", 100)), 1):
        user.add_class(name)
        user.polygon(np.array([[0, 0], [9, 0], [9, 9]]) + (col, 10))
        user.saved(number)
    assert user.trained()["round"] >= 1
    corners = np.array([[0, 0], [20, 0], [20, 20]]) + np.array([[[30, 40]], [[110, 60]]])
    count = go_through_a_kill(user, server, labels, 2, corners)
    assert user.trained()["round"] >= 1
    assert stored(labels)[0].tolist() == ["dark", "light", "light", "light"] and count == 4


@pytest.mark.slow
def test_the_whole_way_on_an_image_of_dubai(served, visit, tmp_path, shared_data):
    tile = shared_data / "dubai" / "Tile 1"
    reference = class_indices(tile / "masks" / "image_part_006.png")
    labels = tmp_path / "dubai.gpkg"
    scene = tile / "images" / "image_part_006.jpg"
    server = served(scene, labels)
    user = begin(visit, server, reference.shape)
    rng, count, spare = np.random.default_rng(0), 0, []
    user.page.locator("#auto").uncheck()
    for index, name in enumerate(DUBAI):
        user.add_class(name)
        corners = squares(reference == index, EACH + 2, SIDE, rng)
        spare.append(corners[EACH:])
        for one in corners[:EACH]:
            user.polygon(one)
            count += 1
            user.saved(count)
    classes, shapes = stored(labels)
    assert classes.tolist() == [name for name in DUBAI for _ in range(EACH)]
    user.page.keyboard.press("k")
    status = user.trained()
    assert status["round"] == 1 and status["score"]["miou"] > 0.5
    assert {c["need"] for c in status["classes"]} <= {"more", "enough"}

    user.page.keyboard.press("n")
    place = user.page.locator("#places .pick[aria-pressed=true]")
    place.wait_for()
    user.page.wait_for_timeout(700)
    user.page.locator("#places .edit").first.click()
    until(lambda: int(user.page.locator("#saved").inner_text().split()[0]) > count)
    assert len(stored(labels)[0]) > count
    user.page.keyboard.press("Control+z")
    user.saved(count)
    assert [s.wkb for s in stored(labels)[1]] == [s.wkb for s in shapes]

    user.whole_view()
    user.choose("road")
    count = go_through_a_kill(user, server, labels, count, spare[2])
    assert stored(labels)[0].tolist()[-2:] == ["road", "road"]
    user.page.keyboard.press("k")
    assert user.trained()["round"] == 1
    files = finish(user)
    assert files == ["dubai.swath", "dubai-map.tif", "dubai-map.gpkg"]

    classes, shapes = stored(labels)
    alone = tmp_path / "alone"
    alone.mkdir()
    columns = {"class": classes}
    write_layer(alone / "p.gpkg", VectorLayer("Polygon", shapes, columns, None, "labels"))
    rows = [{"name": name, "code": code} for code, name in enumerate(DUBAI, 1)]
    (alone / "classes.yaml").write_text(json.dumps({"classes": rows}))
    sources = {"images": [scene], "labels": [alone / "p.gpkg"], "classes": alone / "classes.yaml"}
    swath.prepare(alone, alone / "dataset", **sources, test="none", val="none")
    swath.train(alone / "dataset", alone / "m.swath", recipe="quick")
    swath.predict(alone / "m.swath", scene, alone / "map.tif")
    quick = miou(alone / "map.tif", reference, len(DUBAI))
    finished = miou(tmp_path / "dubai-map.tif", reference, len(DUBAI))
    sys.stdout.write(f"mIoU: finished {finished:.4f}, train --recipe quick {quick:.4f}\n")
    assert finished >= quick > 0.4
