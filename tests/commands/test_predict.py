import dataclasses
import re
import shutil
import sys
from contextvars import ContextVar
from pathlib import Path
from time import monotonic
from typing import get_args

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rio_cogeo.cogeo import cog_validate

import swath
from swath.cli.main import main
from swath.errors import DataError, JobError, UsageError
from swath.geo.tiling import square_tiling
from swath.inference import runtimes
from swath.mapping.job import output_paths
from swath.mapping.plan import OutputLayer
from swath.mapping.polygons import polygonize
from swath.mapping.tile_store import TileStore
from swath.models.model import Model
from swath.options import PredictOptions
from tests.errors import fails
from tests.make import (
    NORTH_UP,
    UTM,
    box,
    noise,
    train_small,
    truncate,
    write_layer,
    write_raster,
)


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1), dataset.profile, dataset.tags(1), dataset.colormap(1)


def test_the_map_lies_on_the_images_own_grid(tiny_model, tmp_path):
    image = write_raster(tmp_path / "i.tif", noise(3, 130, 90), UTM, NORTH_UP)
    result = swath.predict(tiny_model, image, tmp_path / "m.tif")
    codes, profile, tags, colors = read(tmp_path / "m.tif")
    assert (profile["height"], profile["width"], profile["nodata"]) == (130, 90, 0)
    assert profile["crs"] == UTM and profile["transform"] == NORTH_UP
    assert tags["class_1"] == "1" and colors[1][:3] != colors[2][:3]
    assert cog_validate(tmp_path / "m.tif")[0]
    assert result.pixels == 130 * 90 == sum(result.classes.values()) + result.nodata
    assert result.peak_rss_bytes > 50e6


@pytest.mark.parametrize("name", ["f.gpkg", "f.geojson", "f.shp"])
def test_a_vector_layer_in_place_of_an_image_is_said_to_be_one(tiny_model, tmp_path, name):
    path = write_layer(tmp_path / name, [box(0, 0, 9, 9)], {"class": [1]}, "EPSG:4326")
    with pytest.raises(DataError) as caught:
        swath.predict(tiny_model, path, tmp_path / "m.tif")
    assert caught.value.file == str(path) and "vector layer" in caught.value.message


@pytest.mark.usefixtures("float32")
def test_the_file_and_the_array_give_the_same_map(tiny_model, tmp_path):
    pixels = noise(3, 100, 100)
    swath.predict(tiny_model, write_raster(tmp_path / "i.tif", pixels), tmp_path / "m.tif")
    np.testing.assert_array_equal(read(tmp_path / "m.tif")[0], Model(tiny_model).predict(pixels))


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (33, 31)])
def test_any_size_is_mapped(tiny_model, tmp_path, shape):
    swath.predict(
        tiny_model, write_raster(tmp_path / "i.tif", noise(3, *shape)), tmp_path / "m.tif"
    )
    codes = read(tmp_path / "m.tif")[0]
    assert codes.shape == shape and (codes > 0).all()


def test_nodata_stays_nodata(tiny_model, tmp_path):
    pixels = noise(3, 64, 64)
    pixels[:, :10] = 0
    swath.predict(
        tiny_model, write_raster(tmp_path / "i.tif", pixels, nodata=0), tmp_path / "m.tif"
    )
    codes = read(tmp_path / "m.tif")[0]
    assert (codes[:10] == 0).all() and (codes[10:] > 0).all()


def test_an_older_map_is_replaced_only_by_a_whole_one(tiny_model, tmp_path):
    (tmp_path / "m.tif").write_text("old")
    image = truncate(write_raster(tmp_path / "i.tif", noise(3, 200, 200)))
    with pytest.raises(DataError) as caught:
        swath.predict(tiny_model, image, tmp_path / "m.tif")
    assert caught.value.file == str(image)
    assert (tmp_path / "m.tif").read_text() == "old"
    swath.predict(
        tiny_model, write_raster(tmp_path / "good.tif", noise(3, 40, 40)), tmp_path / "m.tif"
    )
    assert read(tmp_path / "m.tif")[0].shape == (40, 40)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["good.tif", "i.tif", "m.qml", "m.tif"]


