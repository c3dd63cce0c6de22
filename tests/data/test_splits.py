from collections import Counter

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from swath.data.splits import (
    Area,
    areas,
    assign_splits,
    buffered,
    default_block,
    find_lattices,
    lattice_areas,
)
from swath.errors import UsageError
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window, window_distance
from tests.errors import fails
from tests.make import NORTH_UP, UTM

names = st.lists(st.text("abc 12", min_size=1, max_size=4), min_size=1, max_size=40, unique=True)


@given(names, st.integers(0, 1000), st.randoms())
def test_a_draw_depends_on_the_names_and_seed_only(groups, seed, rng):
    again = rng.choices(groups, k=5) + rng.sample(groups, len(groups))
    assert assign_splits(groups, None, None, seed) == assign_splits(again, None, None, seed)


@given(names, st.integers(0, 1000))
def test_default_shares(groups, seed):
    count = Counter(assign_splits(groups, None, None, seed).values())
    n = len(groups)
    test = max(1, round(0.2 * n)) if n > 1 else 0
    rest = n - test
    assert count["test"] == test
    assert count["val"] == (max(1, round(0.15 * rest)) if rest > 2 else 0)
    assert count["train"] == n - count["test"] - count["val"] >= 1


@given(st.data())
def test_named_groups_are_kept_and_the_rest_is_drawn(data):
    groups = data.draw(names.filter(lambda g: len(g) > 2))
    test = data.draw(st.lists(st.sampled_from(groups), unique=True, max_size=len(groups) - 1))
    split = assign_splits(groups, test, None, 0)
    assert split.keys() == set(groups)
    assert {g for g, s in split.items() if s == "test"} == set(test)
    assert "train" in split.values()
    val = [g for g in groups if g not in test][1:]
    named = assign_splits(groups, test, val or ["none"], 0)
    assert {g for g, s in named.items() if s == "val"} == set(val)
    drawn = assign_splits(groups, None, val or ["none"], 0)
    assert {g for g, s in drawn.items() if s == "val"} == set(val)
    assert "train" in drawn.values()


def test_seeds_differ():
    groups = [str(i) for i in range(30)]
    assert (
        len(
            {
                frozenset(
                    g for g, s in assign_splits(groups, None, None, seed).items() if s == "test"
                )
                for seed in range(5)
            }
        )
        > 1
    )


@pytest.mark.parametrize("none", [["none"], []])
def test_none(none):
    split = assign_splits(["a", "b", "c", "d"], none, none, 0)
    assert set(split.values()) == {"train"}
    assert "val" not in assign_splits(["a", "b", "c", "d"], ["a"], none, 0).values()


def test_a_group_named_twice_counts_once():
    assert assign_splits(["a", "b"], ["a", "a"], ["none"], 0) == {"a": "test", "b": "train"}


@pytest.mark.parametrize(
    ("test", "val", "code", "named"),
    [
        (["x"], None, "no-such-group", ["--test", "'x'", "a, b, c"]),
        (None, ["x"], "no-such-group", ["--val", "'x'", "a, b, c"]),
        (["a"], ["a"], "option-conflict", ["--test", "--val", "'a'"]),
        (["a", "b", "c"], None, "no-training-group", ["a, b, c"]),
        (["a"], ["b", "c"], "no-training-group", ["a, b, c"]),
    ],
)
def test_splits_that_cannot_be(test, val, code, named):
    with fails(code, UsageError) as caught:
        assign_splits(["a", "b", "c"], test, val, 0)
    assert all(word in str(caught.value) for word in named)


@given(st.integers(1, 500), st.integers(1, 500), st.integers(32, 200))
def test_blocks_of_an_image_are_groups_that_share_no_pixel(height, width, block):
    found = list(areas(3, "x", GeoBox(height, width), None, block, prefix=False))
    assert sum(p.window.size for p in found) == height * width
    assert len({p.group for p in found}) == len({p.name for p in found}) == len(found)
    assert {p.image for p in found} == {3}
    assert [p.group for p in found] == [str(i) for i in range(len(found))]


def test_names_of_areas():
    grid = GeoBox(64, 128)
    assert list(areas(0, "a", grid, "Tile 1", 64, prefix=True)) == [
        Area("a", 0, grid.window, "Tile 1")
    ]
    assert [(p.name, p.group) for p in areas(0, "a", grid, None, 64, prefix=True)] == [
        ("a/0", "a/0"),
        ("a/1", "a/1"),
    ]
    assert [(p.name, p.group) for p in areas(0, "a", grid, None, 64, prefix=False)] == [
        ("a/0", "0"),
        ("a/1", "1"),
    ]


@pytest.mark.parametrize(
    ("sides", "block"),
    [((512,), 64), ((443, 489), 64), ((513,), 96), ((5400, 2700), 704), ((10,), 64)],
)
def test_default_block(sides, block):
    assert default_block([GeoBox(side, 7) for side in sides]) == block


