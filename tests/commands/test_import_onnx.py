"""Networks of other programs become model files, and map as they do themselves."""

import json
import shutil

import numpy as np
import onnx
import pytest
import rasterio
from onnx import TensorProto

import swath
from swath.data.dataset import Dataset
from swath.errors import DataError, JobError, ModelError, UsageError
from swath.inference.runtimes import OpenVinoRuntime
from swath.models.foreign import file as foreign_file
from swath.models.foreign.file import read_network
from swath.models.model import Model
from tests.errors import fails
from tests.make import NORTH_UP, UTM, noise, write_raster
from tests.networks import NAMES, RGB, Net, answer, changed, local, pooled


def imported(path, target, **options):
    given = {"bands": RGB, "classes": NAMES} | options
    return swath.import_onnx(path, target / "m.swath", **given)


def scores(model, raw):
    """Return what a model file gives for a window that it takes, in ONNX Runtime."""
    setup = model.setup("onnxruntime")
    return model.open(setup).runtime(raw)


def pixels(side, bands=3, seed=0):
    return noise(1, bands, side, side, seed=seed).astype(np.float32)


def test_a_local_network_takes_images_of_any_size(tmp_path):
    path = local().write(tmp_path / "n.onnx")
    result = imported(path, tmp_path, scale="0.01", offset="-1")
    assert (result.window, result.context, result.stride, result.output) == (
        None,
        "local",
        2,
        "logits",
    )
    assert 2 <= result.halo <= 8 and result.seam is None and result.difference < 1e-5
    raw = pixels(64)
    expected = answer(path, raw * np.float32(0.01) - 1)
    np.testing.assert_allclose(scores(Model(tmp_path / "m.swath"), raw), expected, atol=1e-4)


@pytest.mark.usefixtures("float32")
def test_tiles_of_a_local_network_make_the_map_of_one_pass(tmp_path):
    path = local().write(tmp_path / "n.onnx")
    imported(path, tmp_path, scale=0.01)
    image = noise(3, 150, 130)
    write_raster(tmp_path / "i.tif", image, UTM, NORTH_UP)
    model = Model(tmp_path / "m.swath")
    made = swath.predict(model.path, tmp_path / "i.tif", tmp_path / "o.tif")
    with rasterio.open(tmp_path / "o.tif") as file:
        mapped = file.read(1)
    expected = answer(path, image[None].astype(np.float32) * np.float32(0.01)).argmax(axis=1)[0]
    assert (mapped == expected).mean() > 0.999 and set(made.classes) == set(NAMES.split(","))


def test_scaling_by_mean_and_deviation_of_each_band(tmp_path):
    path = local().write(tmp_path / "n.onnx")
    mean, std = np.array([0.2, 0.3, 0.4], np.float32), np.array([0.1, 0.2, 0.3], np.float32)
    result = imported(path, tmp_path, scale=[1 / 255], mean=mean.tolist(), std="0.1,0.2,0.3")
    raw = pixels(64)
    by_band = (slice(None), None, None)
    expected = answer(path, (raw / 255 - mean[by_band]) / std[by_band])
    model = Model(tmp_path / "m.swath")
    np.testing.assert_allclose(scores(model, raw), expected, atol=1e-4)
    assert [b.mean for b in model.card.bands] == pytest.approx([51, 76.5, 102])
    assert not model.card.scaled and not result.scaled


