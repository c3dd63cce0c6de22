"""What a quality layer is, by its name, the descriptions of its bands, and its values."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from swath.errors import DataError
from swath.io.quality.meanings import FMASK_FILL, UDM2_BANDS, is_qa_pixel, udm2_band
from swath.io.raster import descriptions, gdal_errors, open_raster
from swath.io.source_file import QualityFile, QualityKind
from swath.io.vector import is_vector_file
from swath.types import PathLike

KINDS: tuple[QualityKind, ...] = get_args(QualityKind)

MOST_PIXELS = 4096 * 4096
"""Pixels of a layer that are read to see what its values are; of larger ones, every nth."""

GRAY_BANDS = 3
"""Bands of a picture in gray, which are equal."""

_NAMES: tuple[tuple[QualityKind, str], ...] = (
    ("qa_pixel", r"(?<![a-z0-9])qa[ _-]?pixel(?![a-z0-9])"),
    ("qa_radsat", r"(?<![a-z0-9])qa[ _-]?radsat(?![a-z0-9])"),
    ("scl", r"(?<![a-z0-9])scl(?![a-z0-9])|scene[ _-]classification"),
    ("udm2", r"(?<![a-z0-9])udm[ _-]?2(?![0-9])"),
    ("udm1", r"(?<![a-z0-9])udm[ _-]?1?(?![a-z0-9])"),
    ("fmask", r"(?<![a-z0-9])fmask\d?(?![a-z0-9])"),
    (
        "cloud_probability",
        r"cldpr[bo]|cld[ _-]?pr(ob|b)|clouds?[ _-]?prob|prob\w*[ _-]?(of[ _-])?clouds?|s2cloudless"
        r"|(?<![a-z0-9])cld[ _-]?\d+m|(?<![a-z0-9])prob(ability)?(?![a-z0-9])",
    ),
)
"""Names of files and bands of each kind, in lower case."""

_OTHERS = re.compile(
    r"pixel[ _-]qa|(?<![a-z0-9])bqa(?![a-z0-9])|radsat[ _-]qa|snw[ _-]?prb|snow[ _-]?prob"
    r"|qa[ _-]aerosol|st[ _-]qa(?![a-z0-9])|cloud[ _-]qa|msk[ _-]classi|msk[ _-]qual"
)
"""Names of layers of other meanings, which look like those above."""

_CLEAR = re.compile(r"(?<![a-z0-9])(clear|valid|usable|good|cloud[ _-]?free)(?![a-z0-9])")
"""Names of rasters whose 1 is a pixel to keep."""

_HLS = re.compile(r"(?<![a-z0-9])hls(?![a-z0-9])|(?<![a-z0-9])hls[ls]30(?![a-z0-9])")


@dataclass(frozen=True)
class _Content:
    """What a raster holds, as far as it was read.

    Attributes:
        bands: bands but alpha.
        texts: description of each band, in lower case.
        values: distinct values of the band, sorted, without nodata and NaN.
        nodata: the declared value.
        equal: whether all bands hold the same.
    """

    bands: int
    texts: tuple[str, ...]
    values: NDArray[np.float64]
    nodata: float | None
    equal: bool

    @property
    def whole(self) -> bool:
        return bool((self.values == np.round(self.values)).all())

    @property
    def is_mask(self) -> bool:
        """Whether there is 0 and 1, or 0 and 255, or only one of these."""
        found = {*self.values.tolist()}
        return found <= {0.0, 1.0} or found <= {0.0, 255.0}


def named_kind(name: str) -> QualityKind | None:
    """Return the kind that the name of a file or band tells, None where it tells none."""
    lower = name.casefold()
    if _OTHERS.search(lower):
        return None
    return next((kind for kind, pattern in _NAMES if re.search(pattern, lower)), None)


def split_kind(given: str) -> tuple[QualityKind | None, str]:
    """Return the kind that a text such as `scl:FILE` tells, and the file."""
    kind, colon, path = given.partition(":")
    if colon and kind.casefold() in KINDS and path:
        return next(k for k in KINDS if k == kind.casefold()), path
    return None, given


def recognize(given: PathLike) -> QualityFile:
    """Find out what a quality layer is; `KIND:FILE` tells it.

    The name of the file decides, then the descriptions of its bands, then its values where they
    can be nothing else. Values that contradict the name are an error.

    Raises:
        DataError: the file cannot be read, or its kind is not evident.
    """
    kind, path = split_kind(str(given))
    if kind is not None:
        return QualityFile(path=path, kind=kind, index=1)
    if is_vector_file(Path(path)):
        return QualityFile(path=path, kind="polygons")
    stem = Path(path).stem.casefold()
    content = _read(path, 1)
    if _OTHERS.search(stem):
        raise _unknown(path, "is of a kind that is not read")
    described, index = _described(content)
    kind = named_kind(stem)
    if kind is None and described is not None:
        kind, content = described, _read(path, index)
    elif kind is None:
        return QualityFile(path=path, kind=_kind_of_values(path, stem, content))
    problem = _contradiction(kind, content, stem)
    if problem:
        raise _unknown(path, f"is {kind} by its name, and {problem}")
    return QualityFile(path=path, index=index if kind == described else 1, kind=kind)


def _kind_of_values(path: str, stem: str, content: _Content) -> QualityKind:
    """Return the kind that values tell.

    Raises:
        DataError: several kinds have such values, or 1 may mean clear.
    """
    kind = _evident(content)
    if kind is None:
        raise _unknown(path, f"holds {_listed(content)}, which may mean several things")
    if kind == "mask" and _CLEAR.search(f"{stem} {content.texts[0]}"):
        raise _unknown(path, "has 1 where pixels are clear by its name, and 1 would drop them")
    return kind


def _described(content: _Content) -> tuple[QualityKind | None, int]:
    """Return the kind that descriptions tell, and its band."""
    roles = [udm2_band(text) for text in content.texts]
    if content.bands > 2 and "clear" in roles and "cloud" in roles:
        return "udm2", roles.index("clear") + 1
    found = [(named_kind(text), i) for i, text in enumerate(content.texts, 1)]
    known = [(kind, i) for kind, i in found if kind is not None]
    return known[0] if len(known) == 1 else (None, 1)


def _evident(content: _Content) -> QualityKind | None:
    """Return the kind that values tell, None where several kinds have such."""
    values = content.values
    if content.bands == len(UDM2_BANDS):
        return "udm2"
    if not len(values) or (content.bands > 1 and not content.equal):
        return None
    if content.is_mask:
        return "mask"
    if content.whole and is_qa_pixel([int(v) for v in values]):
        return "qa_pixel"
    percent = values.min() >= 0 and values.max() <= 100
    if percent and (not content.whole or (values.max() > 11 and len(values) > 12)):
        return "cloud_probability"
    return None


def _contradiction(kind: QualityKind, content: _Content, stem: str) -> str | None:
    """Return what values of a layer say against its kind."""
    values = {*content.values.tolist()}
    if kind == "udm2":
        return None if content.bands >= 6 else f"it has {content.bands} band(s) instead of 8"
    if kind == "cloud_probability":
        return None if _is_percent(content, stem) else f"it holds {_listed(content)}"
    if not content.whole:
        return "its numbers are not whole"
    codes = {int(value) for value in values}
    wrong = {
        "qa_pixel": bool(codes - {0, 1}) and not is_qa_pixel(codes),
        "scl": bool(codes - {*range(12), 255}) or codes == {0, 1},
        "fmask": not _HLS.search(stem) and _is_classes(codes),
    }
    return f"it holds {_listed(content)}" if wrong.get(kind) else None


def _is_percent(content: _Content, stem: str) -> bool:
    """Return whether values may be a probability: whole ones are 0 to 100, and no mask."""
    values = content.values[content.values != 255] if content.whole else content.values
    if not len(values):
        return True
    if content.whole and content.is_mask and values.max() == 1:
        return "cldprb" in stem
    return bool(values.min() >= 0 and values.max() <= 100)


def _is_classes(values: set[int]) -> bool:
    """Return whether values are classes of Fmask programs: clear, water, shadow, snow, cloud."""
    known = values - {FMASK_FILL}
    if not known or max(known) > 5:
        return False
    return bool(known & {1, 3, 5}) or (4 in known and 2 not in known)


MASK_FAULTS = frozenset({"not-a-mask", "mask-nodata"})
"""Codes of `check_mask` on what a raster holds."""


def check_mask(path: PathLike) -> None:
    """Raise an error where the values of a `--mask` raster are evidently no mask.

    A mask holds 0 and one other value, besides what it declares as nodata.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    name = str(path)
    content = _read(name, 1)
    kind = named_kind(Path(name).stem) or _described(content)[0]
    bands = content.bands > 1 and not content.equal
    if not bands and (content.is_mask or (kind is None and _has_one_value(content))):
        if content.nodata != 1:
            return
        message = "The raster of --mask declares 1 as nodata, so that its marks are lost"
        fix = f"Unset it (`rio edit-info --unset-nodata {shlex.quote(name)}`)"
        raise DataError(message, code="mask-nodata", file=name, fix=fix)
    problem = f"has {content.bands} bands" if bands else f"holds {_listed(content)}"
    kind = kind or _evident(content)
    quoted = shlex.quote(name)
    said = f"Give it as --quality {kind}:{quoted}"
    if kind is None:
        said = f"Give it as --quality KIND:{quoted}, where KIND is one of {', '.join(KINDS)}"
    message = f"The raster of --mask {problem}, and a mask has 0 where pixels are kept and 1 else"
    raise DataError(message, code="not-a-mask", file=name, fix=said)


