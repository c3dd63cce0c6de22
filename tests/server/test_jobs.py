"""The queue of predictions: order, bounds, and what a restart or a dead worker leaves."""

import sys
import time

import pytest

from swath.errors import JobError
from swath.server.predictions import job_queue, worker_process
from swath.server.predictions.job_queue import Jobs, QueueFull
from tests.errors import fails

WORKER = """
import json, os, sys, time
command, options = sys.argv[1:3]
model, image, target = map(json.loads(options).get, ("model", "image", "map"))
print(json.dumps({"progress": 0.5}), flush=True)
if model == "dies":
    os.abort()
if model == "fails":
    print(json.dumps({"error": "the bands are wrong."}), flush=True)
    sys.exit()
while model == "waits" and not os.path.exists(image):
    time.sleep(0.02)
open(target, "w").write("map")
print("not JSON")
print(json.dumps({"done": True}), flush=True)
"""


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """Make queues on one folder, with a worker that does what the model's name says."""
    (tmp_path / "fake_worker.py").write_text(WORKER)
    monkeypatch.setattr(worker_process, "WORKER", "fake_worker")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = []

    def make(start=True):
        made.append(Jobs(tmp_path / "jobs"))
        if start:
            made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.stop()


def submit(queue, model, image="go"):
    id, _ = queue.new_folder()
    return queue.submit(id, model, image, "name")


def until(queue, id, *states):
    for _ in range(500):
        job = queue.get(id)
        if job.state in states:
            return job
        time.sleep(0.02)
    raise AssertionError(job)


def test_jobs_end_as_their_worker_says(queue):
    jobs = queue()
    ids = [submit(jobs, model).id for model in ("works", "fails", "dies")]
    done, failed, dead = (until(jobs, id, "done", "failed") for id in ids)
    assert (
        done.state == "done"
        and done.progress == 1
        and (jobs.work / done.id / "map.tif").read_text() == "map"
    )
    assert failed.error == "the bands are wrong." and failed.progress == 0
    assert dead.state == "failed" and dead.tries == 3 and "3 tries" in dead.error
    assert jobs.counts() == {"done": 1, "failed": 2} and [j.id for j in jobs.all()] == ids[::-1]


def test_a_restart_takes_up_what_ran_and_what_waited(queue, tmp_path):
    first = queue()
    running, waiting = submit(first, "waits", tmp_path / "flag"), submit(first, "works")
    assert until(first, running.id, "running").tries == 1
    process = first._running[1] if first._running else None
    first.stop()
    assert process is None or process.poll() is not None
    second = queue(start=False)
    assert [j.state for j in second.all()] == ["queued", "queued"]
    (tmp_path / "flag").touch()
    second.start()
    assert until(second, running.id, "done").tries == 1 and until(second, waiting.id, "done")


def test_the_queue_is_bounded(queue, monkeypatch):
    monkeypatch.setattr(job_queue, "MAX_PENDING", 2)
    jobs = queue(start=False)
    submit(jobs, "works"), submit(jobs, "works")
    with fails("queue-full", QueueFull):
        submit(jobs, "works")
    jobs.cancel(jobs.all()[0].id)
    submit(jobs, "works")


def test_a_running_job_is_cancelled(queue, tmp_path):
    jobs = queue()
    job = submit(jobs, "waits", tmp_path / "never")
    until(jobs, job.id, "running")
    assert jobs.cancel(job.id)
    assert until(jobs, job.id, "cancelled").ended
    after = submit(jobs, "works")
    assert until(jobs, after.id, "done") and not (jobs.work / job.id).exists()
    assert jobs.cancel(job.id) and jobs.get(job.id) is None and not jobs.cancel(job.id)


def test_old_jobs_go_with_their_files(queue, monkeypatch):
    monkeypatch.setattr(job_queue, "MAX_FINISHED", 1)
    jobs = queue()
    old = submit(jobs, "works")
    until(jobs, old.id, "done")
    new = submit(jobs, "works")
    until(jobs, new.id, "done")
    for _ in range(100):
        if jobs.get(old.id) is None:
            break
        time.sleep(0.02)
    assert [j.id for j in jobs.all()] == [new.id] and not (jobs.work / old.id).exists()


def test_a_folder_that_cannot_be_used_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with fails("folder-unusable", JobError, tmp_path / "file"):
        Jobs(tmp_path / "file")


def test_a_worker_ends_with_the_server(tmp_path):
    import subprocess

    command = [
        sys.executable,
        "-c",
        "import swath.cli.worker as w, threading, time; "
        "threading.Thread(target=w._exit_with_server, daemon=True).start(); time.sleep(60)",
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    process.stdin.close()
    assert process.wait(timeout=30) == 1
