"""`swath quantize`: add a second network, in 8-bit numbers, to a model file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from swath.commands.base import command
from swath.commands.evaluate import check_fit
from swath.data.dataset import Dataset, Sample
from swath.errors import DataError
from swath.inference.fixed_window import fill_up
from swath.inference.runtimes import choose_setup, open_runtime
from swath.inference.tiled import centered_window, read_scaled
from swath.models.model import Model
from swath.models.model_file import pack_model_file
from swath.models.quantization import quantize_network
from swath.options import QuantizeOptions
from swath.progress import track
from swath.types import Result

MAX_PATCH_SIDE = 512
"""Rows and columns of a patch that ranges are found on, at most."""


class QuantizeResult(Result):
    """The result of a quantization.

    Attributes:
        model: path of the model file.
        samples: patches that ranges were found on.
        compared: patches of the validation split, or without one of the training split, that the
            two networks were compared on.
        labels_changed: share of their pixels with another class than in float32.
        speed: pixels a second in int8 over those in the default of `predict` (bf16 or float32), on
            this processor.
    """

    model: str
    samples: int
    compared: int
    labels_changed: float
    speed: float


@command(QuantizeOptions)
def quantize(options: QuantizeOptions) -> QuantizeResult:
    """Add a network in int8 to a model file, which `predict --precision int8` uses.

    Raises:
        DataError: the dataset has no patch that can be used.
        ModelError: the model is damaged, or has other bands or classes than the dataset.
        JobError: a package is missing, or the file cannot be written.
    """
    model, dataset = Model(options.model), Dataset(options.dataset)
    check_fit(model, dataset)
    training = dataset.manifest.of("train")
    patches = list(_patches(model, dataset, training, options.samples))
    if not patches:
        raise DataError(
            "The training split has no patch of the network's stride",
            code="no-patches",
            file=dataset.folder,
            fix="Prepare the dataset with larger images",
        )
    network = model.network()
    int8 = quantize_network(network, patches)
    validation = dataset.manifest.of("val") or training[1:]
    held_out = list(_patches(model, dataset, validation, 8)) or patches
    changed, speed = _compared(network, int8, held_out)
    facts = {
        "method": "static, QDQ, 7-bit weights a channel, 8-bit activations; "
        "first, last and small layers left",
        "samples": len(patches),
        "data_digest": dataset.manifest.digest,
        "labels_changed": changed,
    }
    card = model.card.model_copy(update={"int8": facts})
    pack_model_file(model.path, card, network, model.weights, int8)
    return QuantizeResult(
        model=model.path,
        samples=len(patches),
        compared=len(held_out),
        labels_changed=changed,
        speed=speed,
    )


def _patches(
    model: Model, dataset: Dataset, samples: list[Sample], count: int
) -> Iterator[NDArray[np.float32]]:
    """Yield patches from the middle of evenly chosen samples, at the scale of maps."""
    fill = [b.fill for b in model.card.bands]
    side = model.card.window
    size = (side or MAX_PATCH_SIDE, side or MAX_PATCH_SIDE)
    for i in np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int):
        image = dataset.images[samples[i].image]
        zoom = model.zoom(image.grid.gsd)
        window = centered_window(samples[i].window, size, model.card.stride, zoom)
        if window is not None:
            patch = read_scaled(image, window, zoom, fill).values[None]
            yield patch if side is None else fill_up(patch, side)


def _compared(onnx: bytes, int8: bytes, patches: list[NDArray[np.float32]]) -> tuple[float, float]:
    """Return the share of labels that differ from float32, and the speed over the default."""
    exact = choose_setup("cpu", "float32")
    quantized = open_runtime(int8, replace(exact, precision="int8"))
    runtimes = [open_runtime(onnx, exact), open_runtime(onnx, choose_setup("cpu")), quantized]
    changed, seconds = [], np.zeros(3)
    for patch in track(patches, "comparing", len(patches), "patches"):
        labels = []
        for k, runtime in enumerate(runtimes):
            runtime(patch)  # the first run of a shape prepares the engine
            start = time.perf_counter()
            labels.append(runtime(patch).argmax(axis=1))
            seconds[k] += time.perf_counter() - start
        changed.append(float((labels[0] != labels[2]).mean()))
    return float(np.mean(changed)), float(seconds[1] / seconds[2])
