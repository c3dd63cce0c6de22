import numpy as np
import pytest

from swath.models.foreign.file import read_network
from swath.models.foreign.graph import Scaling
from swath.models.foreign.probe import Wishes, differ_by, find_interface
from tests.make import noise
from tests.networks import local


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
    found, _ = find_interface(network, Wishes(3, 3), SCALING, take)
    assert found.output == output


def test_scores_that_are_not_finite_differ():
    scores = np.ones((1, 2, 4, 4), np.float32)
    assert differ_by(scores, scores) == 0
    for value in (np.nan, np.inf):
        other = scores.copy()
        other[0, 0, 1, 1] = value
        assert differ_by(scores, other) == differ_by(other, scores) == np.inf
