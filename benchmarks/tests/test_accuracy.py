"""benchmarks/accuracy.py resumes, trains nothing twice, and never tunes on the test split."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from tests.make import noise, write_jpeg, write_raster

import swath
from swath.data.dataset import Dataset

FOLDER = Path(__file__).resolve().parents[1]


@pytest.fixture
def accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Return the benchmark with results and rates of its own; every step takes half a minute."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    module = importlib.import_module("accuracy")
    monkeypatch.setattr(module, "RESULTS", module.Ledger(tmp_path / "results" / "accuracy.jsonl"))
    monkeypatch.setattr(module, "RATES", tmp_path / "rates.json")
    costs = {t.cost() for trials in module.GROUPS.values() for t in trials if t.minutes}
    module.RATES.write_text(
        json.dumps({"seconds_a_step": {cost: [29.0, 31.0, 30.0] for cost in costs}})
    )
    yield module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(FOLDER)):
            del sys.modules[name]


def line(trial: Any, miou: float = 0.5, **more: Any) -> dict[str, Any]:
    """Return a result of a trial."""
    return {
        "data": trial.data,
        "row": trial.row,
        "seed": trial.seed,
        "minutes": trial.minutes,
        "bf16": trial.bf16,
        "tta": trial.tta,
        "what": trial.what(),
        "judges": [],
        "samples": {},
        "miou": miou,
        "iou": {"water": miou, "land": None},
        "steps": 16,
        **more,
    }


def test_a_line_that_a_kill_cut_off_is_no_result(accuracy: ModuleType) -> None:
    ledger = accuracy.RESULTS
    assert ledger.rows() == []
    ledger.add({"a": 1})
    with ledger.path.open("ab") as file:
        file.write(b'{"a": 2, "b"')
    assert ledger.rows() == [{"a": 1}]
    ledger.add({"a": 3})
    assert ledger.rows() == [{"a": 1}, {"a": 3}]


def test_a_run_goes_on_where_it_was_and_trains_nothing_twice(
    accuracy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def result(self: Any, trial: Any) -> dict[str, Any]:
        name = f"{trial.data} {trial.row} {trial.seed}"
        if len(trained) == 3 and name not in trained:
            trained.append("killed")
            raise KeyboardInterrupt
        trained.append(name)
        return line(trial)

    monkeypatch.setattr(accuracy.Benchmark, "result", result)
    benchmark = accuracy.Benchmark(tmp_path, tmp_path, None)
    trials = [t for group in ("ablation", "front") for t in accuracy.GROUPS[group]]
    with pytest.raises(KeyboardInterrupt):
        benchmark.run(trials)
    assert len(accuracy.RESULTS.rows()) == 3
    benchmark.run(trials)
    trained.remove("killed")
    assert len(trained) == len(set(trained)) == len(accuracy.RESULTS.rows())
    assert "tiles 3 and 6 default 0" in trained
    assert "tiles 3 and 6 lite0 0" not in trained  # the same network and recipe under two names
    assert benchmark.todo(trials) == []


def test_several_at_once_train_the_longest_first_and_a_model_once(
    accuracy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that share a model are one job, also through predicted labels; data are made before."""
    asked: list[list[Any]] = []

    def at_once(jobs: int, do: Any, of: Any) -> Iterator[Any]:
        assert jobs == 3
        asked.append(list(of))
        yield from (
            ([line(t) for t in trials] for trials in asked[-1]) if do.__name__ == "results" else ()
        )

    monkeypatch.setattr(accuracy, "at_once", at_once)
    benchmark = accuracy.Benchmark(tmp_path, tmp_path, None)
    trials = [
        t for group in ("fixed", "world", "tiles", "unlabeled") for t in accuracy.GROUPS[group]
    ]
    benchmark.run(trials, jobs=3)
    data, jobs = asked
    assert ["world"] in data and sorted(data, key=len)[-1] == sorted(
        {t.data for t in trials if "fixed" in t.data or "without" in t.data}
    )
    minutes = [max(t.minutes for t in job) for job in jobs]
    assert minutes == sorted(minutes, reverse=True)
    assert [t.tta for t in jobs[0]] == ["none", "scales", "full"] and jobs[0][0].minutes == 60
    assert [t.data for t in next(job for job in jobs if job[0].row == "one tile labeled")] == [
        accuracy.FEW,
        accuracy.GUESSED,
    ]
    assert benchmark.todo(trials) == []


