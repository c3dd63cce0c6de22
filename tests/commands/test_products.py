"""Products from start to end: inspected, prepared and mapped."""

import json

import numpy as np
import pytest
import rasterio

import swath
from swath.errors import DataError, UsageError
from swath.mapping.inputs import ImageInput, find_inputs
from swath.models.model import Model
from tests.errors import fails
from tests.io.products.make import (
    HLS_NAMES,
    LANDSAT_NAMES,
    PLANET,
    RTC_NAME,
    S2_NAME,
    SIDE,
    grid,
    hls,
    landsat,
    planetscope,
    s2_resolution,
    sentinel1_rtc,
    sentinel2,
    sentinel2_item,
    stored,
    tarred,
    zipped,
)
from tests.make import box, looked_up, write_layer, write_model, write_raster

BANDS = "B02 B03 B04 B05 B06 B07 B08 B8A B11 B12 B01 B09".split()
COMMON = "blue green red rededge1 rededge2 rededge3 nir nir08 swir16 swir22 coastal nir09".split()


PLANET_MAP = f"{PLANET}_AnalyticMS_SR"
PLANET_BANDS = ["blue", "green", "red", "nir"]


@pytest.fixture(scope="module")
def safe(tmp_path_factory):
    return sentinel2(tmp_path_factory.mktemp("s2"))


def read(path):
    with rasterio.open(path) as file:
        return file.read(1)


def finer(values, times):
    """Return pixels on a finer grid: bilinear between pixel centers, without nodata 0."""
    at = (np.arange(len(values) * times) + 0.5) / times - 0.5

    def along(array):
        return np.stack([np.interp(at, np.arange(len(row)), row) for row in array])

    def both(array):
        return along(along(array).T).T

    known = both((values != 0).astype(float))
    mean = both(values.astype(float)) / np.maximum(known, 1e-9)
    nearest = np.kron(values, np.ones((times, times)))
    return np.where(nearest == 0, 0, np.rint(mean)).astype(values.dtype)


def by_hand(path):
    """Write the 12 bands on one grid, in the order of `BANDS`."""
    bands = [
        finer(stored(own, s2_resolution(own)), s2_resolution(own) // 10)
        if s2_resolution(own) > 10
        else stored(own)
        for own in BANDS
    ]
    stack = np.stack(bands)
    return write_raster(path, stack, nodata=0, **grid(10)), stack


@pytest.mark.parametrize("names", [BANDS, COMMON])
def test_one_map_from_folder_zip_item_and_a_file_made_by_hand(tmp_path, safe, names, float32):
    model = write_model(tmp_path / "m.swath", 12, "uint16", names=names)
    hand, stack = by_hand(tmp_path / "hand.tif")
    items = [
        sentinel2_item(tmp_path / f"{style}.json", safe, style=style)
        for style in ("earth-search", "planetary-computer")
    ]
    images = [safe, zipped(safe, tmp_path / "s2.zip"), *items, hand]
    maps = []
    for i, image in enumerate(images):
        target = tmp_path / f"{i}.tif"
        swath.predict(model, image, target, quality=["none"])
        maps.append(read(target))
    np.testing.assert_array_equal(maps[-1], looked_up(stack, (stack != 0).any(axis=0)))
    assert {1, 2} <= set(np.unique(maps[0])) and maps[0].shape == (SIDE, SIDE)
    for found in maps[:-1]:
        np.testing.assert_array_equal(found, maps[-1])


def test_one_set_of_numbers_from_folder_item_and_a_file_with_scale(tmp_path, safe):
    hand, stack = by_hand(tmp_path / "hand.tif")
    with rasterio.open(hand, "r+") as file:
        file.scales, file.offsets = (0.0001,) * 12, (-0.1,) * 12
    expected = (stack.astype(float) - 1000) / 10000
    old = write_model(tmp_path / "m.swath", 12, "uint16", names=BANDS)
    for image in (safe, sentinel2_item(tmp_path / "i.json", safe), hand):
        (source,) = find_inputs(image, BANDS)
        with source.model_copy(update={"scaled": True}).open() as opened:
            values, valid = opened.read(opened.grid.window)
        assert values.dtype == np.float32 and opened.image.bands == (
            tuple(BANDS) if image != hand else tuple(map(str, range(1, 13)))
        )
        np.testing.assert_array_equal(valid, (stack != 0).any(axis=0))
        off = np.abs(values - expected)[:, valid]
        native = [s2_resolution(own) == 10 for own in BANDS]
        assert off[native].max() < 1e-6
        assert off.max() < 1.01e-4 and (off > 1e-6).mean() < 0.01  # a half is rounded up or down
    assert not Model(old).card.scaled


def test_bands_of_a_model_are_found_by_name_in_any_order(tmp_path, safe, float32):
    stack = np.stack([stored("B08"), stored("B02")])
    for names in (["nir", "blue"], ["B08", "blue"], ["b8", "B2"]):
        model = write_model(tmp_path / "m.swath", 2, "uint16", names=names)
        swath.predict(model, safe, tmp_path / "map.tif", restart=True, quality=["none"])
        expected = looked_up(stack, (stack != 0).any(axis=0))
        np.testing.assert_array_equal(read(tmp_path / "map.tif"), expected)
    model = write_model(tmp_path / "other.swath", 2, "uint16", names=["blue", "yellow"])
    with fails("band-missing", DataError) as caught:
        swath.predict(model, safe, tmp_path / "map.tif")
    assert "yellow" in caught.value.message and "rededge1 (B05)" in caught.value.message
    model = write_model(tmp_path / "numbers.swath", 2, "uint16")
    with fails("band-missing", DataError) as caught:
        swath.predict(model, safe, tmp_path / "map.tif")
    assert "--band-order" in caught.value.fix
    with fails("band-missing", DataError):
        swath.predict(model, safe, tmp_path / "map.tif", band_order=[99, 2])
    options = {"band_order": [8, 2], "restart": True, "quality": ["none"]}
    swath.predict(model, safe, tmp_path / "map.tif", **options)
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), expected)


