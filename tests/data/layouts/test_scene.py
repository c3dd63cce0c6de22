import numpy as np
import pytest
from rasterio.transform import from_origin

import swath
from swath.data.layouts.layout import find_layout
from swath.errors import DataError, UsageError
from swath.geo.geobox import geobox_of
from swath.geo.tiling import Window
from swath.io.labels import UNLABELED, EmptyLabels
from swath.io.raster import Raster, open_raster
from swath.io.vector import Features
from swath.options import SourceOptions
from tests.errors import fails
from tests.make import NORTH_UP, UTM, box, noise, write_layer, write_model, write_raster


def find(root, **options):
    return find_layout(SourceOptions(root, **options))


def band(path, shape=(20, 30), transform=NORTH_UP, count=1):
    return write_raster(path, noise(count, *shape), UTM, transform)


@pytest.fixture
def scene(tmp_path):
    """Return a folder with a stack of bands, an image, a label raster and polygons."""
    for i in (4, 2, 10):
        band(tmp_path / f"b{i}.tif")
    band(tmp_path / "rgb.tif", count=3)
    band(tmp_path / "labels.tif", (10, 15))
    write_layer(
        tmp_path / "fields.gpkg",
        [box(0, 0, 5, 5)],
        {"code": [3], "kind": np.array(["wheat"], object)},
    )
    return tmp_path


def files(catalog):
    return [[p.name for p in s.images] for s in catalog.samples]


def test_bands_of_one_grid_are_one_scene(scene):
    found = find(scene, images=["b*.tif"], labels="labels.tif")
    assert (found.layout, files(found)) == ("scene", [["b10.tif", "b2.tif", "b4.tif"]])
    (sample,) = found.samples
    assert (sample.labels, sample.group, sample.warp) == (scene / "labels.tif", None, True)


def test_the_given_order_is_the_order_of_bands(scene):
    assert files(find(scene, images=["b4.tif", "b2.tif"], labels="labels.tif")) == [
        ["b4.tif", "b2.tif"]
    ]
    assert files(find(scene, images=["b4.tif", "b*.tif"], labels="labels.tif")) == [
        ["b4.tif", "b10.tif", "b2.tif"]
    ]


def test_other_grids_and_images_of_several_bands_are_scenes(scene):
    east = from_origin(500_300, 5_600_000, 10, 10)
    band(scene / "east" / "b2.tif", transform=east)
    band(scene / "east" / "b4.tif", transform=east)
    found = find(scene, images=["**/*.tif"], labels="labels.tif")
    assert sorted(files(found)) == [
        ["b10.tif", "b2.tif", "b4.tif"],
        ["b2.tif", "b4.tif"],
        ["rgb.tif"],
    ]
    assert len({s.name for s in found.samples}) == 3


def test_label_and_mask_files_are_no_images(scene):
    clouds = np.eye(64, dtype=np.uint8)
    write_raster(scene / "cloud.tif", clouds, UTM, NORTH_UP)
    (sample,) = find(
        scene, images=["b*.tif", "cloud.tif", "labels.tif"], labels="labels.tif", mask=["cloud.tif"]
    ).samples
    assert [p.name for p in sample.images] == ["b10.tif", "b2.tif", "b4.tif"]
    assert sample.ignored == (scene / "cloud.tif",)


def test_polygons_are_read_once_and_opened_on_the_grid(scene):
    found = find(scene, images=["b*.tif", "rgb.tif"], labels="fields.gpkg", label_field="code")
    assert found.samples[0].labels is found.samples[1].labels
    sample = found.samples[0]
    assert isinstance(sample.labels, Features)
    assert sample.label_file == str(scene / "fields.gpkg")
    with Raster(sample.images) as raster:
        labels = sample.open_labels(raster.grid)
        assert (labels.read(raster.grid.window, "code") == 3).sum() == 25


def test_a_coarse_label_raster_is_opened_on_the_grid(scene):
    (sample,) = find(scene, images=["rgb.tif"], labels="labels.tif").samples
    with Raster(sample.images) as raster:
        labels = sample.open_labels(raster.grid)
        assert labels.read(raster.grid.window, "code").shape == (20, 30)
        labels.close()


def test_files_may_be_named_from_where_the_user_stands(scene, monkeypatch, tmp_path_factory):
    away = tmp_path_factory.mktemp("away")
    band(away / "l.tif")
    monkeypatch.chdir(away)
    (sample,) = find(scene, images=[str(scene / "rgb.tif")], labels="l.tif").samples
    assert sample.images == (scene / "rgb.tif",)
    assert sample.label_file == "l.tif"


