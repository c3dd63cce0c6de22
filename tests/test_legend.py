import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.errors import DataError, UsageError
from swath.io.labels import UNLABELED
from swath.legend import (
    IGNORE,
    LandClass,
    Legend,
    default_color,
    legend_of_codes,
    pack_rgb,
    read_legend,
    rgb,
    unpack_rgb,
)
from tests.errors import fails


def legend(*codes, ignore=(), kind="code"):
    """Make a legend whose classes have the given code, or tuple of codes."""
    many = [c if isinstance(c, tuple) else (c,) for c in codes]
    return Legend(
        tuple(LandClass(f"class {c[0]}", c, c[0], "#010203", ignore=c[0] in ignore) for c in many),
        kind,
    )


def from_text(tmp_path, text):
    path = tmp_path / "classes.yaml"
    path.write_text(text, encoding="utf-8")
    return read_legend(path)


codes_of_classes = st.lists(st.integers(-1000, 65535), min_size=1, max_size=40, unique=True).filter(
    lambda codes: not {0, 255, 65535} <= set(codes)
)


@given(codes_of_classes, st.integers(0, 2**32 - 1))
def test_codes_come_back_and_all_else_is_ignored(codes, seed):
    trained = [c for c in codes if c >= 0] or [1]
    legend_ = legend(*{*codes, *trained}, ignore=[c for c in codes if c < 0])
    labels = np.random.default_rng(seed).choice(
        [*codes, *trained, UNLABELED, -1001, 65536, 2**40], (7, 9)
    )
    indices = legend_.encode(labels)
    assert indices.dtype == np.uint8
    assert ((indices != IGNORE) == np.isin(labels, trained)).all()
    assert (
        legend_.decode(indices) == np.where(np.isin(labels, trained), labels, legend_.nodata)
    ).all()
    assert legend_.decode(indices).dtype == legend_.dtype