def test_many_products_by_folder_pattern_and_list(tmp_path):
    names = ["LC09_L2SP_193027_20220612_20220614_02_T1", "HLS.S30.T32TQM.2022163T101041.v2.0"]
    paths = [tarred(landsat(tmp_path / "x")), hls(tmp_path / "y")]
    (tmp_path / "all").mkdir()
    paths = [path.rename(tmp_path / "all" / path.name) for path in paths]
    (tmp_path / "list.txt").write_text("\n".join(map(str, paths)))
    model = write_model(tmp_path / "m.swath", 2, "uint16", names=["red", "nir08"])
    for given in (tmp_path / "all", f"{tmp_path}/all/*", tmp_path / "list.txt"):
        result = swath.predict(model, given, tmp_path / "maps", restart=True)
        written = {m.rpartition("/")[2] for m in result.maps}
        assert {f"{name}.tif" for name in names} <= written
        assert names[0] == LANDSAT_NAMES[9] and names[1] == HLS_NAMES["S30"]
    with fails("option-conflict", UsageError):
        swath.predict(model, tmp_path / "all", tmp_path / "m.tif", mosaic=True)
    swath.predict(model, f"{tmp_path}/all/LC*", tmp_path / "one")
    assert (tmp_path / "one" / f"{names[0]}.tif").is_file()
    swath.predict(model, f"{tmp_path}/all/LC*", tmp_path / "one.tif")
    assert (tmp_path / "one.tif").is_file()


@pytest.mark.parametrize("way", ["folder", "pattern", "list"])
def test_damaged_products_and_entries_of_many_are_left_out(tmp_path, way):
    good, bad = sentinel2(tmp_path / "all"), landsat(tmp_path / "all")
    next(bad.glob("*_MTL.*")).write_text("damaged")
    model = write_model(tmp_path / "m.swath", 2, "uint16", names=["red", "nir"])
    listed = [str(good), str(bad), str(tmp_path / "absent.tif"), f"{tmp_path}/no/*.tif"]
    (tmp_path / "list.txt").write_text("\n".join(listed))
    given = {"folder": "all", "pattern": "all/*", "list": "list.txt"}[way]
    with pytest.raises(DataError):
        swath.predict(model, tmp_path / given, tmp_path / "maps")
    result = swath.predict(model, tmp_path / given, tmp_path / "maps", skip_bad=True)
    assert [m.rpartition("/")[2] for m in result.maps if m.endswith(".tif")] == [f"{good.stem}.tif"]
    more = ["*.tif", "absent"] if way == "list" else []
    assert result.skipped == [bad.name, *more]
    assert result.findings[0]["file"].startswith(str(bad))
    (tmp_path / "bad.txt").write_text(str(bad))
    for alone in (bad, tmp_path / "bad.txt"):
        with fails(result.findings[0]["code"], DataError):
            swath.predict(model, alone, tmp_path / "maps", skip_bad=True)


