import pytest
import torch
from torch.nn import functional as F

from swath.training.acceleration import FastDepthwise
from swath.training.patches import Batch
from swath.training.recipes import Recipe
from swath.training.task import TrainingTask

SHAPES = [
    (3, 1, 1, 1),
    (3, 2, 0, 1),
    (5, 1, 2, 1),
    (5, 2, 0, 1),
    (5, 2, 2, 1),
    (7, 1, 3, 1),
    (5, 1, 4, 2),
    (5, (2, 1), (2, 0), 1),
]
"""Size of filters, stride, padding, dilation."""


def example(size):
    torch.manual_seed(0)
    x = torch.randn(3, 8, 18, 15).to(memory_format=torch.channels_last)
    return [t.requires_grad_() for t in (x, torch.randn(8, 1, size, size), torch.randn(8))]


def gradients(out, of):
    torch.manual_seed(1)
    return torch.autograd.grad(out, of, torch.randn_like(out))


def half():
    return torch.autocast("cpu", torch.bfloat16)


@pytest.mark.parametrize(("size", "stride", "padding", "dilation"), SHAPES)
def test_results_and_gradients_are_those_of_torch_but_for_rounding_to_bf16(
    size, stride, padding, dilation
):
    x, weight, bias = example(size)
    exact = F.conv2d(x, weight, bias, stride, padding, dilation, 8)
    with half(), FastDepthwise():
        out = F.conv2d(x, weight, bias, stride, padding, dilation, 8)
    assert out.dtype == torch.bfloat16
    for truth, found in zip(
        [exact, *gradients(exact, (x, weight, bias))],
        [out, *gradients(out, (x, weight, bias))],
        strict=True,
    ):
        assert (found.float() - truth).norm() < 0.01 * truth.norm()


def taken_by(out):
    """Names of the functions that will compute gradients."""
    names, left = set(), [out.grad_fn]
    while left:
        step = left.pop()
        names.add(step.name())
        left += [before for before, _ in step.next_functions if before is not None]
    return names


def test_only_depthwise_convolutions_under_autocast_are_taken():
    x, weight, _ = example(5)
    grouped = torch.randn(8, 4, 5, 5, requires_grad=True)
    with FastDepthwise():
        assert "_DepthwiseBackward" not in taken_by(F.conv2d(x, weight, groups=8))
        with half():
            assert "_DepthwiseBackward" in taken_by(F.conv2d(x, weight, groups=8))
            assert "_DepthwiseBackward" not in taken_by(F.conv2d(x, grouped, groups=2))
    with half():
        assert "_DepthwiseBackward" not in taken_by(F.conv2d(x, weight, groups=8))


def test_a_training_step_takes_them():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 3, 5, groups=3, padding=2), torch.nn.Conv2d(3, 2, 1)
    )
    network.pixel = None
    batch = Batch(torch.rand(2, 3, 8, 8), torch.randint(0, 2, (2, 8, 8)))
    with half():
        loss = TrainingTask(network, Recipe(), [1, 1]).training_step(batch, 0)
    assert "_DepthwiseBackward" in taken_by(loss)
