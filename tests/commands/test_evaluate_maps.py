"""Maps that any tool made, scored against a dataset and against labels; comparisons in pairs."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import swath
from swath.errors import DataError, UsageError
from tests.errors import fails
from tests.make import NORTH_UP, UTM, box, noise, write_layer, write_raster

SIZE = 256


def ground(seed=0):
    return np.kron(noise(16, 16, seed=seed, low=1, high=4), np.ones((16, 16), np.uint8)).astype(
        np.uint8
    )


def spoilt(codes, share, seed=0):
    """Return a map that is wrong in a share of its pixels."""
    wrong = np.random.default_rng(seed).random(codes.shape) < share
    return np.where(wrong, codes % 3 + 1, codes).astype(np.uint8)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A georeferenced dataset of four places, and its reference on one grid."""
    root = tmp_path_factory.mktemp("world")
    reference = np.concatenate([ground(k) for k in range(4)], axis=1)
    for k in range(4):
        codes = ground(k)
        where = from_origin(500_000 + 10 * SIZE * k, 5_600_000, 10, 10)
        write_raster(
            root / "s" / f"p{k}" / "images" / "x.tif",
            codes * 60 + noise(3, SIZE, SIZE, seed=k, high=30),
            UTM,
            where,
        )
        write_raster(root / "s" / f"p{k}" / "masks" / "x.tif", codes, UTM, where)
    swath.prepare(root / "s", root / "d", test=["p1", "p2", "p3"], val="none")
    write_raster(root / "reference.tif", reference, UTM, NORTH_UP)
    write_raster(root / "good.tif", spoilt(reference, 0.1), UTM, NORTH_UP, nodata=0)
    write_raster(root / "bad.tif", spoilt(reference, 0.3), UTM, NORTH_UP, nodata=0)
    return root


def test_a_map_is_scored_on_the_test_split_of_a_dataset(world):
    result = swath.evaluate(world / "good.tif", world / "d")
    with rasterio.open(world / "reference.tif") as a, rasterio.open(world / "good.tif") as b:
        reference, mapped = a.read(1)[:, SIZE:], b.read(1)[:, SIZE:]
    assert result.accuracy == pytest.approx((reference == mapped).mean())
    assert result.confusion == [
        [int(((reference == i) & (mapped == k)).sum()) for k in (1, 2, 3)] for i in (1, 2, 3)
    ]
    assert (result.images, result.split, result.groups, result.unmapped) == (
        3,
        "test",
        ["p1", "p2", "p3"],
        0,
    )
    assert result.reliability is None
    low, high = result.miou_interval
    assert low <= result.miou <= high
    assert all(c.iou_interval[0] <= c.iou <= c.iou_interval[1] for c in result.classes)


def test_a_map_in_another_crs_is_moved_onto_the_images(world, tmp_path):
    from rasterio.warp import calculate_default_transform, reproject

    with rasterio.open(world / "reference.tif") as source:
        to, width, height = calculate_default_transform(
            source.crs, 4326, source.width, source.height, *source.bounds
        )
        moved = np.zeros((height, width), np.uint8)
        reproject(rasterio.band(source, 1), moved, dst_transform=to, dst_crs=4326)
    write_raster(tmp_path / "m.tif", moved, "EPSG:4326", to, nodata=0)
    result = swath.evaluate(tmp_path / "m.tif", world / "d")
    assert result.accuracy > 0.9
    assert result.kappa > 0.85


def test_a_map_against_a_label_raster_in_blocks(world):
    result = swath.evaluate(world / "bad.tif", world / "reference.tif")
    assert (result.split, result.accuracy) == ("labels", pytest.approx(0.7, abs=0.02))
    assert [c.code for c in result.classes] == [1, 2, 3]
    assert result.images == len(result.groups) > 3 and result.miou_interval is not None


def test_a_map_against_polygons(world, tmp_path):
    polygons = write_layer(
        tmp_path / "p.gpkg",
        [box(0, 0, 16, 16), box(0, 16, 16, 16), box(64, 300, 5, 5)],
        {"class": [1, 2, 3]},
    )
    with rasterio.open(world / "reference.tif") as file:
        codes = file.read(1)
    expected = np.zeros((3, 3), int)
    for k, part in ((0, codes[:16, :16]), (1, codes[:16, 16:32]), (2, codes[64:69, 300:305])):
        expected[k] += [(part == c).sum() for c in (1, 2, 3)]
    assert swath.evaluate(world / "reference.tif", polygons).confusion == expected.tolist()


@pytest.mark.parametrize(
    ("reference", "options"),
    [
        ("reference.tif", {"label_field": "class"}),
        ("d", {"label_field": "class"}),
        ("d", {"classes": "classes.yaml"}),
    ],
)
def test_an_option_of_other_labels_is_refused(world, reference, options):
    with fails("option-conflict", UsageError, world / reference) as caught:
        swath.evaluate(world / "good.tif", world / reference, **options)
    assert f"--{next(iter(options)).replace('_', '-')}" in caught.value.fix


