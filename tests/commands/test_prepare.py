"""What `prepare` stores is what a plain reading of the sources gives, split by place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.features
import shapely
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject, transform_geom

import swath
from swath.checks import split_checks
from swath.commands import prepare as prepare_module  # noqa: F401 - the module is patched below
from swath.data.dataset import FORMAT_VERSION, MANIFEST, Dataset, read_manifest
from swath.errors import DataError, JobError, UsageError
from swath.geo.tiling import window_distance
from swath.legend import IGNORE
from tests.errors import fails
from tests.make import (
    NORTH_UP,
    UTM,
    box,
    noise,
    truncate,
    write_layer,
    write_pairs,
    write_png,
    write_raster,
)

SIDE = 64


def tiles(root: Path, *groups: str, each: int = 2) -> Path:
    """Write pairs in folders that are groups."""
    for group in groups:
        write_pairs(root / group, [f"{group}-{i}" for i in range(each)], SIDE)
    return root


def write_text(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def opened(source: Path, **options: Any) -> tuple[swath.commands.prepare.PrepareResult, Dataset]:
    """Prepare beside the source and open the dataset."""
    target = source.parent / "dataset"
    return swath.prepare(source, target, **options), Dataset(target)


def stored(dataset: Dataset, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values (bands, rows, columns), validity and labels of a whole stored image."""
    (image,) = (i for i in dataset.images if i.name == name)
    return (*image.read(image.grid.window), image.read_labels(image.grid.window))


def split_of(dataset: Dataset) -> dict[str, str]:
    return {s.group: s.split for s in dataset.manifest.samples}


# Splits


def test_groups_are_wholly_in_one_split(tmp_path: Path) -> None:
    result, dataset = opened(tiles(tmp_path / "s", *"ABCDEFGHIJ"))
    assert {name: (s.images, len(s.groups)) for name, s in result.splits.items()} == {
        "train": (14, 7),
        "val": (2, 1),
        "test": (4, 2),
    }
    assert sorted(g for s in result.splits.values() for g in s.groups) == list("ABCDEFGHIJ")
    assert len({(s.group, s.split) for s in dataset.manifest.samples}) == 10


def test_named_groups(tmp_path: Path) -> None:
    result, dataset = opened(tiles(tmp_path / "s", "A", "B c", "D"), test="B c", val="D")
    assert split_of(dataset) == {"A": "train", "B c": "test", "D": "val"}
    assert result.splits["test"].groups == ["B c"]


def test_none_empties_a_split_and_a_note_says_so(tmp_path: Path) -> None:
    result, dataset = opened(tiles(tmp_path / "s", "A", "B", "C"), test="none", val="none")
    assert set(split_of(dataset).values()) == {"train"}
    assert [f["level"] for f in result.findings if f["code"] == "empty-split"] == ["note", "note"]
    _, dataset = opened(tmp_path / "s", test=["A", "C"], val="none")
    assert split_of(dataset) == {"A": "test", "B": "train", "C": "test"}


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [
        ({"test": "A,nowhere"}, "no-such-group", ["--test", "'nowhere'", "A, B, C"]),
        ({"val": "x"}, "no-such-group", ["--val", "'x'"]),
        ({"test": "A", "val": "A"}, "option-conflict", ["'A'"]),
        ({"test": "A,B", "val": "C"}, "no-training-group", ["A, B, C"]),
    ],
)
def test_wrong_groups_are_usage_errors(
    tmp_path: Path, options: dict[str, str], code: str, named: list[str]
) -> None:
    with fails(code, UsageError) as caught:
        opened(tiles(tmp_path / "s", "A", "B", "C", each=1), **options)
    assert all(word in str(caught.value) for word in named)
    assert not (tmp_path / "dataset").exists()


def test_seed_repeats_and_matters(tmp_path: Path) -> None:
    source = tiles(tmp_path / "s", *"ABCDEFGH", each=1)
    first = [split_of(opened(source, seed=seed)[1]) for seed in range(4)]
    again = [split_of(opened(source, seed=seed)[1]) for seed in range(4)]
    assert first == again
    assert len({tuple(sorted(s.items())) for s in first}) > 1


def test_same_call_makes_the_same_dataset(tmp_path: Path) -> None:
    source = tiles(tmp_path / "s", "A", "B")
    contents = []
    for name in ("one", "two"):
        swath.prepare(source, tmp_path / name)
        files = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file())
        contents.append([(p.relative_to(tmp_path / name), p.read_bytes()) for p in files])
    assert contents[0] == contents[1]


