"""Quality layers in predict, prepare and inspect: what they drop, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import swath
from swath.cli.summaries import inspect as inspect_text
from swath.cli.summaries import predict as predict_text
from swath.cli.summaries import prepare as prepare_text
from swath.errors import DataError, UsageError
from tests.errors import fails
from tests.make import NORTH_UP, UTM, box, noise, write_layer, write_model, write_raster

SIDE, CLOUDS = 64, 20
SHARE = CLOUDS / SIDE
UDM2 = ("clear", "snow", "shadow", "haze_light", "haze_heavy", "cloud", "confidence", "unusable")


def split(clear: float, cloud: float, dtype: str = "uint8") -> np.ndarray:
    out = np.full((SIDE, SIDE), clear, dtype)
    out[:, :CLOUDS] = cloud
    return out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model, an image, and each kind of quality layer: the first 20 columns are clouds."""
    write_model(tmp_path / "m.swath")
    write_raster(tmp_path / "x.tif", noise(3, SIDE, SIDE), UTM, NORTH_UP)
    udm2 = np.zeros((8, SIDE, SIDE), np.uint8)
    udm2[0], udm2[5] = split(1, 0), split(0, 1)
    q = tmp_path / "q"
    write_raster(q / "QA_PIXEL.tif", split(21824, 22280, "uint16"), UTM, NORTH_UP, 1)
    write_raster(q / "SCL.tif", split(4, 9), UTM, NORTH_UP, 0)
    write_raster(q / "udm2.tif", udm2, UTM, NORTH_UP, descriptions=UDM2)
    write_raster(q / "Fmask.tif", split(64, 66), UTM, NORTH_UP, 255)
    write_raster(q / "prob.tif", split(3.25, 90.5, "float32"), UTM, NORTH_UP)
    write_raster(q / "cloud.tif", split(0, 1), UTM, NORTH_UP)
    write_layer(q / "clouds.gpkg", [box(0, 0, SIDE, CLOUDS)], {"kind": ["cloud"]})
    write_layer(
        tmp_path / "f.gpkg",
        [box(0, 0, SIDE, 32), box(0, 32, SIDE, 32)],
        {"class": ["a", "b"]},
    )
    return tmp_path


LAYERS = {
    "QA_PIXEL.tif": "cloud",
    "SCL.tif": "cloud",
    "udm2.tif": "cloud",
    "Fmask.tif": "cloud",
    "prob.tif": "cloud",
    "cloud.tif": "unusable",
    "clouds.gpkg": "unusable",
}


@pytest.mark.parametrize("name", LAYERS)
def test_predict_drops_clouds(folder: Path, name: str) -> None:
    target = folder / "map.tif"
    result = swath.predict(
        folder / "m.swath", folder / "x.tif", target, quality=folder / "q" / name
    )
    assert result.dropped == {LAYERS[name]: SHARE} and result.warnings == []
    assert result.nodata == SIDE * CLOUDS
    with rasterio.open(target) as made:
        assert (made.read(1) == 0).tolist() == (split(0, 1) == 1).tolist()
    assert f"{LAYERS[name]} {SHARE:.1%}" in predict_text(result)


@pytest.mark.parametrize("name", LAYERS)
def test_prepare_ignores_clouds(folder: Path, name: str) -> None:
    result = swath.prepare(
        folder,
        folder / "ds",
        images="x.tif",
        labels="f.gpkg",
        quality=f"q/{name}",
        test="none",
        val="none",
    )
    assert result.read.dropped == {LAYERS[name]: SHARE}
    assert sum(c.pixels for c in result.classes) == SIDE * (SIDE - CLOUDS)
    assert f"{LAYERS[name]} {SHARE:.1%}" in prepare_text(result)
    manifest = json.loads((folder / "ds" / "dataset.json").read_text(encoding="utf-8"))
    valid = np.load(folder / "ds" / manifest["images"][0]["valid"])
    assert (valid == (split(1, 0) == 1)).all()


def test_inspect_reports_what_is_dropped(folder: Path) -> None:
    given: dict[str, Any] = {"images": "x.tif", "labels": "f.gpkg", "quality": "q/SCL.tif"}
    result = swath.inspect(folder, **given)
    assert result.read is not None and result.read.dropped == {"cloud": SHARE}
    assert f"cloud {SHARE:.1%}" in inspect_text(result)
    result = swath.inspect(folder, **given, drop="none")
    assert result.read is not None and result.read.dropped == {}


def test_what_is_dropped_is_chosen(folder: Path) -> None:
    model, image = folder / "m.swath", folder / "x.tif"
    scl = split(4, 11)
    scl[:4] = 3
    path = write_raster(folder / "q" / "SCL.tif", scl, UTM, NORTH_UP, 0)
    given: dict[str, Any] = {"quality": str(path)}
    usual = swath.predict(model, image, folder / "a.tif", **given)
    assert usual.dropped == {"shadow": 4 / SIDE}
    snow = swath.predict(model, image, folder / "b.tif", **given, drop="snow")
    assert snow.dropped == {"snow": (SIDE - 4) * CLOUDS / SIDE**2}
    none = swath.predict(model, image, folder / "c.tif", **given, drop="none")
    assert none.dropped == {} and none.nodata == 0
    with fails("option-value", UsageError):
        swath.predict(model, image, folder / "d.tif", **given, drop="clouds")


