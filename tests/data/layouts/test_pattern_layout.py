"""Samples by patterns with fields, by a file of pairs, and of several label files by place."""

import json

import numpy as np
import pytest
from rasterio.transform import from_origin
from rasterio.warp import transform_geom
from shapely.geometry import mapping, shape

import swath
from swath.data.dataset import Dataset
from swath.data.layouts.layout import find_layout
from swath.errors import DataError, UsageError
from swath.io.raster import Raster
from swath.io.vector import Features
from swath.options import SourceOptions
from tests.errors import fails
from tests.make import NORTH_UP, UTM, box, noise, write_layer, write_raster

SIDE = 32
EAST = from_origin(500_000 + 10 * SIDE, 5_600_000, 10, 10)


def find(root, **options):
    return find_layout(SourceOptions(root, **options))


def image(path, crs=None, transform=None, bands=3, side=SIDE):
    return write_raster(path, noise(bands, side, side), crs, transform)


def mask(path, first=1, crs=None, transform=None, side=SIDE):
    values = np.full((1, side, side), first, np.uint8)
    values[:, :, side // 2 :] += 1
    return write_raster(path, values, crs, transform)


def codes(catalog, level=None):
    return [f.code for f in catalog.findings if level in (None, f.level)]


def shown(catalog):
    """Return name, image names, label name and split of each sample."""
    return [
        (s.name, [p.name for p in s.images], s.labels and s.labels.name, s.split)
        for s in catalog.samples
    ]


def stored_labels(folder):
    manifest = Dataset(folder).manifest
    return {i.name: np.load(folder / i.labels) for i in manifest.images if i.labels}


def test_equal_fields_pair_files(tmp_path):
    for name in ("a", "b"):
        image(tmp_path / "photos" / f"x_{name}_RGB.tif")
        mask(tmp_path / "zones" / f"{name}_cls.png")
    found = find(tmp_path, images="photos/x_{id}_RGB.tif", labels="zones/{id}_cls.png")
    assert found.layout == "pattern" and codes(found) == []
    assert shown(found) == [
        ("a", ["x_a_RGB.tif"], "a_cls.png", None),
        ("b", ["x_b_RGB.tif"], "b_cls.png", None),
    ]
    assert [s.group for s in found.samples] == ["a", "b"]


def test_files_of_one_sample_are_stacked_in_natural_order(tmp_path):
    for name in ("a", "b"):
        for band in (10, 2, 1):
            image(tmp_path / name / f"B{band}.tif", bands=1)
        mask(tmp_path / "m" / f"{name}.png")
    found = find(tmp_path, images="{id}/B*.tif", labels="m/{id}.png")
    assert [s[1] for s in shown(found)] == [["B1.tif", "B2.tif", "B10.tif"]] * 2


def test_fields_of_folders_are_groups(tmp_path):
    for city in ("bonn", "kiel"):
        for number in (1, 2):
            image(tmp_path / city / "i" / f"{number}.tif")
            mask(tmp_path / city / "m" / f"{number}.png")
    found = find(tmp_path, images="{city}/i/{id}.tif", labels="{city}/m/{id}.png")
    assert {s.name: s.group for s in found.samples} == {
        "bonn/1": "bonn",
        "bonn/2": "bonn",
        "kiel/1": "kiel",
        "kiel/2": "kiel",
    }


@pytest.mark.parametrize(
    ("lost", "left", "code"),
    [("m/b.png", "a", "unpaired"), ("i/b.tif", "a", "unpaired-labels")],
)
def test_files_without_a_partner_are_left_out_and_counted(tmp_path, lost, left, code):
    for name in ("a", "b"):
        image(tmp_path / "i" / f"{name}.tif")
        mask(tmp_path / "m" / f"{name}.png")
    (tmp_path / lost).unlink()
    found = find(tmp_path, images="i/{id}.tif", labels="m/{id}.png")
    assert [s.name for s in found.samples] == [left]
    assert codes(found) == codes(found, "warning") == [code]


def test_unlabeled_images_are_kept_if_wanted(tmp_path):
    for name in ("a", "b"):
        image(tmp_path / "i" / f"{name}.tif")
    mask(tmp_path / "m" / "a.png")
    found = find(tmp_path, images="i/{id}.tif", labels="m/{id}.png", unlabeled=True)
    assert [s[2] for s in shown(found)] == ["a.png", None]
    assert codes(found, "note") == ["unpaired"]


def test_patterns_that_pair_nothing_are_one_error(tmp_path):
    for number in range(5):
        image(tmp_path / "i" / f"{number}.tif")
        mask(tmp_path / "m" / f"x{number}.png")
    found = find(tmp_path, images="i/{id}.tif", labels="m/{id}.png")
    assert codes(found, "error") == ["no-pairs"] and "0 of 5" in found.findings[0].message


def test_two_label_files_of_a_sample_are_an_error(tmp_path):
    image(tmp_path / "i" / "a.tif")
    for kind in ("x", "y"):
        mask(tmp_path / "m" / f"a_{kind}.png")
    found = find(tmp_path, images="i/{id}.tif", labels="m/{id}_*.png")
    assert codes(found, "error") == ["several-labels"]


def test_a_vector_file_for_each_image(tmp_path):
    for name, transform in (("a", NORTH_UP), ("b", EAST)):
        image(tmp_path / "i" / f"{name}.tif", UTM, transform)
        write_layer(tmp_path / "v" / f"{name}.gpkg", [box(0, 0, 5, 5)], {"code": [3]})
    found = find(tmp_path, images="i/{id}.tif", labels="v/{id}.gpkg")
    assert [s.labels.path for s in found.samples] == [
        str(tmp_path / "v" / f"{name}.gpkg") for name in "ab"
    ]


def test_arrays_are_samples(tmp_path):
    """Sample 2 of a stack of images has labels 2 of a stack of labels."""
    images = np.random.default_rng(0).integers(0, 99, (3, 4, 16, 16)).astype("u2")
    labels = np.random.default_rng(1).integers(1, 4, (3, 16, 16)).astype("u1")
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    np.save(tmp_path / "x_0.npy", images[0])
    np.save(tmp_path / "y_0.npy", labels[0])
    for index in ("[{id}]", "[*]"):
        found = find(tmp_path, images=f"a.npz:images{index}", labels=f"a.npz:/labels{index}")
        assert [s.name for s in found.samples] == ["0", "1", "2"]
        with found.samples[2].open() as opened:
            window = opened.raster.grid.window
            assert (opened.raster.read(window).values == images[2]).all()
            assert (opened.labels.read(window, "code") == labels[2]).all()
    single = find(tmp_path, images="x_{id}.npy", labels="y_{id}.npy").samples
    assert len(single) == 1 and single[0].stamp
    (part,) = find(tmp_path, images="a.npz:images[1]", labels="a.npz:labels[1]").samples
    with part.open_image() as raster:
        assert (raster.read(raster.grid.window).values == images[1]).all()


def test_an_array_that_is_absent_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 4, 4)))
    with fails("no-such-array", DataError, tmp_path / "a.npz"):
        find(tmp_path, images="a.npz:z[{id}]", labels="a.npz:x[{id}]")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"images": "x/{id}.tif", "labels": "m/{id}.png"}, "no-such-file"),
        ({"images": "i/{id}.tif", "labels": "x/{id}.png"}, "no-such-file"),
        ({"images": "i/{id}.tif"}, "option-missing"),
        ({"images": "i/{id}.tif", "labels": "m/{id.png"}, "no-such-file"),
    ],
)
def test_patterns_that_cannot_be_used(tmp_path, options, code):
    image(tmp_path / "i" / "a.tif")
    mask(tmp_path / "m" / "a.png")
    with fails(code):
        find(tmp_path, **options)


