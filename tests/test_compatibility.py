"""Files of version 0.1.0 keep working: a dataset, a model, and an unfinished map."""

import json
import os
import shutil
from pathlib import Path

import pytest
import rasterio

import swath
from swath.data.dataset import Dataset
from swath.errors import JobError
from swath.mapping.plan import Plan
from swath.mapping.tile_store import TileStore
from swath.models.model import Model

CHANGED = 1_767_225_600 * 10**9
"""Time of change of `scene.tif` that the plan knows: 2026-01-01T00:00:00Z, in nanoseconds."""

SETTINGS = {
    "confidence": True,
    "precision": "float32",
    "engine": "onnxruntime",
    "threads": 1,
    "memory": 3,
}
"""Options of the unfinished prediction."""


@pytest.fixture
def old(tmp_path, monkeypatch):
    """Return a copy of the old files, as the working directory: the plan names a relative path."""
    folder = tmp_path / "old"
    shutil.copytree(Path(__file__).parent / "fixtures" / "v0.1.0", folder)
    os.utime(folder / "scene.tif", ns=(CHANGED, CHANGED))
    monkeypatch.chdir(folder)
    return folder


def codes_of(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def test_an_old_dataset_scores_an_old_model_as_before(old):
    manifest = Dataset(old / "dataset").manifest
    assert len(manifest.images) == 4 and manifest.legend.names == ["1", "2", "3"]
    assert swath.evaluate("model.swath", "dataset").miou == pytest.approx(0.9532, abs=0.01)


def test_an_old_model_makes_the_old_map(old):
    assert Model("model.swath").card.swath_version == "0.1.0"
    swath.predict("model.swath", "scene.tif", "new.tif", precision="float32")
    new, before = codes_of("new.tif"), codes_of("map.tif")
    assert new.shape == before.shape and (new == before).mean() >= 0.999


def test_an_old_plan_keeps_its_digest(old):
    text = (old / "map.tif.parts" / "plan.json").read_text()
    plan = Plan.model_validate_json(text)
    assert plan.model_dump_json(indent=1) == text
    parts = sorted(old.glob("map.tif.parts/*/*.part"))
    heads = [json.loads(part.read_bytes().partition(b"\n")[0]) for part in parts]
    assert len(parts) == 2 and {head["plan"] for head in heads} == {plan.digest}


def test_an_unfinished_old_map_continues(old, monkeypatch):
    plan = Plan.model_validate_json((old / "map.tif.parts" / "plan.json").read_text())
    try:
        plan.setup.check()
    except JobError as error:
        pytest.skip(f"the plan needs another engine: {error}")
    before = codes_of("map.tif")
    (old / "map.tif").unlink()
    done = {part: part.read_bytes() for part in old.glob("map.tif.parts/*/*.part")}
    computed, put = [], TileStore.put
    monkeypatch.setattr(
        TileStore, "put", lambda self, i, layers: (computed.append(i), put(self, i, layers))
    )
    swath.predict("model.swath", "GTIFF_DIR:1:scene.tif", "map.tif", keep_parts=True, **SETTINGS)
    assert computed == [2, 3] and len(list(old.glob("map.tif.parts/*/*.part"))) == 4
    assert {part: part.read_bytes() for part in done} == done
    assert (codes_of("map.tif") == before).mean() >= 0.999
    assert (old / "map_confidence.tif").exists()
