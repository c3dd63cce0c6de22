"""One options object a verb: defaults, checks, and the same signature in Python as on the command line."""

from __future__ import annotations

import inspect
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

import swath
from swath.errors import UsageError
from swath.options import (
    DemoOptions,
    EvaluateOptions,
    InspectOptions,
    PredictOptions,
    PrepareOptions,
    TrainOptions,
    make_options,
)

ALL = {
    "inspect": InspectOptions,
    "prepare": PrepareOptions,
    "train": TrainOptions,
    "evaluate": EvaluateOptions,
    "predict": PredictOptions,
    "demo": DemoOptions,
}


@pytest.mark.parametrize("name", ALL)
def test_every_field_is_explained(name: str) -> None:
    from swath.cli.command import _fields

    assert all(len(f.help) > 8 for f in _fields(ALL[name]))
    assert (ALL[name].__doc__ or "").strip().endswith(".")


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
    options = PrepareOptions("s", "d")
    assert (options.layout, options.seed, options.test, options.val) == ("auto", 0, None, None)
    assert (options.unlabeled, options.skip_bad, list(options.images), list(options.mask)) == (
        False,
        False,
        [],
        [],
    )
    train = TrainOptions("d", "m")
    assert (train.recipe, train.encoder, train.resume, train.seed) == (
        "default",
        "tf_efficientnet_lite0",
        False,
        0,
    )
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
    ("kind", "values", "message"),
    [
        (
            PrepareOptions,
            {"source": "s", "dataset": "d", "layout": "maze"},
            "option layout: .*'auto', 'pairs', 'scene' or 'contest'",
        ),
        (
            PrepareOptions,
            {"source": "s", "dataset": "d", "block": 3},
            "option block: .*greater than or equal to 32",
        ),
        (PrepareOptions, {"source": "s", "dataset": "d", "seed": -1}, "option seed: .*greater"),
        (PrepareOptions, {"source": "s", "dataset": "d", "seed": "x"}, "option seed: .*integer"),
        (PrepareOptions, {"source": "s"}, "DATASET is missing"),
        (InspectOptions, {"source": "s", "color": 1}, "option color: "),
        (
            TrainOptions,
            {"dataset": "d", "model": "m", "steps": 1, "epochs": 1},
            "more than one of minutes, epochs and steps",
        ),
        (
            TrainOptions,
            {"dataset": "d", "model": "m", "minutes": 0},
            "option minutes: .*greater than 0",
        ),
        (PredictOptions, {"model": "m", "image": "i"}, "no MAP is given"),
    ],
)
def test_what_is_not_allowed_names_the_option(
    kind: type, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        make_options(kind, values)
    assert caught.value.fix


def test_options_are_frozen() -> None:
    options = InspectOptions("s")
    with pytest.raises(FrozenInstanceError):
        options.source = "t"  # type: ignore[misc]
    assert options.root == Path("s")


def test_stack_takes_the_place_of_the_image() -> None:
    options = PredictOptions("m", "map.tif", stack="bands")
    assert (options.image, options.map) == ("bands", "map.tif")
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
    assert set(ALL) <= set(swath.__all__) and set(swath.__all__) <= set(dir(swath))
    assert issubclass(swath.UsageError, swath.SwathError)
    with pytest.raises(AttributeError, match="nothing"):
        _ = swath.nothing
