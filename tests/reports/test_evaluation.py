"""The pages in a browser: at desktop and phone width, light and dark, without the network."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio

import swath
from swath.reports.evaluation import bands_of_dates
from tests.make import noise, write_pairs, write_raster

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
PAPER = {"light": (255, 255, 255), "dark": (18, 24, 30)}


@pytest.fixture(scope="module")
def pages(tiny_model, stripes, tmp_path_factory):
    """The report, the comparison and the findings of a folder with faults."""
    root = tmp_path_factory.mktemp("pages")
    swath.evaluate(tiny_model, stripes, report=root / "report")
    swath.compare(tiny_model, tiny_model, stripes, report=root / "compare")
    source = write_pairs(root / "source", ["a", "b", "c"])
    write_raster(source / "images" / "b.tif", noise(3, 64, 64, low=0, high=1))
    (source / "masks" / "c.png").unlink()
    swath.inspect(source, report=root / "inspect")
    return root


@pytest.mark.parametrize("name", ["report", "compare", "inspect"])
def test_pages_hold_all_they_show(pages, name):
    text = (pages / name / "index.html").read_text(encoding="utf-8")
    links = re.findall(r"(?:src|href)=\"([^\"]*)\"", text) + re.findall(r"url\(([^)]*)\)", text)
    assert all(link.startswith("data:") for link in links)
    assert "<script" not in text and "http" not in re.sub(r"data:image/png;base64,[^\"]*", "", text)
    assert not re.search(r"\{[{%]", text) and "Undefined" not in text


def test_findings_have_pictures(pages):
    text = (pages / "inspect" / "index.html").read_text(encoding="utf-8")
    assert "1 error, " in text
    assert "missing-mask" in text and "constant-band" in text and text.count("data:image/png") >= 2


@pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed, so nobody can look at the page"
)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("name", ["report", "inspect"])
def test_pages_in_a_browser(pages, tmp_path, name, width, scheme):
    picture = screenshot(pages / name / "index.html", tmp_path, width, scheme)
    assert picture.shape[:2] == (1400, width)
    assert tuple(picture[3, 3]) == PAPER[scheme]
    ink = np.abs(picture.astype(int) - PAPER[scheme]).max(axis=2) > 60
    assert 0.01 < ink.mean() < 0.6
    assert ink[:, -8:].mean() < 0.01  # nothing runs over the edge of the screen


def screenshot(page: Path, tmp_path: Path, width: int, scheme: str) -> np.ndarray:
    shot = tmp_path / "shot.png"
    subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--blink-settings=preferredColorScheme={int(scheme == 'light')}",
            f"--window-size={width},1400",
            f"--screenshot={shot}",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return seen(shot)


def seen(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()[:3].transpose(1, 2, 0)


def test_dates_of_a_stack_are_told_by_files_and_folders():
    two = [slice(0, 3), slice(3, 6)]
    assert bands_of_dates(["A/1.png", "B/1.png"], 6) == two
    assert bands_of_dates([f"{d}/B{i}.tif" for d in ("old", "new") for i in range(3)], 6) == two
    for sources, count in ((["a.tif"], 6), (["a.tif", "b.tif"], 4), (["r/1", "r/2", "s/1"], 3)):
        assert bands_of_dates(sources, count) == [slice(0, count)]