def test_one_image_is_split_by_blocks_with_a_buffer(tmp_path: Path) -> None:
    codes = noise(200, 200, high=4)
    write_raster(tmp_path / "s" / "images" / "a.tif", noise(2, 200, 200))
    write_png(tmp_path / "s" / "masks" / "a.png", codes)
    result, dataset = opened(tmp_path / "s", block=50, buffer=10, test="0,5", val="10")
    samples = dataset.manifest.samples
    assert result.images == 1 and len(samples) == 16
    assert [s.group for s in samples] == [str(i) for i in range(16)]
    (_, _, labels) = stored(dataset, "a")
    owner = {s.group: s for s in samples}
    rank = {"test": 0, "val": 1, "train": 2}
    for row in range(200):
        for col in range(0, 200, 7):
            mine = owner[str(row // 50 * 4 + col // 50)]
            near = any(
                max(
                    max(o.window.row - row, row - o.window.stop[0] + 1, 0),
                    max(o.window.col - col, col - o.window.stop[1] + 1, 0),
                )
                <= 10
                for o in samples
                if rank[o.split] < rank[mine.split]
            )
            assert labels[row, col] == (IGNORE if near else codes[row, col] - 1)
    assert [sum(s.counts) for s in samples if s.split == "test"] == [2500, 2500]
    for s in samples:
        assert s.counts == np.bincount(labels[s.window.slices].ravel(), minlength=256)[:3].tolist()


def test_without_buffer_no_label_is_lost(tmp_path: Path) -> None:
    write_raster(tmp_path / "s" / "images" / "a.tif", noise(1, 128, 128))
    write_png(tmp_path / "s" / "masks" / "a.png", noise(128, 128, high=3))
    result, dataset = opened(tmp_path / "s", block=32, buffer=0)
    assert sum(s.pixels for s in result.splits.values()) == 128 * 128
    windows = [s.window for s in dataset.manifest.samples]
    assert sum(w.size for w in windows) == 128 * 128
    assert result.splits["test"].images == round(0.2 * 16)


def test_default_buffer_keeps_splits_apart(tmp_path: Path) -> None:
    write_raster(tmp_path / "s" / "images" / "a.tif", noise(1, 256, 256))
    write_png(tmp_path / "s" / "masks" / "a.png", noise(256, 256, high=3))
    _, dataset = opened(tmp_path / "s", block=64)
    labels = stored(dataset, "a")[2]
    train, test = (
        np.argwhere(np.logical_or.reduce([_inside(labels, s) for s in dataset.manifest.of(name)]))
        for name in ("train", "test")
    )
    nearest = min(int(np.abs(train - at).max(axis=1).min()) for at in test[::5])
    assert nearest == 64 // 16 + 1
    assert any(
        window_distance(a.window, b.window) == 0
        for a in dataset.manifest.of("train")
        for b in dataset.manifest.of("test")
    )


def _inside(labels: np.ndarray, sample: Any) -> np.ndarray:
    out = np.zeros(labels.shape, bool)
    out[sample.window.slices] = labels[sample.window.slices] != IGNORE
    return out


def test_a_buffer_that_eats_the_training_set_is_an_error(tmp_path: Path) -> None:
    write_raster(tmp_path / "s" / "images" / "a.tif", noise(1, 96, 32))
    write_png(tmp_path / "s" / "masks" / "a.png", noise(96, 32, high=3))
    with fails("no-training-pixel", DataError, tmp_path / "s") as caught:
        opened(tmp_path / "s", block=32, buffer=64, test="1", val="none")
    assert "--buffer" in str(caught.value.fix)
    assert not (tmp_path / "dataset").exists()


def test_a_buffer_that_eats_the_validation_set_is_a_warning(tmp_path: Path) -> None:
    write_raster(tmp_path / "s" / "images" / "a.tif", noise(1, 128, 32))
    write_png(tmp_path / "s" / "masks" / "a.png", noise(128, 32, high=3))
    result, _ = opened(tmp_path / "s", block=32, buffer=32, test="0", val="1")
    assert result.splits["val"].pixels == 0
    (message,) = (f["message"] for f in result.findings if f["code"] == "unlabeled-split")
    assert " val " in message


# Pixels, labels, validity


def test_pixels_and_labels_are_the_files(tmp_path: Path) -> None:
    source = tiles(tmp_path / "s", "A", "B")
    result, dataset = opened(source)
    assert result.bands == [b.name for b in dataset.manifest.bands]
    for image in dataset.manifest.images:
        values, valid, labels = stored(dataset, image.name)
        with (
            rasterio.open(image.sources[0]) as pixels,
            rasterio.open(
                image.sources[0].replace("images", "masks").replace("tif", "png")
            ) as mask,
        ):
            assert (values == pixels.read()).all() and values.dtype == np.uint8
            assert (labels == mask.read(1) - 1).all()
        assert valid.all() and image.valid is None


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_types_are_kept(tmp_path: Path, dtype: str) -> None:
    array = noise(2, SIDE, SIDE, low=3, dtype=dtype) * np.array(
        1 if dtype == "uint8" else 20
    ).astype(dtype)
    write_raster(tmp_path / "s" / "images" / "a.tif", array)
    write_png(tmp_path / "s" / "masks" / "a.png", noise(SIDE, SIDE, high=3))
    _, dataset = opened(tmp_path / "s", block=32)
    values, _, _ = stored(dataset, "a")
    assert dataset.manifest.dtype == dtype and values.dtype == dtype
    assert (values == array).all()


def test_nodata_is_invalid_unlabeled_and_out_of_the_statistics(tmp_path: Path) -> None:
    image = noise(2, 100, 80, low=100, high=900, dtype="int16")
    image[:, :7] = -9999
    image[1, 20:25, 3] = -9999
    codes = noise(100, 80, high=4)
    write_raster(tmp_path / "s" / "images" / "a.tif", image, nodata=-9999)
    write_png(tmp_path / "s" / "masks" / "a.png", codes)
    result, dataset = opened(tmp_path / "s", block=32, buffer=0)
    values, valid, labels = stored(dataset, "a")
    expected = (image != -9999).all(axis=0)
    assert (valid == expected).all()
    assert (labels == np.where(expected, codes - 1, IGNORE)).all()
    train = np.zeros_like(valid)
    for s in dataset.manifest.of("train"):
        train[s.window.slices] = True
    for band, pixels in zip(dataset.manifest.bands, image, strict=True):
        seen = pixels[train & expected].astype(float)
        assert (band.mean, band.std) == (pytest.approx(seen.mean()), pytest.approx(seen.std()))
        assert (band.min, band.max) == (seen.min(), seen.max())
    assert sum(c.pixels for c in result.classes) == expected.sum()


def test_statistics_come_from_the_training_split_only(tmp_path: Path) -> None:
    source = tiles(tmp_path / "s", "A", "B", each=1)
    write_raster(source / "B" / "images" / "B-0.tif", np.full((3, SIDE, SIDE), 255, np.uint8))
    _, dataset = opened(source, test="B", val="none")
    values, _, _ = stored(dataset, "A/A-0")
    assert [b.mean for b in dataset.manifest.bands] == pytest.approx(
        values.mean(axis=(1, 2)).tolist()
    )
    assert [b.max for b in dataset.manifest.bands] == values.max(axis=(1, 2)).tolist()


def test_more_chunks_than_one(tmp_path: Path) -> None:
    image, codes = noise(1, 1100, 1030), noise(1100, 1030, high=4)
    image[0, 1050:, 1025:] = 0
    write_raster(tmp_path / "s" / "images" / "a.tif", image, nodata=0)
    write_png(tmp_path / "s" / "masks" / "a.png", codes)
    _, dataset = opened(tmp_path / "s", block=512, buffer=0, test="none", val="none")
    values, valid, labels = stored(dataset, "a")
    assert (values == image).all() and (valid == (image[0] > 0)).all()
    assert (labels == np.where(image[0] > 0, codes - 1, IGNORE)).all()
    seen = image[image > 0].astype(float)
    assert (dataset.manifest.bands[0].mean, dataset.manifest.bands[0].std) == (
        pytest.approx(seen.mean()),
        pytest.approx(seen.std()),
    )


def test_mask_option_hides_clouds(tmp_path: Path) -> None:
    source = tiles(tmp_path / "s", "A", "B", each=1)
    clouds = np.zeros((SIDE, SIDE), np.uint8)
    clouds[10:20, 30:50] = 4
    write_png(source / "clouds" / "A-0_cloud.png", clouds)
    _, dataset = opened(source, mask="clouds/*.png", test="B", val="none")
    _, valid, labels = stored(dataset, "A/A-0")
    assert (
        (valid == (clouds == 0)).all()
        and (labels[clouds > 0] == IGNORE).all()
        and (labels[clouds == 0] < 3).all()
    )
    assert stored(dataset, "B/B-0")[1].all()
    result, _ = opened(source, mask="clouds/*.png", test="B", val="none")
    assert sum(c.pixels for c in result.classes) == 2 * SIDE * SIDE - 200


def test_mask_option_that_matches_nothing(tmp_path: Path) -> None:
    with fails("no-masks", DataError, tmp_path / "s") as caught:
        opened(tiles(tmp_path / "s", "A", "B"), mask="clouds/*.png")
    assert "--mask clouds/*.png" in caught.value.message


def test_unlabeled_images_are_kept_and_belong_to_no_split(tmp_path: Path) -> None:
    source = tiles(tmp_path / "s", "A", "B")
    (source / "A" / "masks" / "A-1.png").unlink()
    with fails("missing-mask", DataError, source / "A" / "images" / "A-1.tif") as caught:
        opened(source)
    assert "--unlabeled" in str(caught.value.fix)
    result, dataset = opened(source, unlabeled=True, test="B", val="none")
    assert result.images == 4 and sum(s.images for s in result.splits.values()) == 3
    assert [(s.name, s.split) for s in dataset.manifest.samples if s.split == "unlabeled"] == [
        ("A/A-1", "unlabeled")
    ]
    values, _, labels = stored(dataset, "A/A-1")
    assert (labels == IGNORE).all() and values.any()


def test_skip_bad_drops_and_lists(tmp_path: Path) -> None:
    source = tiles(tmp_path / "s", "A", "B")
    truncate(source / "A" / "images" / "A-1.tif")
    (source / "B" / "images" / "B-1.tif").unlink()
    with fails("orphan-mask", DataError) as caught:
        opened(source)
    assert "1 more error;" in caught.value.message
    result, dataset = opened(source, skip_bad=True, test="B", val="none")
    assert result.skipped == ["A/A-1", "mask B-1.png"]
    assert {f["code"] for f in result.findings if f["level"] == "error"} == {
        "unreadable",
        "orphan-mask",
    }
    assert [s.name for s in dataset.manifest.samples] == ["A/A-0", "B/B-0"]


# Classes


def test_merged_and_ignored_codes(tmp_path: Path) -> None:
    codes = noise(SIDE, SIDE, high=6)
    for name in "ab":
        write_raster(tmp_path / "s" / name / "images" / f"{name}.tif", noise(1, SIDE, SIDE))
        write_png(tmp_path / "s" / name / "masks" / f"{name}.png", codes)
    classes = write_text(
        tmp_path / "classes.yaml",
        '[{name: z, code: [5, 1], color: "#102030"}, {name: none, code: 4, ignore: true}, '
        "{name: a, code: [2, 3]}]",
    )
    result, dataset = opened(tmp_path / "s", classes=classes, test="b", val="none")
    labels = stored(dataset, "a/a")[2]
    assert (labels == np.array([0, 0, 1, 1, IGNORE, 0])[codes]).all()
    assert [(c.name, c.code, c.pixels) for c in result.classes] == [
        ("z", 5, 2 * int(np.isin(codes, [1, 5]).sum())),
        ("a", 2, 2 * int(np.isin(codes, [2, 3]).sum())),
    ]
    assert result.classes[0].color == "#102030"
    assert sum(c.share for c in result.classes) == pytest.approx(1)
    assert all(
        sum(c.shares[split] for c in result.classes) == pytest.approx(1)
        for split in ("train", "test")
    )
    assert [c.shares["val"] for c in result.classes] == [0, 0]


def test_masks_of_colors(tmp_path: Path) -> None:
    table = np.array([[255, 0, 0], [0, 0, 255], [155, 155, 155]], np.uint8)
    picks = np.random.default_rng(0).integers(0, 3, (SIDE, SIDE))
    for name in "ab":
        write_raster(tmp_path / "s" / name / "images" / f"{name}.tif", noise(1, SIDE, SIDE))
        write_png(tmp_path / "s" / name / "masks" / f"{name}.png", table[picks].transpose(2, 0, 1))
    rows = (
        '[{name: gray, color: "#9B9B9B", ignore: true}, {name: blue, color: "#0000ff"}, '
        '{name: red, color: "#FF0000"}]'
    )
    result, dataset = opened(
        tmp_path / "s", classes=write_text(tmp_path / "c.yaml", rows), test="b", val="none"
    )
    assert (stored(dataset, "a/a")[2] == np.array([1, 0, IGNORE])[picks]).all()
    assert [(c.name, c.code, c.color) for c in result.classes] == [
        ("blue", 2, "#0000FF"),
        ("red", 3, "#FF0000"),
    ]
    found, dataset = opened(tmp_path / "s", test="b", val="none")
    assert [(c.name, c.code) for c in found.classes] == [
        ("#0000FF", 1),
        ("#9B9B9B", 2),
        ("#FF0000", 3),
    ]
    assert (stored(dataset, "a/a")[2] == np.array([2, 0, 1])[picks]).all()


def test_a_class_that_a_split_lacks_is_a_warning(tmp_path: Path) -> None:
    source = tiles(tmp_path / "s", "A", "B", each=1)
    write_png(source / "B" / "masks" / "B-0.png", np.ones((SIDE, SIDE), np.uint8))
    result, _ = opened(source, test="B", val="none")
    (absent,) = (f["message"] for f in result.findings if f["code"] == "class-absent")
    assert " test " in absent and ": 2, 3." in absent


def test_an_absent_class_is_mended_by_the_seed_that_is_proposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tiles(tmp_path / "s", *"ABCDEFGH", each=1)
    for group in "ABCDE":  # class 3 is in three groups of eight
        codes = np.where(np.indices((SIDE, SIDE))[1] < 20, 1, 2).astype(np.uint8)
        write_png(source / group / "masks" / f"{group}-0.png", codes)

    def absent(seed: int) -> list[str]:
        result, _ = opened(source, seed=seed)
        return [f["fix"] for f in result.findings if f["code"] == "class-absent"]

    drawn = Mock(side_effect=split_checks._seed_of_all)
    monkeypatch.setattr(split_checks, "_seed_of_all", drawn)
    counts = [(len(absent(seed)), drawn.call_count) for seed in range(6)]
    calls = np.diff([0, *(count for _, count in counts)]).tolist()
    assert 2 in dict(counts) and calls == [min(1, n) for n, _ in counts]  # one for both splits
    fix = next(found[0] for found in map(absent, range(6)) if found)
    assert absent(int(fix.partition("--seed ")[2].partition(",")[0])) == []
    codes[:] = np.where(codes == 1, 1, 2)
    write_png(source / "F" / "masks" / "F-0.png", codes)
    assert "only G, H of 8 have it" in absent(0)[0]
    for group in "FG":
        write_png(source / group / "masks" / f"{group}-0.png", codes)
    fixes = absent(0)  # now it is in one group, which no seed puts into several splits
    assert fixes and all("only H of 8 has" in fix and "--seed" not in fix for fix in fixes)


def test_a_class_that_named_groups_lack_is_mended_by_groups_that_have_it(tmp_path: Path) -> None:
    source = tiles(tmp_path / "s", *"ABCD", each=1)
    write_png(source / "B" / "masks" / "B-0.png", np.ones((SIDE, SIDE), np.uint8))
    result, _ = opened(source, test="B", val="C")
    (fix,) = (f["fix"] for f in result.findings if f["code"] == "class-absent")
    assert "--test" in fix and "A, C, D" in fix and "--seed" not in fix


# The folder


def test_manifest_on_disk(tmp_path: Path) -> None:
    opened(tiles(tmp_path / "s", "A", "B"), seed=3)
    content = json.loads((tmp_path / "dataset" / MANIFEST).read_text(encoding="utf-8"))
    assert content["format_version"] == FORMAT_VERSION == 1
    assert content["seed"] == 3 and content["swath_version"] == swath.__version__
    assert all(type(n) is int for s in content["samples"] for n in s["counts"])
    assert not any(
        p.is_absolute()
        for image in content["images"]
        for p in (Path(image["pixels"]), Path(image["labels"]))
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dataset", "s"]
    (tmp_path / "dataset").rename(tmp_path / "moved")
    assert stored(Dataset(tmp_path / "moved"), "A/A-0")[2].max() == 2


def test_old_manifest_is_read_though_it_says_more(tmp_path: Path) -> None:
    opened(tiles(tmp_path / "s", "A", "B"))
    path = tmp_path / "dataset" / MANIFEST
    before = read_manifest(path.parent)
    path.write_text(
        json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"remark": "x"}), encoding="utf-8"
    )
    assert read_manifest(path.parent) == before
    assert read_manifest(path.parent).digest == before.digest


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ('{"format_version": 2}', "dataset-too-new", "format 2 is newer than this Swath reads (1)"),
        ('{"format_version": 1}', "dataset-damaged", ""),
        ("[]", "dataset-damaged", ""),
        ("{", "dataset-damaged", ""),
    ],
)
def test_manifest_that_cannot_be_read(tmp_path: Path, text: str, code: str, message: str) -> None:
    path = write_text(tmp_path / MANIFEST, text)
    with fails(code, DataError, path) as caught:
        Dataset(tmp_path)
    assert message in caught.value.message