def test_global_context_gets_windows_of_one_size(tmp_path):
    path = pooled().write(tmp_path / "n.onnx", size=(64, 64))
    image = write_raster(tmp_path / "i.tif", noise(3, 200, 170), UTM, NORTH_UP)
    result = imported(path, tmp_path, scale=0.01, image=image)
    assert (result.window, result.context, result.compared_on) == (64, "global", "image")
    assert result.halo in (0, 2, 4, 6, 8) and 0 <= result.seam < 0.5
    card = Model(tmp_path / "m.swath").card
    assert card.side == card.window == 64 and card.core == 64 - 2 * card.halo
    plan = swath.predict(tmp_path / "m.swath", image, tmp_path / "o.tif", plan=True)
    assert plan.plan.read == (64, 64) and plan.plan.seam == result.seam and plan.overhead > 1
    assert plan.plan.context == "global"


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("shape", [(200, 170), (40, 90), (64, 64), (7, 5)])
def test_windows_of_one_size_give_each_core_its_own_window(tmp_path, shape):
    """Each core is what the file itself gives for the window around it; small images go on as in
    a mirror."""
    path = pooled().write(tmp_path / "n.onnx", size=(64, 64))
    imported(path, tmp_path, scale=0.01)
    image = noise(3, *shape)
    write_raster(tmp_path / "i.tif", image, UTM, NORTH_UP)
    model = Model(tmp_path / "m.swath")
    swath.predict(model.path, tmp_path / "i.tif", tmp_path / "o.tif")
    with rasterio.open(tmp_path / "o.tif") as file:
        mapped, grid = file.read(1), model.predictor
    for tile in grid.tiling(type("G", (), {"height": shape[0], "width": shape[1]})):
        rows, cols = tile.read.slices
        part = image[:, rows, cols]
        part = np.pad(part, [(0, 0), *((0, 64 - n) for n in part.shape[1:])], mode="symmetric")
        own = answer(path, part[None].astype(np.float32) * np.float32(0.01)).argmax(axis=1)[0]
        at = tile.core.relative_to(tile.read).slices
        assert (mapped[tile.core.slices] == own[at]).mean() > 0.999


def test_a_halo_that_leaves_no_core_is_refused(tmp_path):
    imported(pooled().write(tmp_path / "n.onnx", size=(64, 64)), tmp_path, scale=0.01)
    image = write_raster(tmp_path / "i.tif", noise(3, 100, 100))
    with fails("halo-too-large", JobError) as caught:
        swath.predict(tmp_path / "m.swath", image, tmp_path / "o.tif", halo=32)
    assert "--halo of at most 31" in caught.value.fix


def test_an_image_of_another_resolution_is_scaled_into_the_window(tmp_path):
    path = pooled().write(tmp_path / "n.onnx", size=(64, 64))
    imported(path, tmp_path, scale=0.01, gsd=30)
    image = write_raster(tmp_path / "i.tif", noise(3, 230, 250), UTM, NORTH_UP)  # 10 m
    result = swath.predict(tmp_path / "m.swath", image, tmp_path / "o.tif", plan=True)
    assert result.plan.read == (192, 192) and result.zooms == [pytest.approx(1 / 3)]
    assert (
        sum(swath.predict(tmp_path / "m.swath", image, tmp_path / "o.tif").classes.values())
        == 230 * 250
    )


KINDS = {
    "nhwc": (local, {"nhwc": True}, {}, "logits"),
    "static batch": (local, {"batch": 1, "size": (64, 64)}, {}, "logits"),
    "batch of two": (local, {"batch": 2, "size": (64, 64)}, {}, "logits"),
    "odd window": (lambda: pooled(), {"size": (67, 67)}, {}, "logits"),
    "segformer": (
        lambda: Net().conv(8, stride=4).relu().attend(16).conv(3, 1),
        {"size": (64, 64), "batch": 1},
        {},
        "logits",
    ),
    "softmax": (lambda: local().add("Softmax", axis=1), {}, {}, "probabilities"),
    "sigmoid masks": (lambda: local().add("Sigmoid"), {}, {}, "sigmoid"),
    "sigmoid of one": (lambda: local(1).add("Sigmoid"), {}, {"classes": "rest,road"}, "sigmoid"),
    "logit of one": (lambda: local(1), {}, {"classes": "rest,road"}, "logits"),
    "class numbers": (
        lambda: local().add("ArgMax", axis=1, keepdims=0),
        {"kind": TensorProto.INT64},
        {},
        "labels",
    ),
    "class numbers, one channel": (
        lambda: local().add("ArgMax", axis=1, keepdims=1).add("Cast", to=TensorProto.FLOAT),
        {},
        {},
        "labels",
    ),
    "8-bit input": (
        lambda: _with_uint8(),
        {},
        {"scale": 1},
        "logits",
    ),
    "old operators": (local, {"opset": 11}, {}, "logits"),
    "channels last out": (lambda: local().add("Transpose", perm=[0, 2, 3, 1]), {}, {}, "logits"),
}


