import shlex
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from swath.data.layouts import pairs
from swath.data.layouts.layout import find_layout
from swath.errors import DataError
from swath.options import SourceOptions
from tests.errors import fails
from tests.make import noise, write_pairs, write_raster


def lay(root, *names):
    """Make empty files: pairing goes by names alone."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def find(root, **options):
    return find_layout(SourceOptions(root, **options))


def paired(catalog):
    """Return image to mask, as paths below the root."""
    root = catalog.root
    return {
        s.images[0].relative_to(root).as_posix(): s.labels and s.labels.relative_to(root).as_posix()
        for s in catalog.samples
    }


def findings(catalog):
    return sorted(
        (f.level, f.code, Path(f.file).relative_to(catalog.root).as_posix())
        for f in catalog.findings
    )


def errors(catalog):
    return [(code, file) for level, code, file in findings(catalog) if level == "error"]


@pytest.mark.parametrize(
    "wanted",
    [
        {"images/a.tif": "masks/a.tif", "images/b.tif": "masks/b.tif"},
        {"images/a.jpg": "labels/a.png", "images/b.tif": "labels/b.tif"},
        {"img/a.tif": "gt/a.tif"},
        {"train_images/a.png": "train_masks/a.png"},
        {"Images/a.TIF": "Masks/a.PNG"},
        {"JPEGImages/a.jpg": "SegmentationClass/a.png"},
        {"s2/a.tif": "masks/s2/a.tif"},
        {
            "Tile 1/images/part 1.jpg": "Tile 1/masks/part 1.png",
            "Tile 2/images/part 1.jpg": "Tile 2/masks/part 1.png",
        },
        {"images/x/a.tif": "labels/x/a.tif", "images/y/a.tif": "labels/y/a.tif"},
        {
            "train/images/x/a.tif": "train/labels/x/a.tif",
            "val/images/x/a.tif": "val/labels/x/a.tif",
        },
        {"a/b/c/images/1.tif": "a/b/c/masks/1.tif"},
        {"x.tif": "x_mask.png", "y.tif": "y_mask.tif"},
        {"x.tif": "x-label.tif"},
        {"x y.tif": "x y mask.tif"},
        {"x[1].tif": "x[1]_mask.tif", "y(2).tif": "y(2) - mask.tif", "z{3}.tif": "z{3}.mask.tif"},
        {"100%.tif": "100%_mask.tif", "a!.tif": "a!_mask.tif", "#1#.tif": "#1#_mask.tif"},
        {"123_sat.jpg": "123_mask.png", "124_sat.jpg": "124_mask.png"},
        {"deep/x.tif": "deep/x_gt.tif", "other/x.tif": "other/x_gt.tif"},
        {
            "images/Spain_1_S2Hand.tif": "labels/Spain_1_LabelHand.tif",
            "images/Spain_2_S2Hand.tif": "labels/Spain_2_LabelHand.tif",
        },
        {"images/x_image.tif": "masks/x_mask.tif"},
        {"images/x.tif": "masks/x_mask.tif"},
        {"images/x_image.tif": "masks/x.tif"},
        {"images/x.tif": "masks/x.tif", "images/x_sat.tif": "masks/x_gt.tif"},
        {"images/city_sat.tif": "masks/city_sat_mask.tif"},
        {"site A/image.tif": "site A/mask.tif", "site B/image.tif": "site B/mask.tif"},
        {"site A/sat.jpg": "site A/gt.png", "site B/sat.jpg": "site B/gt.png"},
        {"images/東京 1.tif": "masks/東京 1.png", "images/Größe.tif": "masks/Größe.png"},
        {"東京.tif": "東京_mask.png", "京都.tif": "京都_mask.png"},
        {"Straße/images/ä.tif": "Straße/masks/ä.tif", "улица/images/я.tif": "улица/masks/я.tif"},
        {"images/a.v1.tif": "masks/a.v1.tif", "images/a.v2.tif": "masks/a.v2.tif"},
        {"images/mask_1.tif": "masks/mask_1.tif"},
        {"images/label_gt.tif": "masks/label_gt.tif", "images/label.tif": "masks/label.tif"},
        {
            "images/1.tif": "masks/1.tif",
            "images/10.tif": "masks/10.tif",
            "images/2.tif": "masks/2.tif",
        },
    ],
    ids=lambda wanted: next(iter(wanted)),
)
def test_arrangements(tmp_path, wanted):
    found = find(lay(tmp_path, *wanted, *wanted.values()))
    assert paired(found) == wanted
    assert not errors(found)
    assert found.layout == "pairs"
    assert len({s.name for s in found.samples}) == len(wanted)


@given(
    st.lists(
        st.text("ab1_ é", min_size=1, max_size=5).map(lambda n: n.strip(" _")),
        min_size=1,
        max_size=6,
        unique=True,
    ),
    st.randoms(),
)
def test_pairs_do_not_depend_on_the_order_of_a_listing(names, rng):
    assume(all(names))
    files = [Path("/r/images", f"{n}.tif") for n in names] + [
        Path("/r/masks", f"{n}_mask.png") for n in names
    ]
    shuffled = rng.sample(files, len(files))
    results = []
    for listing in (files, shuffled):
        classified = [pairs._classify(p, Path("/r")) for p in listing]
        images, masks = ([f for f in classified if f.role == role] for role in ("image", "mask"))
        results.append(pairs._pair(pairs._named(images), masks)[0])
    assert (
        results[0] == results[1] == dict(zip(files[: len(names)], files[len(names) :], strict=True))
    )


def test_never_by_sort_order(tmp_path):
    found = find(lay(tmp_path, "images/a.tif", "images/b.tif", "masks/b.tif", "masks/c.tif"))
    assert paired(found) == {"images/a.tif": None, "images/b.tif": "masks/b.tif"}
    assert errors(found) == [("missing-mask", "images/a.tif"), ("orphan-mask", "masks/c.tif")]


def test_composed_and_decomposed_letters_are_the_same(tmp_path):
    image, mask = (
        f"{kind}/{unicodedata.normalize(form, 'Größe')}.tif"
        for kind, form in (("images", "NFC"), ("masks", "NFD"))
    )
    assert paired(find(lay(tmp_path, image, mask))) == {image: mask}


@pytest.mark.parametrize(
    ("files", "doubtful"),
    [
        (["images/x.tif", "masks/x.tif", "masks/x.png"], ["images/x.tif"]),
        (["images/x.tif", "images/x.jpg", "masks/x.png"], ["images/x.jpg", "images/x.tif"]),
        (["x.tif", "x_mask.png", "x_label.png"], ["x.tif"]),
        (
            ["images/x_S2Hand.tif", "images/x_S1Hand.tif", "labels/x_LabelHand.tif"],
            ["images/x_S1Hand.tif", "images/x_S2Hand.tif"],
        ),
        (["images/x.tif", "rgb/x.tif", "masks/x.tif"], ["images/x.tif", "rgb/x.tif"]),
    ],
)
def test_what_could_be_either_is_told_and_not_guessed(tmp_path, files, doubtful):
    found = find(lay(tmp_path, *files, "images/good.tif", "masks/good.tif"))
    assert errors(found) == [("ambiguous-pair", file) for file in doubtful]
    assert [image for image, mask in paired(found).items() if mask] == ["images/good.tif"]
    named = {f.sample for f in found.findings if f.level == "error"}
    assert named == {s.name for s in found.samples if s.labels is None}
    listed = found.findings[0].message
    assert all(Path(f).name in listed for f in files)


def test_a_missing_mask_names_the_image_and_the_sample(tmp_path):
    root = lay(tmp_path, "T/images/a.tif", "T/images/b.tif", "T/masks/b.tif")
    (finding,) = (f for f in find(root).findings if f.code == "missing-mask")
    assert (finding.level, finding.file, finding.sample) == (
        "error",
        str(root / "T/images/a.tif"),
        "T/a",
    )
    assert "--unlabeled" in finding.fix
    (finding,) = (f for f in find(root, unlabeled=True).findings if f.code == "missing-mask")
    assert finding.level == "note"


def test_an_orphan_has_a_name_that_may_be_skipped(tmp_path):
    found = find(lay(tmp_path, "images/a.tif", "masks/a.tif", "masks/b.tif"))
    (finding,) = (f for f in found.findings if f.level == "error")
    assert (finding.code, finding.sample) == ("orphan-mask", "mask b.tif")


def test_unlabeled_images_of_one_name_get_names_of_their_own(tmp_path):
    found = find(
        lay(tmp_path, "images/a.tif", "images/a.jpg", "images/a~2.tif", "images/c~1.tif"),
        unlabeled=True,
    )
    assert sorted(s.name for s in found.samples) == ["a", "a~2", "a~2~2", "c~1"]
    assert not errors(found)


@pytest.mark.parametrize(
    ("files", "words"),
    [([], "no image"), (["notes.txt"], "no image"), (["masks/a.tif"], "masks but no images")],
)
def test_a_folder_without_images(tmp_path, files, words):
    (finding,) = find(lay(tmp_path, *files)).findings
    assert (finding.level, finding.code, finding.file) == ("error", "no-images", str(tmp_path))
    assert words in finding.message


def test_a_folder_that_is_none(tmp_path):
    with fails("no-such-folder", DataError, tmp_path / "none"):
        find(tmp_path / "none")
    with fails("not-a-folder", DataError, tmp_path / "x.tif"):
        find(lay(tmp_path, "x.tif") / "x.tif")


def test_what_is_hidden_or_no_raster_is_left_alone(tmp_path):
    files = [
        "images/a.tif",
        "masks/a.png",
        ".cache/images/b.tif",
        "images/._a.tif",
        "images/a.tif.aux.xml",
        "images/a.tfw",
        "classes.json",
    ]
    assert paired(find(lay(tmp_path, *files))) == {"images/a.tif": "masks/a.png"}


def test_a_hidden_folder_above_the_source_does_not_matter(tmp_path):
    assert paired(find(lay(tmp_path / ".data", "images/a.tif", "masks/a.png"))) == {
        "images/a.tif": "masks/a.png"
    }


# Groups.
def groups(root, **options):
    found = find(root, **options)
    return {s.name: s.group for s in found.samples}, [f.code for f in found.findings]


def test_the_folder_above_is_the_group(tmp_path):
    files = [
        f"Tile {t}/{kind}/part {i}.{e}"
        for t in (1, 2)
        for i in (1, 2)
        for kind, e in (("images", "jpg"), ("masks", "png"))
    ]
    assert groups(lay(tmp_path, *files)) == (
        {f"Tile {t}/part {i}": f"Tile {t}" for t in (1, 2) for i in (1, 2)},
        [],
    )


def test_the_folder_below_is_the_group_too(tmp_path):
    files = [
        f"{kind}/{place}/{i}.tif"
        for kind in ("images", "masks")
        for place in ("x", "y")
        for i in (1, 2)
    ]
    assert set(groups(lay(tmp_path, *files))[0].values()) == {"x", "y"}


def test_images_of_one_folder_are_groups_with_a_warning(tmp_path):
    files = [f"{kind}/{i}.tif" for kind in ("images", "masks") for i in (1, 2)]
    assert groups(lay(tmp_path / "a", *files)) == ({"1": "1", "2": "2"}, ["single-group"])
    assert groups(lay(tmp_path / "b", *[f"T/{f}" for f in files])) == (
        {"T/1": "1", "T/2": "2"},
        ["single-group"],
    )


def test_one_image_is_cut_into_blocks(tmp_path):
    assert groups(lay(tmp_path, "images/a.tif", "masks/a.tif")) == ({"a": None}, [])


def test_images_at_the_top_are_a_group_beside_others(tmp_path):
    files = [
        f"{place}{kind}/{i}.tif"
        for place in ("", "x/")
        for kind in ("images", "masks")
        for i in (1, 2)
    ]
    assert groups(lay(tmp_path, *files)) == ({"1": ".", "2": ".", "x/1": "x", "x/2": "x"}, [])


# Masks of what to ignore.
def ignored(root, *patterns):
    found = pairs.find(SourceOptions(root, mask=patterns))  # opens no file
    return {s.name: sorted(p.name for p in s.ignored) for s in found.samples}, [
        (f.code, Path(f.file).name) for f in found.findings if f.level == "error"
    ]


TWO = ["images/x1.tif", "masks/x1.tif", "images/x10.tif", "masks/x10.tif"]


def test_ignored_files_go_by_the_longest_name_they_begin_with(tmp_path):
    root = lay(tmp_path, *TWO, "clouds/x1_cloud.tif", "clouds/x10_cloud.tif", "clouds/x10.tif")
    assert ignored(root, "clouds/*.tif") == (
        {"x1": ["x1_cloud.tif"], "x10": ["x10.tif", "x10_cloud.tif"]},
        [],
    )


def test_a_number_is_not_cut_in_two(tmp_path):
    root = lay(tmp_path, *TWO, "clouds/x11_cloud.tif")
    assert ignored(root, "clouds/*.tif") == (
        {"x1": [], "x10": []},
        [("orphan-mask", "x11_cloud.tif")],
    )


def test_ignored_files_of_equal_names_go_by_folder(tmp_path):
    files = [f"{t}/{kind}/a.tif" for t in ("T 1", "T 2") for kind in ("images", "masks")]
    beside = lay(tmp_path / "beside", *files, "T 1/clouds/a_cloud.tif")
    assert ignored(beside, "*/clouds/*.tif") == ({"T 1/a": ["a_cloud.tif"], "T 2/a": []}, [])
    below = lay(tmp_path / "below", *files, "clouds/T 2/a_cloud.tif")
    assert ignored(below, "clouds/**/*.tif") == ({"T 1/a": [], "T 2/a": ["a_cloud.tif"]}, [])
    unclear = lay(tmp_path / "unclear", *files, "clouds/a_cloud.tif")
    assert ignored(unclear, "clouds/*") == (
        {"T 1/a": [], "T 2/a": []},
        [("orphan-mask", "a_cloud.tif")],
    )


def test_ignored_files_of_nameless_images_go_by_folder(tmp_path):
    root = lay(
        tmp_path, *[f"{site}/{name}.tif" for site in "AB" for name in ("image", "mask", "cloud")]
    )
    assert ignored(root, "*/cloud.tif") == (
        {"A/image": ["cloud.tif"], "B/image": ["cloud.tif"]},
        [],
    )


def test_one_image_takes_any_ignored_file(tmp_path):
    assert ignored(lay(tmp_path, "images/a.tif", "masks/a.tif", "quality.tif"), "quality.tif") == (
        {"a": ["quality.tif"]},
        [],
    )


def test_a_pattern_without_files_is_an_error(tmp_path):
    assert ignored(lay(tmp_path, *TWO), "clouds/*") == (
        {"x1": [], "x10": []},
        [("no-masks", tmp_path.name)],
    )


def test_patterns_reach_beyond_the_folder_and_brackets_are_no_pattern(tmp_path, monkeypatch):
    root = lay(tmp_path / "data [v1]", *TWO, "clouds/x1_c.tif")
    lay(tmp_path / "elsewhere", "x10_c.tif")
    monkeypatch.chdir(tmp_path)
    assert ignored(root, "clouds/*.tif", "elsewhere/*.tif") == (
        {"x1": ["x1_c.tif"], "x10": ["x10_c.tif"]},
        [],
    )
    assert ignored(root, "clouds/*", str(tmp_path / "elsewhere" / "*.tif"))[0] == {
        "x1": ["x1_c.tif"],
        "x10": ["x10_c.tif"],
    }
    assert ignored(Path("data [v1]"), "data [[]v1]/clouds/*.tif")[0] == {
        "x1": ["x1_c.tif"],
        "x10": [],
    }


# Real folders.
def test_dubai(shared_data):
    found = find(shared_data / "dubai")
    assert len(found.samples) == 72
    assert {s.group for s in found.samples} == {f"Tile {i}" for i in range(1, 9)}
    assert all(
        s.images[0].stem == s.labels.stem and s.images[0].parent.parent == s.labels.parent.parent
        for s in found.samples
    )
    assert not found.findings


def test_sentinel2_and_flood(shared_data):
    found = find(shared_data / "sentinel2")
    assert [s.group for s in found.samples] == [s.images[0].stem for s in found.samples]
    assert [f.code for f in found.findings] == ["single-group"]
    (sample,) = find(shared_data / "flood").samples
    assert (sample.labels.name, sample.group) == ("Spain_7370579_LabelHand.tif", None)


def test_linked_folders_are_entered_once_and_broken_links_are_reported(tmp_path):
    write_pairs(tmp_path / "elsewhere", ["a", "b"])
    root = tmp_path / "source"
    root.mkdir()
    for kind in ("images", "masks"):
        (root / kind).symlink_to(tmp_path / "elsewhere" / kind)
    (tmp_path / "elsewhere" / "images" / "loop").symlink_to(tmp_path / "elsewhere" / "images")
    (tmp_path / "elsewhere" / "images" / "c.tif").symlink_to(tmp_path / "gone.tif")
    catalog = pairs.find(SourceOptions(root))
    assert [s.name for s in catalog.samples] == ["a", "b", "c"]
    assert [(f.code, Path(f.file).name) for f in catalog.findings if f.level == "error"] == [
        ("missing-mask", "c.tif")
    ]


@pytest.mark.parametrize("count", [3, 40])
def test_a_folder_where_nothing_pairs_has_one_error_with_patterns_that_work(tmp_path, count):
    for i in range(count):
        lay(tmp_path, f"photos/x_{i:03}_ortho.tif", f"masks/{i:03}_lab.tif")
    assert errors(find(tmp_path)) == [("no-pairs", ".")]
    (error,) = (f for f in find(tmp_path).findings if f.code == "no-pairs")
    assert f"0 of {count}" in error.message
    words = shlex.split(error.fix.rstrip("."))
    given = {w.removeprefix("--"): words[i + 1] for i, w in enumerate(words) if w[:2] == "--"}
    found = find(tmp_path, **given)
    assert len(found.samples) == count and all(s.labels for s in found.samples)
    assert not errors(found)


@pytest.mark.parametrize(
    ("image", "label"), [("images/{}.npy", "masks/{}.npy"), ("{}_img.npy", "{}_label.tif")]
)
def test_a_folder_of_arrays_has_one_error_with_patterns_that_work(tmp_path, image, label):
    for i in range(3):
        codes = np.full((8, 8), i, np.uint8)
        for name, array in ((image, noise(3, 8, 8, seed=i)), (label, codes)):
            path = tmp_path / name.format(f"tile{i}")
            path.parent.mkdir(exist_ok=True)
            if path.suffix == ".npy":
                np.save(path, array)
            else:
                write_raster(path, array)
    (error,) = find(tmp_path).findings
    assert (error.level, error.code) == ("error", "no-images")
    words = shlex.split(error.fix.partition(": ")[0])
    given = {w.removeprefix("--"): words[i + 1] for i, w in enumerate(words) if w[:2] == "--"}
    found = find(tmp_path, **given)
    assert len(found.samples) == 3 and all(s.labels for s in found.samples)
    assert not errors(found)


def test_arrays_beside_pairs_are_passed_over_and_told(tmp_path):
    lay(tmp_path, "images/a.tif", "masks/a.tif", "b.npy", "c.nc", "d.xyz")
    told = [f for f in find(tmp_path).findings if f.code == "files-passed-over"]
    assert [Path(f.file).name for f in told] == ["b.npy", "d.xyz"]
    assert "--images '*.npy'" in told[0].fix and "rio convert" in told[1].fix


def test_jpegs_of_other_endings_are_images(tmp_path):
    lay(tmp_path, "images/a.jfif", "images/b.jpe", "masks/a.png", "masks/b.png")
    assert [s.images[0].name for s in find(tmp_path).samples] == ["a.jfif", "b.jpe"]


def test_arrays_of_one_file_are_proposed_by_the_words_in_their_names(tmp_path):
    for i in range(2):
        np.savez(tmp_path / f"d{i}.npz", bands=np.zeros((3, 8, 8)), label=np.zeros((8, 8), int))
    (error,) = find(tmp_path).findings
    assert "--images 'd{id}.npz:bands' --labels 'd{id}.npz:label'" in error.fix


def test_file_geodatabases_go_by_pattern(tmp_path):
    for name in "ab":
        (tmp_path / "layers" / f"{name}.gdb").mkdir(parents=True)
    found = pairs.matching(tmp_path, "layers/*.gdb")
    assert [p.name for p in found] == ["a.gdb", "b.gdb"]


def test_patterns_are_proposed_where_only_some_pair(tmp_path):
    for i in range(5):
        lay(tmp_path, f"{i}_rgb.tif", f"{i}_dem.tif", f"{i}_seg.tif")
    found = find(tmp_path)
    assert {code for code, _ in errors(found)} == {"missing-mask"}
    assert all(
        "--images '{id}_rgb.tif' --labels '{id}_seg.tif'" in f.fix
        for f in found.findings
        if f.code == "missing-mask"
    )


def test_twenty_thousand_files_are_scanned_and_paired_in_time(tmp_path):
    for i in range(10_000):
        for name in (f"{i % 10}/images/{i}.tif", f"{i % 10}/masks/{i}.png"):
            path = tmp_path / name
            if i < 10:
                path.parent.mkdir(parents=True)
            path.touch()
    for options in ({}, {"images": "{g}/images/{id}.tif", "labels": "{g}/masks/{id}.png"}):
        began = time.perf_counter()
        assert len(find(tmp_path, **options).samples) == 10_000
        assert time.perf_counter() - began < 20
