import random
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.data.layouts.patterns import match_files, natural_key, pair, parse, split_of
from swath.errors import DataError, UsageError
from tests.data.layouts.folders import FOLDERS, check


def matched(pattern, *files):
    return {m.path: dict(m.fields) for m in match_files([pattern], files)}


def pairs(images, labels, files):
    """Return the pairing of patterns, each one or several."""
    images, labels = ([p] if isinstance(p, str) else p for p in (images, labels))
    return pair(match_files(images, files), match_files(labels, files))


def shown(pairing):
    return {
        s.name: ([m.path for m in s.images], [m.path for m in s.labels]) for s in pairing.samples
    }


def codes(pairing):
    return sorted({p.code for p in pairing.problems})


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_pattern_pairs_the_folder_exactly(folder):
    wrong, pairing = check(folder, [folder.images], [folder.labels])
    assert not wrong
    assert {s.split for s in pairing.samples} == (folder.splits or {None})
    assert not [p for p in pairing.problems if p.level == "error"]
    names = [s.name for s in (*pairing.samples, *pairing.unlabeled)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("pattern", "path", "fields"),
    [
        ("a/{id}.tif", "a/x 1.tif", {"id": "x 1"}),
        ("a/{id}.tif", "a/b/x.tif", None),
        ("{id}.tif", "a/x.tif", None),
        ("*/{id}.tif", "a/x.tif", {"id": "x"}),
        ("a/*.tif", "a/x.TIF", {}),
        ("a/{id}.TIF", "a/x.tif", {"id": "x"}),
        ("a/{id}.tif", "A/x.tif", None),
        ("a/{id}_rgb.tif", "a/x_RGB.tif", None),
        ("**/{id}.tif", "x.tif", {"id": "x"}),
        ("**/{id}.tif", "a/b/x.tif", {"id": "x"}),
        ("a/**/{id}.tif", "a/b/c/x.tif", {"id": "x"}),
        ("**", "a/b/x.tif", {}),
        ("B??.tif", "B8A.tif", {}),
        ("B??.tif", "B8.tif", None),
        ("{id}/{id}_m.png", "a/a_m.png", {"id": "a"}),
        ("{id}/{id}_m.png", "a/b_m.png", None),
        ("{id}_{vv,vh}.tif", "x_vh.tif", {"id": "x"}),
        ("{id}_{vv,vh}.tif", "x_hh.tif", None),
        ("B[1-3].tif", "B2.tif", {}),
        ("B[!1-3].tif", "B2.tif", None),
        ("B[!1-3].tif", "B4.tif", {}),
        ("area [1]/{id}.tif", "area [1]/x.tif", {"id": "x"}),
        ("area [1]/B[23].tif", "area [1]/B3.tif", {}),
        ("./a/{id}.tif", "a/x.tif", {"id": "x"}),
        ("{split}/{id}.tif", "Validation/x.tif", {"split": "Validation", "id": "x"}),
        ("{split}/{id}.tif", "train_features/x.tif", {"split": "train_features", "id": "x"}),
        ("{split}_labels/{id}.tif", "test_labels/x.tif", {"split": "test", "id": "x"}),
        ("*{split} Labels/{id}.tif", "Set - Train Labels/x.tif", {"split": "Train", "id": "x"}),
        ("{id}.tif", unicodedata.normalize("NFD", "Zürich.tif"), {"id": "Zürich"}),
        ("Zürich/{id}.tif", unicodedata.normalize("NFD", "Zürich/a.tif"), {"id": "a"}),
        ("a.b{id}(x).tif", "a.b1(x).tif", {"id": "1"}),
        ("a.b{id}.tif", "axb1.tif", None),
    ],
)
def test_match(pattern, path, fields):
    assert matched(pattern, path) == ({} if fields is None else {path: fields})


def test_files_come_in_natural_order():
    files = ["img10.tif", "img2.tif", "img1.tif", "a/img3.tif", "B8A.tif", "B11.tif", "B08.tif"]
    found = [m.path for m in match_files(["**/*.tif"], files)]
    assert found == sorted(files, key=natural_key)
    assert found.index("img2.tif") < found.index("img10.tif")


def test_a_file_is_taken_once():
    assert len(match_files(["*.tif", "{id}.tif"], ["a.tif"])) == 1