def _with_uint8():
    net = Net(kind=TensorProto.UINT8).add("Cast", to=TensorProto.FLOAT)
    return net.add("Mul", net.weight(0.01)).conv(8).relu().conv(3)


def expected_labels(path, raw, classes, written, factor):
    """Return the labels of the file's own output, worked out apart from the import."""
    values = raw * np.float32(factor)
    if onnx.load(path).graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8:
        values = values.astype(np.uint8)
    values = values.transpose(0, 2, 3, 1) if written.get("nhwc") else values
    out = answer(path, np.repeat(values, 2 if written.get("batch") == 2 else 1, axis=0))[0]
    if out.ndim == 2 or out.shape[0] == 1 and classes > 2:
        return out.reshape(out.shape[-2:]).astype(int)
    if out.shape[0] == 1:
        middle = 0.5 if out.min() >= 0 and out.max() <= 1 else 0
        return (out[0] > middle).astype(int)
    if out.shape[-1] == classes:
        out = out.transpose(2, 0, 1)
    labels = out.argmax(axis=0)
    shrink = raw.shape[2] // labels.shape[0]
    return labels.repeat(shrink, 0).repeat(shrink, 1)


@pytest.mark.usefixtures("float32")
@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_network_maps_as_it_does_itself(name, tmp_path):
    make, written, options, output = KINDS[name]
    path = make().write(tmp_path / "n.onnx", **written)
    result = imported(path, tmp_path, **({"scale": 0.01} | options))
    assert result.output == output and result.difference < 1e-3
    model = Model(tmp_path / "m.swath")
    side = result.window or 64
    raw = pixels(side)
    found = scores(model, raw)[0].argmax(axis=0)
    own = expected_labels(path, raw, len(result.classes), written, options.get("scale", 0.01))
    agree = 0.9 if name == "segformer" else 0.999  # its scores are enlarged, not its labels
    assert (found == own).mean() > agree
    assert model.card.heads == ("per-class" if name == "sigmoid masks" else "softmax")
    assert len(np.unique(own)) > 1


def test_probabilities_are_those_of_the_file(tmp_path):
    path = local().add("Softmax", axis=1).write(tmp_path / "n.onnx")
    imported(path, tmp_path, scale=0.01)
    model, raw = Model(tmp_path / "m.swath"), pixels(32)
    own = answer(path, raw * np.float32(0.01))[0]
    found = model.predictor.output.probabilities(scores(model, raw)[0], np.ones((32, 32), bool))
    np.testing.assert_allclose(found, own, atol=1e-5)


def test_masks_of_a_sigmoid_network(tmp_path):
    path = local().add("Sigmoid").write(tmp_path / "n.onnx")
    imported(path, tmp_path, scale=0.01)
    image = noise(3, 60, 50)
    write_raster(tmp_path / "i.tif", image, UTM, NORTH_UP)
    swath.predict(tmp_path / "m.swath", tmp_path / "i.tif", tmp_path / "o.tif", class_masks=True)
    with rasterio.open(tmp_path / "o_masks.tif") as file:
        masks = file.read()
    padded = np.pad(image, [(0, 0), (0, 4), (0, 14)], constant_values=50)
    own = answer(path, padded[None].astype(np.float32) * np.float32(0.01))[0] >= 0.5
    assert (masks == own[:, :60, :50]).mean() > 0.98 and 0.02 < masks.mean() < 0.98


