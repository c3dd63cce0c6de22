"""Predictions requested over the network: a queue of bounded length that survives a restart.

The list is a SQLite database in the jobs folder; each job has a folder of its own below `work/`
with its upload and its map. One job runs at a time, in a process of its own. A job that was running
when the server stopped runs again when the server starts.
"""

from __future__ import annotations

import secrets
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from swath.errors import JobError
from swath.server.predictions.worker_process import messages, start_worker

MAX_PENDING = 20
"""Jobs that may wait or run at once."""

MAX_FINISHED = 100
"""Finished jobs that are kept; older ones are deleted, with their files."""

MAX_JOB_TRIES = 3
"""A job whose worker died so often has failed."""

IMAGE, MAP = "image", "map.tif"

_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, model TEXT NOT NULL, image TEXT NOT NULL,
    name TEXT NOT NULL, created REAL NOT NULL, ended REAL, progress REAL NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0, error TEXT
)
"""

_INSERT = """
INSERT INTO jobs (id, state, model, image, name, created) VALUES (?, 'queued', ?, ?, ?, ?)
"""


class QueueFull(JobError):
    """There are too many jobs."""

    def __init__(self) -> None:
        super().__init__(
            f"{MAX_PENDING} predictions are waiting already",
            code="queue-full",
            fix="Try again later",
        )


@dataclass(frozen=True)
class Job:
    """A prediction.

    Attributes:
        id: its name.
        state: queued, running, done, failed or cancelled.
        model: path of the model file.
        image: path of the image.
        name: the client's name for the image.
        created: time of the request, in seconds since 1970.
        ended: time of the end, or None.
        progress: 0 to 1.
        tries: how often the job was started.
        error: why the job failed, or None.
    """

    id: str
    state: str
    model: str
    image: str
    name: str
    created: float
    ended: float | None
    progress: float
    tries: int
    error: str | None

    def as_json(self) -> dict[str, Any]:
        """Return the public fields: no path of this machine."""
        public = asdict(self)
        del public["image"], public["tries"]
        return public | {"model": Path(self.model).name}


class Jobs:
    """The queue.

    Args:
        folder: where the list and the files are kept.

    Raises:
        JobError: the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self._list = folder / "jobs.sqlite"
        self._wake, self._stopping = threading.Event(), False
        self._running: tuple[str, subprocess.Popen[str]] | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            self._execute(_TABLE)
            self._execute("UPDATE jobs SET state = 'queued' WHERE state = 'running'")
        except (OSError, sqlite3.Error) as error:
            raise JobError(
                f"The folder for predictions cannot be used ({error})",
                code="folder-unusable",
                file=folder,
                fix="Give another --jobs",
            ) from error

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._list, timeout=10, isolation_level=None)
        database.row_factory = sqlite3.Row
        try:
            database.execute("PRAGMA journal_mode=WAL")
            yield database
        finally:
            database.close()

    def _execute(self, statement: str, *values: Any) -> None:
        with self._database() as database:
            database.execute(statement, values)

    def new_folder(self) -> tuple[str, Path]:
        """Make the folder of a future job; return the name of the job and the path."""
        name = secrets.token_hex(8)
        folder = self.work / name
        folder.mkdir()
        return name, folder

    def check_capacity(self) -> None:
        """Check that one more job may wait.

        Raises:
            QueueFull: none may.
        """
        counts = self.counts()
        if counts.get("queued", 0) + counts.get("running", 0) >= MAX_PENDING:
            raise QueueFull

    def submit(self, id: str, model: Path, image: Path, name: str) -> Job:
        """Append a job to the queue.

        Raises:
            QueueFull: there are too many.
        """
        with self._lock:
            self.check_capacity()
            self._execute(_INSERT, id, str(model), str(image), name[:200], time.time())
        self._wake.set()
        job = self.get(id)
        assert job is not None
        return job

    def get(self, id: str) -> Job | None:
        """Return a job, or None."""
        return next(iter(self._select("WHERE id = ?", id)), None)

    def all(self) -> list[Job]:
        """Return all jobs, the newest first."""
        return self._select("ORDER BY created DESC, rowid DESC")

    def counts(self) -> dict[str, int]:
        """Return the number of jobs by state."""
        with self._database() as database:
            rows = database.execute("SELECT state, count(*) FROM jobs GROUP BY state")
            return dict(map(tuple, rows))

    def _select(self, rest: str, *values: Any) -> list[Job]:
        with self._database() as database:
            rows = database.execute(f"SELECT * FROM jobs {rest}", values)
            return [Job(**dict(row)) for row in rows]

    def _set(self, id: str, **values: Any) -> None:
        names = ", ".join(f"{key} = ?" for key in values)
        self._execute(f"UPDATE jobs SET {names} WHERE id = ?", *values.values(), id)

    def cancel(self, id: str) -> bool:
        """Stop a job, or delete one that has ended, with its files; return whether it existed."""
        job = self.get(id)
        if job is None:
            return False
        if job.state in ("queued", "running"):
            self._set(id, state="cancelled", ended=time.time())
            with self._lock:
                if self._running and self._running[0] == id:
                    self._running[1].kill()
        else:
            self._execute("DELETE FROM jobs WHERE id = ?", id)
        shutil.rmtree(self.work / id, ignore_errors=True)
        return True

    def start(self) -> None:
        """Start to work through the queue, in a thread."""
        self._thread = threading.Thread(target=self._run_queue, name="swath-jobs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop; a running job starts again next time."""
        self._stopping = True
        self._wake.set()
        with self._lock:
            if self._running:
                self._running[1].kill()
        if self._thread:
            self._thread.join(timeout=10)

    def _run_queue(self) -> None:
        while not self._stopping:
            waiting = self._select("WHERE state = 'queued' ORDER BY created, rowid LIMIT 1")
            if not waiting:
                self._wake.wait(timeout=5)
                self._wake.clear()
            elif waiting[0].tries >= MAX_JOB_TRIES:
                fix = "check the image, and the memory of the machine"
                self._end(waiting[0], f"The worker died in each of {MAX_JOB_TRIES} tries; {fix}")
            else:
                self._run_job(waiting[0])

    def _run_job(self, job: Job) -> None:
        self._set(job.id, state="running", tries=job.tries + 1)
        target = str(self.work / job.id / MAP)
        with self._lock:
            if self._stopping:
                self._set(job.id, state="queued", tries=job.tries)
                return
            process = start_worker(
                "predict", {"model": job.model, "image": job.image, "map": target}
            )
            self._running = (job.id, process)
        last: dict[str, Any] = {}
        for last in messages(process):
            if "progress" in last:
                self._set(job.id, progress=last["progress"])
        with self._lock:
            self._running = None
        now = self.get(job.id)
        if now is None or now.state == "cancelled":
            shutil.rmtree(self.work / job.id, ignore_errors=True)
        elif self._stopping and "done" not in last:
            self._set(job.id, state="queued", tries=job.tries)
        elif "done" in last or "error" in last:
            self._end(job, last.get("error"))
        else:
            self._set(job.id, state="queued")  # the worker died: another try

    def _end(self, job: Job, error: str | None) -> None:
        state, progress = ("failed", 0.0) if error else ("done", 1.0)
        self._set(job.id, state=state, error=error, ended=time.time(), progress=progress)
        oldest = "WHERE ended IS NOT NULL ORDER BY ended DESC LIMIT -1 OFFSET ?"
        for old in self._select(oldest, MAX_FINISHED):
            self.cancel(old.id)
