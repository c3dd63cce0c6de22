import json

import numpy as np
import pytest
import rasterio

import swath
from swath.errors import DataError, UsageError
from swath.geo.tiling import Window
from swath.io.atomic import file_stamps
from swath.io.raster import Raster
from swath.mapping.inputs import ImageInput, InputImage, Mosaic, find_inputs
from tests.errors import fails
from tests.make import (
    NORTH_UP,
    UTM,
    box,
    looked_up,
    noise,
    write_layer,
    write_model,
    write_raster,
)

BANDS = ["red", "green", "blue"]


def raster(path, seed=0, size=20, offset=(0, 0), **more):
    transform = NORTH_UP * NORTH_UP.translation(offset[1], offset[0])
    return write_raster(
        path, noise(3, size, size, seed=seed), more.pop("crs", UTM), transform, **more
    )


def names(found):
    return [i.name for i in found]


def test_a_folder_a_pattern_a_list_and_several(tmp_path):
    for n in "abc":
        raster(tmp_path / f"{n}.tif")
    (tmp_path / "notes.md").write_text("")
    (tmp_path / "list.txt").write_text(f"# two of them\n{tmp_path}/b.tif\n\n{tmp_path}/a.tif\n")
    assert names(find_inputs(tmp_path, BANDS)) == ["a", "b", "c"]
    assert names(find_inputs(f"{tmp_path}/[ab].tif", BANDS)) == ["a", "b"]
    assert names(find_inputs(tmp_path / "list.txt", BANDS)) == ["b", "a"]
    assert names(find_inputs([tmp_path / "c.tif", str(tmp_path / "a.tif")], BANDS)) == ["c", "a"]
    assert find_inputs(tmp_path / "a.tif", BANDS)[0].files == (str(tmp_path / "a.tif"),)


def test_nothing_is_told(tmp_path):
    with fails("no-images", DataError, file=tmp_path):
        find_inputs(tmp_path, BANDS)
    with fails("no-images", DataError, file=f"{tmp_path}/*.tif"):
        find_inputs(f"{tmp_path}/*.tif", BANDS)
    raster(tmp_path / "x" / "a.tif")
    raster(tmp_path / "y" / "a.tif")
    with fails("same-name", UsageError) as caught:
        find_inputs([tmp_path / "x" / "a.tif", tmp_path / "y" / "a.tif"], BANDS)
    assert "2 images are called a," in caught.value.message


def item(path, assets):
    content = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "scene 7",
        "geometry": None,
        "properties": {
            "datetime": None,
            "start_datetime": "2020-01-01T00:00:00Z",
            "end_datetime": "2020-01-02T00:00:00Z",
        },
        "links": [],
        "assets": assets,
    }
    path.write_text(json.dumps(content))
    return path


def test_a_stac_item_gives_its_bands_by_name_or_its_only_raster(tmp_path):
    for name in ("B04", "B03", "B02", "visual"):
        write_raster(tmp_path / f"{name}.tif", noise(20, 20), UTM, NORTH_UP)
    common = {"B04": "red", "B03": "green", "B02": "blue"}
    assets = {
        k: {
            "href": f"./{k}.tif",
            "type": "image/tiff",
            "roles": ["data"],
            "eo:bands": [{"name": k, "common_name": v}],
        }
        for k, v in common.items()
    }
    for wanted in (BANDS, ["B04", "B03", "B02"]):
        (found,) = find_inputs(item(tmp_path / "item.json", assets), wanted)
        assert [f.rpartition("/")[2] for f in found.files] == ["B04.tif", "B03.tif", "B02.tif"]
        assert (found.name, found.bands) == ("scene 7", tuple(wanted))
    with fails("band-missing", DataError, file=tmp_path / "item.json") as caught:
        find_inputs(tmp_path / "item.json", ["nir"])
    assert "nir" in caught.value.message and "red (B04)" in caught.value.message
    (found,) = find_inputs(
        item(tmp_path / "one.json", {"v": {"href": "./visual.tif", "type": "image/tiff"}}), BANDS
    )
    assert found.files[0].endswith("visual.tif") and found.bands is None
    (tmp_path / "bad.json").write_text("{}")
    with fails("not-a-stac-item", DataError, file=tmp_path / "bad.json"):
        find_inputs(tmp_path / "bad.json", BANDS)


