"""What people read: findings by kind, one error where nothing pairs, what was read, and mends that
are at hand."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.rio.main import main_group

import swath
from swath import options
from swath.cli import summaries
from swath.cli.command import option_fields
from swath.cli.main import COMMANDS
from swath.data.layouts.proposals import Proposal
from swath.errors import DataError, UsageError
from swath.types import Finding, describe_kind, findings_by_kind, first_files
from tests.errors import fails
from tests.make import (
    NORTH_UP,
    UTM,
    box,
    noise,
    write_layer,
    write_model,
    write_pairs,
    write_png,
    write_raster,
)

SRC = Path(swath.__file__).parent
SOURCES = sorted(SRC.rglob("*.py"))
DOCS = sorted((Path(__file__).parents[2] / "docs").rglob("*.md"))
NOT_BROUGHT = re.compile(
    r"gdal_edit|gdalwarp|gdal_translate|gdalbuildvrt|gdaladdo|gdalinfo|ogr2ogr|ogrinfo"
)


def kinds(findings: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(f["level"], f["code"]) for f in findings if f["level"] == "error"]


# Findings by kind


def test_a_kind_is_one_line_with_its_count_and_first_three_files() -> None:
    found = [Finding("error", "orphan-mask", f"{i}.png", "No image.", "Fix it.") for i in range(50)]
    other = [Finding("note", "turned", "a.jpg", "Turned.", "None.")]
    one, two = findings_by_kind([*found[:10], *other, *found[10:]])
    assert (len(one), len(two)) == (50, 1)
    assert first_files(one) == "0.png, 1.png, 2.png, ..."
    assert describe_kind(one).count("orphan-mask") == 1 and "(50)" in describe_kind(one)
    assert describe_kind(two) == "turned: a.jpg: Turned. None."


def test_messages_that_differ_stand_with_their_files() -> None:
    found = [Finding("note", "rare", "root", f"Class {i}.", "Label.") for i in range(5)]
    line = describe_kind(found)
    assert all(f"root: Class {i}." in line for i in range(3)) and "Class 3" not in line


@pytest.fixture
def half_bad(tmp_path: Path) -> Path:
    """Ten pairs, five images without masks, five masks without images."""
    source = write_pairs(tmp_path / "s", [f"p{i}" for i in range(20)], size=32)
    for i in range(5):
        (source / "masks" / f"p{i}.png").unlink()
        (source / "images" / f"p{i + 5}.tif").unlink()
    return source


def test_summary_has_each_kind_once_and_json_has_all(half_bad: Path) -> None:
    result = swath.inspect(half_bad)
    lines = summaries.inspect(result).splitlines()
    assert [sum(code in line for line in lines) for code in ("orphan-mask", "missing-mask")] == [
        1,
        1,
    ]
    assert sum(code == "missing-mask" for _, code in kinds(result.findings)) == 5


def test_prepare_counts_each_kind_in_one_paragraph(half_bad: Path, tmp_path: Path) -> None:
    with fails("orphan-mask", DataError) as caught:
        swath.prepare(half_bad, tmp_path / "d")
    error = caught.value
    assert "5 orphan-mask: " in error.message and "5 missing-mask: " in error.message
    assert error.message.count(".png") == 3 and error.message.count(".tif") == 3
    assert [f["code"] for f in error.findings].count("missing-mask") == 5


# Nothing pairs


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/image_{}.tif", "masks/mask_{}.png"),
        ("2_Ortho_RGB/top_potsdam_2_{}_RGB.tif", "5_Labels_all/top_potsdam_2_{}_label.png"),
        ("images/p{}_before.tif", "gt/area-{}.png"),
    ],
)
def test_nothing_pairs_is_one_error(tmp_path: Path, image: str, mask: str) -> None:
    for i in range(12):
        write_raster(tmp_path / "s" / image.format(i), noise(3, 32, 32, seed=i))
        write_png(
            tmp_path / "s" / mask.format(f"x{i}" if "before" in image else i),
            np.ones((32, 32), np.uint8),
        )
    found = swath.inspect(tmp_path / "s").findings
    (error,) = (f for f in found if f["level"] == "error" and f["code"] == "no-pairs")
    assert "0 of 12 images" in error["message"] and "12 mask" in error["message"]
    assert not {"missing-mask", "orphan-mask"} & {f["code"] for f in found}
    with fails("no-pairs", DataError, tmp_path / "s"):
        swath.prepare(tmp_path / "s", tmp_path / "d")


def test_a_proposed_pattern_ends_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_raster(tmp_path / "s" / "images" / "image_1.tif", noise(3, 32, 32))
    write_raster(tmp_path / "s" / "images" / "image_2.tif", noise(3, 32, 32, seed=1))
    for i in (1, 2):
        path = tmp_path / "s" / "masks" / f"mask_{i}.png"
        write_png(path, np.full((32, 32), i, np.uint8))
    found = Proposal(("images/image_{id}.tif",), ("masks/mask_{id}.png",), 2, 2)
    monkeypatch.setattr("swath.data.layouts.pairs.propose", lambda *_, **__: found)
    (error,) = (f for f in swath.inspect(tmp_path / "s").findings if f["code"] == "no-pairs")
    assert found.options in error["fix"]


@pytest.mark.parametrize("folder", ["labels", "a b", "vector [1]"])
def test_the_mend_for_a_layer_works_as_printed(tmp_path: Path, folder: str) -> None:
    source = tmp_path / "s"
    write_raster(source / "images" / "a.tif", noise(3, 128, 128), UTM, NORTH_UP)
    polygons = [box(0, 0, 128, 64), box(0, 64, 128, 64)]
    write_layer(source / folder / "f.gpkg", polygons, {"class": [1, 2]})
    with fails("vector-layer", DataError, source / folder / "f.gpkg") as caught:
        swath.prepare(source, tmp_path / "d")
    words = shlex.split(str(caught.value.fix).partition("give ")[2])
    given = dict(zip(words[::2], words[1::2], strict=True))
    result = swath.prepare(
        source,
        tmp_path / "d",
        images=given["--images"],
        labels=given["--labels"],
        test="none",
        val="none",
    )
    assert [c.code for c in result.classes] == [1, 2]
    assert swath.inspect(
        source, unlabeled=True
    ).ok  # the layer is a note where images may stay unlabeled


# What was read


def test_read_of_masks(tmp_path: Path) -> None:
    source = write_pairs(tmp_path / "s", list("abcd"), size=32)
    read = swath.prepare(source, tmp_path / "d", test="a", seed=7).read
    assert [(x.file, x.files, x.column) for x in read.labels] == [("masks/a.png", 4, None)]
    assert read.bands == ["red", "green", "blue"] and read.no_data == 0
    assert read.split == {"test": "--test", "val": "drawn by seed 7"}


def test_read_of_a_layer_is_in_the_summary(tmp_path: Path) -> None:
    pixels = noise(2, 128, 128)
    pixels[:, :32] = 0
    write_raster(tmp_path / "s" / "a.tif", pixels, UTM, NORTH_UP, nodata=0)
    polygons = [box(0, 0, 128, 64), box(0, 64, 128, 64)]
    write_layer(tmp_path / "s" / "f.gpkg", polygons, {"kind": ["wood", "field"]})
    result = swath.inspect(tmp_path / "s", images="a.tif", labels="f.gpkg", label_field="kind")
    assert result.read is not None and result.read.no_data == 0.25
    (labels,) = result.read.labels
    assert (labels.file, labels.column, labels.features) == ("f.gpkg", "kind", 2)
    assert sorted(labels.values) == ["field", "wood"]
    text = summaries.inspect(result)
    assert "f.gpkg, column kind (field, wood), 2 features" in text and "25.0%" in text


# Files passed over


def test_formats_that_are_not_read_are_named_and_side_files_are_not(tmp_path: Path) -> None:
    source = write_pairs(tmp_path / "s", list("ab"), size=32)
    for name in ("x.rst", "y.rst", "z.RST", "u.sid"):
        (source / name).write_bytes(b"x")
    for name in ("a.tif.aux.xml", "a.tfw", "a.prj", "readme.md", "Thumbs.db", "a.qml", "LICENSE"):
        (source / name).write_bytes(b"x")
    found = swath.inspect(source).findings
    (finding,) = (f for f in found if f["code"] == "files-passed-over")
    assert "3 .rst" in finding["message"] and "1 .sid" in finding["message"]
    assert finding["level"] == "note" and ".aux" not in finding["message"]
    (source / "u.sid").unlink()
    for path in source.glob("*.[rR][sS][tT]"):
        path.unlink()
    assert "files-passed-over" not in {f["code"] for f in swath.inspect(source).findings}


# Groups


@pytest.fixture
def places(tmp_path: Path) -> Path:
    for i, place in enumerate(
        ("Tile 1, north", "Tile 2", "east/Ahr", "west/Ems", "x/Bode", "y/Bode")
    ):
        write_pairs(tmp_path / "s" / place, [f"p{i}"], size=32)
    return tmp_path / "s"


@pytest.mark.parametrize(
    ("test", "groups"),
    [
        ("Tile 1, north", ["Tile 1, north"]),
        ('"Tile 1, north",Tile 2', ["Tile 1, north", "Tile 2"]),
        ("Tile 2, Tile 1, north", ["Tile 1, north", "Tile 2"]),
        (["Tile 1, north", "Ems"], ["Tile 1, north", "west/Ems"]),
        ("Ahr", ["east/Ahr"]),
    ],
)
def test_groups_with_commas_and_leaf_names(
    places: Path, tmp_path: Path, test: str | list[str], groups: list[str]
) -> None:
    result = swath.prepare(places, tmp_path / "d", test=test, val="none")
    assert result.splits["test"].groups == groups


@pytest.mark.parametrize(
    ("test", "code", "named"),
    [
        ("Bode", "ambiguous-group", "x/Bode"),
        ("Tile 3", "no-such-group", "Tile 2"),
        ("arh", "no-such-group", "east/Ahr"),
        ("Emz", "no-such-group", "west/Ems"),
    ],
)
def test_wrong_names_list_near_ones(
    places: Path, tmp_path: Path, test: str, code: str, named: str
) -> None:
    with fails(code, UsageError) as caught:
        swath.prepare(places, tmp_path / "d", test=test, val="none")
    assert named in str(caught.value.fix)


# Patterns and lists of `predict`


@pytest.mark.parametrize("folder", ["year [2024]", "a*b", "what?", "plain"])
def test_patterns_in_odd_folders(tmp_path: Path, folder: str) -> None:
    model = write_model(tmp_path / "m.swath")
    write_raster(tmp_path / folder / "a.tif", noise(3, 64, 64))
    clouds = np.zeros((64, 64), np.uint8)
    clouds[:16] = 1
    write_raster(tmp_path / folder / "clouds" / "c.tif", clouds)
    swath.predict(
        model,
        str(tmp_path / folder / "*.tif"),
        tmp_path / "map.tif",
        mask=str(tmp_path / folder / "clouds" / "*.tif"),
    )
    with rasterio.open(tmp_path / "map.tif") as made:
        assert (made.read(1) == 0).sum() == 16 * 64


def test_a_mask_that_matches_nothing(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.swath")
    image = write_raster(tmp_path / "a.tif", noise(3, 64, 64))
    with fails("no-masks", DataError):
        swath.predict(model, image, tmp_path / "map.tif", mask=str(tmp_path / "cl*.tif"))


def test_a_list_with_a_byte_order_mark(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.swath")
    image = write_raster(tmp_path / "a.tif", noise(3, 64, 64))
    (tmp_path / "list.txt").write_text(f"\ufeff{image}\n", encoding="utf-8")
    assert swath.predict(model, tmp_path / "list.txt", tmp_path / "maps").pixels == 64 * 64


# Mends


def texts() -> Iterator[tuple[Path, str]]:
    """Yield the strings of the source, those with fields with their literal parts joined by X."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "X" for p in node.values]
                yield path, "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path, node.value


