"""Latitude is exact in every window, and goes with its pixel from the dataset to the map."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import torch
from pydantic import ValidationError

import swath
from swath.data.dataset import Dataset
from swath.data.folds import resplit
from swath.errors import DataError, ModelError
from swath.geo.geobox import GeoBox
from swath.geo.latitude import (
    MAX_LATITUDE_ERROR,
    check_located,
    latitude_range,
    latitudes,
    with_latitude,
)
from swath.geo.tiling import Pixels, Window
from swath.models.card import Card
from swath.models.model import Model
from swath.training.batches.patches import PatchBatches
from swath.training.batches.sampler import PatchSampler
from swath.training.recipes import Recipe
from tests.errors import fails
from tests.make import noise, train_small, write_model, write_png, write_raster

UTM_NORTH = (32632, (10, 0, 300_000, 0, -10, 5_600_000))
GRIDS = {
    "UTM": UTM_NORTH,
    "UTM, turned": (32632, (700, 700, 300_000, 700, -700, 5_600_000)),
    "UTM, south": (32733, (30, 0, 600_000, 0, -30, 6_000_000)),
    "UTM, over the equator": (32632, (1000, 0, 300_000, 0, -1000, 100_000)),
    "at the pole": (3995, (100, 0, -15_000, 0, -100, 10_000)),
    "over the pole": (3031, (25_000, 0, -4_000_000, 0, -25_000, 4_000_000)),
    "Mercator": (3857, (10_000, 0, -1_000_000, 0, -10_000, 8_000_000)),
    "feet": (2264, (300, 0, 2_000_000, 0, -300, 700_000)),
    "grads": (27572, (500, 0, 600_000, 0, -500, 2_300_000)),
}


def grid(crs: Any, transform: Any, height: int = 211, width: int = 170) -> GeoBox:
    return GeoBox(height, width, tuple(map(float, transform)), pyproj.CRS(crs).to_wkt())


def by_point(crs: Any, where: GeoBox) -> np.ndarray:
    """Return what PROJ says of every pixel, in degrees."""
    rows, cols = np.indices((where.height, where.width)) + 0.5
    x, y = where.point(cols, rows)  # type: ignore[arg-type]
    return np.abs(pyproj.Proj(crs)(x, y, inverse=True)[1])


@pytest.mark.parametrize("name", GRIDS)
def test_every_pixel_has_the_latitude_that_proj_gives_it(name: str) -> None:
    crs, transform = GRIDS[name]
    where = grid(crs, transform)
    found, wanted = latitudes(where, where.window), by_point(crs, where)
    assert found.dtype == np.float32 and found.max() <= 90
    assert np.abs(found - wanted).max() < MAX_LATITUDE_ERROR
    low, high = latitude_range(where)
    assert low == pytest.approx(wanted.min(), abs=0.5) and high == pytest.approx(
        wanted.max(), abs=0.5
    )


def test_degrees_are_what_the_transform_says() -> None:
    world = grid(4326, (1, 0, -180, 0, -1, 90), 180, 360)
    column = np.abs(89.5 - np.arange(180)).astype(np.float32)
    assert (latitudes(world, world.window) == column[:, None]).all()
    beyond = grid(4326, (1, 0, -180.5, 0, -1, 90.5), 181, 361)
    assert latitudes(beyond, beyond.window).max() == 90
    turned = grid(4326, (0, 0.5, 10, 0.25, 0, -20), 40, 50)
    assert latitudes(turned, turned.window) == pytest.approx(
        np.abs(-20 + 0.25 * (np.arange(50) + 0.5))[None] + np.zeros((40, 1))
    )


def test_degrees_from_a_moved_pole_are_not_taken_for_latitude() -> None:
    crs = (
        "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 "
        "+to_meter=0.0174532925199433 +type=crs"
    )
    model = grid(crs, (0.1, 0, -5.05, 0, -0.1, 5.05), 101, 101)
    assert latitudes(model, model.window)[50, 50] == pytest.approx(50.75, abs=MAX_LATITUDE_ERROR)


@pytest.mark.parametrize("name", ["UTM, turned", "at the pole", "UTM, over the equator"])
def test_a_pixel_has_one_latitude_in_whatever_window(name: str) -> None:
    where = grid(*GRIDS[name])
    whole = latitudes(where, where.window)
    rng = np.random.default_rng(0)
    for _ in range(50):
        (top, bottom), (left, right) = (
            np.sort(rng.choice(n + 1, 2, replace=False)) for n in whole.shape
        )
        window = Window(int(top), int(left), int(bottom - top), int(right - left))
        assert (latitudes(where, window) == whole[window.slices]).all()


def test_the_exact_way_is_for_few_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """PROJ is asked for one pixel in 256, or it would take longer than the network."""
    asked = []
    transform = pyproj.Transformer.transform

    def counted(self: Any, x: np.ndarray, y: np.ndarray) -> Any:
        asked.append(x.size)
        return transform(self, x, y)

    monkeypatch.setattr(pyproj.Transformer, "transform", counted)
    where = grid(*UTM_NORTH, 1024, 1024)
    latitudes(where, where.window)
    assert sum(asked) < where.window.size / 200


def test_what_lies_off_the_earth_has_no_latitude_and_must_have_no_data() -> None:
    disc = grid("ESRI:54009", (250_000, 0, -18_500_000, 0, -250_000, 9_250_000), 74, 148)
    off = np.isnan(latitudes(disc, disc.window))
    assert 0.15 < off.mean() < 0.3 and off[0, 0] and not off[37, 74]
    values = noise(2, 74, 148)
    pixels = with_latitude(Pixels(values, ~off), disc, disc.window, "x.tif")
    assert (
        (pixels.valid == ~off).all()
        and (pixels.values[:2] == values).all()
        and np.isfinite(pixels.values).all()
    )
    assert not with_latitude(
        Pixels(values, np.zeros_like(off)), disc, disc.window, "x.tif"
    ).valid.any()
    with fails("outside-projection", DataError, "x.tif"):
        with_latitude(Pixels(values, np.ones_like(off)), disc, disc.window, "x.tif")


def test_types_hold_both_the_pixels_and_the_degrees() -> None:
    where = grid(*UTM_NORTH, 4, 4)
    for given, wanted in (
        ("uint8", "float32"),
        ("uint16", "float32"),
        ("int32", "float64"),
        ("float64", "float64"),
    ):
        pixels = with_latitude(
            Pixels(noise(1, 4, 4).astype(given), np.ones((4, 4), bool)), where, where.window, "x"
        )
        assert pixels.values.dtype == wanted


def test_who_does_not_say_where_it_lies_is_refused() -> None:
    placed = grid(*UTM_NORTH)
    check_located(placed, ["1", "2"], "x.tif", "leave it out")
    refused = {
        "not-georeferenced": (replace(placed, crs=None), ["1"]),
        "crs-not-on-earth": (replace(placed, crs='LOCAL_CS["x",UNIT["metre",1]]'), ["1"]),
        "crs-invalid": (replace(placed, crs="nonsense"), ["1"]),
        "latitude-band": (placed, ["1", "latitude"]),
    }
    for code, (where, bands) in refused.items():
        with fails(code, DataError, "x.tif") as caught:
            check_located(where, bands, "x.tif", "leave it out")
        assert caught.value.fix.endswith(", or leave it out")
    with fails("not-georeferenced", DataError, "x.tif"):
        check_located(GeoBox(3, 3, crs=placed.crs), ["1"], "x.tif", "leave it out")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of four images whose first band is latitude times 100; `0` has nodata."""
    folder = tmp_path_factory.mktemp("world")
    for i, north in enumerate((70, 50, 10, -30)):
        transform = rasterio.Affine(0.05, 0, 20, 0, -0.05, north)
        degrees = np.abs(north - 0.05 * (np.arange(96) + 0.5))[:, None] * np.ones(96)
        pixels = np.stack([degrees * 100, *noise(2, 96, 96, seed=i)]).astype(np.uint16)
        if not i:
            pixels[:, :9] = 0
        write_raster(
            folder / "s" / str(i) / "images" / "x.tif", pixels, "EPSG:4326", transform, nodata=0
        )
        write_png(
            folder / "s" / str(i) / "masks" / "x.png", noise(96, 96, seed=9 + i, low=1, high=4)
        )
    return folder