def test_in_a_mosaic_the_first_image_with_data_counts(tmp_path):
    a = noise(3, 20, 20, seed=1)
    a[:, :5] = 0
    write_raster(tmp_path / "a.tif", a, UTM, NORTH_UP, nodata=0)
    raster(tmp_path / "b.tif", 2, offset=(-10, 10))
    b = noise(3, 20, 20, seed=2)
    mosaic = Mosaic([str(tmp_path / "a.tif"), str(tmp_path / "b.tif")])
    assert (mosaic.grid.height, mosaic.grid.width) == (30, 30)
    assert mosaic.grid.point(0, 0) == (500_000, 5_600_100)
    values, valid = mosaic.read(mosaic.grid.window)
    np.testing.assert_array_equal(values[:, 15:30, :20], a[:, 5:])
    np.testing.assert_array_equal(values[:, :15, 10:], b[:, :15])
    np.testing.assert_array_equal(values[:, 15:20, 20:], b[:, 15:, 10:])
    assert (
        not valid[:15, :10].any()
        and not valid[20:, 20:].any()
        and valid.sum() == 15 * 20 + 15 * 20 + 5 * 10
    )
    part = mosaic.read(Window(7, 9, 11, 13))
    np.testing.assert_array_equal(part.values, values[:, 7:18, 9:22])
    mosaic.close()


def test_a_mosaic_of_what_does_not_fit_is_refused(tmp_path):
    raster(tmp_path / "a.tif")
    raster(tmp_path / "half.tif", offset=(0.5, 0))
    raster(tmp_path / "other.tif", crs="EPSG:32633")
    write_raster(tmp_path / "two.tif", noise(2, 20, 20), UTM, NORTH_UP)
    for name, code in (
        ("half", "grid-mismatch"),
        ("other", "grid-mismatch"),
        ("two", "band-mismatch"),
    ):
        path = tmp_path / f"{name}.tif"
        with fails(code, DataError, file=path) as caught:
            Mosaic([str(tmp_path / "a.tif"), str(path)])
    assert "2 bands" in caught.value.message and "3 of uint8" in caught.value.message


def test_masks_take_data_away_and_regions_say_what_is_wanted(tmp_path):
    cloud = np.zeros((20, 20), np.uint8)
    cloud[3:6, 3:6] = 9
    write_raster(tmp_path / "cloud.tif", cloud, UTM, NORTH_UP)
    regions = write_layer(tmp_path / "r.gpkg", [box(0, 0, 10, 20)], {"anything": ["x"]})
    found = ImageInput(
        name="a",
        files=(str(raster(tmp_path / "a.tif")),),
        mask=(str(tmp_path / "cloud.tif"),),
        regions=str(regions),
    )
    with found.open() as image:
        assert (image.read(image.grid.window).valid == (cloud == 0)).all()
        wanted = image.wanted(Window(5, 0, 10, 20))
        assert wanted[:5].all() and not wanted[5:].any()
    with InputImage(Raster([tmp_path / "a.tif"])) as image:
        assert image.wanted(image.grid.window) is None and image.read(image.grid.window).valid.all()


def test_bands_by_hand(tmp_path):
    path = raster(tmp_path / "a.tif")
    with Raster([path], order=[3, 1]) as image:
        np.testing.assert_array_equal(
            image.read(image.grid.window).values, noise(3, 20, 20)[[2, 0]]
        )
        assert image.bands == ("3", "1") or len(image.bands) == 2
    with pytest.raises(DataError) as caught:
        Raster([path], order=[4])
    assert caught.value.file == str(path) and "4" in caught.value.message


def test_a_changed_file_has_another_fingerprint(tmp_path):
    path = raster(tmp_path / "a.tif")
    before = file_stamps([str(path), "https://example.org/x.tif"])
    assert list(before) == [str(path)] and file_stamps([str(path)]) == before
    path.write_bytes(path.read_bytes() + b"\0")
    assert file_stamps([str(path)]) != before


