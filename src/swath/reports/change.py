"""The page of `swath change`: what became what in hectares, as a table and a flow, and places."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import DataError
from swath.geo.geobox import GeoBox
from swath.io.map_reader import MapFile
from swath.io.raster import Raster
from swath.io.render import data_url, decimation, to_rgb_alike
from swath.legend import rgb
from swath.mapping.change.places import ChangedPlace, find_places
from swath.reports.html import write_page
from swath.transitions import Transitions
from swath.types import PathLike

PICTURE_SIDE = 420
"""Longest side of a picture of a place, in pixels."""

OVERVIEW_SIDE = 1000
"""Longest side of the picture of the whole map."""

AROUND = 24
"""Pixels that are shown around a place, at least."""

LEAST_PIXELS = 9
"""Pixels of the smallest place of those that are the surest and the least sure."""

SHOWN = 3
"""Places of each kind."""

WIDTH, HEIGHT, BAR, GAP = 600.0, 320.0, 18.0, 6.0
"""Of the drawing of flows, its bars, and the space between them."""


@dataclass(frozen=True)
class FlowBand:
    """One change in the drawing of flows: an SVG path, its color, and what is shown of it."""

    path: str
    color: str
    title: str


@dataclass(frozen=True)
class FlowBar:
    """All that left a class (left side) or came to it (right side)."""

    x: float
    y: float
    height: float
    color: str
    name: str
    text: str


def write_change_report(
    folder: PathLike,
    change: Path,
    result: dict[str, Any],
    command: str,
    images: Sequence[PathLike] = (),
    pixel: float | None = None,
) -> Path:
    """Write the page.

    Args:
        folder: for `index.html`.
        change: the map of change.
        result: of `swath change`, as JSON object.
        command: that made it.
        images: of the old and the new date, where there are such.
        pixel: side of a pixel in meters, for maps without CRS.

    Raises:
        JobError: the page cannot be written.
        DataError: the map is damaged.
    """
    with MapFile(change) as source, ExitStack() as stack:
        transitions = source.transitions
        assert transitions is not None  # noqa: S101 - the map was just written
        places = find_places(change, transitions, pixel)
        opened = _open_images(images, source.grid, stack)
        groups = [
            (title, [_describe(place, source, transitions, opened) for place in some])
            for title, some in _choose(places)
        ]
        overview = data_url(_overview(source, transitions))
    rows = result["transitions"]
    codes = [row["code"] for row in rows if row["old"] != row["new"]]
    unit = "pixels" if result["hectares"] is None else "hectares"
    bars, bands = draw_flow(rows, transitions, unit)
    return write_page(
        folder,
        "change.html",
        command=command,
        result=result,
        unit=unit,
        matrix=matrix_of(rows, result["classes"], unit),
        classes=transitions.classes,
        legend=transitions.legend(codes) if codes else None,
        bars=bars,
        bands=bands,
        size=(WIDTH, HEIGHT),
        bar=BAR,
        dates=_date_bars(result["dates"], unit),
        overview=overview,
        groups=groups,
    )


def matrix_of(
    rows: Sequence[dict[str, Any]], names: Sequence[str], unit: str
) -> list[list[float | None]]:
    """Return areas by old (rows) and new class, with sums at the ends; None where nothing is."""
    places = {name: i for i, name in enumerate(names)}
    out: NDArray[np.float64] = np.zeros((len(names) + 1, len(names) + 1))
    for row in rows:
        out[places[row["old"]], places[row["new"]]] = row[unit]
    out[-1] = out.sum(axis=0)
    out[:, -1] = out.sum(axis=1)
    return [[float(value) if value else None for value in line] for line in out]


def draw_flow(
    rows: Sequence[dict[str, Any]], transitions: Transitions, unit: str
) -> tuple[list[FlowBar], list[FlowBand]]:
    """Draw changes as bands from the old classes on the left to the new ones on the right.

    Heights are in proportion to areas; what did not change is left out.
    """
    index = {c.name: i for i, c in enumerate(transitions.classes)}
    sizes = np.zeros((len(index), len(index)))
    for row in rows:
        if row["old"] != row["new"]:
            sizes[index[row["old"]], index[row["new"]]] = row[unit]
    total = sizes.sum()
    if not total:
        return [], []
    tops, bars = [], []
    for side, sums in enumerate((sizes.sum(axis=1), sizes.sum(axis=0))):
        gaps = GAP * (np.count_nonzero(sums) - 1)
        heights = sums / total * (HEIGHT - gaps)
        at, top = 0.0, np.zeros(len(sums))
        for i in np.flatnonzero(sums):
            one = transitions.classes[i]
            text = f"{sums[i]:,.1f} ha" if unit == "hectares" else f"{sums[i]:,.0f} px"
            bars.append(FlowBar(side * (WIDTH - BAR), at, heights[i], one.color, one.name, text))
            top[i] = at
            at += heights[i] + GAP
        tops.append((top, heights / np.maximum(sums, 1e-30)))
    (left, left_scale), (right, right_scale) = tops
    bands, middle = [], WIDTH / 2
    for i, j in zip(*np.nonzero(sizes), strict=True):
        one, other = sizes[i, j] * left_scale[i], sizes[i, j] * right_scale[j]
        a, b = left[i], right[j]
        path = (
            f"M{BAR} {a:.1f} C{middle} {a:.1f} {middle} {b:.1f} {WIDTH - BAR} {b:.1f} "
            f"V{b + other:.1f} C{middle} {b + other:.1f} {middle} {a + one:.1f} {BAR} "
            f"{a + one:.1f} Z"
        )
        left[i], right[j] = a + one, b + other
        title = f"{transitions.name(i, j)}: {sizes[i, j]:,.1f} {unit}"
        bands.append(FlowBand(path, transitions.classes[j].color, title))
    return bars, bands


def _date_bars(dates: Sequence[dict[str, Any]], unit: str) -> list[dict[str, Any]]:
    """Return what changed at each date of a series but the first, with its share of the largest."""
    key = "changed" if unit == "pixels" else "hectares"
    values = [float(row[key]) for row in dates[1:]]
    most = max(values, default=0.0) or 1.0
    return [
        {"date": row["date"], "value": value, "share": value / most}
        for row, value in zip(dates[1:], values, strict=True)
    ]


def _choose(places: Sequence[ChangedPlace]) -> list[tuple[str, list[ChangedPlace]]]:
    """Return the surest and the least sure places; without percents, the largest."""
    rated = [p for p in places if p.confidence is not None and p.pixels >= LEAST_PIXELS]
    if not rated:
        return [("Largest changes", list(places[:SHOWN]))] if places else []
    rated.sort(key=lambda place: -(place.confidence or 0))
    groups = [("Surest changes", rated[:SHOWN])]
    rest = rated[SHOWN:][-SHOWN:]
    return groups + ([("Least sure changes", rest[::-1])] if rest else [])


def _describe(
    place: ChangedPlace, source: MapFile, transitions: Transitions, images: Sequence[Raster]
) -> dict[str, Any]:
    """Return caption and pictures of a place: images, both dates, and the change."""
    margin = max(AROUND, max(place.window.height, place.window.width) // 2)
    window = place.window.grow(margin).within(source.grid.window)
    step = decimation(window.height, window.width, PICTURE_SIDE)
    shape = -(-window.height // step), -(-window.width // step)
    codes = source.codes(window, shape)
    read = [(image.read(window, shape), list(image.bands)) for image in images]
    names = ("old image", "new image")
    pictures = [(n, data_url(one)) for n, one in zip(names, to_rgb_alike(read), strict=False)]
    for date, name in enumerate(("old", "new")):
        pictures.append((name, data_url(_paint(codes, _colors(transitions, date)))))
    pictures.append(("change", data_url(_paint(codes, _colors(transitions, None)))))
    old, new = transitions.split(place.code)
    size = f"{place.pixels:,} px" if place.hectares is None else f"{place.hectares:,.2f} ha"
    sure = "" if place.confidence is None else f", probability of change {place.confidence:.0f}%"
    caption = f"{transitions.name(old, new)}: {size}{sure}; column {place.col}, row {place.row}"
    return {"caption": caption, "pictures": pictures}


def _overview(source: MapFile, transitions: Transitions) -> NDArray[np.uint8]:
    step = decimation(source.grid.height, source.grid.width, OVERVIEW_SIDE)
    shape = max(1, source.grid.height // step), max(1, source.grid.width // step)
    return _paint(source.codes(source.grid.window, shape), _colors(transitions, None))


def _colors(transitions: Transitions, date: int | None) -> NDArray[np.uint8]:
    """Return colors by code: of the transition, or of the class at a date."""
    table: NDArray[np.uint8] = np.full((int(transitions.table.max()) + 1, 3), 255, np.uint8)
    for old, line in enumerate(transitions.table.tolist()):
        for new, code in enumerate(line):
            own = transitions.classes[(old, new)[date or 0]].color
            table[code] = rgb(transitions.color(old, new) if date is None else own)
    return table


def _paint(codes: NDArray[np.int64], colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    known = (codes > 0) & (codes < len(colors))
    return colors[np.where(known, codes, 0)]


def _open_images(paths: Sequence[PathLike], grid: GeoBox, stack: ExitStack) -> list[Raster]:
    """Open the images of both dates, if both are single files on the grid of the maps."""
    opened = []
    for path in paths:
        try:
            image = Raster([path])
        except DataError:
            return []
        stack.callback(image.close)
        opened.append(image)
    return opened if all(image.grid.same_as(grid) for image in opened) else []
