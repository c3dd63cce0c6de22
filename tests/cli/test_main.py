"""The command line: exit codes, JSON, configuration files, error paragraphs, and how fast it starts."""

from __future__ import annotations

import json
import logging
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import swath
from swath.cli.main import COMMANDS, main
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


@pytest.mark.parametrize("verb", COMMANDS)
def test_help_of_every_verb(run: Any, verb: str) -> None:
    ran = run(verb, "--help")
    assert ran.code == 0 and ran.err == ""
    for flag in ("--json", "--config", "--quiet", "-q", "--verbose", "-v"):
        assert flag in ran.out
    assert run(verb, "-h").out == ran.out


@pytest.mark.parametrize(
    ("verb", "flags"),
    [
        (
            "prepare",
            "--layout --classes --images --labels --label-field --mask --test --val --unlabeled --skip-bad --seed",
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
    words = run(verb, "--help").out.replace(",", " ").replace("/", " ").split()
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prepare"], "SOURCE"),
        (["prepare", "s"], "DATASET"),
        (["inspect", "s", "--wrong"], "--wrong"),
        (["inspect", "s", "--layout", "maze"], "maze"),
        (["prepare", "s", "d", "--seed", "x"], "--seed"),
        (["prepare", "s", "d", "--seed", "-1"], "option seed"),
        (["prepare", "s", "d", "--block", "2"], "option block"),
        (["inspect", "s", "t"], "t"),
        (["fly"], "fly"),
        (["train", "d", "m", "--steps", "1", "--epochs", "1"], "more than one"),
    ],
)
def test_usage_errors_exit_2(run: Any, words: list[str], message: str) -> None:
    ran = run(*words)
    assert ran.code == 2 and ran.out == ""
    assert message in ran.err and "Traceback" not in ran.err


# Exit codes, JSON and error paragraphs


def test_inspect_json(run: Any, source: Path) -> None:
    ran = run("inspect", source, "--json")
    assert ran.code == 0 and ran.err == ""
    assert ran.out.count("\n") == 1
    assert ran.json == swath.inspect(source).model_dump(mode="json")
    assert all(set(f) == {"level", "code", "file", "message", "fix"} for f in ran.json["findings"])
    assert all(type(c["pixels"]) is int and type(c["code"]) is int for c in ran.json["classes"])


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
    assert "Findings: 1 errors, 1 warnings, 0 notes" in ran.out
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
    assert (
        ran.err.startswith(f"Error: {source / 'images' / 'b.tif'}: ") and ran.err.count("\n") == 1
    )
    assert "--unlabeled" in ran.err
    skipped = run("prepare", source, tmp_path / "d", "--skip-bad", "--json")
    assert skipped.code == 0 and skipped.json["skipped"] == ["b"]
    assert run("prepare", source, tmp_path / "d", "--unlabeled").code == 0


def test_no_such_folder_exits_1(run: Any, tmp_path: Path) -> None:
    ran = run("prepare", tmp_path / "nowhere", tmp_path / "d")
    assert ran == Ran(
        1, "", f"Error: {tmp_path / 'nowhere'}: There is no such folder. Check the path.\n"
    )
    seen = run("inspect", tmp_path / "nowhere", "--json")
    assert seen.code == 1 and seen.json["findings"][0]["file"] == str(tmp_path / "nowhere")


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
    assert quiet.err.count("\n") == 1 and "Traceback" in loud.err


def test_unknown_group_exits_2(run: Any, source: Path, tmp_path: Path) -> None:
    ran = run("prepare", source, tmp_path / "d", "--test", "z")
    assert ran.code == 2 and ran.out == ""
    assert (
        ran.err
        == "Error: --test names the group 'z', which does not exist. The groups are: a, b, c, d.\n"
    )


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
    assert [line.split()[0] for line in ran.out.splitlines()[1:4]] == ["train", "val", "test"]


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
    ("text", "message"),
    [
        ("color: 1", "there is no option 'color'. Options are: source, dataset"),
        ("- 1", "not a mapping"),
        ("a: [", "cannot be read"),
        ("seed: many", "option seed"),
        ("layout: maze", "option layout"),
        (None, "cannot be read"),
    ],
)
def test_wrong_config_exits_2(
    run: Any, source: Path, tmp_path: Path, text: str | None, message: str
) -> None:
    config = tmp_path / "options.yaml"
    if text is not None:
        config.write_text(text, encoding="utf-8")
    ran = run("prepare", source, tmp_path / "d", "--config", config)
    assert (
        ran.code == 2
        and message in ran.err
        and ran.err.startswith("Error: ")
        and "Traceback" not in ran.err
    )