def test_arrays_are_images_of_their_names(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 2, 9, 8), "u1"), y=np.zeros((9, 8), "u1"))
    named = find_inputs(f"{tmp_path}/a.npz:x[1]", ["1", "2"])
    assert [i.name for i in named] == ["a_x_1"]
    assert named[0].files == (f"{(tmp_path / 'a.npz').resolve()}:x[1]",)
    each = find_inputs(f"{tmp_path}/*.npz:x[*]", ["1", "2"])
    assert [i.name for i in each] == ["a_x_0", "a_x_1", "a_x_2"]
    with each[2].open() as image:
        assert (image.grid.height, image.grid.width) == (9, 8)
    with fails("no-images"):
        find_inputs(f"{tmp_path}/*.npy", ["1"])


def test_images_of_a_mosaic_have_their_own_order_of_bands(tmp_path):
    values, names = noise(3, 20, 20), ("blue", "green", "red")
    place = NORTH_UP * NORTH_UP.translation(20, 0)
    a = write_raster(tmp_path / "a.tif", values, UTM, NORTH_UP, descriptions=names)
    b = write_raster(tmp_path / "b.tif", values[::-1], UTM, place, descriptions=names[::-1])
    mosaic = Mosaic([str(a), str(b)])
    assert (mosaic.read(Window(0, 20, 20, 20)).values == values).all()
    write_raster(b, values, UTM, place, descriptions=("nir", "green", "red"))
    with fails("band-mismatch", DataError, b):
        Mosaic([str(a), str(b)])


def write_stack(folder, optical, radar, named=True):
    """Write two files of two bands each, in an order; return all bands by name."""
    values = noise(4, 20, 20, seed=5)
    held = dict(zip(("opt-red", "opt-green", "sar-vv", "sar-vh"), values, strict=True))
    for stem, bands in (("opt", optical), ("sar", radar)):
        write_raster(
            folder / f"x_{stem}.tif",
            np.stack([held[f"{stem}-{band}"] for band in bands]),
            UTM,
            NORTH_UP,
            descriptions=bands if named else None,
        )
    return held


@pytest.mark.parametrize("optical", [("red", "green"), ("green", "red")])
@pytest.mark.parametrize("radar", [("vv", "vh"), ("vh", "vv")])
@pytest.mark.parametrize(
    "wanted",
    ["opt-red opt-green sar-vv sar-vh", "sar-vh opt-red sar-vv opt-green", "opt-green sar-vh"],
)
def test_a_stack_of_files_with_several_bands_is_matched_by_name(tmp_path, optical, radar, wanted):
    held = write_stack(tmp_path / "s", optical, radar)
    bands = wanted.split()
    model = write_model(tmp_path / "m.swath", len(bands), names=bands)
    result = swath.predict(model, tmp_path / "map.tif", stack=tmp_path / "s")
    assert result.read[0].bands == bands
    values = np.stack([held[band] for band in bands])
    with rasterio.open(tmp_path / "map.tif") as file:
        assert np.array_equal(file.read(1), looked_up(values, np.ones((20, 20), bool)))


def test_bands_of_a_stack_without_names_are_counted_over_its_files(tmp_path):
    held = write_stack(tmp_path / "s", ("green", "red"), ("vv", "vh"), named=False)
    bands = ["opt-red", "sar-vh", "opt-green"]
    model = write_model(tmp_path / "m.swath", 3, names=bands)
    with fails("band-mismatch", DataError) as caught:
        swath.predict(model, tmp_path / "map.tif", stack=tmp_path / "s")
    assert "opt-1, opt-2, sar-1, sar-2" in caught.value.message
    assert "--band-order" in caught.value.fix
    swath.predict(model, tmp_path / "map.tif", stack=tmp_path / "s", band_order=[2, 4, 1])
    values = np.stack([held[band] for band in bands])
    with rasterio.open(tmp_path / "map.tif") as file:
        assert np.array_equal(file.read(1), looked_up(values, np.ones((20, 20), bool)))
    with fails("band-missing", DataError):
        swath.predict(model, tmp_path / "no.tif", stack=tmp_path / "s", band_order=[2, 5, 1])
