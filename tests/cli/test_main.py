"""The command line: help, completion, exit codes, JSON, configuration files, errors, start time."""

from __future__ import annotations

import json
import logging
import os
import re
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest

import swath
from swath.cli import summaries
from swath.cli.command import Command, option_fields
from swath.cli.main import COMMANDS, main
from swath.options import Group, make_options
from swath.progress import began
from tests.make import NORTH_UP, UTM, box, noise, truncate, write_layer, write_pairs, write_raster

PROGRAM = (sys.executable, "-c", "from swath.cli.main import main; main()")


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The last line on stdout."""
        return json.loads(self.out.splitlines()[-1])

    @property
    def error(self) -> str:
        """The code of the error on stderr, which is one unbroken paragraph."""
        progress = r"(?:[^\n]+% after \d+ s[^\n]*\n)*"  # on a slow machine
        found = re.fullmatch(progress + r"Error: [^\n]+ \[([a-z0-9-]+)\]\n", self.err)
        assert found, self.err
        return found[1]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the program in this process."""

    def call(*words: str | Path) -> Ran:
        capsys.readouterr()
        try:
            main([str(word) for word in words])
            code = 0
        except SystemExit as error:
            code = 0 if error.code is None else int(error.code)
        return Ran(code, *capsys.readouterr())

    return call