def test_a_number_of_no_class_is_an_error_and_no_class(tmp_path):
    """The numbers of a network that outgrow its classes later are found in the pixels."""
    net = Net().add("ReduceMax", axes=[1], keepdims=1).add("Abs")
    path = net.add("Mul", net.weight(0.4)).add("Floor").write(tmp_path / "n.onnx")
    imported(path, tmp_path, scale=1, mean="100", std="100", output="labels")
    bright = np.full((3, 32, 32), 100, np.float32)
    bright[:, 3, 3] = 1000
    model = Model(tmp_path / "m.swath")
    for engine in ("openvino", "onnxruntime"):
        runtime = model.open(model.setup(engine)).runtime
        found = runtime(bright[None])
        assert np.isnan(found[0, :, 3, 3]).all() and np.isfinite(found[0, :, 5, 5]).all()
    with fails("scores-not-finite", ModelError, file=model.path):
        model.predict(bright)


REFUSED = {
    "other classes": (local, {}, {"classes": "a,b"}, "classes-differ", ModelError),
    "other bands": (local, {}, {"bands": "a,b"}, "band-mismatch", ModelError),
    "no bands": (local, {}, {"bands": ()}, "option-missing", UsageError),
    "no classes": (local, {}, {"classes": None}, "option-missing", UsageError),
    "layout": (local, {}, {"layout": "nhwc"}, "band-mismatch", ModelError),
    "wrong kind": (local, {}, {"output": "probabilities"}, "output-kind", ModelError),
    "probabilities as logits": (
        lambda: local().add("Softmax", axis=1),
        {},
        {"output": "logits"},
        "output-kind",
        ModelError,
    ),
    "labels that are none": (local, {}, {"output": "labels"}, "output-kind", ModelError),
    "numbers of more classes": (
        lambda: local(9).add("ArgMax", axis=1, keepdims=0),
        {"kind": TensorProto.INT64},
        {},
        "output-kind",
        ModelError,
    ),
    "one class": (lambda: local(1), {}, {"classes": "road"}, "output-kind", ModelError),
    "several outputs": (
        lambda: local().add("Identity"),
        {"outputs": ["t4"]},
        {},
        "network-outputs",
        ModelError,
    ),
    "no such output": (local, {}, {"output_name": "aux"}, "network-outputs", ModelError),
    "oblong": (local, {"size": (64, 96)}, {}, "network-window", ModelError),
    "a label an image": (
        lambda: local().add("GlobalAveragePool"),
        {},
        {},
        "network-output",
        ModelError,
    ),
    "another window": (
        lambda: Net().conv(8, stride=4).relu().attend(16).conv(3, 1),
        {"size": (64, 64), "batch": 1},
        {"window": 96},
        "network-window",
        ModelError,
    ),
    "one mean for two bands": (
        local,
        {},
        {"mean": [1, 2], "std": [1, 1]},
        "option-value",
        UsageError,
    ),
    "mean alone": (local, {}, {"mean": 1}, "option-conflict", UsageError),
    "scale of nothing": (local, {}, {"scale": 0}, "option-value", UsageError),
    "infinite scores": (
        lambda: local().add("Log"),
        {},
        {},
        "scores-not-finite",
        ModelError,
    ),
    "two classes of one name": (local, {}, {"classes": "a,a,b"}, "duplicate-name", UsageError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_mapped_with_is_refused_by_name(name, tmp_path):
    make, written, options, code, kind = REFUSED[name]
    path = make().write(tmp_path / "n.onnx", **written)
    with fails(code, kind):
        imported(path, tmp_path, **options)
    assert not (tmp_path / "m.swath").exists()


def test_numbers_of_the_metadata_that_do_not_fit_the_bands(tmp_path):
    path = local().write(tmp_path / "n.onnx", mean="[1, 2]", std="[1, 1, 1]")
    with fails("option-value", UsageError, file=path) as caught:
        imported(path, tmp_path)
    assert "mean of the network has 2" in caught.value.message and "--mean" in caught.value.fix


def test_engines_compile_a_network_once_for_all_trials(tmp_path, monkeypatch):
    compiled, start = [], OpenVinoRuntime.__init__

    def counted(self, onnx, *args, **kwargs):
        compiled.append((hash(onnx), args, tuple(kwargs.items())))
        start(self, onnx, *args, **kwargs)

    monkeypatch.setattr(OpenVinoRuntime, "__init__", counted)
    imported(local().write(tmp_path / "n.onnx"), tmp_path, scale=0.01)
    assert compiled and len({*compiled}) == len(compiled)


def test_an_output_is_chosen_by_name(tmp_path):
    path = local().add("Neg").write(tmp_path / "n.onnx", outputs=["t6"])
    result = imported(path, tmp_path, scale=0.01, output_name="t6")
    raw = pixels(32)
    expected = answer(path, raw * np.float32(0.01), "t6")
    np.testing.assert_allclose(scores(Model(result.model), raw), expected, atol=1e-4)


def loop(model):
    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Loop", ["", "", "image"], ["x"], body=body))


def elsewhere(model):
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def second_input(model):
    model.graph.input.append(onnx.helper.make_tensor_value_info("date", 1, [1]))


def own_operator(model):
    model.graph.node[0].domain = "com.example"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (loop, "onnx-control-flow"),
        (elsewhere, "onnx-external-data"),
        (second_input, "network-inputs"),
        (own_operator, "onnx-operator"),
    ],
)
def test_a_dangerous_network_is_not_run(change, code, tmp_path):
    path = local().write(tmp_path / "n.onnx")
    path.write_bytes(changed(path, change))
    with fails(code, ModelError, file=path):
        imported(path, tmp_path)


