"""The page of labeling in a real browser, on a scene without CRS, with the classifier of colors."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import swath
from swath.commands import label
from swath.io.vector import read_layer
from swath.server.labeling.quick.color_trainer import ColorTrainer
from tests.make import write_raster
from tests.server.screen import share, until

HEIGHT, WIDTH = 300, 400
MARKUP = '<img src=x onerror="document.title=1">'


def colors():
    """Blue in the west, yellow in the east, between them what is between; with noise."""
    noise = np.random.default_rng(3).integers(-9, 10, (3, HEIGHT, WIDTH))
    out = np.zeros((3, HEIGHT, WIDTH), int)
    for start, color in ((0, (30, 60, 150)), (150, (115, 125, 120)), (280, (200, 190, 90))):
        out[:, :, start:] = np.array(color)[:, None, None]
    return (out + noise).astype(np.uint8)


@pytest.fixture
def labeled(tmp_path, monkeypatch):
    """A served scene; `.path` is the layer of labels."""
    monkeypatch.setattr(label, "make_trainer", lambda layer, *_: ColorTrainer(layer))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    scene = write_raster(tmp_path / "scene.tif", colors())
    running = swath.label(scene, tmp_path / "labels.gpkg", open=False)
    yield running
    running.close()


def at(col, row):
    """Return where on the screen (1000 x 700) a pixel of the scene is when the page opens."""
    scale = min((1000 - 372 - 24) / WIDTH, (700 - 104 - 40) / HEIGHT)
    return 372 + 302 + (col - WIDTH / 2) * scale, 104 + 278 + (row - HEIGHT / 2) * scale


def add_class(page, name):
    if page.locator("#class-form").is_hidden():
        page.locator("#class-add").click()
    page.locator("#class-form [name=name]").fill(name)
    page.locator("#class-form [type=submit]").click()
    page.locator("#class-list .pick span").get_by_text(name, exact=True).wait_for()


def saved(page, count):
    until(lambda: page.locator("#saved").inner_text() == f"{count} saved")


def drag(page, start, stop):
    page.mouse.move(*at(*start))
    page.mouse.down()
    page.mouse.move(*at(*stop), steps=5)
    page.mouse.up()


def stored(path):
    """Return the classes and the geometries of a layer, in pixels."""
    layer = read_layer(Path(path), "labels", empty=True)
    return list(layer.columns["class"]), layer.geometries


def test_what_is_drawn_is_stored_and_comes_back(labeled, visit):
    page = visit(labeled.url)
    add_class(page, "water")
    add_class(page, MARKUP)
    page.keyboard.press("1")
    page.keyboard.press("g")
    for corner in ((20, 40), (100, 40), (100, 120)):
        page.mouse.click(*at(*corner))
    page.keyboard.press("Control+z")  # its last corner
    page.mouse.click(*at(60, 150))
    page.keyboard.press("Enter")
    saved(page, 1)
    page.keyboard.press("2")
    page.keyboard.press("r")
    drag(page, (300, 100), (380, 200))
    saved(page, 2)
    classes, shapes = stored(labeled.labels)
    assert classes == ["water", MARKUP]
    assert shapes[0].bounds == pytest.approx((20, 40, 100, 150), abs=1)
    assert shapes[0].area == pytest.approx(80 * 110 / 2, rel=0.05)
    assert shapes[1].bounds == pytest.approx((300, 100, 380, 200), abs=1)
    assert page.locator("#class-list img").count() == 0 and page.title() != "1"

    page.reload()
    page.wait_for_selector("html[data-ready=yes]")
    saved(page, 2)
    assert page.locator("[data-tool=rectangle]").get_attribute("aria-pressed") == "true"
    assert page.locator("#class-list .pick span").all_inner_texts() == ["water", MARKUP]
    page.keyboard.press("Control+z")
    saved(page, 1)
    assert stored(labeled.labels)[0] == ["water"]
    page.keyboard.press("Control+Shift+z")
    saved(page, 2)
    assert stored(labeled.labels)[0] == ["water", MARKUP]


def test_brush_outline_point_and_object(labeled, visit):
    page = visit(labeled.url)
    add_class(page, "tree")
    page.locator("#auto").uncheck()
    page.keyboard.press("b")
    page.keyboard.press("]")
    drag(page, (40, 200), (120, 200))
    saved(page, 1)
    page.keyboard.press("e")
    page.mouse.move(*at(200, 100))
    page.mouse.down()
    for corner in ((240, 100), (240, 140), (200, 140)):
        page.mouse.move(*at(*corner), steps=6)
    page.mouse.up()
    saved(page, 2)
    page.keyboard.press("m")
    page.mouse.click(*at(330, 250))
    saved(page, 3)
    page.keyboard.press("o")
    page.mouse.click(*at(200, 220))
    saved(page, 4)
    _, shapes = stored(labeled.labels)
    kinds = [shape.geom_type.removeprefix("Multi") for shape in shapes]
    assert kinds == ["Polygon", "Polygon", "Point", "Polygon"]
    wide = 22 / (604 / WIDTH)  # pixels of the screen to those of the scene
    assert shapes[0].area == pytest.approx(80 * wide + np.pi * wide**2 / 4, rel=0.08)
    assert shapes[1].area == pytest.approx(40 * 40, rel=0.12)
    assert (shapes[2].x, shapes[2].y) == pytest.approx((330, 250), abs=1)
    assert shapes[3].area > 0.8 * 130 * HEIGHT and shapes[3].bounds[0] >= 140


def test_the_map_follows_the_strokes(labeled, visit):
    page = visit(labeled.url)
    for name, col in (("blue", 20), ("yellow", 310)):
        add_class(page, name)
        page.keyboard.press("r")
        drag(page, (col, 120), (col + 60, 180))
    until(lambda: re.match(r"Round \d+", page.locator("#phase").inner_text()))
    page.locator("#layers input[type=range]").nth(1).fill("100")
    color = page.evaluate(
        "() => [...document.querySelectorAll('#class-list .pick i')]"
        ".map(i => getComputedStyle(i).backgroundColor.match(/\\d+/g).map(Number))"
    )
    until(lambda: share(page, color[0]) > 0.1 and share(page, color[1]) > 0.1)
    assert page.locator("#class-list em").first.inner_text().endswith("%")

    page.locator("#places li").first.wait_for()
    before = page.evaluate("() => location.hash")
    page.keyboard.press("n")
    assert page.locator("#places .pick").first.get_attribute("aria-pressed") == "true"
    until(lambda: page.evaluate("() => location.hash") != before)
    page.locator("#places .edit").first.click()
    until(lambda: int(page.locator("#saved").inner_text().split()[0]) > 2)
    source = page.evaluate("async () => (await (await fetch('/label/features')).json()).features")
    assert {one["properties"]["source"] for one in source} == {"drawn", "accepted"}


def test_labels_are_selected_moved_changed_and_deleted(labeled, visit):
    page = visit(labeled.url)
    add_class(page, "one")
    add_class(page, "two")
    page.locator("#auto").uncheck()
    page.keyboard.press("r")
    drag(page, (100, 80), (200, 200))
    saved(page, 1)
    page.keyboard.press("v")
    page.mouse.click(*at(150, 120))
    page.locator("[data-act=delete]:enabled").wait_for()
    drag(page, (150, 120), (190, 140))
    until(lambda: stored(labeled.labels)[1][0].bounds[0] > 130)
    assert stored(labeled.labels)[1][0].bounds == pytest.approx((140, 100, 240, 220), abs=1.5)
    page.keyboard.press("1")
    until(lambda: stored(labeled.labels)[0] == ["one"])
    page.keyboard.press("Delete")
    saved(page, 0)
    page.keyboard.press("Control+z")
    saved(page, 1)
    page.keyboard.press("Control+z")
    until(lambda: stored(labeled.labels)[0] == ["two"])
    page.keyboard.press("Control+z")
    until(lambda: stored(labeled.labels)[1][0].bounds[0] < 110)
    assert stored(labeled.labels)[1][0].bounds == pytest.approx((100, 80, 200, 200), abs=1)


def test_space_pans_and_keys_choose(labeled, visit):
    page = visit(labeled.url)
    add_class(page, "a")
    add_class(page, "b")
    page.locator("#auto").uncheck()
    for key, tool in zip(
        "hvgrebmox",
        "look select polygon rectangle freehand brush point object accept".split(),
        strict=True,
    ):
        page.keyboard.press(key)
        pressed = page.locator(f"[data-tool={tool}]")
        assert pressed.get_attribute("aria-pressed") == "true"
    page.keyboard.press("1")
    chosen = page.locator("#class-list .pick[aria-pressed=true] span")
    until(lambda: chosen.all_inner_texts() == ["a"])
    page.keyboard.press("r")
    before = page.evaluate("() => location.hash")
    page.locator("#stage").hover(position={"x": 700, "y": 400})
    page.keyboard.down(" ")
    drag(page, (200, 150), (260, 180))
    page.keyboard.up(" ")
    until(lambda: page.evaluate("() => location.hash") != before)
    page.wait_for_timeout(500)
    assert page.locator("#saved").inner_text() == "0 saved"
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible() and page.locator("#label-keys").is_visible()


def test_classes_are_renamed_and_deleted_with_a_question(labeled, visit):
    page = visit(labeled.url)
    add_class(page, "field")
    page.locator("#auto").uncheck()
    page.keyboard.press("r")
    drag(page, (100, 80), (200, 200))
    saved(page, 1)
    page.locator("#class-list .edit").click()
    page.locator("#class-form [name=name]").fill("meadow")
    page.keyboard.press("Enter")
    until(lambda: stored(labeled.labels)[0] == ["meadow"])
    for choice, left in (("no", 1), ("yes", 0)):
        page.locator("#class-list .edit").click()
        page.locator("#class-form .danger").click()
        page.locator(f"#question [value={choice}]").click()
        until(lambda left=left: page.locator("#class-list li").count() == left)
        if choice == "no":
            page.locator("[data-act=class-cancel]").click()
    saved(page, 0)


def test_a_stroke_outlives_a_server_that_does_not_answer(labeled, visit):
    page = visit(labeled.url, failing=True)
    add_class(page, "field")
    page.route("**/label/features", lambda route: route.abort())
    page.keyboard.press("r")
    drag(page, (100, 80), (200, 200))
    until(lambda: page.locator("#saved").inner_text() == "1 not saved")
    assert len(stored(labeled.labels)[0]) == 0
    page.locator("#saved").click()
    assert "field" in page.locator("#unsaved li").inner_text()
    page.keyboard.press("Escape")
    page.unroute("**/label/features")
    saved(page, 1)
    assert stored(labeled.labels)[0] == ["field"]


def test_a_stroke_whose_answer_is_lost_is_stored_once(labeled, visit):
    page = visit(labeled.url, failing=True)
    add_class(page, "field")
    sent = []

    def lose(route):
        sent.append(route.fetch().status)
        route.abort()

    page.route("**/label/features", lambda route: lose(route) if not sent else route.continue_())
    page.keyboard.press("b")
    drag(page, (100, 80), (200, 200))
    saved(page, 1)
    assert sent == [201] and stored(labeled.labels)[0] == ["field"]


def job_of(kind, **facts):
    usual = {"state": "running", "step": "Training", "steps": [2, 3], "progress": 0.4}
    rest = {"seconds": 3, "error": None, "layers": [], "files": [], "score": None}
    return {"kind": kind, **usual, **rest, "unscored": None, "features": None} | facts


def show_job(page, url, job):
    """Let the server report a job, which may be changed later."""

    def patched(route):
        answer = route.fetch(method="GET", url=f"{url}label/status", post_data=None)
        route.fulfill(
            status=200,
            body=json.dumps({**answer.json(), "job": job}),
            headers={"content-type": "application/json"},
        )

    page.route("**/label/status*", patched)
    page.route(f"**/label/{job['kind']}", patched)


def train_two(page):
    for name, col in (("blue", 20), ("yellow", 310)):
        add_class(page, name)
        page.keyboard.press("r")
        drag(page, (col, 120), (col + 60, 180))
    until(lambda: re.match(r"Round \d+", page.locator("#phase").inner_text()))


def test_finish_shows_files_and_commands(labeled, visit):
    page = visit(labeled.url)
    train_two(page)
    job = job_of("finish")
    show_job(page, labeled.url, job)
    page.locator("[data-act=finish]").click()
    page.locator("#job progress").wait_for()
    job |= {"files": [f"{MARKUP}.swath", "labels-map.tif"], "layers": ["scene.tif"]}
    page.wait_for_timeout(1000)
    assert page.locator("#done").is_hidden()
    job |= {"state": "done", "score": 0.71, "features": "bands and more"}
    page.locator("#done").wait_for()
    assert page.locator("#done-files code").all_inner_texts() == job["files"]
    text = page.locator("#done-score").inner_text()
    assert "0.71" in text and "bands and more" in text  # the page took bands alone
    assert "swath train" in page.locator("#done-commands").inner_text()


def test_a_map_that_is_trained_longer_is_shown_beside_the_quick_one_before_its_score(
    labeled, visit
):
    page = visit(labeled.url)
    train_two(page)
    job = job_of("longer")
    show_job(page, labeled.url, job)
    page.locator("[data-act=longer]").click()
    page.locator("#job progress").wait_for()
    assert page.locator("#divider").is_hidden()
    job |= {"layers": ["scene.tif"], "step": "Scoring by folds", "steps": [4, 4]}
    page.locator("#divider").wait_for()
    assert page.locator("#side-left").inner_text() == "map"
    job |= {"state": "done", "score": 0.43}
    until(lambda: "0.43" in page.locator("#job p").inner_text())
    assert page.locator("#job progress").is_hidden()


def test_it_fits_a_tablet(labeled, visit):
    page = visit(labeled.url, size=(820, 1180), has_touch=True, device_scale_factor=2)
    add_class(page, "field")
    page.locator("[data-tool=polygon]").tap()
    for button in page.locator("#toolbar .group button").all():
        box = button.bounding_box()
        assert min(box["width"], box["height"]) >= 40 and box["x"] + box["width"] <= 820
    for x, y in ((500, 500), (600, 500), (560, 600)):
        page.touchscreen.tap(x, y)
        page.wait_for_timeout(350)
    page.touchscreen.tap(500, 500)
    saved(page, 1)
    assert page.evaluate("() => document.documentElement.scrollWidth") == 820
