"""Every group judges a model that has not seen it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import swath
import swath.commands.train
from swath.data.dataset import Dataset
from swath.data.folds import make_folds, resplit
from swath.errors import DataError
from tests.errors import fails
from tests.make import noise, write_pairs, write_png, write_raster


def test_folds_part_the_groups_evenly(stripes):
    dataset = Dataset(stripes)
    folds = make_folds(dataset, 2, seed=0)
    assert sorted(g for fold in folds for g in fold) == ["a", "b", "c", "d"]
    assert [len(fold) for fold in folds] == [2, 2]
    assert folds == make_folds(dataset, 2, seed=0)
    assert any(folds != make_folds(dataset, 2, seed=s) for s in range(1, 6))
    with fails("too-few-groups", DataError, file=stripes) as caught:
        make_folds(dataset, 5, seed=0)
    assert "4 labeled group" in caught.value.message and "5 folds" in caught.value.message


def test_a_fold_knows_nothing_of_its_test_groups(stripes, tmp_path):
    before = (stripes / "dataset.json").read_bytes()
    manifest = resplit(Dataset(stripes), tmp_path / "fold", ["a"])
    assert {s.group: s.split for s in manifest.samples} == {
        "a": "test",
        "b": "train",
        "c": "train",
        "d": "train",
    }
    fold = Dataset(tmp_path / "fold")
    pixels = np.concatenate(
        [fold.images[s.image].read(s.window).values.reshape(3, -1) for s in manifest.of("train")],
        axis=1,
    )
    assert [b.mean for b in manifest.bands] == pytest.approx(pixels.mean(axis=1))
    assert manifest.digest != Dataset(stripes).manifest.digest
    assert (stripes / "dataset.json").read_bytes() == before


def test_neighbors_of_the_test_blocks_lose_their_labels_in_a_copy(tmp_path):
    write_raster(tmp_path / "s" / "images" / "x.tif", noise(3, 256, 256))
    write_png(tmp_path / "s" / "masks" / "x.png", noise(256, 256, high=4))
    swath.prepare(tmp_path / "s", tmp_path / "d", block=128, buffer=0, test="0", val="none")
    dataset = Dataset(tmp_path / "d")
    whole = dataset.images[0].read_labels(dataset.images[0].grid.window).copy()
    resplit(dataset, tmp_path / "fold", ["3"])
    labels = Dataset(tmp_path / "fold").images[0].read_labels(dataset.images[0].grid.window)
    assert (labels[128:, 128:] == whole[128:, 128:]).all()
    assert (labels[128:, 120:128] == 255).all() and (labels[120:128, 128:] == 255).all()
    assert (labels[:120, :120] == whole[:120, :120]).all()
    assert (dataset.images[0].read_labels(dataset.images[0].grid.window) == whole).all()


def check(result, folder):
    assert sorted(g for fold in result.folds for g in fold.groups) == ["a", "b", "c"]
    assert result.pooled.groups == ["a", "b", "c"] and result.pooled.images == 3
    assert np.sum(result.pooled.confusion) == 3 * 96 * 96
    assert result.mean == pytest.approx(np.mean([fold.miou for fold in result.folds]))
    assert result.miou_interval[0] <= result.miou <= result.miou_interval[1]
    names = ["crossvalidation.json", "fold-1.swath", "fold-2.swath", "fold-3.swath"]
    assert sorted(p.name for p in folder.iterdir()) == names
    assert json.loads((folder / "crossvalidation.json").read_text())["miou"] == result.miou


@pytest.fixture
def three(tmp_path):
    for name in "abc":
        write_pairs(tmp_path / "s" / name, [f"{name}1"], size=96)
    swath.prepare(tmp_path / "s", tmp_path / "d", test="none", val="none")
    return tmp_path / "d"


def test_every_group_is_scored_once(three, tmp_path, tiny_model, monkeypatch):
    trained = []

    def train(data, path, **how):
        trained.append(({s.group for s in Dataset(data).manifest.of("train")}, how))
        shutil.copy(tiny_model, path)

    monkeypatch.setattr("swath.commands.train.train", train)
    given = {"steps": 7, "seed": 2, "encoder": "test_resnet", "loss": "focal"}
    check(swath.crossvalidate(three, tmp_path / "cv", folds=3, **given), tmp_path / "cv")
    assert all(len(groups) == 2 and given.items() <= how.items() for groups, how in trained)
    options = swath.commands.train.TrainOptions(three, "m.swath", **trained[0][1])
    assert options == swath.commands.train.TrainOptions(three, "m.swath", **given)


def test_an_interrupted_one_goes_on_where_it_was(three, tmp_path, tiny_model, monkeypatch):
    trained = []

    def train(data, path, **how):
        trained.append((path.name, how.get("resume", False)))
        if len(trained) == 2:
            Path(f"{path}.training").mkdir()
            raise KeyboardInterrupt
        shutil.copy(tiny_model, path)

    monkeypatch.setattr("swath.commands.train.train", train)
    with pytest.raises(KeyboardInterrupt):
        swath.crossvalidate(three, tmp_path / "cv", folds=3, steps=7)
    swath.crossvalidate(three, tmp_path / "cv", folds=3, steps=7)
    assert trained == [
        ("fold-1.swath", False),
        ("fold-2.swath", False),
        ("fold-2.swath", True),
        ("fold-3.swath", False),
    ]
    swath.crossvalidate(three, tmp_path / "cv", folds=3, steps=7)
    assert len(trained) == 7


@pytest.mark.slow
def test_real_trainings(three, tmp_path):
    check(swath.crossvalidate(three, tmp_path / "cv", folds=3, steps=1), tmp_path / "cv")
