"""Files that are made of labels: the commands, their progress, failures and canceling."""

import json
import shlex
import time

import pytest
import yaml

from swath.cli.command import option_fields
from swath.cli.main import COMMANDS
from swath.options import make_options
from swath.server.labeling.labels.class_table import LabelClass
from swath.server.labeling.outputs import Outputs
from swath.server.labeling.refusal import Refused
from swath.server.predictions import worker_process
from tests.errors import fails
from tests.test_options import parse

WORKER = """
import json, os, sys, time
command, options = sys.argv[1], json.loads(sys.argv[2])
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps([command, options]) + "\\n")
print(json.dumps({"progress": 0.5}), flush=True)
if command == os.environ.get("FAULT"):
    if os.environ.get("DIES"):
        os.abort()
    print(json.dumps({"error": "the labels are wrong."}), flush=True)
    sys.exit()
while command == os.environ.get("WAITS"):
    time.sleep(0.05)
result = {
    "train": {"folds": {"miou": 0.5}, "features": "bands"} if "recipe" in options else {},
    "crossvalidate": {"miou": 0.4},
}.get(command, {})
print(json.dumps({"done": True, "result": result}), flush=True)
"""

CLASSES = [LabelClass(1, "wood: dry", "#009E73"), LabelClass(7, "<b>", "#0072B2")]


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    (tmp_path / "fake_worker.py").write_text(WORKER)
    monkeypatch.setattr(worker_process, "WORKER", "fake_worker")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    made = Outputs(
        tmp_path / "my scene.tif", tmp_path / "l.gpkg", "class", "labels", lambda path: path.name
    )
    yield made
    made.close()


def until(outputs, *states):
    for _ in range(500):
        if outputs.outcome.state in states:
            return outputs.outcome
        time.sleep(0.02)
    raise AssertionError(outputs.outcome)


@pytest.mark.parametrize("kind", ["finish", "longer"])
def test_the_commands_run_one_after_the_other(kind, outputs, tmp_path):
    outputs.start(kind, CLASSES)
    done = until(outputs, "done", "failed")
    stem = "l" if kind == "finish" else "l-full"
    count, score = (3, 0.5) if kind == "finish" else (4, 0.4)
    assert (done.state, done.steps, done.score) == ("done", (count, count), score)
    assert done.progress == 1.0 and done.features == ("bands alone" if kind == "finish" else None)
    assert done.files == (f"{stem}.swath", f"{stem}-map.tif", f"{stem}-map.gpkg")
    assert done.layers == (f"{stem}-map.tif",)
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert [name for name, _ in calls] == ["prepare", "train", "predict", "crossvalidate"][:count]
    assert ("recipe" in calls[1][1]) == (kind == "finish")
    rows = yaml.safe_load((tmp_path / "l-classes.yaml").read_text())["classes"]
    assert [(r["code"], r["name"], r["color"]) for r in rows] == [
        (c.code, c.name, c.color) for c in CLASSES
    ]


@pytest.mark.parametrize("kind", ["finish", "longer"])
def test_the_commands_shown_are_those_that_run(kind, outputs):
    for call in outputs.calls(kind):
        words = shlex.split(call.shell)
        assert words[:2] == ["swath", call.command]
        fields = {f.name: f for f in option_fields(COMMANDS[call.command].options)}
        positional = [name for name, field in fields.items() if field.positional]
        assert list(call.arguments) == positional[: len(call.arguments)]
        assert set(call.options) <= set(fields)
        command = COMMANDS[call.command]
        typed = parse(command, words[2:])
        given = call.arguments | call.options
        assert make_options(command.options, typed) == make_options(command.options, given)


def test_a_map_without_a_score_is_shown_and_says_why(outputs, monkeypatch):
    monkeypatch.setenv("FAULT", "crossvalidate")
    outputs.start("longer", CLASSES)
    done = until(outputs, "done", "failed")
    assert (done.state, done.layers, done.score) == ("done", ("l-full-map.tif",), None)
    assert "the labels are wrong" in done.unscored


@pytest.mark.parametrize("dies", ["", "yes"])
def test_a_step_that_fails_is_told(dies, outputs, monkeypatch, tmp_path):
    monkeypatch.setenv("FAULT", "train")
    monkeypatch.setenv("DIES", dies)
    outputs.start("finish", CLASSES)
    failed = until(outputs, "done", "failed")
    assert failed.state == "failed" and "Training" in failed.error
    assert "predict" not in (tmp_path / "calls").read_text() and not failed.layers
    monkeypatch.setenv("FAULT", "")
    outputs.start("finish", CLASSES)
    assert until(outputs, "done", "failed").state == "done"


def test_one_runs_at_a_time_and_can_be_cancelled(outputs, monkeypatch):
    monkeypatch.setenv("WAITS", "train")
    outputs.start("longer", CLASSES)
    with fails("job-running", Refused):
        outputs.start("finish", CLASSES)
    for _ in range(500):
        if outputs.outcome.step == "Training":
            break
        time.sleep(0.02)
    outputs.cancel()
    assert outputs.outcome.state == "cancelled"
    outputs._thread.join(timeout=10)
    assert not outputs._thread.is_alive() and outputs.outcome.state == "cancelled"
