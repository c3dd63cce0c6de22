"""What the values of quality layers mean.

Sources:
    QA_PIXEL, QA_RADSAT: USGS, Landsat 8-9 Collection 2 Level 2 Science Product Guide (LSDS-1619)
        and Landsat 4-7 Collection 2 Level 2 Science Product Guide (LSDS-1618), sections on quality
        assessment bands; https://www.usgs.gov/landsat-missions/landsat-collection-2-quality-assessment-bands
    SCL: ESA, Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), table of the scene
        classification; class 2 is "dark area pixels" before baseline 04.00, "cast shadows" since.
    UDM2, UDM: Planet, https://docs.planet.com/data/imagery/udm/ and Planet Imagery Product
        Specification, usable and unusable data masks. In UDM2.1 band 4 has all haze.
    Fmask: NASA, HLS Product User Guide V2, table of the quality assessment layer.
    Cloud probability: ESA Sen2Cor (MSK_CLDPRB, percent) and s2cloudless.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from swath.io.source_file import QualityKind
from swath.types import QualityReason

REASONS: tuple[QualityReason, ...] = get_args(QualityReason)
"""All reasons; a pixel with several counts for the first of them."""

UNKNOWN = 255
"""Code of values that a kind does not have."""

_SCL: Mapping[int, QualityReason | None] = {
    0: "nodata",
    1: "saturated",
    2: "shadow",
    3: "shadow",
    4: None,  # vegetation
    5: None,  # not vegetated
    6: "water",
    7: None,  # unclassified
    8: "cloud",  # medium probability
    9: "cloud",  # high probability
    10: "cirrus",
    11: "snow",
}

_BITS: Mapping[QualityKind, Mapping[int, QualityReason]] = {
    # 1 is dilated cloud, 6 clear, 8 to 15 are confidences
    "qa_pixel": {
        0: "nodata",
        1: "cloud",
        2: "cirrus",
        3: "cloud",
        4: "shadow",
        5: "snow",
        7: "water",
    },
    # 0 to 8 are bands, 9 is a dropped pixel (Landsat 4 to 7), 11 occlusion by terrain
    "qa_radsat": dict.fromkeys(range(9), "saturated") | {9: "nodata", 11: "shadow"},  # type: ignore[dict-item]
    # 2 is adjacent to cloud or shadow, 6 and 7 are the level of aerosol
    "fmask": {0: "cirrus", 1: "cloud", 2: "cloud", 3: "shadow", 4: "snow", 5: "water"},
    # 2 to 7 are bands with missing or suspect data
    "udm1": {0: "nodata", 1: "cloud"} | dict.fromkeys(range(2, 8), "unusable"),  # type: ignore[dict-item]
}

_SIZES: Mapping[QualityKind, int] = {
    "qa_pixel": 1 << 16,
    "qa_radsat": 1 << 12,
    "fmask": 1 << 8,
    "udm1": 1 << 8,
    "scl": 12,
}
"""Number of values of each kind whose values are looked up."""

FMASK_FILL = 255

UDM2_BANDS = ("clear", "snow", "shadow", "haze", "haze", "cloud", "confidence", "unusable")
"""What the bands of a UDM2 tell, in their order."""

_UDM2_WORDS: Mapping[str, str] = {
    word: word for word in ("clear", "snow", "shadow", "cloud", "confidence", "unusable", "haze")
} | {"udm1": "unusable", "udm": "unusable"}


def udm2_band(description: str) -> str | None:
    """Return what a band of a UDM2 tells by its description, None where that is unknown."""
    words = description.casefold().replace("-", " ").replace("_", " ").split()
    for word in ("confidence", "unusable", "haze"):
        if word in words:
            return word
    return next((_UDM2_WORDS[word] for word in words if word in _UDM2_WORDS), None)


def code_of(reason: QualityReason) -> int:
    """Return the code of a reason in arrays: 1, 2, ... in the order of `REASONS`; 0 is none."""
    return REASONS.index(reason) + 1


@lru_cache(maxsize=64)
def value_table(kind: QualityKind, drop: frozenset[QualityReason]) -> NDArray[np.uint8]:
    """Return the code of the reason for which each value of a kind is dropped.

    Args:
        kind: one whose values are classes or bits.
        drop: reasons that count.

    Returns:
        Codes by value: 0 for none, `UNKNOWN` for values that the kind does not have.
    """
    size = _SIZES[kind]
    values = np.arange(size)
    table = np.full(1 << 16, UNKNOWN, np.uint8)
    table[:size] = 0
    for reason in reversed([r for r in REASONS if r in drop]):
        table[:size][_mean(kind, reason, values)] = code_of(reason)
    if kind in ("qa_pixel", "fmask") and "nodata" in drop:
        # Nothing is known of a pixel of QA_PIXEL whose confidences are all unset.
        table[0 if kind == "qa_pixel" else FMASK_FILL] = code_of("nodata")
    return table


def _mean(kind: QualityKind, reason: QualityReason, values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which values of a kind mean a reason."""
    if kind == "scl":
        return np.isin(values, [value for value, meaning in _SCL.items() if meaning == reason])
    out = np.zeros(len(values), bool)
    for bit, meaning in _BITS[kind].items():
        if meaning == reason:
            out |= (values >> bit) & 1 == 1
    if kind == "fmask" and reason == "haze":
        out |= values >> 6 == 3  # high aerosol
    return out


def is_qa_pixel(values: Collection[int]) -> bool:
    """Return whether values are evidently those of QA_PIXEL: confidences and flags agree.

    Fill is 1; else the confidences of cloud, shadow and snow are 1 to 3, that of cirrus is 0, 1 or
    3, and where a flag is set, its confidence is 3. Fill alone leaves it open.
    """
    known = np.array([v for v in values if v not in (0, 1)], np.int64)
    if not len(known) or known.min() < 0 or known.max() >= 1 << 16:
        return False
    cloud, shadow, snow, cirrus = ((known >> shift) & 3 for shift in (8, 10, 12, 14))
    fits = (cloud > 0) & (shadow > 0) & (snow > 0) & (cirrus != 2) & (known & 1 == 0)
    for flag, confidence in ((2, cirrus), (3, cloud), (4, shadow), (5, snow)):
        fits &= ((known >> flag) & 1 == 0) | (confidence == 3)
    return bool(fits.all())


def band_codes(
    bands: NDArray[np.uint8], roles: tuple[str, ...], drop: frozenset[QualityReason]
) -> NDArray[np.uint8]:
    """Return the codes (rows, columns) of the bands of a UDM2.

    A pixel that is not clear and of no other class is unusable.

    Args:
        bands: values (bands, rows, columns), 0 or 1 but in the last two.
        roles: what each band tells.
        drop: reasons that count.
    """
    marked: dict[str, NDArray[np.bool_]] = {}
    for band, role in zip(bands, roles, strict=True):
        marked[role] = marked.get(role, np.zeros(band.shape, bool)) | (band != 0)
    if "clear" in marked:
        known = [marked[r] for r in marked if r not in ("clear", "confidence", "unusable")]
        rest = ~np.any([marked["clear"], *known], axis=0)
        marked["unusable"] = marked.get("unusable", rest) | rest
    for band, role in zip(bands, roles, strict=True):
        if role == "unusable":
            marked["nodata"] = band & 1 == 1
    out = np.zeros(bands.shape[1:], np.uint8)
    for reason in reversed(REASONS):
        if reason in drop and reason in marked:
            out[marked[reason]] = code_of(reason)
    return out
