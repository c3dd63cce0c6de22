"""The classic recipe's views: whole images, and crops where the recipe says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import swath
from swath.data.dataset import Dataset
from swath.legend import IGNORE
from swath.training.batches.classic_batches import ClassicBatches
from swath.training.batches.sampler import PatchSampler
from swath.training.recipes import CLASSIC_RECIPE
from tests.make import write_png, write_raster

pytestmark = pytest.mark.usefixtures("one_class_allowed")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Two images whose bands hold row and column; the second has a rare class in one corner."""
    folder = tmp_path_factory.mktemp("places")
    rows, cols = np.indices((256, 320))
    for name in "ab":
        codes = np.full((256, 320), 1, np.uint8)
        codes[240:, 300:] = 1 + (name == "b")
        write_raster(
            folder / "s" / name / "images" / "i.tif", np.stack([rows, cols]).astype(np.uint16)
        )
        write_png(folder / "s" / name / "masks" / "i.png", codes)
    swath.prepare(folder / "s", folder / "d", test="none", val="none")
    return Dataset(folder / "d")


def views(dataset, seed=0, **settings):
    recipe = replace(CLASSIC_RECIPE, **settings)
    return ClassicBatches(
        PatchSampler(dataset, dataset.manifest.of("train"), recipe.balance), recipe, seed
    )


def corners(batch):
    """Return row and column of the first pixel of each view, and whether it is a crop."""
    return [
        (round(float(p[0, 0, 0])), round(float(p[1, 0, 0])), bool(p[0, -1, 0] - p[0, 0, 0] == 127))
        for p in batch.pixels
    ]


def test_an_epoch_holds_each_whole_image_once_and_its_crops(places):
    every = views(places, crops=7, batch=16)
    assert every.epoch == 1
    batch = every.batch(0)
    assert (
        batch.pixels.shape == (16, 2, 128, 128)
        and batch.labels.shape == (16, 128, 128)
        and batch.heights is None
    )
    whole = [p for p in batch.pixels if p[0, -1, 0] - p[0, 0, 0] > 200]
    assert len(whole) == 2
    assert torch.equal(whole[0][1, 0], (torch.arange(128) + 0.5) * 320 / 128 - 0.5)


@pytest.mark.parametrize(
    ("crops", "expected"),
    [(1, {(0, 0)}), (9, {(16 * r, 16 * c) for r in range(3) for c in range(3)})],
)
def test_crops_of_the_corner_lie_in_rows_from_the_top_left(places, crops, expected):
    batch = views(places, crops=crops, corner=True, batch=2 * (1 + crops)).batch(0)
    found = [(row, col) for row, col, crop in corners(batch) if crop]
    assert set(found) == expected and len(found) == 2 * crops


def test_crops_of_the_grid_come_from_all_of_it_and_change_with_the_epoch(places):
    every = views(places, crops=100, batch=202)
    first, second = ([at for at in corners(every.batch(n)) if at[2]] for n in (0, 1))
    rows, cols = {at[0] for at in first}, {at[1] for at in first}
    assert rows == {16 * i for i in range(9)} and cols == {16 * i for i in range(13)}
    assert first != second


def test_balance_draws_crops_that_show_the_rare_class(places):
    share = [
        float(
            (views(places, crops=50, batch=102, balance=b).batch(0).labels == 1)
            .flatten(1)
            .any(1)
            .float()
            .mean()
        )
        for b in (1.0, 0.0)
    ]
    assert share[0] < 0.1 and 0.35 < share[1] < 0.65


def test_a_batch_depends_on_its_number_and_seed_only(places):
    late = views(places, batch=8).batch(9)
    assert torch.equal(views(places, batch=8).batch(9).pixels, late.pixels)
    assert not torch.equal(views(places, batch=8, seed=1).batch(9).pixels, late.pixels)


def test_images_smaller_than_a_crop_are_filled_and_unlabeled(tmp_path):
    write_raster(tmp_path / "s" / "images" / "i.tif", np.full((1, 100, 90), 7, np.uint8))
    write_png(tmp_path / "s" / "masks" / "i.png", np.ones((100, 90), np.uint8))
    swath.prepare(tmp_path / "s", tmp_path / "d", test="none", val="none", block=128)
    batch = views(Dataset(tmp_path / "d"), batch=17).batch(0)
    assert sorted(set((batch.labels != IGNORE).sum((1, 2)).tolist())) == [100 * 90, 128 * 128]