def test_empty_config(run: Any, source: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("", encoding="utf-8")
    assert run("inspect", source, "--config", tmp_path / "empty.yaml").code == 0


# Options of several values


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("S D --images a b --json", "S D --images a --images b --json"),
        ("--images a b --labels l S D", "--images a --images b --labels l S D"),
        ("S --images a b D", "S --images a --images b D"),
        ("--images a b S D", "--images a --images b S D"),
        ("--images a b S D --json", "--images a --images b S D --json"),
        ("--mask m n o --images a b S D", "--mask m --mask n --mask o --images a --images b S D"),
        ("--images a S", "--images a S"),
        ("S D --images a --mask m n --images b", "S D --images a --mask m --mask n --images b"),
        ("--images=a S D", "--images=a S D"),
        ("S D --test A --skip-bad --images a b", "S D --test A --skip-bad --images a --images b"),
        ("--skip-bad S D --images a b", "--skip-bad S D --images a --images b"),
        ("S D -q --images a b", "S D -q --images a --images b"),
    ],
)
def test_lists_spread(words: str, expected: str) -> None:
    assert COMMANDS["prepare"].spread(words.split()) == expected.split()


def test_images_as_the_shell_gives_them(run: Any, scene: Path, tmp_path: Path) -> None:
    one = run("inspect", scene, "--images", "b1.tif", "b2.tif", "--labels", "labels.gpkg", "--json")
    assert one.code == 0 and one.json["layout"] == "scene"
    assert one.json["bands"] == ["b1", "b2"]
    assert (
        run("inspect", scene, "--images", "b*.tif", "--labels", "labels.gpkg", "--json").json
        == one.json
    )
    assert (
        run(
            "inspect", "--json", "--labels", "labels.gpkg", "--images", "b1.tif", "b2.tif", scene
        ).json
        == one.json
    )
    assert (
        run(
            "inspect",
            "--labels",
            "labels.gpkg",
            "--images",
            "b1.tif",
            "--images",
            "b2.tif",
            "--json",
            scene,
        ).json
        == one.json
    )
    prepared = run(
        "prepare",
        scene,
        tmp_path / "d",
        "--labels",
        "labels.gpkg",
        "--images",
        scene / "b1.tif",
        scene / "b2.tif",
        "--json",
    )
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
        assert ran == Ran(1, "", f"Error: {deep}: There is no such folder. Check the path.\n")
    usage = spawn(
        "prepare",
        source,
        tmp_path / "d",
        "--test",
        "a group that is nowhere to be found",
        env={"COLUMNS": "20"},
    )
    assert usage.code in (1, 2) and "Traceback" not in usage.err


def test_a_damaged_file_is_one_paragraph_too(source: Path, tmp_path: Path) -> None:
    truncate(source / "images" / "a.tif")
    ran = spawn("prepare", source, tmp_path / "d", env={"COLUMNS": "20"})
    assert (
        ran.code == 1 and "Traceback" not in ran.err and str(source / "images" / "a.tif") in ran.err
    )
    assert ran.err.count("\n") == 1


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


LIBRARIES = "import pydantic.dataclasses, typer"


@pytest.mark.parametrize(("way", "most"), [("import", 0.6), ("help", 3.5)])
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
    assert ran.code == 1 and "is empty in 20 of 20 features" in ran.err
    image = next((stripes.parent / "source" / "a" / "images").iterdir())
    assert "Distance from the training data" in run("inspect", image, "--against", tiny_model).out