@pytest.mark.parametrize(
    ("pattern", "source"),
    [
        ("a.h5:/group/name", "a.h5:/group/name"),
        ("a.H5:/name[2]", "a.h5:/name[2]"),
        ("*.npy[0]", "b.npy[0]"),
        ("*.npy@3", "b.npy@3"),
        ("*.npy[1]@2024-06-01", "b.npy[1]@2024-06-01"),
        ("b.npy", "b.npy"),
    ],
)
def test_arrays_are_named_with_group_and_index(pattern, source):
    assert [m.source for m in match_files([pattern], ["a.h5", "b.npy"])] == [source]


def test_fields_in_names_of_arrays():
    def members(path):
        return ["/x/image_1", "/x/image_2", "/x/mask_1", "/x/mask_2"]

    images = match_files(["{id}.h5:/x/image_{n}"], ["a.h5", "b.h5"], members=members)
    labels = match_files(["{id}.h5:/x/mask_{n}"], ["a.h5", "b.h5"], members=members)
    pairing = pair(images, labels)
    assert [s.name for s in pairing.samples] == ["a/1", "a/2", "b/1", "b/2"]
    assert [m.source for m in pairing.samples[1].labels] == ["a.h5:/x/mask_2"]


@pytest.mark.parametrize("pattern", ["", "/", "a/{}.tif", "a/{1}.tif", "{id:03d}.tif"])
def test_a_pattern_without_sense_is_refused(pattern):
    with pytest.raises(UsageError) as error:
        parse(pattern)
    assert error.value.code == "bad-pattern" and error.value.fix


def test_braces_of_a_name_are_text():
    assert matched("{1}/{id}.tif", "{1}/x.tif") == {"{1}/x.tif": {"id": "x"}}


