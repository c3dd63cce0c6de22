"""Results that mean little are said: empty maps, one class, masks and regions that miss, points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from rasterio.transform import from_origin

import swath
from swath.errors import DataError, UsageError
from tests.errors import fails
from tests.make import NORTH_UP, UTM, box, noise, place, write_layer, write_model, write_raster

FAR = from_origin(900_000, 5_600_000, 10, 10)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "m.swath")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "a.tif", noise(3, 64, 64), UTM, NORTH_UP)


def test_a_usual_map_has_no_warning(model: Path, image: Path, tmp_path: Path) -> None:
    assert swath.predict(model, image, tmp_path / "map.tif").warnings == []


def test_a_map_of_nodata_and_one_of_one_class(model: Path, tmp_path: Path) -> None:
    empty = write_raster(tmp_path / "e.tif", np.zeros((3, 64, 64), np.uint8), UTM, NORTH_UP, 0)
    (warning,) = swath.predict(model, empty, tmp_path / "map.tif").warnings
    assert "No pixel of the map has data" in warning
    dark = write_raster(tmp_path / "d.tif", np.full((3, 64, 64), 2, np.uint8), UTM, NORTH_UP)
    (warning,) = swath.predict(model, dark, tmp_path / "map2.tif").warnings
    assert "one class, 3" in warning


def test_a_mask_that_misses(model: Path, image: Path, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "far.tif", np.ones((64, 64), np.uint8), UTM, FAR)
    warnings = swath.predict(model, image, tmp_path / "map.tif", mask=path).warnings
    assert str(path) in warnings[0] and "--mask" in warnings[0]


def test_regions_that_miss_all_images_or_one(model: Path, image: Path, tmp_path: Path) -> None:
    other = write_raster(tmp_path / "b.tif", noise(3, 64, 64, seed=2), UTM, FAR)
    far = write_layer(tmp_path / "far.gpkg", [box(0, 9000, 10, 10)], {"class": ["x"]})
    for images, target in ((image, "map.tif"), ([image, other], "maps")):
        with fails("regions-miss-images", DataError, far):
            swath.predict(model, images, tmp_path / target, regions=far)
        assert not (tmp_path / target).exists()
    here = write_layer(tmp_path / "r.gpkg", [box(0, 0, 9, 9)], {"class": ["x"]})
    first, second = swath.predict(model, [image, other], tmp_path / "maps", regions=here).warnings
    assert "1 of 2" in first and str(other) in first and str(image) not in first
    assert str(other) in second and "--regions" in second


@pytest.mark.parametrize("cause", ["nodata", "mask", "regions"])
def test_an_empty_map_says_which_image_and_why(model: Path, tmp_path: Path, cause: str) -> None:
    good = write_raster(tmp_path / "a.tif", noise(3, 64, 64), UTM, NORTH_UP, 0)
    pixels = noise(3, 64, 64, seed=1)
    options: dict[str, object] = {}
    if cause == "nodata":
        pixels[:] = 0
    elif cause == "mask":
        mask = np.ones((64, 64), np.uint8)
        options["mask"] = write_raster(tmp_path / "mask.tif", mask, UTM, FAR)
    else:
        pixels[:, :32] = 0
        shapes = [box(0, 0, 64, 64), box(0, 40_000, 20, 64)]
        options["regions"] = write_layer(tmp_path / "r.gpkg", shapes, {"class": ["x", "x"]})
    empty = write_raster(tmp_path / "b.tif", pixels, UTM, FAR, 0)
    result = swath.predict(model, [good, empty], tmp_path / "maps", **options)
    (warning,) = result.warnings
    assert str(empty) in warning and "No pixel of the map has data" in warning
    words = {"nodata": "are nodata", "mask": "masked", "regions": "--regions"}
    assert [key for key, word in words.items() if word in warning] == [cause]


def test_one_class_at_odd_numbers_names_the_image(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.swath", dtype="float32")
    good = write_raster(tmp_path / "a.tif", noise(3, 64, 64).astype("f4"), UTM, NORTH_UP)
    odd = write_raster(tmp_path / "b.tif", noise(3, 64, 64).astype("f4") / 256, UTM, FAR)
    warnings = swath.predict(model, [good, odd], tmp_path / "maps").warnings
    assert len(warnings) == 2 and all(str(odd) in text for text in warnings)
    assert "one class" in warnings[1]


@pytest.mark.parametrize("name", ["map.png", "map.JPG", "map.jp2", "map.gpkg", "map.vrt"])
def test_a_map_of_another_ending_is_refused(
    model: Path, image: Path, tmp_path: Path, name: str
) -> None:
    with fails("file-extension", UsageError, tmp_path / name) as caught:
        swath.predict(model, image, tmp_path / name)
    assert str(tmp_path / "map.tif") in caught.value.fix
    assert not (tmp_path / name).exists()


def test_other_outputs_of_another_ending_are_refused(
    model: Path, image: Path, tmp_path: Path
) -> None:
    target = tmp_path / "map.tif"
    for name in ("x.tif", "x.shp", "x.geojson"):
        with fails("file-extension", UsageError, tmp_path / name):
            swath.predict(model, image, target, polygons=tmp_path / name)
        with fails("file-extension", UsageError, tmp_path / name):
            swath.sample(image, tmp_path / name)
    with fails("map-is-a-file", UsageError, target):
        swath.predict(model, [image, image.with_name("b.tif")], target)
    assert not target.exists()
    assert swath.predict(model, image, tmp_path / "map.2024").maps[0].endswith("map.2024")


def test_masks_and_regions_that_touch_one_of_two(model: Path, image: Path, tmp_path: Path) -> None:
    other = write_raster(tmp_path / "b.tif", noise(3, 64, 64, seed=2), UTM, FAR)
    regions = write_layer(tmp_path / "r.gpkg", [box(0, 0, 9, 9)], {"class": ["x"]})
    result = swath.predict(model, [image, other], tmp_path / "maps", regions=regions)
    assert not [w for w in result.warnings if "touches no image" in w]
    assert [w for w in result.warnings if str(other) in w]


def test_masks_without_a_place_for_several_images(model: Path, tmp_path: Path) -> None:
    images = [write_raster(tmp_path / f"{n}.tif", noise(3, 64, 64, seed=ord(n))) for n in "ab"]
    masks = [write_raster(tmp_path / f"{n}_cloud.tif", np.eye(64, dtype="uint8")) for n in "ab"]
    with fails("ambiguous-mask", DataError):
        swath.predict(model, images, tmp_path / "maps", mask=list(map(str, masks)))
    one = swath.predict(model, images, tmp_path / "maps", mask=str(masks[0]))
    assert one.nodata == 2 * 64


def codes() -> np.ndarray:
    return (np.indices((128, 128))[1] * 3 // 128 + 1).astype(np.uint8)


@pytest.mark.parametrize("count", [3, 60, 400])
def test_points_have_no_boundary_iou(tmp_path: Path, count: int) -> None:
    mapped = write_raster(tmp_path / "map.tif", codes(), UTM, NORTH_UP, 0)
    at = np.random.default_rng(0).permutation(64 * 64)[:count]
    points = [place(2 * (i % 64) + 0.5, 2 * (i // 64) + 0.5) for i in at]
    labels = np.zeros((128, 128), np.uint8)
    for i in at:
        labels[2 * (i // 64), 2 * (i % 64)] = codes()[2 * (i // 64), 2 * (i % 64)]
    raster = write_raster(tmp_path / "labels.tif", labels, UTM, NORTH_UP, 0)
    result = swath.evaluate(mapped, raster)
    assert result.boundary_miou is None and all(c.boundary_iou is None for c in result.classes)
    assert result.accuracy == 1 and len(points) == count


def test_polygons_keep_their_boundary_iou(tmp_path: Path) -> None:
    mapped = write_raster(tmp_path / "map.tif", codes(), UTM, NORTH_UP, 0)
    labels = codes()
    labels[:, 100:] = 0
    raster = write_raster(tmp_path / "labels.tif", labels, UTM, NORTH_UP, 0)
    assert swath.evaluate(mapped, raster).boundary_miou == 1


def test_evaluate_says_what_means_little(tmp_path: Path) -> None:
    mapped = write_raster(tmp_path / "map.tif", codes(), UTM, NORTH_UP, 0)
    polygons = [shapely.buffer(shapely.Point(*place(20, 20)), 100)]
    layer = write_layer(tmp_path / "one.gpkg", polygons, {"class": [1]})
    warnings = swath.evaluate(mapped, layer).warnings
    assert any("one class" in w for w in warnings)
    both = write_raster(tmp_path / "labels.tif", codes(), UTM, NORTH_UP, 0)
    assert swath.evaluate(mapped, both).warnings == []
    uniform = write_raster(tmp_path / "u.tif", np.full((128, 128), 2, "uint8"), UTM, NORTH_UP, 0)
    assert any("one class" in w for w in swath.evaluate(uniform, both).warnings)


@pytest.mark.parametrize("change", [lambda c: c * 10, lambda c: c - 1, lambda c: c % 3 + 1])
def test_labels_with_other_codes_than_the_map_are_told(tmp_path, change):
    mapped = np.random.default_rng(0).integers(1, 4, (64, 64)).astype(np.uint8)
    write_raster(tmp_path / "map.tif", mapped, UTM, NORTH_UP, 0)
    write_raster(tmp_path / "labels.tif", change(mapped), UTM, NORTH_UP, 255)
    result = swath.evaluate(tmp_path / "map.tif", tmp_path / "labels.tif")
    (warning,) = [text for text in result.warnings if "same codes" in text]
    assert "100%" in warning and result.accuracy == 0


def test_other_codes_are_told_of_a_map_with_many_errors(tmp_path):
    reference = np.repeat(np.array([1, 1, 1, 1, 2, 3, 3, 3], np.uint8), 8)[:, None].repeat(
        64, axis=1
    )
    mapped = reference.copy()
    mapped[reference == 2] = np.where(
        np.arange(512) % 8 < 3, 2, 1
    )  # most of class 2 is mapped as 1
    mapped[reference == 1] = np.where(np.arange(2048) % 4 == 0, 3, 1)
    write_raster(tmp_path / "map.tif", mapped, UTM, NORTH_UP, 0)
    for codes, told in (([0, 1, 2, 3], []), ([0, 3, 2, 1], ["1 to 3, 3 to 1"])):
        write_raster(
            tmp_path / "labels.tif", np.array(codes, np.uint8)[reference], UTM, NORTH_UP, 0
        )
        found = swath.evaluate(tmp_path / "map.tif", tmp_path / "labels.tif").warnings
        assert len(found) == len(told) and all(t in f for t, f in zip(told, found, strict=True))


def test_a_class_that_no_other_is_left_beside_is_told(tmp_path):
    write_raster(tmp_path / "img.tif", noise(3, 64, 64), UTM, NORTH_UP)
    features = [box(20, 20, 10, 10), box(0, 0, 64, 64)]
    write_layer(tmp_path / "hidden.gpkg", features, {"class": ["small", "large"]})
    write_layer(tmp_path / "outside.gpkg", [box(900, 0, 9, 9), features[1]], {"class": [1, 2]})
    for name, told in (("hidden", "of small"), ("outside", "of 1")):
        images, labels = ["img.tif"], [f"{name}.gpkg"]
        split = {"test": ["none"], "val": ["none"]}
        result = swath.prepare(tmp_path, tmp_path / name, images=images, labels=labels, **split)
        found = [f for f in result.findings if f["code"] == "single-class"]
        assert [f["level"] for f in found] == ["warning"] and told in found[0]["message"]
        with fails("single-class"):
            swath.train(tmp_path / name, tmp_path / "m.swath", steps=1)
    write_layer(tmp_path / "empty.gpkg", [shapely.Polygon(), features[1]], {"class": ["z", "a"]})
    with fails("single-class") as caught:
        swath.prepare(tmp_path, tmp_path / "ds", images=["img.tif"], labels=["empty.gpkg"])
    assert "empty geometry" in str(caught.value)
