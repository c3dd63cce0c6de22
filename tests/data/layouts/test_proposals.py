import random
import shlex
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.data.layouts.patterns import match_files, pair
from swath.data.layouts.proposals import MOST_LOOKS, Content, propose
from tests.data.layouts.folders import FOLDERS, check


def proposed(folder):
    return propose(folder.files, look=folder.look if folder.masks else None)


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_proposal_pairs_the_folder_exactly(folder):
    proposal = proposed(folder)
    assert proposal is not None
    wrong, pairing = check(folder, proposal.images, proposal.labels)
    assert not wrong, proposal
    assert proposal.pairs == len(pairing.samples)


@pytest.mark.parametrize("folder", [f for f in FOLDERS if len(f.splits) > 1], ids=str)
def test_a_proposal_keeps_the_splits_of_folders(folder):
    proposal = proposed(folder)
    _, pairing = check(folder, proposal.images, proposal.labels)
    assert {s.split for s in pairing.samples} == folder.splits


@pytest.mark.parametrize("folder", FOLDERS[::5], ids=str)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_a_proposal_does_not_depend_on_the_order_of_a_listing(folder, seed):
    files = folder.files
    random.Random(seed).shuffle(files)
    assert propose(files, look=folder.look if folder.masks else None) == proposed(folder)


def test_the_options_can_be_typed():
    files = ["it's/images/a.tif", "it's/images/b.tif", "it's/masks/a.tif", "it's/masks/b.tif"]
    words = shlex.split(propose(files).options)
    assert words == ["--images", "it's/images/{id}.tif", "--labels", "it's/masks/{id}.tif"]
    files = ["images/a.tif", "images/b.tif", "masks/a.tif", "masks/b.tif"]
    assert propose(files).options == "--images 'images/{id}.tif' --labels 'masks/{id}.tif'"


@pytest.mark.parametrize(
    "files",
    [
        [],
        ["readme.txt"],
        ["a.tif", "b.tif"],
        ["images/1.tif", "images/2.tif"],
        ["masks/1.tif", "masks/2.tif"],
        ["images/a.tif", "images/b.tif", "masks/x.tif", "masks/y.tif"],
        ["images/img_001.tif", "images/img_002.tif", "masks/mask_3.tif", "masks/mask_4.tif"],
    ],
)
def test_without_common_names_nothing_is_proposed(files):
    assert propose(files) is None


def test_one_label_file_is_proposed_for_all_images():
    proposal = propose(["image.tif", "mask.tif"])
    assert (proposal.images, proposal.labels) == (("image.tif",), ("mask.tif",))
    proposal = propose(["LC08_B2.tif", "LC08_B3.tif", "training.shp", "training.dbf"])
    assert (proposal.images, proposal.labels) == (("LC08_B?.tif",), ("training.shp",))


def test_nothing_is_proposed_where_a_sample_lacks_a_band():
    bands = [f"images/{i}_B{b}.tif" for i in ("x1", "x2", "x3") for b in (2, 3, 4)]
    labels = [f"masks/{i}.tif" for i in ("x1", "x2", "x3")]
    whole = propose([*bands, *labels])
    assert whole.images == ("images/{id}_B?.tif",)
    partly = propose([*bands[:-1], *labels])
    assert partly is None or partly.images != whole.images


def test_of_two_kinds_of_masks_the_one_with_more_classes_is_proposed():
    files = [f"{k}/{i}.tif" for k in ("images", "masks_2class", "masks_3class") for i in "abc"]

    def look(path):
        return Content(1, int(path[6])) if path.startswith("masks") else Content(4, None)

    assert propose(files, look=look).labels == ("masks_3class/{id}.tif",)


def test_few_files_are_opened_and_each_once():
    opened = []

    def look(path):
        opened.append(path)

    propose([f"{i}/{k}_{i}.tif" for i in range(300) for k in ("x", "y", "z")], look=look)
    assert len(opened) == len(set(opened)) <= MOST_LOOKS


names = st.lists(
    st.tuples(
        st.sampled_from(["images", "masks", "a/images", "a/masks", "train", "x_gt"]),
        st.from_regex(r"[a-c]{1,2}[_-]?[0-9]{0,2}(_mask|_B0[1-3])?", fullmatch=True),
        st.sampled_from([".tif", ".png", ".geojson"]),
    ).map(lambda t: f"{t[0]}/{t[1]}{t[2]}"),
    max_size=24,
    unique=True,
)


@settings(max_examples=150, deadline=None)
@given(names)
def test_a_proposal_always_holds(files):
    proposal = propose(files)
    if proposal is None:
        return
    pairing = pair(match_files(proposal.images, files), match_files(proposal.labels, files))
    assert len(pairing.samples) == proposal.pairs > 0
    if pairing.shared:
        assert all(len(s.labels) == 1 for s in pairing.samples)
        assert len({len(s.images) for s in pairing.samples}) == 1
        assert not pairing.ambiguous


def test_twenty_thousand_files_take_seconds():
    files = [f"img/p_{i:05d}/p_{i:05d}_B{b:02d}.tif" for i in range(1800) for b in range(10)]
    files += [f"ann/p_{i:05d}_label.tif" for i in range(2000)]
    start = time.process_time()
    proposal = propose(files)
    assert time.process_time() - start < 30
    assert proposal.images == ("img/{id}/{id}_B0?.tif",)
