"""Options: defaults, checks, and the same signature in Python as on the command line."""

from __future__ import annotations

import inspect
import shlex
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import pytest

import swath
from swath import options
from swath.cli.command import Command
from swath.cli.main import COMMANDS
from swath.errors import UsageError
from swath.options import (
    AreaOptions,
    EvaluateOptions,
    InspectOptions,
    PredictOptions,
    PrepareOptions,
    TrainOptions,
    command_line,
    make_options,
)
from tests.errors import fails

ALL: dict[str, Any] = {
    name.removesuffix("Options").lower(): getattr(options, name)
    for name in options.__all__
    if name.endswith("Options") and "EXAMPLE" in vars(getattr(options, name))
}
"""Options classes of all commands."""


@pytest.mark.parametrize("name", ALL)
def test_every_field_is_explained(name: str) -> None:
    infos = ALL[name].__pydantic_fields__.values()
    texts = [str(info.description) for info in infos]
    assert all(text[:1].isupper() and text.endswith(".") and len(text) > 8 for text in texts)
    assert (ALL[name].__doc__ or "").strip().endswith(".")
    assert ALL[name].EXAMPLE.startswith(f"swath {name} ")


def parse(command: Command, words: list[str]) -> dict[str, Any]:
    """Return what the command line makes of words, less what is not given."""
    fresh = replace(command)  # since a parser keeps what its first context says of --help
    found = fresh.parser.make_context(command.name, list(words)).params
    known = {field.name for field in fields(command.options)}
    return {k: v for k, v in found.items() if k in known and v not in (None, [], ())}


@pytest.mark.parametrize(
    ("name", "given", "flags"),
    [
        ("evaluate", {"model": "a b.swath", "dataset": "d", "split": "test"}, []),
        ("train", {"dataset": "d", "model": "m", "from_": "o'k.swath"}, ["--from"]),
        ("suggest", {"model": "m", "image": "i", "labels": "l", "out": "o", "n": 3}, ["-n"]),
        ("view", {"map": "m", "more": ["a", "b"], "image": "i", "open": False}, ["--no-open"]),
        (
            "predict",
            {"model": "m", "image": "i", "map": "o", "quality": ["a", "b"], "drop": []},
            ["--quality", "--quality", "--drop"],
        ),
        (
            "change",
            {"old": "1", "new": "2", "change": "3", "more": ["4"], "dates": True, "prior": 0.1},
            ["--dates", "--prior"],
        ),
    ],
)
def test_a_command_line_says_what_the_options_say(
    name: str, given: dict[str, Any], flags: list[str]
) -> None:
    known = make_options(ALL[name], given)
    start, word, *words = shlex.split(command_line(known))
    assert (start, word) == ("swath", name)
    assert sorted(w for w in words if w.startswith("-")) == sorted(flags)
    assert make_options(ALL[name], parse(COMMANDS[name], words)) == known