def test_a_folder_or_file_that_is_no_dataset(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere", write_text(tmp_path / "file", "x")):
        with fails("not-a-dataset", DataError, path) as caught:
            Dataset(path)
        assert MANIFEST in caught.value.message and "swath prepare" in str(caught.value.fix)


def test_a_lost_array_is_named(tmp_path: Path) -> None:
    opened(tiles(tmp_path / "s", "A", "B"))
    (tmp_path / "dataset" / "labels" / "000001.npy").unlink()
    image = Dataset(tmp_path / "dataset").images[1]
    lost = tmp_path / "dataset" / "labels" / "000001.npy"
    with fails("dataset-damaged", DataError, lost) as caught:
        image.read_labels(image.grid.window)
    assert "swath prepare" in str(caught.value.fix)


def test_an_old_dataset_is_replaced_when_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tiles(tmp_path / "s", "A", "B")
    opened(source, seed=1)
    before = (tmp_path / "dataset" / MANIFEST).read_bytes()
    with pytest.raises(UsageError):
        opened(source, seed=2, test="nowhere")
    with monkeypatch.context() as patch:
        patch.setattr("swath.commands.prepare.band_statistics", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            opened(source, seed=2)
    assert (tmp_path / "dataset" / MANIFEST).read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dataset", "s"]
    opened(write_pairs(tmp_path / "s2", "xy"), seed=2, test="x", val="none")
    assert sorted(p.name for p in (tmp_path / "dataset" / "pixels").iterdir()) == [
        "000000.npy",
        "000001.npy",
    ]
    assert read_manifest(tmp_path / "dataset").seed == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dataset", "s", "s2"]


def _interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_folder_with_other_things_is_not_replaced(tmp_path: Path) -> None:
    source = tiles(tmp_path / "s", "A", "B")
    (tmp_path / "dataset").mkdir()
    write_text(tmp_path / "dataset" / "thesis.txt", "years of work")
    with pytest.raises(JobError) as caught:
        opened(source)
    assert caught.value.file == str(tmp_path / "dataset")
    assert "thesis.txt" in caught.value.message
    assert (tmp_path / "dataset" / "thesis.txt").read_text() == "years of work"
    with pytest.raises(JobError) as caught:
        swath.prepare(source, tmp_path / "dataset" / "thesis.txt")
    assert caught.value.file == str(tmp_path / "dataset" / "thesis.txt")
    with fails("target-is-source", UsageError, source):
        swath.prepare(source, source)
    assert swath.inspect(source).ok


# Scenes


def test_scene_with_polygons_of_names(tmp_path: Path) -> None:
    image = noise(3, 128, 96)
    write_raster(tmp_path / "s" / "scene.tif", image, UTM, NORTH_UP)
    shapes = [box(0, 0, 64, 96), box(64, 0, 32, 96), box(96, 0, 16, 96)]
    write_layer(tmp_path / "s" / "fields.gpkg", shapes, {"class": ["water", "forest", "water"]})
    result, dataset = opened(
        tmp_path / "s", images="scene.tif", labels="fields.gpkg", block=32, buffer=0
    )
    expected = np.full((128, 96), IGNORE)
    expected[:64], expected[64:96], expected[96:112] = 1, 0, 1
    values, _, labels = stored(dataset, "scene")
    assert result.layout == "scene" and (values == image).all() and (labels == expected).all()
    assert [(c.name, c.code, c.pixels) for c in result.classes] == [
        ("forest", 1, 32 * 96),
        ("water", 2, 80 * 96),
    ]
    assert dataset.manifest.gsd == pytest.approx(10, rel=0.01)


def test_scene_blocks_without_labels_are_no_groups(tmp_path: Path) -> None:
    write_raster(tmp_path / "s" / "scene.tif", noise(1, 128, 128), UTM, NORTH_UP)
    write_layer(
        tmp_path / "s" / "fields.gpkg", [box(0, 0, 32, 128), box(32, 0, 32, 128)], {"class": [1, 2]}
    )
    _, dataset = opened(
        tmp_path / "s", images="scene.tif", labels="fields.gpkg", block=32, buffer=0
    )
    assert sorted(split_of(dataset), key=int) == [str(i) for i in range(8)]
    with fails("no-such-group", UsageError) as caught:
        opened(tmp_path / "s", images="scene.tif", labels="fields.gpkg", block=32, test="15")
    assert "'15'" in caught.value.message


def test_scenes_of_one_grid_share_their_blocks(tmp_path: Path) -> None:
    """Two dates of one area must be in one split."""
    for name in "xy":
        write_raster(tmp_path / "s" / f"{name}.tif", noise(3, 128, 128), UTM, NORTH_UP)
    write_raster(
        tmp_path / "s" / "z.tif", noise(3, 96, 128), UTM, from_origin(700_000, 5_600_000, 10, 10)
    )
    shapes = [box(0, 0, 128, 64), box(0, 64, 128, 64), box(0, 20_000, 128, 128)]
    write_layer(tmp_path / "s" / "fields.gpkg", shapes, {"class": [1, 2, 1]})
    scenes = {"images": ["x.tif", "y.tif"], "labels": "fields.gpkg", "block": 64}
    _, dataset = opened(tmp_path / "s", **scenes)
    assert sorted((s.name, s.group) for s in dataset.manifest.samples) == [
        (f"{n}/{i}", str(i)) for n in "xy" for i in range(4)
    ]
    _, dataset = opened(tmp_path / "s", **scenes | {"images": ["x.tif", "y.tif", "z.tif"]})
    assert {s.group for s in dataset.manifest.samples} == {
        f"{n}/{i}" for n in "xz" for i in range(4)
    }


def test_scene_without_overlap_of_labels_and_image(tmp_path: Path) -> None:
    write_raster(tmp_path / "s" / "scene.tif", noise(1, 64, 64), UTM, NORTH_UP)
    write_layer(tmp_path / "s" / "fields.gpkg", [box(500, 500, 10, 10)], {"class": [1]})
    with fails("labels-miss-images", DataError, tmp_path / "s" / "fields.gpkg"):
        opened(tmp_path / "s", images="scene.tif", labels="fields.gpkg")


# Real images


def test_dubai(shared_data: Path, tmp_path: Path) -> None:
    for tile in ("Tile 1", "Tile 2"):
        for kind, ending in (("images", "jpg"), ("masks", "png")):
            name = f"{tile}/{kind}/image_part_002.{ending}"
            (tmp_path / "s" / name).parent.mkdir(parents=True)
            (tmp_path / "s" / name).symlink_to(shared_data / "dubai" / name)
    result, dataset = opened(
        tmp_path / "s", classes=shared_data / "dubai-classes.yaml", test="Tile 2", val="none"
    )
    assert split_of(dataset) == {"Tile 1": "train", "Tile 2": "test"}
    colors = [0xE2A929, 0x8429F6, 0x6EC1E4, 0x3C1098, 0xFEDD3A]
    totals = np.zeros(5, int)
    for tile in ("Tile 1", "Tile 2"):
        folder = shared_data / "dubai" / tile
        with rasterio.open(folder / "images/image_part_002.jpg") as file:
            pixels = file.read()
        with rasterio.open(folder / "masks/image_part_002.png") as file:
            bands = file.read()
            if file.count == 1:  # Tile 2 has palettes
                bands = np.array([file.colormap(1)[k][:3] for k in range(len(file.colormap(1)))])[
                    bands[0]
                ].transpose(2, 0, 1)
        packed = (bands.astype(int) * np.array([65536, 256, 1])[:, None, None]).sum(axis=0)
        expected = np.full(packed.shape, IGNORE)
        for i, color in enumerate(colors):
            expected[packed == color] = i
        values, valid, labels = stored(dataset, f"{tile}/image_part_002")
        assert (labels == expected).all() and (values == pixels).all() and valid.all()
        totals += np.bincount(expected.ravel(), minlength=256)[:5]
        if tile == "Tile 1":
            assert [b.mean for b in dataset.manifest.bands] == pytest.approx(
                pixels.mean(axis=(1, 2)).tolist()
            )
            assert [b.std for b in dataset.manifest.bands] == pytest.approx(
                pixels.std(axis=(1, 2)).tolist()
            )
    assert [c.pixels for c in result.classes] == totals.tolist()
    assert [c.name for c in result.classes] == ["water", "land", "road", "building", "vegetation"]


def test_sentinel2(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "sentinel2"
    result = swath.prepare(source, tmp_path / "d", test="282D_485L_3_3", val="38D_378R_2_3")
    dataset = Dataset(tmp_path / "d")
    assert dataset.manifest.dtype == "int16" and len(result.bands) == 12
    assert len({image.grid.crs for image in dataset.manifest.images}) == 5
    assert dataset.manifest.gsd == pytest.approx(10, rel=0.02)
    codes = [c.code for c in result.classes]
    for image in dataset.manifest.images:
        with (
            rasterio.open(image.sources[0]) as file,
            rasterio.open(source / "labels" / Path(image.sources[0]).name) as mask,
        ):
            pixels, labels = file.read(), mask.read(1, masked=True)
            assert image.grid.transform == tuple(file.transform)[:6]
        values, _, indices = stored(dataset, image.name)
        assert (values == pixels).all()
        assert (np.array(codes)[indices[indices != IGNORE]] == labels.data[indices != IGNORE]).all()
        assert ((indices != IGNORE) == ~np.ma.getmaskarray(labels)).all()


def test_flood(shared_data: Path, tmp_path: Path) -> None:
    text = "[{name: none, code: -1, ignore: true}, {name: dry, code: 0}, {name: water, code: 1}]"
    classes = write_text(tmp_path / "classes.yaml", text)
    with fails("negative-code", DataError) as caught:
        swath.prepare(shared_data / "flood", tmp_path / "d")
    assert str(caught.value.file).endswith("LabelHand.tif")
    assert " -1 " in caught.value.message and "--classes" in str(caught.value.fix)
    result = swath.prepare(
        shared_data / "flood", tmp_path / "d", classes=classes, block=128, buffer=0
    )
    dataset = Dataset(tmp_path / "d")
    with rasterio.open(next((shared_data / "flood" / "labels").iterdir())) as file:
        codes = file.read(1)
    _, valid, labels = stored(dataset, dataset.images[0].name)
    assert (labels == np.where((codes < 0) | ~valid, IGNORE, codes)).all()
    assert [(c.name, c.code) for c in result.classes] == [("dry", 0), ("water", 1)]
    assert dataset.manifest.legend.nodata == 255


def landsat_valid(folder: Path) -> tuple[np.ndarray, Any]:
    """Return where all six bands have data, and the profile of the first."""
    valid: Any = True
    for path in sorted(folder.glob("lsat7_2000_*.tif")):
        with rasterio.open(path) as file:
            valid = valid & (file.read(1) != file.nodata)
            profile = file.profile
    return valid, profile


def test_landsat_polygons(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "landsat"
    options = {
        "images": "lsat7_2000_*.tif",
        "labels": "landsat96_polygons.shp",
        "label_field": "id",
        "buffer": 0,
    }
    result = swath.prepare(folder, tmp_path / "d", **options)
    dataset = Dataset(tmp_path / "d")
    assert result.bands == ["10", "20", "30", "40", "50", "70"]
    valid, profile = landsat_valid(folder)
    meta, _, wkb, columns = pyogrio.raw.read(folder / "landsat96_polygons.shp", columns=["id"])
    shapes = transform_geom(
        meta["crs"], profile["crs"], [shapely.from_wkb(w).__geo_interface__ for w in wkb]
    )
    burnt = rasterio.features.rasterize(
        zip(shapes, columns[0].astype(int), strict=True),
        valid.shape,
        transform=profile["transform"],
        fill=-1,
        dtype="int32",
    )
    _, stored_valid, labels = stored(dataset, dataset.images[0].name)
    assert (stored_valid == valid).all()
    codes = np.array([c.code for c in result.classes])
    mine = np.where(labels == IGNORE, -1, codes[np.minimum(labels, len(codes) - 1)])
    assert (mine != np.where(valid, burnt, -1)).sum() <= 2  # a center may lie on an edge
    assert set(split_of(dataset).values()) == {"train"}  # they are few
    with rasterio.open(folder / "lsat7_2000_40.tif") as file:
        seen = file.read(1)
    train = np.zeros_like(valid)
    for s in dataset.manifest.of("train"):
        train[s.window.slices] = True
    assert dataset.manifest.bands[3].mean == pytest.approx(
        seen[train & valid].astype(float).mean(), rel=1e-6
    )


def test_landsat_label_raster_in_another_crs(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "landsat"
    options = {"images": "lsat7_2000_*.tif", "labels": "landsat96_labelled_pixels.tif"}
    inspected = swath.inspect(folder, **options)
    assert inspected.ok and inspected.images == 1
    result = swath.prepare(folder, tmp_path / "d", buffer=0, **options)
    valid, profile = landsat_valid(folder)
    with rasterio.open(folder / "landsat96_labelled_pixels.tif") as file:
        assert (file.crs.to_epsg(), profile["crs"].to_epsg()) == (3358, 32119)
        source, nodata = file.read(1), file.nodata
        moved = np.full(valid.shape, nodata, source.dtype)
        reproject(
            source,
            moved,
            src_transform=file.transform,
            src_crs=file.crs,
            src_nodata=nodata,
            dst_transform=profile["transform"],
            dst_crs=profile["crs"],
            dst_nodata=nodata,
            resampling=Resampling.nearest,
        )
    _, _, labels = stored(Dataset(tmp_path / "d"), Dataset(tmp_path / "d").images[0].name)
    codes = np.array([c.code for c in result.classes])
    known = labels != IGNORE
    expected = valid & (moved != nodata)
    assert known.sum() > 500
    assert (known != expected).sum() <= 0.01 * expected.sum()
    both = known & expected
    assert (codes[labels[both]] == moved[both]).mean() > 0.99


def test_a_source_is_never_replaced_by_its_dataset(tmp_path: Path) -> None:
    source = write_pairs(tmp_path / "outer" / "s", ["a", "b", "c"])
    for target in (source, tmp_path / "outer"):
        (target / "dataset.json").write_text("{}", encoding="utf-8")
        with fails("target-is-source", UsageError, target):
            swath.prepare(source, target)
    assert (source / "images" / "a.tif").is_file()


def test_a_dataset_that_holds_something_else_is_not_replaced(tmp_path: Path) -> None:
    source = write_pairs(tmp_path / "s", ["a", "b", "c"])
    swath.prepare(source, tmp_path / "d")
    (tmp_path / "d" / "land.swath").write_text("mine", encoding="utf-8")
    with pytest.raises(JobError) as caught:
        swath.prepare(source, tmp_path / "d")
    assert "land.swath" in caught.value.message


def test_a_fourth_band_taken_for_alpha_is_warned_of(tmp_path: Path) -> None:
    source = write_pairs(tmp_path / "s", ["a", "b", "c"])
    write_raster(source / "images" / "a.tif", noise(4, 64, 64), photometric="rgb", alpha="yes")
    found = swath.inspect(source).findings
    codes = {f["code"] for f in found if f["file"].endswith("a.tif")}
    assert "alpha-data" in codes


def test_overlapping_scenes_on_other_grids_do_not_leak(tmp_path):
    for name, shift in (("a", 0), ("b", 37), ("c", 90)):
        where = NORTH_UP * NORTH_UP.translation(shift, shift // 3)
        values = noise(3, 300, 300, seed=shift)
        write_raster(tmp_path / "s" / f"{name}.tif", values, UTM, where)
    halves = [box(-50, -50, 500, 220), box(-50, 170, 500, 400)]
    write_layer(tmp_path / "s" / "f.gpkg", halves, {"class": ["a", "b"]})
    options = {"images": "*.tif", "labels": "f.gpkg", "block": 64}
    result = swath.prepare(tmp_path / "s", tmp_path / "d", **options)
    assert "split-leak" not in {f["code"] for f in result.findings}
    manifest = Dataset(tmp_path / "d").manifest
    assert all(manifest.of(split) for split in ("train", "val", "test"))
    seen = {}
    for sample in manifest.samples:  # a pixel of the earth is in one split, in all scenes
        shift = {"a": 0, "b": 37, "c": 90}[sample.name.partition("/")[0]]
        rows, cols = sample.window.slices
        for row in range(rows.start + shift // 3, rows.stop + shift // 3):
            for col in range(cols.start + shift, cols.stop + shift):
                assert seen.setdefault((row, col), sample.split) == sample.split


def few_fields(folder: Path, count: int = 6, side: int = 8) -> dict[str, Any]:
    """Write a scene with squares of two classes in turn, and return the options that name it."""
    write_raster(folder / "s.tif", noise(3, 512, 512), UTM, NORTH_UP)
    places = [divmod(i, 16) for i in range(count)]
    shapes = [box(30 * row + 8, 30 * col + 8, side, side) for row, col in places]
    kinds = [("wheat", "maize")[i % 2] for i in range(count)]
    write_layer(folder / "f.gpkg", shapes, {"class": kinds})
    return {"images": "s.tif", "labels": "f.gpkg"}


def test_few_labels_all_train(tmp_path: Path) -> None:
    given = few_fields(tmp_path / "s", 40)
    result = swath.prepare(tmp_path / "s", tmp_path / "d", **given)
    assert set(split_of(Dataset(tmp_path / "d")).values()) == {"train"}
    codes = [f["code"] for f in result.findings]
    assert "few-labels" in codes and "empty-split" not in codes
    assert result.splits["train"].pixels == 40 * 64
    assert "few" in result.read.split["test"]


def test_few_labels_in_one_group_are_told_like_others(tmp_path: Path) -> None:
    given = few_fields(tmp_path / "s")
    result = swath.prepare(tmp_path / "s", tmp_path / "d", block=512, **given)
    assert len({s.group for s in Dataset(tmp_path / "d").manifest.samples}) == 1
    assert "few-labels" in [f["code"] for f in result.findings]
    assert result.read.split == dict.fromkeys(("test", "val"), "none (few labels)")


def test_labels_of_whole_images_are_not_called_few(tmp_path: Path) -> None:
    codes = np.kron([[1, 2], [2, 1]], np.ones((32, 32), np.uint8))
    for name in ("a", "b"):
        write_raster(tmp_path / "s" / "images" / f"{name}.tif", noise(3, 64, 64), UTM, NORTH_UP)
        write_raster(tmp_path / "s" / "masks" / f"{name}.tif", codes, UTM, NORTH_UP)
    result = swath.prepare(tmp_path / "s", tmp_path / "d", test="none")
    assert set(split_of(Dataset(tmp_path / "d")).values()) == {"train"}
    assert "few-labels" not in [f["code"] for f in result.findings]
    assert result.read.split["test"] == "--test" and "seed" in result.read.split["val"]


@pytest.mark.parametrize(
    ("count", "side", "options"),
    [(40, 8, {"test": "0"}), (40, 8, {"val": "0"}), (250, 8, {}), (100, 20, {})],
    ids=["test", "val", "many features", "large features"],
)
def test_labels_are_split_where_they_are_many_or_a_split_is_named(
    tmp_path: Path, count: int, side: int, options: dict[str, str]
) -> None:
    given = few_fields(tmp_path / "s", count, side)
    result = swath.prepare(tmp_path / "s", tmp_path / "d", **given, **options)
    assert len(set(split_of(Dataset(tmp_path / "d")).values())) > 1
    assert "few-labels" not in [f["code"] for f in result.findings]