@given(st.sets(st.integers(0, 0xFFFFFF), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_colors_become_indices_in_order(packed, seed):
    colors = sorted(packed)
    labels = np.random.default_rng(seed).choice([*colors, UNLABELED, -1], 50)
    expected = [colors.index(v) if v in packed else IGNORE for v in labels]
    assert legend_of_codes(colors, "color").encode(labels).tolist() == expected


@pytest.mark.parametrize("first", [0, 1, 2, 200, 65000])
def test_unlabeled_never_wraps_into_a_class(first):
    few = legend(first, first + 1, first + 5)
    probes = np.array(
        [UNLABELED, UNLABELED + 1, np.iinfo(np.int64).max, first - 1, first + 2, first + 6]
    )
    assert (few.encode(probes) == IGNORE).all()
    assert not few.known(probes).any()
    assert few.encode(np.array([first, first + 1, first + 5])).tolist() == [0, 1, 2]


def test_merged_codes_share_an_index_and_the_map_holds_the_first():
    merged = legend(7, (3, 4), 1)
    assert merged.encode(np.array([7, 3, 4, 1])).tolist() == [0, 1, 1, 2]
    assert merged.decode(np.array([0, 1, 2, IGNORE], np.uint8)).tolist() == [7, 3, 1, 0]


def test_ignored_classes_are_known_but_have_no_index():
    some = legend(5, 6, 7, ignore=[6])
    assert some.encode(np.array([5, 6, 7])).tolist() == [0, IGNORE, 1]
    assert some.known(np.array([5, 6, 8])).tolist() == [True, True, False]
    assert some.names == ["class 5", "class 7"]


@pytest.mark.parametrize(
    ("codes", "nodata", "dtype"),
    [
        ([1, 2, 255], 0, "uint8"),
        ([0, 1], 255, "uint8"),
        ([0, 255], 65535, "uint16"),
        ([1, 256], 0, "uint16"),
        ([(1, 0), 2], 255, "uint8"),
        ([1, 65535], 0, "uint16"),
    ],
)
def test_nodata_and_dtype_of_a_map(codes, nodata, dtype):
    assert (legend(*codes).nodata, legend(*codes).dtype) == (nodata, dtype)


def test_an_ignored_class_counts_for_nodata_but_not_for_dtype():
    assert legend(0, 1, ignore=[0]).nodata == 255
    assert legend(1, 300, ignore=[300]).dtype == "uint8"


@pytest.mark.parametrize(
    ("make", "code", "value"),
    [
        (lambda: legend(1, 2, ignore=[1, 2]), "no-classes", ""),
        (lambda: legend(1, (2, 1)), "duplicate-code", "code 1"),
        (
            lambda: Legend(tuple(LandClass("a", (i,), i, "#000000") for i in (1, 2))),
            "duplicate-name",
            "name a",
        ),
        (lambda: legend(*range(255)), "too-many-classes", "254"),
        (lambda: legend(65536), "code-range", "code 65536"),
        (lambda: legend(1, -1), "code-range", "code -1"),
        (lambda: legend(0, 255, 65535), "no-nodata-code", "0, 255, 65535"),
        (lambda: legend_of_codes([], "code"), "no-classes", ""),
    ],
)
def test_a_legend_that_cannot_be(make, code, value):
    with fails(code, UsageError) as caught:
        make()
    assert value in caught.value.message


def test_254_classes_fit():
    full = legend(*range(254))
    assert full.encode(np.arange(255)).tolist() == [*range(254), IGNORE]


@given(st.integers(0, 0xFFFFFF))
def test_a_color_round_trip(packed):
    assert pack_rgb(unpack_rgb(packed)) == packed
    assert rgb(unpack_rgb(packed)) == (packed // 65536, packed // 256 % 256, packed % 256)


@pytest.mark.parametrize(
    "text", ["", "red", "#12345", "#1234567", "#12345G", "#+12345", "#1_2345", "123456#", "# 12345"]
)
def test_what_is_no_color(text):
    with fails("not-a-color", UsageError) as caught:
        pack_rgb(text)
    assert repr(text) in caught.value.message


def test_default_colors_differ():
    assert len({default_color(i) for i in range(16)}) == 16
    assert default_color(16) == default_color(0)


def test_colors_by_index():
    table = legend_of_codes([0x0000FF, 0xFF0000], "color").colors()
    assert table[:3].tolist() == [[0, 0, 255], [255, 0, 0], [0, 0, 0]]


def test_found_codes_are_named_by_code_or_by_the_source():
    found = legend_of_codes([9, 2, 4], "code", {4: "forest"})
    assert [(c.name, c.codes, c.map_code) for c in found.classes] == [
        ("2", (2,), 2),
        ("forest", (4,), 4),
        ("9", (9,), 9),
    ]


def test_found_colors_get_map_codes_from_one():
    found = legend_of_codes([0xE2A929, 0x3C1098], "color")
    assert [(c.name, c.map_code, c.color) for c in found.classes] == [
        ("#3C1098", 1, "#3C1098"),
        ("#E2A929", 2, "#E2A929"),
    ]


def test_negative_codes_need_a_class_list():
    with fails("negative-code", DataError) as caught:
        legend_of_codes([-1, 0, 1], "code")
    assert "-1" in caught.value.message and "--classes" in caught.value.fix


def test_read_codes(tmp_path):
    read = from_text(
        tmp_path,
        "- {name: dry, code: 0}\n- {code: [1, 5], color: '#0000ff'}\n"
        "- {name: none, code: -1, ignore: true}",
    )
    assert read.kind == "code"
    assert [(c.name, c.codes, c.map_code, c.ignore) for c in read.classes] == [
        ("dry", (0,), 0, False),
        ("1", (1, 5), 1, False),
        ("none", (-1,), -1, True),
    ]
    assert read.classes[1].color == "#0000FF"
    assert read.nodata == 255


def test_read_colors_counts_ignored_classes(tmp_path):
    text = (
        "classes:\n- {name: a, color: '#000001'}\n- {color: '#000002', ignore: true}\n"
        "- {name: c, color: '#000003'}"
    )
    read = from_text(tmp_path, text)
    assert read.kind == "color"
    assert [(c.name, c.map_code) for c in read.trained] == [("a", 1), ("c", 3)]
    assert read.classes[1].name == "#000002"
    assert (read.nodata, read.dtype) == (0, "uint8")


def test_read_the_dubai_classes(shared_data):
    read = read_legend(shared_data / "dubai-classes.yaml")
    assert read.names == ["water", "land", "road", "building", "vegetation"]
    assert read.classes[0].codes == (0xE2A929,)
    assert [c.map_code for c in read.trained] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "code", "value"),
    [
        ("", "no-class-list", ""),
        ("classes: 3", "no-class-list", ""),
        ("[]", "no-class-list", ""),
        ("{a: [", "unreadable", ""),
        ("- water", "class-format", "Class 1 "),
        ("- {name: a, code: 1}\n- {name: b}", "class-without-code", "Class 1 "),
        ("- {name: a, code: 1}\n- {name: b, color: '#000000'}", "class-without-code", "Class 1 "),
        ("- {name: a, code: one}", "class-code", "class 1 "),
        ("- {name: a, code: 1.5}", "class-code", "class 1 "),
        ("- {name: a, code: true}", "class-code", "class 1 "),
        ("- {name: a, code: []}", "class-code", "class 1 "),
        ("- {name: a, color: blue}", "not-a-color", "'blue'"),
        ("- {name: a, code: 1, hue: '#000000'}", "unknown-key", "'hue'"),
        ("- {name: a, code: 1}\n- {name: a, code: 2}", "duplicate-name", "name a"),
        ("- {name: a, code: 1}\n- {name: b, code: [2, 1]}", "duplicate-code", "code 1"),
        (
            "- {name: a, color: '#00000A'}\n- {name: b, color: '#00000a'}",
            "duplicate-code",
            "color #00000A",
        ),
    ],
)
def test_a_class_file_that_is_wrong_is_named(tmp_path, text, code, value):
    with fails(code, UsageError, tmp_path / "classes.yaml") as caught:
        from_text(tmp_path, text)
    assert value in caught.value.message
    assert caught.value.fix


@pytest.mark.parametrize(
    ("row", "values"),
    [
        ("{name: no, code: 1}", ["no", "line 2", "class 2"]),
        ("{name: Yes, code: 1}", ["Yes", '"Yes"']),
        ("{name: on, code: 1}", ["on"]),
        ("{name: OFF, code: 1}", ["OFF"]),
        ("{name: true, code: 1}", ["true"]),
        ("{name: null, code: 1}", ["null"]),
        ("{name: ~, code: 1}", ["~"]),
        ("{name: 2020-01-01, code: 1}", ["2020-01-01", "a date"]),
        ("{name: 12, code: 1}", ["12", "a number"]),
        ("{name: 1.50, code: 1}", ["1.50"]),
        ("{name: [a, b], code: 1}", ["a list"]),
        ("{name: ' ', code: 1}", ["empty"]),
        ("{name: a, code: 1, color: 112233}", ["112233", "color"]),
        ("{name: a, code: 1, color: 0xFF0000}", ["0xFF0000"]),
        ("{name: a, code: 1, color: #FF0000}", ["line 2", "comment"]),
        ("name: a\n  code: 1\n  color: #FF0000", ["line 4", "comment"]),
        ("code: 1\n  name: #water", ["line 3", "comment"]),
        ("{name: a, code: 1, ignore: 'no'}", ["'no'"]),
        ('{name: a, code: 1, ignore: "true"}', ["'true'"]),
        ("{name: a, code: 1, ignore: 0}", ["'0'"]),
        ("{name: a, code: 1, ignore: never}", ["'never'"]),
        ("{name: a, code: 010}", ["010", "is 8"]),
        ("{name: a, code: [3, 1:30]}", ["1:30", "is 90"]),
        ("{name: a, code: 1, code: 2}", ["'code'", "line 2"]),
        ("name: a\n  code: 1\n  name: b", ["'name'"]),
        ("{name: Water, code: 1}", ["'water'", "'Water'"]),
        ("{name: 'water ', code: 1}", ["'water '"]),
        ("{name: ' WATER', code: 1}", ["' WATER'"]),
    ],
)
def test_what_yaml_takes_for_something_else_is_named(tmp_path, row, values):
    with fails("class-file", UsageError, tmp_path / "classes.yaml") as caught:
        from_text(tmp_path, f"- {{name: water, code: 9}}\n- {row}\n")
    assert all(value in caught.value.message + str(caught.value.fix) for value in values)


def test_two_lists_of_classes_are_refused(tmp_path):
    text = "classes:\n- {name: a, code: 1}\nclasses:\n- {name: b, code: 2}"
    with fails("class-file", UsageError, tmp_path / "classes.yaml"):
        from_text(tmp_path, text)


def test_what_yaml_reads_as_meant_is_kept(tmp_path):
    read = from_text(
        tmp_path,
        "- {name: 'no', code: 0, ignore: no}\n- {name: \"12\", code: -1, ignore: yes}\n"
        "- {name: x, code: [3, +4], color: '#FF0000', ignore: False} # a comment",
    )
    found = [(c.name, c.codes, c.ignore) for c in read.classes]
    assert found == [("no", (0,), False), ("12", (-1,), True), ("x", (3, 4), False)]


def test_an_absent_class_file_is_named(tmp_path):
    with fails("no-such-file", UsageError, tmp_path / "none.yaml"):
        read_legend(tmp_path / "none.yaml")
    with fails("unreadable", UsageError, tmp_path):
        read_legend(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("- {name: Wälder, code: 1}".encode("latin-1"))
    with fails("unreadable", UsageError, tmp_path / "latin.yaml"):
        read_legend(tmp_path / "latin.yaml")
