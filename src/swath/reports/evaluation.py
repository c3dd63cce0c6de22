"""The report of a score: one page that says how good a map is, where it is wrong, and what it was made from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.data.dataset import FINDINGS, Dataset
from swath.evaluation.reference import DatasetReference, LabeledArea, Reference
from swath.evaluation.scoring import Predictor
from swath.geo.tiling import Pixels
from swath.io.render import colorize, data_url, decimation, to_rgb
from swath.legend import IGNORE
from swath.models.card import Card
from swath.reports.html import points, write_page
from swath.reports.split_map import draw_split
from swath.types import PathLike

LONGEST = 420
"""Longest side of a picture, in pixels."""


@dataclass(frozen=True)
class Origin:
    """Where a score comes from: the command that made it, and the model's card, None for a map file."""

    command: str
    card: Card | None


def write_report(
    folder: PathLike,
    reference: Reference,
    mapper: Predictor,
    scores: dict[str, Any],
    origin: Origin,
) -> Path:
    """Write the page of `swath evaluate`.

    Args:
        folder: for `index.html`.
        reference: what was scored against.
        mapper: what was scored.
        scores: what `swath evaluate` returns, as JSON object.
        origin: where they come from.

    Raises:
        JobError: the page cannot be written.
    """
    dataset = reference.dataset if isinstance(reference, DatasetReference) else None
    curve = origin.card.training.curve if origin.card else []
    return write_page(
        folder,
        "report.html",
        card=origin.card,
        command=origin.command,
        legend=reference.legend,
        scores=scores,
        shares=_row_shares(scores["confusion"]),
        rows=[
            {"title": title, "group": place.group, "pictures": _pictures(reference, mapper, place)}
            for title, place in _choose(reference.areas, scores["per_image"])
        ],
        curve=_curve(curve),
        reliability=_reliability(scores["reliability"]),
        split=draw_split(dataset) if dataset else None,
        findings=_findings(dataset) if dataset else None,
    )


def write_comparison(
    folder: PathLike, reference: Reference, mappers: Sequence[Predictor], scores: dict[str, Any]
) -> Path:
    """Write the page of `swath compare`.

    Args:
        folder: for `index.html`.
        reference: what both were scored against.
        mappers: the two.
        scores: what `swath compare` returns, as JSON object.

    Raises:
        JobError: the page cannot be written.
    """
    of = {place.name: place for place in reference.areas}
    shown = [image for image in scores["images"][:6] if image["differ"]]
    rows = [
        {"image": image, "pictures": _both(reference, mappers, of[image["name"]])}
        for image in shown
    ]
    return write_page(folder, "compare.html", scores=scores, rows=rows, legend=reference.legend)