def test_no_text_names_a_program_that_is_not_installed() -> None:
    named = [(p.name, t) for p, t in texts() if NOT_BROUGHT.search(t)]
    named += [(p.name, "") for p in DOCS if NOT_BROUGHT.search(p.read_text(encoding="utf-8"))]
    assert named == []


def test_every_rio_command_and_its_options_exist() -> None:
    seen = 0
    for path, text in texts():
        for command in re.findall(r"`(rio [^`]+)`", text) + re.findall(r"^(rio .+)", text):
            _, name, *words = shlex.split(command)
            known = {o for p in main_group.commands[name].params for o in p.opts}
            assert not {w for w in words if w.startswith("--")} - known, (path, command)
            seen += 1
    assert seen >= 8


def test_every_option_that_is_named_exists() -> None:
    flags = {"--json", "--config", "--quiet", "--verbose", "--help", "--no-capture"}
    for kind in (getattr(options, name) for name in options.__all__):
        if isinstance(kind, type) and hasattr(kind, "__pydantic_fields__"):
            for field in option_fields(kind):
                flags |= {field.flag, f"--no-{field.flag[2:]}"}
    rio = {o for c in main_group.commands.values() for p in c.params for o in p.opts}
    unknown = [
        (path.name, flag)
        for path, text in texts()
        if " " in text.strip()
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+[a-z]", text)
        if flag not in flags | rio and not re.search("pip install|ray start", text)
    ]
    assert unknown == [], "\n".join(map(str, unknown))