def test_what_is_no_network(tmp_path):
    (tmp_path / "n.onnx").write_text("<html>404 Not Found</html>" * 50)
    with fails("not-onnx", ModelError):
        imported(tmp_path / "n.onnx", tmp_path)
    with fails("no-such-file", UsageError):
        imported(tmp_path / "other.onnx", tmp_path)
    with fails("not-a-file", ModelError):
        imported(tmp_path, tmp_path)
    with fails("no-such-package", UsageError) as caught:
        imported("no_such_package:n.onnx", tmp_path)
    assert "pip install no-such-package" in caught.value.fix
    with fails("file-extension", UsageError):
        local().write(tmp_path / "n.onnx")
        swath.import_onnx(tmp_path / "n.onnx", tmp_path / "m.onnx", bands=RGB, classes=NAMES)


def test_weights_in_a_file_beside_the_network(tmp_path):
    path = local().write(tmp_path / "n.onnx")
    plain = imported(path, tmp_path, scale=0.01)
    kept = scores(Model(plain.model), pixels(32))
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="n.data", size_threshold=100)
    assert (tmp_path / "n.data").is_file()
    imported(path, tmp_path, scale=0.01)
    np.testing.assert_array_equal(scores(Model(plain.model), pixels(32)), kept)
    path.with_name("n.data").write_bytes(b"short")
    with fails("onnx-external-data", ModelError, file=path) as caught:
        imported(path, tmp_path)
    assert "both files" in caught.value.fix