def _choose(
    places: Sequence[LabeledArea], per_image: Sequence[dict[str, Any]]
) -> list[tuple[str, LabeledArea]]:
    """Pick up to three of the worst images, one in the middle and two of the best."""
    of = {place.name: place for place in places}
    scored = [row for row in per_image if row["miou"] is not None]
    picks = {0: "worst", 1: "second worst", 2: "third worst", len(scored) // 2: "middle"}
    picks |= {len(scored) - 2: "second best", len(scored) - 1: "best"}
    return [
        (f"{title}: {scored[i]['name']}, mIoU {scored[i]['miou']:.3f}", of[scored[i]["name"]])
        for i, title in sorted(picks.items())
        if 0 <= i < len(scored)
    ]


def _pictures(reference: Reference, mapper: Predictor, place: LabeledArea) -> list[tuple[str, str]]:
    """Draw image, truth, map, and where the map is wrong: captions and addresses."""
    small = _thinned(place)
    labels, mapped = reference.labels(place)[small], mapper.predict(reference, place).classes[small]
    wrong = (labels != IGNORE) & (labels != mapped)
    return [
        *_seen(reference, place, small),
        ("truth", data_url(colorize(labels, reference.legend))),
        ("map", data_url(colorize(mapped, reference.legend))),
        ("wrong, in red", data_url(_marked(labels, {"red": wrong}))),
    ]


def _both(
    reference: Reference, mappers: Sequence[Predictor], place: LabeledArea
) -> list[tuple[str, str]]:
    """Draw image, truth, both maps, and who is right where they differ."""
    small = _thinned(place)
    labels = reference.labels(place)[small]
    a, b = (mapper.predict(reference, place).classes[small] for mapper in mappers)
    differ = (labels != IGNORE) & (a != b)
    marks = {
        "orange": differ & (a == labels),
        "blue": differ & (b == labels),
        "gray": differ & (a != labels) & (b != labels),
    }
    return [
        *_seen(reference, place, small),
        ("truth", data_url(colorize(labels, reference.legend))),
        ("A", data_url(colorize(a, reference.legend))),
        ("B", data_url(colorize(b, reference.legend))),
        ("only A right (orange), only B (blue), neither (gray)", data_url(_marked(labels, marks))),
    ]


_INKS = {
    "red": (200, 30, 45),
    "orange": (225, 120, 20),
    "blue": (30, 95, 190),
    "gray": (120, 125, 130),
}


def _marked(labels: NDArray[np.uint8], marks: dict[str, NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """Return labeled ground in pale gray with marks on it, (rows, columns, 3)."""
    out = np.full((*labels.shape, 3), 255, np.uint8)
    out[labels != IGNORE] = (224, 228, 232)
    for ink, where in marks.items():
        out[where] = _INKS[ink]
    return out


def _thinned(place: LabeledArea) -> tuple[slice, slice]:
    step = decimation(place.window.height, place.window.width, LONGEST)
    return np.s_[::step, ::step]


def _seen(
    reference: Reference, place: LabeledArea, small: tuple[slice, slice]
) -> list[tuple[str, str]]:
    image = reference.image(place)
    if image is None or not isinstance(reference, DatasetReference):
        return []
    values, valid = image.read_stored(place.window)
    names = reference.dataset.manifest.stored_bands
    return [("image", data_url(to_rgb(Pixels(values[(slice(None), *small)], valid[small]), names)))]


def _row_shares(confusion: Sequence[Sequence[int]]) -> list[list[float]]:
    """Return each row of a confusion matrix as shares of the truth, 0..1."""
    return [[count / max(1, sum(row)) for count in row] for row in confusion]


def _curve(rows: Sequence[tuple[int, float, float, float | None]]) -> dict[str, Any]:
    """Return the training curve as coordinates of a 600 x 200 drawing."""
    if not rows:
        return {"loss": "", "miou": [], "steps": 0, "top": 0.0, "minutes": 0.0}
    steps, top = rows[-1][0], max(row[2] for row in rows) or 1.0
    return {
        "loss": points([(row[0] / steps, row[2] / top) for row in rows], 600, 200),
        "miou": [
            (round(600 * row[0] / steps, 1), round(200 - 200 * row[3], 1), row[3])
            for row in rows
            if row[3] is not None
        ],
        "steps": steps,
        "top": top,
        "minutes": rows[-1][1] / 60,
    }


def _reliability(scores: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the reliability plot as coordinates of a 260 x 260 drawing."""
    if scores is None:
        return None
    lines = {
        name: points([(c, r) for c, r, _ in scores[name]], 260, 260)
        for name in ("bins", "bins_before")
    }
    bars = [
        (round(260 * c, 1), round(60 * share, 1), c, r, share) for c, r, share in scores["bins"]
    ]
    return lines | {"bars": bars}


def _findings(dataset: Dataset) -> list[dict[str, str]] | None:
    """Return what the doctor found when the dataset was prepared; None for a dataset that an older Swath made."""
    path = dataset.folder / FINDINGS
    if not path.is_file():
        return None
    found: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return found
