"""Scores of a model of a few labels, which held them out in turn, beside those of a forest."""

import sys

import numpy as np
import pytest

import swath
from swath.cli import summaries
from swath.errors import DataError
from swath.models.model import Model
from tests.errors import fails
from tests.make import NORTH_UP, UTM, box, write_layer, write_raster

BANDS = 33
"""So many that pixels are described by their bands alone, which takes no encoder."""


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A dataset of two classes in noise, with eight squares each, of which some are wrong."""
    folder = tmp_path_factory.mktemp("few")
    rng = np.random.default_rng(0)
    true = np.kron(rng.integers(0, 2, (8, 8)), np.ones((16, 16), int))
    image = 100 + 30 * true + rng.normal(0, 15, (BANDS, 128, 128))
    write_raster(folder / "farm" / "scene.tif", image.astype(np.int16), UTM, NORTH_UP)
    places = [(16 * row + 4, 16 * col + 4) for row in range(8) for col in range(0, 8, 4)]
    kinds = [("soil", "wood")[true[row, col]] for row, col in places]
    kinds[3] = "wood" if kinds[3] == "soil" else "soil"
    shapes = [box(row, col, 6, 6) for row, col in places]
    write_layer(folder / "farm" / "fields.gpkg", shapes, {"class": kinds})
    given = {"images": "scene.tif", "labels": "fields.gpkg"}
    swath.prepare(folder / "farm", folder / "ds", **given)
    swath.train(folder / "ds", folder / "m.swath", recipe="quick")
    return folder


def test_a_model_without_a_test_split_has_the_scores_of_its_folds(few, tmp_path):
    folds = Model(few / "m.swath").card.folds
    result = swath.evaluate(few / "m.swath", few / "ds", report=tmp_path / "page")
    assert (result.split, result.miou, result.folds) == ("folds", folds.miou, folds)
    assert 0.5 < folds.interval[0] < folds.miou < 1 and result.miou_interval == folds.interval
    assert sum(map(sum, result.confusion)) == folds.pixels == 16 * 36
    assert {c.name for c in result.classes} == {"soil", "wood"}
    page = (tmp_path / "page" / "index.html").read_text()
    assert "held out in turn" in page and f"{folds.forest:.3f}" in page
    text = summaries.evaluate(result)
    assert f"{folds.miou:.3f}" in text and f"{folds.forest:.3f}" in text


def test_a_forest_is_scored_on_the_same_parts(few):
    folds = Model(few / "m.swath").card.folds
    assert folds.forest == pytest.approx(folds.miou, abs=0.1)
    low, high = folds.forest_interval
    assert low < folds.forest < high
    worse, better = (folds.model_copy(update={"forest": share}) for share in (0.0, 0.99))
    result = swath.evaluate(few / "m.swath", few / "ds")
    for folds, told in ((worse, False), (better, True)):
        text = summaries.evaluate(result.model_copy(update={"folds": folds}))
        assert ("better" in text) == told


def test_without_scikit_learn_all_but_the_forest_is_there(few, tmp_path, monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    result = swath.train(few / "ds", tmp_path / "m.swath", recipe="quick")
    assert result.folds.miou == Model(few / "m.swath").card.folds.miou
    assert result.folds.forest is None and "swath[forest]" in summaries.train(result)
    page = swath.evaluate(tmp_path / "m.swath", few / "ds", report=tmp_path / "page").report
    assert "swath[forest]" in open(page).read()


def test_another_dataset_without_a_test_split_is_an_error(few, tmp_path):
    given = {"images": "scene.tif", "labels": "fields.gpkg", "nodata": 90}
    swath.prepare(few / "farm", tmp_path / "other", **given)
    with fails("empty-split", DataError, tmp_path / "other"):
        swath.evaluate(few / "m.swath", tmp_path / "other")


def test_the_training_split_is_scored_as_it_is(few):
    result = swath.evaluate(few / "m.swath", few / "ds", split="train")
    assert result.split == "train" and result.folds is not None


def test_a_report_on_a_split_has_the_score_of_a_forest(few, tmp_path):
    given = {"images": "scene.tif", "labels": "fields.gpkg", "test": "0", "val": "none"}
    swath.prepare(few / "farm", tmp_path / "ds", block=64, buffer=0, **given)
    swath.train(tmp_path / "ds", tmp_path / "m.swath", recipe="quick")
    assert swath.evaluate(tmp_path / "m.swath", tmp_path / "ds").forest is None
    result = swath.evaluate(tmp_path / "m.swath", tmp_path / "ds", report=tmp_path / "page")
    assert result.split == "test" and 0.5 < result.forest <= 1
    page = (tmp_path / "page" / "index.html").read_text()
    assert f"has {result.forest:.3f} on this split" in page
    assert "A random forest" in summaries.evaluate(result)
