"""Palettes of masks: painted colors, and colors that only smoothing or compression made."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.checks.scan import LabelScan
from swath.legend import Kind, parse_rgb, unpack_rgb
from swath.types import Finding

MIN_PAINTED = 0.02  # share of one mask's labeled pixels from which a color was painted
COMPRESSED_WITHIN = 12.0  # distance in RGB below which colors are one that was compressed
NEAR_PAINTED = 60.0  # distance in RGB to a painted color, below which a rare one was not painted
NEAR_BLEND = 16.0  # distance in RGB to the line between two painted colors, if it was smoothed
BLACK = 0  # in masks of colors, black without a class means unlabeled
MIN_SHADE = 32  # of 255: grays as far from black and white are no codes beside them
MAX_FILE_BYTES = 1 << 20  # bytes of a file beside the data that are searched for colors


@dataclass(frozen=True)
class OffPalette:
    """The values of one mask that are not on the palette."""

    near: Counter[int]  # pixels by value, of values that smoothing or compression explains
    far: Counter[int]  # pixels by value, of all others
    nearest: Counter[int]  # pixels of `near` by the nearest value of the palette


def painted(scans: Iterable[LabelScan], kind: Kind) -> list[int]:
    """Return the values that were painted: common in a mask, and no shade of a more common one."""
    total: Counter[int] = Counter()
    for scan in scans:
        least = MIN_PAINTED * scan.codes.total()
        total.update({code: count for code, count in scan.codes.items() if count >= least})
    chosen: list[int] = []
    points = np.empty((0, 3))
    for code, _ in total.most_common():
        point = _points([code], kind)
        if np.all(np.linalg.norm(points - point, axis=1) >= COMPRESSED_WITHIN):
            chosen.append(code)
            points = np.concatenate([points, point])
    return chosen


def off_palette(codes: Counter[int], palette: Sequence[int], kind: Kind) -> OffPalette:
    """Return the values of a mask that are not on a palette, by whether they are near it."""
    known = set(palette)
    off = [code for code in codes if code not in known]
    if not off or not palette:
        return OffPalette(Counter(), Counter({code: codes[code] for code in off}), Counter())
    points, targets = _points(off, kind), _points(palette, kind)
    distance = np.linalg.norm(points[:, None] - targets[None], axis=2)
    explained = distance.min(axis=1) < NEAR_PAINTED
    explained |= _distance_to_lines(points, targets) < NEAR_BLEND
    near, far, nearest = Counter[int](), Counter[int](), Counter[int]()
    for code, is_near, best in zip(off, explained, distance.argmin(axis=1), strict=True):
        (near if is_near else far)[code] = codes[code]
        nearest[palette[best]] += codes[code] if is_near else 0
    return OffPalette(near, far, nearest)


def other_palette(codes: Counter[int], off: Counter[int], palette: Sequence[int]) -> dict[int, int]:
    """Return the color that a palette has in place of each color of a mask that is not on it.

    Args:
        codes: pixels of the mask by packed color.
        off: those that are not on the palette.
        palette: packed colors.

    Returns:
        By color of the mask. It is empty unless each has a near color of its own, which the mask
        lacks: smoothing and compression make several colors of one, and leave that.
    """
    if not off or not palette:
        return {}
    distance = np.linalg.norm(
        _points([*off], "color")[:, None] - _points(palette, "color")[None], axis=2
    )
    pairs = {code: palette[best] for code, best in zip(off, distance.argmin(axis=1), strict=True)}
    of_their_own = len(set(pairs.values())) == len(pairs) and not codes.keys() & pairs.values()
    return pairs if of_their_own and bool((distance.min(axis=1) < NEAR_PAINTED).all()) else {}


def are_gray_codes(scans: Sequence[LabelScan]) -> bool:
    """Return whether masks of colors hold codes, as gray in three equal bands.

    Black and white with few grays between them were smoothed, and are colors.
    """
    total = sum((scan.codes for scan in scans), Counter[int]())
    if not total or any(scan.lossy for scan in scans):
        return False
    if any(color != (color & 255) * 0x010101 for color in total):
        return False
    least = MIN_PAINTED * total.total()
    between = {code & 255: n for code, n in total.items() if 0 < code < 0xFFFFFF}
    ends_painted = min(total[BLACK], total[0xFFFFFF]) >= least
    shades = any(MIN_SHADE < value < 255 - MIN_SHADE for value in between)
    return not (ends_painted and shades and all(n < least for n in between.values()))


def as_codes(scan: LabelScan) -> LabelScan:
    """Return the scan of a mask of gray colors as that of codes."""
    return replace(scan, codes=Counter({color & 255: n for color, n in scan.codes.items()}))


def _points(codes: Sequence[int], kind: Kind) -> NDArray[np.float64]:
    """Return values as points (n, 3): colors in RGB, codes on the first axis."""
    values = np.asarray(codes, np.int64)
    if kind == "color":
        return parse_rgb(values).astype(float)
    return np.stack([values, 0 * values, 0 * values], 1).astype(float)


def _distance_to_lines(
    points: NDArray[np.float64], ends: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return each point's distance to the nearest line between two ends; infinite without one."""
    best = np.full(len(points), np.inf)
    for i, a in enumerate(ends):
        for b in ends[:i]:
            along = b - a
            at = np.clip((points - a) @ along / max(along @ along, 1e-9), 0, 1)
            best = np.minimum(best, np.linalg.norm(points - a - at[:, None] * along, axis=1))
    return best


def check_palettes(root: Path, held: set[int]) -> Iterator[Finding]:
    """Yield the files beside the data that name other colors than the masks hold."""
    if not held - {BLACK}:
        return
    for path in sorted(root.iterdir()):
        named = _colors_named(path)
        absent, extra = named - held, held - named - {BLACK}
        if len(named) > 1 and absent and extra:
            message = f"The file alone has {_listed(absent)}, the masks alone {_listed(extra)}."
            fix = "Find out which color is which class in a mask, and name the classes (--classes)."
            yield Finding("warning", "palette-disagrees", str(path), message, fix)


def _listed(colors: set[int]) -> str:
    shown = ", ".join(unpack_rgb(c) for c in sorted(colors)[:8])
    return shown + (f" and {len(colors) - 8} more" if len(colors) > 8 else "")


def _colors_named(path: Path) -> set[int]:
    """Return the colors in a text file: #RRGGBB, lists of three in JSON, columns r, g, b in CSV."""
    suffix = path.suffix.lower()
    if suffix not in (".json", ".csv", ".txt", ".yaml", ".yml"):
        return set()
    try:
        text = path.read_text(encoding="utf-8")[:MAX_FILE_BYTES]
        found = {int(match, 16) for match in re.findall(r"#([0-9A-Fa-f]{6})\b", text)}
        if suffix == ".json":
            found |= set(_triples(json.loads(text)))
        elif suffix == ".csv":
            found |= set(_rgb_columns(text))
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return found


def _rgb_columns(text: str) -> Iterator[int]:
    for row in csv.DictReader(text.splitlines()):
        values = {str(key).strip().lower(): value for key, value in row.items()}
        yield _packed([int(values[c]) for c in "rgb"])


def _triples(content: Any) -> Iterator[int]:
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        if len(content) == 3 and all(type(v) is int and 0 <= v <= 255 for v in content):
            yield _packed(content)
        for part in content:
            yield from _triples(part)


def _packed(rgb: Sequence[int]) -> int:
    return rgb[0] << 16 | rgb[1] << 8 | rgb[2]