@pytest.mark.usefixtures("float32")
def test_bands_in_separate_files_are_found_by_name(tiny_model, tmp_path):
    names = [b.name for b in Model(tiny_model).card.bands]
    pixels = noise(3, 40, 60)
    for name, band in reversed(list(zip(names, pixels, strict=True))):
        write_raster(tmp_path / "bands" / f"scene_{name}.tif", band, UTM, NORTH_UP)
    write_raster(tmp_path / "bands" / "other.tif", pixels[0], UTM, NORTH_UP)
    swath.predict(tiny_model, tmp_path / "short.tif", stack=tmp_path / "bands")
    first = tmp_path / "bands" / f"scene_{names[0]}.tif"
    swath.predict(tiny_model, first, tmp_path / "long.tif", stack=tmp_path / "bands")
    expected = Model(tiny_model).predict(pixels)
    for name in ("short.tif", "long.tif"):
        np.testing.assert_array_equal(read(tmp_path / name)[0], expected)


def test_a_missing_band_is_named(tiny_model, tmp_path):
    name = Model(tiny_model).card.bands[0].name
    write_raster(tmp_path / "bands" / f"s_{name}.tif", noise(20, 20))
    missing = Model(tiny_model).card.bands[1].name
    with fails("band-missing", DataError, file=tmp_path / "bands") as caught:
        swath.predict(tiny_model, tmp_path / "m.tif", stack=tmp_path / "bands")
    assert f"Band {missing} " in caught.value.message


def test_another_number_of_bands_is_refused(tiny_model, tmp_path):
    image = write_raster(tmp_path / "i.tif", noise(20, 20))
    with fails("band-mismatch", DataError, file=image) as caught:
        swath.predict(tiny_model, image, tmp_path / "m.tif")
    assert re.findall(r"\d+", caught.value.message)[:2] == ["1", "3"]


def test_another_type_of_pixel_is_warned_of(tiny_model, tmp_path, caplog):
    swath.predict(
        tiny_model,
        write_raster(tmp_path / "i.tif", noise(3, 20, 20, dtype="uint16")),
        tmp_path / "m.tif",
    )
    assert "uint16" in caplog.text and "uint8" in caplog.text


def test_what_cannot_be_written_is_refused(tiny_model, tmp_path):
    image = write_raster(tmp_path / "i.tif", noise(3, 20, 20))
    with fails("is-a-folder", JobError, file=tmp_path):
        swath.predict(tiny_model, image, tmp_path)
    with pytest.raises(UsageError) as caught:
        swath.predict(tiny_model, image)
    assert "MAP" in caught.value.message
    with pytest.raises(DataError) as caught:
        swath.predict(tiny_model, tmp_path / "absent.tif", tmp_path / "m.tif")
    assert caught.value.file == str(tmp_path / "absent.tif")


def test_a_map_never_replaces_its_own_input(tiny_model, tmp_path):
    image = write_raster(tmp_path / "i.tif", noise(3, 40, 40))
    before = image.read_bytes(), tiny_model.read_bytes()
    for target, code in ((image, "output-is-input"), (tiny_model, "file-extension")):
        with fails(code, UsageError, file=target):
            swath.predict(tiny_model, image, target)
    assert (image.read_bytes(), tiny_model.read_bytes()) == before


OUTPUTS = {
    "class": ("m.tif", {}),
    "confidence": ("m_confidence.tif", {"confidence": True}),
    "probabilities": ("m_probabilities.tif", {"probabilities": True}),
    "masks": ("m_masks.tif", {"class_masks": True}),
    "height": ("m_AGL.tif", {}),
    "polygons": ("p.gpkg", {"polygons": "p.gpkg"}),
    "review": ("m_review.gpkg", {"review": 3}),
    "style": ("m.qml", {}),
}


@pytest.fixture
def any_model(tiny_model, monkeypatch):
    """A model that gives heights and masks, as far as its card says."""
    begun = Model.__init__

    def begin(self, *more, **named):
        begun(self, *more, **named)
        changes = {"heights": True, "thresholds": [0.5, 0.5, 0.5]}
        self.card = self.card.model_copy(update=changes)

    monkeypatch.setattr(Model, "__init__", begin)
    return tiny_model


