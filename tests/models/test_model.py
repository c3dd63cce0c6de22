import json
import subprocess
import sys
import zipfile

import numpy as np
import pystac
import pytest
import xarray as xr
from pystac.extensions.mlm import MLMExtension

import swath
from swath.errors import DataError, ModelError, UsageError
from swath.models.model import Model
from swath.models.model_file import CARD, ModelFile, pack_model_file
from tests.errors import fails
from tests.make import noise, write_model


def rewritten(source, target, **changes):
    """Copy a model file with some of its entries replaced."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, changes.get(name.replace(".", "_"), old.read(name)))
    return target


def test_a_model_is_three_files_and_no_pickle(tiny_model):
    with zipfile.ZipFile(tiny_model) as archive:
        assert sorted(archive.namelist()) == ["card.json", "model.onnx", "weights.safetensors"]
        assert not any(archive.read(name).startswith(b"\x80") for name in archive.namelist())


def test_the_card_is_a_stac_item_with_mlm(tiny_model):
    with zipfile.ZipFile(tiny_model) as archive:
        item = pystac.Item.from_dict(json.loads(archive.read(CARD)))
    mlm = MLMExtension.ext(item)
    assert item.properties["mlm:name"] == "tiny" and mlm.architecture == "unet, encoder test_resnet"
    assert mlm.input[0].input.shape == [-1, 3, -1, -1] and len(mlm.input[0].bands) == 3
    assert [c.value for c in mlm.output[0].classes] == [1, 2, 3]


def test_the_card_tells_how_the_model_came_to_be(tiny_model):
    card = Model(tiny_model).card
    assert card.format_version == 1 and card.stride == 32 and card.training.steps == 3
    assert card.training.groups == {"train": ["a", "b"], "val": ["c"], "test": ["d"]}
    assert card.training.first_weights == "none" and card.training.versions["torch"]


def test_numpy_and_xarray_give_the_same_map(tiny_model):
    model = Model(tiny_model)
    array = np.random.default_rng(0).integers(0, 255, (3, 70, 50)).astype(np.uint8)
    codes = model.predict(array)
    assert (
        codes.shape == (70, 50) and codes.dtype == np.uint8 and set(np.unique(codes)) <= {1, 2, 3}
    )
    labeled = xr.DataArray(
        array, dims=("band", "y", "x"), coords={"y": np.arange(70.0), "x": np.arange(50.0)}
    )
    mapped = model.predict(labeled)
    assert mapped.dims == ("y", "x") and (mapped.y == labeled.y).all()
    np.testing.assert_array_equal(mapped.values, codes)


def test_masked_and_nan_pixels_have_no_data(tiny_model):
    array = np.ma.MaskedArray(np.full((3, 40, 40), 90, np.float32), False)
    array[0, :5] = np.ma.masked
    array[1, 39, 39] = np.nan
    codes = Model(tiny_model).predict(array)
    assert (codes[:5] == 0).all() and codes[39, 39] == 0 and (codes[5:39] > 0).all()


@pytest.mark.usefixtures("float32")
def test_both_engines_agree(tiny_model):
    array = np.random.default_rng(1).integers(0, 255, (3, 128, 128)).astype(np.uint8)
    one, other = (
        Model(tiny_model, engine).predict(array) for engine in ("openvino", "onnxruntime")
    )
    assert (one != other).mean() < 0.001


def test_another_number_of_bands_is_refused(tiny_model):
    with fails("band-count", DataError) as caught:
        Model(tiny_model).predict(np.zeros((2, 8, 8)))
    assert "(2, 8, 8)" in caught.value.message and "(3, rows, columns)" in caught.value.message
    for array in (np.zeros((3, 8, 8), complex), np.zeros((3, 0, 8))):
        with fails("array-type", DataError):
            Model(tiny_model).predict(array)
    with fails("invalid-gsd", UsageError):
        Model(tiny_model).predict(np.zeros((3, 8, 8)), gsd=-1)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model_onnx": b"other"}, "digest-mismatch"),
        ({"card_json": b"{}"}, "damaged-card"),
        ({"card_json": b"\xff\xfe"}, "damaged-card"),
    ],
)
def test_a_changed_file_is_refused(tiny_model, tmp_path, change, code):
    path = rewritten(tiny_model, tmp_path / "changed.swath", **change)
    with fails(code, ModelError, file=path):
        ModelFile(path)


def test_a_newer_card_is_refused(tiny_model, tmp_path):
    with zipfile.ZipFile(tiny_model) as archive:
        card = json.loads(archive.read(CARD))
    card["properties"]["swath:card"]["format_version"] = 99
    with fails("newer-format", ModelError):
        Model(rewritten(tiny_model, tmp_path / "newer.swath", card_json=json.dumps(card)))


def test_what_is_no_model_is_refused_by_name(tmp_path):
    (tmp_path / "text.swath").write_text("hello")
    with zipfile.ZipFile(tmp_path / "zip.swath", "w") as archive:
        archive.writestr("other.txt", "hello")
    for name, code in (
        ("text.swath", "damaged-model"),
        ("zip.swath", "unknown-entry"),
        ("absent.swath", "no-such-file"),
    ):
        with fails(code, ModelError, file=tmp_path / name):
            Model(tmp_path / name)


def test_equal_models_are_equal_files(tiny_model, tmp_path):
    with zipfile.ZipFile(tiny_model) as archive:
        parts = [archive.read(name) for name in ("model.onnx", "weights.safetensors")]
    card = Model(tiny_model).card
    for name in ("one.swath", "two.swath"):
        pack_model_file(tmp_path / name, card, *parts)
    assert (tmp_path / "one.swath").read_bytes() == (tmp_path / "two.swath").read_bytes()


def test_predicting_needs_no_torch(tiny_model, tmp_path):
    code = f"""
