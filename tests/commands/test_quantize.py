import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import rasterio

import swath
from swath.data.dataset import Dataset
from swath.errors import JobError, ModelError
from swath.inference.runtimes import OpenVinoRuntime, RuntimeSetup, bytes_per_pixel, choose_setup
from swath.models.model import Model
from swath.models.quantization import MIN_WEIGHTS
from tests.errors import fails
from tests.make import noise, write_raster


@pytest.fixture(scope="module")
def quantized(tiny_model, stripes, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "m.swath"
    shutil.copy(tiny_model, path)
    return path, swath.quantize(path, stripes, samples=4)


def test_a_model_carries_both_networks(quantized, tiny_model, stripes):
    path, result = quantized
    model = Model(path)
    assert (
        model.network() == Model(tiny_model).network() and model.network("int8") != model.network()
    )
    assert len(model.network("int8")) < 0.5 * len(model.network())
    assert model.card.int8["data_digest"] == Dataset(stripes).manifest.digest
    assert model.card.int8["labels_changed"] == result.labels_changed < 0.2
    assert result.samples == 2 and result.compared == 1


def test_int8_on_free_shapes_says_what_fixed_shapes_say(quantized):
    network = Model(quantized[0]).network("int8")
    free = OpenVinoRuntime(network, 1, "int8")
    for shape in ((64, 96), (96, 64), (64, 96)):
        raw = noise(1, 3, *shape).astype(np.float32)
        np.testing.assert_array_equal(free(raw), OpenVinoRuntime(network, 1, "int8", shape)(raw))


def test_a_map_in_int8(quantized, tmp_path):
    image = write_raster(tmp_path / "i.tif", noise(3, 100, 100))
    made = [
        swath.predict(quantized[0], image, tmp_path / f"{p}.tif", precision=p)
        for p in ("float32", "int8")
    ]
    assert [m.precision for m in made] == ["float32", "int8"] and made[0].engine.startswith(
        "openvino"
    )
    other = swath.predict(
        quantized[0], image, tmp_path / "o.tif", precision="int8", engine="onnxruntime"
    )
    maps = [rasterio.open(m.map).read(1) for m in (*made, other)]
    assert all(0.8 < (maps[1] == m).mean() for m in maps) and (maps[1] != maps[0]).any()


@pytest.mark.usefixtures("float32")
def test_scores_in_int8_are_those_of_its_own_network(quantized, stripes):
    confusions = [
        swath.evaluate(quantized[0], stripes, precision=p).confusion
        for p in ("auto", "float32", "int8")
    ]
    assert confusions[1] != confusions[2] and np.sum(confusions[1]) == np.sum(confusions[2])
    assert confusions[0] == confusions[1]


def test_a_model_without_int8_says_how_to_get_it(tiny_model, stripes, tmp_path):
    image = write_raster(tmp_path / "i.tif", noise(3, 40, 40))
    with fails("no-int8-network", ModelError, file=tiny_model) as caught:
        swath.predict(tiny_model, image, tmp_path / "m.tif", precision="int8")
    assert "`swath quantize " in caught.value.fix
    with fails("no-int8-network", ModelError, file=tiny_model):
        swath.evaluate(tiny_model, stripes, precision="int8")


def test_a_setup_is_what_the_machine_has():
    here = choose_setup()
    assert here.threads >= 1 and here.precision in ("float32", "bf16")
    assert choose_setup("onnxruntime", threads=3) == RuntimeSetup(
        "onnxruntime", onnxruntime.__version__, "float32", 3
    )
    with fails("engine-precision", JobError):
        choose_setup("onnxruntime", "bf16")
    with fails("no-engine", JobError):
        choose_setup("tensorrt")
    with fails("engine-version", JobError) as caught:
        RuntimeSetup("openvino", "0.0.1", "float32", 1).check()
    assert "openvino 0.0.1" in caught.value.message and "--restart" in caught.value.fix


def test_int8_stays_on_the_processor_where_there_is_a_gpu(monkeypatch):
    monkeypatch.setattr("swath.inference.runtimes._has_gpu", lambda: True)
    assert choose_setup().engine == choose_setup(precision="float32").engine == "cuda"
    assert choose_setup(precision="int8").engine == choose_setup("cpu").engine == "openvino"
    with fails("engine-precision", JobError):
        choose_setup("cuda", "int8")


def test_memory_is_worked_out_from_the_network(tiny_model):
    network = Model(tiny_model).network()
    openvino, other = (
        bytes_per_pixel(network, choose_setup(e, "float32", 1), (256, 256))
        for e in ("openvino", "onnxruntime")
    )
    assert 150 < openvino < 400 and other > 2 * openvino
    assert openvino == pytest.approx(
        bytes_per_pixel(network, choose_setup("openvino", "float32", 1), (512, 512)), rel=0.05
    )


def test_the_weights_make_the_same_network_in_torch(tiny_model):
    from swath.inference.runtimes import TorchRuntime

    model = Model(tiny_model)
    raw = noise(1, 3, 64, 96).astype(np.float32)
    torch, onnx = TorchRuntime(model.in_torch())(raw), OpenVinoRuntime(model.network(), 1)(raw)
    np.testing.assert_allclose(torch, onnx, atol=1e-3)
    half = TorchRuntime(model.in_torch(), "bf16")(raw)
    assert (
        half.dtype == np.float32
        and 0 < np.abs(half - torch).max() < 0.1 * np.abs(torch).max() + 0.1
    )


def test_small_layers_stay_and_only_what_convolutions_take_is_rounded(quantized):
    graph = onnx.load_from_string(Model(quantized[0]).network("int8")).graph
    given_by = {name: node for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    left = {
        w.name: np.prod(w.dims)
        for w in graph.initializer
        if w.name in {c.input[1] for c in convolutions}
    }
    in_8_bits = [c for c in convolutions if c.input[1] not in left]
    assert in_8_bits and all(
        given_by[name].op_type == "DequantizeLinear" for c in in_8_bits for name in c.input[:2]
    )
    assert all(
        np.prod(_stored(graph, given_by[c.input[1]].input[0]).dims) >= MIN_WEIGHTS
        for c in in_8_bits
    )
    rounded = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    assert rounded == {name for c in in_8_bits for name in c.input}


def _stored(graph, name):
    return next(w for w in graph.initializer if w.name == name)
