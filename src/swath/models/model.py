"""The model file: `card.json`, `model.onnx` and `weights.safetensors` in one zip. No pickle, no code.

Predicting needs only this file and an engine; torch is not imported.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError, ModelError, SwathError, UsageError
from swath.geo.geobox import GeoBox
from swath.geo.scale import zoom_for
from swath.geo.tiling import Pixels, Window
from swath.inference.runtimes import (
    Precision,
    Runtime,
    RuntimeSetup,
    TorchRuntime,
    choose_setup,
    open_runtime,
)
from swath.inference.tiled import Engine, classify
from swath.inference.tta import Views, views_of
from swath.io.atomic import atomic_file
from swath.models.card import Card, damaged
from swath.models.onnx_check import refusal
from swath.types import Gsd, PathLike, Tta

CARD, NETWORK, WEIGHTS, INT8 = "card.json", "model.onnx", "weights.safetensors", "model-int8.onnx"
AGAIN = "Fetch or train the model again"
_BAND_DIMENSIONS = {"band", "bands", "channel", "channels"}

MAX_BYTES = 4 * 2**30
"""A model file that unpacks to more than this is refused."""

MAX_RATIO = 100
"""How many times its own size a model file may unpack to; weights hardly shrink."""

UNPACKING = (
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    RuntimeError,
    NotImplementedError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
"""What Python's zipfile raises at damaged files."""

MAX_CARD = 64 * 2**20
"""Largest card."""