def _has_one_value(content: _Content) -> bool:
    """Return whether there is 0 and one whole number that has no other meaning."""
    marked = content.values[content.values != 0]
    if len(marked) != 1 or len(content.values) != 2 or not content.whole:
        return False
    return not is_qa_pixel([int(marked[0])])


def _unknown(path: str, problem: str) -> DataError:
    listed = ", ".join(KINDS)
    fix = f"Say what it is, such as --quality scl:{shlex.quote(path)} (one of {listed})"
    message = f"The quality layer {problem}"
    return DataError(message, code="quality-unknown", file=path, fix=fix)


def _listed(content: _Content) -> str:
    if not len(content.values):
        return "no values"
    shown = ", ".join(f"{value:g}" for value in content.values[:6])
    return f"the values {shown}{', ...' if len(content.values) > 6 else ''}"


def _read(path: str, index: int) -> _Content:
    with open_raster(path) as dataset, gdal_errors(path):
        data = [i for i in dataset.indexes if dataset.colorinterp[i - 1] != ColorInterp.alpha]
        texts = tuple((text or "").casefold() for text in descriptions(dataset))
        few = len(data) <= GRAY_BANDS and index in data
        rows = _read_some(dataset, data if few else [index])
        values = np.unique(rows[data.index(index) if few else 0])
        nodata = dataset.nodatavals[index - 1]
    values = values[np.isfinite(values)].astype(np.float64)
    values = values if nodata is None else values[values != nodata]
    return _Content(len(data), texts, values, nodata, few and bool((rows == rows[0]).all()))


def _read_some(dataset: rasterio.DatasetReader, indexes: list[int]) -> NDArray[np.generic]:
    """Read bands (bands, rows, columns), of large ones every nth row and column."""
    step = max(1, int(np.ceil(np.sqrt(dataset.height * dataset.width / MOST_PIXELS))))
    shape = (len(indexes), -(-dataset.height // step), -(-dataset.width // step))
    out: NDArray[np.generic] = dataset.read(indexes, out_shape=shape)
    return out
