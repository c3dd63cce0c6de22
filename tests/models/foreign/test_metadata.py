"""What the metadata of a network describe, and which of two origins is taken."""

import json

import pytest

from swath.models.foreign.file import read_network
from swath.models.foreign.metadata import describe
from tests.networks import local

DEEPNESS = {
    "model_type": "Segmentor",
    "class_names": {"0": "rest", "1": "road", "2": "roof"},
    "standardization_mean": [0.1, 0.2, 0.3],
    "standardization_std": [0.5, 0.5, 0.5],
}


def described(folder, properties=None, **beside):
    """Return what is known of a network with such properties, and a STAC item of such fields."""
    texts = {key: json.dumps(value) for key, value in (properties or {}).items()}
    path = local().write(folder / "n.onnx", **texts)
    if "statistics" in beside:
        known = {"dataset_statistics": {"img": beside["statistics"]}}
        (folder / "n.json").write_text(json.dumps({"data": known}))
    elif beside:
        output = [{"classification:classes": beside.pop("classes", [])}]
        item = {"properties": {"mlm:input": [beside], "mlm:output": output}}
        (folder / "n.json").write_text(json.dumps(item))
    return describe(read_network(path))


def z_score(*deviations):
    return [{"type": "z-score", "mean": 100, "stddev": std} for std in deviations]


def test_a_scaling_is_of_one_origin(tmp_path):
    found = described(tmp_path, DEEPNESS, value_scaling=z_score(50, 50, 50))
    assert (found.scale, found.mean, found.std) == (None, (100,) * 3, (50,) * 3)
    assert found.classes == ("rest", "road", "roof") and found.origins == ("mlm", "deepness")


def test_classes_are_of_one_origin(tmp_path):
    classes = [{"value": 10 * i, "name": f"c{i}"} for i in (1, 2)]
    found = described(tmp_path, DEEPNESS, classes=classes)
    assert (found.classes, found.codes) == (("c1", "c2"), (10, 20))
    assert found.scale == (1 / 255,) and found.mean == (0.1, 0.2, 0.3)
    nameless = [{"value": i} for i in (1, 2)]
    found = described(tmp_path, DEEPNESS, classes=nameless)
    assert (found.classes, found.codes) == (("rest", "road", "roof"), None)


def test_properties_of_one_file_are_joined(tmp_path):
    own = {"model_type": "Segmentor", "mean": [1, 2, 3], "std": [4, 5, 6]}
    found = described(tmp_path, own)
    assert (found.scale, found.mean, found.std) == ((1 / 255,), (1, 2, 3), (4, 5, 6))


@pytest.mark.parametrize(
    "given",
    [
        {"properties": {"mean": [1, 2, 3], "std": [1, 0, 1]}},
        {"properties": {"swath_scale": 0, "mean": [1, 2, 3], "std": [1, 1, 1]}},
        {"properties": DEEPNESS | {"standardization_std": [0.5, 0.5, 1e-320]}},
        {"value_scaling": z_score(50, 0, 50)},
        {"value_scaling": [{"type": "min-max", "minimum": 3, "maximum": 3}]},
        {"value_scaling": [{"type": "scale", "value": 1e-320}]},
        {"statistics": [[1, 2, 3], [1, 0, 1]]},
    ],
)
def test_a_scaling_with_a_factor_or_deviation_of_0_is_not_known(given, tmp_path):
    found = described(tmp_path, **given)
    assert (found.scale, found.mean, found.std) == (None, None, None)
