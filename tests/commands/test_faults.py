"""Kills, full disks, changed inputs, lost workers, clocks, two runs: nothing or a whole result."""

import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely

import swath
from swath.commands import prepare as preparing
from swath.errors import DataError, JobError, ModelError, SwathError
from swath.io import atomic
from swath.mapping import job as predicting
from swath.training import full as training
from tests.errors import fails
from tests.faults import CASES, World, digest, listed, stopped
from tests.hostile import small_model
from tests.make import NORTH_UP, UTM, box, noise, write_layer, write_pairs, write_raster


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    data = tmp_path_factory.mktemp("faults")
    for name in "abcd":
        write_pairs(data / "source" / name, [f"{name}1"], size=96)
    swath.prepare(data / "source", data / "dataset", test="d", val="c")
    small_model(data / "m.swath")
    small_model(data / "other.swath", seed=1)
    small_model(data / "contest.swath", codes=(2, 5, 6))
    write_raster(
        data / "i.tif", np.kron(noise(3, 25, 21), np.ones((1, 20, 20), np.uint8)), UTM, NORTH_UP
    )
    write_layer(data / "fields.gpkg", [box(20, 20, 30, 30)], {"class": [1]})
    codes = np.repeat(np.array([1, 2, 3], np.uint8), 40)[None].repeat(90, 0)
    write_raster(data / "map.tif", codes, UTM, NORTH_UP, nodata=0)
    swath.sample(data / "map.tif", data / "drawn.gpkg", n=30)
    meta, _, shapes, columns = pyogrio.raw.read(data / "drawn.gpkg")
    reference = dict(zip(meta["fields"], columns, strict=True))
    seen = [
        str(codes[row, col]) for row, col in zip(reference["row"], reference["column"], strict=True)
    ]
    pyogrio.raw.write(
        data / "points.gpkg",
        shapes,
        [np.array(seen, object)],
        ["reference"],
        crs=meta["crs"],
        geometry_type="Point",
    )
    for i in range(4):
        write_raster(data / "contest" / f"JAX_{i}_RGB.tif", noise(3, 128, 128, seed=i))
    return World(data, tmp_path_factory.mktemp("disturbed"))


def disturb(world, verb, how, count, dice):
    """Kill a verb at random moments until it was hit so often, then let it end."""
    folder, case, seconds = world.folder(), CASES[verb], world.undisturbed(verb).seconds
    while count:
        took = stopped(world, verb, folder, how, dice.uniform(0.3, 1.0) * seconds)
        if took is None:
            count -= 1
            world.whole_or_absent(verb, folder)
            if how != signal.SIGKILL and not case.begins_with:
                left = set(listed(folder)) - {*case.kept, *(n.split("/")[0] for n in case.outputs)}
                assert not {name for name in left if ".partial" in name}, f"{verb} left {left}"
        else:
            world.whole_or_absent(verb, folder)
            folder, seconds = world.folder(), min(seconds, took)
        if verb == "sample" and (folder / "p.gpkg").exists():
            folder = world.folder()  # for it is never written over
    world.finish(verb, folder)


SHORT = [(verb, signal.SIGKILL) for verb in ("prepare", "submit", "export")]


