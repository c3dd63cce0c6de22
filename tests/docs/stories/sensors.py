"""The pages on sensors, run from download to map on miniatures of the products that they name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from tests.docs.pages import Stories, Story
from tests.io.products import make
from tests.io.products.make import LANDSAT_NAMES, PLANET, S2_NAME
from tests.make import box, write_layer

NEXT = "20220612_101043_86_242b_3B"
LATER = "S2B_MSIL2A_20220702T101049_N0400_R022_T32TQM_20220702T131045"


def sized(story: Callable[[], Story], side: int) -> Callable[[], Story]:
    """Return a story whose products have so many pixels a side."""

    def told() -> Story:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(make, "SIDE", side)
            yield from story()

    return told


def draw_fields(pixels: int, meters: int) -> None:
    """Write `fields.gpkg`: two classes in bands of an eighth of the scene."""
    transform = from_origin(500_000, 5_600_000, meters, meters)
    wide = pixels // 8
    parts = [box(0, i * wide, pixels, wide, transform) for i in range(8)]
    write_layer(Path("fields.gpkg"), parts, {"class": ["wheat", "maize"] * 4})


def read(path: str) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


def sentinel_2() -> Story:
    for name in (S2_NAME, LATER):
        make.sentinel2(Path("downloads"), name, copies=False)
    draw_fields(make.SIDE, 10)
    looked, prepared, _, scored, every, plan, mapped, many = yield
    (product,) = looked.result["products"]
    assert (product["baseline"], len(product["bands"])) == ("04.00", 12)
    assert prepared.result["bands"] == ["blue", "green", "red", "nir", "swir16"]
    assert set(prepared.result["read"]["dropped"]) >= {"cloud", "shadow"}
    assert scored.result["classes"] and plan.result["seconds"] > 0
    assert mapped.result["nodata"] > every.result["nodata"]
    assert (read("map.tif") == read(f"maps/{S2_NAME}.tif")).all()
    assert Path(f"maps/{LATER}.tif").is_file()
    assert prepared.result["images"] == 2 and "split-leak" not in prepared.findings
    assert read("map.tif").shape == (make.SIDE, make.SIDE) and Path("map_confidence.tif").exists()


def landsat() -> Story:
    make.tarred(make.landsat(Path("x"))).rename(_folder("downloads") / f"{LANDSAT_NAMES[9]}.tar")
    make.landsat(Path("archive"), 5)
    draw_fields(make.SIDE // 3, 30)
    looked, prepared, _, _, usual, snow, _, mapped, older = yield
    assert [q["kind"] for q in looked.result["products"][0]["quality"]] == ["qa_pixel", "qa_radsat"]
    bands = ["blue", "green", "red", "nir08", "swir16", "swir22"]
    assert prepared.result["bands"] == bands
    assert usual.result["read"]["dropped"] == {"cloud": 0.25}
    assert "cloud" not in snow.result["read"]["dropped"]
    assert mapped.result["nodata"] == older.result["nodata"] == make.SIDE**2 // 36
    assert read("map-1996.tif").shape == (make.SIDE // 3, make.SIDE // 3)


def planetscope() -> Story:
    for scene in (PLANET, NEXT):
        make.planetscope(Path("order"), scene=scene)
    make.planetscope(Path("older"), 4)
    draw_fields(make.SIDE // 3, 3)
    looked, prepared, _, _, hazy, plan, mapped, older = yield
    assert [q["kind"] for q in looked.result["products"][0]["quality"]] == ["udm2"]
    assert prepared.result["bands"] == ["blue", "green", "red", "nir"]
    assert hazy.result["read"]["dropped"] == {"cloud": 0.25}
    for scene in (PLANET, NEXT):
        assert Path(f"maps/{scene}_AnalyticMS_SR_8b.tif").is_file()
    assert older.result["nodata"] == make.SIDE**2 // 36


def _folder(name: str) -> Path:
    Path(name).mkdir()
    return Path(name)


STORIES: Stories = {
    ("how-to/sentinel-2.md", ""): sized(sentinel_2, 240),
    ("how-to/landsat.md", ""): sized(landsat, 600),
    ("how-to/planetscope.md", ""): sized(planetscope, 600),
}
