"""Change between two maps whose true change is known: F1, and how often intervals hold the area.

True maps are masks of Dubai tiles. Errors are those of a model on held-out images of them: each
pixel gets the probabilities that the model gave to some pixel of the same true class, near a border
of classes or away from one; which one follows a field that is smooth over some pixels, so that
errors lie in patches as those of a model do. Tiles 2, 5 and 8 are not used.

Run: `python benchmarks/change.py SHARED_DATA OUT.json [--minutes 4] [--draws 1000]
[--bank BANK.npz] [--accuracy 0.9] [--series]`; then
`python benchmarks/change.py --table OUT.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin
from scipy import ndimage, special

import swath
from swath.evaluation.strata import Strata
from swath.geo.geobox import geobox_of
from swath.geo.pixel_area import PixelAreas
from swath.io.labels import RasterLabels
from swath.io.map_reader import MapFile
from swath.legend import IGNORE, read_legend
from swath.metrics.area_estimation import Z_95, allocate_sample, estimate_strata
from swath.transitions import Transitions

TRAINED = ("Tile 1", "Tile 3", "Tile 4")
UNSEEN = ("Tile 6", "Tile 7")
NAMES = ("water", "land", "road", "building", "vegetation")
SIDE = 1024
PATCH = 2.0
"""Standard deviation of the smoothing of the field of errors, in pixels."""
BORDER = 3
"""Pixels from a border of classes that are near it."""
SEEN = 6
"""Images of a tile that are trained on; the others are held out."""
BANK = 20_000
"""Pixels of a class, near a border or away, whose probabilities are kept."""
POINTS = 1000
"""Points of a sample."""

Array = NDArray[Any]


def mask_of(path: Path, legend: Any) -> Array:
    """Return class indices of a mask, `IGNORE` where it is unlabeled."""
    with rasterio.open(path) as file:
        grid = geobox_of(file)
    with closing(RasterLabels(path, grid)) as labels:
        return legend.encode(labels.read(grid.window, "color"))


def near_border(classes: Array) -> Array:
    """Return pixels near a border of classes."""
    size = 2 * BORDER + 1
    return ndimage.maximum_filter(classes, size) != ndimage.minimum_filter(classes, size)


def make_bank(data: Path, work: Path, minutes: float) -> dict[str, Array]:
    """Train a model, and keep the percents that it gives to pixels of each class it never saw."""
    source = work / "source"
    source.mkdir(parents=True)
    classes = data / "dubai-classes.yaml"
    legend = read_legend(classes)
    # The last images of each tile are held out: an analyst has labels of the scene.
    for tile in TRAINED + UNSEEN:
        for kind in ("images", "masks"):
            for path in (data / "dubai" / tile / kind).iterdir():
                part = "seen" if int(path.stem[-3:]) <= SEEN else "held out"
                folder = source / f"{tile} {part}" / kind
                folder.mkdir(parents=True, exist_ok=True)
                (folder / path.name).symlink_to(path.resolve())
    held = [f"{tile} held out" for tile in TRAINED + UNSEEN]
    swath.prepare(source, work / "dataset", classes=classes, test=held, val=["Tile 7 seen"])
    model = work / "dubai.swath"
    swath.train(work / "dataset", model, minutes=minutes)
    bank: dict[str, list[Array]] = {}
    for tile in held:
        for image in sorted((source / tile / "images").glob("*.jpg")):
            out = work / f"{tile} {image.stem}.tif"
            swath.predict(model, image, out, probabilities=True)
            with rasterio.open(out.with_name(f"{out.stem}_probabilities.tif")) as file:
                percents = file.read()
            true = mask_of(source / tile / "masks" / f"{image.stem}.png", legend)
            border = near_border(true)
            for k in range(len(NAMES)):
                for near in (False, True):
                    at = (true == k) & (border == near) & (percents[0] <= 100)
                    bank.setdefault(f"{k} {near}", []).append(percents[:, at])
    out_bank = {}
    rng = np.random.default_rng(0)
    for key, parts in bank.items():
        seen = np.concatenate(parts, axis=1)
        seen = seen[:, rng.permutation(seen.shape[1])[:BANK]]
        own = seen[int(key.split()[0])].astype(int)
        out_bank[key] = seen[:, np.argsort(own, kind="stable")]
    return out_bank


def improve(bank: dict[str, Array], accuracy: float) -> dict[str, Array]:
    """Return the bank of a better model: fewer wrong pixels, and percents calibrated anew.

    Wrong pixels are left out at random, the same share of each class, near borders and away; then
    the percents get the temperature that makes the true classes likeliest. Accuracy is that of
    the bank's classes in equal shares.
    """
    rng, kept = np.random.default_rng(1), {}
    right = {k: seen.argmax(axis=0) == int(k.split()[0]) for k, seen in bank.items()}
    now = float(np.mean([mask.mean() for mask in right.values()]))
    share = min(1.0, now / max(1 - now, 1e-9) * (1 - accuracy) / accuracy)
    for key, seen in bank.items():
        kept[key] = seen[:, right[key] | (rng.random(seen.shape[1]) < share)]
    logs = {k: np.log(np.maximum(seen, 0.05) / 100.0) for k, seen in kept.items()}

    def cost(inverse: float) -> float:
        losses = []
        for key, log in logs.items():
            scaled = special.log_softmax(inverse * log, axis=0)
            losses.append(-scaled[int(key.split()[0])].mean())
        return float(np.mean(losses))

    best = min(np.linspace(0.5, 4, 71), key=cost)
    out = {}
    for key, log in logs.items():
        made = np.rint(100 * special.softmax(best * log, axis=0)).astype(np.uint8)
        own = made[int(key.split()[0])].astype(int)
        out[key] = made[:, np.argsort(own, kind="stable")]
    return out


def true_maps(data: Path, rng: Any, share: float) -> tuple[Array, Array]:
    """Return true classes of two dates: a mosaic of masks, and patches that changed."""
    legend = read_legend(data / "dubai-classes.yaml")
    old = np.zeros((SIDE, SIDE), np.uint8)
    masks = [p for t in TRAINED for p in sorted((data / "dubai" / t / "masks").glob("*.png"))]
    half = SIDE // 2
    for row in (0, half):
        for col in (0, half):
            mask = mask_of(masks[rng.integers(len(masks))], legend)
            mask = np.pad(mask, [(0, max(0, half - s)) for s in mask.shape], mode="reflect")
            part = mask[:half, :half]
            nearest = ndimage.distance_transform_edt(
                part == IGNORE, return_distances=False, return_indices=True
            )
            old[row : row + half, col : col + half] = part[tuple(nearest)]
    new = old.copy()
    rows, cols = np.indices((41, 41)) - 20
    while (old != new).mean() < share:
        high, wide = rng.uniform(3, 16, 2)
        patch = (rows / high) ** 2 + (cols / wide) ** 2 <= 1
        row, col = rng.integers(0, SIDE - 41, 2)
        new[row : row + 41, col : col + 41][patch] = rng.integers(len(NAMES))
    return old, new


def see(true: Array, bank: dict[str, Array], field: Array) -> Array:
    """Return the percents that the model would give, by a smooth normal field of errors."""
    share = special.ndtr(field / field.std())
    border = near_border(true)
    out = np.zeros((len(NAMES), *true.shape), np.uint8)
    for k in range(len(NAMES)):
        for near in (False, True):
            at, seen = (true == k) & (border == near), bank[f"{k} {near}"]
            out[:, at] = seen[:, (share[at] * (seen.shape[1] - 1)).astype(int)]
    return out


def write(path: Path, percents: Array) -> Array:
    """Write a map and its probabilities; return its classes."""
    codes = (percents.argmax(axis=0) + 1).astype(np.uint8)
    profile = {"driver": "GTiff", "crs": "EPSG:32640", "height": SIDE, "width": SIDE}
    profile |= {"transform": from_origin(300_000, 2_800_000, 1, 1), "dtype": "uint8"}
    with rasterio.open(path, "w", count=1, nodata=0, **profile) as file:
        file.write(codes, 1)
        file.update_tags(1, **{f"class_{i}": name for i, name in enumerate(NAMES, 1)})
    beside = path.with_name(f"{path.stem}_probabilities.tif")
    with rasterio.open(beside, "w", count=len(NAMES), nodata=255, **profile) as file:
        file.write(percents)
        for i, name in enumerate(NAMES, 1):
            file.set_band_description(i, name)
    return codes - 1


def f1(found: Array, true: Array) -> float:
    """Return the F1 of two masks."""
    return float(2 * (found & true).sum() / max(1, found.sum() + true.sum()))


def coverage(path: Path, old: Array, new: Array, draws: int) -> dict[str, float]:
    """Return how often intervals of draws hold the true areas: of change, and of all transitions.

    Transitions count that cover a thousandth of the map at least.
    """
    with MapFile(path) as source, Strata(source) as strata:
        window = source.grid.window
        shown, stratum = strata.read(window)
        areas = PixelAreas(source.grid).of(window)
        transitions = source.transitions
        assert isinstance(transitions, Transitions)  # noqa: S101
    mapped = [c.map_code for c in strata.legend.trained]
    true = transitions.encode(old, new).astype(int)
    codes = [*mapped, *sorted(set(np.unique(true).tolist()) - set(mapped))]
    place = np.zeros(max(codes) + 1, int)
    place[codes] = np.arange(len(codes))
    n, m = len(codes), len(strata.names)
    cell = (stratum.astype(int) * n + shown) * n + place[true]
    held = np.bincount(cell.ravel(), minlength=m * n * n).reshape(m, n * n)
    pixels = held.sum(axis=1)
    size = areas.mean() * pixels
    wanted = allocate_sample(size, pixels, POINTS, 30)
    changed = np.array([code in set(transitions.changes.tolist()) for code in codes])
    kind = np.stack([~changed, changed], axis=1).astype(float)
    real = np.bincount(place[true].ravel(), minlength=n) * areas.mean()
    rng = np.random.default_rng(0)
    inside, inside_change, halves = np.zeros(n), 0, []
    for _ in range(draws):
        counts = np.stack(
            [
                rng.multivariate_hypergeometric(row, count) if count else np.zeros(n * n)
                for row, count in zip(held, wanted, strict=True)
            ]
        ).reshape(m, n, n)
        found = estimate_strata(size, counts.astype(float), real, pixels)
        inside += np.abs(found.area - real) <= Z_95 * found.area_error
        joined = np.einsum("hij,ia,jb->hab", counts, kind, kind)
        both = estimate_strata(size, joined, real @ kind, pixels)
        half = Z_95 * both.area_error[1]
        halves.append(half / (real @ kind)[1])
        inside_change += abs(both.area[1] - (real @ kind)[1]) <= half
    large = real >= 0.001 * real.sum()
    return {
        "change": inside_change / draws,
        "transitions": float(inside[large].mean() / draws),
        "lowest": float(inside[large].min() / draws),
        "half": float(np.mean(halves)),
        "strata": int((held.sum(axis=1) > 0).sum()),
    }


def simulate(data: Path, bank: dict[str, Array], work: Path, draws: int) -> list[dict[str, Any]]:
    """Compare maps of each share of change and each shift."""
    rows = []
    cases = [(s, r, 0.0) for s in (0.005, 0.02, 0.1) for r in (0, 1, 2)] + [(0.02, 0, 0.5)]
    for share, shift, alike in cases:
        rng = np.random.default_rng(7)
        old, new = true_maps(data, rng, share)
        fields = [
            ndimage.gaussian_filter(rng.normal(size=old.shape), PATCH, mode="wrap")
            for _ in range(3)
        ]
        fields = [alike**0.5 * fields[2] + (1 - alike) ** 0.5 * field for field in fields[:2]]
        seen = [
            write(work / "old.tif", see(old, bank, fields[0])),
            write(work / "new.tif", see(np.roll(new, (shift, shift), (0, 1)), bank, fields[1])),
        ]
        true = old != new
        for told in sorted({shift, 1}):
            result = swath.change(
                work / "old.tif", work / "new.tif", work / "change.tif", shift=told, restart=True
            )
            with rasterio.open(work / "change.tif") as file:
                codes = file.read(1)
            row = {"share": float(true.mean()), "shift": shift, "told": told, "alike": alike}
            row["accuracy"] = float((seen[0] == old).mean())
            row["plain"] = f1(seen[0] != seen[1], true)
            row["f1"] = f1(codes // 10 != codes % 10, true)
            row["prior"] = result.prior
            found = codes // 10 != codes % 10
            row["precision"] = float(true[found].mean()) if found.any() else None
            with rasterio.open(work / "change_confidence.tif") as file:
                row["confidence"] = float(file.read(1)[found].mean() / 100) if found.any() else None
            row |= coverage(work / "change.tif", old, new, draws)
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()
            rows.append(row)
    return rows


def simulate_series(data: Path, bank: dict[str, Array], work: Path) -> list[dict[str, Any]]:
    """Compare maps of four dates, with change after the second one."""
    rows, years = [], (2016, 2018, 2020, 2022)
    for share in (0.005, 0.02, 0.1):
        rng = np.random.default_rng(7)
        old, new = true_maps(data, rng, share)
        true, maps, seen = (old, old, new, new), [], []
        for year, classes in zip(years, true, strict=True):
            field = ndimage.gaussian_filter(rng.normal(size=old.shape), PATCH, mode="wrap")
            maps.append(work / f"m{year}.tif")
            seen.append(write(maps[-1], see(classes, bank, field)))
        changed, out, found = old != new, work / "series.tif", []
        result = swath.change(*maps[:3], [maps[3], out], dates=True, restart=True)
        swath.change(maps[0], maps[3], work / "change.tif", restart=True)
        for path in (out, work / "change.tif"):
            with rasterio.open(path) as file:
                codes = file.read(1)
            found.append(f1(codes // 10 != codes % 10, changed))
        made = []
        for year in years:
            with rasterio.open(work / f"series_{year}.tif") as file:
                made.append(file.read(1) - 1)
        row = {"share": float(changed.mean()), "plain": f1(seen[0] != seen[3], changed)}
        row |= {"series": found[0], "two": found[1], "prior": result.prior}
        row["accuracy"] = float(np.mean([a == b for a, b in zip(seen, true, strict=True)]))
        row["smoothed"] = float(np.mean([a == b for a, b in zip(made, true, strict=True)]))
        rows.append(row)
    return rows


def series_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows of series as a table of a report."""
    head = "| true change | accuracy of the maps | of the consistent maps "
    head += "| plain F1, first and last | F1, first and last | F1 of the series "
    head += "| change from date to date, estimated (true) |"
    lines = [head, "|" + "---|" * 7]
    for r in rows:
        lines.append(
            f"| {r['share']:.1%} | {r['accuracy']:.1%} | {r['smoothed']:.1%} | {r['plain']:.3f} | "
            f"{r['two']:.3f} | {r['series']:.3f} | {r['prior']:.2%} ({r['share'] / 3:.2%}) |"
        )
    return "\n".join(lines)


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table of a report."""
    head = "| true change | shift | `--shift` | plain F1 | F1 | ratio | prior | mean confidence | "
    head += "precision | interval holds the change | transitions (lowest) | half width |"
    lines = [head, "|" + "---|" * 12]
    for r in rows:
        name = f"{r['shift']} px" + (", errors alike" if r["alike"] else "")
        ratio = r["f1"] / r["plain"]
        found = r["confidence"] is not None
        sure = f"{r['confidence']:.2f} | {r['precision']:.2f}" if found else "- | -"
        lines.append(
            f"| {r['share']:.1%} | {name} | {r['told']} | {r['plain']:.3f} | {r['f1']:.3f} | "
            f"{ratio:.1f} | {r['prior']:.1%} | {sure} | {r['change']:.1%} | "
            f"{r['transitions']:.1%} ({r['lowest']:.1%}) | {r['half']:.0%} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Simulate, or print the table of a result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--bank", type=Path, help="keep the errors of the model here (*.npz)")
    parser.add_argument("--accuracy", type=float, help="leave out errors until maps are as good")
    parser.add_argument("--series", action="store_true", help="four dates instead of two")
    parser.add_argument("--table", type=Path)
    given = parser.parse_args()
    if given.table is not None:
        sys.stdout.write(table(json.loads(given.table.read_text(encoding="utf-8"))) + "\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if given.bank is not None and given.bank.exists():
            with np.load(given.bank) as file:
                bank = {name: file[name] for name in file.files}
        else:
            bank = make_bank(given.data, work, given.minutes)
            if given.bank is not None:
                np.savez_compressed(given.bank, **bank)
        if given.accuracy is not None:
            bank = improve(bank, given.accuracy)
        if given.series:
            rows = simulate_series(given.data, bank, work)
        else:
            rows = simulate(given.data, bank, work, given.draws)
    given.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write((series_table if given.series else table)(rows) + "\n")


if __name__ == "__main__":
    main()
