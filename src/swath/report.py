"""The report: one self-contained page with scores, pictures and the model's card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from swath.classes import IGNORE
from swath.dataset import Dataset, Sample
from swath.errors import JobError
from swath.fleet import classify
from swath.model import Model
from swath.parts import whole_file
from swath.pictures import coloured, data_url, step_for, visible
from swath.raster import Pixels
from swath.types import PathLike

LONGEST = 420
"""Longest side of a picture, in pixels."""


def write_report(folder: PathLike, model: Model, dataset: Dataset, scores: dict[str, Any]) -> Path:
    """Write `index.html` into a folder.

    Args:
        folder: made if it is absent; an older page in it is replaced.
        model: the scored model.
        dataset: what it was scored on.
        scores: what `swath evaluate` returns, as JSON object.

    Returns:
        Path of the page.

    Raises:
        JobError: the page cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise JobError("this is a file, and a folder is to be written here", file=folder, fix="Give another --report")
    shown = _choose(dataset.manifest.of(scores["split"]), scores["per_image"])
    environment = jinja2.Environment(loader=jinja2.PackageLoader("swath"), autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["score"] = lambda value: "–" if value is None else f"{value:.3f}"
    page = environment.get_template("report.html").render(
        card=model.card,
        scores=scores,
        shares=_row_shares(scores["confusion"]),
        rows=[{"title": title, "sample": s, **_pictures(model, dataset, s)} for title, s in shown],
        curve=_curve(model.card.training.curve),
    )
    with whole_file(folder / "index.html") as partial:
        partial.write_text(page, encoding="utf-8")
    return folder / "index.html"


def _choose(samples: Sequence[Sample], per_image: Sequence[dict[str, Any]]) -> list[tuple[str, Sample]]:
    """Pick up to three of the worst images, one in the middle and two of the best."""
    of = {s.name: s for s in samples}
    scored = [row for row in per_image if row["miou"] is not None]
    picks = {0: "worst", 1: "second worst", 2: "third worst", len(scored) // 2: "middle"}
    picks |= {len(scored) - 2: "second best", len(scored) - 1: "best"}
    return [
        (f"{title}: {scored[i]['name']}, mIoU {scored[i]['miou']:.3f}", of[scored[i]["name"]])
        for i, title in sorted(picks.items())
        if 0 <= i < len(scored)
    ]


def _pictures(model: Model, dataset: Dataset, sample: Sample) -> dict[str, str]:
    """Draw image, truth, map, and where the map is wrong."""
    image = dataset.images[sample.image]
    window, legend = sample.window, model.card.legend
    mapped = np.full((window.height, window.width), IGNORE, np.uint8)
    for part, indices in classify(image, model.engine, window):
        mapped[part.relative_to(window).slices] = indices
    truth = image.read_labels(window)
    step = step_for(window.height, window.width, LONGEST)
    small = np.s_[::step, ::step]
    values, valid = image.read(window)
    seen = visible(Pixels(values[(slice(None), *small)], valid[small]), [b.name for b in dataset.manifest.bands])
    labelled = truth[small] != IGNORE
    wrong = np.full((*labelled.shape, 3), 255, np.uint8)
    wrong[labelled] = (224, 228, 232)
    wrong[labelled & (truth[small] != mapped[small])] = (200, 30, 45)
    return {
        "image": data_url(seen),
        "truth": data_url(coloured(truth[small], legend)),
        "mapped": data_url(coloured(mapped[small], legend)),
        "wrong": data_url(wrong),
    }


def _row_shares(confusion: Sequence[Sequence[int]]) -> list[list[float]]:
    """Return each row of a confusion matrix as shares of the truth, 0..1."""
    return [[count / max(1, sum(row)) for count in row] for row in confusion]


def _curve(points: Sequence[tuple[int, float, float, float | None]]) -> dict[str, Any]:
    """Return the training curve as coordinates of a 600 x 200 drawing."""
    if not points:
        return {"loss": "", "miou": [], "steps": 0, "top": 0.0, "minutes": 0.0}
    steps, top = points[-1][0], max(p[2] for p in points)
    xs = [round(600 * p[0] / steps, 1) for p in points]
    return {
        "loss": " ".join(f"{x},{200 - 200 * p[2] / top:.1f}" for x, p in zip(xs, points, strict=True)),
        "miou": [(x, round(200 - 200 * p[3], 1), p[3]) for x, p in zip(xs, points, strict=True) if p[3] is not None],
        "steps": steps,
        "top": top,
        "minutes": points[-1][1] / 60,
    }