@pytest.fixture(scope="module")
def dataset(world: Path) -> Dataset:
    swath.prepare(world / "s", world / "d", test="3", val="none", latitude=True)
    return Dataset(world / "d")


@pytest.fixture(scope="module")
def model(dataset: Dataset, world: Path) -> Model:
    train_small(dataset.folder, world / "m.swath", steps=2)
    return Model(world / "m.swath")


def test_the_dataset_knows_latitude_and_does_not_store_it(dataset: Dataset, world: Path) -> None:
    plain = swath.prepare(world / "s", world / "plain", test="3", val="none")
    other = Dataset(world / "plain").manifest
    assert [b.name for b in dataset.manifest.bands] == [*plain.bands, "latitude"]
    assert (
        dataset.manifest.latitude
        and not other.latitude
        and dataset.manifest.dtype == other.dtype == "uint16"
    )
    assert (
        dataset.manifest.stored_bands == plain.bands and dataset.manifest.bands[:-1] == other.bands
    )
    assert dataset.manifest.digest != other.digest
    degrees = dataset.manifest.bands[-1]
    assert (degrees.min, degrees.max) == pytest.approx(
        (5.225, 69.525), abs=1e-3
    )  # nodata does not count
    image = dataset.images[0]
    values, valid = image.read(Window(3, 5, 40, 50))
    assert (valid == (np.arange(3, 43) >= 9)[:, None]).all()
    assert np.abs(values[-1] * 100 - values[0])[valid].max() <= 1
    assert image.read_stored(Window(3, 5, 40, 50)).values.dtype == np.uint16
    assert (
        np.load(dataset.folder / "pixels" / "000000.npy")
        == np.load(world / "plain" / "pixels" / "000000.npy")
    ).all()