# Several grids


def test_coarser_bands_are_resampled_onto_the_finest_grid(tmp_path):
    for name in ("a", "b"):
        image(tmp_path / name / "B2.tif", UTM, NORTH_UP, 1)
        coarse = from_origin(NORTH_UP.c, NORTH_UP.f, 20, 20)
        values = np.full((1, SIDE // 2, SIDE // 2), 7, np.uint8)
        write_raster(tmp_path / name / "B5.tif", values, UTM, coarse)
        mask(tmp_path / "m" / f"{name}.tif", 1, UTM, NORTH_UP)
    found = find(tmp_path, images="{id}/B?.tif", labels="m/{id}.tif")
    assert codes(found, "note") == ["resampled-bands"]
    with found.samples[0].open_image() as raster:
        pixels = raster.read(raster.grid.window)
    assert pixels.values.shape == (2, SIDE, SIDE)
    with Raster([tmp_path / "a" / "B2.tif"]) as own:
        assert (pixels.values[0] == own.read(own.grid.window).values[0]).all()
    assert (pixels.values[1] == 7).all() and pixels.valid.all()


def test_bands_of_another_place_are_refused(tmp_path):
    image(tmp_path / "a" / "B2.tif", UTM, NORTH_UP, 1)
    image(tmp_path / "a" / "B5.tif", UTM, NORTH_UP, 1, SIDE // 2)  # half the area
    mask(tmp_path / "m" / "a.tif", 1, UTM, NORTH_UP)
    (sample,) = find(tmp_path, images="{id}/B?.tif", labels="m/{id}.tif").samples
    with fails("grid-mismatch", DataError, tmp_path / "a" / "B5.tif"), sample.open_image():
        pass


# Several label files


@pytest.mark.parametrize("labels", ["m/*.tif", ["m/a.tif", "m/b.tif"]])
def test_each_image_gets_the_rasters_that_touch_it(tmp_path, labels):
    for name, transform, first in (("a", NORTH_UP, 1), ("b", EAST, 5)):
        image(tmp_path / f"{name}.tif", UTM, transform)
        mask(tmp_path / "m" / f"{name}.tif", first, UTM, transform)
    swath.prepare(tmp_path, tmp_path / "d", images="*.tif", labels=labels, test="none", val="none")
    stored = stored_labels(tmp_path / "d")
    assert {name: set(np.unique(found)) for name, found in stored.items()} == {
        "a": {0, 1},
        "b": {2, 3},
    }


def test_rasters_are_joined_on_an_image(tmp_path):
    image(tmp_path / "a.tif", UTM, NORTH_UP, side=2 * SIDE)
    for i, transform in enumerate((NORTH_UP, EAST)):
        mask(tmp_path / "m" / f"{i}.tif", 1 + 2 * i, UTM, transform)
    (sample,) = find(tmp_path, images="a.tif", labels="m/*.tif").samples
    with sample.open() as source:
        found = source.labels.read(source.raster.grid.window, "code")
    assert found[:SIDE, :: SIDE // 2].tolist() == [[1, 2, 3, 4]] * SIDE
    assert set(sample.stamp) == {str(p) for p in (*tmp_path.glob("*.tif"), *tmp_path.glob("m/*"))}


@pytest.mark.parametrize("fields", [False, True])
def test_layers_are_joined(tmp_path, fields):
    for name, transform, at in (("a", NORTH_UP, 0), ("b", EAST, SIDE)):
        image(tmp_path / f"{name}.tif", UTM, transform)
        write_layer(tmp_path / "v" / f"{name}.gpkg", [box(at, 0, 5, 5)], {"code": [3 + at]})
    options = {"images": "{id}.tif" if fields else "*.tif", "labels": "v/*.gpkg"}
    found = find(tmp_path, **options)
    assert len(found.samples) == 2
    for sample in found.samples:
        assert isinstance(sample.labels, Features)
        assert sorted(sample.labels.values) == [3, 3 + SIDE]


def test_layers_of_other_columns_are_refused(tmp_path):
    image(tmp_path / "a.tif", UTM, NORTH_UP)
    write_layer(tmp_path / "v" / "a.gpkg", [box(0, 0, 5, 5)], {"code": [3]})
    write_layer(tmp_path / "v" / "b.gpkg", [box(0, 0, 5, 5)], {"kind": [3]})
    with fails("several-label-files", DataError, tmp_path / "v" / "b.gpkg"):
        find(tmp_path, images="a.tif", labels="v/*.gpkg")


@pytest.mark.parametrize("images", ["i/*.tif", "i/{id}.tif"])
def test_several_masks_without_a_place_are_refused(tmp_path, images):
    for name in ("a", "b"):
        image(tmp_path / "i" / f"{name}.tif")
        mask(tmp_path / "m" / f"{name}.png")
    with fails("several-label-files", DataError, tmp_path / "m" / "a.png"):
        find(tmp_path, images=images, labels="m/*.png")


def test_rasters_and_layers_are_refused(tmp_path):
    image(tmp_path / "a.tif", UTM, NORTH_UP)
    mask(tmp_path / "m.tif", 1, UTM, NORTH_UP)
    write_layer(tmp_path / "v.gpkg", [box(0, 0, 5, 5)], {"code": [3]})
    with fails("several-label-files", DataError, tmp_path / "m.tif"):
        find(tmp_path, images="a.tif", labels=["v.gpkg", "m.tif"])


def test_one_mask_without_a_place_is_not_that_of_all_images(tmp_path):
    for name in ("a", "b"):
        image(tmp_path / "i" / f"{name}.tif")
    mask(tmp_path / "m.png")
    with fails("labels-without-place", DataError, tmp_path / "m.png"):
        find(tmp_path, images="i/*.tif", labels="m.png")
    assert len(find(tmp_path, images="i/a.tif", labels="m.png").samples) == 1


def test_an_image_that_no_raster_touches_has_no_labels(tmp_path):
    far = from_origin(900_000, 5_600_000, 10, 10)
    for name, transform in (("a", NORTH_UP), ("b", EAST), ("c", far)):
        image(tmp_path / f"{name}.tif", UTM, transform)
    for name, transform in (("a", NORTH_UP), ("b", EAST)):
        mask(tmp_path / "m" / f"{name}.tif", 1, UTM, transform)
    found = find(tmp_path, images="?.tif", labels="m/*.tif")
    assert [(f.code, f.sample) for f in found.findings] == [("missing-mask", "c")]


# Files without georeferencing


@pytest.mark.parametrize("names", [("1", "2"), ("img_1", "img_2"), ("tile_a", "tile_b")])
def test_images_of_one_size_are_no_bands(tmp_path, names):
    for name in names:
        image(tmp_path / f"{name}.tif", bands=1)
    found = find(tmp_path, images="*.tif", unlabeled=True)
    assert [len(s.images) for s in found.samples] == [1, 1]


@pytest.mark.parametrize("names", [("x_B02", "x_B03"), ("b1", "b2"), ("s-red", "s-nir")])
def test_names_of_bands_are_bands(tmp_path, names):
    for name in names:
        image(tmp_path / f"{name}.tif", bands=1)
    (sample,) = find(tmp_path, images="*.tif", unlabeled=True).samples
    assert len(sample.images) == 2


# A file of pairs


def listed(folder, *rows, head="image,labels"):
    path = folder / "pairs.csv"
    path.write_text("\ufeff" + "\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_file_lists_pairs(tmp_path):
    for name in ("q", "r", "s"):
        image(tmp_path / "i" / f"{name}.tif", bands=1)
    mask(tmp_path / "m" / "one.png")
    mask(tmp_path / "m" / "two.png")
    head = "labels,image,group,split"
    path = listed(tmp_path, "m/one.png,i/q.tif;i/r.tif,g,Test", "m/two.png,i/s.tif,h,", head=head)
    found = find(tmp_path, pairs=path)
    assert shown(found) == [
        ("i/q", ["q.tif", "r.tif"], "one.png", "test"),
        ("i/s", ["s.tif"], "two.png", None),
    ]
    assert [s.group for s in found.samples] == ["g", "h"]


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (["i/q.tif,m/none.png"], "no-such-file"),
        (["i/none.tif,m/one.png"], "no-such-file"),
        (["i/q.tif,m/one.png", "i/q.tif,m/one.png"], "listed-twice"),
        (["i/q.tif,"], "missing-mask"),
    ],
)
def test_rows_that_cannot_be_used_are_findings(tmp_path, rows, code):
    image(tmp_path / "i" / "q.tif")
    mask(tmp_path / "m" / "one.png")
    assert codes(find(tmp_path, pairs=listed(tmp_path, *rows)), "error") == [code]


def test_files_of_pairs_that_cannot_be_used(tmp_path):
    with fails("no-such-file", DataError):
        find(tmp_path, pairs="none.csv")
    with fails("no-such-column", DataError):
        find(tmp_path, pairs=listed(tmp_path, "a,b", head="photo,mask"))
    with fails("option-conflict", UsageError):
        find(tmp_path, pairs=listed(tmp_path), images="{id}.tif")


def buildings(root, columns, count=3):
    """Write images with a layer of two squares each, whose columns are made of the number."""
    for i in range(count):
        image(root / "i" / f"{i}.tif", UTM, NORTH_UP)
        shapes = [box(0, 0, 8, 8), box(16, 16, 8, 8)]
        write_layer(root / "v" / f"{i}.geojson", shapes, columns(i))


@pytest.mark.parametrize(
    "columns",
    [
        lambda i: {"ImageId": [f"img{i}"] * 2, "TileBuildingId": [0, 1], "height": [3.1, 4.2]},
        lambda i: {"image_id": [f"x_{i}"] * 2, "building_id": [2 * i, 2 * i + 1]},
        lambda i: {"tileID": [i, i], "fid_1": [1, 2]},
    ],
)
def test_layers_without_a_class_column_are_one_class(tmp_path, columns):
    buildings(tmp_path, columns)
    options = {"images": "i/{id}.tif", "labels": "v/{id}.geojson", "background": "ground"}
    result = swath.prepare(tmp_path, tmp_path / "d", test="none", val="none", **options)
    assert len(result.classes) == 2 and "ground" in {c.name for c in result.classes}
    for labels in stored_labels(tmp_path / "d").values():
        ground = [c.name for c in result.classes].index("ground")
        assert (labels != ground).sum() == 2 * 8 * 8
        assert labels[0, 0] == labels[16, 16] != ground


def test_a_column_that_may_name_the_image_is_asked_for(tmp_path):
    buildings(tmp_path, lambda i: {"kind": [f"k{i}"] * 2})
    options = {"images": "i/{id}.tif", "labels": "v/{id}.geojson", "background": "ground"}
    with fails("class-column-ambiguous", DataError, tmp_path / "v" / "0.geojson"):
        find(tmp_path, **options)
    found = find(tmp_path, **options, label_field="kind")
    assert {v for s in found.samples for v in s.labels.values} == {"k0", "k1", "k2"}


def test_layers_of_an_image_each_with_other_columns_are_refused(tmp_path):
    buildings(tmp_path, lambda i: {"kind" if i else "sort": ["a", "a"]}, 2)
    with fails("several-label-files", DataError, tmp_path / "v" / "1.geojson"):
        find(tmp_path, images="i/{id}.tif", labels="v/{id}.geojson", label_field=None)


def test_layers_of_several_crs_and_an_empty_one_are_joined(tmp_path):
    image(tmp_path / "a.tif", UTM, NORTH_UP)
    write_layer(tmp_path / "v" / "0.gpkg", [box(0, 0, 8, 8)], {"kind": ["wood"]})
    lonlat = transform_geom(UTM, "EPSG:4326", mapping(box(16, 16, 8, 8)))
    write_layer(tmp_path / "v" / "1.gpkg", [shape(lonlat)], {"kind": ["lake"]}, "EPSG:4326")
    empty = {"type": "FeatureCollection", "features": []}
    (tmp_path / "v" / "2.geojson").write_text(json.dumps(empty))
    options = {"images": "a.tif", "labels": "v/*", "background": "rest"}
    result = swath.prepare(tmp_path, tmp_path / "d", test="none", val="none", **options)
    names = [c.name for c in result.classes]
    (labels,) = stored_labels(tmp_path / "d").values()
    assert set(names) == {"wood", "lake", "rest"}
    assert names[labels[4, 4]] == "wood" and names[labels[20, 20]] == "lake"
    assert names[labels[4, 20]] == "rest"
