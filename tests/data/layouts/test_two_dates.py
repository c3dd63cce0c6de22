"""Samples of two dates: bands of both are stacked, changes are labels, and images map alike."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

import swath
from swath.data.dataset import Dataset
from swath.errors import DataError
from tests.errors import fails
from tests.make import noise, train_small, write_png, write_raster

CLASSES = "- {name: unchanged, code: 0}\n- {name: changed, code: 255}\n"
LEVIR = {"images": "levircd/?/{split}_{id}.png", "labels": "levircd/label/{split}_{id}.png"}
OSCD = {
    "images": "*Images/{id}/imgs_?_rect/B??.tif",
    "labels": "*{split} Labels/{id}/cm/cm.png",
}


def pixels(path):
    with rasterio.open(path) as file:
        return file.read(1)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "change.yaml"
    path.write_text(CLASSES)
    return path


@pytest.fixture
def levir(tmp_path):
    """As LEVIR-CD: date A is dark, and B is bright where something changed."""
    for k, split in enumerate(("train", "train", "train", "val", "test")):
        image = noise(3, 64, 64, seed=k) // 4
        mask = np.zeros((64, 64), np.uint8)
        mask[:, 16 + 4 * k : 48] = 255
        folder = tmp_path / "levircd" / "levircd"
        write_png(folder / "A" / f"{split}_{k}.png", image)
        write_png(folder / "B" / f"{split}_{k}.png", image + (mask // 2)[None])
        write_png(folder / "label" / f"{split}_{k}.png", mask)
    return tmp_path / "levircd"


def test_two_dates_train_and_predict_like_one(tmp_path, levir, table, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the folder holds one of its own name, as the archive does
    result = swath.prepare("levircd", tmp_path / "dataset", classes=table, **LEVIR)
    dataset = Dataset(tmp_path / "dataset")
    assert [b.name for b in dataset.manifest.bands] == list("123456")
    assert {name: split.images for name, split in result.splits.items()} == {
        "train": 3,
        "val": 1,
        "test": 1,
    }
    model = tmp_path / "change.swath"
    train_small(tmp_path / "dataset", model, steps=30)
    stack = str(levir / "levircd" / "?" / "test_4.png")
    swath.predict(model, tmp_path / "map.tif", stack=stack)
    true = pixels(levir / "levircd" / "label" / "test_4.png")
    found = pixels(tmp_path / "map.tif")
    assert set(np.unique(found)) <= {0, 255} and (found == true).mean() > 0.8
    swath.evaluate(model, tmp_path / "dataset", report=tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert 'alt="image 1"' in page and 'alt="image 2"' in page
    one = str(levir / "levircd" / "A" / "test_[4].png")
    with fails("band-mismatch", DataError, one):
        swath.predict(model, tmp_path / "one.tif", stack=one)
    with fails("no-such-file", DataError):
        swath.predict(model, tmp_path / "none.tif", stack=str(levir / "?" / "none_*.png"))


def test_dates_of_other_sensors_are_stacked(tmp_path):
    """As BRIGHT: an optical image before, a radar image after, codes of damage."""
    for k in range(3):
        name = f"place_{k:08d}"
        write_raster(tmp_path / "b/pre-event" / f"{name}_pre_disaster.tif", noise(3, 64, 64))
        write_raster(tmp_path / "b/post-event" / f"{name}_post_disaster.tif", noise(1, 64, 64))
        codes = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64) % 4
        write_raster(tmp_path / "b/target" / f"{name}_building_damage.tif", codes)
    result = swath.prepare(
        tmp_path / "b",
        tmp_path / "dataset",
        images="*-event/{id}_*_disaster.tif",
        labels="target/{id}_building_damage.tif",
    )
    dataset = Dataset(tmp_path / "dataset")
    assert len(dataset.manifest.bands) == 4 and len(result.classes) == 4
    assert sum(split.images for split in result.splits.values()) == 3


@pytest.mark.parametrize(
    ("name", "patterns", "bands", "train"), [("levircd", LEVIR, 6, 2), ("oscd", OSCD, 26, 2)]
)
def test_published_layouts_of_change(tmp_path, shared_data, table, name, patterns, bands, train):
    folder = Path(shared_data) / "layouts" / name
    if not folder.is_dir():
        pytest.skip("the miniatures are not here")
    result = swath.prepare(folder, tmp_path / "dataset", classes=table, **patterns)
    assert len(Dataset(tmp_path / "dataset").manifest.bands) == bands
    assert result.splits["train"].images == train
    assert [c.name for c in result.classes] == ["unchanged", "changed"]
