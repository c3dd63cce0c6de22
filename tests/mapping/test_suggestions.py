import numpy as np
import pyogrio
import pytest
import shapely

import swath
from swath.errors import DataError
from swath.geo.tiling import Window
from swath.legend import LandClass, Legend
from swath.mapping.suggestions import squares as module
from swath.mapping.suggestions.choice import choose
from swath.mapping.suggestions.regions import squares_of_map, write_review
from swath.mapping.suggestions.squares import (
    SquareGrid,
    Squares,
    join,
    side_of,
    squares_of_classes,
    squares_of_probabilities,
)
from tests.errors import fails
from tests.make import NORTH_UP, UTM, box, noise, write_raster

LEGEND = Legend(tuple(LandClass(n, (c,), c, "#000000") for c, n in ((1, "water"), (2, "sand"))))


def row_of(wrong, classes=None, features=None, labeled=(), gap=48):
    """Return squares in a row from west to east."""
    n = len(wrong)
    windows = np.array([(0, gap * i, 48, 48) for i in range(n)])
    marked = np.isin(np.arange(n), list(labeled))
    return Squares(
        windows,
        np.array(classes if classes is not None else [0] * n),
        np.full(n, -1),
        np.array(wrong, float),
        np.full(n, 48 * 48),
        np.array(features if features is not None else [[]] * n, np.float32),
        marked,
    )


def test_sums_of_squares_are_those_of_their_pixels():
    values = noise(3, 100, 130).astype(np.float32)
    grid = SquareGrid(Window(40, 7, 100, 130), 48)
    assert {tuple(w[2:]) for w in grid.windows.tolist()} <= {(50, 43), (50, 44)}
    sums = grid.sums(values)
    assert sums.shape == (3, 6)
    for k, (row, col, height, width) in enumerate(grid.windows):
        part = values[:, row - 40 : row - 40 + height, col - 7 : col - 7 + width]
        assert sums[:, k] == pytest.approx(part.sum(axis=(1, 2)))


def test_a_square_has_the_classes_and_errors_of_its_pixels_with_data():
    shares = np.zeros((3, 48, 96), np.float32)
    shares[1], shares[2], shares[0] = 0.5, 0.3, 0.2
    valid = np.ones((48, 96), bool)
    valid[:20, :48] = False
    valid[:, 48:72] = False
    labeled = np.zeros((48, 96), bool)
    labeled[30, 30] = True
    grid = SquareGrid(Window(0, 0, 48, 96), 48)
    values = np.full((2, 48, 96), 3, np.float32)
    found = squares_of_probabilities(grid, shares, values, valid, labeled)
    assert found.pixels.tolist() == [28 * 48, 24 * 48] and found.labeled.tolist() == [True, False]
    assert (found.classes == 1).all() and (found.others == 2).all()
    assert found.wrong == pytest.approx([14 * 48, 12 * 48])
    assert found.features[0] == pytest.approx([3, 3, 0, 0, 0.2, 0.5, 0.3])
    valid[:26, :48] = False  # less than half of it
    assert len(squares_of_probabilities(grid, shares, values, valid, labeled)) == 1


def test_squares_are_small_on_small_maps():
    assert [side_of(*s) for s in ((60, 60), (224, 224), (500, 500), (9000, 9000))] == [8, 8, 8, 48]
    assert side_of(1000, 1000) == 24


def test_the_squares_with_most_errors_and_those_with_labels_are_kept(monkeypatch):
    monkeypatch.setattr(module, "MAX_SQUARES", 4)
    parts = [row_of([1, 5, 3, 2], labeled=[0]), row_of([7, 8, 9])]
    assert join(parts, 2).wrong.tolist() == [1, 5, 8, 9]
    assert join([], 0).wrong.tolist() == []


def test_what_is_alike_is_chosen_once():
    alike = row_of([10, 10, 10, 9, 0], features=[[0], [0.01], [0], [9], [0]], gap=0)
    assert choose(alike, 2).tolist()[1] == 3
    two = row_of([10, 9, 8, 7], classes=[0, 0, 0, 1], gap=0)
    assert choose(two, 2).tolist() == [3, 0] or choose(two, 2).tolist() == [0, 3]


def test_what_is_like_a_label_is_chosen_last():
    squares = row_of([10, 10, 10], features=[[0], [0.01], [9]], labeled=[0], gap=0)
    assert choose(squares, 3).tolist() == [2, 1]