def pack_model_file(
    path: PathLike, card: Card, network: bytes, weights: bytes, int8: bytes | None = None
) -> Card:
    """Write a model file, whole or not at all.

    Args:
        path: the file.
        card: its card; `files` is filled in here.
        network: ONNX, float32.
        weights: safetensors.
        int8: the network with 8-bit weights and activations, ONNX.

    Returns:
        The card as written.

    Raises:
        JobError: the file cannot be written.
    """
    files = {NETWORK: network, WEIGHTS: weights} | ({} if int8 is None else {INT8: int8})
    card = card.model_copy(
        update={"files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}}
    )
    text = json.dumps(card.to_stac(), indent=1, allow_nan=False).encode()
    with atomic_file(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, data in {CARD: text, **files}.items():
            entry = zipfile.ZipInfo(name)  # its fixed date makes equal models equal files
            archive.writestr(
                entry, data
            )  # stored: deflated it would be 7% smaller, and take 0.2 s longer to open
    return card


class Model:
    """A trained model, ready to map.

    Args:
        path: the model file.
        engine: `auto`, `openvino` or `onnxruntime`.
        tta: test-time augmentation of all that it maps: `none`, `scales`, `flips` or `full`.

    Raises:
        ModelError: the file is damaged, too new, or no model.
        JobError: no engine is installed.
        UsageError: there is no such augmentation, or not of this network.
    """

    def __init__(self, path: PathLike, engine: str = "auto", tta: Tta = "none") -> None:
        self.path = str(path)
        self.tta = tta
        self._wanted = engine
        self._last: tuple[Any, Engine] | None = None
        data = _read(Path(path))
        self.digest = hashlib.sha256(data).hexdigest()
        self._contents = _unpack(data, path)
        self.card = Card.from_stac(_json(self._contents[CARD], self.path), self.path)
        self._check()
        self.views = views_of(tta, self.card.side is not None, self.path)

    def _check(self) -> None:
        """Hold the files against the card.

        Raises:
            ModelError: it vouches for other ones, or a network is not as it says.
        """
        card, files = (
            self.card,
            {name: data for name, data in self._contents.items() if name != CARD},
        )
        for name in sorted(files.keys() | card.files.keys()):
            if hashlib.sha256(files.get(name, b"")).hexdigest() != card.files.get(name):
                raise ModelError(
                    f"{name} in it is not what the card says", file=self.path, fix=AGAIN
                )
        for name in files.keys() & {NETWORK, INT8}:
            reason = refusal(files[name], len(card.bands), card.channels)
            if reason:
                raise ModelError(f"{name} in it is refused: {reason}", file=self.path, fix=AGAIN)

    @property
    def weights(self) -> bytes:
        """The weights under the network's own names, safetensors."""
        return self._contents[WEIGHTS]

    def network(self, precision: Precision = "float32") -> bytes:
        """Return the network as ONNX.

        Raises:
            ModelError: int8 is asked for, and the file has no such network.
        """
        if precision != "int8":
            return self._contents[NETWORK]
        if INT8 not in self._contents:
            raise ModelError(
                "it has no network in int8",
                file=self.path,
                fix="Make one with `swath quantize MODEL DATASET`, or choose another --precision",
            )
        return self._contents[INT8]

    @cached_property
    def engine(self) -> Engine:
        """The running network as this machine runs it fastest, started at first use; for images of any shape."""
        return self.open(choose_setup(self._wanted))

    def gsd_of(self, told: Gsd, own: float | None = None) -> float | None:
        """Return the ground sampling distance to map an image with: what the user has told, else its own; None for neither.

        Args:
            told: meters, or `none` where the image is to be mapped as it is; None where the user
                says nothing.
            own: what the image says, in meters.

        Raises:
            UsageError: meters are told, and the model has none to bring the image to.
        """
        if told is None or told == "none":
            return own if told is None else None
        if self.card.mapped_gsd is None:
            raise UsageError(
                "it knows no ground sampling distance that images could be brought to",
                file=self.path,
                fix="Leave --gsd out",
            )
        return told

    def zoom(self, gsd: float | None) -> Fraction:
        """Return the scale at which an image of a ground sampling distance, in meters, is shown to the network."""
        return zoom_for(gsd, self.card.mapped_gsd)

    def open(
        self,
        setup: RuntimeSetup,
        shape: tuple[int, int] | None = None,
        halo: int | None = None,
        zoom: Fraction = Fraction(1),
    ) -> Engine:
        """Start the network.

        Args:
            setup: what to run it with.
            shape: rows and columns of all read windows, None for any.
            halo: pixels around a core, None for what the card, the augmentation and the scale need.
            zoom: scale at which images are shown to it.

        Raises:
            ModelError: the engine does not understand the network.
        """
        fast = self._on_gpu(setup) if setup.engine == "cuda" else None
        network = b"" if fast else self.network(setup.precision)

        @cache  # one that takes any shape does for all scales
        def start(shape: tuple[int, int] | None) -> Runtime:
            return fast or open_runtime(network, setup, shape)

        def start_at(zoom: Fraction) -> Runtime:
            fixed = shape if setup.engine == "openvino" else None
            return start(fixed and (int(fixed[0] * zoom), int(fixed[1] * zoom)))

        try:
            engine = _engine_at(self.card, self.path, self.views, start_at, zoom)
        except ModelError as error:
            raise ModelError(error.message, file=self.path, fix=error.fix) from error
        return replace(
            engine,
            halo=engine.halo if halo is None else halo,
            gsd=engine.gsd if shape is None and zoom == 1 else None,
        )

    def reopen(
        self, setup: RuntimeSetup, shape: tuple[int, int], halo: int, zoom: Fraction
    ) -> Engine:
        """Return the engine of the last call where it was the same, else start it; starting takes longer than a small image.

        One thread at a time may use it, and its memory stays until `close`.

        Raises:
            ModelError: see `open`.
        """
        wanted = setup, shape, halo, zoom
        if self._last is None or self._last[0] != wanted:
            self.close()
            self._last = wanted, self.open(setup, shape, halo, zoom)
        return self._last[1]

    def close(self) -> None:
        """Let go of the engine that is kept for the next call of `reopen`."""
        self._last = None

    def in_torch(self) -> Any:
        """Return the network as a torch module, in evaluation mode, on the CPU.

        Raises:
            ModelError: the weights are not those of the network that the card describes.
        """
        from safetensors import SafetensorError

        if not re.fullmatch(
            r"[\w.-]+", self.card.encoder
        ):  # timm would fetch `hf-hub:...`, or read `local-dir:...`
            raise ModelError(
                f"its encoder {self.card.encoder[:80]!r} is no name in timm",
                file=self.path,
                fix=AGAIN,
            )
        try:
            return self._in_torch()
        except (
            RuntimeError,
            ValueError,
            TypeError,
            KeyError,
            SafetensorError,
            SwathError,
        ) as error:
            what = " ".join(str(error).split())[:200].rstrip(".")
            raise ModelError(
                f"its weights are not those of its network ({what})", file=self.path, fix=AGAIN
            ) from error

    def _in_torch(self) -> Any:
        from safetensors.torch import load

        from swath.models.network import Network, NetworkSpec

        card = self.card
        scaling = tuple(b.mean for b in card.bands), tuple(b.std for b in card.bands)
        spec = NetworkSpec(
            card.encoder,
            card.decoder,
            len(card.legend.trained),
            *scaling,
            heights=card.heights,
            **card.network.model_dump(),
        )
        network = Network(spec)
        older = {"encoder", "decoder", "head"}  # names of the first models
        state = {
            f"body.{k}" if k.split(".")[0] in older else k: v for k, v in load(self.weights).items()
        }
        network.load_state_dict(
            {k: v for k, v in network.state_dict().items() if k in ("gain", "offset")} | state
        )
        return network.eval()

    def _on_gpu(self, setup: RuntimeSetup) -> Runtime:
        return TorchRuntime(self.in_torch().to("cuda"), setup.precision)

    def predict(self, array: Any, gsd: float | None = None) -> Any:
        """Map an array in memory.

        Args:
            array: raw pixel values, NumPy (bands, rows, columns), or (rows, columns) for one band,
                masked or not; or an xarray DataArray, whose bands may be any dimension called
                `band`, else the first. NaN and masked pixels have no data. Where the model takes
                latitude, its absolute degrees are the last band.
            gsd: ground sampling distance of the array in meters; where it and the model's are
                known, things are shown to the network in the size that it knows. None to map the
                pixels as they are.

        Returns:
            Class codes (rows, columns), uint8 or uint16, as NumPy or as a DataArray with the same
            coordinates; the legend's nodata where a pixel has no data.

        Raises:
            DataError: the array has another number of bands or dimensions, or holds no real
                numbers.
            UsageError: `gsd` is no distance.
        """
        if gsd is not None and not 0 < gsd < math.inf:
            raise UsageError(
                f"a ground sampling distance of {gsd} is none", fix="Give meters, above 0, or None"
            )
        if not hasattr(array, "dims"):
            return self._map(np.ma.asanyarray(array), gsd)
        named = next((d for d in array.dims if str(d).lower() in _BAND_DIMENSIONS), array.dims[0])
        if array.ndim == 3:
            array = array.transpose(named, ...)
        codes = self._map(np.ma.asanyarray(array.values), gsd)
        first = array.isel({named: 0}, drop=True) if array.ndim == 3 else array
        return first.copy(data=codes)

    def _map(
        self, values: np.ma.MaskedArray[Any, Any] | NDArray[Any], gsd: float | None
    ) -> NDArray[Any]:
        if values.ndim == 2:
            values = values[None]
        bands = len(self.card.bands)
        if values.ndim != 3 or values.shape[0] != bands:
            names = ", ".join(b.name for b in self.card.bands)
            raise DataError(
                f"the array has shape {values.shape}, and the model takes ({bands}, rows, columns)",
                fix=f"Give the bands {names}, in this order, as the first dimension",
            )
        if values.dtype.kind not in "iuf" or not values.size:
            raise DataError(
                f"the array is of type {values.dtype} and shape {values.shape}",
                fix="Give real numbers, at least one pixel",
            )
        source = _InMemory(values)
        out = np.full(values.shape[1:], self.card.legend.nodata, self.card.legend.dtype)
        for window, indices in classify(source, self.engine.for_gsd(gsd)):
            out[window.slices] = self.card.legend.decode(indices)
        return out


def _engine_at(
    card: Card, path: str, views: Views, start: Callable[[Fraction], Runtime], zoom: Fraction
) -> Engine:
    """Return the engine that shows images to a network at a scale.

    Args:
        card: what is known of the network.
        path: of the model file.
        views: how it looks at images that are not scaled.
        start: starts the network for one scale of looks.
        zoom: the scale.
    """
    here, classes = views.at(zoom), len(card.legend.trained)
    return Engine(
        here.runtime(start, classes, card.temperature, card.heads == "per-class"),
        [b.fill for b in card.bands],
        here.stride(card.stride),
        here.halo(card.halo, card.stride),
        classes,
        card.temperature,
        card.heights,
        here.side(card.side, card.halo, card.stride),
        card.thresholds,
        path,
        here,
        card.mapped_gsd,
        partial(_engine_at, card, path, views, start),
    )


class _InMemory:
    """An array as a source of pixels."""

    def __init__(self, values: np.ma.MaskedArray[Any, Any] | NDArray[Any]) -> None:
        self.grid = GeoBox(values.shape[1], values.shape[2])
        self._values = np.ma.getdata(values)
        self._masked = np.ma.getmaskarray(values)

    def read(self, window: Window) -> Pixels:
        rows, cols = window.slices
        values = self._values[:, rows, cols]
        valid = np.logical_not(self._masked[:, rows, cols].any(axis=0))
        if values.dtype.kind == "f":
            valid = valid & np.isfinite(values).all(axis=0)
        return Pixels(values, valid)


def _read(path: Path) -> bytes:
    """Read the model file once, so that all that is said of it is of the same bytes."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise ModelError(
                "this is no file", file=path, fix="Give the file that `swath train` wrote"
            )
        if facts.st_size > MAX_BYTES:
            raise ModelError(
                "it is larger than 4 GiB", file=path, fix="Give a file that `swath train` wrote"
            )
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(
            "there is no such model file", file=path, fix="Check the path, or train it first"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the model file cannot be read ({error})", file=path, fix="Check the path"
        ) from error


def _unpack(data: bytes, path: PathLike) -> dict[str, bytes]:
    """Read the files of the zip, if they are those that we know and nothing else; contents are checked by the zip's sums."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            reason = _strange(archive.infolist(), len(data))
            if reason:
                raise ModelError(
                    f"it is not a Swath model: {reason}",
                    file=path,
                    fix="Give a file that `swath train` wrote",
                )
            return {entry.filename: archive.read(entry) for entry in archive.infolist()}
    except UNPACKING as error:
        raise ModelError(
            f"the model file is damaged or no model ({error})", file=path, fix=AGAIN
        ) from error


def _strange(entries: Sequence[zipfile.ZipInfo], size: int) -> str | None:
    """Say why a zip of so many bytes is not to be unpacked, None where nothing speaks against it."""
    names = [entry.filename for entry in entries]
    needed = {CARD, NETWORK, WEIGHTS}
    if other := sorted(set(names) - needed - {INT8}):
        return f"it holds {other[0][:80]!r}"
    if missing := sorted(needed - set(names)):
        return f"it holds no {missing[0]}"
    if len(set(names)) != len(names):
        return "it holds two files of one name"
    if any(entry.flag_bits & 1 for entry in entries):
        return "it is encrypted"
    if any(stat.S_ISLNK(entry.external_attr >> 16) for entry in entries):
        return "it holds a link"
    if any(
        entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries
    ):
        return "it is packed in another way than models are"  # whose unpacking has no bound
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > min(MAX_BYTES, MAX_RATIO * size):
        return f"{size} bytes unpack to {unpacked}"
    return (
        f"its card has more than {MAX_CARD} bytes"
        if next(e for e in entries if e.filename == CARD).file_size > MAX_CARD
        else None
    )


def _json(data: bytes, path: str) -> Any:
    try:
        return json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise damaged(error, path) from error


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")
