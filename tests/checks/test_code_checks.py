"""Values of masks that mean no label, codes in three bands, and labels of one class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import swath
from swath.data.dataset import Dataset
from swath.errors import DataError
from swath.legend import IGNORE, ignore_codes
from tests.errors import fails
from tests.make import (
    UTM,
    box,
    noise,
    write_jpeg,
    write_layer,
    write_model,
    write_png,
    write_raster,
)

SIDE = 64
STRIPES = np.indices((SIDE, SIDE))[1]
SPLIT: dict[str, Any] = {"test": "0", "val": "none"}


def write_source(root: Path, masks: list[Any], png: bool = True, **profile: Any) -> Path:
    """Write pairs of images of noise and the given masks."""
    for i, mask in enumerate(masks):
        write_raster(root / "images" / f"{i}.tif", noise(3, SIDE, SIDE, seed=i))
        if png:
            write_png(root / "masks" / f"{i}.png", mask, **profile)
        else:
            write_raster(root / "masks" / f"{i}.tif", mask, **profile)
    return root


def stripes(codes: list[int], dtype: str = "uint8") -> Any:
    return np.array(codes)[STRIPES * len(codes) // SIDE].astype(dtype)


def of_code(result: Any, code: str) -> list[dict[str, str]]:
    return [f for f in result.findings if f["code"] == code]


def write_classes(root: Path, codes: list[int]) -> Path:
    path = root / "classes.yaml"
    path.write_text(json.dumps([{"name": f"c{k}", "code": k} for k in codes]))
    return path


def stored(folder: Path) -> list[Any]:
    return [image.read_labels(image.grid.window) for image in Dataset(folder).images]


# Ignore values.
@pytest.mark.parametrize(
    ("codes", "ignored"),
    [
        ([0, 1, 2, 255], [255]),
        ([1, 2, 255], [255]),
        ([0, 1, 65535], [65535]),
        ([1, 2, 3, 255, 65535], [255, 65535]),
        ([*range(150), 255], [255]),
        ([10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100, 255], [255]),
        ([0, 255], []),
        ([1, 255], []),
        ([0, 128, 255], []),
        ([0, 50, 100, 150, 200, 255], []),
        ([*range(1, 255), 255], []),
        ([0, 1, 254], []),
        ([0, 1, 255, 256], []),
        ([-1, 0, 1, 255], [255]),
    ],
)
def test_codes_that_stand_alone(codes: list[int], ignored: list[int]) -> None:
    assert ignore_codes(codes) == ignored


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("png", [False, True])
@pytest.mark.parametrize(("dtype", "value"), [("uint8", 255), ("uint16", 65535), ("uint16", 255)])
def test_ignore_values_are_no_class(
    tmp_path: Path, dtype: str, value: int, png: bool, sparse: bool
) -> None:
    mask = stripes([0, 1, 2], dtype)
    mask[5 : 60 if sparse else 8] = value
    source = write_source(tmp_path / "s", [mask] * 3, png)
    result = swath.prepare(source, tmp_path / "d", **SPLIT)
    assert [c.code for c in result.classes] == [0, 1, 2]
    (finding,) = of_code(result, "ignore-value")
    assert str(value) in finding["message"] and "--classes" in finding["fix"]
    for labels in stored(tmp_path / "d"):
        assert ((labels == IGNORE) == (mask == value)).all()
    classes = write_classes(tmp_path, [0, 1, 2, value])
    named = swath.prepare(source, tmp_path / "e", classes=classes, **SPLIT)
    assert [c.code for c in named.classes] == [0, 1, 2, value]
    assert not of_code(named, "ignore-value")


def test_black_and_white_are_two_classes(tmp_path: Path) -> None:
    result = swath.inspect(write_source(tmp_path, [stripes([0, 255])] * 3))
    assert [c.code for c in result.classes] == [0, 255] and not of_code(result, "ignore-value")


def test_one_and_255_are_asked_for(tmp_path: Path) -> None:
    result = swath.inspect(write_source(tmp_path, [stripes([1, 255])] * 3))
    assert of_code(result, "ignore-value") and len(result.classes) == 2


# Code 0.
@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_zero_that_surrounds_everything_is_asked_for(tmp_path: Path, dtype: str) -> None:
    mask = stripes([1, 2, 3], dtype)
    mask[:4] = mask[-4:] = 0
    mask[:, :4] = mask[:, -4:] = 0
    source = write_source(tmp_path / "s", [mask] * 3, png=False)
    (finding,) = of_code(swath.inspect(source), "code-zero")
    assert finding["level"] == "warning" and "--classes" in finding["fix"]
    classes = write_classes(tmp_path, [0, 1, 2, 3])
    assert not of_code(swath.inspect(source, classes=classes), "code-zero")


def test_zero_on_nodata_of_the_image_is_asked_for(tmp_path: Path) -> None:
    for i in range(3):
        image, mask = noise(3, SIDE, SIDE, seed=i), stripes([1, 2])
        image[:, :20], mask[:20] = 0, 0
        write_raster(tmp_path / "images" / f"{i}.tif", image, nodata=0)
        write_png(tmp_path / "masks" / f"{i}.png", mask)
    assert len(of_code(swath.inspect(tmp_path), "code-zero")) == 1


@pytest.mark.parametrize("codes", [[0, 1, 2], [0, 1], [0, 3, 0, 4]])
def test_zero_among_others_is_a_class(tmp_path: Path, codes: list[int]) -> None:
    assert not of_code(swath.inspect(write_source(tmp_path, [stripes(codes)] * 3)), "code-zero")


# Nodata of masks.
@pytest.mark.parametrize(
    ("codes", "dtype", "nodata", "level"),
    [
        ([0, 1, 2, 3, 4, 5], "uint8", 0, "warning"),
        ([0, 1, 2], "int16", 2, "warning"),
        ([0, 1, 2], "float32", 1, "warning"),
        ([1, 2, 3, 255], "uint8", 255, "note"),
        ([0, 11, 12], "uint8", 0, "note"),
        ([1, 2, -9999], "int16", -9999, "note"),
    ],
)
def test_nodata_that_takes_labels_is_said(
    tmp_path: Path, codes: list[int], dtype: str, nodata: int, level: str
) -> None:
    masks = [stripes(codes, dtype)] * 3
    source = write_source(tmp_path / "s", masks, png=False, nodata=nodata)
    result = swath.inspect(source)
    (finding,) = of_code(result, "mask-nodata")
    pixels = 3 * int((masks[0] == nodata).sum())
    assert finding["level"] == level
    assert (
        f"The value {nodata} " in finding["message"] and f" {pixels} pixels" in finding["message"]
    )
    if nodata >= 0:
        classes = write_classes(tmp_path, codes)
        named = swath.prepare(source, tmp_path / "d", classes=classes, **SPLIT)
        assert not of_code(named, "mask-nodata")
        order = np.searchsorted(codes, masks[0])
        assert all((labels == order).all() for labels in stored(tmp_path / "d"))


# Codes in three bands, and one-hot bands.
@pytest.mark.parametrize("codes", [[1, 2, 3], [0, 1, 2, 3, 4], [0, 50, 100, 150], [3, 4, 255]])
@pytest.mark.parametrize("png", [False, True])
@pytest.mark.parametrize("snap", [False, True])
def test_gray_in_three_bands_is_codes(
    tmp_path: Path, codes: list[int], png: bool, snap: bool
) -> None:
    masks = [np.stack([np.roll(stripes(codes), i, 1)] * 3) for i in range(3)]
    source = write_source(tmp_path / "s", masks, png)
    result = swath.prepare(source, tmp_path / "d", snap_colors=snap, **SPLIT)
    expected = [code for code in codes if code != 255]
    assert [(c.name, c.code) for c in result.classes] == [(str(k), k) for k in expected]
    for labels, mask in zip(stored(tmp_path / "d"), masks, strict=True):
        meant = np.where(mask[0] == 255, IGNORE, np.searchsorted(codes, mask[0]))
        assert (labels == meant).all()
    named = swath.inspect(source, classes=write_classes(tmp_path, codes), snap_colors=snap)
    assert named.ok and [c.code for c in named.classes] == codes


@pytest.mark.parametrize("codes", [[1, 2, 3], [0, 1, 2]])
def test_codes_of_one_band_are_not_snapped(tmp_path: Path, codes: list[int]) -> None:
    result = swath.inspect(write_source(tmp_path, [stripes(codes)] * 3), snap_colors=True)
    assert [c.code for c in result.classes] == codes


def test_smoothed_black_and_white_are_still_colors(tmp_path: Path) -> None:
    mask = np.stack([stripes([0, 255])] * 3)
    mask[:, :3, SIDE // 2] = 128
    source = write_source(tmp_path, [mask] * 3)
    assert of_code(swath.inspect(source), "near-colors")
    found = swath.inspect(source, snap_colors=True)
    assert [c.name for c in found.classes] == ["#000000", "#FFFFFF"]


def test_smoothed_jpeg_of_gray_is_still_snapped(tmp_path: Path) -> None:
    for i in range(3):
        write_raster(tmp_path / "images" / f"{i}.tif", noise(3, SIDE, SIDE, seed=i))
        write_jpeg(tmp_path / "masks" / f"{i}.jpg", np.stack([stripes([0, 255])] * 3), QUALITY=50)
    found = swath.inspect(tmp_path, snap_colors=True)
    assert found.ok and len(found.classes) == 2


@pytest.mark.parametrize(("count", "value"), [(3, 1), (4, 1), (4, 255), (5, 255), (6, 1)])
@pytest.mark.parametrize("png", [False, True])
def test_one_hot_masks(tmp_path: Path, count: int, value: int, png: bool) -> None:
    if png and count > 4:
        return
    codes = STRIPES * count // SIDE
    masks = [np.stack([(codes == k) * value for k in range(count)]).astype("uint8")] * 3
    masks.append(masks[0] * 0)
    masks[-1][0] = value  # one class alone, which could be a color
    source = write_source(tmp_path / "s", masks, png)
    result = swath.prepare(source, tmp_path / "d", **SPLIT)
    assert [c.code for c in result.classes] == list(range(1, count + 1))
    assert all((labels == codes).all() for labels in stored(tmp_path / "d")[:3])
    assert (stored(tmp_path / "d")[3] == 0).all()


def test_one_hot_masks_have_the_names_of_their_bands(tmp_path: Path) -> None:
    codes, names = STRIPES * 5 // SIDE, ["water", "wood", "field", "road", "roof"]
    mask = np.stack([codes == k for k in range(5)]).astype("uint8")
    source = write_source(tmp_path, [mask] * 3, png=False, descriptions=names)
    assert [c.name for c in swath.inspect(source).classes] == names


def test_the_band_of_labels_is_chosen(tmp_path: Path) -> None:
    mask = np.stack([noise(SIDE, SIDE), stripes([4, 5]), *noise(3, SIDE, SIDE)])
    source = write_source(tmp_path / "s", [mask] * 3, png=False)
    assert {f["code"] for f in swath.inspect(source).findings if f["level"] == "error"} == {
        "label-bands"
    }
    result = swath.prepare(source, tmp_path / "d", label_band=2, **SPLIT)
    assert [c.code for c in result.classes] == [4, 5]
    assert all((labels == mask[1] - 4).all() for labels in stored(tmp_path / "d"))


@pytest.mark.parametrize("black", [False, True])
def test_colors_with_red_and_blue_exchanged_are_named(tmp_path: Path, black: bool) -> None:
    colors = np.array([[0x2B, 0x6C, 0xB0], [0x22, 0x8B, 0x23], [0x77, 0x77, 0x77]], "uint8")
    mask = colors[stripes([0, 1, 2])].transpose(2, 0, 1)[::-1].copy()
    mask[:, :3] = 0 if black else mask[:, :3]
    path = tmp_path / "classes.yaml"
    path.write_text("".join(f'- {{color: "#{bytes(c).hex()}"}}\n' for c in colors))
    result = swath.inspect(write_source(tmp_path / "s", [mask] * 3), classes=path)
    assert len(of_code(result, "swapped-colors")) == 3
    assert not of_code(result, "unknown-code")


# One class.
@pytest.mark.parametrize(
    ("masks", "options"),
    [
        ([stripes([7])] * 3, {}),
        ([stripes([0])] * 3, {}),
        ([np.stack([stripes([7])] * 3)] * 3, {}),
        ([np.stack([stripes([0, 255]), stripes([0]), stripes([0])])] * 3, "color"),
        ([stripes([7, 9])] * 3, "ignored"),
        ([stripes([7])] * 3, "absent"),
    ],
)
def test_labels_of_one_class_are_refused(tmp_path: Path, masks: list[Any], options: Any) -> None:
    text = {
        "color": '[{name: a, color: "#FF0000"}, {name: b, color: "#000000", ignore: true}]',
        "ignored": "[{name: a, code: 7}, {name: b, code: 9, ignore: true}]",
        "absent": "[{name: a, code: 7}, {name: b, code: 9}]",
    }
    given: dict[str, Any] = {}
    if options:
        given["classes"] = tmp_path / "classes.yaml"
        given["classes"].write_text(text[options])
    source = write_source(tmp_path / "s", masks)
    with fails("single-class", DataError) as caught:
        swath.prepare(source, tmp_path / "d", **given, **SPLIT)
    assert "--classes" in str(caught.value.fix)
    if options in ("ignored", "color"):
        swath.prepare(source, tmp_path / "d", learn_unlabeled=True, **given, **SPLIT)


def test_a_class_taken_for_nodata_is_named_where_one_is_left(tmp_path: Path) -> None:
    source = write_source(tmp_path / "s", [stripes([1, 2])] * 3, nodata=2)
    with fails("single-class", DataError) as caught:
        swath.prepare(source, tmp_path / "d", **SPLIT)
    assert Path(str(caught.value.file)).parent.name == "masks"
    assert "The value 2 " in str(caught.value)


def test_polygons_of_one_class_are_refused(tmp_path: Path) -> None:
    write_raster(tmp_path / "i.tif", noise(3, SIDE, SIDE), UTM, (10, 0, 500_000, 0, -10, 5_600_000))
    write_layer(tmp_path / "p.gpkg", [box(0, 0, 64, 20)], {"class": ["roof"]})
    with fails("single-class", DataError) as caught:
        swath.prepare(tmp_path, tmp_path / "d", images="i.tif", labels="p.gpkg", **SPLIT)
    assert "--background" in str(caught.value.fix)


def test_a_dataset_of_one_class_is_neither_trained_nor_scored(tmp_path: Path) -> None:
    source = write_source(tmp_path / "s", [stripes([1, 2, 3])] * 3)
    swath.prepare(source, tmp_path / "d", **SPLIT)
    manifest = tmp_path / "d" / "dataset.json"
    content = json.loads(manifest.read_text())
    for sample in content["samples"]:
        sample["counts"][1:] = [0, 0]
    manifest.write_text(json.dumps(content))
    with fails("single-class", DataError):
        swath.train(tmp_path / "d", tmp_path / "m.swath", steps=1)
    with fails("single-class", DataError):
        swath.evaluate(write_model(tmp_path / "m.swath"), tmp_path / "d")


# Labels of another size.
def test_masks_of_another_size_are_fitted_and_said(tmp_path: Path) -> None:
    codes = stripes([1, 2, 3])
    source = write_source(tmp_path / "s", [codes.repeat(2, 0).repeat(2, 1)] * 3)
    with fails("size-mismatch", DataError) as caught:
        swath.prepare(source, tmp_path / "d", **SPLIT)
    assert "--fit-labels" in str(caught.value.fix)
    result = swath.prepare(source, tmp_path / "d", fit_labels=True, **SPLIT)
    assert len(of_code(result, "labels-resampled")) == 3
    assert all((labels == codes - 1).all() for labels in stored(tmp_path / "d"))


def test_scene_labels_that_touch_no_image_are_an_error(tmp_path: Path) -> None:
    for name, x in (("a", 500_000), ("b", 510_000)):
        write_raster(tmp_path / f"{name}.tif", noise(3, 64, 64), UTM, (10, 0, x, 0, -10, 5_600_000))
    where = (10, 0, 900_000, 0, -10, 5_600_000)
    write_raster(tmp_path / "labels.tif", stripes([1, 2]), UTM, where)
    result = swath.inspect(tmp_path, images=["a.tif", "b.tif"], labels="labels.tif")
    (finding,) = of_code(result, "labels-miss-images")
    assert "x 900000 to 900640" in finding["message"] and "a.tif" in finding["message"]
    assert str(tmp_path / "labels.tif") in finding["fix"] and not result.ok


def test_exact_colors_that_a_class_file_has_otherwise_are_paired(tmp_path: Path) -> None:
    def colored(*colors: tuple[int, int, int]) -> Any:
        return np.array(colors, np.uint8)[STRIPES * len(colors) // SIDE].transpose(2, 0, 1)

    source = write_source(tmp_path / "s", [colored((226, 169, 41), (60, 16, 152))] * 2)
    listed = [{"name": "water", "color": "#E2A930"}, {"name": "roof", "color": "#3C1098"}]
    classes = tmp_path / "classes.yaml"
    classes.write_text(json.dumps(listed))
    findings = swath.inspect(source, classes=classes).findings
    first = next(f for f in findings if f["level"] == "error")
    assert first["code"] == "palette-disagrees" and "near-colors" not in {
        f["code"] for f in findings
    }
    assert "#E2A929 (2048 pixels) where water has #E2A930" in first["message"]
    assert str(classes) in first["fix"] and "#3C1098" not in first["message"]
    smoothed = [(226, 169, 48), (222, 169, 48), (60, 16, 152)]  # beside the color of the class
    other = write_source(tmp_path / "o", [colored(*smoothed)] * 2)
    assert of_code(swath.inspect(other, classes=classes), "near-colors")