def test_a_network_that_is_too_large_with_its_weights(tmp_path, monkeypatch):
    path = Net().conv(64).conv(3).write(tmp_path / "n.onnx")
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="n.data", size_threshold=0)
    both = path.stat().st_size + (tmp_path / "n.data").stat().st_size
    monkeypatch.setattr(foreign_file, "MAX_BYTES", both)
    assert read_network(path).parameters > 1000
    monkeypatch.setattr(foreign_file, "MAX_BYTES", both * 3 // 4)
    with fails("too-large", ModelError, file=path) as caught:
        imported(path, tmp_path)
    assert "half precision" in caught.value.fix
    monkeypatch.setattr(foreign_file, "MAX_BYTES", 100)
    with fails("too-large", ModelError, file=path):
        imported(path, tmp_path)


def test_a_network_in_an_installed_package(tmp_path, monkeypatch):
    package = tmp_path / "cloudnets"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemError('imported')")
    local().write(package / "n.onnx")
    monkeypatch.syspath_prepend(tmp_path)
    assert imported("cloudnets:n.onnx", tmp_path).window is None


def test_the_metadata_of_deepness(tmp_path):
    deepness = {
        "model_type": "Segmentor",
        "class_names": {"0": "rest", "1": "road", "2": "roof"},
        "resolution": 30,
        "tile_size": 64,
        "standardization_mean": [0.1, 0.2, 0.3],
        "standardization_std": [0.5, 0.5, 0.5],
    }
    properties = {key: json.dumps(value) for key, value in deepness.items()}
    path = local().write(tmp_path / "n.onnx", size=(64, 64), **properties)
    result = imported(path, tmp_path, bands=(), classes=None)
    assert result.metadata == ["deepness"] and result.bands == ["red", "green", "blue"]
    assert result.classes == {"rest": 0, "road": 1, "roof": 2}
    assert Model(result.model).card.gsd == 0.3 and not result.scaled
    mean = np.array([0.1, 0.2, 0.3], np.float32)[:, None, None]
    raw = pixels(64)
    expected = answer(path, (raw / 255 - mean) / np.float32(0.5))
    np.testing.assert_allclose(scores(Model(result.model), raw), expected, atol=1e-4)
    path = local().write(tmp_path / "n.onnx", model_type=json.dumps("Detector"))
    with fails("network-task", ModelError):
        imported(path, tmp_path)


def test_a_stac_item_beside_the_network(tmp_path):
    path = local().write(tmp_path / "n.onnx")
    classes = [
        {"value": 10, "name": "water", "color_hint": "0000ff"},
        {"value": 20, "name": "land", "color_hint": "00ff00"},
        {"value": 30, "name": "wood", "color_hint": "008800"},
    ]
    scaling = [{"type": "z-score", "mean": 100 * i, "stddev": 50} for i in (1, 2, 3)]
    item = {
        "id": "forest-net",
        "properties": {
            "license": "MIT",
            "mlm:input": [{"bands": ["B04", {"name": "B03"}, "B02"], "value_scaling": scaling}],
            "mlm:output": [{"classification:classes": classes}],
        },
        "assets": {"model": {"href": "https://example.com/n.onnx"}},
    }
    (tmp_path / "item.json").write_text(json.dumps(item))
    result = imported(path, tmp_path, bands=(), classes=None)
    assert result.metadata == ["mlm"] and result.bands == ["B04", "B03", "B02"]
    assert result.classes == {"water": 10, "land": 20, "wood": 30}
    assert (result.license, result.source) == ("MIT", "forest-net")
    assert result.scaling[1] == pytest.approx((0.02, -4))
    assert Model(result.model).card.legend.trained[0].color == "#0000FF"
    assert imported(path, tmp_path, license="GPL-3.0").license == "GPL-3.0"


def test_what_an_export_of_a_model_says_comes_back(tiny_model, tmp_path):
    swath.export(tiny_model, tmp_path / "n.onnx")
    result = swath.import_onnx(tmp_path / "n.onnx", tmp_path / "m.swath")
    own, made = Model(tiny_model), Model(result.model)
    assert result.bands == [b.name for b in own.card.bands]
    assert list(result.classes) == own.card.legend.names
    image = noise(3, 100, 90)
    codes = [np.array([c.map_code for c in m.card.legend.trained]) for m in (own, made)]
    labels = own.predict(image)
    assert len(np.unique(labels)) > 1
    expected = codes[1][np.searchsorted(codes[0], labels)]
    assert (made.predict(image) == expected).mean() > 0.98


def test_an_import_says_what_it_does_not_know(tmp_path):
    result = imported(local().write(tmp_path / "n.onnx"), tmp_path)
    text = " ".join(result.warnings)
    assert "--mean" in text and "--image" in text and result.scaled
    path = local().add("ArgMax", axis=1, keepdims=0).write(tmp_path / "n.onnx", kind=7)
    assert "confidence" in " ".join(imported(path, tmp_path).warnings)


@pytest.mark.parametrize(
    ("scale", "mean", "std", "said"),
    [
        ((), 0.45, 0.22, "--scale 0.00392157"),  # of fractions, and images of 8 bits
        (1 / 255, 120, 58, "leave --scale out"),
        ((), 120, 58, None),
        (1 / 255, 0.45, 0.22, None),
        (0.0001, 0.2, 0.1, None),
        (1, 120, 58, None),
    ],
)
def test_a_mean_of_another_scale_is_told(tmp_path, scale, mean, std, said):
    path = local().write(tmp_path / "n.onnx")
    result = imported(path, tmp_path, scale=scale, mean=mean, std=std)
    told = [text for text in result.warnings if "--mean" in text]
    assert len(told) == (said is not None) and all(said in text for text in told)


def test_the_image_to_compare_on_has_the_bands(tmp_path):
    path = local().write(tmp_path / "n.onnx")
    image = write_raster(tmp_path / "i.tif", noise(5, 60, 60), UTM, NORTH_UP)
    with fails("band-mismatch", DataError) as caught:
        imported(path, tmp_path, image=image)
    assert "--band-order" in caught.value.fix
    assert imported(path, tmp_path, image=image, band_order=[3, 2, 1], scale=0.01).seam is not None


@pytest.fixture(scope="module")
def foreign(tmp_path_factory, stripes):
    """Return a model imported with the bands and classes of `stripes`."""
    folder = tmp_path_factory.mktemp("foreign")
    path = local().write(folder / "n.onnx")
    bands = [b.name for b in Dataset(stripes).manifest.bands]
    classes = folder / "c.yaml"
    classes.write_text("".join(f"- {{name: '{c}', code: {c}}}\n" for c in (1, 2, 3)))
    swath.import_onnx(path, folder / "m.swath", bands=bands, classes=str(classes), scale=0.01)
    return folder / "m.swath"


def test_commands_that_need_a_trained_network_refuse_an_imported_one(foreign, stripes, tmp_path):
    with fails("imported-network", ModelError, file=foreign):
        swath.train(stripes, tmp_path / "t.swath", from_=foreign, steps=1)
    with fails("no-training-statistics", ModelError, file=foreign):
        image = write_raster(tmp_path / "i.tif", noise(3, 64, 64), UTM, NORTH_UP)
        swath.inspect(image, against=foreign)
    with fails("imported-network", JobError, file=foreign):
        swath.predict(foreign, image, tmp_path / "o.tif", engine="cuda")


@pytest.mark.parametrize("window", [None, 64])
def test_quantizing_and_exporting_an_imported_model(foreign, stripes, tmp_path, window):
    copy = shutil.copy(foreign, tmp_path / "m.swath")
    if window:
        card = Model(foreign).card
        path = (
            Net()
            .conv(32)
            .relu()
            .conv(32)
            .relu()
            .gate()
            .conv(3)
            .write(tmp_path / "n.onnx", size=(64, 64))
        )
        names = ",".join(b.name for b in card.bands)
        (tmp_path / "c.yaml").write_text(
            "".join(f"- {{name: '{c}', code: {c}}}\n" for c in (1, 2, 3))
        )
        swath.import_onnx(path, copy, bands=names, classes=str(tmp_path / "c.yaml"), scale=0.01)
    result = swath.quantize(copy, stripes, samples=2)
    assert result.labels_changed < 0.3 and Model(copy).network("int8")
    swath.export(copy, tmp_path / "e.onnx")
    side = window or 512
    raw = pixels(side)
    shares = answer(tmp_path / "e.onnx", raw)
    own = scores(Model(copy), raw)
    assert (shares.argmax(axis=1) == own.argmax(axis=1)).mean() > 0.999