def test_other_rasters_beside_a_product_are_images_too(tmp_path):
    planetscope(tmp_path / "all", 4)
    write_raster(tmp_path / "all" / "other.tif", np.stack([stored("x")] * 2), **grid(10))
    found = find_inputs(tmp_path / "all", ["red", "nir"])
    assert [(i.name, i.product is None) for i in found] == [
        ("20220612_101041_64_242b_3B_AnalyticMS_SR", False),
        ("other", True),
    ]
    for name in ("B02", "B03"):
        write_raster(tmp_path / "plain" / f"{name}.tif", stored(name), **grid(10))
    (found,) = find_inputs(tmp_path / "plain", ["B03", "B02"])
    assert found.name == "plain" and [b.name for b in found.parts] == ["B03", "B02"]


def test_what_is_missing_is_said(tmp_path):
    path = sentinel2(tmp_path, skip=("B05", "SCL"))
    model = write_model(tmp_path / "m.swath", 2, "uint16", names=["red", "nir"])
    result = swath.predict(model, path, tmp_path / "map.tif")
    assert any("B05" in text for text in result.warnings)
    assert any("SCL" in text for text in result.warnings)
    found = swath.inspect(path)
    assert [f["code"] for f in found.findings] == ["product-warning"] * 2 and found.ok


def test_a_product_that_changes_is_noticed(tmp_path):
    path = sentinel2(tmp_path, skip=("SCL",))
    archive = zipped(path)
    for given, part in ((path, path / "MTD_MSIL2A.xml"), (archive, archive)):
        (source,) = find_inputs(given, ["red", "nir"])
        assert str(part) in source.all_files()
    image = planetscope(tmp_path, 4)
    with fails("output-is-input", UsageError, file=image):
        swath.predict(write_model(tmp_path / "4.swath", 4, "uint16"), image, image)


def test_a_planet_file_with_an_older_model_of_numbered_bands(tmp_path):
    image = planetscope(tmp_path, 4)
    model = write_model(tmp_path / "m.swath", 4, "uint16")
    swath.predict(model, image, tmp_path / "map.tif")
    with rasterio.open(image) as file:
        values = file.read()
    clear = np.arange(20)[:, None] >= 5  # by UDM2
    expected = looked_up(values, (values != 0).any(axis=0) & clear)
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), expected)


