"""Images of one dataset have their bands in one order and their numbers in one scale."""

import json

import numpy as np
import pytest

import swath
from swath.errors import DataError
from tests.errors import fails
from tests.make import noise, write_raster

CODES = (np.indices((64, 64))[1] // 32 + 1).astype(np.uint8)


def pixels(seed, low=300, high=2500):
    small = noise(3, 16, 16, seed=seed, low=low, high=high, dtype="uint16")
    return np.kron(small, np.ones((4, 4), np.uint16))


def write(root, images, **profiles):
    for i, values in enumerate(images):
        profile = {key: value[i] for key, value in profiles.items()}
        write_raster(root / "images" / f"{i:02}.tif", values, **profile)
        write_raster(root / "masks" / f"{i:02}.png", CODES, driver="PNG")
    return root


def codes(root):
    return {f["code"]: f for f in swath.inspect(root).findings}


def stored(dataset):
    manifest = json.loads((dataset / "dataset.json").read_text())
    return manifest, [np.load(dataset / image["pixels"]) for image in manifest["images"]]


@pytest.mark.parametrize("extra", [0, 1])
def test_bands_are_stored_in_one_order_by_their_names(tmp_path, extra):
    images = [pixels(i) for i in range(4)]
    names = ["B02", "B03", "B04"]
    turned = [np.concatenate([x[::-1], pixels(9)[:extra]]) for x in images[3:]]
    descriptions = [names] * 3 + [[*names[::-1], "B08"][: 3 + extra]]
    root = write(tmp_path / "src", [*images[:3], *turned], descriptions=descriptions)
    result = swath.prepare(root, tmp_path / "ds", test="none", val="none")
    manifest, arrays = stored(tmp_path / "ds")
    assert result.bands == names == [band["name"] for band in manifest["bands"]]
    for array, values in zip(arrays, images, strict=True):
        assert (array == values.transpose(1, 2, 0)).all()
    assert "bands-reordered" in codes(root)


def test_images_of_other_bands_are_refused_with_both_lists(tmp_path):
    names = [["B02", "B03", "B04"]] * 3 + [["B02", "B03", "B08"]]
    root = write(tmp_path / "src", [pixels(i) for i in range(4)], descriptions=names)
    with fails("band-mismatch", DataError, root / "images" / "03.tif") as caught:
        swath.prepare(root, tmp_path / "ds")
    assert "B08" in str(caught.value) and "B04" in str(caught.value)
    swath.prepare(root, tmp_path / "ds", select_bands=["B02", "B03"])


@pytest.mark.parametrize(
    ("change", "level"),
    [
        (lambda x: x + 1000, "error"),
        (lambda x: (x * 1e-4).astype("float32"), "error"),
        (lambda x: (x * 1e-2).astype("float32"), "error"),
        (lambda x: x // 256 * 0 + x // 200 + 1, "error"),
    ],
)
@pytest.mark.parametrize("count", [1, 6])
def test_mixed_scales_are_listed(tmp_path, change, level, count):
    images = [pixels(i) for i in range(12)]
    images[:count] = [change(x) for x in images[:count]]
    if images[0].dtype.kind == "f":
        images = [x.astype("float32") for x in images]
    found = codes(write(tmp_path / "src", images))
    assert found["mixed-scales"]["level"] == level
    assert "01.tif" in found["mixed-scales"]["message"] or count == 1


@pytest.mark.parametrize(
    "images",
    [
        [pixels(i) for i in range(6)],
        [pixels(i, high=2500 if i % 2 else 700) for i in range(6)],  # dark scenes among others
        [pixels(i, low=1200, high=4000) for i in range(6)],
        [pixels(i, low=300 + 250 * i, high=2500 + 250 * i) for i in range(6)],  # a slow change
        [(pixels(i) // 12).astype("uint8") for i in range(6)],
    ],
)
def test_scenes_of_one_scale_are_no_finding(tmp_path, images):
    assert "mixed-scales" not in codes(write(tmp_path / "src", images))


@pytest.mark.filterwarnings("error")
def test_equal_images_are_of_one_scale(tmp_path):
    assert "mixed-scales" not in codes(write(tmp_path / "src", [pixels(0)] * 3))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_decibels_among_linear_numbers_are_told(tmp_path, count):
    images = [(pixels(i) * 1e-4).astype("float32") for i in range(5)]
    images[:count] = [10 * np.log10(x) for x in images[:count]]
    found = codes(write(tmp_path / "src", images))
    assert "another sign" in found["mixed-scales"]["message"]
    allowed = write(tmp_path / "b", [10 * np.log10(x) for x in images[count:]])
    assert "mixed-scales" not in codes(allowed)


def test_images_of_one_band_in_all_are_told_among_others(tmp_path):
    images = [pixels(i) for i in range(4)]
    gray = np.stack([images[1][0]] * len(images[1]))
    found = codes(write(tmp_path / "a", [images[0], gray, *images[2:]]))
    assert "01.tif" in found["equal-bands"]["message"]
    assert "equal-bands" not in codes(write(tmp_path / "b", [x[:1].repeat(3, 0) for x in images]))
