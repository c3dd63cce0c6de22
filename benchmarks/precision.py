"""What bf16 and int8 cost: share of labels that change against float32, and mIoU.

Usage: python benchmarks/precision.py MODEL.swath DATASET SPLIT [parts]

int8 is the model's own 8-bit network. bf16 is what this processor does, where it has it; and it is
worked out in float32: weights and the inputs of every convolution are rounded to bf16 and sums are
kept in float32, so it can be looked at on any machine. With `parts`, parts of the network are kept
in float32 there, one at a time, which tells where differences come from.
"""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - before torch

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from usage import arguments

from swath.data.dataset import Dataset
from swath.evaluation.reference import DatasetReference
from swath.evaluation.results import summarize
from swath.evaluation.scoring import ModelPredictor, score_area
from swath.inference.runtimes import Runtime, TorchRuntime, choose_setup
from swath.models.model import Model

PARTS: dict[str, str] = {
    "pixel branch": "pixel",
    "first convolution": "body.encoder.model.conv_stem",
    "encoder": "body.encoder",
    "decoder": "body.decoder",
    "head": "body.head",
}


@contextmanager
def rounded(network: nn.Module, but: str = "no part") -> Iterator[None]:
    """Round weights and inputs of convolutions to bf16, except in modules of some names."""

    def nearest(x: torch.Tensor) -> torch.Tensor:
        return x.to(torch.bfloat16).to(torch.float32)

    convolutions = [
        m
        for name, m in network.named_modules()
        if isinstance(m, nn.Conv2d) and not name.startswith(but)
    ]
    kept = [m.weight.data for m in convolutions]
    hooks = [
        m.register_forward_pre_hook(lambda _, given: tuple(map(nearest, given)))
        for m in convolutions
    ]
    for module in convolutions:
        module.weight.data = nearest(module.weight.data)
    try:
        yield
    finally:
        for module, weight, hook in zip(convolutions, kept, hooks, strict=True):
            module.weight.data = weight
            hook.remove()


def scored(
    model: Model, truth: DatasetReference, runtime: Runtime, base: list[Any]
) -> tuple[float, list[Any]]:
    """Print mIoU with a runtime, and the share of labels unlike `base`; return mIoU and labels."""
    engine = replace(model.open(choose_setup(precision="float32")), runtime=runtime)
    mapper, maps, judged = ModelPredictor(engine, 1.0), [], []
    for place in truth.areas:
        mapped = mapper.predict(truth, place)
        maps.append(mapped.classes)
        judged.append(score_area(truth, place, mapped))
    miou = summarize(truth.legend, "", judged).miou
    changed = sum(int((a != b).sum()) for a, b in zip(maps, base or maps, strict=True)) / sum(
        m.size for m in maps
    )
    sys.stdout.write(f"mIoU {miou:.4f} | labels changed {changed:.3%} | ")
    return miou or 0.0, maps


def main(path: str, dataset: str, split: Any, parts: str = "") -> None:
    """Print a line for each precision."""
    model, truth = Model(path), DatasetReference(Dataset(dataset), split)
    network = model.in_torch()
    _, base = scored(model, truth, TorchRuntime(network), [])
    sys.stdout.write("float32\n")
    here = [
        *(["bf16"] if choose_setup("openvino").precision == "bf16" else []),
        *(["int8"] if model.card.int8 else []),
    ]
    for precision in here:
        scored(model, truth, model.open(choose_setup("openvino", precision)).runtime, base)
        sys.stdout.write(f"{precision}\n")
    for but in ["no part", *(PARTS.values() if parts else ())]:
        with rounded(network, but):
            scored(model, truth, TorchRuntime(network), base)
        sys.stdout.write(f"bf16 worked out, {but} in float32\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*arguments(__doc__, 3, 4))
