"""What becomes of labels: a model file, a map and its polygons, by the commands of the shell."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from swath import options as option_classes
from swath.errors import JobError
from swath.io.atomic import atomic_file
from swath.server.labeling.labels.class_table import LabelClass
from swath.server.labeling.refusal import Refused
from swath.server.predictions.worker_process import messages, start_worker
from swath.types import DESCRIBED_BY, PixelFeatures

Kind = Literal["finish", "longer"]

STEPS = {
    "prepare": "Preparing",
    "train": "Training",
    "predict": "Mapping",
    "crossvalidate": "Scoring by folds",
}
"""Words for the page by command."""

FOLDS = 2
"""Parts of the scene by which the full recipe is scored, each in turn by a training without it."""


@dataclass(frozen=True)
class Call:
    """A command: its name, its arguments in the order of the shell, and its options."""

    command: str
    arguments: dict[str, str]
    options: dict[str, Any]

    @property
    def shell(self) -> str:
        """The command as it is typed."""
        kind = getattr(option_classes, f"{self.command.capitalize()}Options")
        given = option_classes.make_options(kind, self.arguments | self.options)
        return option_classes.command_line(given)


@dataclass(frozen=True)
class Outcome:
    """The state of the commands of one kind.

    Attributes:
        kind: finish (the quick recipe) or longer (the full one).
        state: running, done, failed or cancelled.
        step: what is done now, in words.
        steps: number of the step from 1, and how many there are.
        progress: of the step, 0..1.
        seconds: since the start.
        error: why it failed.
        layers: names of maps that the page can show; they may be there before the last step.
        files: names of the files that were written.
        score: mean IoU by folds, None without one.
        unscored: why there is no score.
        features: in words, what describes a pixel by the quick recipe.
    """

    kind: Kind
    state: str
    step: str = ""
    steps: tuple[int, int] = (0, 0)
    progress: float = 0.0
    seconds: float = 0.0
    error: str | None = None
    layers: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    score: float | None = None
    unscored: str | None = None
    features: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        return asdict(self)


class Outputs:
    """Runs the commands, one kind at a time.

    Args:
        scene: the image, as the user named it.
        labels: the GeoPackage, as the user named it.
        field: the class column.
        layer: the layer of labels.
        publish: makes a finished map a layer of the page; returns its name.
        minutes: of the full recipe's training.
    """

    def __init__(
        self,
        scene: Path,
        labels: Path,
        field: str,
        layer: str,
        publish: Callable[[Path], str],
        minutes: float = 8.0,
    ) -> None:
        self._scene, self._labels, self._field, self._layer = scene, labels, field, layer
        self._publish, self._minutes = publish, minutes
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._began = 0.0
        self._outcome: Outcome | None = None

    @property
    def outcome(self) -> Outcome | None:
        """The state of what runs, or ran last; None where nothing was asked for."""
        now = self._outcome
        if now is not None and now.state == "running":
            return replace(now, seconds=round(time.monotonic() - self._began, 1))
        return now

    def calls(self, kind: Kind) -> list[Call]:
        """Return the commands of a kind, one after the other."""
        at = self._labels
        stem = at.stem if kind == "finish" else f"{at.stem}-full"
        dataset, model = at.with_name(f"{at.stem}-dataset"), at.with_name(f"{stem}.swath")
        prepared = {
            "images": str(self._scene.absolute()),
            "labels": str(at.absolute()),
            "classes": str(at.with_name(f"{at.stem}-classes.yaml")),
            "layer": self._layer,
            "label_field": self._field,
            "test": "none",
            "val": "none",
        }
        recipe: dict[str, Any] = {"recipe": "quick"}
        if kind == "longer":
            recipe = {"minutes": self._minutes}
        target = {"map": str(at.with_name(f"{stem}-map.tif"))}
        polygons = {"polygons": str(at.with_name(f"{stem}-map.gpkg"))}
        calls = [
            Call("prepare", {"source": str(at.parent), "dataset": str(dataset)}, prepared),
            Call("train", {"dataset": str(dataset), "model": str(model)}, recipe),
            Call("predict", {"model": str(model), "image": str(self._scene)} | target, polygons),
        ]
        if kind == "longer":
            folder = {"dataset": str(dataset), "folder": str(at.with_name(f"{stem}-folds"))}
            each = {"folds": FOLDS, "minutes": self._minutes / FOLDS}
            calls.append(Call("crossvalidate", folder, each))
        return calls

    def start(self, kind: Kind, classes: Sequence[LabelClass]) -> None:
        """Start the commands of a kind.

        Raises:
            Refused: some run already.
            JobError: the folder of the labels cannot be written.
        """
        with self._lock:
            if self._outcome is not None and self._outcome.state == "running":
                raise Refused("A map is being made already", code="job-running", status=409)
            self.write_classes(classes)
            self._began = time.monotonic()
            self._outcome = Outcome(kind, "running")
        self._thread = threading.Thread(
            target=self._run, args=(kind,), name="swath-outputs", daemon=True
        )
        self._thread.start()

    def write_classes(self, classes: Sequence[LabelClass]) -> None:
        """Write the class file that the commands name."""
        rows = [{"name": c.name, "code": c.code, "color": c.color} for c in classes]
        text = yaml.safe_dump({"classes": rows}, allow_unicode=True, sort_keys=False)
        with atomic_file(self._labels.with_name(f"{self._labels.stem}-classes.yaml")) as path:
            path.write_text(text, encoding="utf-8")

    def cancel(self) -> None:
        """Stop what runs."""
        with self._lock:
            if self._outcome is not None and self._outcome.state == "running":
                self._outcome = replace(self._outcome, state="cancelled")
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """Stop what runs, and wait until it has ended."""
        self.cancel()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _run(self, kind: Kind) -> None:
        calls = self.calls(kind)
        try:
            for number, call in enumerate(calls, 1):
                self._update(step=STEPS[call.command], steps=(number, len(calls)), progress=0.0)
                self._update(**self._facts(call))
            self._update(state="done", progress=1.0)
        except Exception as error:  # noqa: BLE001 - the page shows why it failed
            self._update(state="failed", error=str(error)[:1000])

    def _facts(self, call: Call) -> dict[str, Any]:
        """Run a command; return the fields of the outcome that it adds.

        Raises:
            JobError: the command failed, less the scoring, or was stopped.
        """
        try:
            result = self._call(call)
        except JobError as error:
            if call.command != "crossvalidate":
                raise
            return {"unscored": error.message}
        if call.command == "train" and result.get("features"):
            folds = result.get("folds")
            unscored = None
            if not folds:
                unscored = f"all labels of {', '.join(result['in_one_place'])} are in one place"
            kind: PixelFeatures = result["features"]
            score = folds["miou"] if folds else None
            return {"score": score, "unscored": unscored, "features": DESCRIBED_BY[kind]}
        if call.command == "predict":
            target = Path(call.arguments["map"])
            files = (call.arguments["model"], str(target), call.options["polygons"])
            names = tuple(Path(name).name for name in files)
            return {"layers": (self._publish(target),), "files": names}
        if call.command == "crossvalidate":
            return {"score": result["miou"]}
        return {}

    def _update(self, **fields: Any) -> None:
        """Change the state, unless it was cancelled."""
        with self._lock:
            now = self._outcome
            if now is not None and now.state == "running":
                spent = round(time.monotonic() - self._began, 1)
                self._outcome = replace(now, seconds=spent, **fields)

    def _call(self, call: Call) -> dict[str, Any]:
        """Run a command; return its result.

        Raises:
            JobError: the command failed, or was stopped.
        """
        with self._lock:
            if self._outcome is None or self._outcome.state != "running":
                raise JobError("The work was cancelled", code="cancelled")
            process = self._process = start_worker(call.command, call.arguments | call.options)
        last: dict[str, Any] = {}
        for last in messages(process):
            if "progress" in last:
                self._update(progress=round(float(last["progress"]), 3))
        with self._lock:
            self._process = None
        if "result" in last:
            result: dict[str, Any] = last["result"]
            return result
        reason = str(last.get("error") or "Its process ended, perhaps for lack of memory.")
        message = f"The step {STEPS[call.command]} failed: {reason.rstrip('.')}"
        raise JobError(message, code="command-failed", fix=f"Run `{call.shell}`")