@pytest.mark.parametrize(("verb", "how"), SHORT)
def test_a_kill_leaves_nothing_or_a_whole_result_and_the_same_command_goes_on(world, verb, how):
    disturb(world, verb, how, 1, random.Random(f"{verb} short"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name
)
@pytest.mark.parametrize("verb", CASES)
def test_twenty_kills_at_random_moments(world, verb, how):
    """Ten a command by SIGKILL, five each by SIGTERM and Ctrl-C.

    Training resumes to the same curve and weights.
    """
    disturb(world, verb, how, 10 if how == signal.SIGKILL else 5, random.Random(f"{verb} {how}"))


def full_disk(world, verb, limit):
    """Run a command that may write no file larger than `limit`; expect an error, no half output."""
    folder = world.folder()
    run = CASES[verb].begin(world.data, folder, limit)
    _, errors = run.communicate(timeout=600)
    world.whole_or_absent(verb, folder)
    if run.returncode:
        assert run.returncode == 1 and "Error: " in errors, f"{verb} at {limit}: {errors}"
        assert "unexpectedly" not in errors and "Traceback" not in errors, (
            f"{verb} at {limit}: {errors}"
        )
    return folder, run.returncode


def test_a_full_disk_is_a_plain_error(world):
    folder, code = full_disk(world, "prepare", 4096)
    assert code == 1 and listed(folder) == []
    world.finish("prepare", folder)


@pytest.mark.slow
@pytest.mark.parametrize("verb", [verb for verb, case in CASES.items() if case.outputs])
def test_a_disk_that_is_full_at_every_write_is_a_plain_error(world, verb):
    sizes = sorted(set(world.undisturbed(verb).sizes))
    dice = random.Random(verb)
    limits = {
        0,
        1,
        100,
        4096,
        *(s - 1 for s in sizes[-3:]),
        *(dice.randrange(max(sizes)) for _ in range(5)),
    }
    failed = 0
    for limit in sorted(limits):
        folder, code = full_disk(world, verb, limit)
        failed += code != 0
    assert failed
    if not (verb == "sample" and (folder / "p.gpkg").exists()):
        world.finish(verb, folder)


@contextmanager
def mounted(folder, options):
    """Mount a small disk of its own, or skip."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("verb", [verb for verb, case in CASES.items() if case.outputs])
def test_a_small_disk_and_one_that_takes_nothing(world, verb, tmp_path):
    need = sum(world.undisturbed(verb).sizes)
    for number, options in enumerate(
        ("ro,size=1m", f"size={max(4096, need // 3)}", f"size={max(8192, need * 9 // 10)}")
    ):
        with mounted(tmp_path / str(number), options) as disk:
            if options.startswith("ro") and CASES[verb].begins_with:
                continue
            try:
                run = CASES[verb].begin(world.data, disk)
            except OSError:
                continue  # not even its input fits
            _, errors = run.communicate(timeout=600)
            world.whole_or_absent(verb, disk)
            assert (
                run.returncode in (0, 1)
                and "unexpectedly" not in errors
                and "Traceback" not in errors
            ), errors
            assert run.returncode == 1 or not options.startswith("ro")


@pytest.mark.slow
@pytest.mark.parametrize("verb", CASES)
def test_two_runs_at_one_time(world, verb):
    """One of them may be refused; what is there at the end is whole."""
    folder = world.folder()
    runs = [CASES[verb].begin(world.data, folder) for _ in range(2)]
    for run in runs:
        _, errors = run.communicate(timeout=900)
        fine = run.returncode == 0 or "nother run of Swath" in errors or " exists" in errors
        assert fine and "Traceback" not in errors, errors
    assert any(run.returncode == 0 for run in runs)
    world.whole_or_absent(verb, folder)
    assert listed(folder) == world.undisturbed(verb).names


def test_a_second_run_is_refused_before_it_does_anything(world):
    folder = world.folder()
    jobs = {
        "m.tif": lambda: swath.predict(
            world.data / "m.swath", world.data / "i.tif", folder / "m.tif"
        ),
        "m.swath": lambda: swath.train(world.data / "dataset", folder / "m.swath", steps=1),
        "s.zip": lambda: swath.submit(
            world.data / "contest.swath", world.data / "contest", folder / "s.zip"
        ),
        "cv": lambda: swath.crossvalidate(world.data / "dataset", folder / "cv", steps=1),
    }
    for name, job in jobs.items():
        with atomic.exclusive(folder / name), pytest.raises(JobError) as caught:
            job()
        assert caught.value.file == str(folder / name) and "nother run" in caught.value.message
    with atomic.atomic_folder(folder / "ds", []), pytest.raises(JobError) as caught:
        swath.prepare(world.data / "source", folder / "ds")
    assert caught.value.file == str(folder / "ds") and "nother run" in caught.value.message
    assert listed(folder) == ["ds"] and listed(folder / "ds") == []


OPTIONS = {"memory": 0.54, "halo": 32, "threads": 1}


def after_the_tiles(monkeypatch, change):
    """Do something between the last tile and the map."""
    real = predicting.run_plan

    def run(*arguments):
        real(*arguments)
        change()

    monkeypatch.setattr(predicting, "run_plan", run)


def test_an_image_that_is_replaced_while_it_is_mapped(world, tmp_path, monkeypatch):
    image = tmp_path / "i.tif"
    shutil.copy(world.data / "i.tif", image)
    after_the_tiles(
        monkeypatch,
        lambda: write_raster(tmp_path / "new.tif", noise(3, 500, 420, seed=9)).replace(image),
    )
    with fails("file-changed", JobError, file=image):
        swath.predict(world.data / "m.swath", image, tmp_path / "m.tif", **OPTIONS)
    monkeypatch.undo()
    assert not (tmp_path / "m.tif").exists()
    with fails("other-work", JobError, file=tmp_path / "m.tif.parts") as caught:
        swath.predict(world.data / "m.swath", image, tmp_path / "m.tif", **OPTIONS)
    assert "--restart" in caught.value.fix
    swath.predict(world.data / "m.swath", image, tmp_path / "m.tif", restart=True, **OPTIONS)
    assert listed(tmp_path) == ["i.tif", "m.qml", "m.tif"]


def test_an_image_that_is_cut_off_while_it_is_mapped(world, tmp_path, monkeypatch):
    image = tmp_path / "i.tif"
    shutil.copy(world.data / "i.tif", image)
    real = predicting.freeze_plan

    def freeze(*arguments):
        plan = real(*arguments)
        os.truncate(image, image.stat().st_size // 3)
        return plan

    monkeypatch.setattr(predicting, "freeze_plan", freeze)
    with pytest.raises(SwathError) as caught:
        swath.predict(world.data / "m.swath", image, tmp_path / "m.tif", **OPTIONS)
    assert caught.value.file == str(image)
    assert not (tmp_path / "m.tif").exists()


def test_a_model_that_is_replaced_while_it_maps(world, tmp_path, monkeypatch):
    model = tmp_path / "m.swath"
    shutil.copy(world.data / "m.swath", model)
    real = predicting.freeze_plan

    def freeze(*arguments):
        plan = real(*arguments)
        shutil.copy(world.data / "other.swath", model)
        return plan

    swath.predict(model, world.data / "i.tif", tmp_path / "before.tif", **OPTIONS)
    monkeypatch.setattr(predicting, "freeze_plan", freeze)
    swath.predict(
        model, world.data / "i.tif", tmp_path / "m.tif", **OPTIONS
    )  # with what it had opened
    assert digest(tmp_path / "m.tif") == digest(tmp_path / "before.tif")
    shutil.copy(world.data / "m.swath", model)
    with fails("other-model", ModelError, file=model):
        swath.predict(model, world.data / "i.tif", tmp_path / "two.tif", workers=2, **OPTIONS)


def test_a_source_that_changes_while_it_is_prepared(world, tmp_path, monkeypatch):
    source = tmp_path / "source"
    shutil.copytree(world.data / "source", source)
    real = preparing._DatasetBuilder._store_images

    def store(*arguments):
        shutil.copy(source / "a" / "masks" / "a1.png", source / "b" / "masks" / "b1.png")
        return real(*arguments)

    monkeypatch.setattr(preparing._DatasetBuilder, "_store_images", store)
    with pytest.raises(DataError) as caught:
        swath.prepare(source, tmp_path / "ds", test="d", val="c")
    assert caught.value.file == str(source / "b" / "masks" / "b1.png")
    assert "changed" in caught.value.message
    assert listed(tmp_path) == ["source"]


def test_a_dataset_that_changes_while_it_is_learnt(world, tmp_path, monkeypatch):
    shutil.copytree(world.data / "dataset", tmp_path / "ds")
    real = training._fit

    def fit(*arguments):
        swath.prepare(world.data / "source", tmp_path / "ds", test="a", val="c")
        monkeypatch.setattr(training, "_fit", real)

    monkeypatch.setattr(training, "_fit", fit)
    with pytest.raises(JobError) as caught:
        swath.train(
            tmp_path / "ds",
            tmp_path / "m.swath",
            steps=1,
            encoder="test_efficientnet",
            weights="none",
        )
    assert caught.value.file == str(tmp_path / "ds") and "changed" in caught.value.message
    assert not (tmp_path / "m.swath").exists()


def test_clocks_do_not_matter(world, tmp_path, monkeypatch):
    """Time that runs backwards, and parts that are dated far in the past and future."""
    swath.predict(
        world.data / "m.swath", world.data / "i.tif", tmp_path / "m.tif", keep_parts=True, **OPTIONS
    )
    expected = digest(tmp_path / "m.tif")
    done = sorted((tmp_path / "m.tif.parts").glob("*/*.part"))
    assert len(done) >= 2  # how many depends on what a pixel takes on this processor
    done.pop().unlink()
    for i, part in enumerate(done):
        os.utime(part, ns=((i % 2) * 4 * 10**18, (i % 2) * 4 * 10**18))
    stamps = [p.stat().st_mtime_ns for p in done]
    clock = iter(range(10**9, 0, -86400))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    swath.predict(
        world.data / "m.swath", world.data / "i.tif", tmp_path / "m.tif", keep_parts=True, **OPTIONS
    )
    assert [p.stat().st_mtime_ns for p in done] == stamps
    assert digest(tmp_path / "m.tif") == expected


def checkpoint_of(world, tmp_path, monkeypatch):
    """Leave the folder of a training that was interrupted after its first stretch."""

    class Stopped(RuntimeError):
        pass

    def stop(self, *arguments):
        raise Stopped

    monkeypatch.setattr(training, "EPOCH_STEPS", 1)
    monkeypatch.setattr(training, "pack_model", stop)
    how = {"steps": 1, "encoder": "test_efficientnet", "weights": "none"}
    with pytest.raises(Stopped):
        swath.train(world.data / "dataset", tmp_path / "m.swath", **how)
    monkeypatch.undo()
    return tmp_path / "m.swath.training", how


def test_a_checkpoint_is_not_executed_and_a_damaged_one_is_told(world, tmp_path, monkeypatch):
    import pickle

    work, how = checkpoint_of(world, tmp_path, monkeypatch)
    assert listed(work) == ["last.ckpt", "settings.json"]
    for content in (pickle.dumps(shapely.Point), (work / "last.ckpt").read_bytes()[:-2000], b""):
        (work / "last.ckpt").write_bytes(content)
        with fails("checkpoint-damaged", JobError, work / "last.ckpt"):
            swath.train(world.data / "dataset", tmp_path / "m.swath", resume=True, **how)
    (work / "settings.json").unlink()
    swath.train(world.data / "dataset", tmp_path / "m.swath", resume=True, **how)
    assert listed(tmp_path) == ["m.swath"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_two_processes_end_together_when_one_is_told_to(world, how):
    folder, case = world.folder(), CASES["train"]
    words = ("20000" if word == "45" else word for word in case.words)
    run = type(case)((*words, "--devices", "2")).begin(world.data, folder)
    while run.poll() is None and not (folder / "m.swath.training" / "last.ckpt").exists():
        time.sleep(0.1)
    [second] = _children(run.pid, b"--devices")
    run.send_signal(how)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 1 and "--resume" in errors and "Traceback" not in errors, errors
    assert _ended(second)
    assert listed(folder) == ["m.swath.training"]


def test_a_training_that_was_interrupted_after_its_last_step_takes_no_further_one(
    world, tmp_path, monkeypatch
):
    _, how = checkpoint_of(world, tmp_path, monkeypatch)
    assert swath.train(world.data / "dataset", tmp_path / "m.swath", resume=True, **how).steps == 1
    swath.train(world.data / "dataset", tmp_path / "once.swath", **how)
    assert digest(tmp_path / "m.swath") == digest(tmp_path / "once.swath")


@pytest.mark.slow
def test_workers_that_are_killed_change_nothing(world):
    """One worker after another is killed while two work."""
    folder = world.folder()
    case = CASES["predict"]
    swath.predict(
        world.data / "m.swath",
        world.data / "i.tif",
        folder / "m.tif",
        confidence=True,
        polygons=folder / "m.gpkg",
        **OPTIONS,
    )
    expected = {n: digest(folder / n) for n in case.outputs}
    folder = world.folder()
    words = (*case.words, "--workers", "2")
    run = type(case)(words, case.outputs).begin(world.data, folder)
    killed: set[int] = set()
    while run.poll() is None and len(killed) < 2:
        for child in _children(run.pid) - killed:
            if list(folder.glob("m.tif.parts/*/*.part")):
                os.kill(child, signal.SIGKILL)
                killed.add(child)
                break
        time.sleep(0.01)
    _, errors = run.communicate(timeout=300)
    assert run.returncode == 0, errors
    assert killed and {n: digest(folder / n) for n in case.outputs} == expected


def _ended(process):
    """Tell whether a process is no more, even where nobody has asked how it ended."""
    try:
        return (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[
            0
        ] == "Z"
    except OSError:
        return True


def _children(parent, word=b"spawn_main"):
    """List the children of a process with a word in their command, by default spawned workers."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            stat, command = (process / "stat").read_text(), (process / "cmdline").read_bytes()
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == parent and word in command:
            found.add(int(process.name))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_too_little_memory_leaves_nothing_half(world, workers):
    """Where the address space does not suffice, no output is there, or the map is whole."""
    refused = 0
    for gib in (0.3, 0.6, 0.9, 1.2, 1.6, 2.0, 3.0):
        folder, case = world.folder(), CASES["predict"]
        case = type(case)(
            (*case.words, *(("--workers", str(workers)) if workers > 1 else ())), case.outputs
        )
        run = case.begin(world.data, folder, memory=int(gib * 2**30))
        run.communicate(timeout=300)
        world.whole_or_absent("predict", folder)
        refused += run.returncode != 0
        if run.returncode == 0:
            assert {n: digest(folder / n) for n in case.outputs} == world.undisturbed(
                "predict"
            ).digests
    assert refused
