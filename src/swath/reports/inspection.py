"""The page of findings on a source folder, with small pictures of the samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from swath.checks import SampleScan, Survey
from swath.data.layouts.catalog import SourceSample
from swath.errors import SwathError
from swath.geo.tiling import Pixels, Window
from swath.io.render import colorize, data_url, decimation, to_rgb
from swath.legend import Legend
from swath.reports.html import write_page
from swath.types import Finding, PathLike

FINDING_SIDE = 180
"""Longest side of a picture, in pixels."""

MAX_PICTURED = 60
"""Findings that get pictures."""


def write_findings(folder: PathLike, found: Survey, result: dict[str, Any]) -> Path:
    """Write the page of `swath inspect`.

    Args:
        folder: for `index.html`.
        found: the survey.
        result: what `swath inspect` returns, as JSON object.

    Raises:
        JobError: the page cannot be written.
    """
    samples = {s.name: s for s in found.catalog.samples}
    listed = []
    for number, finding in enumerate(found.findings):
        sample = samples.get(finding.sample or "")
        shown = _pictures(sample, found.legend) if sample and number < MAX_PICTURED else []
        listed.append(finding.as_json() | {"pictures": shown})
    classes = _classes(found.legend, result["classes"])
    return write_page(
        folder,
        "inspect.html",
        source=str(found.catalog.root),
        result=result,
        counts=_levels(found.findings),
        classes=classes,
        groups=_groups(found) if found.legend else [],
        findings=listed,
    )


def _levels(findings: Sequence[Finding]) -> dict[str, int]:
    counts = Counter(f.level for f in findings)
    return {"error": counts["error"], "warning": counts["warning"], "note": counts["note"]}


def _classes(legend: Legend | None, counted: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    total = max(1, sum(c["pixels"] for c in counted))
    colors = [c.color for c in legend.classes] if legend else []
    return [
        c | {"share": c["pixels"] / total, "color": color}
        for c, color in zip(counted, colors, strict=True)
    ]


def _groups(found: Survey) -> list[dict[str, Any]]:
    """Return each group with its images and the shares of the classes in its labels."""
    assert found.legend is not None  # noqa: S101 - asked by the caller
    by_group: dict[str, list[SampleScan]] = {}
    for sample in found.catalog.samples:
        if sample.group is not None:
            facts = by_group.setdefault(sample.group, [])
            facts += [found.scans[sample.name]] if sample.name in found.scans else []
    out = []
    for name, facts in sorted(by_group.items()):
        codes = sum((fact.labels.codes for fact in facts), Counter[int]())
        counts = [sum(codes[code] for code in c.codes) for c in found.legend.classes]
        pixels = np.array(counts, float)
        shares = (pixels / max(1.0, pixels.sum())).tolist()
        out.append({"name": name, "images": len(facts), "shares": shares})
    return out


def _pictures(sample: SourceSample, legend: Legend | None) -> list[tuple[str, str]]:
    """Draw an image and its labels, unless they cannot be read."""
    out = []
    try:
        with sample.open_image() as raster:
            step = decimation(raster.grid.height, raster.grid.width, FINDING_SIDE)
            # Large rasters show their corner, to save memory.
            window = Window(0, 0, 8192, 8192).within(raster.grid.window)
            values, valid = raster.read(window)
            small = Pixels(values[:, ::step, ::step], valid[::step, ::step])
            out.append(("image", data_url(to_rgb(small, list(raster.bands)))))
            if legend is not None and sample.labels is not None:
                with closing(sample.open_labels(raster.grid, legend)) as labels:
                    codes = labels.read(window, legend.kind)[::step, ::step]
                out.append(("labels", data_url(colorize(legend.encode(codes), legend))))
    except SwathError:
        pass  # the finding itself reports it
    return out