def test_a_fold_knows_it_too(dataset: Dataset, tmp_path: Path) -> None:
    fold = resplit(dataset, tmp_path / "f", ["0"])
    assert fold.latitude and fold.bands[-1].max == pytest.approx(50, abs=0.1)


def make_patches(dataset: Dataset, **changes: Any) -> PatchBatches:
    recipe = replace(Recipe(patch=32, batch=8), **changes)
    return PatchBatches(
        PatchSampler(dataset, dataset.manifest.of("train"), recipe.balance), recipe, seed=1
    )


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_patches_turned_and_scaled_carry_the_latitude_of_their_pixels(
    dataset: Dataset, scale: float
) -> None:
    patches = make_patches(dataset, scales_known=(scale, scale), contrast=0, brightness=0)
    fill = torch.tensor([b.mean for b in dataset.manifest.bands])
    seen, ways = 0, set()
    for pixels, *_ in islice(patches, 6):
        own, degrees = pixels[:, 0] / 100, pixels[:, -1]
        inside = (degrees - fill[-1]).abs() > 1e-3
        assert (own - degrees).abs()[inside].max() < 0.02 + 0.05 / scale
        seen += int(inside.sum())
        ways |= {(float(p[1, 0] > p[0, 0]), float(p[0, 1] > p[0, 0])) for p in degrees}
    assert seen > 6 * 8 * 32 * 32 // 2 and len(ways) > 2


def test_latitude_is_not_recolored(dataset: Dataset) -> None:
    plain = make_patches(dataset).batch(3)
    bright = plain.recolored()
    torch.testing.assert_close(bright.pixels[:, -1], plain.pixels[:, -1])
    assert (bright.pixels[:, 0] - plain.pixels[:, 0]).abs().max() > 1


