"""The page of a change: its table and flow by hand, and the page in a browser."""

import re

import numpy as np
import pytest

import swath
from swath.legend import LandClass
from swath.reports.change import HEIGHT, draw_flow, matrix_of
from swath.transitions import Transitions
from tests.make import NORTH_UP, UTM, noise, write_raster
from tests.mapping.change.made import two_dates, write_date
from tests.reports.test_evaluation import CHROMIUM, PAPER, screenshot

NAMES = ("water", "forest", "field")
LAND = Transitions(tuple(LandClass(n, (i,), i, f"#10{i}0{i}0") for i, n in enumerate(NAMES, 1)))
ROWS = [
    {"old": "water", "new": "field", "code": 13, "pixels": 300, "hectares": 3.0},
    {"old": "forest", "new": "field", "code": 23, "pixels": 100, "hectares": 1.0},
    {"old": "water", "new": "water", "code": 11, "pixels": 5000, "hectares": 50.0},
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("change")
    two_dates(folder, size=256)
    swath.change(folder / "old.tif", folder / "new.tif", folder / "c.tif", report=folder / "report")
    return folder / "report" / "index.html"


def test_the_table_has_sums():
    matrix = matrix_of(ROWS, NAMES, "hectares")
    assert matrix[0] == [50.0, None, 3.0, 53.0]
    assert matrix[1] == [None, None, 1.0, 1.0] and matrix[3] == [50.0, None, 4.0, 54.0]


def test_bands_are_as_high_as_areas_are_large():
    bars, bands = draw_flow(ROWS, LAND, "hectares")
    left = {bar.name: bar for bar in bars if bar.x == 0}
    right = {bar.name: bar for bar in bars if bar.x > 0}
    assert set(left) == {"water", "forest"} and set(right) == {"field"}
    assert left["water"].height == pytest.approx(3 * left["forest"].height)
    assert right["field"].height == HEIGHT and right["field"].text == "4.0 ha"
    assert left["forest"].y + left["forest"].height == pytest.approx(HEIGHT)
    assert [band.title for band in bands] == [
        "water to field: 3.0 hectares",
        "forest to field: 1.0 hectares",
    ]
    start, stop = (float(re.search(p, bands[0].path)[1]) for p in (r"M18.0 (\S+)", r"(\S+) Z"))
    assert stop - start == pytest.approx(left["water"].height, abs=0.1)
    assert draw_flow(ROWS[2:], LAND, "hectares") == ([], [])


def test_the_page_holds_all_it_shows(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"(?:src|href)=\"([^\"]*)\"", text)
    assert links and all(link.startswith("data:") for link in links)
    assert "<script" not in text and "Undefined" not in text
    assert "Surest changes" in text and "Least sure changes" in text
    assert text.count('class="flow"') >= 4 and "estimated from the maps" in text
    sure = [int(n) for n in re.findall(r"probability of change (\d+)%", text)]
    assert len(sure) == 6 and min(sure[:3]) >= max(sure[3:]) >= 80


def test_the_page_of_a_model_shows_both_images_and_that_of_a_series_its_dates(tmp_path, tiny_model):
    images = [
        write_raster(tmp_path / f"{i}.tif", noise(3, 96, 96, seed=i), UTM, NORTH_UP)
        for i in range(2)
    ]
    options = {"report": tmp_path / "one", "at_least": 0.01, "prior": 0.5}
    result = swath.change(tiny_model, *images, [tmp_path / "c.tif"], **options)
    text = (tmp_path / "one" / "index.html").read_text(encoding="utf-8")
    assert result.report == str(tmp_path / "one" / "index.html")
    assert ("old image" in text) == (result.changed > 0)
    codes = np.ones((3, 40, 40), int)
    codes[1:, 5:20, 5:20] = 2
    maps = [write_date(tmp_path / f"m{2018 + i}.tif", one) for i, one in enumerate(codes)]
    swath.change(*maps, [tmp_path / "s.tif"], dates=True, report=tmp_path / "two")
    text = (tmp_path / "two" / "index.html").read_text(encoding="utf-8")
    assert "When it changed" in text and "2018 to 2020" in text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_in_a_browser(page, tmp_path, width, scheme):
    picture = screenshot(page, tmp_path, width, scheme)
    assert tuple(picture[3, 3]) == PAPER[scheme]
    ink = np.abs(picture.astype(int) - PAPER[scheme]).max(axis=2) > 60
    assert 0.01 < ink.mean() < 0.7
    assert ink[:, -8:].mean() < 0.01  # nothing runs over the edge of the screen