import sys
for name in ("torch", "lightning", "timm", "segmentation_models_pytorch", "torchvision"):
    sys.modules[name] = None
import numpy as np, rasterio, swath
model, image, target = {[str(p) for p in (tiny_model, tmp_path / "i.tif", tmp_path / "m.tif")]!r}
profile = dict(driver="GTiff", width=40, height=30, count=3, dtype="uint8")
with rasterio.open(image, "w", **profile) as out:
    out.write(np.full((3, 30, 40), 100, np.uint8))
print(swath.predict(model, image, target).pixels)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip() == "1200", done.stderr


def test_a_signal_is_heard_when_models_have_been_dropped(tiny_model):
    """OpenVINO gives its thread a stack for signals; with one core a model, the process crashes."""
    code = f"""
import gc, os, signal
import numpy as np, swath

models = [swath.Model({str(tiny_model)!r}) for _ in range(2)]
for model in models:
    model.predict(np.zeros((3, 64, 64), np.uint8))
del model
while models:
    del models[0]
    gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
os.kill(os.getpid(), signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


def test_the_package_names_its_verbs():
    assert set(swath.__all__) <= set(dir(swath))
    with pytest.raises(AttributeError) as caught:
        _ = swath.no_such
    assert "no_such" in str(caught.value)


def test_bands_of_a_data_array_are_found_by_name(tmp_path):
    model = Model(write_model(tmp_path / "m.swath", names=["B04", "B03", "B02"]))
    values = np.arange(3 * 32 * 32, dtype=np.uint8).reshape(3, 32, 32)
    right = model.predict(values)
    names = {"band": ["B02", "B03", "B04"]}
    turned = xr.DataArray(values[::-1], dims=("band", "y", "x"), coords=names)
    assert (model.predict(turned).values == right).all()
    other = turned.assign_coords(band=["B02", "B03", "B08"])
    with fails("band-mismatch", DataError) as caught:
        model.predict(other)
    assert 'array.drop_vars("band")' in str(caught.value.fix)
    assert model.predict(other.drop_vars("band")).shape == (32, 32)


def test_datasets_and_dimensions_of_any_order_give_the_same_map(tiny_model):
    pixels, model = noise(3, 40, 50), Model(tiny_model)
    expected = model.predict(pixels)
    array = xr.DataArray(pixels, dims=("band", "y", "x"))
    for other in (
        array.transpose("y", "x", "band"),
        array.rename(band="wavelength").transpose("y", "x", "wavelength"),
        array.rename(y="lat", x="lon", band="sensor").transpose("lat", "sensor", "lon"),
        xr.Dataset({"image": array, "spatial_ref": 0}),
        xr.Dataset({name: array[i] for i, name in ((2, "blue"), (0, "red"), (1, "green"))}),
    ):
        found = model.predict(other)
        np.testing.assert_array_equal(found.values, expected)
        assert "band" not in found.dims and len(found.dims) == 2


def test_arrays_that_are_no_image_are_told_with_the_line_that_helps(tiny_model):
    model, array = Model(tiny_model), xr.DataArray(noise(3, 40, 50), dims=("band", "y", "x"))
    cube = xr.concat([array, array], "time")
    for given, words in (
        (cube, "array.isel(time=0)"),
        (xr.Dataset({"a": array, "b": array}), 'to_array(dim="band")'),
        (xr.Dataset(), "to_array"),
        (array[0, 0], '.transpose("band", "y", "x")'),
    ):
        with fails("array-dimensions", DataError) as caught:
            model.predict(given)
        assert words in caught.value.fix
    with fails("band-count", DataError) as caught:
        model.predict(noise(3, 40, 50).transpose(1, 2, 0))
    assert "transpose(2, 0, 1)" in caught.value.fix
    for given in (array, array.values, array.to_dataset("band")):
        with fails("option-value", swath.UsageError) as caught:
            swath.predict(tiny_model, given, "m.tif")
        assert "swath.Model" in caught.value.fix
