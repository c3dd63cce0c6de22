"""Jobs for peers: the same images, labels and encoder weights as plain files; see accuracy.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from swath.data.dataset import Dataset, Sample
from swath.legend import IGNORE
from swath.metrics.confusion import confusion_matrix
from swath.models.network import Network, NetworkSpec, load_encoder_weights

ENCODER = "tf_efficientnet_lite0"


def prepare_job(dataset: Dataset, folder: Path, seed: int, steps: int) -> Path:
    """Write images, labels and weights, once, and the job; return the job's file.

    A job names training images with their labels (PNG, class indices, 255 unlabeled), test images,
    the encoder's weights (tensors under timm's names), classes, seed, steps, and the folder for
    maps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "encoder.pth"
    if not weights.exists():
        write_weights(weights)
    files = {
        split: [_write_images(dataset, s, folder) for s in dataset.manifest.of(split)]
        for split in ("train", "test")
    }
    maps = folder / f"maps-{seed}"
    maps.mkdir(exist_ok=True)
    job = {
        "train": files["train"],
        "test": files["test"],
        "weights": str(weights),
        "encoder": ENCODER,
        "ignore": IGNORE,
        "classes": len(dataset.manifest.legend.trained),
        "seed": seed,
        "steps": steps,
        "maps": str(maps),
    }
    path = folder / f"job-{seed}.json"
    path.write_text(json.dumps(job, indent=1))
    return path


def score_maps(dataset: Dataset, samples: list[Sample], job: Path) -> dict[str, np.ndarray]:
    """Return each sample's confusion matrix by the maps of a peer, scored as ours are."""
    maps = Path(json.loads(job.read_text())["maps"])
    n = len(dataset.manifest.legend.trained)
    matrices = {}
    for sample in samples:
        labels = dataset.images[sample.image].read_labels(sample.window)
        matrices[sample.name] = confusion_matrix(
            labels, np.asarray(Image.open(maps / _file(sample))), n
        )
    return matrices


def said_of(job: Path) -> dict[str, Any]:
    """Return what a peer says of its training: steps, seconds, versions."""
    about: dict[str, Any] = json.loads(
        (Path(json.loads(job.read_text())["maps"]) / "about.json").read_text()
    )
    return about | {"first_weights": f"ImageNet, from {ENCODER}'s package"}


def _file(sample: Sample) -> str:
    return f"{sample.name.replace('/', '-').replace(' ', '-')}.png"


def _write_images(dataset: Dataset, sample: Sample, folder: Path) -> list[str]:
    """Write an image and its labels where they are not there yet; return both paths."""
    paths = [folder / kind / _file(sample) for kind in ("images", "labels")]
    if not all(path.exists() for path in paths):
        image = dataset.images[sample.image]
        arrays = (
            image.read(sample.window).values.transpose(1, 2, 0),
            image.read_labels(sample.window),
        )
        for path, array in zip(paths, arrays, strict=True):
            path.parent.mkdir(exist_ok=True)
            partial = path.with_suffix(".part")
            Image.fromarray(np.ascontiguousarray(array)).save(partial, format="PNG")
            partial.replace(path)
    return [str(path) for path in paths]


def write_weights(path: Path) -> None:
    """Write the encoder's tensors as ours begins with them."""
    network = Network(NetworkSpec(ENCODER, "unet", 1, (0.0,) * 3, (1.0,) * 3, (128, 64, 48, 32), 0))
    load_encoder_weights(network, ENCODER, "auto")
    partial = path.with_suffix(".part")
    torch.save(network.encoder.model.state_dict(), partial)
    partial.replace(path)