@pytest.mark.parametrize(("limit", "nodata"), [(40, SIDE * CLOUDS), (95, 0), (3, SIDE * SIDE)])
def test_clear_below(folder: Path, limit: float, nodata: int) -> None:
    given: dict[str, Any] = {"quality": str(folder / "q" / "prob.tif"), "clear_below": limit}
    result = swath.predict(folder / "m.swath", folder / "x.tif", folder / "map.tif", **given)
    assert result.nodata == nodata


def test_the_kind_can_be_told(folder: Path) -> None:
    path = write_raster(folder / "q" / "classes.tif", split(4, 9), UTM, NORTH_UP)
    model, image = folder / "m.swath", folder / "x.tif"
    with fails("quality-unknown", DataError, path):
        swath.predict(model, image, folder / "map.tif", quality=str(path))
    result = swath.predict(model, image, folder / "map.tif", quality=f"scl:{path}")
    assert result.dropped == {"cloud": SHARE}


@pytest.mark.parametrize("name", ["QA_PIXEL.tif", "SCL.tif", "udm2.tif", "Fmask.tif", "prob.tif"])
@pytest.mark.parametrize("command", ["predict", "prepare"])
def test_mask_refuses_what_is_no_mask(folder: Path, name: str, command: str) -> None:
    path = folder / "q" / name
    with fails("not-a-mask", DataError, path) as caught:
        if command == "predict":
            swath.predict(folder / "m.swath", folder / "x.tif", folder / "map.tif", mask=str(path))
        else:
            given: dict[str, Any] = {"images": "x.tif", "labels": "f.gpkg", "mask": f"q/{name}"}
            swath.prepare(folder, folder / "ds", **given, test="none", val="none")
    option, _, value = str(caught.value.fix).partition("--quality ")[2].partition(":")
    assert option in str(caught.value.fix)
    result = swath.predict(
        folder / "m.swath",
        folder / "x.tif",
        folder / "map.tif",
        quality=f"{option}:{value.rstrip('.')}",
    )
    assert result.dropped == {"cloud": SHARE}


@pytest.mark.parametrize("command", ["predict", "prepare"])
@pytest.mark.parametrize("kind", ["raster", "polygons"])
def test_layers_that_miss_are_errors(folder: Path, command: str, kind: str) -> None:
    path = folder / "q" / "far.gpkg"
    if kind == "raster":
        far = from_origin(900_000, 5_600_000, 10, 10)
        path = write_raster(folder / "q" / "far_SCL.tif", split(4, 9), UTM, far)
    else:
        write_layer(path, [box(0, 9000, 10, 10)], {"kind": ["cloud"]})
    with fails("quality-misses-image", DataError, path):
        if command == "predict":
            swath.predict(
                folder / "m.swath", folder / "x.tif", folder / "map.tif", quality=str(path)
            )
        else:
            given: dict[str, Any] = {"images": "x.tif", "labels": "f.gpkg", "quality": str(path)}
            swath.prepare(folder, folder / "ds", **given, test="none", val="none")


def test_what_lies_outside_is_said(folder: Path) -> None:
    path = write_raster(folder / "q" / "SCL.tif", split(4, 9)[:, :40], UTM, NORTH_UP)
    result = swath.predict(
        folder / "m.swath", folder / "x.tif", folder / "map.tif", quality=str(path)
    )
    assert result.dropped == {"cloud": SHARE} and "37.5%" in result.warnings[0]
    given: dict[str, Any] = {"images": "x.tif", "labels": "f.gpkg", "quality": str(path)}
    findings = swath.inspect(folder, **given).findings
    assert [f["level"] for f in findings if f["code"] == "quality-partial"] == ["warning"]


def test_each_image_has_its_own_layer(folder: Path) -> None:
    images = [write_raster(folder / "im" / f"{n}.tif", noise(3, 64, 64, seed=k), UTM, NORTH_UP)
              for k, n in enumerate("abc")]  # fmt: skip
    write_raster(folder / "q" / "a_SCL_20m.tif", split(4, 9)[::2, ::2], UTM,
                 from_origin(500_000, 5_600_000, 20, 20))  # fmt: skip
    write_raster(folder / "q" / "b_SCL_20m.tif", split(4, 10), UTM, NORTH_UP)
    for pattern in ("*_SCL_20m.tif", "{id}_SCL_20m.tif"):
        maps = folder / f"maps{len(pattern)}"
        result = swath.predict(
            folder / "m.swath", images, maps, quality=str(folder / "q" / pattern)
        )
        assert result.dropped == {"cloud": SHARE / 3, "cirrus": SHARE / 3}
        assert len(result.warnings) == 1 and "c.tif" in result.warnings[0]
        for name in "abc":
            with rasterio.open(maps / f"{name}.tif") as made:
                expected = np.zeros((SIDE, SIDE), bool) if name == "c" else split(0, 1) == 1
                assert ((made.read(1) == 0) == expected).all()