def test_what_many_squares_are_like_is_chosen_first():
    features = [[5], [0], [0.01], [0.02], [0.03]]
    assert choose(row_of([12, 8, 8, 8, 8], features=features, gap=0), 1).tolist()[0] > 0


def test_nothing_is_chosen_where_no_errors_are_expected():
    assert choose(row_of([0, 0]), 5).tolist() == []
    assert choose(row_of([3, 3], labeled=[0, 1]), 5).tolist() == []
    assert choose(join([], 0), 5).tolist() == []


def test_the_choice_does_not_depend_on_how_many_are_wanted():
    rng = np.random.default_rng(0)
    squares = row_of(rng.uniform(0, 99, 60), rng.integers(0, 3, 60), rng.normal(size=(60, 4)))
    assert choose(squares, 40).tolist()[:7] == choose(squares, 7).tolist()
    assert len(set(choose(squares, 60).tolist())) == 60


@pytest.fixture
def confident(tmp_path):
    """A certain map of two classes with two uncertain spots and a gap."""
    percent = np.full((700, 1200), 100, np.uint8)
    percent[32:64, 32:64] = 40
    percent[320:400, 480:560] = 55
    percent[:, 900:960] = 255
    codes = np.ones((700, 1200), np.uint8)
    codes[:, 700:] = 2
    write_raster(tmp_path / "m.tif", codes, UTM, NORTH_UP, nodata=0)
    return write_raster(tmp_path / "c.tif", percent, UTM, NORTH_UP, nodata=255)


def test_regions_to_review_are_the_uncertain_spots(confident, tmp_path):
    assert write_review(tmp_path / "m.tif", confident, LEGEND, tmp_path / "r.gpkg", 2) == 2
    meta, _, wkb, columns = pyogrio.raw.read(tmp_path / "r.gpkg")
    assert list(meta["fields"]) == ["rank", "class", "confidence", "wrong", "pixels"]
    assert columns[0].tolist() == [1, 2] and columns[1].tolist() == ["water", "water"]
    assert "32632" in meta["crs"]
    spots = box(32, 32, 32, 32), box(320, 480, 80, 80)
    shapes = shapely.from_wkb(wkb)
    assert {next(i for i, s in enumerate(spots) if s.intersects(r)) for r in shapes} == {0, 1}


def test_a_certain_map_has_no_regions_to_review(tmp_path):
    for value in (100, 255):
        ones = np.ones((200, 200), np.uint8)
        write_raster(tmp_path / "m.tif", ones, UTM, NORTH_UP, nodata=0)
        write_raster(tmp_path / "c.tif", value * ones, UTM, NORTH_UP, nodata=255)
        squares, _ = squares_of_map(tmp_path / "m.tif", tmp_path / "c.tif")
        assert choose(squares, 5).tolist() == []
        write_review(tmp_path / "m.tif", tmp_path / "c.tif", LEGEND, tmp_path / "r.gpkg", 5)
        assert pyogrio.read_info(tmp_path / "r.gpkg")["features"] == 0


def test_what_is_no_confidence_is_refused(tmp_path):
    other = write_raster(tmp_path / "x.tif", noise(3, 9, 9))
    with fails("not-confidence", DataError, file=other):
        squares_of_map(other, other)


def test_predict_writes_the_regions_beside_the_map(tiny_model, stripes, tmp_path):
    image = next((stripes.parent / "source" / "d" / "images").iterdir())
    result = swath.predict(tiny_model, image, tmp_path / "m.tif", review=4, confidence=True)
    assert str(tmp_path / "m_review.gpkg") in result.maps
    _, _, wkb, columns = pyogrio.raw.read(tmp_path / "m_review.gpkg")
    assert 0 < len(wkb) <= 4 and columns[0].tolist() == list(range(1, len(wkb) + 1))
    alone = swath.predict(tiny_model, image, tmp_path / "n.tif", review=4)
    assert (tmp_path / "n_review.gpkg").exists() and not (tmp_path / "n_confidence.tif").exists()
    assert len(alone.maps) == 2


def test_blocks_without_data_have_no_squares():
    nothing = np.zeros((96, 96), bool)
    squares = squares_of_classes(
        SquareGrid(Window(0, 0, 96, 96), 48), nothing.astype(int), nothing + 0.5, nothing
    )
    assert len(squares) == 0