def test_brackets_in_the_folders_name_are_no_pattern(tmp_path):
    root = tmp_path / "scenes [2024]"
    band(root / "a.tif", count=3)
    band(root / "l.tif")
    assert files(find(root, images=["a*.tif"], labels="l.tif")) == [["a.tif"]]


def test_unlabeled_scenes_need_no_labels(scene):
    (sample,) = find(scene, images=["rgb.tif"], unlabeled=True).samples
    with open_raster(sample.images[0]) as dataset:
        labels = sample.open_labels(geobox_of(dataset))
    assert isinstance(labels, EmptyLabels)
    whole = Window(0, 0, 20, 30)
    assert (labels.read(whole, "code") == np.full((20, 30), UNLABELED)).all()


def test_images_and_labels_have_to_be_named(scene):
    for options in ({"layout": "scene"}, {"images": ["rgb.tif"]}, {"labels": "labels.tif"}):
        with fails("option-missing", UsageError):
            find(scene, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"images": ["c*.tif"], "labels": "labels.tif"}, "--images c*.tif"),
        ({"images": ["rgb.tif"], "labels": "none.tif"}, "--labels none.tif"),
        (
            {"images": ["rgb.tif"], "labels": "labels.tif", "mask": ["cloud*"]},
            "--mask cloud*",
        ),
        (
            {"images": ["rgb.tif"], "labels": "fields.gpkg", "label_field": "crop"},
            "'crop'",
        ),
    ],
)
def test_what_is_not_there_is_named(scene, options, words):
    with pytest.raises(DataError) as caught:
        find(scene, **options)
    assert words in caught.value.message


def test_a_damaged_image_stands_alone_and_loses_no_other(scene):
    before = find(scene, images=["*.tif"], labels="labels.tif").samples
    (scene / "bad.tif").write_bytes(b"II*")
    after = find(scene, images=["*.tif"], labels="labels.tif").samples
    assert [s.images for s in after if s.name != "bad"] == [s.images for s in before]
    assert [s.images for s in after if s.name == "bad"] == [(scene / "bad.tif",)]


def test_landsat(shared_data):
    root = shared_data / "landsat"
    (sample,) = find(root, images=["lsat7_*.tif"], labels="landsat96_polygons.shp").samples
    assert [p.stem[-2:] for p in sample.images] == ["10", "20", "30", "40", "50", "70"]
    with Raster(sample.images) as raster:
        labels = sample.open_labels(raster.grid)
        found = labels.read(raster.grid.window, "code")
    assert labels.names[1] == "agriculture"
    assert set(np.unique(found)) - {UNLABELED} == set(labels.names)


def test_files_of_other_numbers_of_bands_on_one_grid_are_stacked(tmp_path):
    values, relief = noise(3, 256, 256), noise(1, 256, 256, seed=1, dtype="float32")
    write_raster(tmp_path / "s" / "scene.tif", values, UTM, NORTH_UP)
    write_raster(tmp_path / "s" / "relief.tif", relief, UTM, NORTH_UP)
    labels = [box(0, 0, 256, 128), box(0, 128, 256, 128)]
    write_layer(tmp_path / "s" / "f.gpkg", labels, {"class": ["a", "b"]})
    options = {"images": ["scene.tif", "relief.tif"], "labels": "f.gpkg"}
    made = swath.prepare(tmp_path / "s", tmp_path / "d", **options)
    assert made.bands == ["scene-red", "scene-green", "scene-blue", "relief"]
    assert "stacked-files" in {f["code"] for f in made.findings}
    stored = np.load(tmp_path / "d" / "pixels" / "000000.npy")
    assert np.array_equal(stored.transpose(2, 0, 1), np.concatenate([values, relief]))
    model = write_model(tmp_path / "m.swath", 4, "float32", names=made.bands)
    (tmp_path / "s" / "f.gpkg").unlink()
    mapped = swath.predict(model, tmp_path / "map.tif", stack=tmp_path / "s")
    assert mapped.read[0].bands == made.bands

    write_raster(tmp_path / "s" / "other.tif", noise(3, 256, 256, seed=2), UTM, NORTH_UP)
    apart = {"images": ["scene.tif", "other.tif"], "unlabeled": True}
    assert swath.inspect(tmp_path / "s", **apart).images == 2
