"""What networks cost: arithmetic and speed of each of accuracy.py's front."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import torch
from accuracy_rows import Trial
from torch.utils.flop_counter import FlopCounterMode
from trials import processor

from swath.inference.runtimes import ENGINES, choose_setup
from swath.models.network import Network, NetworkSpec, to_onnx

SIDE = 1024
"""Pixels a side of what is mapped: a megapixel and a twentieth."""

CLASSES = 5


def measure_networks(trials: list[Trial]) -> dict[str, Any]:
    """Return GFLOP a megapixel and megapixels a second of `predict`'s runtime, by row name.

    One multiplication with its addition is two FLOP. Speed is the median of five, after a first
    run; the networks take turns. Weights are as they begin: they change neither.
    """
    setup = choose_setup("auto")
    rows: dict[str, Any] = {}
    raw = np.random.default_rng(0).uniform(0, 255, (1, 3, SIDE, SIDE)).astype(np.float32)
    running = {}
    for trial in trials:
        what = trial.what()
        recipe = what["recipe"]
        spec = (
            what["encoder"],
            what["decoder"],
            CLASSES,
            (127.5,) * 3,
            (127.5,) * 3,
            tuple(recipe["widths"]),
            recipe["pixel_width"],
        )
        network = Network(NetworkSpec(*spec)).eval()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            network(torch.zeros(1, 3, 512, 512))
        rows[trial.row] = {
            "gflop": counter.get_total_flops() / 512**2 / 1e3,
            "parameters": sum(p.numel() for p in network.parameters()),
            "mpixels": [],
        }
        running[trial.row] = ENGINES[setup.engine](to_onnx(network, 3))
        running[trial.row](raw)
    for _ in range(5):
        for row, runtime in running.items():
            start = time.perf_counter()
            runtime(raw)
            rows[row]["mpixels"].append(SIDE**2 / 1e6 / (time.perf_counter() - start))
    for row in rows.values():
        row["mpixels"] = statistics.median(row["mpixels"])
    return {
        "machine": processor(),
        "engine": f"{setup.engine} {setup.version}",
        "precision": setup.precision,
        "rows": rows,
    }
