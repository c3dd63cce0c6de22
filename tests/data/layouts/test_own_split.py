"""The split that a dataset brings is kept."""

import json

import numpy as np
import pytest

import swath
from swath.data.layouts.layout import find_layout
from swath.errors import DataError, UsageError
from swath.options import SourceOptions
from tests.errors import fails
from tests.make import noise, write_pairs, write_raster

SIDE = 32


def pair(root, image, mask):
    write_raster(root / image, noise(3, SIDE, SIDE))
    values = np.ones((1, SIDE, SIDE), np.uint8)
    values[:, :, SIDE // 2 :] = 2
    write_raster(root / mask, values)


def splits(root, **options):
    found = find_layout(SourceOptions(root, **options))
    return {s.name: s.split for s in found.samples}, [f.code for f in found.findings]


def prepared(root, target, **options):
    """Return the names of the samples by split, and the codes of the findings."""
    swath.prepare(root, target, **options)
    manifest = json.loads((target / "dataset.json").read_text())
    out = {}
    for sample in manifest["samples"]:
        out.setdefault(sample["split"], set()).add(sample["name"])
    findings = json.loads((target / "findings.json").read_text())
    return out, {f["code"] for f in findings}


FOLDERS = [
    ("{0}/images/{1}.tif", "{0}/masks/{1}.tif", ("train", "val", "test")),
    ("images/{0}/{1}.tif", "masks/{0}/{1}.tif", ("Training", "Validation", "Testing")),
    ("{0}_data/images/{1}.tif", "{0}_data/masks/{1}.tif", ("training", "dev", "test")),
    ("{0}/x/images/{1}.tif", "{0}/x/masks/{1}.tif", ("Train", "Val", "Test")),
    ("images/{0}_{1}.tif", "masks/{0}_{1}.tif", ("train", "val", "test")),
]


@pytest.mark.parametrize(("image", "mask", "words"), FOLDERS)
@pytest.mark.parametrize("seed", [0, 1])
def test_folders_and_names_that_mean_a_split_are_that_split(tmp_path, image, mask, words, seed):
    root = tmp_path / "s"
    for word in words:
        for number in range(3):
            pair(root, image.format(word, number), mask.format(word, number))
    found, codes = splits(root)
    assert "own-split" in codes and set(found.values()) == {"train", "val", "test"}
    stored, said = prepared(root, tmp_path / "d", seed=seed)
    assert "own-split" in said
    assert stored == {
        split: {name for name, own in found.items() if own == split}
        for split in ("train", "val", "test")
    }
    assert set(map(len, stored.values())) == {3}


@pytest.mark.parametrize("head", ["", "data/"])
def test_a_split_that_is_not_there_is_drawn_from_training_images(tmp_path, head):
    root = tmp_path / "s"
    for word, count in (("train", 8), ("test", 2)):
        for number in range(count):
            pair(root, f"{head}{word}/images/{number}.tif", f"{head}{word}/masks/{number}.tif")
    for seed in range(3):
        stored, _ = prepared(root, tmp_path / f"d{seed}", seed=seed)
        assert stored["test"] == {f"{head}test/0", f"{head}test/1"} and len(stored["val"]) == 1


@pytest.mark.parametrize("words", [("train",), ("red", "test_site"), ("a", "b")])
def test_other_folders_are_no_split(tmp_path, words):
    for word in words:
        pair(tmp_path, f"{word}/images/1.tif", f"{word}/masks/1.tif")
    found, codes = splits(tmp_path)
    assert set(found.values()) == {None} and "own-split" not in codes


def test_a_field_names_the_split(tmp_path):
    root = tmp_path / "s"
    for word in ("Train", "Val", "Test"):
        for number in range(2):
            pair(root, f"{word}/i{number}.tif", f"{word}/m{number}.tif")
    options = {"images": "{split}/i{id}.tif", "labels": "{split}/m{id}.tif"}
    found, codes = splits(root, **options)
    assert sorted(found.values()) == ["test"] * 2 + ["train"] * 2 + ["val"] * 2
    assert codes == ["own-split"]
    stored, _ = prepared(root, tmp_path / "d", **options)
    assert {k: len(v) for k, v in stored.items()} == {"train": 2, "val": 2, "test": 2}


@pytest.mark.parametrize("options", [{"test": "0"}, {"val": "2"}, {"test": "none", "val": "none"}])
def test_an_own_split_that_is_overridden_is_said(tmp_path, options):
    root = tmp_path / "s"
    for number, word in enumerate(("train", "train", "val", "test")):
        pair(root, f"i/{number}.tif", f"m/{number}.tif")
        with (root / f"{word}.txt").open("a") as file:
            file.write(f"{number}.tif\n")
    lists = ["train.txt", "val.txt", "test.txt"]
    given = {"images": "i/{id}.tif", "labels": "m/{id}.tif", "split": lists}
    stored, said = prepared(root, tmp_path / "d", **given)
    assert stored == {"train": {"0", "1"}, "val": {"2"}, "test": {"3"}}
    assert "own-split-overridden" not in said
    stored, said = prepared(root, tmp_path / "e", **given, **options)
    assert ("own-split-overridden" in said) == (options != {"val": "2"})


@pytest.mark.parametrize("name", ["{0}", "{0}.tif", "images/{0}.tif", "images/{0}"])
def test_a_file_gives_the_split(tmp_path, name):
    for number in range(3):
        pair(tmp_path, f"images/n{number}.tif", f"masks/n{number}.tif")
    rows = [f"{name.format(f'n{i}')},{s}" for i, s in enumerate(("train", "VALID", "test"))]
    (tmp_path / "s.csv").write_text("\ufeffname,split\n" + "\n".join(rows), encoding="utf-8")
    found, codes = splits(tmp_path, split="s.csv")
    assert found == {"n0": "train", "n1": "val", "n2": "test"} and "own-split" in codes


@pytest.mark.parametrize(
    ("file", "text", "code", "kind"),
    [
        ("s.csv", "name,split\nn0,elsewhere\n", "unknown-split", DataError),
        ("list.txt", "n0\n", "bad-split-file", UsageError),
        ("train.txt", "z\n", "split-unmatched", DataError),
        ("s.csv", "name,split\nn0,train\nn0,test\n", "mixed-split", DataError),
    ],
)
def test_split_files_that_cannot_be_used(tmp_path, file, text, code, kind):
    pair(tmp_path, "images/n0.tif", "masks/n0.tif")
    (tmp_path / file).write_text(text)
    with fails(code, kind, tmp_path / file):
        splits(tmp_path, split=file)


def test_names_without_a_sample_and_samples_without_a_name_are_said(tmp_path):
    for number in range(2):
        pair(tmp_path, f"images/n{number}.tif", f"masks/n{number}.tif")
    (tmp_path / "test.txt").write_text("n1\nz\n")
    found, codes = splits(tmp_path, split="test.txt")
    assert found == {"n0": None, "n1": "test"}
    assert {"split-unmatched", "split-missing"} <= set(codes)
    with fails("no-such-file", DataError):
        splits(tmp_path, split="none.txt")


def test_a_split_of_the_dataset_without_labels_is_told(tmp_path):
    for split, names in (("train", "abcd"), ("test", "x")):
        write_pairs(tmp_path / "s" / split, names)
    (tmp_path / "s" / "test" / "masks" / "x.png").unlink()
    result = swath.prepare(tmp_path / "s", tmp_path / "dataset", unlabeled=True)
    codes = [f["code"] for f in result.findings if f["level"] == "warning"]
    assert "own-split-unlabeled" in codes and "own-split-overridden" not in codes
    assert result.splits["test"].images == 1