def test_pixels_without_a_map_are_told_and_not_scored(world, tmp_path, caplog):
    with rasterio.open(world / "reference.tif") as file:
        codes = file.read(1)
    codes[:10, SIZE:] = 0
    write_raster(tmp_path / "m.tif", codes, UTM, NORTH_UP, nodata=0)
    result = swath.evaluate(tmp_path / "m.tif", world / "d")
    assert result.unmapped == 10 * 3 * SIZE and result.accuracy == 1
    assert "no data at 7680 labeled pixels" in caplog.text


def test_a_code_that_no_class_has_is_named(world, tmp_path):
    with rasterio.open(world / "reference.tif") as file:
        codes = file.read(1)
    codes[3, SIZE + 4] = 77
    write_raster(tmp_path / "m.tif", codes, UTM, NORTH_UP)
    with fails("unknown-code", DataError, tmp_path / "m.tif") as caught:
        swath.evaluate(tmp_path / "m.tif", world / "d")
    assert "77 (1 pixels at p1" in caught.value.message


def test_what_is_no_map_is_refused(world, tmp_path):
    photo = write_raster(tmp_path / "p.tif", noise(3, 9, 9))
    with fails("not-a-class-map", DataError, photo) as caught:
        swath.evaluate(photo, world / "d")
    assert "3 band(s) of uint8" in caught.value.message
    floats = write_raster(tmp_path / "f.tif", noise(9, 9).astype(np.float32))
    with fails("not-a-class-map", DataError, floats) as caught:
        swath.evaluate(floats, world / "d")
    assert "float32" in caught.value.message
    far = write_raster(tmp_path / "far.tif", noise(9, 9, high=4), UTM, from_origin(0, 0, 10, 10))
    assert swath.evaluate(far, world / "d").miou is None
    with fails("no-overlap", DataError, tmp_path / "l.gpkg"):
        swath.evaluate(far, write_layer(tmp_path / "l.gpkg", [box(0, 0, 9, 9)], {"class": [1]}))


def test_a_model_needs_images(tiny_model, world):
    with fails("no-images", UsageError, world / "reference.tif"):
        swath.evaluate(tiny_model, world / "reference.tif")


def test_a_comparison_says_which_is_better_and_where_they_differ(world, tmp_path):
    result = swath.compare(
        world / "bad.tif", world / "good.tif", world / "d", report=tmp_path / "r"
    )
    scores = [swath.evaluate(world / name, world / "d") for name in ("bad.tif", "good.tif")]
    first = result.differences[0]
    assert (first.name, first.a, first.b) == ("mIoU", scores[0].miou, scores[1].miou)
    assert first.difference == pytest.approx(scores[1].miou - scores[0].miou)
    assert 0 < first.interval[0] <= first.difference <= first.interval[1]
    assert [d.name for d in result.differences] == ["mIoU", "accuracy", "1", "2", "3"]
    assert len(result.images) == 3 and result.images[0].differ >= result.images[-1].differ > 0
    page = (tmp_path / "r" / "index.html").read_text(encoding="utf-8")
    assert "95% interval" in page and page.count("data:image/png") == 3 * 5


def test_paired_intervals_are_narrower_than_those_of_each(world):
    result = swath.compare(world / "good.tif", world / "good.tif", world / "d")
    assert all(d.difference == 0 and d.interval == (0, 0) for d in result.differences)
    assert all(image.differ == 0 for image in result.images)


def test_two_models_are_compared(tiny_model, stripes):
    result = swath.compare(tiny_model, tiny_model, stripes)
    assert (
        result.groups == 1
        and result.differences[0].difference == 0
        and result.differences[0].interval is None
    )


@pytest.mark.parametrize("kind", ["raster", "layer"])
def test_labels_without_a_crs_are_placed_by_labels_crs(world, tmp_path, kind):
    if kind == "raster":
        with rasterio.open(world / "reference.tif") as file:
            labels = write_raster(tmp_path / "r.tif", file.read(1), None, NORTH_UP)
        expected = swath.evaluate(world / "good.tif", world / "reference.tif")
    else:
        squares = [box(0, 0, 40, 40), box(60, 60, 40, 40)]
        own = write_layer(tmp_path / "own.gpkg", squares, {"class": [1, 2]})
        labels = write_layer(tmp_path / "r.gpkg", squares, {"class": [1, 2]}, None)
        expected = swath.evaluate(world / "good.tif", own)
    result = swath.evaluate(world / "good.tif", labels, labels_crs=UTM)
    assert result.confusion == expected.confusion
    with fails("no-overlap", DataError):
        swath.evaluate(world / "good.tif", labels, labels_crs="EPSG:32636")
    with fails("option-conflict", UsageError):
        swath.evaluate(world / "good.tif", world / "d", labels_crs=UTM)
