"""Kills, full disks and lost workers: none may change a byte of the map."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio

import swath
from swath.errors import DataError, JobError, UsageError
from swath.mapping.worker_pool import MAX_TRIES, WorkerLost, run_groups
from tests.errors import fails
from tests.make import NORTH_UP, UTM, noise, write_raster

MEMORY = 0.585
"""So little that an image of 700 pixels has more tiles than one."""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    pixels = noise(3, 700, 620)
    pixels[:, 300:330, 100:500] = 0
    return write_raster(tmp_path_factory.mktemp("image") / "i.tif", pixels, UTM, NORTH_UP, nodata=0)


@pytest.fixture(scope="module")
def model(tiny_model):
    """Return a model file."""
    return tiny_model


OPTIONS = {"memory": MEMORY, "halo": 32, "threads": 1, "precision": "float32"}
WORDS = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]


@pytest.fixture(scope="module")
def undisturbed(model, image, tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "m.tif"
    result = swath.predict(model, image, path, **OPTIONS)
    return path.read_bytes(), result


class FakePool:
    """Workers that die as they are told to, and one at most is busy with a group."""

    def __init__(self, slots, fate):
        self.slots = slots
        self.fate = fate
        self.busy = {}
        self.given = []
        self.most = 0

    def give(self, group):
        handle = len(self.given)
        self.given.append(group)
        self.busy[handle] = group
        self.most = max(self.most, len(self.busy))
        return handle

    def wait(self, handles):
        return [random.Random(len(self.given)).choice(sorted(handles))]

    def result(self, handle):
        self.fate(self.busy.pop(handle))

    def close(self):
        pass


def test_every_tile_is_done_once_and_no_worker_waits():
    done = []
    pool = FakePool(5, lambda group: None)
    run_groups(pool, iter(range(100)), done.extend, group=7)
    assert sorted(done) == list(range(100)) and len(pool.given) == 15 and pool.most == 5


def test_what_a_dead_worker_had_is_given_out_again():
    rng, done = random.Random(0), []

    def fate(group):
        if rng.random() < 0.2:
            raise WorkerLost("killed")

    pool = FakePool(4, fate)
    run_groups(pool, iter(range(200)), done.extend, group=3)
    assert sorted(done) == list(range(200)) and len(pool.given) > 67


def test_a_group_that_kills_every_worker_ends_the_job():
    def fate(group):
        if 10 in group:
            raise WorkerLost("out of memory")

    pool = FakePool(1, fate)
    with fails("workers-lost", JobError) as caught:
        run_groups(pool, iter(range(20)), lambda group: None, group=1)
    for words in (f"{MAX_TRIES} workers", "tiles 10 to 10", "out of memory"):
        assert words in caught.value.message
    assert sum(10 in g for g in pool.given) == MAX_TRIES


def test_an_error_of_the_data_is_not_tried_again():
    def fate(group):
        raise DataError("Damaged", code="damaged", file="x.tif")

    pool = FakePool(1, fate)
    with fails("damaged", DataError, file="x.tif"):
        run_groups(pool, iter(range(20)), lambda group: None)
    assert len(pool.given) == 1


def begin(model, image, target, *more):
    code = "from swath.cli.main import main; main()"
    words = ["predict", model, image, target, *WORDS, *more]
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_new_process_that_runs_the_script_again_calls_no_command(monkeypatch):
    process = multiprocessing.current_process()
    monkeypatch.setattr(process, "_inheriting", True, raising=False)
    with fails("unguarded-script", UsageError):
        swath.inspect(".")


@pytest.mark.slow
def test_a_script_that_workers_run_again_is_told_what_it_lacks(model, image, tmp_path):
    options = OPTIONS | {"workers": 2}
    call = f"swath.predict({str(model)!r}, {str(image)!r}, 'm.tif', **{options})"
    script = tmp_path / "map.py"
    script.write_text(f"import swath\n{call}\n")
    run = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1 and not (tmp_path / "m.tif").exists()
    last = run.stderr.strip().splitlines()[-1]
    assert 'below `if __name__ == "__main__":`' in last and "whole script" in run.stderr
    script.write_text(f"import swath\nif __name__ == '__main__':\n    {call}\n")
    subprocess.run([sys.executable, script], cwd=tmp_path, check=True)
    assert (tmp_path / "m.tif").exists()


def test_there_are_tiles_enough_to_be_interrupted_between(undisturbed):
    assert undisturbed[1].tiles >= 4 and undisturbed[1].nodata == 30 * 400


def test_after_a_kill_the_same_command_goes_on_to_the_same_bytes(
    model, image, undisturbed, tmp_path
):
    target, parts = tmp_path / "m.tif", tmp_path / "m.tif.parts"
    run = begin(model, image, target)
    while not list(parts.glob("*/*.part")) and run.poll() is None:
        time.sleep(0.005)
    run.kill()
    run.wait()
    assert not target.exists()
    before = {p.name: p.stat().st_mtime_ns for p in parts.glob("*/*.part")}
    torn = next(parts.glob("*/*.part"))
    torn.write_bytes(torn.read_bytes()[:-3])
    swath.predict(model, image, target, keep_parts=True, **OPTIONS)
    assert target.read_bytes() == undisturbed[0]
    kept = [
        p
        for p in parts.glob("*/*.part")
        if p.name in before and p.stat().st_mtime_ns == before[p.name]
    ]
    assert len(kept) == len(before) - 1
    swath.predict(model, image, target, **OPTIONS)
    assert target.read_bytes() == undisturbed[0] and sorted(os.listdir(tmp_path)) == [
        "m.qml",
        "m.tif",
    ]


@pytest.mark.slow
def test_twenty_kills_at_random_moments(model, image, undisturbed, tmp_path):
    rng, target = random.Random(0), tmp_path / "m.tif"
    kills = 0
    while kills < 20:
        run = begin(model, image, target)
        try:
            run.wait(timeout=rng.uniform(0.2, 6))
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.wait()
            kills += 1
            continue
        assert run.returncode == 0 and target.read_bytes() == undisturbed[0]
        target.unlink()
    swath.predict(model, image, target, **OPTIONS)
    assert target.read_bytes() == undisturbed[0]
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith(".")) == [
        "m.qml",
        "m.tif",
    ]


def test_workers_end_with_the_process_that_started_them():
    code = (
        "import os, time; from swath.mapping.worker_pool import LocalPool; "
        "pool = LocalPool(os.path.join, 'plan', 'root', 1); "
        "print(pool._pool.submit(os.getpid).result(), flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        worker = Path("/proc", run.stdout.readline().strip(), "stat")
        assert worker.exists()
        run.kill()
    for _ in range(100):
        if not worker.exists() or worker.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the worker still runs")


def test_a_full_disk_stops_cleanly_and_loses_nothing(model, image, undisturbed, tmp_path):
    """A limit on the size of files stands for the full disk: parts are smaller, the map is not."""
    target = tmp_path / "m.tif"
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
        "from swath.cli.main import main; main()"
    )
    words = ["predict", model, image, target, *WORDS]
    size = len(undisturbed[0])
    for limit in (size // 4, size - 1):
        call = [sys.executable, "-c", code.format(limit=limit), *map(str, words)]
        run = subprocess.run(call, capture_output=True, text=True, check=False)
        assert run.returncode == 1 and "Error: " in run.stderr and "Traceback" not in run.stderr, (
            run.stderr
        )
        assert "unexpectedly" not in run.stderr and str(tmp_path) in run.stderr
        assert not target.exists()
    assert list(tmp_path.glob("m.tif.parts/*/*.part"))
    swath.predict(model, image, target, **OPTIONS)
    assert target.read_bytes() == undisturbed[0] and sorted(os.listdir(tmp_path)) == [
        "m.qml",
        "m.tif",
    ]


def test_what_has_changed_is_refused_until_it_is_undone_or_thrown_away(
    model, image, undisturbed, tmp_path
):
    target = tmp_path / "m.tif"
    copy = tmp_path / "i.tif"
    copy.write_bytes(Path(image).read_bytes())
    swath.predict(model, copy, target, keep_parts=True, **OPTIONS)
    parts = tmp_path / "m.tif.parts"
    for change, name in (({"confidence": True}, "layers"), ({"halo": 64}, "halo")):
        with fails("other-work", JobError, file=parts) as caught:
            swath.predict(model, copy, target, **OPTIONS | change)
        assert caught.value.message.endswith(f": {name}") and "--restart" in caught.value.fix
    with rasterio.open(copy, "r+") as open_image:
        open_image.write(
            np.full((3, 4, 4), 9, np.uint8), window=rasterio.windows.Window(0, 0, 4, 4)
        )
    with fails("other-work", JobError, file=parts) as caught:
        swath.predict(model, copy, target, **OPTIONS)
    assert caught.value.message.endswith(": an image, mask or regions file")
    swath.predict(model, copy, target, restart=True, **OPTIONS)
    assert not parts.exists()


def test_two_processes_make_the_same_bytes(model, image, undisturbed, tmp_path):
    swath.predict(model, image, tmp_path / "m.tif", workers=2, **OPTIONS)
    assert (tmp_path / "m.tif").read_bytes() == undisturbed[0]


def test_processes_tell_what_they_met(model, image, tmp_path):
    torn = tmp_path / "i.tif"
    torn.write_bytes(Path(image).read_bytes()[: Path(image).stat().st_size * 2 // 3])
    with pytest.raises(DataError) as caught:
        swath.predict(model, torn, tmp_path / "m.tif", workers=2, **OPTIONS)
    assert caught.value.file == str(torn) and " rows " in caught.value.message


@pytest.mark.slow
def test_two_ray_nodes_and_a_killed_worker_make_the_same_bytes(model, image, undisturbed, tmp_path):
    """Two nodes on loopback; a worker process is killed as soon as there is a part."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        cluster.add_node(num_cpus=1)
        target, parts = tmp_path / "m.tif", tmp_path / "m.tif.parts"
        run = begin(model, image, target, "--cluster", cluster.address)
        killed = None
        while run.poll() is None and killed is None:
            if list(parts.glob("*/*.part")):
                killed = next(iter(_actors()), None)
                if killed is not None:
                    os.kill(killed, signal.SIGKILL)
            time.sleep(0.02)
        assert run.wait(timeout=120) == 0, run.stderr.read()
        assert killed is not None
        assert target.read_bytes() == undisturbed[0]
    finally:
        cluster.shutdown()


def _actors():
    """List the processes of our actors that are at work; Ray names a process after its actor."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"ray::_Actor" in (process / "cmdline").read_bytes():
                yield int(process.name)
        except OSError:
            continue
