"""Shared code of the peers' scripts: jobs, random crops, maps of whole images. See peer_jobs.py.

The two peers know nothing of images of many sizes: both learn from random crops, which their
documentation shows for that case.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

CROP = 256
STRIDE = 32


def read_job() -> dict[str, Any]:
    """Return the job whose file is named on the command line, and seed torch by it."""
    job: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    torch.manual_seed(job["seed"])
    return job


class Crops(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Random crops: float32 pixels (3, CROP, CROP), 0..255, and int64 labels (CROP, CROP).

    Args:
        job: the job.
        each: crops of each image in a pass.
        fixed: take the middle of each image instead.
    """

    def __init__(self, job: dict[str, Any], each: int, fixed: bool = False) -> None:
        self._pairs = [
            tuple(np.asarray(Image.open(path)) for path in pair) for pair in job["train"]
        ]
        self._each, self._fixed, self._ignore = each, fixed, job["ignore"]

    def __len__(self) -> int:
        return self._each * len(self._pairs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one crop; an image that is smaller is filled with black, unlabeled."""
        image, labels = self._pairs[index % len(self._pairs)]
        free = [max(0, n - CROP) for n in labels.shape]
        row, col = (n // 2 if self._fixed else int(torch.randint(n + 1, ())) for n in free)
        pixels = torch.zeros(3, CROP, CROP)
        truth = torch.full((CROP, CROP), self._ignore, dtype=torch.int64)
        part = labels[row : row + CROP, col : col + CROP]
        truth[: part.shape[0], : part.shape[1]] = torch.from_numpy(part.astype(np.int64))
        pixels[:, : part.shape[0], : part.shape[1]] = torch.from_numpy(
            image[row : row + CROP, col : col + CROP].transpose(2, 0, 1).astype(np.float32)
        )
        return pixels, truth


def write_maps(job: dict[str, Any], scores: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Map each test image, padded to the stride; `scores` takes (1, 3, rows, columns), 0..255."""
    for path, _ in job["test"]:
        image = np.asarray(Image.open(path))
        height, width = image.shape[:2]
        padded = np.pad(
            image, ((0, -height % STRIDE), (0, -width % STRIDE), (0, 0)), mode="reflect"
        )
        with torch.no_grad():
            found = scores(torch.from_numpy(padded.transpose(2, 0, 1).astype(np.float32))[None])
        classes = found[0, :, :height, :width].argmax(0).cpu().numpy().astype(np.uint8)
        Image.fromarray(classes).save(Path(job["maps"]) / Path(path).name)


def write_about(job: dict[str, Any], seconds: float, *packages: str) -> None:
    """Write what was done: steps, seconds, versions."""
    about = {"steps": job["steps"], "seconds": round(seconds, 1)}
    about["versions"] = {name: importlib.metadata.version(name) for name in packages}  # type: ignore[assignment]
    (Path(job["maps"]) / "about.json").write_text(json.dumps(about))
