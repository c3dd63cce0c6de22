"""The plan of a prediction: all that the bytes of a map depend on, fixed before the first tile."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from swath.errors import JobError
from swath.geo.tiling import Tiling
from swath.inference.runtimes import RuntimeSetup, bytes_per_pixel, cores
from swath.inference.tiled import TilePrediction, make_tiling
from swath.io.atomic import file_stamps
from swath.io.work_folder import FileStore, WorkFolder
from swath.mapping.inputs import ImageInput, InputImage
from swath.mapping.tile_store import PARTS, LayerArrays
from swath.models.model import Model
from swath.types import Tta

FORMAT_VERSION = 1

PLAN = "plan.json"
"""Name of the file that keeps a plan beside its parts."""

OutputLayer: TypeAlias = Literal["class", "confidence", "probabilities", "masks", "height"]
"""What is written of each tile.

Class indices; percent 0..100 (255 without data) of the mapped class or of all classes; masks of 0
and 1; meters.
"""

RESIDENT_BYTES = 500 * 2**20
"""Memory of the process itself: Python, GDAL with its cache, and the engine without its tensors."""

PROBE = 512, 512
"""Shape on which the memory of a network is worked out where an image is not one tile."""

USUAL_BYTES = 400
"""Memory that a network is taken to need for each pixel, until it is worked out."""


class PredictionRequest(BaseModel, frozen=True):
    """What the user asked for; if any of it has changed, old parts are of no use.

    Attributes:
        model: path of the model file.
        model_sha256: digest of its content.
        input: the image.
        files: size and time of change of all files that pixels come from.
        layers: what is written.
        engine: name or `auto`.
        precision: name or `auto`.
        memory_gb: what one worker may use, 10^9 bytes.
        halo: pixels, None for the card's.
        threads: for one request, 0 for one a core.
        tta: test-time augmentation.
        zoom: scale at which the image is shown to the network; see `swath.geo.scale`.
    """

    model: str
    model_sha256: str
    input: ImageInput
    files: dict[str, str]
    layers: tuple[OutputLayer, ...]
    engine: str = "auto"
    precision: str = "auto"
    memory_gb: float = 2.0
    halo: int | None = None
    threads: int = 0
    tta: Tta = "none"
    zoom: Fraction = Fraction(1)


class Plan(BaseModel, frozen=True):
    """What was asked for, and what followed from it on the machine that began.

    Attributes:
        format_version: of this file.
        asked: see `PredictionRequest`.
        setup: engine, version, precision, threads a request.
        height: rows of the image.
        width: its columns.
        read: rows and columns of a read window.
        halo: pixels around a core.
        stride: read windows are multiples of it.
    """

    format_version: int = FORMAT_VERSION
    asked: PredictionRequest
    setup: RuntimeSetup
    height: int
    width: int
    read: tuple[int, int]
    halo: int
    stride: int

    @property
    def tiling(self) -> Tiling:
        """The tiles."""
        return Tiling(self.height, self.width, self.read, self.halo, self.stride)

    @property
    def digest(self) -> str:
        """SHA-256 of the whole plan."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def make_plan(asked: PredictionRequest, model: Model, image: InputImage, workers: int = 1) -> Plan:
    """Fit tiles to the image and to the memory.

    Unless threads are asked for, `workers` share the cores of this machine.

    Raises:
        JobError: the smallest tile does not fit, or the engine is not installed.
    """
    card, views, grid = model.card, model.views.at(asked.zoom), image.grid
    threads = asked.threads or max(1, cores() // workers)
    setup = model.setup(asked.engine, asked.precision, threads)
    stride = views.stride(card.stride)
    if asked.halo is None:
        halo = views.halo(card.halo, card.stride)
    else:
        halo = views.whole_halo(asked.halo, card.stride)
    side = views.side(card.side, card.halo, card.stride)
    if side is not None and side < 2 * halo + stride:
        raise JobError(
            f"A halo of {halo} pixels leaves no core of a window of {side} pixels",
            code="halo-too-large",
            file=model.path,
            fix=f"Give a --halo of at most {(side - stride) // 2}, or leave it out",
        )
    bands, channels = len(card.bands), len(card.legend.trained) + card.heights
    # Twice the input as read and as float32 (the next tile is read meanwhile), scores, what is
    # derived from them, and one part.
    per_pixel: float = 2 * bands * (image.dtype.itemsize + 4) + 4 * channels + 8
    if len(asked.layers) > 1:
        per_pixel += 8 * channels
    per_pixel += views.bytes_per_pixel(bands, channels)
    networks = len(model.network())
    if setup.precision == "int8":
        networks += len(model.network("int8"))
    budget = asked.memory_gb * 1e9 - RESIDENT_BYTES - (4 * len(views.zooms) - 1) * networks

    def tiles(network_bytes: float) -> tuple[Tiling, float]:
        each = per_pixel + views.peak_cost * network_bytes
        return make_tiling(grid, stride, halo, side, max(0, int(budget / each))), each

    # To make the network takes longer than to map a small image, so where that is one tile, its
    # memory is worked out on the network that will run.
    first = tiles(USUAL_BYTES)[0]
    alone = len(first) == 1 and views.is_identity
    onnx = model.network(setup.precision)
    probe = first.read if alone else PROBE
    if card.window is not None:
        probe = card.window, card.window
    tiling, per_pixel = tiles(bytes_per_pixel(onnx, setup, probe))
    rows, cols = tiling.read
    if rows * cols * per_pixel > max(budget, 0):
        least = (rows * cols * per_pixel + asked.memory_gb * 1e9 - budget) / 1e9
        needs = f"A tile of {cols}x{rows} pixels needs {least:.1f} GB"
        fix = f"Give --memory {least + 0.05:.1f}, or a smaller --halo"
        message = f"{needs}, and --memory is {asked.memory_gb:g}"
        raise JobError(message, code="memory-budget", fix=fix)
    shape = {"height": grid.height, "width": grid.width, "read": tiling.read}
    return Plan(asked=asked, setup=setup, **shape, halo=halo, stride=stride)


_REQUEST_WORDS = {
    "model_sha256": "the model",
    "files": "an image, mask or regions file",
    "zoom": "the scale of the image",
}


def freeze_plan(store: FileStore, asked: PredictionRequest, make: Callable[[], Plan]) -> Plan:
    """Return the plan that lies in a store, or make one and put it there.

    Raises:
        JobError: the store holds parts of another prediction, or the plan cannot be run here or
            written.
    """

    def read(text: str) -> Plan:
        try:
            return Plan.model_validate_json(text)
        except ValidationError as error:
            message, root = "The plan of unfinished parts is damaged or newer", store.root
            fix = "Start over with --restart"
            raise JobError(message, code="plan-unreadable", file=root, fix=fix) from error

    def changes(text: str) -> list[str]:
        old = read(text).asked
        names = [n for n in PredictionRequest.model_fields if n != "model"]  # which may have moved
        changed = [name for name in names if getattr(old, name) != getattr(asked, name)]
        return [_REQUEST_WORDS.get(name, name.replace("_", " ")) for name in changed]

    fix = "Undo the change to continue, or give --restart to remove the parts and start over"
    work = WorkFolder(store, PLAN, PARTS, fix)
    plan = read(work.open(lambda: make().model_dump_json(indent=1), changes))
    plan.setup.check()
    return plan


def make_request(
    model: Model,
    source: ImageInput,
    image: InputImage,
    layers: Sequence[OutputLayer],
    settings: dict[str, Any],
) -> PredictionRequest:
    """Describe a prediction of an open image; `settings` are further fields of the request."""
    settings = settings | {"layers": tuple(layers), "tta": model.tta}
    files = file_stamps([*image.image.sources, *source.context_files])
    path, digest = str(Path(model.path).resolve()), model.digest
    return PredictionRequest(model=path, model_sha256=digest, input=source, files=files, **settings)


def layers_of(
    prediction: TilePrediction, wanted: NDArray[np.bool_] | None, layers: Sequence[OutputLayer]
) -> LayerArrays:
    """Return what a part holds of a prediction; unwanted pixels as if they had no data."""
    if wanted is not None:
        prediction = replace(prediction, valid=prediction.valid & wanted)
    out: LayerArrays = {"class": prediction.indices}
    if "confidence" in layers:
        out["confidence"] = _percent(prediction.confidence)
    if "probabilities" in layers:
        out["probabilities"] = _percent(prediction.probabilities)
    if "masks" in layers:
        out["masks"] = prediction.masks
    if "height" in layers:
        out["height"] = prediction.height
    return out


def _percent(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn 0..1 into whole percent, NaN into 255."""
    return np.where(np.isnan(share), np.float32(255), np.rint(share * 100)).astype(np.uint8)
