"""Class names that are misspelled, misread, of several classes, or mean no label."""

import numpy as np
import pytest

import swath
from swath.io.vector.class_names import repaired
from tests.make import NORTH_UP, UTM, box, noise, write_layer, write_raster

COLUMNS = [box(0, col, 64, 4) for col in range(0, 64, 4)]


def findings(root, names, **options):
    """Inspect 16 features with these names, repeated; return messages by code."""
    write_raster(root / "img.tif", noise(3, 64, 64), UTM, NORTH_UP)
    values = (names * 16)[:16] if len(names) < 16 else names
    kind = object if isinstance(values[0], str) else int
    write_layer(root / "f.gpkg", COLUMNS, {"class": np.array(values, kind)}, UTM)
    result = swath.inspect(root, images=["img.tif"], labels="f.gpkg", **options)
    return {f["code"]: f["message"] for f in result.findings}


@pytest.mark.parametrize(
    "names",
    [
        ["water"] * 8 + ["watr"] + ["field"] * 7,
        ["forest", "forests", "water", "forest"],
        ["forest"] * 8 + ["forset"] + ["water"] * 7,
        ["forest"] * 8 + ["forezt"] + ["water"] * 7,
    ],
)
def test_misspelled_names_are_told(tmp_path, names):
    assert "one letter" in findings(tmp_path, names)["class-names-alike"]


@pytest.mark.parametrize(
    "names",
    [
        ["road", "roof", "wood", "wool"],
        ["zone 1", "zone 2"],
        ["oak", "oaks"],
        ["forest", "water", "river", "field"],
        ["wheat", "cheat"],
    ],
)
def test_other_names_are_not(tmp_path, names):
    assert not {"class-names-alike", "class-names-mixed"} & set(findings(tmp_path, names))


@pytest.mark.parametrize("mixed", ["water;wood", "wood / water", "water,wood", "water+wood"])
def test_several_classes_in_a_cell_are_told(tmp_path, mixed):
    assert mixed in findings(tmp_path, ["water", "wood", mixed])["class-names-mixed"]
    assert "class-names-mixed" not in findings(tmp_path, ["water", "grass/shrub"])


@pytest.mark.parametrize("name", ["unknown", "N/A", "Unlabeled", "?", "no data"])
def test_names_that_mean_no_label_are_told(tmp_path, name):
    assert name in findings(tmp_path, ["water", "wood", name])["ignore-value"]
    classes = tmp_path / "classes.yaml"
    classes.write_text(
        f'- {{name: water, code: 1}}\n- {{name: wood, code: 2}}\n- {{name: "{name}", code: 3}}\n'
    )
    found = findings(tmp_path, ["water", "wood", name], classes=classes)
    assert "ignore-value" not in found


@pytest.mark.parametrize(("codes", "told"), [([1, 2, 999], True), ([1, 2, 3], False)])
def test_codes_that_mean_no_label_are_told(tmp_path, codes, told):
    assert ("ignore-value" in findings(tmp_path, codes)) == told


@pytest.mark.parametrize(
    ("read", "written"),
    [("GewÃ¤sser", "Gewässer"), ("StraÃ\x9fe", "Straße"), ("Wälder", "Wälder"), ("Ã", "Ã")],
)
def test_utf_8_read_as_latin_1_is_repaired(read, written):
    assert repaired(read) == written
