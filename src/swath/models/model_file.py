"""The model file: `card.json`, `model.onnx` and `weights.safetensors` in one zip, without pickle.

It may also hold `model-int8.onnx`; imported networks have no `weights.safetensors`. Contents are
checked against the card before they are used.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from swath.errors import ModelError, SwathError, check_path
from swath.inference.runtimes import Precision
from swath.io.atomic import atomic_file
from swath.models.card import RETRY, Card, card_error
from swath.models.onnx_check import check_onnx
from swath.types import PathLike

CARD, NETWORK, WEIGHTS, INT8 = "card.json", "model.onnx", "weights.safetensors", "model-int8.onnx"
_GIVE_MODEL = "Give a file that `swath train` or `swath import` wrote"

MAX_BYTES = 4 * 2**30
"""Largest model file, and largest size that one may unpack to."""

MAX_RATIO = 100
"""Most times its own size that a model file may unpack to; weights hardly shrink."""

MAX_CARD_BYTES = 64 * 2**20

UNPACKING_ERRORS = (
    *(OSError, EOFError, ValueError, OverflowError, RuntimeError, NotImplementedError),
    *(struct.error, zlib.error, zipfile.BadZipFile),
)
"""What Python's zipfile raises at damaged files."""


def pack_model_file(
    path: PathLike, card: Card, network: bytes, weights: bytes | None, int8: bytes | None = None
) -> Card:
    """Write a model file, whole or not at all.

    Args:
        path: the file.
        card: its card; `files` is filled in here.
        network: ONNX, float32.
        weights: safetensors; None of imported networks.
        int8: the network with 8-bit weights and activations, ONNX.

    Returns:
        The card as written.

    Raises:
        JobError: the file cannot be written.
    """
    given = {NETWORK: network, WEIGHTS: weights, INT8: int8}
    files = {name: data for name, data in given.items() if data is not None}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    card = card.model_copy(update={"files": digests})
    text = json.dumps(card.to_stac(), indent=1, allow_nan=False).encode()
    with atomic_file(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, data in {CARD: text, **files}.items():
            # Its fixed date makes equal models equal files. Deflated, the file would be 7% smaller
            # and take 0.2 s longer to open.
            archive.writestr(zipfile.ZipInfo(name), data)
    return card


class ModelFile:
    """A model file, read once and checked.

    Args:
        path: the file.

    Attributes:
        path: the file, as text.
        digest: SHA-256 of the file.
        card: its card.

    Raises:
        ModelError: the file is damaged, too new, or no model.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = str(path)
        data = _read(Path(path))
        self.digest = hashlib.sha256(data).hexdigest()
        self._contents = _unpack(data, path)
        self.card = Card.from_stac(_parse_json(self._contents[CARD], self.path), self.path)
        self._check_contents()

    def _check_contents(self) -> None:
        """Check the digests of the files, and the networks, against the card."""
        files = {name: data for name, data in self._contents.items() if name != CARD}
        for name in sorted(files.keys() | self.card.files.keys()):
            if hashlib.sha256(files.get(name, b"")).hexdigest() != self.card.files.get(name):
                raise self._error(
                    "digest-mismatch", f"The model file has another {name} than its card"
                )
        if WEIGHTS not in files and self.card.imported is None:
            raise self._error("missing-entry", f"The model file holds no {WEIGHTS}", _GIVE_MODEL)
        for name in sorted(files.keys() & {NETWORK, INT8}):
            check_onnx(files[name], len(self.card.bands), self.card.channels, self.path)

    @property
    def weights(self) -> bytes | None:
        """The weights under the network's own names, safetensors; None of imported networks."""
        return self._contents.get(WEIGHTS)

    def network(self, precision: Precision = "float32") -> bytes:
        """Return the network as ONNX.

        Raises:
            ModelError: it is asked for in int8, and the file has no such network.
        """
        if precision != "int8":
            return self._contents[NETWORK]
        if INT8 not in self._contents:
            fix = "Make one with `swath quantize MODEL DATASET`, or choose another --precision"
            raise self._error("no-int8-network", "The model has no network in int8", fix)
        return self._contents[INT8]

    def in_torch(self) -> Any:
        """Return the network as a torch module, in evaluation mode, on the CPU.

        Raises:
            ModelError: the weights are not those of the network that the card describes, or it was
                imported.
        """
        if self.card.imported is not None:
            raise self.imported_error()
        from safetensors import SafetensorError

        # timm would fetch `hf-hub:...`, and read `local-dir:...`.
        if not re.fullmatch(r"[\w.-]+", self.card.encoder):
            fault = f"The encoder {self.card.encoder[:80]!r} is not a name in timm"
            raise self._error("unknown-encoder", fault)
        mismatch = RuntimeError, ValueError, TypeError, KeyError, SafetensorError, SwathError
        try:
            return self._build_in_torch()
        except mismatch as error:
            reason = " ".join(str(error).split())[:200].rstrip(".")
            fault = f"The weights are not those of the network ({reason})"
            raise self._error("weights-mismatch", fault) from error

    def imported_error(self) -> ModelError:
        """Return the error for an imported network that is to be trained or run in torch."""
        fault = "The network was imported from ONNX, so its weights are not in Swath's form"
        fix = "Train from a model that `swath train` wrote, or leave --from out"
        return self._error("imported-network", fault, fix)

    def _error(self, code: str, message: str, fix: str = RETRY) -> ModelError:
        return ModelError(message, code=code, file=self.path, fix=fix)

    def _build_in_torch(self) -> Any:
        from safetensors.torch import load

        from swath.models.network import Network, NetworkSpec

        card, weights = self.card, self.weights
        assert card.network is not None and weights is not None  # noqa: S101 - it is not imported
        scaling = tuple(b.mean for b in card.bands), tuple(b.std for b in card.bands)
        names, classes = (card.encoder, card.decoder), len(card.legend.trained)
        network = Network(NetworkSpec.of(*names, classes, scaling, card.network, card.heights))
        outer = {"encoder", "decoder", "head"}  # names of the first models
        state = {
            f"body.{name}" if name.split(".")[0] in outer else name: tensor
            for name, tensor in load(weights).items()
        }
        for name in ("gain", "offset"):
            state.setdefault(name, network.state_dict()[name])
        network.load_state_dict(state)
        return network.eval()


def _read(path: Path) -> bytes:
    """Read the model file once, so that digest and contents are of the same bytes."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise ModelError(
                "The model is not a file", code="not-a-file", file=path, fix=_GIVE_MODEL
            )
        if facts.st_size > MAX_BYTES:
            fault = f"The model file has {facts.st_size} bytes, more than {MAX_BYTES}"
            raise ModelError(fault, code="too-large", file=path, fix=_GIVE_MODEL)
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        code, fault, fix = "no-such-file", "There is no such model file", check_path(path)
    except (OSError, ValueError) as error:
        code, fault, fix = "file-access", f"The model file cannot be read ({error})", "Check access"
    raise ModelError(fault, code=code, file=path, fix=fix)


def _unpack(data: bytes, path: PathLike) -> dict[str, bytes]:
    """Read the files of the zip, if they are those of a model; the zip's sums check them."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_zip(archive.infolist(), len(data), path)
            return {entry.filename: archive.read(entry) for entry in archive.infolist()}
    except UNPACKING_ERRORS as error:
        fault = f"The model file is damaged or not a model ({error})"
        raise ModelError(fault, code="damaged-model", file=path, fix=RETRY) from error


def _check_zip(entries: Sequence[zipfile.ZipInfo], size: int, path: PathLike) -> None:
    """Refuse a zip of so many bytes that is not to be unpacked."""
    names = [entry.filename for entry in entries]
    needed = {CARD, NETWORK}
    unknown, missing = sorted({*names} - needed - {WEIGHTS, INT8}), sorted(needed - {*names})
    unpacked = sum(entry.file_size for entry in entries)
    card_bytes = sum(entry.file_size for entry in entries if entry.filename == CARD)
    # Other methods than these unpack without bound.
    methods = {entry.compress_type for entry in entries} - {
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
    }
    encrypted = any(entry.flag_bits & 1 for entry in entries)
    links = any(stat.S_ISLNK(entry.external_attr >> 16) for entry in entries)
    faults = (
        ("unknown-entry", unknown, f"holds {''.join(unknown[:1])[:80]!r}"),
        ("missing-entry", missing, f"holds no {''.join(missing[:1])}"),
        ("duplicate-entry", len({*names}) < len(names), "holds two files of one name"),
        ("encrypted-entry", encrypted, "is encrypted"),
        ("link-entry", links, "holds a link"),
        ("compression-method", methods, "is compressed by another method than models are"),
        (
            "unpacked-size",
            unpacked > min(MAX_BYTES, MAX_RATIO * size),
            f"has {size} bytes, which unpack to {unpacked}",
        ),
        ("card-size", card_bytes > MAX_CARD_BYTES, f"has a card of {card_bytes} bytes"),
    )
    for code, holds, fault in faults:
        if holds:
            raise ModelError(f"The model file {fault}", code=code, file=path, fix=_GIVE_MODEL)


def _parse_json(data: bytes, path: str) -> Any:
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise card_error(error, path) from error


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a finite number")