def test_what_fails_does_not_stop_the_others(
    accuracy: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    found = []
    with pytest.raises(SystemExit, match="1 failed"):
        found.extend(accuracy.at_once(2, int, ["3", "no number", "4"]))
    assert "no number" in capfd.readouterr().err
    assert list(accuracy.at_once(1, int, ["3", "4"])) == [3, 4]


def test_results_of_another_recipe_do_not_count(accuracy: ModuleType) -> None:
    trial = accuracy.GROUPS["fixed"][0]
    old = line(trial)
    assert accuracy.done(trial, [old]) == old
    changed = json.loads(json.dumps(old))
    changed["what"]["recipe"]["brightness"] = 0.9
    assert accuracy.done(trial, [changed]) is None
    for other in ({"seed": 1}, {"minutes": 30}, {"bf16": False}, {"tta": "full"}):
        assert accuracy.done(replace(trial, **other), [old]) is None


@pytest.mark.parametrize("heights", [False, True])
def test_the_weight_of_heights_counts_where_they_are_learnt(
    accuracy: ModuleType, heights: bool
) -> None:
    trial = replace(accuracy.GROUPS["fixed"][0], options={"heights": heights})
    old = line(trial)
    old["what"]["recipe"] |= {"height_weight": 0.9}
    assert (accuracy.done(trial, [old]) is None) == heights


@pytest.mark.parametrize(("group", "counts"), [("fixed", "scales"), ("world", "scales_known")])
def test_scales_count_where_they_are_used(accuracy: ModuleType, group: str, counts: str) -> None:
    trial = accuracy.GROUPS[group][-1]
    for name in ("scales", "scales_known"):
        changed = line(trial)
        changed["what"]["recipe"] |= {"scales": [0.5, 2.0], "scales_known": [0.75, 1.33]} | {
            name: [0.1, 9.0]
        }
        assert (accuracy.done(trial, [changed]) is None) == (name == counts)


def test_rows_that_choose_settings_are_judged_by_validation_only(
    accuracy: ModuleType, stripes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for group in ("tries", "front", "ablation", "world-tries", "unlabeled"):
        assert all(t.data in accuracy.VALIDATED for t in accuracy.GROUPS[group])
    dataset, tuning = Dataset(stripes), accuracy.Trial(accuracy.TUNING)
    assert {s.group for s in accuracy.judges(tuning, dataset)} == {"c"}
    assert {s.group for s in accuracy.judges(accuracy.Trial(accuracy.FIXED), dataset)} == {"d"}
    monkeypatch.setattr(accuracy, "TEST", ("c",))
    with pytest.raises(ValueError, match=r"may not be judged by \['c'\]"):
        accuracy.judges(tuning, dataset)


def test_without_validation_samples_nothing_is_tuned(
    accuracy: ModuleType, stripes: Path, tmp_path: Path
) -> None:
    swath.data.folds.resplit(Dataset(stripes), tmp_path / "d", ["d"])
    with pytest.raises(ValueError, match="nothing"):
        accuracy.judges(accuracy.Trial(accuracy.TUNING), Dataset(tmp_path / "d"))


def test_a_result_says_all_that_it_depends_on(
    accuracy: ModuleType,
    stripes: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Steps follow from the measured rate; a model that exists is only scored."""
    asked = []

    def train(dataset: Path, model: Path, **options: Any) -> None:
        asked.append(options)
        shutil.copy(tiny_model, model)

    monkeypatch.setattr(accuracy.swath, "train", train)
    monkeypatch.setattr(accuracy, "data_of", lambda *_: stripes)
    benchmark = accuracy.Benchmark(tmp_path, tmp_path, None)
    trial = next(t for t in accuracy.GROUPS["ablation"] if t.row == "classes drawn as they are")
    found = json.loads(json.dumps(benchmark.result(trial)))
    assert asked == [{"steps": 16, "seed": 0, "resume": False, "balance": 1.0}]
    assert found["judges"] == ["c"] and found["what"]["recipe"]["balance"] == 1
    assert (
        found["what"]["encoder"] == "tf_efficientnet_lite0"
        and found["digest"] == Dataset(stripes).manifest.digest
    )
    assert found["miou"] == pytest.approx(swath.evaluate(tiny_model, stripes, split="val").miou)
    assert np.sum(list(found["samples"].values()), axis=0).tolist() == found["confusion"]
    benchmark.result(trial)
    assert len(asked) == 1
    assert accuracy.done(trial, [found]) == found


def test_the_world_can_have_more_bands(
    accuracy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relief comes after the image's bands, on the same pixels; latitude is left to `prepare`."""
    made: dict[str, Any] = {}

    def make_source(folder: Path, _: Path) -> None:
        write_raster(
            folder / "world.tif",
            noise(3, 40, 80, seed=1),
            "EPSG:4326",
            rasterio.Affine(4.5, 0, -180, 0, -4.5, 90),
        )

    def make_dataset(source: Path, folder: Path, validation: int, latitude: bool) -> None:
        with rasterio.open(source / "world.tif") as image:
            made[folder.name] = (validation, latitude, image.read(), image.descriptions, image.crs)

    write_jpeg(
        tmp_path / accuracy.RELIEF, np.kron(noise(3, 5, 10, seed=2), np.ones((8, 8), np.uint8))
    )
    for name, fake in (
        ("fetch", lambda: tmp_path),
        ("make_source", make_source),
        ("make_dataset", make_dataset),
    ):
        monkeypatch.setattr(accuracy, name, fake)
    rows = sys.modules["accuracy_rows"]
    kinds = (rows.WORLD, rows.WORLD_TUNING, rows.WORLD_LATITUDE, rows.WORLD_RELIEF)
    plain, tuning, placed, high = (
        made[accuracy.data_of(kind, tmp_path, tmp_path / "w").name] for kind in kinds
    )
    assert [x[:2] for x in (plain, tuning, placed, high)] == [
        (0, False),
        (10, False),
        (10, True),
        (10, True),
    ]
    assert all((x[2] == noise(3, 40, 80, seed=1)).all() for x in (plain, tuning, placed))
    with rasterio.open(tmp_path / accuracy.RELIEF) as relief:
        assert (high[2] == np.concatenate([plain[2], relief.read()])).all() and high[
            4
        ] == "EPSG:4326"
    assert high[3][:4] == ("red", "green", "blue", "relief red")


def test_maps_of_peers_are_scored_as_ours_are(
    accuracy: ModuleType, stripes: Path, tmp_path: Path
) -> None:
    """A peer gets images and labels as files; one that returns the labels scores 1."""
    dataset = Dataset(stripes)
    job = sys.modules["peer_jobs"].prepare_job(dataset, tmp_path / "peers", seed=3, steps=7)
    given = json.loads(job.read_text())
    assert (given["steps"], given["seed"], given["classes"]) == (7, 3, 3) and len(
        given["train"]
    ) == 2
    image, labels = (np.asarray(Image.open(path)) for path in given["test"][0])
    sample = dataset.manifest.of("test")[0]
    assert (
        image == dataset.images[sample.image].read(sample.window).values.transpose(1, 2, 0)
    ).all()
    Image.fromarray(np.where(labels == 1, 2, labels).astype(np.uint8)).save(
        Path(given["maps"]) / Path(given["test"][0][0]).name
    )
    matrix = accuracy.score_maps(dataset, [sample], job)[sample.name]
    assert (
        matrix.sum(axis=1).tolist() == sample.counts
        and matrix[:, 1].sum() == 0
        and matrix[1, 2] == sample.counts[1]
    )


def test_a_rate_that_is_not_measured_is_asked_for(accuracy: ModuleType) -> None:
    with pytest.raises(SystemExit, match="run `rates` first"):
        accuracy.steps_of(accuracy.GROUPS["fixed"][0], {})


def test_tables_say_what_is_missing(accuracy: ModuleType) -> None:
    empty = accuracy.tables([], {}, accuracy.done)
    assert empty.count("not measured yet") > 40
    tiles = [
        line(t, miou) for t, miou in zip(accuracy.GROUPS["tiles"], (0.5, 0.6, 0.7), strict=False)
    ]
    latitude = next(t for t in accuracy.GROUPS["world-tries"] if t.row == "latitude as a band")
    judged = {
        "judges": ["Tile 3", "Tile 6"],
        "samples": {"Tile 3/a": [[3, 1], [1, 3]], "Tile 6/a": [[1, 0], [0, 1]]},
    }
    tries = [line(accuracy.GROUPS["world-tries"][0], 0.6), line(latitude, 0.625)]
    ablation = {
        row: [t for t in accuracy.GROUPS["ablation"] if t.row == row]
        for row in ("default", "no Dice", "constant rate")
    }
    tries += [
        line(t, miou, **judged)
        for t, miou in zip(ablation["default"], (0.6, 0.5, 0.7), strict=True)
    ]
    tries += [
        line(t, miou, **judged) for t, miou in zip(ablation["no Dice"], (0.5, 0.44), strict=False)
    ]
    tries.append(line(ablation["constant rate"][0], 0.65, **judged))
    tries += [
        line(t, 0.4 + 0.01 * int(t.data[-1]) + (t.row == "encoder lite2") / 4)
        for t in accuracy.GROUPS["tries"]
        if t.row in ("default", "encoder lite2") or t.data == "tile 3"
    ]
    text = accuracy.tables([*tiles, *tries], {}, accuracy.done)
    assert (
        "mIoU over 3 tiles: **0.600** ± 0.100" in text
        and "The other 5 are not measured yet." in text
    )
    assert "| Tile 2 | 16 | **0.600** | 0.60 |  |" in text
    assert "| latitude as a band | 16 | **0.625** | +0.025 |" in text
    assert "| default | 3 of 3 | 16 | 0.600 | 1.000 | **0.600** | 0.200 |  |" in text
    assert "| no Dice | 2 of 3 | 16 | 0.600 | 1.000 | **0.470** | 0.060 | -0.080 |" in text
    assert "| constant rate | 1 of 1 | 16 | 0.600 | 1.000 | **0.650** |  | +0.050 |" in text
    assert "| default | 0.410 | 0.430 | 0.440 | 0.460 | 0.470 | **0.442** |  |" in text
    assert "| encoder lite2 | 0.660 | 0.680 | 0.690 | 0.710 | 0.720 | **0.692** | +0.250 |" in text
    assert "| all patches mixed |  | 0.430 |  |  |  | not measured yet |  |" in text
    assert "| lite0 | 128-64-48-32 | not measured yet | not measured yet | 16 | **0.600** |" in text


def test_the_best_and_the_worst_images_are_found(accuracy: ModuleType) -> None:
    right, half, wrong = [[4, 0], [0, 4]], [[2, 2], [2, 2]], [[0, 4], [4, 0]]
    chosen = sys.modules["accuracy_pictures"].best_and_worst(
        {"b": half, "c": wrong, "a": right, "d": [[0, 0], [0, 0]]}
    )
    assert chosen == ["a", "b", "c"]


def test_maps_become_labels_where_the_model_was_sure(accuracy: ModuleType, tmp_path: Path) -> None:
    for name, values in (
        ("a.tif", [[1, 1, 2], [2, 2, 0]]),
        ("a_confidence.tif", [[90, 79, 80], [100, 0, 255]]),
    ):
        write_raster(tmp_path / name, np.uint8([values]))
    with rasterio.open(tmp_path / "a.tif", "r+") as codes:
        codes.update_tags(1, class_1="water", class_2="road")
    colors = {"water": (1, 2, 3), "road": (4, 5, 6), "unlabeled": (9, 9, 9)}
    mask = sys.modules["accuracy_guesses"]._guessed(tmp_path, "a", colors)
    assert mask.tolist() == [[[1, 2, 3], [9, 9, 9], [4, 5, 6]], [[4, 5, 6], [9, 9, 9], [9, 9, 9]]]


def test_labels_of_most_tiles_are_left_out(
    accuracy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dataset of few labels holds neither test tiles nor those that lose their labels."""
    made: dict[str, Any] = {}
    monkeypatch.setattr(
        swath, "prepare", lambda source, folder, **options: made.update(options, source=source)
    )
    accuracy.data_of(accuracy.FEW, tmp_path / "dubai", tmp_path / "w")
    tiles = {path.name for path in made["source"].iterdir()}
    guesses = sys.modules["accuracy_guesses"]
    validation = accuracy.VALIDATION_TILES[accuracy.TUNING]
    assert tiles == {*guesses.LABELED, *validation} and made["val"] == ",".join(validation)
    assert not tiles & {*accuracy.TEST, *guesses.UNLABELED} and not {*accuracy.TEST} & {
        *guesses.UNLABELED
    }
