"""The page in a real browser: drawing, swipe, clicks, keys; no request leaves the machine."""

import re

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform

import swath
from tests.make import NORTH_UP, UTM, write_jpeg, write_raster
from tests.server.screen import share, shot, until
from tests.server.test_layer import TABLE, write_map

GRAY = (200, 200, 200)
RED = (214, 40, 57)

HEIGHT, WIDTH = 300, 400


def codes():
    """Water in the west, town in the east, wood in the middle, no data in the north-west corner."""
    out = np.full((HEIGHT, WIDTH), 1, np.uint8)
    out[:, WIDTH // 2 :] = 2
    out[120:180, 160:240] = 7
    out[:40, :40] = 0
    return out


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """A page with image, map, reference, confidence and probabilities, all with a CRS."""
    folder = tmp_path_factory.mktemp("ground")
    path = write_map(folder / "m.tif", codes(), tiled=True, blockxsize=256, blockysize=256)
    image = write_raster(
        folder / "i.tif", np.full((3, HEIGHT, WIDTH), 200, np.uint8), UTM, NORTH_UP
    )
    labels = codes()
    labels[200:, 250:] = 1
    reference = write_raster(folder / "t.tif", labels, UTM, NORTH_UP, nodata=0)
    percent = np.full((HEIGHT, WIDTH), 83, np.uint8)
    write_raster(
        folder / "m_confidence.tif", percent, UTM, NORTH_UP, nodata=255, descriptions=["confidence"]
    )
    bands = np.stack([percent, percent // 8, percent // 12])
    write_raster(
        folder / "m_probabilities.tif",
        bands,
        UTM,
        NORTH_UP,
        nodata=255,
        descriptions=["water", "town", "wood"],
    )
    running = swath.view(path, image, reference=reference, open=False)
    yield running, path
    running.close()


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A page with a photograph and its map, without CRS."""
    folder = tmp_path_factory.mktemp("photo")
    path = write_map(folder / "m.tif", codes(), None, None)
    running = swath.view(
        path, write_jpeg(folder / "i.jpg", np.full((3, HEIGHT, WIDTH), 200, np.uint8)), open=False
    )
    yield running, path
    running.close()


def only(*names):
    return "#" + "&".join(f"on=1~~{name}" for name in names)


def middle(page):
    """Return where on the screen the middle of the map is."""
    west, north, east, south = (int(v) for v in bounds_on_screen(page))
    return (west + east) / 2, (north + south) / 2


def bounds_on_screen(page):
    drawn = np.abs(shot(page)[:, 380:] - page_ground(page)).max(axis=-1) > 6
    rows, cols = np.nonzero(drawn[:640])
    return cols.min() + 380, rows.min(), cols.max() + 380, rows.max()


def page_ground(page):
    return (
        (20, 25, 30)
        if page.locator("html").get_attribute("data-theme") == "dark"
        else (223, 227, 230)
    )


def card(page):
    rows = page.locator("#card tr")
    rows.first.wait_for()
    return {row.locator("th").inner_text(): row.locator("td").inner_text() for row in rows.all()}


def test_each_layer_is_drawn(visit, ground):
    page = visit(ground[0].url + only("m.tif"))
    until(
        lambda: (
            share(page, TABLE[1]) > 0.15
            and share(page, TABLE[2]) > 0.15
            and share(page, TABLE[7]) > 0.01
        )
    )
    assert share(page, GRAY) < 0.001 and share(page, TABLE[1]) == pytest.approx(
        share(page, TABLE[2]), abs=0.02
    )
    page = visit(ground[0].url + only("i.tif"))
    until(lambda: share(page, GRAY) > 0.3)
    page = visit(ground[0].url + only("m.tif | t.tif"))
    until(lambda: share(page, RED) > 0.03)
    page = visit(ground[0].url + only("m_confidence.tif"))
    with_color = share(page, (143, 136, 115))
    until(lambda: share(page, (209, 192, 92)) > 0.3)
    assert with_color < 0.001 and page.locator("#layers .ramp").count() == 1


def test_the_first_view_has_image_and_map_with_legend(visit, ground):
    page = visit(ground[0].url)
    until(lambda: share(page, tuple(round(0.7 * c + 0.3 * 200) for c in TABLE[1])) > 0.15)
    assert page.locator("#layers li").count() == 6
    names = page.locator("#classes button span").all_inner_texts()
    assert names == ["water", "town", "wood"]
    until(lambda: "%" in page.locator("#classes em").first.inner_text())
    shares = [float(text.rstrip(" %")) for text in page.locator("#classes em").all_inner_texts()]
    known = codes()
    assert shares == pytest.approx(
        [100 * (known == c).sum() / (known > 0).sum() for c in TABLE], abs=0.5
    )
    wrong = 100 * 100 * 150 / (known > 0).sum()
    assert float(page.locator("#differing").inner_text().split()[0]) == pytest.approx(
        wrong, abs=0.5
    )
    assert page.locator("#scale span").inner_text().endswith("m")


def test_the_swipe_line_parts_two_layers(visit, ground):
    page = visit(ground[0].url + only("i.tif", "m.tif") + "&swipe=i.tif&swipe=m.tif&swipe=0.7")
    until(
        lambda: (
            share(page, GRAY, np.s_[:, 380:690]) > 0.3
            and share(page, TABLE[2], np.s_[:, 712:]) > 0.3
        )
    )
    assert (
        share(page, TABLE[1], np.s_[:, 380:690]) < 0.001
        and share(page, GRAY, np.s_[:, 712:]) < 0.001
    )
    line = page.locator("#divider")
    box = line.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, 350)
    page.mouse.down()
    page.mouse.move(450, 350, steps=4)
    page.mouse.up()
    assert float(line.get_attribute("aria-valuenow")) == 45
    until(lambda: share(page, TABLE[1], np.s_[:, 470:]) > 0.1)
    line.focus()
    page.keyboard.press("ArrowRight")
    assert float(line.get_attribute("aria-valuenow")) == 47
    page.select_option("#pair-left", "t.tif")
    until(lambda: share(page, TABLE[1], np.s_[:, 380:460]) > 0.3)
    page.locator("#swipe").uncheck()
    assert line.is_hidden()


def test_a_click_reads_what_rasterio_reads(visit, ground):
    page = visit(ground[0].url + only("m.tif"))
    until(lambda: share(page, TABLE[2]) > 0.15)
    west, north, east, south = bounds_on_screen(page)
    with rasterio.open(ground[1]) as dataset:
        for across, down in ((0.3, 0.7), (0.7, 0.3), (0.5, 0.5), (0.52, 0.45), (0.03, 0.03)):
            page.mouse.click(west + across * (east - west), north + down * (south - north))
            page.wait_for_timeout(400)
            found = card(page)
            lon, lat = map(float, found["Longitude, latitude"].split(","))
            (x,), (y,) = transform("EPSG:4326", UTM, [lon], [lat])
            code = int(next(dataset.sample([(x, y)]))[0])
            name = {0: "no data", 1: "water", 2: "town", 7: "wood"}[code]
            assert found["Map"] == name
            row, col = map(int, dataset.index(x, y))
            assert found["Column, row"] == f"{col}, {row}"
            assert (
                found["Image"] == "200, 200, 200"
                and found["Confidence"] == "83 %"
                and found["Water"] == "83 %"
            )
    page.keyboard.press("Escape")
    assert page.locator("#card").is_hidden()


def test_classes_are_switched_off_and_on(visit, ground):
    page = visit(ground[0].url + only("m.tif"))
    until(lambda: share(page, TABLE[1]) > 0.15)
    button = page.locator("#classes button", has_text="water")
    button.click()
    until(lambda: share(page, TABLE[1]) < 0.001)
    assert button.get_attribute("aria-pressed") == "false" and share(page, TABLE[2]) > 0.15
    assert "hide=1" in page.evaluate("() => location.hash")
    page.keyboard.press("a")
    until(lambda: share(page, TABLE[1]) > 0.15)


def test_classes_of_two_legends_with_one_code_are_hidden_apart(visit, tmp_path):
    paths = []
    for name, half in (("pond", np.s_[:, :200]), ("field", np.s_[:, 200:])):
        known = np.zeros((HEIGHT, WIDTH), np.uint8)
        known[half] = 1
        path = write_raster(tmp_path / f"{name}.tif", known, UTM, NORTH_UP, nodata=0)
        with rasterio.open(path, "r+") as file:
            file.write_colormap(1, {1: TABLE[1 if name == "pond" else 2]})
            file.update_tags(1, class_1=name)
        paths.append(path)
    running = swath.view(paths[0], None, paths[1:], open=False)
    both = "#on=1~~pond.tif&on=1~~field.tif"
    page = visit(running.url + both)
    until(lambda: share(page, TABLE[1]) > 0.15 and share(page, TABLE[2]) > 0.15)
    assert page.locator("#classes button span").all_inner_texts() == ["field", "pond"]
    page.locator("#classes button", has_text="pond").click()
    until(lambda: share(page, TABLE[1]) < 0.001)
    assert share(page, TABLE[2]) > 0.15
    again = visit(page.url)
    until(lambda: share(again, TABLE[2]) > 0.15)
    assert share(again, TABLE[1]) < 0.001
    older = visit(running.url + f"{both}&hide=1")
    pressed = [b.get_attribute("aria-pressed") for b in older.locator("#classes button").all()]
    assert pressed == ["false", "false"]
    visit.leave()
    running.close()


def test_a_photograph_works_in_pixels(visit, photo):
    page = visit(photo[0].url + only("m.tif"))
    until(lambda: share(page, TABLE[2]) > 0.15)
    west, north, east, south = bounds_on_screen(page)
    assert (east - west) / (south - north) == pytest.approx(WIDTH / HEIGHT, abs=0.02)
    known = codes()
    for across, down in ((0.25, 0.75), (0.5, 0.5), (0.9, 0.2)):
        page.mouse.click(west + across * (east - west), north + down * (south - north))
        page.wait_for_timeout(400)
        found = card(page)
        col, row = map(int, found["Column, row"].split(","))
        assert (col, row) == pytest.approx((across * WIDTH, down * HEIGHT), abs=4)
        assert found["Map"] == {1: "water", 2: "town", 7: "wood"}[int(known[row, col])]
        assert "Longitude, latitude" not in found
    assert page.locator("#scale span").inner_text().endswith("px")
    assert re.fullmatch(r"column \d+, row \d+", page.locator("#readout").inner_text())


@pytest.mark.slow
def test_a_link_restores_the_view(visit, ground):
    page = visit(ground[0].url)
    page.keyboard.press("3")
    page.keyboard.press("s")
    for key in (",", ",", "[", "i"):
        page.keyboard.press(key)
    page.locator("#classes button", has_text="town").click()
    page.locator("#stage").hover()
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(1200)
    link = page.evaluate("() => location.href")
    again = visit(link)
    again.wait_for_timeout(500)
    describe = """() => {
        const $ = (text) => document.querySelector(text);
        const all = (text) => [...document.querySelectorAll(text)];
        return JSON.stringify([all('#layers input').map(i => [i.checked, i.value]),
            $('#divider').getAttribute('aria-valuenow'), $('#pair-left').value,
            all('#classes button').map(b => b.getAttribute('aria-pressed')),
            $('#card').innerText, $('#scale').innerText]); }"""
    assert again.evaluate(describe) == page.evaluate(describe)
    assert "zoom" not in link and "town" not in page.evaluate("() => document.title")


@pytest.mark.slow
def test_all_of_it_works_by_keyboard(visit, ground):
    page = visit(ground[0].url)
    boxes = page.locator("#layers input[type=checkbox]")
    before = [box.is_checked() for box in boxes.all()]
    for key in "123456":
        page.keyboard.press(key)
    assert [box.is_checked() for box in page.locator("#layers input[type=checkbox]").all()] == [
        not on for on in before
    ]
    theme = page.locator("html").get_attribute("data-theme")
    page.keyboard.press("t")
    assert {theme, page.locator("html").get_attribute("data-theme")} == {"light", "dark"}
    page.keyboard.press("p")
    assert page.locator("#body").is_hidden()
    page.keyboard.press("p")
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#keys").is_hidden()
    center = "() => location.hash.match(/at=([^&]*)/)[1]"
    start = page.evaluate(center)
    until(
        lambda: page.keyboard.press("ArrowLeft") or page.evaluate(center) != start
    )  # once, one press of many runs was lost
    moved = page.evaluate(center)
    page.keyboard.press("+")
    until(lambda: float(page.evaluate(center).split("%2C")[2]) > float(moved.split("%2C")[2]) + 0.9)
    page.keyboard.press("0")
    until(lambda: page.evaluate(center) == start)
    page.keyboard.press("i")
    assert "Column, row" in card(page)
    seen = set()
    for _ in range(24):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("() => document.activeElement.id || document.activeElement.tagName"))
    assert len(seen) > 5


def test_it_fits_a_phone(visit, photo):
    page = visit(
        photo[0].url, size=(390, 844), has_touch=True, is_mobile=True, device_scale_factor=2
    )
    panel = page.locator("#panel").bounding_box()
    assert (
        panel["width"] == 390 and panel["y"] > 844 * 0.5 and panel["y"] + panel["height"] <= 844.5
    )
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    for button in page.locator(".tools button").all():
        assert button.bounding_box()["width"] >= 38
    page.locator("#fold").tap()
    assert page.locator("#body").is_hidden()
    page.locator("#fold").tap()
    page.touchscreen.tap(195, 200)
    page.wait_for_timeout(600)
    assert "Column, row" in card(page) or page.locator("#card").inner_text()


def test_what_cannot_be_shown_is_said(visit, ground, browser):
    page = browser.new_page()
    page.goto(ground[0].url + "?map=absent.tif")
    page.wait_for_selector("#layers .empty")
    assert "no such file" in page.locator("#layers").inner_text()
    page.close()
    visit(ground[0].url)


def test_fewer_pixels_are_drawn_while_the_view_moves_slowly(visit, ground):
    page = visit(ground[0].url)
    width = "() => document.querySelector('#left canvas').width"
    whole = page.evaluate(width)

    def place():
        """Return the longitude of the view, and its degrees for each pixel of the screen."""
        found = re.search(r"at=([^&]+)", page.evaluate("() => location.hash"))[1].split("%2C")
        return float(found[0]), 360 / (512 * 2 ** float(found[2]))

    page.mouse.move(600, 400)
    page.mouse.down()
    page.mouse.move(610, 400)
    page.mouse.up()
    until(lambda: "at=" in page.evaluate("() => location.hash"))
    page.wait_for_timeout(500)
    before, pixel = place()
    page.evaluate("""() => {
      const slow = () => {
        const end = performance.now() + 70;
        while (performance.now() < end);
        window.slowed = requestAnimationFrame(slow);
      };
      slow();
    }""")
    page.mouse.move(600, 400)
    page.mouse.down()
    for i in range(40):
        page.mouse.move(600 + 5 * i, 400)
        page.wait_for_timeout(50)
    assert page.evaluate(width) < 0.6 * whole
    page.evaluate("() => cancelAnimationFrame(window.slowed)")
    page.wait_for_timeout(500)  # so that it does not glide on
    page.mouse.up()
    until(lambda: page.evaluate(width) == whole)
    until(lambda: abs(before - place()[0] - 195 * pixel) < 8 * pixel)
    page.wait_for_timeout(400)
    assert page.evaluate(width) == whole
