"""Scenes of other kinds: several bands, one band, degrees, products, arrays and virtual rasters."""

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.shutil import copy as copy_raster

import swath
from swath.commands import label
from swath.errors import DataError
from swath.io.vector import read_layer
from swath.server.labeling.quick.color_trainer import ColorTrainer
from tests.errors import fails
from tests.io.products.make import sentinel2
from tests.make import NORTH_UP, UTM, write_raster
from tests.server.labeling.conftest import Page, halves
from tests.server.labeling.page_user import SCREEN, PageUser, squares
from tests.server.screen import until

SCENES = {
    "12 bands": (halves(12, dtype=np.int16, low=-300, high=4000), UTM, NORTH_UP),
    "1 band": (halves(1, dtype=np.uint16, low=200, high=9000), UTM, NORTH_UP),
    "no CRS": (halves(4, dtype=np.float32), None, None),
    "degrees": (halves(), "EPSG:4326", Affine(1e-4, 0, 9, 0, -1e-4, 50)),
}


SLOW = ("1 band", "no CRS")
"""Of such scenes other tests of the page and of the server are fast."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in SCENES]
)
def test_a_scene_is_labeled_in_the_page(name, visit, tmp_path, monkeypatch):
    monkeypatch.setattr(label, "make_trainer", lambda layer, *_: ColorTrainer(layer))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    image, crs, transform = SCENES[name]
    scene = write_raster(tmp_path / "scene.tif", image, crs, transform)
    running = swath.label(scene, tmp_path / "l.gpkg", open=False)
    try:
        grid = running._session.layer.grid
        page = visit(running.url, size=SCREEN)
        user = PageUser(page, grid)
        user.whole_view()
        selects = page.locator("#layers .bands select")
        assert selects.count() == (3 if len(image) > 3 else 0)
        if selects.count():
            selects.first.select_option(str(len(image)))
        wanted = [np.array([[c, 30], [c + 30, 30], [c + 30, 70]]) for c in (20, 140)]
        for number, (title, corners) in enumerate(zip("ab", wanted, strict=True), 1):
            user.add_class(title)
            user.polygon(corners)
            user.saved(number)
        assert user.trained()["round"] >= 1
        layer = read_layer(tmp_path / "l.gpkg")
        found = running._session.geometry.to_pixels(layer.geometries)
        for shape, corners in zip(found, wanted, strict=True):
            assert shape.bounds == pytest.approx(shapely.Polygon(corners).bounds, abs=0.7)
        share = page.locator("#class-list em").first
        until(lambda: share.inner_text() in ("48 %", "49 %", "50 %", "51 %", "52 %"))
        codes, _ = running._session.quick.read(grid.window)
        assert (codes == np.where(np.arange(200) < 100, 1, 2)).mean() > 0.97
    finally:
        visit.leave()
        running.close()


def product(folder):
    return sentinel2(folder)


def array(folder):
    np.save(folder / "cube.npy", halves(4, dtype=np.float32))
    return folder / "cube.npy"


def virtual(folder):
    write_raster(folder / "scene.tif", halves(), UTM, NORTH_UP)
    copy_raster(folder / "scene.tif", folder / "scene.vrt", driver="VRT")
    return folder / "scene.vrt"


KINDS = {"product": product, "array": array, "virtual": virtual}


def label_both_halves(page):
    """Add two classes with labels, whatever the size of the scene."""
    for number, name in enumerate(("dark", "light")):
        page.post("classes", name=name)
        for row in (6, 26, 42):
            col = 4 + (page.grid.width // 2 + 4) * number
            assert page.add(page.box(col, row, 10, 6), name).status_code == 201


@pytest.mark.parametrize("kind", KINDS)
def test_what_predict_maps_is_labeled(kind, tmp_path, cached):
    scene = KINDS[kind](tmp_path)
    running = swath.label(scene, tmp_path / "l.gpkg", open=False)
    page = Page(running, running._session.layer.grid)
    try:
        shown = page.client.get("/scene").json()
        assert [row["kind"] for row in shown["layers"]] == ["image", "map", "confidence"]
        lon, lat = page.at(page.grid.width / 2, page.grid.height / 2)
        at = {"lon": lon, "lat": lat, "url": shown["layers"][0]["name"]}
        (values,) = page.client.get("/values", params=at).json().values()
        assert len(values["values"]) == len(page.get("state").json()["bands"])
        tile = page.client.get("/cog/tiles/WebMercatorQuad/0/0/0", params={"url": at["url"]})
        assert tile.status_code == 200 and tile.headers["content-type"] == "image/png"
        label_both_halves(page)
        assert page.train()["error"] is None
        _, percent = running._session.quick.read(page.grid.window)
        share = (percent <= 100).mean()  # of a product, without clouds and their shadows
        assert 0.4 < share < 0.8 if kind == "product" else share > 0.9
    finally:
        page.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_predict_maps_is_finished(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    scene = KINDS[kind](tmp_path)
    running = swath.label(scene, tmp_path / "l.gpkg", open=False)
    page = Page(running, running._session.layer.grid)
    try:
        label_both_halves(page)
        page.train()
        assert page.post("finish").status_code == 202
        job = page.until(lambda status: status["job"]["state"] != "running", 300)["job"]
        assert job["state"] == "done", job
        with rasterio.open(tmp_path / "l-map.tif") as made:
            assert (made.height, made.width) == (page.grid.height, page.grid.width)
            assert set(np.unique(made.read(1))) <= {0, 1, 2, 255}
    finally:
        page.close()


@pytest.mark.slow
def test_a_sentinel2_chip_is_labeled_by_the_quick_recipe(tmp_path, shared_data, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = "38D_378R_2_3.tif"
    with rasterio.open(shared_data / "sentinel2" / "labels" / name) as file:
        reference = file.read(1)
    codes, counts = np.unique(reference, return_counts=True)
    chosen = codes[np.argsort(-counts)][:3]
    scene = shared_data / "sentinel2" / "images" / name
    running = swath.label(scene, tmp_path / "l.gpkg", open=False)
    page = Page(running, running._session.layer.grid)
    try:
        assert len(page.get("state").json()["bands"]) == 12
        rng = np.random.default_rng(0)
        for code in chosen.tolist():
            page.post("classes", name=f"class {code}", code=code)
            for (col, row), *_ in squares(reference == code, 12, 6, rng).tolist():
                assert page.add(page.box(col, row, 6, 6), f"class {code}").status_code == 201
        assert page.train()["error"] is None
        mapped, _ = running._session.quick.read(page.grid.window)
        found = [(mapped == code)[reference == code].mean() for code in chosen]
        assert np.mean(found) > 0.5, found  # by chance a third
    finally:
        page.close()


def test_a_scene_that_is_none_or_several_is_refused(tmp_path, cached):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in "ab":
        write_raster(folder / f"{name}.tif", halves(), UTM, NORTH_UP)
    with fails("several-scenes", DataError, folder):
        swath.label(folder, tmp_path / "l.gpkg", open=False)
    with fails("no-such-file", DataError, tmp_path / "none.tif"):
        swath.label(tmp_path / "none.tif", tmp_path / "l.gpkg", open=False)
    (tmp_path / "text.tif").write_text("no image")
    with fails("unsupported-format", DataError, tmp_path / "text.tif"):
        swath.label(tmp_path / "text.tif", tmp_path / "l.gpkg", open=False)
    assert not (tmp_path / "l.gpkg").exists()
