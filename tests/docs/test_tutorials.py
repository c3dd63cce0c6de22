"""The notebooks of the tutorials run from the first cell to the last, with small trainings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swath.commands import demo
from tests.commands.test_demo import fake_pip
from tests.docs.pages import DOCS, small_trainings
from tests.make import noise, write_png, write_raster

COLORS = np.array([[0xE2, 0xA9, 0x29], [0x84, 0x29, 0xF6], [0x6E, 0xC1, 0xE4]], np.uint8)
"""Colors of water, land and road in the masks of Dubai."""


def run(name: str) -> dict[str, Any]:
    """Run the cells of a notebook in the working folder, and return its names."""
    cells = json.loads((DOCS / "tutorials" / name).read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells if cell["cell_type"] == "code")
    names: dict[str, Any] = {}
    with small_trainings():
        for text in code:
            exec(text, names)
    return names


def test_rgb_tiles(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    codes = np.repeat([0, 1, 2], 32)[None].repeat(96, axis=0)
    for number in range(4):
        tile = Path("tiles") / f"Tile {number + 1}"
        image = noise(3, 96, 96, seed=number, high=60) + (codes * 60).astype(np.uint8)
        write_raster(tile / "images" / "x.jpg", image, driver="JPEG")
        write_png(tile / "masks" / "x.png", COLORS[codes].transpose(2, 0, 1))
    names = run("rgb-tiles.ipynb")
    assert set(names["names"]) == {"#E2A929", "#8429F6", "#6EC1E4"}
    assert names["scores"].miou is not None and names["codes"].shape == (96, 96)
    assert Path("report/index.html").is_file() and Path("map_confidence.tif").is_file()


@pytest.mark.slow
def test_the_world(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    fake_pip(tmp_path / "data")
    monkeypatch.setattr(demo, "fetch", lambda: tmp_path / "data")
    names = run("world.ipynb")
    assert len(names["prepared"].splits["test"].groups) == 14
    assert names["mapped"].pixels == 5400 * 2700
    assert {c.name for c in names["areas"].classes} >= {"water", "forest"}
    changed = names["changed"]
    assert 0 < changed.changed < changed.differ < changed.pixels
    assert Path("change-report/index.html").is_file()