@pytest.mark.parametrize(
    ("pattern", "mend"),
    [
        ("Images/{id}.tif", "such as images/a.tif"),
        ("{id}.tif", "Write '**/{id}.tif'"),
        ("other/*.png", "such as images/a.tif"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error_with_a_mend(pattern, mend):
    with pytest.raises(DataError) as error:
        match_files([pattern], ["images/a.tif"], option="--images")
    assert pattern in error.value.message and mend in error.value.fix
    assert match_files([pattern], ["images/a.tif"]) == []


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("train", "train"),
        ("TRAINING", "train"),
        ("Val", "val"),
        ("valid", "val"),
        ("validation", "val"),
        ("dev", "val"),
        ("testing", "test"),
        ("test_internal", "test"),
        ("train_val", None),
        ("contest", None),
        ("", None),
    ],
)
def test_split_words(text, split):
    assert split_of(text) == split


def test_splits_of_other_spelling_are_one():
    files = ["img/Training/1.tif", "img/VAL/1.tif", "ann/train/1.tif", "ann/val/1.tif"]
    pairing = pairs("img/{split}/{id}.tif", "ann/{split}/{id}.tif", files)
    assert {s.name: s.split for s in pairing.samples} == {"train": "train", "val": "val"}
    assert not pairing.problems


def test_a_text_that_names_no_split_is_reported():
    files = ["img/holdout/1.tif", "ann/holdout/1.tif"]
    pairing = pairs("img/{split}/{id}.tif", "ann/{split}/{id}.tif", files)
    assert codes(pairing) == ["unknown-split"] and pairing.samples[0].split is None


def test_one_name_in_two_splits_is_not_stacked_in_silence():
    files = ["train/img/1.tif", "test/img/1.tif", "gt/1.tif"]
    assert "mixed-split" in codes(pairs("{split}/img/{id}.tif", "gt/{id}.tif", files))
    files = ["a/img/1.tif", "b/img/1.tif", "gt/1.tif"]
    assert "mixed-group" in codes(pairs("{group}/img/{id}.tif", "gt/{id}.tif", files))


def test_a_second_pattern_without_split_is_no_other_split():
    files = ["train/1.tif", "all/dem/1.tif", "gt/1.png"]
    pairing = pairs(["{split}/{id}.tif", "all/dem/{id}.tif"], "gt/{id}.png", files)
    assert [s.split for s in pairing.samples] == ["train"] and len(pairing.samples[0].images) == 2
    assert "mixed-split" not in codes(pairing)


def test_groups_are_kept():
    files = ["rome/img/1.tif", "oslo/img/1.tif", "rome/gt/1.tif", "oslo/gt/1.tif"]
    pairing = pairs("{group}/img/{id}.tif", "{group}/gt/{id}.tif", files)
    assert [(s.name, s.group) for s in pairing.samples] == [("oslo", "oslo"), ("rome", "rome")]


def test_unmatched_files_are_listed():
    files = ["i/1.tif", "i/2.tif", "m/2.tif", "m/3.tif"]
    pairing = pairs("i/{id}.tif", "m/{id}.tif", files)
    assert shown(pairing) == {"2": (["i/2.tif"], ["m/2.tif"])}
    assert [m.path for m in pairing.unmatched_images] == ["i/1.tif"]
    assert [m.path for m in pairing.unmatched_labels] == ["m/3.tif"]


def test_a_label_file_is_no_image():
    files = ["a.tif", "a_mask.tif", "b.tif", "b_mask.tif"]
    assert shown(pairs("{id}.tif", "{id}_mask.tif", files)) == {
        "a": (["a.tif"], ["a_mask.tif"]),
        "b": (["b.tif"], ["b_mask.tif"]),
    }


@pytest.mark.parametrize("lost", range(6))
def test_a_sample_that_lacks_a_band_is_reported(lost):
    bands = [f"{i}_B{b}.tif" for i in "xyz" for b in (2, 3)]
    sample = bands.pop(lost)[0]
    pairing = pairs("{id}_B?.tif", "{id}.png", [*bands, "x.png", "y.png", "z.png"])
    assert [(p.code, p.level, p.sample) for p in pairing.problems] == [
        ("uneven-files", "error", sample)
    ]


def test_a_sample_of_other_bands_is_reported():
    bands = [f"{i}_B{b}.tif" for i in "xyz" for b in (2, 3)]
    bands[-1] = "z_B4.tif"
    pairing = pairs("{id}_B?.tif", "{id}.png", [*bands, "x.png", "y.png", "z.png"])
    assert [(p.code, p.sample, p.files) for p in pairing.problems] == [
        ("other-files", "z", ("z_B4.tif",))
    ]


def test_dates_may_differ():
    dates = {"x": 20190101, "y": 20190611, "z": 20200303}
    files = [f"{i}/{i}_{d}_B{b}.tif" for i, d in dates.items() for b in (2, 3)]
    pairing = pairs("{id}/*_B?.tif", "{id}.png", [*files, "x.png", "y.png", "z.png"])
    assert len(pairing.samples) == 3 and not pairing.problems


def test_several_labels_of_a_sample_are_reported():
    files = ["a.tif", "b.tif", "m2/a.png", "m3/a.png", "m2/b.png", "m3/b.png"]
    assert codes(pairs("{id}.tif", "m?/{id}.png", files)) == ["several-labels"]


def test_files_that_differ_in_a_field_of_images_alone_are_said_to_be_stacked():
    files = ["rome/1.tif", "oslo/1.tif", "gt/1.png"]
    pairing = pairs("{city}/{id}.tif", "gt/{id}.png", files)
    assert [(p.code, p.level) for p in pairing.problems] == [("stacked-field", "note")]


def test_an_ambiguous_name_goes_with_the_label_there_is():
    files = ["a_1_x_y.tif", "b_2_z.tif", "a_1.png", "b_2.png"]
    assert shown(pairs("{id}_*.tif", "{id}.png", files)) == {
        "a_1": (["a_1_x_y.tif"], ["a_1.png"]),
        "b_2": (["b_2_z.tif"], ["b_2.png"]),
    }


def test_a_name_that_fits_two_labels_is_an_error():
    files = ["a_1_x.tif", "a.png", "a_1.png"]
    pairing = pairs("{id}_*.tif", "{id}.png", files)
    assert codes(pairing) == ["ambiguous-field"] and not pairing.samples
    assert [m.path for m in pairing.unmatched_images] == ["a_1_x.tif"]


def test_labels_without_fields_are_for_all_images():
    files = ["a.tif", "b.tif", "x.gpkg", "y.gpkg"]
    assert shown(pairs("*.tif", "*.gpkg", files)) == {
        "a": (["a.tif"], ["x.gpkg", "y.gpkg"]),
        "b": (["b.tif"], ["x.gpkg", "y.gpkg"]),
    }
    pairing = pairs(
        "{id}_B?.tif", "x.gpkg", ["a_B2.tif", "a_B3.tif", "b_B2.tif", "b_B3.tif", "x.gpkg"]
    )
    assert [len(s.images) for s in pairing.samples] == [2, 2] and not pairing.shared


def test_a_layer_a_split_is_for_the_images_of_that_split():
    files = ["train/a.tif", "train/b.tif", "test/a.tif", "train.gpkg", "test.gpkg"]
    pairing = pairs("{split}/*.tif", "{split}.gpkg", files)
    assert {(s.split, len(s.images), s.labels[0].path) for s in pairing.samples} == {
        ("train", 1, "train.gpkg"),
        ("test", 1, "test.gpkg"),
    }
    assert len(pairing.samples) == 3


@pytest.mark.parametrize("images", ["img/*.png", "img/{name}.png"])
def test_fields_that_only_labels_have_are_refused(images):
    files = ["img/a.png", "img/b.png", "gt/a.png", "gt/b.png"]
    with pytest.raises(UsageError) as error:
        pairs(images, "gt/{id}.png", files)
    assert error.value.code == "no-shared-field"


def test_names_are_short_and_unique():
    files = [
        f"{k}/{c}/{i}.tif" for k in ("img", "gt") for c in ("rome", "oslo") for i in (1, 2, 10)
    ]
    pairing = pairs("img/{city}/{id}.tif", "gt/{city}/{id}.tif", files)
    assert [s.name for s in pairing.samples] == [
        f"{c}/{i}" for c in ("oslo", "rome") for i in (1, 2, 10)
    ]
    one = [f for f in files if "rome" in f]
    pairing = pairs("img/{city}/{id}.tif", "gt/{city}/{id}.tif", one)
    assert [s.name for s in pairing.samples] == ["1", "2", "10"]


PATTERNS = [
    "{id}.tif",
    "{id}_*.tif",
    "*/{id}.tif",
    "{split}/{id}_B?.tif",
    "{a}/{id}*.tif",
    "**/*.tif",
    "{id}/{id}_*.tif",
    "{a}_{id}.tif",
]
LABELS = [
    "m/{id}.png",
    "{split}/m/{id}.png",
    "{a}/{id}.png",
    "**/{id}.png",
    "m/*.png",
    "{a}_{id}.png",
]
words = st.sampled_from(["a", "b", "a_1", "a_1_2", "train", "Test", "m", "x-B2", "x_B3", "ü"])
paths = st.lists(
    st.builds(
        lambda folders, name, end: "/".join([*folders, name + end]),
        st.lists(words, max_size=2),
        st.builds("_".join, st.lists(words, min_size=1, max_size=2)),
        st.sampled_from([".tif", ".png", ".TIF"]),
    ),
    max_size=30,
    unique=True,
)


@settings(max_examples=300, deadline=None)
@given(paths, st.sampled_from(PATTERNS), st.sampled_from(LABELS), st.integers(0, 999))
def test_every_file_is_used_or_unmatched_in_any_order(files, images, labels, seed):
    try:
        first = pairs(images, labels, files)
    except UsageError:
        return
    other = list(files)
    random.Random(seed).shuffle(other)
    assert pairs(images, labels, other) == first

    label_files = [m.path for m in match_files([labels], files)]
    image_files = [m.path for m in match_files([images], files) if m.path not in label_files]
    used = [m.path for s in first.samples for m in s.images]
    assert sorted(used + [m.path for m in first.unmatched_images]) == sorted(image_files)
    used_labels = {m.path for s in first.samples for m in s.labels}
    unmatched = [m.path for m in first.unmatched_labels]
    assert sorted([*used_labels, *unmatched]) == sorted(label_files)
    names = [s.name for s in (*first.samples, *first.unlabeled)]
    assert len(set(names)) == len(names)
    assert all(p.files for p in first.problems)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab{}[]*?/.:@1_-!^\\,é", min_size=1, max_size=14))
def test_any_text_is_a_pattern_or_refused(text):
    try:
        match_files([text], ["a/b.tif", "a1.npy", text])
    except UsageError as error:
        assert error.code == "bad-pattern"


@pytest.mark.parametrize("pattern", ["{id}/*_B??.tif", "{a}_*/{id}_*.tif", "**/{id}_B*.tif"])
def test_twenty_thousand_files_take_less_than_two_seconds(pattern):
    files = [f"p_{i:05d}/p_{i:05d}_B{b:02d}.tif" for i in range(1800) for b in range(10)]
    files += [f"ann/p_{i:05d}.png" for i in range(2000)]
    start = time.process_time()
    pairing = pairs(pattern, "ann/{id}.png", files)
    assert time.process_time() - start < 6  # under 2 s on a core of its own
    assert len(pairing.samples) == 1800