def test_every_swath_command_that_is_named_exists() -> None:
    for path, text in texts():
        for name in re.findall(r"`swath (\w+)", text):
            assert name in COMMANDS, (path, text)


@pytest.mark.parametrize(
    "words",
    [
        "edit-info --colorinterp red,green,blue,undefined FILE",
        "edit-info --nodata 0 FILE",
        "edit-info --crs EPSG:32632 FILE",
        "edit-info --like OTHER.tif --all FILE",
        "edit-info --transform '[10, 0, 500000, 0, -10, 5600000]' FILE",
        "stack FILE --bidx 1,2 -o NEW.tif",
        "stack FILE --bidx 1..3 -o NEW.tif",
        "stack FILE OTHER.tif -o NEW.tif",
        "clip FILE NEW.tif --bounds '500000 5599500 500500 5600000'",
        "warp FILE NEW.tif --like OTHER.tif",
        "warp FILE NEW.tif --dst-crs EPSG:32632 --res 10 --target-aligned-pixels",
        "convert FILE NEW.tif --co tiled=yes --co blockxsize=512 --co blockysize=512",
    ],
)
def test_rio_commands_work_as_printed(tmp_path: Path, words: str) -> None:
    for name in ("FILE", "OTHER.tif"):
        write_raster(tmp_path / name, noise(4, 64, 64), UTM, NORTH_UP, photometric="RGB")
    named = {"FILE", "OTHER.tif", "NEW.tif"}
    given = [str(tmp_path / w) if w in named else w for w in shlex.split(words)]
    main_group.main(given, prog_name="rio", standalone_mode=False)