def spawn(
    *words: str | Path, env: dict[str, str] | None = None, program: tuple[str, ...] = PROGRAM
) -> Ran:
    """Run the program in a process of its own."""
    done = subprocess.run(
        [*program, *map(str, words)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | (env or {}),
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "source", ["a", "b", "c", "d"], size=32)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Two single-band files of one grid, and polygons."""
    for name in ("b1", "b2"):
        write_raster(tmp_path / "scene" / f"{name}.tif", noise(1, 128, 128), UTM, NORTH_UP)
    write_layer(
        tmp_path / "scene" / "labels.gpkg",
        [box(0, 0, 128, 60), box(0, 60, 128, 68)],
        {"class": [1, 2]},
    )
    return tmp_path / "scene"


# Help and usage


def test_a_run_begins_with_the_program(monkeypatch):
    """What `predict` and `--plan` tell of its time includes the imports."""
    begun, seen = time.monotonic(), []

    def app(*_, **__):
        time.sleep(0.1)
        seen.append(began() - begun)

    monkeypatch.setattr("swath.cli.main.app", app)
    main(["predict"])
    assert seen[0] < 0.1 <= began() - begun


@pytest.mark.parametrize("verb", COMMANDS)
def test_help_of_every_verb(run: Any, verb: str) -> None:
    ran = run(verb, "--help")
    assert ran.code == 0 and ran.err == ""
    common = "  --config FILE ,  --json ,  --json-progress ,  -q, --quiet ,  -v, --verbose "
    assert all(flag in ran.out.split("Common:\n")[1] for flag in common.split(","))
    assert run(verb, "-h").out == ran.out


@pytest.mark.parametrize(
    ("verb", "flags"),
    [
        (
            "prepare",
            "--layout --classes --images --labels --label-field --mask --test --val --unlabeled "
            "--skip-bad --seed",
        ),
        ("inspect", "--layout --classes --images --labels --label-field --mask --unlabeled"),
        (
            "train",
            "--recipe --encoder --decoder --weights --minutes --epochs --steps --resume --seed",
        ),
        ("evaluate", "--split --report"),
        ("predict", "--stack"),
    ],
)
def test_flags_of_the_contract(run: Any, verb: str, flags: str) -> None:
    words = run(verb, "--help").out.replace(",", " ").replace("[no-]", "").split()
    assert [flag for flag in flags.split() if flag not in words] == []


def test_help_lists_the_verbs(run: Any) -> None:
    ran = run("--help")
    assert ran.code == 0
    assert all(
        f"\n  {verb} " in ran.out
        for verb in ("inspect", "prepare", "train", "evaluate", "predict", "demo")
    )


def test_version(run: Any) -> None:
    assert run("--version") == Ran(0, f"swath {swath.__version__}\n", "")


def test_no_garbage_is_searched_for_at_the_exit() -> None:
    # Functions that are registered first run last.
    code = (
        "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 0)); "
        "from swath.cli.main import main; main(['--version'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "True"


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("columns", [80, 100])
def test_help_fits_the_terminal(
    run: Any, monkeypatch: pytest.MonkeyPatch, verb: str, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = [line for words in ((verb, "-h"), ("-h",)) for line in run(*words).out.splitlines()]
    assert columns - 12 < max(map(len, lines)) <= columns


def test_help_lists_commands_by_stage(run: Any) -> None:
    sections = run("--help").out.split("\n\n")
    stages = {title: body for title, body in (s.split(":\n", 1) for s in sections[2:])}
    found = {title: [line.split()[0] for line in stages[title].splitlines()] for title in stages}
    del found["Options"]
    assert found == {
        "Data": ["inspect", "prepare", "label", "suggest"],
        "Training": [
            *("train", "crossvalidate", "import", "calibrate", "quantize", "models", "export"),
        ],
        "Maps": ["predict", "change", "submit", "view", "serve"],
        "Accuracy and area": ["evaluate", "compare", "sample", "area"],
        "Demo": ["demo"],
    }
    summaries = [line.strip() for body in list(stages.values())[1:] for line in body.splitlines()]
    assert all(summary.endswith(".") for summary in summaries)


@pytest.mark.parametrize("verb", COMMANDS)
def test_help_begins_with_the_five_most_used_options(run: Any, verb: str) -> None:
    removed = {"ignore_borders", "jitter", "average"}
    fields = [f for f in option_fields(COMMANDS[verb].options) if not f.positional]
    groups = [f.group for f in fields if f.name not in removed]
    assert not groups or 1 <= groups.count("Options") <= 5
    headings = re.findall(r"^(\w+):$", run(verb, "-h").out, re.M)
    assert [h for h in ("Arguments", *get_args(Group), "Common", "Example") if h in headings] == (
        headings
    )


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_example_in_the_help_is_a_valid_command(
    run: Any, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    monkeypatch.setattr(Command, "run", lambda self, values, **how: given.append((self, values)))
    last = run(verb, "--help").out.splitlines()[-1]
    program, *words = shlex.split(last)
    assert program == "swath" and words[0] == verb and run(*words) == Ran(0, "", "")
    command, values = given[0]
    assert make_options(command.options, values)


def complete(words: str) -> set[str]:
    """Return what bash is offered for the last of these words, with nothing heavy imported."""
    env = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    code = (
        "import atexit, sys\natexit.register(lambda: sys.stderr.write(str({m} & set(sys.modules))))"
    )
    program = (sys.executable, "-c", f"{code.format(m=set(HEAVY))}\n{PROGRAM[2]}")
    ran = spawn(env=env | {"_SWATH_COMPLETE": "complete_bash"}, program=program)
    assert (ran.code, ran.err) == (0, "set()")
    return set(ran.out.split())


def test_completion_in_bash() -> None:
    assert complete("swath pre") == {"predict", "prepare"}
    assert complete("swath predict --engine ") == {"auto", "openvino", "onnxruntime", "cuda"}
    assert complete("swath prepare s d --layout s") == {"scene"}
    assert {"--skip-bad", "--no-skip-bad", "--seed"} <= complete("swath prepare --s") | {
        *complete("swath prepare --no-s")
    }


def test_completion_is_shown_and_installed(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    shown = run("--show-completion", "bash")
    assert shown.code == 0 and "_SWATH_COMPLETE=complete_bash" in shown.out
    assert run("--install-completion", "bash").code == 0
    script = tmp_path / ".bash_completions" / "swath.sh"
    assert script.read_text().strip() == shown.out.strip()
    assert str(script) in (tmp_path / ".bashrc").read_text()


def test_no_command_prints_the_help_and_exits_2(run: Any) -> None:
    assert run() == Ran(2, run("--help").out, "")


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        (["prepare"], "option-missing", "SOURCE"),
        (["prepare", "s"], "option-missing", "DATASET"),
        (["inspect", "s", "--wrong"], "option-unknown", "--wrong"),
        (["inspect", "s", "--layout", "maze"], "option-value", "maze"),
        (["inspect", "s", "--layout"], "option-value", "--layout"),
        (["prepare", "s", "d", "--seed", "x"], "option-value", "--seed"),
        (["prepare", "s", "d", "--seed", "-1"], "option-value", "seed"),
        (["prepare", "s", "d", "--block", "2"], "option-value", "block"),
        (["inspect", "s", "t"], "usage", "t"),
        (["prepare", "s", "d", "--images", "a", "b"], "usage", "Repeat a flag"),
        (["fly"], "usage", "fly"),
        (["train", "d", "m", "--steps", "1", "--epochs", "1"], "option-conflict", "--epochs"),
    ],
)
def test_usage_errors_exit_2(run: Any, words: list[str], code: str, name: str) -> None:
    ran = run(*words)
    assert (ran.code, ran.out, ran.error) == (2, "", code) and name in ran.err
    as_json = run(*words, "--json")
    if words[-1] != "--layout":  # which takes --json for its value
        assert as_json.code == 2 and as_json.json["error"]["code"] == code


# Exit codes, JSON and error paragraphs


def test_inspect_json(run: Any, source: Path) -> None:
    ran = run("inspect", source, "--json")
    assert ran.code == 0 and ran.err == ""
    assert ran.out.count("\n") == 1
    assert ran.json == swath.inspect(source).model_dump(mode="json")
    assert all(set(f) == {"level", "code", "file", "message", "fix"} for f in ran.json["findings"])
    assert all(type(c["pixels"]) is int and type(c["code"]) is int for c in ran.json["classes"])


def test_progress_as_lines_of_json(run: Any, source: Path, tmp_path: Path) -> None:
    ran = run("prepare", source, tmp_path / "d", "--json-progress", "-q")
    *progress, text, result = map(json.loads, ran.out.splitlines())
    assert ran.code == 0 and all(set(p) == {"progress", "title", "remark"} for p in progress)
    assert {"reading", "storing"} <= {p["title"] for p in progress}
    assert all(0 <= p["progress"] <= 1 for p in progress) and list(text) == ["text"]
    assert result["images"] == 4 and result["dataset"] == str(tmp_path / "d")
    failed = run("prepare", tmp_path / "nowhere", tmp_path / "d", "--json-progress")
    assert failed.json["error"]["code"] == failed.error


def test_inspect_of_an_empty_folder_prints_json_and_exits_1(run: Any, tmp_path: Path) -> None:
    ran = run("inspect", tmp_path, "--json")
    assert ran.code == 1
    assert [(f["level"], f["code"], f["file"]) for f in ran.json["findings"]] == [
        ("error", "no-images", str(tmp_path))
    ]
    assert ran.json["images"] == 0


def test_inspect_for_people(run: Any, source: Path) -> None:
    truncate(source / "images" / "b.tif")
    ran = run("inspect", source)
    assert ran.code == 1 and ran.err == ""
    assert ran.out.startswith("4 images, layout pairs, bands: ")
    assert "Findings: 1 error, 1 warning, 0 notes" in ran.out
    assert f"error   unreadable: {source / 'images' / 'b.tif'}: " in ran.out


def test_prepare_json(run: Any, source: Path, tmp_path: Path) -> None:
    ran = run("prepare", source, tmp_path / "d", "--test", "a", "--val", "none", "--json")
    assert ran.code == 0 and ran.out.count("\n") == 1
    assert {"images", "splits", "classes", "bands"} <= set(ran.json)
    assert (
        ran.json["splits"]["test"]["groups"] == ["a"] and ran.json["splits"]["val"]["images"] == 0
    )
    assert sum(c["share"] for c in ran.json["classes"]) == pytest.approx(1)
    assert type(ran.json["images"]) is int and all(
        type(c["pixels"]) is int for c in ran.json["classes"]
    )


def test_prepare_refuses_in_one_paragraph(run: Any, source: Path, tmp_path: Path) -> None:
    (source / "masks" / "b.png").unlink()
    ran = run("prepare", source, tmp_path / "d")
    assert ran.code == 1 and ran.out == ""
    assert ran.err.startswith(f"Error: {source / 'images' / 'b.tif'}: ") and ran.error
    assert "--unlabeled" in ran.err
    skipped = run("prepare", source, tmp_path / "d", "--skip-bad", "--json")
    assert skipped.code == 0 and skipped.json["skipped"] == ["b"]
    assert run("prepare", source, tmp_path / "d", "--unlabeled").code == 0


def test_no_such_folder_exits_1(run: Any, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    ran = run("prepare", nowhere, tmp_path / "d")
    assert (ran.code, ran.out) == (1, "") and ran.error and str(nowhere) in ran.err
    as_json = run("prepare", nowhere, tmp_path / "d", "--json")
    error = as_json.json["error"]
    assert as_json.code == 1 and as_json.err == ran.err and as_json.out.count("\n") == 1
    assert list(error) == ["code", "message", "file", "fix"]
    assert (error["code"], error["file"]) == (ran.error, str(nowhere))
    assert error["message"] in ran.err and error["fix"] in ran.err
    seen = run("inspect", nowhere, "--json")
    assert seen.code == 1 and seen.json["findings"][0]["file"] == str(nowhere)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "out-of-memory"),
        (OSError(28, "No space left on device"), "system-refuses"),
        (ModuleNotFoundError("No module named 'lightning'", name="lightning"), "package-missing"),
        (ZeroDivisionError("division by zero"), "unexpected"),
    ],
)
def test_every_exception_becomes_an_error_with_a_code(
    run: Any, source: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr("swath.commands.inspect.inspect", fail)
    ran = run("inspect", source, "--json")
    assert (ran.code, ran.error, ran.json["error"]["code"]) == (1, code, code)


def test_an_interruption_exits_130(run: Any, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(**_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("swath.commands.inspect.inspect", interrupt)
    assert run("inspect", source) == Ran(130, "", "Interrupted.\n")


def test_arguments_may_come_from_the_configuration(run: Any, source: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        f"source: {source}\ndataset: {tmp_path / 'd'}\njson: true\n", encoding="utf-8"
    )
    assert run("prepare", "--config", tmp_path / "c.yaml").json["images"] == 4


def test_a_bug_is_one_paragraph_and_a_traceback_only_if_asked(
    run: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swath.commands.inspect.survey_of", lambda _: 1 / 0)
    quiet, loud = run("inspect", source), run("inspect", source, "-v")
    assert quiet.code == loud.code == 1 and "ZeroDivisionError" in quiet.err
    assert quiet.error == "unexpected" and "Traceback" in loud.err


def test_unknown_group_exits_2(run: Any, source: Path, tmp_path: Path) -> None:
    ran = run("prepare", source, tmp_path / "d", "--test", "z")
    assert (ran.code, ran.out) == (2, "") and ran.error
    assert "'z'" in ran.err and "a, b, c, d" in ran.err


def test_quiet_says_nothing_but_errors_and_json(run: Any, source: Path, tmp_path: Path) -> None:
    assert run("inspect", source, "-q") == Ran(0, "", "")
    assert run("prepare", source, tmp_path / "d", "--quiet") == Ran(0, "", "")
    assert run("inspect", source, "-q", "--json").json["images"] == 4
    assert run("prepare", tmp_path / "nowhere", tmp_path / "e", "-q").err.startswith("Error: ")


def test_a_configuration_can_ask_for_quiet(
    run: Any,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from swath.commands import inspect

    survey_of = inspect.survey_of

    def warns(options: Any) -> Any:
        logging.getLogger("swath.commands.inspect").warning("look here")
        return survey_of(options)

    monkeypatch.setattr("swath.commands.inspect.survey_of", warns)
    (tmp_path / "c.yaml").write_text("quiet: true\n", encoding="utf-8")
    assert run("inspect", source).out and caplog.messages == ["look here"]
    assert run("inspect", source, "--config", tmp_path / "c.yaml") == Ran(
        0, "", ""
    ) and caplog.messages == ["look here"]


def test_prepare_for_people(run: Any, source: Path, tmp_path: Path) -> None:
    ran = run("prepare", source, tmp_path / "d", "--test", "a", "--val", "b")
    assert ran.code == 0 and ran.out.startswith(f"{tmp_path / 'd'}: 4 images")
    words = [line.split()[0] for line in ran.out.splitlines()]
    splits = [word for word in words if word in ("train", "val", "test")]
    assert splits[:3] == ["train", "val", "test"]
    assert "Labels:" in words and "Split:" in words


# Configuration


def test_config_holds_options_and_flags_win(run: Any, source: Path, tmp_path: Path) -> None:
    config = tmp_path / "options.yaml"
    config.write_text("test: [a, b]\nval: none\nseed: 5\nskip-bad: true\n", encoding="utf-8")
    (source / "masks" / "d.png").unlink()
    ran = run("prepare", source, tmp_path / "d", "--config", config, "--json")
    assert ran.code == 0 and ran.json["splits"]["test"]["groups"] == ["a", "b"]
    assert json.loads((tmp_path / "d" / "dataset.json").read_text(encoding="utf-8"))["seed"] == 5
    ran = run(
        "prepare",
        source,
        tmp_path / "d",
        "--config",
        config,
        "--test",
        "c",
        "--seed",
        "6",
        "--json",
    )
    assert (
        ran.json["splits"]["test"]["groups"] == ["c"] and ran.json["splits"]["val"]["groups"] == []
    )
    assert json.loads((tmp_path / "d" / "dataset.json").read_text(encoding="utf-8"))["seed"] == 6


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("color: 1", "option-unknown"),
        ("- 1", "config-not-a-mapping"),
        ("a: [", "config-unreadable"),
        ("seed: many", "option-value"),
        ("layout: maze", "option-value"),
        (None, "config-unreadable"),
    ],
)
def test_wrong_config_exits_2(
    run: Any, source: Path, tmp_path: Path, text: str | None, code: str
) -> None:
    config = tmp_path / "options.yaml"
    if text is not None:
        config.write_text(text, encoding="utf-8")
    ran = run("prepare", source, tmp_path / "d", "--config", config)
    assert (ran.code, ran.out, ran.error) == (2, "", code)
    assert code != "option-unknown" or "color" in ran.err and "source, dataset" in ran.err


def test_a_configuration_names_options_as_flags_do(run: Any, tmp_path: Path) -> None:
    for word in ("from", "from_"):
        (tmp_path / "c.yaml").write_text(f"{word}: m.swath\nsteps: 1\nepochs: 1\n")
        ran = run("train", "d", "m", "--config", tmp_path / "c.yaml")
        assert ran.error == "option-conflict"


def test_empty_config(run: Any, source: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("", encoding="utf-8")
    assert run("inspect", source, "--config", tmp_path / "empty.yaml").code == 0


# Options of several values


def test_images_by_repeated_flags_or_a_pattern(run: Any, scene: Path, tmp_path: Path) -> None:
    labels = ("--labels", "labels.gpkg", "--json")
    one = run("inspect", scene, "--images", "b1.tif", "--images", "b2.tif", *labels)
    assert one.code == 0 and one.json["layout"] == "scene"
    assert one.json["bands"] == ["b1", "b2"]
    assert run("inspect", scene, "--images", "b*.tif", *labels).json == one.json
    assert run("inspect", *labels, "--images", "b*.tif", scene).json == one.json
    paths = ("--images", scene / "b1.tif", "--images", scene / "b2.tif")
    prepared = run("prepare", scene, tmp_path / "d", *paths, *labels)
    assert prepared.code == 0 and prepared.json["images"] == 1


def test_scene_whose_images_are_not_there(run: Any, scene: Path) -> None:
    ran = run("inspect", scene, "--images", "x*.tif", "--labels", "labels.gpkg", "--json")
    assert ran.code == 1 and "x*.tif" in ran.json["findings"][0]["message"]
    assert run("inspect", scene, "--images", "b*.tif", "--json").code == 2


# The program as people start it


def test_exit_codes_of_the_process(source: Path, tmp_path: Path) -> None:
    done = spawn("inspect", source, "--json")
    assert done.code == 0 and done.err == "" and done.json["images"] == 4
    (tmp_path / "empty").mkdir()
    empty = spawn("inspect", tmp_path / "empty", "--json")
    assert empty.code == 1 and empty.json["findings"][0]["code"] == "no-images"
    assert spawn("inspect").code == 2


def test_errors_are_one_unbroken_paragraph(source: Path, tmp_path: Path) -> None:
    deep = tmp_path / "a folder with a long name" / "and another one with a long name" / "nowhere"
    for width in ("20", "80"):
        ran = spawn("prepare", deep, tmp_path / "d", env={"COLUMNS": width})
        assert (ran.code, ran.out) == (1, "") and ran.error and str(deep) in ran.err
    usage = spawn(
        "prepare",
        source,
        tmp_path / "d",
        "--test",
        "a group that is nowhere to be found",
        env={"COLUMNS": "20"},
    )
    assert usage.code == 2 and usage.error


def test_a_damaged_file_is_one_paragraph_too(source: Path, tmp_path: Path) -> None:
    truncate(source / "images" / "a.tif")
    ran = spawn("prepare", source, tmp_path / "d", env={"COLUMNS": "20"})
    assert ran.code == 1 and ran.error and str(source / "images" / "a.tif") in ran.err


def test_unicode_where_the_locale_is_plain(tmp_path: Path) -> None:
    source = write_pairs(tmp_path / "Zürich 東京", ["é", "ß"], size=32)
    (source / "masks" / "é.png").unlink()
    ran = spawn("inspect", source, "--json", env={"LC_ALL": "C"})
    assert ran.code == 1 and ran.err == ""
    assert ran.json["findings"][0]["file"] == str(source / "images" / "é.tif")
    assert spawn("prepare", source, tmp_path / "d", env={"LC_ALL": "C"}).err.startswith(
        f"Error: {source / 'images' / 'é.tif'}"
    )


def test_data_verbs_need_no_torch(source: Path, tmp_path: Path) -> None:
    code = (
        "import sys, swath; swath.inspect(sys.argv[1]); swath.prepare(sys.argv[1], sys.argv[2]);"
        "print('torch' in sys.modules, 'onnxruntime' in sys.modules)"
    )
    ran = spawn(source, tmp_path / "d", program=(sys.executable, "-c", code))
    assert (ran.code, ran.out.strip(), ran.err) == (0, "False False", "")


CALL = "from swath.cli.main import main\ntry:\n    main({})\nexcept SystemExit:\n    pass"
HEAVY = (
    "torch",
    "rasterio",
    "timm",
    "lightning",
    "openvino",
    "onnxruntime",
    "pyogrio",
    "shapely",
    "matplotlib",
)
WAYS = {
    "import": "import swath",
    "help": CALL.format("['--help']"),
    "help of a verb": CALL.format("['prepare', '--help']"),
}


@pytest.mark.parametrize("way", WAYS)
def test_starting_imports_nothing_heavy(way: str) -> None:
    ran = spawn(
        program=(
            sys.executable,
            "-c",
            WAYS[way] + f"\nimport sys\nprint([m for m in {HEAVY} if m in sys.modules])",
        )
    )
    assert ran.code == 0 and ran.out.splitlines()[-1] == "[]"


@pytest.mark.parametrize("words", [["--help"], ["-h"]])
def test_commands_are_listed_without_their_options(words: list[str]) -> None:
    unneeded = {"pydantic", "swath.options", "swath.cli.summaries", "rich"}
    code = f"{CALL.format(words)}\nimport sys\nprint({unneeded} & set(sys.modules))"
    ran = spawn(program=(sys.executable, "-c", code))
    assert ran.code == 0 and ran.out.splitlines()[-1] == "set()"


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_list_shows_the_first_line_of_the_help(run: Any, verb: str) -> None:
    command = COMMANDS[verb]
    assert command.summary == command.options.__doc__.split("\n")[0]
    assert callable(getattr(summaries, command.word))
    assert command.summary in run(verb, "--help").out


LIBRARIES = "import pydantic.dataclasses, typer"


@pytest.mark.slow
@pytest.mark.parametrize(("way", "most"), [("import", 0.6), ("help", 1.1)])
def test_starting_takes_about_as_long_as_its_libraries(
    way: str, most: float, tmp_path: Path
) -> None:
    """Processor time beside that of the libraries of the command line, the best of five each."""

    compiled = {
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(tmp_path),
    }  # as it is for users from the second time on

    def seconds(code: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert spawn(program=(sys.executable, "-c", code), env=compiled).code == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    times = np.array([(seconds(WAYS[way]), seconds(LIBRARIES)) for _ in range(5)])
    ours, libraries = times.min(axis=0)
    assert ours < most * libraries


# Real images


def test_landsat_from_the_command_line(run: Any, shared_data: Path, tmp_path: Path) -> None:
    words = (
        shared_data / "landsat",
        "--images",
        "lsat7_2000_*.tif",
        "--labels",
        "landsat96_polygons.shp",
        "--json",
    )
    ran = run("inspect", *words)
    assert ran.code == 0 and ran.json["layout"] == "scene" and len(ran.json["bands"]) == 6
    ran = run("prepare", words[0], tmp_path / "d", *words[1:])
    assert ran.code == 0 and sum(s["pixels"] for s in ran.json["splits"].values()) > 1000


def test_flood_is_refused_without_names_for_its_codes(
    run: Any, shared_data: Path, tmp_path: Path
) -> None:
    ran = run("prepare", shared_data / "flood", tmp_path / "d")
    assert (
        ran.code == 1 and "-1" in ran.err and "--classes" in ran.err and "LabelHand.tif" in ran.err
    )


def test_a_flag_turns_off_what_the_configuration_turns_on(
    run: Any, source: Path, tmp_path: Path
) -> None:
    (source / "masks" / "a.png").unlink()
    (tmp_path / "c.yaml").write_text("skip-bad: true\n", encoding="utf-8")
    assert run("prepare", source, tmp_path / "d", "--config", tmp_path / "c.yaml").code == 0
    assert (
        run(
            "prepare", source, tmp_path / "d", "--config", tmp_path / "c.yaml", "--no-skip-bad"
        ).code
        == 1
    )


def test_the_verbs_of_trust_say_what_they_found(tiny_model, stripes, tmp_path, run):
    """Each new verb in text, as people read it."""
    codes = np.kron(np.arange(1, 5).reshape(2, 2), np.ones((40, 40), int)).astype(np.uint8)
    mapped = write_raster(tmp_path / "m.tif", codes, UTM, NORTH_UP, nodata=0)
    text = run("evaluate", tiny_model, stripes).out
    assert (
        "kappa" in text
        and "boundary" in text
        and "Expected calibration error" in text
        and "No intervals" in text
    )
    assert "mIoU 1.000" in run("evaluate", mapped, mapped).out
    assert "+0.000" in run("compare", tiny_model, tiny_model, stripes).out
    assert (
        "20 points (1 5, 2 5, 3 5, 4 5)"
        in run("sample", mapped, tmp_path / "p.gpkg", "-n", "20").out
    )
    ran = run("area", mapped, "--reference", tmp_path / "p.gpkg")
    assert ran.code == 1 and "is empty in 20 of 20 points" in ran.err
    image = next((stripes.parent / "source" / "a" / "images").iterdir())
    assert "Distance from the training data" in run("inspect", image, "--against", tiny_model).out
