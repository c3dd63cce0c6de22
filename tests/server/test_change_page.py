"""The page of a map of change: legend, list of the largest changes, swipe between dates."""

import httpx2
import numpy as np
import pytest
import rasterio

import swath
from tests.make import NORTH_UP, UTM, write_raster
from tests.mapping.change.made import write_date
from tests.server.screen import share, until


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A map of change between two dates, the maps of both dates, and their images."""
    folder = tmp_path_factory.mktemp("change")
    old = np.zeros((300, 400), int)
    old[:, 200:] = 1
    new = old.copy()
    new[40:100, 40:120] = 2
    new[200:240, 300:340] = 0
    for name, one in (("old", old), ("new", new)):
        write_date(folder / f"c_{name}.tif", one + 1)
        image = np.full((3, 300, 400), 60 if name == "old" else 200, np.uint8)
        write_raster(folder / f"{name}.tif", image, UTM, NORTH_UP)
    swath.change(folder / "c_old.tif", folder / "c_new.tif", folder / "c.tif")
    return folder


@pytest.fixture(scope="module")
def page_of_change(folder):
    running = swath.view(folder / "c.tif", folder / "old.tif", [folder / "new.tif"], open=False)
    yield running
    running.close()


def test_the_largest_changes_are_listed(folder):
    running = swath.serve([folder], port=0)
    with httpx2.Client(base_url=running.url, timeout=20) as client:
        ask_for_changes(client)
    running.close()


def ask_for_changes(client):
    names = ("c.tif", "old.tif")
    found = client.get("/changes", params={"url": names[0]}).json()
    assert [(row["name"], row["pixels"]) for row in found] == [
        ("water to field", 4800),
        ("forest to water", 1600),
    ]
    west, south, east, north = found[0]["bounds"]
    lon, lat = found[0]["point"]
    assert west < lon < east and south < lat < north
    answer = client.get("/values", params={"url": names[0], "lon": lon, "lat": lat}).json()
    assert answer[names[0]]["class"] == "water to field"
    answer = client.get("/changes", params={"url": names[1]})
    assert answer.status_code == 400 and answer.json()["code"] == "not-a-change-map"
    scene = client.get(
        "/scene", params={"map": names[0], "with": ["c_old.tif", "c_new.tif"]}
    ).json()
    assert [row["name"] for row in scene["differences"]] == ["c_old.tif | c_new.tif"]
    layer = next(row for row in scene["layers"] if row["name"] == names[0])
    assert layer["change"] and layer["unchanged"] == [11, 22]


def test_changes_lie_over_the_image_with_legend_and_list(visit, page_of_change):
    page = visit(page_of_change.url)
    assert page_of_change.layers[-1] == "c.tif"
    names = page.locator("#classes button").all()
    pressed = {n.locator("span").inner_text(): n.get_attribute("aria-pressed") for n in names}
    assert pressed["water to field"] == "true" and pressed["water (no change)"] == "false"
    assert page.locator("#changes h2").inner_text() == "Largest changes"
    rows = page.locator("#largest button")
    assert rows.count() == 2 and "48 ha" in rows.first.inner_text()
    until(lambda: share(page, (60, 60, 60)) > 0.2)
    color = page.evaluate("getComputedStyle(document.querySelector('#largest i')).backgroundColor")
    red = [int(text) for text in color[4:-1].split(",")]
    drawn = tuple(round(0.7 * c + 0.3 * 60) for c in red)
    until(lambda: 0.001 < share(page, drawn) < 0.2)
    before = share(page, drawn)
    rows.first.click()
    page.locator("#card:not([hidden])").wait_for()
    assert page.locator("#card h2 span").inner_text() == "water to field"
    until(lambda: share(page, drawn) > 2 * before)


def test_the_swipe_parts_the_images_of_both_dates(visit, page_of_change):
    page = visit(page_of_change.url)
    page.keyboard.press("s")
    left, right = (page.locator(f"#pair-{side}").input_value() for side in ("left", "right"))
    assert (left, right) == ("old.tif", "new.tif")
    names = page.locator("#classes button span").all_inner_texts()
    assert "water to field" in names and "water" not in names
    until(lambda: share(page, (60, 60, 60)) > 0.1 and share(page, (200, 200, 200)) > 0.1)


def test_classes_of_dates_with_codes_of_unchanged_ones_are_not_hidden(visit, tmp_path):
    for date, edge in (("old", 200), ("new", 220)):
        codes = np.full((300, 400), 11, np.uint8)
        codes[:, edge:] = 22
        path = write_raster(tmp_path / f"c_{date}.tif", codes, UTM, NORTH_UP)
        with rasterio.open(path, "r+") as file:
            file.update_tags(1, class_11="pond", class_22="town")
    swath.change(tmp_path / "c_old.tif", tmp_path / "c_new.tif", tmp_path / "c.tif")
    with httpx2.Client() as client:
        running = swath.view(tmp_path / "c.tif", open=False)
        layers = client.get(f"{running.url}scene").json()["layers"]
    names = {row["name"]: {one["name"] for one in row["classes"]} for row in layers}
    assert names["c_old.tif"] == {"pond", "town"} and "pond (no change)" in names["c.tif"]
    page = visit(running.url)
    page.get_by_role("checkbox", name="c_old.tif", exact=True).click()
    pressed = {
        b.locator("span").inner_text(): b.get_attribute("aria-pressed")
        for b in page.locator("#classes button").all()
    }
    assert pressed["pond"] == pressed["town"] == "true"
    assert pressed["pond (no change)"] == pressed["town (no change)"] == "false"
    visit.leave()
    running.close()
