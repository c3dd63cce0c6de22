"""The tables of reports/accuracy.md, from what accuracy.py has found so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from accuracy_rows import GROUPS, PEERS, WITHOUT, YARDSTICK, Trial
from trials import REPORTS

from swath.metrics.confusion import Scores

MISSING = "not measured yet"

Row = dict[str, Any]
Find = Callable[[Trial, list[Row]], Row | None]


class Found:
    """The results, by what they are of.

    Args:
        rows: all of them.
        find: finds the result of a trial.
    """

    def __init__(self, rows: list[Row], find: Find) -> None:
        self._rows, self._find = rows, find

    def of(self, trial: Trial) -> Row | None:
        """Return the result of a trial."""
        return self._find(trial, self._rows)

    def all(self, trials: list[Trial]) -> list[Row]:
        """Return the results of those that are there."""
        return [row for row in map(self.of, trials) if row]


def tables(rows: list[Row], networks: dict[str, Any], find: Find) -> str:
    """Return all tables as Markdown."""
    found = Found(rows, find)
    parts = [
        _tiles(found),
        _fixed(found),
        _peers(found),
        _world(found),
        _front(found, networks),
        _against_first(
            found,
            "ablation",
            "Ablation",
            "Each ingredient of the default recipe taken away",
        ),
        _tries(found),
        _against_first(
            found,
            "world-tries",
            "Tries on the world",
            "The same on ten training blocks of the world, held out",
        ),
        _against_first(found, "unlabeled", "Images without labels", "One tile of three has labels"),
    ]
    if (REPORTS / "accuracy.png").exists():
        parts.insert(
            2,
            "![The best and the worst test images, their reference labels and their maps]"
            "(accuracy.png)",
        )
    return "\n\n".join(parts) + "\n"


def _table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])


def _score(value: float | None, bold: bool = False) -> str:
    if value is None:
        return ""
    return f"**{value:.3f}**" if bold else f"{value:.3f}"


def _ious(rows: list[Row], names: list[str]) -> list[str]:
    known = [[r["iou"][name] for r in rows if r["iou"][name] is not None] for name in names]
    return [f"{np.mean(values):.2f}" if values else "" for values in known]


def _tiles(found: Found) -> str:
    """Leave one tile out: each tile's score, their mean and spread."""
    title = (
        "## Leave one tile out\n\n"
        "Each of the eight tiles judges a model of eight minutes with bf16 that learnt the other "
        "seven, seed 0. "
    )
    rows = found.all(GROUPS["tiles"])
    if not rows:
        return title + f"{MISSING.capitalize()}."
    mious = [r["miou"] for r in rows]
    spread = (
        f" ± {np.std(mious, ddof=1):.3f} (standard deviation between tiles)"
        if len(mious) > 1
        else ""
    )
    missing = (
        ""
        if len(rows) == len(GROUPS["tiles"])
        else f" The other {len(GROUPS['tiles']) - len(rows)} are {MISSING}."
    )
    names = list(rows[0]["iou"])
    lines = [
        [
            r["data"].removeprefix(WITHOUT),
            str(r["steps"]),
            _score(r["miou"], True),
            *_ious([r], names),
        ]
        for r in rows
    ]
    return (
        f"{title}mIoU over {len(rows)} tiles: **{np.mean(mious):.3f}**{spread}.{missing}\n\n"
        + _table(["tile", "steps", "mIoU", *names], lines)
    )


def _fixed(found: Found) -> str:
    """The fixed split: mean and spread over seeds at each length."""
    title = "## Fixed split\n\nTest tiles 2, 5 and 8, minutes with bf16; "
    title += "spread is the largest mIoU minus the smallest."
    rows = found.all(GROUPS["fixed"])
    names = list(rows[0]["iou"]) if rows else []
    lines = []
    for kind in dict.fromkeys((t.row, t.minutes, t.tta) for t in GROUPS["fixed"]):
        wanted = [t for t in GROUPS["fixed"] if (t.row, t.minutes, t.tta) == kind]
        row, minutes, tta = kind
        name = (
            f"{minutes:g}" + (row != "default") * f", {row}" + (tta != "none") * f", `--tta {tta}`"
        )
        some = found.all(wanted)
        mious = [r["miou"] for r in some]
        lines.append(
            [
                name,
                f"{len(some)} of {len(wanted)}",
                str(some[0]["steps"]),
                _score(float(np.mean(mious)), True),
            ]
            + [f"{max(mious) - min(mious):.3f}" if len(some) > 1 else "", *_ious(some, names)]
            if some
            else [name, f"0 of {len(wanted)}", "", MISSING, "", *[""] * len(names)]
        )
    return title + "\n\n" + _table(["minutes", "seeds", "steps", "mIoU", "spread", *names], lines)


def _peers(found: Found) -> str:
    """Peers beside ours, at eight minutes, on the same split."""
    title = "## Peers\n\nEight minutes with bf16, same split, images and encoder weights; "
    title += "mean over seeds."
    ours = [t for t in GROUPS["fixed"] if t.minutes == 8]
    lines = []
    for name, trials in [
        ("Swath", ours),
        *((p, [t for t in GROUPS["peers"] if t.row == p]) for p in PEERS),
    ]:
        some = found.all(trials)
        miou = _score(float(np.mean([r["miou"] for r in some])), True) if some else MISSING
        lines.append(
            [name, f"{len(some)} of {len(trials)}", str(some[0]["steps"]) if some else "", miou]
        )
    return title + "\n\n" + _table(["", "seeds", "steps", "mIoU"], lines)


