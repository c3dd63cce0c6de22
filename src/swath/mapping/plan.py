"""The plan of a prediction: all that the bytes of a map depend on, fixed before the first tile and kept beside the parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from swath.errors import JobError
from swath.geo.tiling import Tiling
from swath.inference.runtimes import RuntimeSetup, bytes_per_pixel, choose_setup, cores
from swath.inference.tiled import TilePrediction, make_tiling
from swath.io.atomic import file_stamps
from swath.mapping.inputs import ImageInput, InputImage
from swath.mapping.tile_store import PLAN, FileStore, LayerArrays, store_error
from swath.models.model import Model
from swath.types import Tta

FORMAT_VERSION = 1

OutputLayer: TypeAlias = Literal["class", "confidence", "probabilities", "masks", "height"]
"""What is written of each tile: class indices, percent 0..100 (255 without data) of the mapped class or of all, masks of 0 and
1, meters."""

RESIDENT = 500 * 2**20
"""Memory of the process itself: Python, GDAL with its cache, and the engine without its tensors."""

PROBE = 512
"""Side of the square on which memory is worked out."""


class _PlanModel(BaseModel):
    model_config = ConfigDict(frozen=True)


class PredictionRequest(_PlanModel):
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
        zoom: scale at which the image is shown to the network; see `resolution`.
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


class Plan(_PlanModel):
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
    """Fit tiles to the image and to the memory, and share this machine's cores among `workers` unless threads are asked for.

    Raises:
        JobError: not even the smallest tile fits, or the engine is not to be had.
    """
    card, views, grid = model.card, model.views.at(asked.zoom), image.grid
    setup = choose_setup(asked.engine, asked.precision, asked.threads or max(1, cores() // workers))
    stride = views.stride(card.stride)
    halo = (
        views.halo(card.halo, card.stride)
        if asked.halo is None
        else views.whole_halo(asked.halo, card.stride)
    )
    bands, channels = len(card.bands), len(card.legend.trained) + card.heights
    # twice the input as read and as float32 (the next tile is read meanwhile), scores, what is made
    # of them, and one part
    own = (
        2 * bands * (image.dtype.itemsize + 4)
        + 4 * channels
        + 8
        + (8 * channels if len(asked.layers) > 1 else 0)
    )
    own += views.bytes_per_pixel(bands, channels)
    per_pixel = own + views.peak_cost * bytes_per_pixel(
        model.network(setup.precision), setup, PROBE
    )
    networks = len(model.network()) + (
        len(model.network("int8")) if setup.precision == "int8" else 0
    )
    budget = asked.memory_gb * 1e9 - RESIDENT - (4 * len(views.zooms) - 1) * networks
    tiling = make_tiling(
        grid,
        stride,
        halo,
        views.side(card.side, card.halo, card.stride),
        max(0, int(budget / per_pixel)),
    )
    if tiling.read[0] * tiling.read[1] * per_pixel > max(budget, 0):
        least = (tiling.read[0] * tiling.read[1] * per_pixel + asked.memory_gb * 1e9 - budget) / 1e9
        raise JobError(
            f"a tile of {tiling.read[1]}x{tiling.read[0]} pixels needs {least:.1f} GB, and --memory is {asked.memory_gb:g}",
            fix=f"Give --memory {least + 0.05:.1f}, or a smaller --halo",
        )
    return Plan(
        asked=asked,
        setup=setup,
        height=grid.height,
        width=grid.width,
        read=tiling.read,
        halo=halo,
        stride=stride,
    )


def freeze_plan(store: FileStore, asked: PredictionRequest, make: Callable[[], Plan]) -> Plan:
    """Return the plan that lies in a store, or make one and put it there.

    Raises:
        JobError: the store holds parts of something else, or the plan cannot be run here or
            written.
    """
    try:
        there = store.get(PLAN) or store.put_first(PLAN, make().model_dump_json(indent=1).encode())
    except OSError as error:
        raise store_error(store, error) from error
    try:
        plan = Plan.model_validate_json(there)
    except ValidationError as error:
        raise JobError(
            "the plan of the parts here is damaged or newer",
            file=store.root,
            fix="Start over with --restart",
        ) from error
    changed = _changes(plan.asked, asked)
    if changed and not store.holds_parts():
        store.clear()
        return freeze_plan(store, asked, make)
    if changed:
        raise JobError(
            f"parts of an unfinished prediction are here, and since then {changed}",
            file=store.root,
            fix="Undo the change to continue, or give --restart to throw the parts away and start over",
        )
    plan.setup.check()
    return plan


def _changes(old: PredictionRequest, new: PredictionRequest) -> str:
    """Say what has changed in words; empty where nothing has."""
    words = {
        "model_sha256": "the model has changed",
        "files": "an image, mask or regions file has changed",
        "zoom": "the scale at which the image is mapped has changed",
    }
    out = []
    for name in PredictionRequest.model_fields:
        if name == "model":
            continue  # it may have moved
        before, now = getattr(old, name), getattr(new, name)
        if before != now:
            out.append(words.get(name, f"{name.replace('_', ' ')} has changed"))
    return " and ".join(dict.fromkeys(out))


def make_request(
    model: Model,
    found: ImageInput,
    image: InputImage,
    layers: Sequence[OutputLayer],
    how: dict[str, Any],
) -> PredictionRequest:
    """Describe a prediction; `how` has the fields of `PredictionRequest` that tell how it is to be run."""
    files = [
        *getattr(image.image, "sources", found.files),
        *found.mask,
        *([found.regions] if found.regions else []),
    ]
    path = str(Path(model.path).resolve())
    return PredictionRequest(
        model=path,
        model_sha256=model.digest,
        input=found,
        files=file_stamps(files),
        layers=tuple(layers),
        tta=model.tta,
        **how,
    )


def layers_of(
    answer: TilePrediction,
    wanted: np.ndarray[Any, np.dtype[np.bool_]] | None,
    layers: Sequence[OutputLayer],
) -> LayerArrays:
    """Return what a part holds of an answer; unwanted pixels as if they had no data."""
    if wanted is not None:
        answer = replace(answer, valid=answer.valid & wanted)
    out: LayerArrays = {"class": answer.indices}
    if "confidence" in layers:
        out["confidence"] = _percent(answer.confidence)
    if "probabilities" in layers:
        out["probabilities"] = _percent(answer.probabilities)
    if "masks" in layers:
        out["masks"] = answer.masks
    if "height" in layers:
        out["height"] = answer.height
    return out


def _percent(share: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Turn 0..1 into whole percent, NaN into 255."""
    return np.where(np.isnan(share), np.float32(255), np.rint(share * 100)).astype(np.uint8)
