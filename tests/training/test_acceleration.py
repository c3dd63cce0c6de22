"""Fast depthwise convolutions, and recorded GPU work with a stand-in for what only a GPU does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from swath.training.acceleration import FastDepthwise, forget, record
from swath.training.batches.patches import Batch
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
    for reference, found in zip(
        [exact, *gradients(exact, (x, weight, bias))],
        [out, *gradients(out, (x, weight, bias))],
        strict=True,
    ):
        assert (found.float() - reference).norm() < 0.01 * reference.norm()


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


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)).train()


def test_warming_up_leaves_statistics_alone_and_the_own_forward_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def graphed(
        module: nn.Module, samples: tuple[torch.Tensor, ...], allow_unused_input: bool
    ) -> None:
        (sample,) = samples
        seen.append(
            (
                tuple(sample.shape),
                sample.is_contiguous(memory_format=torch.channels_last),
                torch.is_autocast_cache_enabled(),
            )
        )
        module(sample + 1)  # the warm-up moves the norm's statistics
        module.forward = lambda x: "replayed"  # type: ignore[assignment]

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", graphed)
    monkeypatch.setattr(
        torch,
        "autocast",
        lambda *a, **k: torch.amp.autocast("cpu", enabled=False, cache_enabled=k["cache_enabled"]),
    )
    net = network()
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    record(net, (2, 3, 8, 8), bf16=False)
    assert seen == [((2, 3, 8, 8), True, False)]
    assert all((buffer == before[name]).all() for name, buffer in net.named_buffers())
    assert net(torch.zeros(1, 3, 8, 8)) == "replayed"
    forget(net)
    assert net(torch.zeros(1, 3, 8, 8)).shape == (1, 4, 8, 8)
    forget(net)  # once more does no harm


def test_what_cannot_be_recorded_goes_on_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", refuse)
    net = network()
    record(net, (2, 3, 8, 8), bf16=False)
    assert (
        net(torch.zeros(1, 3, 8, 8)).shape == (1, 4, 8, 8) and "cannot be recorded" in caplog.text
    )


@pytest.mark.parametrize(
    ("device", "processes", "accumulate", "recorded"),
    [("cuda", 1, 1, True), ("cuda", 2, 1, False), ("cuda", 1, 2, False), ("cpu", 1, 1, False)],
)
def test_one_gpu_alone_records(
    monkeypatch: pytest.MonkeyPatch, device: str, processes: int, accumulate: int, recorded: bool
) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(
        "swath.training.task.record", lambda network, shape, bf16: calls.append((shape, bf16))
    )
    trainer = SimpleNamespace(
        world_size=processes, accumulate_grad_batches=accumulate, precision="bf16-mixed"
    )
    task = SimpleNamespace(
        device=torch.device(device),
        trainer=trainer,
        network=SimpleNamespace(mean=torch.zeros(1, 5, 1, 1)),
        _recipe=SimpleNamespace(batch=16, patch=128),
    )
    TrainingTask.on_train_start(task)  # type: ignore[arg-type]
    assert calls == ([((16, 5, 128, 128), True)] if recorded else [])