def fields(path):
    halves = [box(0, 0, SIDE, SIDE // 2), box(0, SIDE // 2, SIDE, SIDE // 2)]
    return write_layer(path, halves, {"class": ["a", "b"]})


ALONE = {"test": ["none"], "val": ["none"]}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("given", ["nothing", "images", "labels", "root"])
def test_prepare_a_folder_with_a_product(tmp_path, given, packed):
    root = tmp_path / "source"
    path = sentinel2(root)
    if packed:
        other = zipped(path, root / f"{S2_NAME}.zip")
        path.rename(tmp_path / path.name)
        path = other
    fields(root / "fields.gpkg")
    options = {
        "nothing": {},
        "images": {"images": ["S2*"], "labels": ["fields.gpkg"]},
        "labels": {"labels": ["fields.gpkg"]},
        "root": {"labels": [root / "fields.gpkg"]},
    }[given]
    if given == "root" and packed:
        return
    result = swath.prepare(path if given == "root" else root, tmp_path / "ds", **ALONE, **options)
    assert result.images == 1 and sorted(result.bands) == sorted(COMMON)
    manifest = json.loads((tmp_path / "ds" / "dataset.json").read_text())
    assert manifest["images"][0]["name"] == S2_NAME
    pixels = np.load(tmp_path / "ds" / manifest["images"][0]["pixels"])
    assert pixels.shape == (SIDE, SIDE, 12) and manifest["scaled"]
    red = (stored("B04").astype(float) - 1000) / 10000
    held = pixels[..., result.bands.index("red")]
    np.testing.assert_allclose(held[1:], red[1:], atol=1e-6)


def test_prepare_with_chosen_bands_and_a_half_product(tmp_path):
    landsat(tmp_path / "s", skip=("QA_",))
    fields(tmp_path / "fields.gpkg")
    result = swath.prepare(
        tmp_path / "s",
        tmp_path / "ds",
        labels=[tmp_path / "fields.gpkg"],
        select_bands=["red", "B5", "lwir11", "1"],
        **ALONE,
    )
    assert result.bands == ["red", "nir08", "lwir11", "coastal"]
    codes = [f["code"] for f in json.loads((tmp_path / "ds" / "findings.json").read_text())]
    assert "product-warning" in codes
    found = swath.inspect(
        tmp_path / "s", labels=[tmp_path / "fields.gpkg"], select_bands=["rededge1"]
    )
    assert "band-missing" in [f["code"] for f in found.findings]


def test_a_product_twice_is_refused(tmp_path):
    zipped(sentinel2(tmp_path / "s"), tmp_path / "s" / f"{S2_NAME}.zip")
    fields(tmp_path / "s" / "fields.gpkg")
    found = swath.inspect(tmp_path / "s")
    assert [f["code"] for f in found.findings] == ["same-name"]


def test_a_folder_of_other_things_is_no_product(tmp_path):
    (tmp_path / "a").mkdir()
    fields(tmp_path / "l.gpkg")
    with fails("no-such-file", DataError):
        swath.prepare(tmp_path, tmp_path / "ds", images=["a"], labels=["l.gpkg"])


def test_planet_files_of_pairs_have_names_and_numbers(tmp_path):
    image = planetscope(tmp_path / "s" / "images", 4, metadata=False, udm="")
    codes = np.ones((20, 20), np.uint8)
    codes[:, 10:] = 2
    write_raster(tmp_path / "s" / "masks" / image.name, codes, **grid(3))
    result = swath.prepare(tmp_path / "s", tmp_path / "ds", **ALONE)
    assert result.bands == ["blue", "green", "red", "nir"]


def test_inspect_tells_what_is_in_a_product(tmp_path, safe):
    found = swath.inspect(safe)
    (product,) = found.products
    assert (found.layout, found.images, found.ok) == ("product", 1, True)
    assert (product.sensor, product.level, product.baseline) == ("sentinel-2", "L2A", "04.00")
    sizes = {band.sensor_name: band.resolution for band in product.bands}
    assert sizes == {own: s2_resolution(own) for own in BANDS}
    assert [layer.kind for layer in product.quality] == ["scl"]
    again = json.loads(found.model_dump_json())
    assert again["products"][0]["bands"][1]["wavelength"] == 0.4924
    thermal = swath.inspect(landsat(tmp_path)).products[0].bands[-1]
    assert (thermal.name, thermal.is_default) == ("lwir11", False)
    assert all(b.decibels for b in swath.inspect(sentinel1_rtc(tmp_path)).products[0].bands)
    broken = sentinel2(tmp_path)
    next(broken.rglob("*_B04_10m.jp2")).write_bytes(b"")
    found = swath.inspect(broken)
    assert not found.ok and "unreadable" in [f["code"] for f in found.findings]


def test_an_input_is_the_same_after_it_is_kept_in_a_plan(tmp_path, safe):
    item = sentinel2_item(tmp_path / "i.json", safe)
    text = item.read_text().replace('"nodata": 0', '"nodata": "nan"')
    item.write_text(text)
    for given in (safe, item, sentinel1_rtc(tmp_path)):
        (source,) = find_inputs(given, [], by_order=True)
        assert ImageInput.model_validate_json(source.model_dump_json()) == source


def test_half_a_product_is_refused_by_predict_and_prepare(tmp_path):
    path = sentinel2(tmp_path / "s", skip=("MTD",))
    fields(tmp_path / "s" / "fields.gpkg")
    model = write_model(tmp_path / "m.swath", 2, "uint16", names=["red", "nir"])
    with fails("product-incomplete", DataError, file=path):
        swath.predict(model, path, tmp_path / "map.tif")
    with fails("product-incomplete", DataError):
        swath.prepare(tmp_path / "s", tmp_path / "ds", **ALONE)
    with fails("product-incomplete", DataError):
        swath.inspect(path)


@pytest.mark.parametrize("kind", ["SAFE", "zip", "order", "bands"])
def test_without_ending_the_map_of_one_scene_lies_in_a_folder(tmp_path, kind):
    if kind == "order":
        image, name, bands = planetscope(tmp_path / "order", 4).parent, PLANET_MAP, PLANET_BANDS
    elif kind == "bands":
        image, name, bands = tmp_path / "b", "b", ["B02", "B03"]
        for own in bands:
            write_raster(image / f"{own}.tif", stored(own), **grid(10))
    else:
        image, name, bands = sentinel1_rtc(tmp_path / "s"), RTC_NAME.format(scale="p"), ["VV", "VH"]
        image = zipped(image) if kind == "zip" else image
    model = write_model(tmp_path / "m.swath", len(bands), "uint16", names=bands)
    result = swath.predict(model, image, tmp_path / "maps", polygons=tmp_path / "p.gpkg")
    assert str(tmp_path / "maps" / f"{name}.tif") in result.maps
    assert (tmp_path / "maps" / f"{name}.tif").is_file() and (tmp_path / "p.gpkg").is_file()
    swath.predict(model, image, tmp_path / "map.tif")
    assert (tmp_path / "map.tif").is_file()
    with fails("file-extension", UsageError, tmp_path / "map.png"):
        swath.predict(model, image, tmp_path / "map.png")
