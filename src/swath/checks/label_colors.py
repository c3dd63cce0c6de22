"""The colors that masks are meant to hold, and those that only smoothing or lossy compression made."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.checks.scan import LabelFacts
from swath.legend import Kind, parse_rgb, unpack_rgb
from swath.types import Finding

MAIN = 0.02
"""Share of one mask's labeled pixels that makes a color one that was painted."""

SAME = 12.0
"""Colors that lie closer together than this, in RGB, are one color that was compressed."""

NEAR = 60.0
"""A rare color that lies closer than this to a painted one is not painted itself."""

BLEND = 16.0
"""Nor is one that lies closer than this to the line between two painted ones: it was smoothed."""

BLACK = 0
"""In masks of colors, black that no class has means that nobody painted there."""


@dataclass(frozen=True)
class OffPalette:
    """The values of one mask that are not on the palette.

    Attributes:
        near: number of pixels by value, of values that smoothing or compression explains.
        far: the same of all other values.
        nearest: pixels of `near` by the value of the palette that is nearest.
    """

    near: Counter[int]
    far: Counter[int]
    nearest: Counter[int]


def painted(facts: Iterable[LabelFacts], kind: Kind) -> list[int]:
    """Return the values that somebody painted: common in one mask at least, and not the shade of a more common one."""
    total: Counter[int] = Counter()
    for fact in facts:
        everything = fact.codes.total()
        total.update(
            {code: count for code, count in fact.codes.items() if count >= MAIN * everything}
        )
    chosen: list[int] = []
    points = np.empty((0, 3))
    for code, _ in total.most_common():
        point = _points([code], kind)
        if not len(points) or np.linalg.norm(points - point, axis=1).min() >= SAME:
            chosen.append(code)
            points = np.concatenate([points, point])
    return chosen


def off_palette(codes: Counter[int], palette: Sequence[int], kind: Kind) -> OffPalette:
    """Sort the values of a mask that are not on a palette into those near it and all others."""
    known = set(palette)
    off = [code for code in codes if code not in known]
    if not off or not palette:
        return OffPalette(Counter(), Counter({code: codes[code] for code in off}), Counter())
    points, targets = _points(off, kind), _points(palette, kind)
    distance = np.linalg.norm(points[:, None] - targets[None], axis=2)
    explained = (distance.min(axis=1) < NEAR) | (_to_lines(points, targets) < BLEND)
    near, far, nearest = Counter[int](), Counter[int](), Counter[int]()
    for code, ok, best in zip(off, explained, distance.argmin(axis=1), strict=True):
        (near if ok else far)[code] = codes[code]
        nearest[palette[best]] += codes[code] if ok else 0
    return OffPalette(near, far, nearest)


def _points(codes: Sequence[int], kind: Kind) -> NDArray[np.float64]:
    """Return values as points (n, 3) of a space with distances."""
    values = np.asarray(codes, np.int64)
    return (
        parse_rgb(values).astype(float)
        if kind == "color"
        else np.stack([values, 0 * values, 0 * values], 1).astype(float)
    )


def _to_lines(points: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each point's distance to the nearest of all lines between two ends; infinite without two ends."""
    best = np.full(len(points), np.inf)
    for i, a in enumerate(ends):
        for b in ends[:i]:
            along = b - a
            at = np.clip((points - a) @ along / max(along @ along, 1e-9), 0, 1)
            best = np.minimum(best, np.linalg.norm(points - a - at[:, None] * along, axis=1))
    return best


def check_palettes(root: Path, held: set[int]) -> Iterator[Finding]:
    """Compare the colors that a file beside the data names with those that the masks hold."""
    for path in sorted(
        p for p in root.iterdir() if p.suffix.lower() in (".json", ".csv", ".txt", ".yaml", ".yml")
    ):
        named = _colors_named(path)
        if len(named) < 2 or not held - {BLACK}:
            continue
        absent, extra = named - held, held - named - {BLACK}
        if absent and extra:
            yield Finding(
                "warning",
                "palette-disagrees",
                str(path),
                f"It names {_listed(absent)}, which no mask holds; the masks hold {_listed(extra)}, which it does not name.",
                "Find out which color is which class by looking at a mask, and write it down for --classes.",
            )


def _listed(colors: set[int]) -> str:
    shown = ", ".join(unpack_rgb(c) for c in sorted(colors)[:8])
    return shown + (f" and {len(colors) - 8} more" if len(colors) > 8 else "")


def _colors_named(path: Path) -> set[int]:
    """Return all colors that a small text file names: #RRGGBB, a list of three numbers in JSON, or columns r, g, b."""
    try:
        text = path.read_text(encoding="utf-8")[: 1 << 20]
        found = {int(match, 16) for match in re.findall(r"#([0-9A-Fa-f]{6})\b", text)}
        if path.suffix.lower() == ".json":
            found |= set(_triples(json.loads(text)))
        elif path.suffix.lower() == ".csv":
            rows = [
                {str(k).strip().lower(): v for k, v in row.items()}
                for row in csv.DictReader(text.splitlines())
            ]
            found |= {_packed([int(row[c]) for c in "rgb"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return found


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