def test_a_model_says_that_it_takes_latitude(model: Model) -> None:
    card = model.card
    assert (
        card.latitude
        and [b.name for b in card.bands] == ["1", "2", "3", "latitude"]
        and card.image_bands == ["1", "2", "3"]
    )
    item = card.to_stac()
    assert "absolute latitude" in item["properties"]["mlm:input"][0]["description"]
    assert Card.from_stac(item, "x") == card
    with pytest.raises(ValidationError) as caught:
        Card.model_validate(
            card.model_dump() | {"bands": card.model_dump()["bands"][:3], "ood": None}
        )
    assert "latitude" in caught.value.errors()[0]["msg"]


@pytest.mark.usefixtures("float32")
def test_maps_of_files_and_of_arrays_are_the_same(
    model: Model, dataset: Dataset, world: Path, tmp_path: Path
) -> None:
    image = dataset.images[3]
    swath.predict(model.path, world / "s" / "3" / "images" / "x.tif", tmp_path / "m.tif")
    with rasterio.open(tmp_path / "m.tif") as mapped:
        np.testing.assert_array_equal(
            mapped.read(1), model.predict(image.read(image.grid.window).values)
        )
    assert swath.evaluate(model.path, dataset.folder).miou is not None
    with pytest.raises(DataError) as caught:
        model.predict(noise(3, 40, 40))
    assert "1, 2, 3, latitude" in str(caught.value)


def test_what_does_not_fit_is_refused(
    model: Model, dataset: Dataset, world: Path, tmp_path: Path
) -> None:
    swath.prepare(world / "s", tmp_path / "d", test="3", val="none")
    with pytest.raises(ModelError) as caught:
        swath.evaluate(model.path, tmp_path / "d")
    assert "--latitude" in caught.value.fix
    plain = write_model(tmp_path / "four.swath", bands=4, dtype="uint16")
    with pytest.raises(ModelError) as caught:
        swath.quantize(plain, dataset.folder)
    assert "--latitude" in caught.value.fix
    with pytest.raises(ModelError) as caught:
        swath.export(model.path, tmp_path / "m.onnx")
    assert "latitude" in caught.value.message


def test_inspect_holds_an_image_against_it(model: Model, world: Path, tmp_path: Path) -> None:
    result = swath.inspect(world / "s" / "1" / "images" / "x.tif", against=model.path)
    assert (
        result.ood is not None
        and result.ood.distance
        and [b.name for b in result.ood.bands] == ["1", "2", "3"]
    )


def degrees_of(height: int, width: int) -> np.ndarray:
    where = grid(*UTM_NORTH, height, width)
    return latitudes(where, where.window)


