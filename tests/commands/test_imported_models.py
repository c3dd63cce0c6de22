"""Imported networks of each kind with the commands that follow `predict`."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import onnx
import pyogrio
import pytest
import rasterio

import swath
from swath.data.dataset import Dataset
from swath.models.model import Model
from tests.make import NORTH_UP, UTM, noise, write_raster
from tests.networks import Net, answer, local, pooled

KINDS: dict[str, tuple[Net, dict[str, Any], dict[str, Any]]] = {
    "local": (local(), {}, {}),
    "channels-last": (local(), {"nhwc": True}, {}),
    "window": (pooled(), {"size": (64, 64)}, {}),
    "odd-window": (pooled(), {"size": (72, 72), "batch": 1}, {}),
    "masks": (local().add("Sigmoid"), {}, {"output": "sigmoid"}),
    "labels": (
        local().add("ArgMax", axis=1, keepdims=0),
        {"kind": onnx.TensorProto.INT64},
        {},
    ),
}
"""A network, how its file is written, and options of its import."""

SCALE = 0.01


@pytest.fixture(scope="module", params=KINDS)
def foreign(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, stripes: Path
) -> Path:
    """Return an imported model with the bands and classes of `stripes`."""
    net, file, options = KINDS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    classes = folder / "classes.yaml"
    classes.write_text("".join(f"- {{name: '{c}', code: {c}}}\n" for c in (1, 2, 3)))
    given = {"bands": bands_of(stripes), "classes": str(classes), "scale": SCALE, **options}
    swath.import_onnx(net.write(folder / "n.onnx", **file), folder / "m.swath", **given)
    return folder / "m.swath"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scene")
    pixels = np.kron(noise(3, 15, 13), np.ones((10, 10), np.uint8))
    return write_raster(folder / "scene.tif", pixels, UTM, NORTH_UP)


def bands_of(dataset: Path) -> list[str]:
    return [band.name for band in Dataset(dataset).manifest.bands]


def codes(path: str | Path) -> Any:
    with rasterio.open(path) as file:
        return file.read(1)


def test_a_model_and_its_map_have_the_same_scores(
    foreign: Path, stripes: Path, tmp_path: Path
) -> None:
    image = stripes.parent / "source" / "d" / "images" / "d1.tif"
    swath.predict(foreign, image, tmp_path / "d1.tif", precision="float32")
    scored = swath.evaluate(foreign, stripes, precision="float32", report=tmp_path / "report")
    of_map = swath.evaluate(tmp_path / "d1.tif", stripes)
    assert scored.confusion == of_map.confusion and scored.miou == of_map.miou
    assert sum(map(sum, scored.confusion)) == 96 * 96
    assert (tmp_path / "report" / "index.html").is_file()
    same = swath.compare(foreign, tmp_path / "d1.tif", stripes)
    if Model(foreign).setup().precision == "float32":
        assert {d.difference for d in same.differences} <= {0.0, None}
    assert len(same.differences) > 3


@pytest.mark.parametrize("foreign", ["local", "masks", "labels"], indirect=True)
def test_a_local_network_is_scored_as_it_is(foreign: Path, stripes: Path) -> None:
    dataset = Dataset(stripes)
    (sample,) = dataset.manifest.of("test")
    raw = dataset.images[sample.image].read(sample.window).values[None].astype(np.float32)
    given = answer(foreign.with_name("n.onnx"), raw * np.float32(SCALE))
    mapped = (given if given.ndim == 3 else given.argmax(axis=1))[0]
    reference = np.indices((96, 96))[1] * 3 // 96
    expected = np.bincount(reference.ravel() * 3 + mapped.ravel(), minlength=9).reshape(3, 3)
    scored = swath.evaluate(foreign, stripes, precision="float32")
    assert np.abs(np.array(scored.confusion) - expected).sum() <= 0.002 * expected.sum()


def test_areas_of_a_map(foreign: Path, scene: Path, tmp_path: Path) -> None:
    made = swath.predict(foreign, scene, tmp_path / "m.tif", confidence=True)
    mapped = codes(made.map)
    swath.sample(made.map, tmp_path / "p.gpkg", n=40)
    meta, _, wkb, columns = pyogrio.raw.read(tmp_path / "p.gpkg")
    seen = np.array([str(c) for c in mapped[columns[1], columns[2]]], object)
    how = {"crs": meta["crs"], "geometry_type": "Point", "driver": "GPKG"}
    names = ["id", "reference"]
    pyogrio.raw.write(tmp_path / "seen.gpkg", wkb, [columns[0], seen], names, **how)
    result = swath.area(made.map, reference=tmp_path / "seen.gpkg")
    assert result.overall == pytest.approx(1)
    hectares = {c.code: c.area for c in result.classes if c.area}
    assert set(hectares) == set(np.unique(mapped).tolist())
    assert [c.area for c in result.classes] == pytest.approx([c.mapped for c in result.classes])


def test_a_network_in_8_bits(foreign: Path, stripes: Path, scene: Path, tmp_path: Path) -> None:
    path = shutil.copy(foreign, tmp_path / "m.swath")
    result = swath.quantize(path, stripes, samples=2)
    exact, small = (
        codes(swath.predict(path, scene, tmp_path / f"{p}.tif", precision=p).map)
        for p in ("float32", "int8")
    )
    assert result.labels_changed < 0.1 and (exact == small).mean() > 0.9
    swath.evaluate(path, stripes, precision="int8")


def test_the_page_shows_image_map_and_confidence(
    foreign: Path, scene: Path, tmp_path: Path
) -> None:
    made = swath.predict(foreign, scene, tmp_path / "m.tif", confidence=True)
    page = swath.view(made.map, scene, classes=foreign, open=False)
    try:
        with urlopen(f"{page.url}scene") as found:
            layers = json.load(found)["layers"]
    finally:
        page.close()
    assert [row["kind"] for row in layers] == ["image", "map", "confidence"]
    assert [c["name"] for c in layers[1]["classes"]] == ["1", "2", "3"]


@pytest.mark.parametrize("foreign", ["window", "masks"], indirect=True)
def test_the_server_predicts_as_the_command(foreign: Path, scene: Path, tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    for file in (foreign, scene):
        shutil.copy(file, tmp_path / "served")
    made = swath.predict(foreign, scene, tmp_path / "m.tif")
    server = swath.serve([tmp_path / "served"], port=0, jobs=tmp_path / "jobs")
    try:
        asked = Request(f"{server.url}predict?model=m.swath&image=scene.tif", method="POST")
        with urlopen(asked) as begun:
            job = json.load(begun)
        for _ in range(600):
            with urlopen(f"{server.url}jobs/{job['id']}") as state:
                job = json.load(state)
            if job["state"] in ("done", "failed"):
                break
            time.sleep(0.05)
    finally:
        server.close()
    assert (job["state"], job["error"]) == ("done", None)
    (path,) = (tmp_path / "jobs").rglob("map.tif")
    np.testing.assert_array_equal(codes(path), codes(made.map))
