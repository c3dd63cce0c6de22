"""Every command on tiny data, what it writes, and ways to disturb it."""

import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pyogrio

import swath
from swath.models.model import Model

PROGRAM = (sys.executable, "-m", "swath")
TRAIN_OPTIONS = ("--encoder", "test_efficientnet", "--weights", "none")


@dataclass(frozen=True)
class Case:
    """A command: its words, what it writes, and what may lie beside that after an interruption.

    Words and outputs are relative to the folder it works in, and `{data}` in words is the folder of
    what it reads.
    """

    words: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    begins_with: dict[str, str] = field(default_factory=dict)

    def begin(self, data, folder, limit=None, memory=None):
        """Start it in a folder, with limits on the size of files and on its memory (bytes)."""
        for name, source in self.begins_with.items():
            if not (folder / name).exists():
                shutil.copy(data / source, folder / name)
        words = [w.format(data=os.path.relpath(data, folder)) for w in self.words]

        def prepared():
            signal.signal(
                signal.SIGINT, signal.SIG_DFL
            )  # which is ignored where the tests run in the background
            for what, most in ((resource.RLIMIT_FSIZE, limit), (resource.RLIMIT_AS, memory)):
                if most is not None:
                    resource.setrlimit(what, (most, most))

        here = str(Path(swath.__file__).parents[1])  # this Swath, wherever the folder is
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(folder.parent),
            "PYTHONPATH": here,
        }
        return subprocess.Popen(
            [*PROGRAM, *words],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=prepared,
        )


CASES = {
    "inspect": Case(("inspect", "{data}/source", "--report", "page"), ("page/index.html",)),
    "prepare": Case(("prepare", "{data}/source", "ds", "--test", "d", "--val", "c"), ("ds",)),
    "train": Case(
        ("train", "{data}/dataset", "m.swath", "--steps", "45", "--resume", *TRAIN_OPTIONS),
        ("m.swath",),
        ("m.swath.training",),
    ),
    "crossvalidate": Case(
        ("crossvalidate", "{data}/dataset", "cv", "--folds", "2", "--steps", "2", *TRAIN_OPTIONS),
        ("cv/crossvalidation.json", "cv/fold-1.swath", "cv/fold-2.swath"),
        ("cv",),
    ),
    "evaluate": Case(
        ("evaluate", "{data}/m.swath", "{data}/dataset", "--report", "page"), ("page/index.html",)
    ),
    "compare": Case(
        ("compare", "{data}/m.swath", "{data}/other.swath", "{data}/dataset", "--report", "page"),
        ("page/index.html",),
    ),
    "predict": Case(
        (
            "predict",
            "{data}/m.swath",
            "{data}/i.tif",
            "m.tif",
            "--memory",
            "0.54",
            "--halo",
            "32",
            "--threads",
            "1",
            "--confidence",
            "--polygons",
            "m.gpkg",
        ),
        ("m.tif", "m_confidence.tif", "m.qml", "m.gpkg"),
        ("m.tif.parts",),
    ),
    "sample": Case(("sample", "{data}/map.tif", "p.gpkg", "-n", "30"), ("p.gpkg",)),
    "suggest": Case(
        ("suggest", "{data}/m.swath", "{data}/i.tif", "{data}/fields.gpkg", "r.gpkg", "-n", "5"),
        ("r.gpkg",),
    ),
    "area": Case(("area", "{data}/map.tif", "--reference", "{data}/points.gpkg")),
    "quantize": Case(
        ("quantize", "m.swath", "{data}/dataset"), ("m.swath",), begins_with={"m.swath": "m.swath"}
    ),
    "export": Case(("export", "{data}/m.swath", "m.onnx"), ("m.onnx",)),
    "submit": Case(
        ("submit", "{data}/contest.swath", "{data}/contest", "s.zip"), ("s.zip",), ("s.zip.maps",)
    ),
}


def digest(path):
    """Return what must be the same of an output every time; None where it is absent."""
    if not path.exists():
        return None
    if path.is_dir():
        return {str(p.relative_to(path)): digest(p) for p in sorted(path.rglob("*")) if p.is_file()}
    if path.suffix == ".swath":  # how long it took is in its card, and in nothing else
        card = Model(path).card
        return card.files, [(step, round(loss, 6)) for step, _, loss, _ in card.training.curve]
    if path.suffix == ".gpkg":
        _, _, shapes, columns = pyogrio.raw.read(path)
        return [bytes(s) for s in shapes], [c.tolist() for c in columns]
    return hashlib.sha256(path.read_bytes()).hexdigest()


def listed(folder):
    """Return the names of all that lies in a folder."""
    return sorted(p.name for p in folder.iterdir())


@dataclass(frozen=True)
class Undisturbed:
    """What a verb does when nobody disturbs it."""

    seconds: float
    digests: dict[str, object]
    names: list[str]
    sizes: list[int]
    old: dict[str, object]


class World:
    """Data for all verbs, and what each makes of them undisturbed."""

    def __init__(self, data: Path, work: Path) -> None:
        self.data = data
        self._work = work
        self._known: dict[str, Undisturbed] = {}
        self._count = 0

    def folder(self):
        """Return a new empty folder, in one that holds nothing else."""
        self._count += 1
        folder = self._work / f"{self._count}" / "w"
        folder.mkdir(parents=True)
        return folder

    def undisturbed(self, verb):
        """Run a verb once to its end."""
        if verb not in self._known:
            case, folder, begun = CASES[verb], self.folder(), time.monotonic()
            run = case.begin(self.data, folder)
            _, errors = run.communicate()
            assert run.returncode == 0, errors
            self._known[verb] = Undisturbed(
                time.monotonic() - begun,
                {n: digest(folder / n) for n in case.outputs},
                listed(folder),
                [p.stat().st_size for p in folder.rglob("*") if p.is_file()],
                {name: digest(self.data / source) for name, source in case.begins_with.items()},
            )
        return self._known[verb]

    def whole_or_absent(self, verb, folder):
        """Check that each output is as it should be, or not there, or as it was before."""
        known = self.undisturbed(verb)
        for name in CASES[verb].outputs:
            found = digest(folder / name)
            assert found in (None, known.digests[name], known.old.get(name)), (
                f"{verb}: {name} is neither whole nor absent"
            )

    def finish(self, verb, folder):
        """Give the command once more; expect the undisturbed result, with nothing left over."""
        known, run = self.undisturbed(verb), CASES[verb].begin(self.data, folder)
        _, errors = run.communicate()
        assert run.returncode == 0, f"{verb}: {errors}"
        assert {n: digest(folder / n) for n in CASES[verb].outputs} == known.digests, verb
        assert listed(folder) == known.names, verb


def stopped(world, verb, folder, how, after):
    """Start a command, and send it a signal after some seconds.

    Return how long it took if it had ended before, else None.
    """
    begun, run = time.monotonic(), CASES[verb].begin(world.data, folder)
    try:
        run.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        run.send_signal(how)
        _, errors = run.communicate(timeout=300)
        if how != signal.SIGKILL:
            assert "unexpectedly" not in errors, f"{verb}: {errors}"
        return None
    assert run.returncode == 0, verb
    return time.monotonic() - begun
