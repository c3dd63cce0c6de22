"""The pages of `swath evaluate` and `swath compare`: scores, pictures, and the origin of a map."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.data.dataset import FINDINGS, Dataset
from swath.evaluation.reference import DatasetReference, LabeledArea, Reference
from swath.evaluation.scoring import Predictor
from swath.geo.tiling import Pixels
from swath.io.render import colorize, data_url, decimation, to_rgb
from swath.legend import IGNORE, Legend
from swath.models.card import Card
from swath.reports.html import points, write_page
from swath.reports.split_map import draw_split
from swath.types import PathLike

PICTURE_SIDE = 420
"""Longest side of a picture, in pixels."""


@dataclass(frozen=True)
class Origin:
    """The command that made a score, and the model's card; None for a map file."""

    command: str
    card: Card | None


def write_report(
    folder: PathLike,
    reference: Reference,
    predictor: Predictor,
    scores: dict[str, Any],
    origin: Origin,
) -> Path:
    """Write the page of `swath evaluate`.

    Args:
        folder: for `index.html`.
        reference: the labels.
        predictor: the model or map that was scored.
        scores: result of `swath evaluate`, as JSON object.
        origin: where the scores come from.

    Raises:
        JobError: the page cannot be written.
    """
    dataset = reference.dataset if isinstance(reference, DatasetReference) else None
    rows = [
        {"title": title, "group": area.group, "pictures": _pictures(reference, [predictor], area)}
        for title, area in _choose_areas(reference.areas, scores["per_image"])
    ]
    return _write_scores(folder, reference.legend, dataset, scores, origin, rows)


def write_fold_report(
    folder: PathLike, dataset: Dataset, scores: dict[str, Any], origin: Origin
) -> Path:
    """Write the page of a model whose only scores are those on labels held out in turn.

    Args:
        folder: for `index.html`.
        dataset: that the model was trained on.
        scores: result of `swath evaluate`, as JSON object.
        origin: where the scores come from.

    Raises:
        JobError: the page cannot be written.
    """
    return _write_scores(folder, dataset.manifest.legend, dataset, scores, origin, [])


def _write_scores(
    folder: PathLike,
    legend: Legend,
    dataset: Dataset | None,
    scores: dict[str, Any],
    origin: Origin,
    rows: Sequence[dict[str, Any]],
) -> Path:
    """Write a page of scores, with pictures of some images in `rows`."""
    training = origin.card.training if origin.card else None
    return write_page(
        folder,
        "report.html",
        card=origin.card,
        command=origin.command,
        legend=legend,
        scores=scores,
        shares=[[count / max(1, sum(row)) for count in row] for row in scores["confusion"]],
        rows=rows,
        curve=_training_curve(training.curve if training else []),
        reliability=_reliability(scores["reliability"]),
        split=draw_split(dataset) if dataset else None,
        findings=_findings(dataset) if dataset else None,
    )


def write_comparison(
    folder: PathLike, reference: Reference, predictors: Sequence[Predictor], scores: dict[str, Any]
) -> Path:
    """Write the page of `swath compare`.

    Args:
        folder: for `index.html`.
        reference: the labels.
        predictors: the two models or maps.
        scores: result of `swath compare`, as JSON object.

    Raises:
        JobError: the page cannot be written.
    """
    areas = {area.name: area for area in reference.areas}
    rows = [
        {"image": image, "pictures": _pictures(reference, predictors, areas[image["name"]])}
        for image in scores["images"][:6]
        if image["differ"]
    ]
    return write_page(folder, "compare.html", scores=scores, rows=rows, legend=reference.legend)


