"""Recording a GPU's work, with a stand-in for what only a GPU can do: record, replay, and leave the network as it was."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from swath.training.replay import forget, record
from swath.training.task import TrainingTask


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
    teacher = SimpleNamespace(
        device=torch.device(device),
        trainer=trainer,
        network=SimpleNamespace(mean=torch.zeros(1, 5, 1, 1)),
        _recipe=SimpleNamespace(batch=16, patch=128),
    )
    TrainingTask.on_train_start(teacher)  # type: ignore[arg-type]
    assert calls == ([((16, 5, 128, 128), True)] if recorded else [])