def test_every_kind_of_output_is_in_the_table_above(any_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    everything = {name: value for _, options in OUTPUTS.values() for name, value in options.items()}
    options = PredictOptions(any_model, "i.tif", "m.tif", **everything)
    found = output_paths(options, Path("m.tif"), heights=True)
    assert {kind: str(path) for kind, path in found.items()} == {
        k: v[0] for k, v in OUTPUTS.items()
    }
    assert set(found) == set(get_args(OutputLayer)) | {"polygons", "review", "style"}


@pytest.mark.parametrize("role", ["image", "source", "mask", "regions", "model"])
@pytest.mark.parametrize("kind", OUTPUTS)
def test_no_output_replaces_an_input(any_model, tmp_path, monkeypatch, kind, role):
    """Each kind of output has the name of an input: the image, a source of a virtual raster, ..."""
    monkeypatch.chdir(tmp_path)
    taken, options = Path(OUTPUTS[kind][0]), dict(OUTPUTS[kind][1])
    model, image = any_model, Path("i.tif")
    write_raster(tmp_path / image, noise(3, 40, 40), UTM, NORTH_UP)
    if role == "image":
        image = image.rename(taken)
    elif role == "mask":
        shutil.copy(image, taken)
    elif role == "source":
        image.rename(taken)
        bands = "".join(
            f'<VRTRasterBand dataType="Byte" band="{n}"><SimpleSource>'
            f'<SourceFilename relativeToVRT="1">{taken}</SourceFilename>'
            f"<SourceBand>{n}</SourceBand></SimpleSource></VRTRasterBand>"
            for n in (1, 2, 3)
        )
        image = Path("i.vrt")
        image.write_text(f'<VRTDataset rasterXSize="40" rasterYSize="40">{bands}</VRTDataset>')
    elif role == "regions":
        write_layer(tmp_path / "r.gpkg", [box(0, 0, 9, 9)], {"name": ["here"]}).rename(taken)
    else:
        model = Path(shutil.copy(any_model, taken))
    options |= {role: taken} if role in ("mask", "regions") else {}
    before = taken.read_bytes()
    with fails("output-is-input", UsageError, file=taken):
        swath.predict(model, image, "m.tif", **options)
    assert taken.read_bytes() == before


def test_outputs_of_one_name_are_refused(tiny_model, tmp_path):
    for name in ("a", "a_confidence"):
        write_raster(tmp_path / "in" / f"{name}.tif", noise(3, 40, 40))
    with fails("same-output", UsageError, file=tmp_path / "out" / "a_confidence.tif"):
        swath.predict(tiny_model, tmp_path / "in", tmp_path / "out", confidence=True)
    review = tmp_path / "m_review.gpkg"
    with fails("same-output", UsageError, file=review):
        image = tmp_path / "in" / "a.tif"
        swath.predict(tiny_model, image, tmp_path / "m.tif", review=2, polygons=review)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_confidence_and_probabilities_belong_to_the_map(tiny_model, tmp_path):
    pixels = noise(3, 64, 80)
    pixels[:, :10] = 0
    image = write_raster(tmp_path / "i.tif", pixels, UTM, NORTH_UP, nodata=0)
    result = swath.predict(
        tiny_model, image, tmp_path / "m.tif", confidence=True, probabilities=True
    )
    assert [p.rpartition("/")[2] for p in result.maps] == [
        "m.tif",
        "m_confidence.tif",
        "m_probabilities.tif",
    ]
    with (
        rasterio.open(tmp_path / "m_confidence.tif") as c,
        rasterio.open(tmp_path / "m_probabilities.tif") as p,
    ):
        codes, confidence, probabilities = read(tmp_path / "m.tif")[0], c.read(1), p.read()
        assert (c.dtypes[0], c.nodata, c.descriptions, c.crs) == (
            "uint8",
            255,
            ("confidence",),
            rasterio.CRS.from_string(UTM),
        )
        assert p.count == 3 and p.descriptions == ("1", "2", "3") and p.nodata == 255
    assert (confidence[:10] == 255).all() and (probabilities[:, :10] == 255).all()
    inside = np.s_[10:]
    assert 33 <= confidence[inside].min() and confidence[inside].max() <= 100
    chosen = np.take_along_axis(probabilities[:, 10:], codes[None, 10:].astype(int) - 1, axis=0)[0]
    np.testing.assert_array_equal(chosen, confidence[inside])
    assert (np.abs(probabilities[:, 10:].astype(int).sum(axis=0) - 100) <= 2).all()
    for name in result.maps:
        assert cog_validate(name)[0]


@pytest.fixture(scope="module")
def apart(stripes):
    """A model with one mask a class."""
    path = stripes.parent / "apart.swath"
    train_small(stripes, path, steps=3, heads="per-class")
    return path


@pytest.mark.usefixtures("float32")
def test_masks_of_each_class_follow_their_thresholds(apart, tmp_path):
    pixels = noise(3, 64, 96)
    pixels[:, :10] = 0
    image = write_raster(tmp_path / "i.tif", pixels, UTM, NORTH_UP, nodata=0)
    result = swath.predict(apart, image, tmp_path / "m.tif", class_masks=True)
    assert result.maps[1:] == [str(tmp_path / "m_masks.tif")] and cog_validate(result.maps[1])[0]
    model = Model(apart)
    with rasterio.open(result.maps[1]) as made:
        masks = made.read()
        assert (made.dtypes[0], made.nodata, made.crs) == (
            "uint8",
            255,
            rasterio.CRS.from_string(UTM),
        )
        assert made.descriptions == tuple(model.card.legend.names)
    raw = np.where(
        pixels == 0, np.reshape([b.fill for b in model.card.bands], (3, 1, 1)), pixels
    ).astype(np.float32)
    shares = 1 / (1 + np.exp(-model.predictor.runtime(raw[None])[0]))
    margin = np.abs(shares - np.reshape(model.card.thresholds, (3, 1, 1)))[:, 10:] > 1e-4
    assert (masks[:, :10] == 255).all() and margin.mean() > 0.9
    expected = shares >= np.reshape(model.card.thresholds, (3, 1, 1))
    np.testing.assert_array_equal(masks[:, 10:][margin], expected[:, 10:][margin])
    assert set(np.unique(masks[:, 10:])) == {0, 1}


@pytest.mark.usefixtures("float32")
def test_masks_go_on_after_an_interruption_and_show_no_tile(apart, tmp_path, monkeypatch):
    image = write_raster(
        tmp_path / "i.tif", np.kron(noise(3, 20, 16), np.ones((1, 40, 40), np.uint8)), UTM, NORTH_UP
    )
    options = {"memory": 0.66, "halo": 256, "class_masks": True}
    undisturbed = swath.predict(apart, image, tmp_path / "a.tif", **options)
    put, done = TileStore.put, []

    def stop_at_the_third(self, index, layers):
        if len(done) == 2:
            raise KeyboardInterrupt
        put(self, index, layers)
        done.append(index)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(TileStore, "put", stop_at_the_third)
        swath.predict(apart, image, tmp_path / "b.tif", **options)
    assert not (tmp_path / "b_masks.tif").exists() and undisturbed.tiles >= 3
    with fails("other-work", JobError, file=tmp_path / "b.tif.parts") as caught:
        swath.predict(apart, image, tmp_path / "b.tif", **options | {"class_masks": False})
    assert caught.value.message.endswith(": layers")
    swath.predict(apart, image, tmp_path / "b.tif", **options)
    swath.predict(apart, image, tmp_path / "c.tif", **options | {"memory": 4.0})
    names = [tmp_path / f"{name}_masks.tif" for name in "abc"]
    assert names[0].read_bytes() == names[1].read_bytes()
    many, one = (rasterio.open(name).read() for name in names[1:])
    assert (many == one).mean() > 0.999


def test_a_model_without_masks_apart_is_told_so(tiny_model, tmp_path):
    image = write_raster(tmp_path / "i.tif", noise(3, 40, 40))
    with fails("no-class-masks", UsageError, file=tiny_model):
        swath.predict(tiny_model, image, tmp_path / "m.tif", class_masks=True)
    assert [p.name for p in tmp_path.iterdir()] == ["i.tif"]


class ByColor:
    """A network without context, so that a label cannot depend on the tile that it lies in."""

    def __init__(self, channels):
        self.channels = channels

    def __call__(self, raw):
        return np.stack([np.cos(raw[:, i % 3] / 40 + i) for i in range(self.channels)], axis=1)


def test_sixty_four_tiles_and_one_make_the_same_polygons(tiny_model, tmp_path, monkeypatch):
    """Patches of color cross the borders of tiles; the layers are equal to the last vertex."""
    image = write_raster(
        tmp_path / "i.tif",
        np.kron(noise(3, 37, 37), np.ones((1, 14, 14), np.uint8))[:, :512, :512],
        UTM,
        NORTH_UP,
    )
    channels = len(Model(tiny_model).card.legend.trained)
    monkeypatch.setattr("swath.models.model.open_runtime", lambda *_: ByColor(channels))
    layers = []
    for tiles, side in ((1, 512), (64, 64)):
        monkeypatch.setattr(
            "swath.mapping.plan.make_tiling",
            lambda grid, stride, *_, side=side: square_tiling(
                512, 512, side=side, halo=0, stride=stride
            ),
        )
        made = swath.predict(
            tiny_model,
            image,
            tmp_path / f"{tiles}.tif",
            polygons=tmp_path / f"{tiles}.gpkg",
            halo=0,
        )
        assert made.tiles == tiles
        _, _, shapes, fields = pyogrio.raw.read(tmp_path / f"{tiles}.gpkg")
        layers.append([shapely.from_wkb(shapes), *fields])
    one, many = layers
    assert len(one[0]) > 50 and shapely.equals_exact(one[0], many[0]).all()
    assert all((a == b).all() for a, b in zip(one[1:], many[1:], strict=True))


def test_polygons_come_with_the_map(tiny_model, tmp_path):
    image = write_raster(tmp_path / "i.tif", noise(3, 64, 64), UTM, NORTH_UP)
    result = swath.predict(tiny_model, image, tmp_path / "m.tif", polygons=tmp_path / "m.gpkg")
    assert (
        sorted(p.name for p in tmp_path.iterdir()) == ["i.tif", "m.gpkg", "m.qml", "m.tif"]
        and len(result.maps) == 2
    )
    _, _, wkb, (names, codes, areas, confidence) = pyogrio.raw.read(tmp_path / "m.gpkg")
    assert shapely.area(shapely.from_wkb(wkb)).sum() == pytest.approx(64 * 64 * 100)
    assert areas.sum() == pytest.approx(64 * 64 * 100, rel=2e-3) and (confidence > 33).all()
    with pytest.raises(UsageError) as caught:
        swath.predict(tiny_model, image, tmp_path / "m.tif", polygons=tmp_path / "m.shp")
    assert caught.value.file == str(tmp_path / "m.shp") and ".parquet" in caught.value.message


def test_small_patches_are_sieved_from_the_whole_map(tiny_model, tmp_path):
    image = write_raster(tmp_path / "i.tif", noise(3, 96, 96), UTM, NORTH_UP)
    result = swath.predict(tiny_model, image, tmp_path / "m.tif", sieve=30)
    codes = read(tmp_path / "m.tif")[0]
    assert {c: int((codes == c).sum()) for c in (1, 2, 3)} == {
        int(k): v for k, v in result.classes.items()
    }
    found = polygonize(tmp_path / "m.tif", None)
    assert len(found.codes) == 1 or shapely.area(found.geometries).min() >= 30 * 100


def test_regions_and_masks_are_kept_to(tiny_model, tmp_path):
    image = write_raster(tmp_path / "i.tif", noise(3, 96, 96), UTM, NORTH_UP)
    cloud = np.zeros((96, 96), np.uint8)
    cloud[20:30, 20:30] = 1
    write_raster(tmp_path / "cloud.tif", cloud, UTM, NORTH_UP)
    write_layer(tmp_path / "r.gpkg", [box(10, 10, 50, 40)], {"name": ["here"]})
    swath.predict(
        tiny_model,
        image,
        tmp_path / "m.tif",
        regions=tmp_path / "r.gpkg",
        mask=tmp_path / "cloud.tif",
    )
    inside = np.zeros((96, 96), bool)
    inside[10:60, 10:50] = True
    np.testing.assert_array_equal(read(tmp_path / "m.tif")[0] != 0, inside & (cloud == 0))


def test_many_images_make_many_maps_or_one(tiny_model, tmp_path):
    pixels = noise(3, 64, 128)
    for name, part in (("a", np.s_[:, :, :64]), ("b", np.s_[:, :, 64:])):
        shift = NORTH_UP * NORTH_UP.translation(0 if name == "a" else 64, 0)
        write_raster(tmp_path / "in" / f"{name}.tif", pixels[part], UTM, shift)
    result = swath.predict(tiny_model, tmp_path / "in", tmp_path / "out")
    assert (
        sorted(p.name for p in (tmp_path / "out").glob("*.tif")) == ["a.tif", "b.tif"]
        and result.pixels == 64 * 128
    )
    swath.predict(tiny_model, tmp_path / "in", tmp_path / "one.tif", mosaic=True)
    swath.predict(
        tiny_model,
        write_raster(tmp_path / "all.tif", pixels, UTM, NORTH_UP),
        tmp_path / "whole.tif",
    )
    np.testing.assert_array_equal(read(tmp_path / "one.tif")[0], read(tmp_path / "whole.tif")[0])
    with fails("option-conflict", UsageError):
        swath.predict(tiny_model, tmp_path / "in", tmp_path / "out", polygons=tmp_path / "x.gpkg")


@pytest.mark.usefixtures("float32")
def test_bands_in_another_order(tiny_model, tmp_path):
    pixels = noise(5, 64, 64)
    image = write_raster(tmp_path / "i.tif", pixels)
    swath.predict(tiny_model, image, tmp_path / "m.tif", band_order="4,2,1")
    np.testing.assert_array_equal(
        read(tmp_path / "m.tif")[0], Model(tiny_model).predict(pixels[[3, 1, 0]])
    )
    with pytest.raises(DataError) as caught:
        swath.predict(tiny_model, image, tmp_path / "m.tif", band_order=[6, 2, 1])
    assert caught.value.file == str(image)
    assert re.findall(r"\d+", caught.value.message) == ["6", "5"]
    with pytest.raises(UsageError) as caught:
        swath.predict(tiny_model, image, tmp_path / "m.tif", band_order=[0, 2, 1])
    assert "--band-order" in caught.value.message


def test_a_plan_says_what_it_would_take_and_does_nothing(tiny_model, tmp_path):
    image = write_raster(tmp_path / "i.tif", noise(3, 96, 96))
    result = swath.predict(tiny_model, image, tmp_path / "m.tif", plan=True)
    assert (
        result.tiles == 1
        and result.overhead == 1
        and result.plan.halo == 256
        and result.plan.seam is None
    )
    network = 96 * 96 / result.plan.pixels_per_second
    assert network < result.plan.seconds[1] == result.plan.seconds[10] < result.seconds + 1
    assert [p.name for p in tmp_path.iterdir()] == ["i.tif"]


def test_the_start_of_the_program_counts_as_time_of_the_run(tiny_model, tmp_path, monkeypatch):
    """Imports take as long as mapping a megapixel."""
    image = write_raster(tmp_path / "i.tif", noise(3, 96, 96))
    monkeypatch.setattr("swath.progress._began", ContextVar("began", default=monotonic() - 500))
    result = swath.predict(tiny_model, image, tmp_path / "m.tif", plan=True)
    assert result.plan.seconds[1000] > 500 and result.seconds > 500


def test_too_little_memory_is_told_before_anything_is_done(tiny_model, tmp_path):
    image = write_raster(tmp_path / "i.tif", noise(3, 2000, 96))
    with fails("memory-budget", JobError) as caught:
        swath.predict(tiny_model, image, tmp_path / "m.tif", memory=0.1)
    assert "--memory is 0.1" in caught.value.message
    need = float(re.search(r"--memory ([\d.]+)", caught.value.fix)[1])
    assert swath.predict(tiny_model, image, tmp_path / "m.tif", memory=need, plan=True).tiles > 0


def test_heights_are_a_map_of_their_own(tiny_model, tmp_path, monkeypatch):
    """A stand-in for a network with heights: its last class score is taken for meters."""
    begun, opened = Model.__init__, Model.open

    def begin(self, *more, **named):
        begun(self, *more, **named)
        self.card = self.card.model_copy(update={"heights": True})

    def two_classes(self, *more):
        predictor = opened(self, *more)
        return dataclasses.replace(
            predictor, output=dataclasses.replace(predictor.output, classes=2)
        )

    monkeypatch.setattr(Model, "__init__", begin)
    monkeypatch.setattr(Model, "open", two_classes)
    pixels = noise(3, 64, 80)
    pixels[:, :10] = 0
    image = write_raster(tmp_path / "i.tif", pixels, UTM, NORTH_UP, nodata=0)
    swath.predict(tiny_model, image, tmp_path / "m.tif")
    with rasterio.open(tmp_path / "m_AGL.tif") as made:
        heights = made.read(1)
        assert (
            made.dtypes[0] == "float32"
            and np.isnan(made.nodata)
            and made.crs == rasterio.CRS.from_string(UTM)
        )
    assert (
        np.isnan(heights[:10]).all() and np.isfinite(heights[10:]).all() and heights[10:].std() > 0
    )
    assert set(np.unique(read(tmp_path / "m.tif")[0])) <= {0, 1, 2}


def test_many_small_images_of_one_size_start_the_engine_once(tiny_model, tmp_path, monkeypatch):
    """Starting it takes longer than such an image does."""
    started, real = [], runtimes._compiled

    def compiled(onnx, threads, precision, shape):
        started.append(shape)
        return real(onnx, threads, precision, shape)

    monkeypatch.setattr(runtimes, "_compiled", compiled)
    sizes = [(64, 64), (64, 64), (64, 64), (64, 96), (64, 64)]
    for i, size in enumerate(sizes):
        write_raster(tmp_path / "in" / f"{i}.tif", noise(3, *size, seed=i))
    swath.predict(tiny_model, tmp_path / "in", tmp_path / "many")
    assert started == [(64, 64), (64, 96), (64, 64)]
    for i in range(len(sizes)):
        swath.predict(tiny_model, tmp_path / "in" / f"{i}.tif", tmp_path / "one.tif")
        assert (tmp_path / "one.tif").read_bytes() == (tmp_path / "many" / f"{i}.tif").read_bytes()


def write_batch(folder):
    """Write four images: one is cut off, one has two bands."""
    for i in range(3):
        write_raster(folder / f"{i}.tif", noise(3, 200, 200, seed=i), UTM, NORTH_UP)
    truncate(folder / "1.tif")
    write_raster(folder / "two.tif", noise(2, 64, 64), UTM, NORTH_UP)
    return folder


def test_damaged_images_of_many_are_left_out_and_listed(tiny_model, tmp_path):
    images, maps = write_batch(tmp_path / "images"), tmp_path / "maps"
    with fails("unreadable", DataError, images / "1.tif") as caught:
        swath.predict(tiny_model, images, maps)
    assert "--skip-bad" in str(caught.value.fix)
    result = swath.predict(tiny_model, images, maps, skip_bad=True)
    assert result.skipped == ["1", "two"]
    assert [f["file"] for f in result.findings] == [str(images / "1.tif"), str(images / "two.tif")]
    assert sorted(p.name for p in maps.glob("*.tif")) == ["0.tif", "2.tif"]
    assert result.pixels == 2 * 200 * 200 and len(result.read) == 2
    before = (maps / "2.tif").read_bytes()
    again = swath.predict(tiny_model, images, maps, skip_bad=True)
    assert again.skipped == result.skipped and (maps / "2.tif").read_bytes() == before
    planned = swath.predict(tiny_model, images, maps, skip_bad=True, plan=True)
    assert "two" in planned.skipped


def test_leaving_out_all_images_is_the_error_of_the_first(tiny_model, tmp_path):
    for i in range(2):
        write_raster(tmp_path / "images" / f"{i}.tif", noise(2, 64, 64))
    with fails("band-mismatch", DataError, tmp_path / "images" / "0.tif"):
        swath.predict(tiny_model, tmp_path / "images", tmp_path / "maps", skip_bad=True)
    with fails("option-conflict", UsageError):
        swath.predict(
            tiny_model, tmp_path / "images", tmp_path / "m.tif", skip_bad=True, mosaic=True
        )


def test_a_batch_with_images_left_out_does_not_end_as_success(tiny_model, tmp_path, capsys):
    images = write_batch(tmp_path / "images")
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(tiny_model), str(images), str(tmp_path / "maps"), "--skip-bad"])
    out = capsys.readouterr().out
    assert ended.value.code == 1 and "Skipped 2 images: 1, two" in out and "1.tif" in out


def test_the_plan_of_many_images_samples_few_and_says_so(tiny_model, tmp_path, monkeypatch):
    for i in range(12):
        side = 64 if i else 128  # of which sizes all are counted
        write_raster(tmp_path / "images" / f"{i:02}.tif", noise(3, side, side, seed=i))
    sampled = []
    monkeypatch.setattr(
        sys.modules["swath.commands.predict"], "check_pixels", lambda s: sampled.extend(s) or []
    )
    result = swath.predict(tiny_model, tmp_path / "images", tmp_path / "maps", plan=True)
    assert len(sampled) == 8 and result.pixels == 11 * 64**2 + 128**2
    assert any("12 images" in text and " 8 " in text for text in result.warnings)
    write_raster(tmp_path / "images" / "05.tif", noise(2, 64, 64))  # is not among the sampled
    with fails("band-mismatch", DataError, tmp_path / "images" / "05.tif"):
        swath.predict(tiny_model, tmp_path / "images", tmp_path / "maps", plan=True)
