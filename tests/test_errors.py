"""Errors: their text, their codes, and that every error in the package has a code."""

import ast
import pickle
from collections import Counter
from pathlib import Path

import pytest

import swath
from swath.errors import DataError, JobError, ModelError, SwathError, UsageError, check_path
from swath.types import Finding

KINDS = (SwathError, DataError, ModelError, JobError, UsageError)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            DataError("The file is cut off", file="a b/x.tif", fix="Fetch it again", code="x"),
            "a b/x.tif: The file is cut off. Fetch it again.",
        ),
        (DataError("The file is cut off", file=Path("x"), code="x"), "x: The file is cut off."),
        (JobError("No room is left", fix="Free some", code="x"), "No room is left. Free some."),
    ],
)
def test_an_error_is_one_paragraph(error, text):
    assert str(error) == text


def test_exit_codes():
    assert [kind("X", code="x").exit_code for kind in KINDS] == [1, 1, 1, 1, 2]
    assert all(issubclass(kind, SwathError) for kind in KINDS)


def test_a_finding_says_what_the_error_says():
    error = DataError("Sizes differ", file="m.png", fix="Mend it", code="size-mismatch")
    finding = Finding.of_error(error, "i.tif", "i")
    assert finding.as_json() == {
        "level": "error",
        "code": "size-mismatch",
        "file": "m.png",
        "message": "Sizes differ.",
        "fix": "Mend it.",
    }
    assert finding.sample == "i"
    assert Finding.of_error(DataError("X", fix="y", code="x"), "i.tif").file == "i.tif"


def _syntax():
    """Yield each file of the package with its syntax tree."""
    root = Path(swath.__file__).parent
    for path in sorted(root.rglob("*.py")):
        yield path.relative_to(root), ast.parse(path.read_text(encoding="utf-8"))


def _name(function):
    return getattr(function, "id", getattr(function, "attr", None))


def test_every_error_is_made_with_a_code():
    kinds = {kind.__name__ for kind in KINDS}
    bare = [
        f"{path}:{node.lineno}"
        for path, tree in _syntax()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _name(node.func) in kinds
        if not {"code", None} & {keyword.arg for keyword in node.keywords}
    ]
    assert bare == []


def test_codes_are_in_kebab_case():
    kinds = {kind.__name__ for kind in KINDS}
    codes = {
        keyword.value.value
        for _, tree in _syntax()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _name(node.func) in kinds
        for keyword in node.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    }
    assert codes and all(code.replace("-", "").isalnum() and code.islower() for code in codes)


def test_no_two_classes_have_the_same_name():
    names = Counter(
        node.name for _, tree in _syntax() for node in tree.body if isinstance(node, ast.ClassDef)
    )
    assert {name for name, count in names.items() if count > 1} == set()


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_a_worker_process_arrives_whole(kind):
    error = kind("The file is cut off", code="cut-off", file="x.tif", fix="Fetch it again")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.code) == (kind, str(error), "cut-off")


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("scene.tiff", ["scene.tif"]),
        ("scene", ["scene.tif"]),
        ("Scene.TIF", ["scene.tif"]),
        ("tile_2.tif", ["tile_1.tif", "tile_3.tif"]),
        ("mpas/old.tif", ["maps"]),
        ("maps/odl.tif", ["maps/old.tif"]),
        ("water.gpkg", []),
    ],
)
def test_a_lost_path_is_mended_by_near_names(tmp_path, given, near):
    for name in ("scene.tif", "tile_1.tif", "tile_3.tif", ".scene.tif.lock", "maps/old.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    mend = check_path(tmp_path / given)
    assert mend.startswith("Check the path")
    found = mend.partition("near names are ")[2]
    assert sorted(found.split(", ") if found else []) == [str(tmp_path / name) for name in near]


def test_no_names_are_near_a_path_that_is_there_or_impossible(tmp_path):
    (tmp_path / "a.tif").touch()
    for path in (tmp_path / "a.tif", tmp_path / "a.tif" / "a.tif", "\0", "", "/vsizip/a.zip/b.tif"):
        assert check_path(path, "Mend it") == "Mend it"


def test_commands_offer_near_names(tiny_model, stripes, tmp_path):
    source, image = stripes.parent / "source", tmp_path / "scene.tif"
    (tmp_path / "scenes.tif").touch()
    (tmp_path / "classes1.yaml").touch()
    for near, work in (
        (tiny_model, lambda: swath.predict(tiny_model.with_name("tiny0.swath"), image, "m.tif")),
        (tmp_path / "scenes.tif", lambda: swath.predict(tiny_model, image, tmp_path / "m.tif")),
        (source, lambda: swath.prepare(source.with_name("source0"), tmp_path / "d")),
        (stripes, lambda: swath.train(stripes.with_name("dataset0"), tmp_path / "m.swath")),
        (
            tmp_path / "classes1.yaml",
            lambda: swath.inspect(source, classes=tmp_path / "classes.yaml"),
        ),
    ):
        with pytest.raises(SwathError) as caught:
            work()
        assert str(near) in str(caught.value.fix), caught.value
