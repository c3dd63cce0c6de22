import json

import numpy as np
import onnxruntime

import swath
from swath.errors import JobError
from swath.inference.runtimes import OnnxRuntime
from swath.models.model import Model
from tests.errors import fails
from tests.make import noise


def test_deepness_reads_what_it_wants_to_know(tiny_model, tmp_path):
    result = swath.export(tiny_model, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    meta = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    card = Model(tiny_model).card
    assert meta["model_type"] == "Segmentor" and meta["tile_size"] == 512
    assert list(meta["class_names"].values()) == card.legend.names and list(
        meta["class_names"]
    ) == ["0", "1", "2"]
    assert meta["standardization_mean"] == [0, 0, 0] and meta["standardization_std"] == [1, 1, 1]
    assert session.get_inputs()[0].shape == [1, 3, 512, 512] and session.get_outputs()[0].shape == [
        1,
        3,
        512,
        512,
    ]
    raw = noise(1, 3, 512, 512)
    found = session.run(None, {"image": raw.astype(np.float32) / 255})[0]
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    scores = OnnxRuntime(Model(tiny_model).network())(raw.astype(np.float32))
    assert (found.argmax(1) == scores.argmax(1)).mean() > 0.999
    assert result.bytes == (tmp_path / "m.onnx").stat().st_size and set(result.metadata) == set(
        meta
    )


def test_a_folder_is_no_file(tiny_model, tmp_path):
    with fails("is-a-folder", JobError, file=tmp_path):
        swath.export(tiny_model, tmp_path)
