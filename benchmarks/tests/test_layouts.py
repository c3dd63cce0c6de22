"""The comparison of `benchmarks/layouts.py`: a right dataset is right, and one mistake is found."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from swath.data.dataset import Band, Image, Manifest, Sample
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window
from swath.legend import LandClass, Legend, legend_of_codes

sys.path.append(str(Path(__file__).resolve().parents[1]))
import layouts  # noqa: E402

SMALL = [x for x in layouts.LAYOUTS if x.folder != "landcoverai_out"]


@pytest.fixture(params=SMALL, ids=lambda layout: layout.folder)
def layout(request):
    if not layouts.DATA.is_dir():
        pytest.skip(f"folders of public datasets are not here: {layouts.DATA} is absent")
    return request.param


def write(folder, layout, pairs, swap=False, drop=False, split=None):
    """Write the dataset that a right reading makes, or one with a mistake."""
    for name in ("pixels", "labels"):
        (folder / name).mkdir(parents=True)
    images, samples = [], []
    codes = sorted({int(v) for p in pairs for v in np.unique(layouts.read_labels(p))})
    kind = "color" if max(codes) > 65535 else "code"
    if layout.more.get("background"):
        legend = Legend(
            (LandClass("background", (0,), 0, "#000000"), LandClass("1", (1,), 1, "#FFFFFF"))
        )
    else:
        legend = legend_of_codes(codes, kind)
    for i, pair in enumerate(pairs[drop:]):
        pixels, _ = layouts._stack(pair.stacks[0])
        other = pairs[(i + 1) % len(pairs)] if swap else pair
        labels = legend.encode(layouts.read_labels(other))
        np.save(folder / f"pixels/{i}.npy", pixels)
        np.save(folder / f"labels/{i}.npy", labels)
        grid = GeoBox(*labels.shape, (1, 0, 0, 0, 1, 0))
        images.append(
            Image(
                name=str(i),
                sources=list(pair.stacks[0]),
                pixels=f"pixels/{i}.npy",
                labels=f"labels/{i}.npy",
                valid=None,
                grid=grid,
            )
        )
        samples.append(
            Sample(
                name=str(i),
                image=i,
                window=Window(0, 0, *labels.shape),
                group=str(i),
                split=split or pair.split or "train",
                counts=[],
            )
        )
    manifest = Manifest(
        swath_version="0",
        source="",
        layout="",
        seed=0,
        dtype="uint8",
        bands=[Band(name="1", mean=0, std=1, min=0, max=1)],
        legend=legend,
        images=images,
        samples=samples,
        gsd=None,
    )
    (folder / "dataset.json").write_text(manifest.model_dump_json(), encoding="utf-8")
    (folder / "findings.json").write_text(json.dumps([]), encoding="utf-8")


def outcome(tmp_path, layout, **mistake):
    pairs = layout.pairs(layouts.DATA / layout.folder)
    write(tmp_path / "d", layout, pairs, **mistake)
    return layouts.compare(tmp_path / "d", layout, pairs)


def test_a_right_dataset_is_right(tmp_path, layout):
    out = outcome(tmp_path, layout)
    assert out.right and not out.notes, out


def test_swapped_labels_are_wrong_pairs(tmp_path, layout):
    out = outcome(tmp_path, layout, swap=True)
    assert not out.right and out.wrong and out.labels < out.found


def test_a_sample_that_is_absent_is_missed(tmp_path, layout):
    out = outcome(tmp_path, layout, drop=True)
    assert not out.right and out.missing == 1


def test_another_split_is_found(tmp_path, layout):
    pairs = layout.pairs(layouts.DATA / layout.folder)
    if not any(pair.split for pair in pairs):
        pytest.skip("the dataset has no split of its own")
    out = outcome(tmp_path, layout, split="train")
    assert out.right == all(pair.split == "train" for pair in pairs)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "Error: x: 0 of 9 images. Say --images 'a b/{id}.tif' --labels 'm/{id}.png'.",
            ["--images", "a b/{id}.tif", "--labels", "m/{id}.png"],
        ),
        (
            "try `swath prepare X Y --images a/{id}.tif --labels m/{id}.tif --label-band 1`.",
            ["--images", "a/{id}.tif", "--labels", "m/{id}.tif", "--label-band", "1"],
        ),
        (
            "Try:\n swath prepare \\\n --images 'a/{id}.tif' \\\n --labels 'm/{id}.tif'\nIt isn't.",
            ["--images", "a/{id}.tif", "--labels", "m/{id}.tif"],
        ),
        ("name them with --images PATTERN --labels FILE.", []),
        ("say --labels x.gpkg with --images", []),
    ],
)
def test_proposals_are_read_from_text(text, words):
    assert layouts.proposal(text) == words