def test_layers_beside_the_images_are_no_images(tmp_path: Path) -> None:
    for k, name in enumerate("ab"):
        write_raster(tmp_path / "s" / "images" / f"{name}.tif", noise(3, 64, 64, seed=k))
        write_raster(tmp_path / "s" / "images" / f"{name}_SCL.tif", split(4, 9))
        write_raster(tmp_path / "s" / "masks" / f"{name}.tif", noise(1, 64, 64, high=3))
    for given in (
        {"quality": "images/*_SCL.tif"},
        {
            "images": "images/{id}.tif",
            "labels": "masks/{id}.tif",
            "quality": "images/{id}_SCL.tif",
        },
    ):
        result = swath.inspect(tmp_path / "s", **given)
        assert result.images == 2 and result.ok, result.findings
        assert result.read is not None and result.read.dropped == {"cloud": SHARE}


def test_many_tiles_and_one_are_the_same(folder: Path) -> None:
    scl = np.random.default_rng(5).integers(1, 12, (200, 150), "uint8")
    image = write_raster(folder / "big.tif", noise(3, 400, 300), UTM, NORTH_UP)
    path = write_raster(folder / "q" / "SCL.tif", scl, UTM, from_origin(5e5, 5.6e6, 20, 20))
    given: dict[str, Any] = {"quality": str(path), "drop": "cloud,cirrus,snow"}
    one = swath.predict(folder / "m.swath", image, folder / "one.tif", **given)
    many = swath.predict(folder / "m.swath", image, folder / "two.tif", **given, workers=2, halo=64)
    with rasterio.open(folder / "one.tif") as a, rasterio.open(folder / "two.tif") as b:
        first, second = a.read(1), b.read(1)
    full = scl.repeat(2, 0).repeat(2, 1)
    assert ((first == 0) == (full >= 8)).all() and (first == second).all()
    assert one.dropped == many.dropped
    assert one.dropped["cloud"] == np.isin(full, [8, 9]).mean()


def test_layers_among_the_images_of_a_folder(folder: Path) -> None:
    for k, name in enumerate("ab"):
        write_raster(folder / "im" / f"{name}.tif", noise(3, 64, 64, seed=k), UTM, NORTH_UP)
        write_raster(folder / "im" / f"{name}_SCL.tif", split(4, 9), UTM, NORTH_UP)
    pattern = str(folder / "im" / "*_SCL.tif")
    result = swath.predict(folder / "m.swath", folder / "im", folder / "maps", quality=pattern)
    assert sorted(p.name for p in (folder / "maps").glob("*.tif")) == ["a.tif", "b.tif"]
    assert result.dropped == {"cloud": SHARE}


def test_a_mosaic_with_a_layer_for_each_image(folder: Path) -> None:
    images = []
    for k, name in enumerate(("a", "long_b")):
        where = from_origin(500_000 + 640 * k, 5_600_000, 10, 10)
        image = folder / "im" / f"{name}.tif"
        images.append(write_raster(image, noise(3, 64, 64, seed=k), UTM, where))
        write_raster(folder / "q" / f"{name}_SCL.tif", split(4, 9), UTM, where)
    pattern = str(folder / "q" / "*_SCL.tif")
    model, target = folder / "m.swath", folder / "map.tif"
    result = swath.predict(model, images, target, mosaic=True, quality=pattern)
    assert result.dropped == {"cloud": SHARE} and result.warnings == []
    assert result.nodata == 2 * SIDE * CLOUDS


def test_inspect_against_a_model_leaves_clouds_out(folder: Path, tiny_model: Path) -> None:
    image = write_raster(folder / "i.tif", np.concatenate([noise(3, SIDE, SIDE)]), UTM, NORTH_UP)
    path = folder / "q" / "SCL.tif"
    result = swath.inspect(image, against=tiny_model, quality=str(path))
    found = [f for f in result.findings if f["code"] == "quality-dropped"]
    assert len(found) == 1 and f"cloud {SHARE:.1%}" in found[0]["message"]
    assert result.ood is not None and result.ood.distance is not None


def test_an_image_that_is_all_cloud_is_said_to_be_the_cause(folder: Path) -> None:
    cloud = write_raster(folder / "q" / "all.tif", split(1, 1), UTM, NORTH_UP)
    with fails("no-labels", DataError, folder) as caught:
        swath.prepare(folder, folder / "ds", images=["x.tif"], labels=["f.gpkg"], quality=[cloud])
    assert "--drop" in caught.value.fix and str(cloud) in caught.value.message