def _world(found: Found) -> str:
    """The demo's test blocks, beside the yardstick."""
    title = "## The world\n\nThe demo's 14 test blocks, seed 0. "
    title += "The yardstick is the best map from one pixel's color alone."
    yardstick = found.of(next(t for t in GROUPS["world"] if t.row == YARDSTICK))
    lines = []
    for trial in GROUPS["world"]:
        row = found.of(trial)
        name = "yardstick" if trial.row == YARDSTICK else f"{trial.minutes:g} minutes"
        more = (
            f"{row['miou'] - yardstick['miou']:+.3f}"
            if row and yardstick and row is not yardstick
            else ""
        )
        lines.append(
            [
                name,
                str(row.get("steps", "")) if row else "",
                _score(row["miou"], True) if row else MISSING,
                more,
            ]
        )
    return title + "\n\n" + _table(["", "steps", "mIoU", "above the yardstick"], lines)


def _front(found: Found, networks: dict[str, Any]) -> str:
    """Arithmetic, speed and score of networks."""
    title = (
        "## The front\n\n"
        "Encoders (EfficientNet-Lite) and decoder widths; `lite0` is the default network. "
        "mIoU of tiles 3 and 6, held out of the training tiles, after eight minutes, seed 0"
    )
    title += (
        f"; speed with {networks['engine']}, {networks['precision']}, on {networks['machine']}."
        if networks
        else "."
    )
    lines = []
    for trial in GROUPS["front"]:
        row, network = found.of(trial), networks.get("rows", {}).get(trial.row)
        cost = (
            [f"{network['gflop']:.0f}", f"{network['mpixels']:.2f}"]
            if network
            else [MISSING, MISSING]
        )
        widths = "-".join(map(str, trial.what()["recipe"]["widths"]))
        lines.append(
            [
                trial.row,
                widths,
                *cost,
                str(row["steps"]) if row else "",
                _score(row["miou"], True) if row else MISSING,
            ]
        )
    head = ["network", "widths", "GFLOP a megapixel", "megapixels a second", "steps", "mIoU"]
    return title + "\n\n" + _table(head, lines)


def _tries(found: Found) -> str:
    """Settings judged by each of the training tiles in its turn."""
    text = (
        "## Tries\n\nWhat may make the default recipe better. "
        "Each training tile in its turn judges a model that learnt the "
        f"other four, {GROUPS['tries'][0].minutes:g} minutes, seed 0; the mean is of the five mIoU."
    )
    return text + "\n\n" + _by_tile(found, GROUPS["tries"], lambda trial: trial.row)


def _by_tile(found: Found, trials: list[Trial], name: Callable[[Trial], str]) -> str:
    """Return a line for each name: its score on each tile, their mean, difference to the first."""
    by_row = {name(t): {o.data: found.of(o) for o in trials if name(o) == name(t)} for t in trials}
    default = by_row[name(trials[0])]
    lines = []
    for row, tiles in by_row.items():
        mious = {tile: r["miou"] for tile, r in tiles.items() if r}
        beside = [m - default[tile]["miou"] for tile, m in mious.items() if default[tile]]
        whole = len(mious) == len(tiles)
        mean = _score(float(np.mean(list(mious.values()))), True) if whole else MISSING
        more = (
            f"{np.mean(beside):+.3f}"
            if whole and len(beside) == len(mious) and tiles is not default
            else ""
        )
        lines.append([row, *(_score(mious.get(tile)) for tile in tiles), mean, more])
    return _table(["", *default, "mean", f"against {name(trials[0])}"], lines)


def _against_first(found: Found, group: str, title: str, says: str) -> str:
    """Compare rows of a group with the first; differences are of the seeds that both have."""
    trials = GROUPS[group]
    where = (
        "those blocks"
        if group == "world-tries"
        else f"{trials[0].data.split(',')[0]}, held out of the training tiles"
    )
    seeds = len({t.seed for t in trials})
    means = ", seed 0"
    if seeds > 1:
        means = "; means over seeds, spread is the largest mIoU minus the smallest, "
        means += "differences are of the same seeds"
    text = f"## {title}\n\n{says}; mIoU of {where}, {trials[0].minutes:g} minutes{means}."
    by_row = {
        t.row: {o.seed: r for o in trials if o.row == t.row and (r := found.of(o))} for t in trials
    }
    default = by_row[trials[0].row]
    tiles = (
        next(iter(default.values()))["judges"] if default and "those blocks" not in where else []
    )
    lines = []
    for row, of in by_row.items():
        mious = [r["miou"] for r in of.values()]
        beside = [
            r["miou"] - default[seed]["miou"]
            for seed, r in of.items()
            if seed in default and row != trials[0].row
        ]
        each = [
            _score(float(np.mean([_miou_of(r, tile) for r in of.values()]))) if of else ""
            for tile in tiles
        ]
        steps = str(next(iter(of.values()))["steps"]) if of else ""
        spread = [f"{max(mious) - min(mious):.3f}" if len(mious) > 1 else ""] * (seeds > 1)
        mean = _score(float(np.mean(mious)), True) if of else MISSING
        number = [f"{len(of)} of {sum(t.row == row for t in trials)}"] * (seeds > 1)
        lines.append(
            [row, *number, steps, *each, mean, *spread, f"{np.mean(beside):+.3f}" if beside else ""]
        )
    head = [
        "",
        *["seeds"] * (seeds > 1),
        "steps",
        *tiles,
        "mIoU",
        *["spread"] * (seeds > 1),
        f"against {trials[0].row}",
    ]
    return text + "\n\n" + _table(head, lines)


def _miou_of(row: Row, tile: str) -> float:
    """Return the mIoU of one of the tiles that judge."""
    return float(
        Scores.of(
            np.sum([m for name, m in row["samples"].items() if name.startswith(f"{tile}/")], axis=0)
        ).miou
    )