@given(st.integers(0, 40), st.integers(0, 1000), st.integers(40, 200), st.integers(40, 200))
def test_no_training_pixel_is_near_a_test_pixel(buffer, seed, height, width):
    cut = list(areas(0, "x", GeoBox(height, width), None, 32, prefix=False))
    split = assign_splits([p.group for p in cut], None, None, seed)
    rank = {"test": 0, "val": 1, "train": 2}
    lost = np.zeros((height, width), bool)
    for place, window in buffered(cut, split, buffer):
        assert window.within(place.window) == window and window.size
        assert split[place.group] != "test"
        lost[window.slices] = True
    near = np.zeros((height, width), bool)
    for place in cut:
        mine = rank[split[place.group]]
        for other in cut:
            if rank[split[other.group]] < mine:
                near[other.window.grow(buffer).within(place.window).slices] = True
    assert (lost == near).all()


def test_a_buffer_is_as_wide_as_it_says():
    left, right = (
        Area("a", 0, Window(0, 0, 64, 64), "a"),
        Area("b", 0, Window(0, 64, 64, 64), "b"),
    )
    ((place, window),) = buffered([left, right], {"a": "train", "b": "test"}, 8)
    assert (place, window) == (left, Window(0, 56, 64, 8))
    assert window_distance(Window(0, 0, 64, 56), right.window) == 8
    assert not list(buffered([left, right], {"a": "train", "b": "test"}, 0))
    assert not list(buffered([left, right], {"a": "train", "b": "train"}, 8))


def test_an_area_as_far_away_as_the_buffer_is_whole():
    left, right = (
        Area("a", 0, Window(0, 0, 64, 64), "a"),
        Area("b", 0, Window(0, 72, 64, 64), "b"),
    )
    assert not list(buffered([left, right], {"a": "train", "b": "test"}, 8))
    assert [w for _, w in buffered([left, right], {"a": "train", "b": "test"}, 9)] == [
        Window(0, 63, 64, 1)
    ]


def test_images_do_not_meet():
    one, two = Area("a", 0, Window(0, 0, 64, 64), "a"), Area("b", 1, Window(0, 64, 64, 64), "b")
    assert not list(buffered([one, two], {"a": "train", "b": "test"}, 8))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["val"], {"Urban/Val"}),
        (["Rural"], {"Rural/1", "Rural/2"}),
        (["Rural/1", "Tile 1", " north"], {"Rural/1", "x/Tile 1, north"}),
        (["test"], {"z"}),
    ],
)
def test_groups_by_leaf_folder_and_own_split(wanted, expected):
    groups = ["Urban/Val", "Rural/1", "Rural/2", "x/Tile 1, north", "y", "z"]
    wanted = [w.strip() for w in wanted]
    split = assign_splits(groups, wanted, ["none"], 0, {"y": "train", "z": "test"})
    assert {g for g, s in split.items() if s == "test"} == expected


WKT = rasterio.CRS.from_string(UTM).to_wkt()


@given(
    st.lists(
        st.tuples(st.integers(-150, 150), st.integers(-150, 150), st.integers(40, 300)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([32, 64, 100]),
)
def test_blocks_of_one_place_are_one_group_in_all_scenes_that_overlap(places, block):
    grids = [
        GeoBox(side, side + 20, tuple(NORTH_UP * NORTH_UP.translation(col, row))[:6], WKT)
        for row, col, side in places
    ]
    names = [f"s{i}" for i in range(len(grids))]
    lattices = find_lattices(grids, [True] * len(grids))
    prefix = len({lattice.image for lattice in lattices}) > 1
    found = [
        list(lattice_areas(i, names, grids, lattice, block, prefix))
        for i, lattice in enumerate(lattices)
    ]
    group_of = {}
    for i, (row, col, _) in enumerate(places):
        covered = np.zeros((grids[i].height, grids[i].width), int)
        for area in found[i]:
            covered[area.window.slices] += 1
            for r, c in np.ndindex(area.window.height, area.window.width):
                if r % 8 == c % 8 == 0:  # a sample of the pixels
                    at = row + area.window.row + r, col + area.window.col + c
                    group_of.setdefault(at, set()).add((lattices[i].image, area.group))
        assert (covered == 1).all()
    for groups in group_of.values():  # an overlap of less than a thousandth may be none
        assert len(groups) == 1 or len({image for image, _ in groups}) > 1
    if len(places) == 1:
        expected = list(areas(0, "s0", grids[0], None, block, prefix=False))
        assert found[0] == expected


def test_lattices_of_other_pixels_and_places_are_their_own():
    def grid(col, row, size=10.0, crs=WKT):
        transform = NORTH_UP * NORTH_UP.translation(col, row) * NORTH_UP.scale(size / 10)
        return GeoBox(100, 100, tuple(transform)[:6], crs)

    grids = [grid(0, 0), grid(50, 30), grid(500, 0), grid(0, 0, 20.0), grid(0, 0), grid(120, 60)]
    lattices = find_lattices(grids, [True] * 6)
    assert [lattice.image for lattice in lattices] == [0, 0, 2, 3, 0, 0]  # the last by the second
    assert (lattices[1].row, lattices[1].col) == (30, 50)
    assert (lattices[5].row, lattices[5].col) == (60, 120)
    assert [x.image for x in find_lattices(grids, [True, False, True, True, True, True])] == [
        0,
        1,
        2,
        3,
        0,
        5,
    ]