def _choose_areas(
    areas: Sequence[LabeledArea], per_image: Sequence[dict[str, Any]]
) -> list[tuple[str, LabeledArea]]:
    """Return up to three of the worst images, one in the middle and two of the best."""
    by_name = {area.name: area for area in areas}
    scored = [row for row in per_image if row["miou"] is not None]
    picks = {0: "worst", 1: "second worst", 2: "third worst", len(scored) // 2: "middle"}
    picks |= {len(scored) - 2: "second best", len(scored) - 1: "best"}
    chosen = [(title, scored[i]) for i, title in sorted(picks.items()) if 0 <= i < len(scored)]
    return [
        (f"{title}: {row['name']}, mIoU {row['miou']:.3f}", by_name[row["name"]])
        for title, row in chosen
    ]


def _pictures(
    reference: Reference, predictors: Sequence[Predictor], area: LabeledArea
) -> list[tuple[str, str]]:
    """Draw image, reference, maps, and errors or differences: captions and addresses."""
    step = decimation(area.window.height, area.window.width, PICTURE_SIDE)
    small = np.s_[::step, ::step]
    labels = reference.labels(area)[small]
    maps = [predictor.predict(reference, area).classes[small] for predictor in predictors]
    known, a, b = labels != IGNORE, maps[0], maps[-1]
    if len(maps) == 1:
        names, caption = ["map"], "wrong, in red"
        marks = {"red": known & (a != labels)}
    else:
        names, caption = ["A", "B"], "only A right (orange), only B (blue), neither (gray)"
        differ = known & (a != b)
        marks = {
            "orange": differ & (a == labels),
            "blue": differ & (b == labels),
            "gray": differ & (a != labels) & (b != labels),
        }
    drawn = zip(["reference", *names], [labels, *maps], strict=True)
    pictures = [(name, data_url(colorize(classes, reference.legend))) for name, classes in drawn]
    image = reference.image(area)
    if image is not None and isinstance(reference, DatasetReference):
        values, valid = image.read_stored(area.window)
        manifest = reference.dataset.manifest
        bands = manifest.stored_bands
        parts = bands_of_dates(manifest.images[area.image].sources, len(bands))
        for i, part in reversed(list(enumerate(parts, 1))):
            pixels = Pixels(values[(part, *small)], valid[small])
            name = "image" if len(parts) == 1 else f"image {i}"
            pictures.insert(0, (name, data_url(to_rgb(pixels, bands[part]))))
    return [*pictures, (caption, data_url(_mark(labels, marks)))]


def bands_of_dates(sources: Sequence[str], count: int) -> list[slice]:
    """Return the bands of each date of an image that is stacked from files, else of all of it.

    Dates are files of equally many bands, at least three, or folders with such files of one band.

    Args:
        sources: the files, in the order of their bands.
        count: bands of all files.
    """
    sizes = [count // len(sources)] * len(sources)
    if len(sources) == count:
        folders = [PurePath(path).parent for path in sources]
        sizes = [len(list(group)) for _, group in groupby(folders)]
    if len(sizes) < 2 or len(set(sizes)) > 1 or sizes[0] < 3 or sum(sizes) != count:
        return [slice(0, count)]
    return [slice(i * sizes[0], (i + 1) * sizes[0]) for i in range(len(sizes))]


_INKS = {
    "red": (200, 30, 45),
    "orange": (225, 120, 20),
    "blue": (30, 95, 190),
    "gray": (120, 125, 130),
}


def _mark(labels: NDArray[np.uint8], marks: dict[str, NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """Return marks on the labeled area in pale gray, (rows, columns, 3)."""
    out = np.full((*labels.shape, 3), 255, np.uint8)
    out[labels != IGNORE] = (224, 228, 232)
    for ink, where in marks.items():
        out[where] = _INKS[ink]
    return out


def _training_curve(rows: Sequence[tuple[int, float, float, float | None]]) -> dict[str, Any]:
    """Return the training curve as coordinates of a 600 x 200 drawing."""
    if not rows:
        return {"loss": "", "miou": [], "steps": 0, "top": 0.0, "minutes": 0.0}
    steps, top = rows[-1][0], max(row[2] for row in rows) or 1.0
    validated = [(step, miou) for step, _, _, miou in rows if miou is not None]
    return {
        "loss": points([(row[0] / steps, row[2] / top) for row in rows], 600, 200),
        "miou": [(round(600 * s / steps, 1), round(200 - 200 * m, 1), m) for s, m in validated],
        "steps": steps,
        "top": top,
        "minutes": rows[-1][1] / 60,
    }


def _reliability(scores: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the reliability plot as coordinates of a 260 x 260 drawing."""
    if scores is None:
        return None
    out: dict[str, Any] = {
        name: points([(c, r) for c, r, _ in scores[name]], 260, 260)
        for name in ("bins", "bins_before")
    }
    bars = [(round(260 * c, 1), round(60 * s, 1), c, r, s) for c, r, s in scores["bins"]]
    return out | {"bars": bars}


def _findings(dataset: Dataset) -> list[dict[str, str]] | None:
    """Return the findings of `swath prepare`; None for a dataset without them."""
    path = dataset.folder / FINDINGS
    if not path.is_file():
        return None
    found: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return found