PLACE = {"crs": "EPSG:32632", "transform": rasterio.Affine(*map(float, UTM_NORTH[1]))}


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of one band that says 1 where it is above the latitude in degrees, else 2."""
    return write_model(tmp_path_factory.mktemp("hand") / "hand.swath", bands=2, latitude=True)


def mapped(model: Path, image: Any, target: Path, **options: Any) -> np.ndarray:
    swath.predict(model, image, target, **options)
    with rasterio.open(target) as out:
        codes: np.ndarray = out.read(1)
    return codes


def test_every_way_to_give_an_image_gives_it_its_latitude(by_hand: Path, tmp_path: Path) -> None:
    values = noise(100, 130, low=40, high=60)
    wanted = np.where(values > degrees_of(100, 130), 1, 2)
    assert {1, 2} == set(wanted.ravel().tolist())
    one = write_raster(tmp_path / "one.tif", values, **PLACE)
    assert (mapped(by_hand, one, tmp_path / "m.tif") == wanted).all()
    assert (mapped(by_hand, one, tmp_path / "t.tif", tta="flips") == wanted).all()
    assert (mapped(by_hand, one, tmp_path / "w.tif", workers=2, memory=0.55) == wanted).all()
    two = write_raster(
        tmp_path / "two.tif",
        np.stack([values[::-1], values]),
        **PLACE,
        descriptions=["latitude", "1"],
    )
    assert (mapped(by_hand, two, tmp_path / "o.tif", band_order=[2]) == wanted).all()
    write_raster(tmp_path / "bands" / "1.tif", values, **PLACE)
    assert (
        mapped(by_hand, tmp_path / "bands", tmp_path / "s.tif", stack=tmp_path / "bands") == wanted
    ).all()
    for name, rows in (("a", slice(0, 48)), ("b", slice(48, 100))):
        moved = PLACE | {
            "transform": PLACE["transform"] * rasterio.Affine.translation(0, rows.start)
        }
        write_raster(tmp_path / "mosaic" / f"{name}.tif", values[rows], **moved)
    assert (mapped(by_hand, tmp_path / "mosaic", tmp_path / "j.tif", mosaic=True) == wanted).all()


def test_nodata_stays_nodata(by_hand: Path, tmp_path: Path) -> None:
    values = noise(64, 64, low=40, high=60)
    values[:20] = 0
    image = write_raster(tmp_path / "i.tif", values, **PLACE, nodata=0)
    codes = mapped(by_hand, image, tmp_path / "m.tif")
    assert (codes[:20] == 0).all() and (codes[20:] > 0).all()


def test_images_that_cannot_be_mapped_are_refused(by_hand: Path, tmp_path: Path) -> None:
    nowhere = write_raster(tmp_path / "nowhere.tif", noise(40, 40))
    own = write_raster(tmp_path / "own.tif", noise(40, 40), **PLACE, descriptions=["latitude"])
    two = write_raster(tmp_path / "two.tif", noise(2, 40, 40), **PLACE)
    codes = {nowhere: "not-georeferenced", own: "latitude-band", two: "band-mismatch"}
    for image, code in codes.items():
        with fails(code, DataError, image):
            swath.predict(by_hand, image, tmp_path / "m.tif")
        assert not (tmp_path / "m.tif").exists()


def test_an_image_far_from_the_training_data_is_told(
    model: Model, world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, north in (("near", 60.0), ("far", 85.0)):
        pixels = noise(3, 40, 40, low=1, high=200).astype(np.uint16)
        image = write_raster(
            tmp_path / f"{name}.tif",
            pixels,
            "EPSG:4326",
            rasterio.Affine(0.05, 0, 20, 0, -0.05, north),
        )
        swath.predict(model.path, image, tmp_path / "m.tif")
    said = [r.getMessage() for r in caplog.records if "latitudes" in r.getMessage()]
    assert len(said) == 1 and "far.tif lies at latitudes of 83.0 to 85.0 degrees" in said[0]


def test_prepare_refuses_and_warns(tmp_path: Path) -> None:
    pixels, codes = noise(3, 64, 64), noise(64, 64, low=1, high=3)
    for name in "ab":
        write_raster(
            tmp_path / "s" / "images" / f"{name}.tif",
            pixels + ord(name) - 97,
            **PLACE if name == "a" else {},
        )
        write_png(tmp_path / "s" / "masks" / f"{name}.png", codes)
    with fails("not-georeferenced", DataError, tmp_path / "s" / "images" / "b.tif") as caught:
        swath.prepare(tmp_path / "s", tmp_path / "d", test="none", val="none", latitude=True)
    assert caught.value.fix.endswith("leave out --latitude")
    write_raster(
        tmp_path / "s" / "images" / "b.tif",
        noise(3, 64, 64, seed=2),
        **PLACE,
        descriptions=["r", "g", "latitude"],
    )
    write_raster(
        tmp_path / "s" / "images" / "a.tif", pixels, **PLACE, descriptions=["r", "g", "latitude"]
    )
    with fails("latitude-band", DataError, tmp_path / "s" / "images" / "a.tif"):
        swath.prepare(tmp_path / "s", tmp_path / "d", test="none", val="none", latitude=True)
    write_raster(tmp_path / "s" / "images" / "a.tif", pixels, **PLACE)
    write_raster(tmp_path / "s" / "images" / "b.tif", noise(3, 64, 64, seed=2), **PLACE)
    found = swath.prepare(
        tmp_path / "s", tmp_path / "d", test="none", val="none", latitude=True
    ).findings
    assert [f["level"] for f in found if f["code"] == "latitude-narrow"] == ["warning"]