@pytest.mark.parametrize("name", ["inspect", "prepare"])
def test_python_signature_is_the_options(name: str) -> None:
    signature = inspect.signature(getattr(swath, name))
    assert set(signature.parameters) == {f.name for f in fields(ALL[name])}
    positional = [
        p.name
        for p in signature.parameters.values()
        if p.kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    assert positional == (["source", "dataset"] if name == "prepare" else ["source"])
    assert all(
        p.default is not inspect.Parameter.empty
        for p in signature.parameters.values()
        if p.name not in positional
    )


def test_defaults_of_the_contract() -> None:
    made = PrepareOptions("s", "d")
    assert (made.layout, made.seed, made.test, made.val) == ("auto", 0, None, None)
    assert (made.unlabeled, made.skip_bad) == (False, False)
    assert list(made.images) == list(made.mask) == []
    train = TrainOptions("d", "m")
    assert (train.recipe, train.encoder) == ("default", "tf_efficientnet_lite0")
    assert (train.resume, train.seed) == (False, 0)
    assert EvaluateOptions("m", "d").split == "test"


@pytest.mark.parametrize(
    ("given", "groups"),
    [
        ("A", ["A"]),
        ("A,B", ["A", "B"]),
        ("Tile 2, Tile 5", ["Tile 2", "Tile 5"]),
        (["a,b", 3], ["a,b", "3"]),
        ("A,", ["A"]),
        ("none", ["none"]),
    ],
)
def test_groups(given: Any, groups: list[str]) -> None:
    assert list(PrepareOptions("s", "d", test=given).test or ()) == groups


@pytest.mark.parametrize("given", ["*.tif", ["*.tif"], ("*.tif",)])
def test_globs_of_one(given: Any) -> None:
    assert list(InspectOptions("s", images=given).images) == ["*.tif"]


@pytest.mark.parametrize(
    ("kind", "values", "code", "name"),
    [
        (PrepareOptions, {"layout": "maze"}, "option-value", "layout"),
        (PrepareOptions, {"block": 3}, "option-value", "block"),
        (PrepareOptions, {"seed": -1}, "option-value", "seed"),
        (PrepareOptions, {"seed": "x"}, "option-value", "seed"),
        (PrepareOptions, {"gsd": float("inf")}, "option-value", "gsd"),
        (InspectOptions, {"color": 1}, "option-unknown", "color"),
        (TrainOptions, {"steps": 1, "epochs": 1}, "option-conflict", "--steps"),
        (TrainOptions, {"minutes": 0}, "option-value", "minutes"),
        (TrainOptions, {"classic_crops": "corner:9"}, "option-conflict", "--classic-crops"),
        (TrainOptions, {"recipe": "classic", "decoder": "fpn"}, "option-conflict", "classic"),
        (PredictOptions, {"polygons": "p.shp", "map": "m"}, "file-extension", "polygon"),
        (PredictOptions, {"band_order": "0,1", "map": "m"}, "option-value", "--band-order"),
    ],
)
def test_what_is_not_allowed_names_the_option(
    kind: Any, values: dict[str, Any], code: str, name: str
) -> None:
    required = {key: "x" for key, info in kind.__pydantic_fields__.items() if info.is_required()}
    with fails(code, UsageError) as caught:
        make_options(kind, required | values)
    assert name in caught.value.message and caught.value.fix


def test_what_is_missing_is_named() -> None:
    with fails("option-missing", UsageError) as caught:
        make_options(PrepareOptions, {"source": "s"})
    assert caught.value.message.startswith("DATASET ")
    with fails("option-missing", UsageError) as caught:
        make_options(PredictOptions, {"model": "m", "image": "i"})
    assert "MAP" in caught.value.message
    with fails("option-missing", UsageError) as caught:
        make_options(AreaOptions, {"map": "m.tif"})
    assert caught.value.message == "Option reference is missing"
    assert "--reference" in caught.value.fix


def test_options_are_frozen() -> None:
    made = InspectOptions("s")
    with pytest.raises(FrozenInstanceError):
        made.source = "t"  # type: ignore[misc]
    assert made.root == Path("s")


def test_stack_takes_the_place_of_the_image() -> None:
    made = PredictOptions("m", "map.tif", stack="bands")
    assert (made.image, made.map) == ("bands", "map.tif")
    assert PredictOptions("m", "i.tif", "map.tif").map == "map.tif"


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        (("s", "d", "pairs"), {}),
        (("s",), {"source": "t", "dataset": "d"}),
        ((), {"dataset": "d"}),
        (("s", "d"), {"color": 1}),
    ],
)
def test_a_wrong_call_is_a_usage_error(
    arguments: tuple[str, ...], keywords: dict[str, Any]
) -> None:
    with pytest.raises(UsageError):
        swath.prepare(*arguments, **keywords)


def test_paths_may_be_path_objects(tmp_path: Path) -> None:
    assert [f["code"] for f in swath.inspect(tmp_path, layout="pairs").findings] == ["no-images"]
    assert list(
        InspectOptions(tmp_path, images=["a.tif"], labels=Path("l.shp"), classes=Path("c")).images
    ) == ["a.tif"]


def test_public_names() -> None:
    functions = {{"import": "import_onnx", "models": "catalog"}.get(name, name) for name in ALL}
    assert functions <= set(swath.__all__) <= set(dir(swath))
    assert issubclass(swath.UsageError, swath.SwathError)
    with pytest.raises(AttributeError) as caught:
        _ = swath.nothing
    assert "nothing" in str(caught.value)


def test_a_command_imports_no_options_and_layouts_of_others() -> None:
    code = "import sys, swath.commands.predict; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    kinds = [name for name in loaded if name.startswith("swath.options.")]
    assert kinds == ["swath.options.base", "swath.options.maps"]
    assert "swath.data.layouts.layout" not in loaded


def test_options_are_listed_where_they_are_made() -> None:
    for name in options.__all__:
        assert name in dir(options) and getattr(options, name) is not None
    with pytest.raises(AttributeError):
        options.NoOptions  # noqa: B018
