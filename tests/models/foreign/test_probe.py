import numpy as np
import pytest

from swath.errors import ModelError
from swath.inference.runtimes import OnnxRuntime
from swath.models.foreign.file import read_network
from swath.models.foreign.graph import Scaling
from swath.models.foreign.probe import Requested, differ_by, find_interface
from tests.errors import fails
from tests.make import noise
from tests.networks import changed, local

SCALING = Scaling((0.01,) * 3, (0,) * 3)


def take(side):
    return noise(1, 3, side, side).astype(np.float32)


def inverted():
    net = local().add("Sigmoid")
    return net.add("Mul", net.weight(-1)).add("Add", net.weight(1))


def mean_of_two():
    net = local().add("Softmax", axis=1)
    net.add("Mul", net.weight(0.5))
    return net.add("Add", net.at)


@pytest.mark.parametrize(
    ("make", "output"), [(inverted, "sigmoid"), (mean_of_two, "probabilities"), (local, "logits")]
)
def test_a_sum_of_shares_is_not_taken_for_logits(make, output, tmp_path):
    network = read_network(make().write(tmp_path / "n.onnx"))
    found, _ = find_interface(network, Requested(3, 3), SCALING, take)
    assert found.output == output


@pytest.mark.parametrize("size", [None, 64])
def test_a_side_is_asked_for_where_the_file_does_not_fix_it(size, tmp_path):
    net = local()
    net.add("Reshape", net.weight([1, 3, 7, 7], np.int64))
    network = read_network(net.write(tmp_path / "n.onnx", size=(size, size)))
    with fails("network-fails", ModelError, file=network.path) as caught:
        find_interface(network, Requested(3, 3), SCALING, take)
    assert ("--window" in caught.value.fix) == (size is None)


def test_a_network_is_started_once_for_all_sides(tmp_path, monkeypatch):
    started, start = [], OnnxRuntime.__init__
    monkeypatch.setattr(OnnxRuntime, "__init__", lambda *args: (started.append(1), start(*args))[1])
    net = local()
    net.add("Reshape", net.weight([1, 3, 64, 64], np.int64))
    network = read_network(net.write(tmp_path / "n.onnx"))
    _, side = find_interface(network, Requested(3, 3), SCALING, take)
    assert side == 64 and len(started) == 1


def test_a_network_that_does_not_start_is_named(tmp_path):
    path = local().write(tmp_path / "n.onnx")
    path.write_bytes(changed(path, lambda m: m.graph.node[0].input.append("nothing")))
    with fails("network-fails", ModelError, file=path) as caught:
        find_interface(read_network(path), Requested(3, 3), SCALING, take)
    assert "--window" not in caught.value.fix


def test_scores_that_are_not_finite_differ():
    scores = np.ones((1, 2, 4, 4), np.float32)
    assert differ_by(scores, scores) == 0
    for value in (np.nan, np.inf):
        other = scores.copy()
        other[0, 0, 1, 1] = value
        assert differ_by(scores, other) == differ_by(other, scores) == np.inf
