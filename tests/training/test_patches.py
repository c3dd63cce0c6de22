"""Training batches: repeatable, aligned, and blind to what belongs to other splits."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import max_pool2d

import swath
from swath.data.dataset import Dataset
from swath.geo.tiling import Window
from swath.legend import IGNORE
from swath.training.batches.patches import PatchBatches, class_shares, resized
from swath.training.batches.sampler import PatchSampler
from swath.training.recipes import Recipe
from tests.make import noise, write_pairs, write_png, write_raster

pytestmark = pytest.mark.usefixtures("one_class_allowed")

STILL = Recipe(patch=32, batch=4, scales=(1, 1), brightness=0, contrast=0, mixed=0)
"""Cuts and turns, and changes neither scale nor color."""


def make(
    folder: Path, image: np.ndarray, codes: np.ndarray, nodata: float | None = None, **options: Any
) -> Dataset:
    """Prepare one image (bands, rows, columns) with codes from 1 on."""
    write_raster(folder / "s" / "images" / "a.tif", image, nodata=nodata)
    write_png(folder / "s" / "masks" / "a.png", codes)
    swath.prepare(
        folder / "s", folder / "d", **{"test": "none", "val": "none", "buffer": 0} | options
    )
    return Dataset(folder / "d")


def patches(dataset: Dataset, recipe: Recipe = STILL, seed: int = 0) -> PatchBatches:
    samples = dataset.manifest.of("train")
    sampler = PatchSampler(dataset, samples, recipe.balance, recipe.heights)
    return PatchBatches(sampler, recipe, seed)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two small images that show their labels."""
    folder = tmp_path_factory.mktemp("plain")
    swath.prepare(write_pairs(folder / "s", ["a", "b", "c"]), folder / "d", test="c", val="none")
    return Dataset(folder / "d")


def coded(height: int, width: int, cell: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return an image of label times ten in cells of `cell` pixels, and the codes (1..5)."""
    cells = noise(height // cell, width // cell, low=0, high=5)
    labels = np.kron(cells, np.ones((cell, cell), np.uint8))
    return (labels * 10 + 1)[None].astype(np.uint8), labels + 1


def test_shapes_and_types(plain: Dataset) -> None:
    pixels, labels, *_ = patches(plain, Recipe(patch=48, batch=3)).batch(0)
    assert (pixels.shape, pixels.dtype) == ((3, 3, 48, 48), torch.float32)
    assert (labels.shape, labels.dtype) == ((3, 48, 48), torch.int64)
    assert pixels.isfinite().all()
    assert set(labels.unique().tolist()) <= {0, 1, 2, IGNORE}


def test_a_batch_depends_on_its_number_and_seed_only(plain: Dataset) -> None:
    recipe = Recipe(patch=32, batch=2)
    one, other = patches(plain, recipe), patches(plain, recipe)
    late = other.batch(5)
    row = list(islice(one, 7))
    assert all(torch.equal(a, b) for a, b in zip(row[5][:2], late[:2], strict=True))
    other.start = 5
    resumed = next(iter(other))
    assert all(torch.equal(a, b) for a, b in zip(resumed[:2], late[:2], strict=True))
    assert not torch.equal(row[0][0], row[1][0])
    assert not torch.equal(row[0][0], patches(plain, recipe, seed=1).batch(0)[0])


def test_start_may_be_moved(plain: Dataset) -> None:
    loader = patches(plain)
    loader.start = 3
    assert torch.equal(next(iter(loader))[0], patches(plain).batch(3)[0])


def test_labels_turn_with_the_pixels(tmp_path: Path) -> None:
    image, codes = coded(128, 128, cell=1)
    dataset = make(tmp_path, image, codes, block=128)
    seen = 0
    for pixels, labels, *_ in islice(patches(dataset), 10):
        known = labels != IGNORE
        assert torch.equal(pixels[:, 0][known], (labels[known] * 10 + 1).float())
        seen += int(known.sum())
    assert seen > 10 * 4 * 32 * 32 // 3


def test_all_eight_turns_occur(tmp_path: Path) -> None:
    ramp = np.add.outer(3 * np.arange(64), np.arange(64)).astype(np.uint16)[None]
    dataset = make(tmp_path, ramp, np.ones((64, 64), np.uint8), block=64)
    recipe = replace(STILL, patch=64, batch=64)
    pixels = patches(dataset, recipe).batch(0)[0][:, 0]
    steps = {(int(p[1, 0] - p[0, 0]), int(p[0, 1] - p[0, 0])) for p in pixels}
    assert steps == {(a, b) for x, y in ((3, 1), (1, 3)) for a in (x, -x) for b in (y, -y)}


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_labels_scale_with_the_pixels(tmp_path: Path, scale: float) -> None:
    """Inside a cell, where interpolation mixes nothing, a pixel still shows its label."""
    image, codes = coded(256, 256, cell=16)
    dataset = make(tmp_path, image, codes, block=256)
    recipe = replace(STILL, scales=(scale, scale))
    right = total = 0
    for pixels, labels, *_ in islice(patches(dataset, recipe), 6):
        flat = max_pool2d(pixels, 3, 1, 1) + max_pool2d(-pixels, 3, 1, 1) < 1e-3
        known = (labels != IGNORE) & flat[:, 0]
        right += int(((pixels[:, 0][known] - labels[known] * 10 - 1).abs() < 1e-3).sum())
        total += int(known.sum())
    assert total > 6 * 4 * 32 * 32 // 5
    assert right == total


@pytest.mark.parametrize("scale", [0.4, 0.7, 1.3, 2.0])
def test_scaled_labels_are_shifted_by_less_than_half_a_pixel(tmp_path: Path, scale: float) -> None:
    """Half of an interpolated step in the image is where the label changes."""
    image = np.full((1, 128, 128), 0, np.uint8)
    codes = np.ones((128, 128), np.uint8)
    image[:, :, 64:], codes[:, 64:] = 200, 2
    dataset = make(tmp_path, image, codes, block=128)
    pixels, labels, *_ = patches(dataset, replace(STILL, scales=(scale, scale), batch=16)).batch(0)
    known = labels != IGNORE
    wrong = (
        known
        & ((pixels[:, 0] > 100) != (labels == 1))
        & ((pixels[:, 0] - 100).abs() > 50 * max(1, scale))
    )
    assert known.any() and not wrong.any()


def test_scales_are_drawn_between_the_recipes(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(512, dtype=np.uint16), (512, 1))[None]
    dataset = make(tmp_path, ramp, np.ones((512, 512), np.uint8), block=512)
    pixels, labels, *_ = patches(dataset, replace(STILL, scales=(0.5, 2.0), batch=64)).batch(0)
    inside = [p for p, l in zip(pixels[:, 0], labels, strict=True) if (l != IGNORE).all()]
    slopes = [
        max((p[16, 20] - p[16, 12]).abs().item(), (p[20, 16] - p[12, 16]).abs().item()) / 8
        for p in inside
    ]
    assert len(slopes) > 20
    assert 0.45 < min(slopes) < 0.8 and 1.3 < max(slopes) < 2.1


def test_invalid_pixels_show_the_mean_and_no_label(tmp_path: Path) -> None:
    image = noise(2, 64, 64, low=50, high=250, dtype="int16")
    image[:, 20:40, 10:50] = -999
    dataset = make(tmp_path, image, np.ones((64, 64), np.uint8), nodata=-999, block=64)
    mean = torch.tensor([b.mean for b in dataset.manifest.bands], dtype=torch.float32)
    pixels, labels, *_ = patches(dataset, replace(STILL, patch=64)).batch(0)
    hidden = labels == IGNORE
    assert hidden.sum(dim=(1, 2)).tolist() == [800] * 4
    assert (pixels.permute(0, 2, 3, 1)[hidden] == mean).all()
    assert not (pixels == -999).any()


def test_nan_never_gets_in(tmp_path: Path) -> None:
    image = noise(2, 64, 64).astype(np.float32)
    image[0, ::3] = np.nan
    dataset = make(tmp_path, image, np.ones((64, 64), np.uint8), block=64)
    pixels, *_ = patches(dataset, Recipe(patch=48, batch=8)).batch(0)
    assert pixels.isfinite().all()


def test_patch_larger_than_the_image_is_filled(tmp_path: Path) -> None:
    dataset = make(tmp_path, noise(1, 40, 24), np.ones((40, 24), np.uint8), block=64)
    pixels, labels, *_ = patches(dataset, replace(STILL, patch=64)).batch(0)
    assert (labels != IGNORE).sum(dim=(1, 2)).tolist() == [40 * 24] * 4
    assert (pixels[:, 0][labels == IGNORE] == round(dataset.manifest.bands[0].mean)).all()


@pytest.mark.parametrize("side", [24, 64])
@pytest.mark.parametrize("antialias", [False, True])
def test_bytes_are_scaled_as_bytes_and_all_else_as_floats(
    tmp_path: Path, side: int, antialias: bool
) -> None:
    values = noise(3, 40, 40)
    found = []
    for kind in (np.uint8, np.uint16):
        dataset = make(
            tmp_path / kind.__name__, values.astype(kind), np.ones((40, 40), np.uint8), block=64
        )
        piece = patches(dataset).sampler.read(0, Window(0, 0, 40, 40))
        assert piece.values.dtype == (np.uint8 if kind is np.uint8 else np.float32)
        found.append(resized(piece, side, antialias).pixels)
    rounded, exact = found
    assert rounded.dtype == exact.dtype == torch.float32 and (rounded == rounded.round()).all()
    assert (rounded - exact).abs().max() <= 1 and (exact != exact.round()).any()


def test_other_splits_of_the_image_are_never_shown(tmp_path: Path) -> None:
    """Blocks of test and validation hold 200, which no batch shows, not even mixed in."""
    image = np.full((1, 128, 128), 10, np.uint8)
    codes = np.ones((128, 128), np.uint8)
    for block in (5, 10):
        where = np.s_[block // 4 * 32 : block // 4 * 32 + 32, block % 4 * 32 : block % 4 * 32 + 32]
        image[0][where], codes[where] = 200, 2
    dataset = make(tmp_path, image, codes, block=32, test="5", val="10")
    recipe = replace(STILL, patch=48, batch=16, scales=(0.5, 2.0))
    for pixels, labels, *_ in islice(patches(dataset, recipe), 4):
        assert (pixels - 10).abs().max() < 1e-4
        assert set(labels.unique().tolist()) <= {0, IGNORE}
    piece = patches(dataset).sampler.read(0, dataset.images[0].grid.window)
    assert int((piece.values != 10).sum()) == 0
    assert int((piece.labels == IGNORE).sum()) == 2 * 32 * 32


def test_training_blocks_without_labels_are_shown(tmp_path: Path) -> None:
    """A block that lost its labels to the buffer is still of the training split."""
    codes = np.ones((64, 128), np.uint8)
    codes[:32, 32:64], codes[:, 64:96] = 2, 2
    codes[:, :32] = 1
    dataset = make(tmp_path, noise(1, 64, 128), codes, block=32, buffer=32, test="0", val="none")
    eaten = [s.name for s in dataset.manifest.of("train") if not sum(s.counts)]
    assert eaten
    image = dataset.images[0]
    shown = (
        patches(dataset).sampler.read(0, image.grid.window).values[0]
        == image.read(image.grid.window).values[0]
    )
    assert shown[:32, 32:].all() and shown[32:].all() and not shown[:32, :32].all()


def test_samples_are_drawn_by_their_labeled_pixels(tmp_path: Path) -> None:
    for name, rows in (("a", 48), ("b", 16), ("c", 0)):
        codes = np.zeros((64, 64), np.uint8)
        codes[:rows] = 1
        write_raster(
            tmp_path / "s" / "images" / f"{name}.tif", np.full((1, 64, 64), ord(name), np.uint8)
        )
        write_png(tmp_path / "s" / "masks" / f"{name}.png", codes, nodata=0)
    swath.prepare(tmp_path / "s", tmp_path / "d", test="none", val="none")
    pixels, labels, *_ = patches(Dataset(tmp_path / "d"), replace(STILL, patch=8, batch=400)).batch(
        0
    )
    seen = pixels[:, 0] * (labels != IGNORE)
    shares = [(seen == ord(name)).flatten(1).any(1).float().mean().item() for name in "abc"]
    assert shares[2] == 0
    assert shares[0] == pytest.approx(0.75, abs=0.08) and shares[0] + shares[1] == pytest.approx(1)


@pytest.mark.parametrize("shape", [(300, 400), (3, 40_000)])
def test_a_place_of_a_class_shows_it_however_rare_it_is(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    codes = np.full(shape, 1, np.uint8)
    codes[:, 3::7] = 2
    codes[1, 290] = 3  # too rare for the first look, at every fifth or sixth row and column
    dataset = make(tmp_path, np.ones((1, *shape), np.uint8), codes, block=40_000)
    ground = patches(dataset, replace(STILL, balance=0)).sampler
    rng = np.random.default_rng(0)
    places = [
        (s.window.row + row, s.window.col + col)
        for s, row, col in (ground.draw(rng) for _ in range(600))
    ]
    rows, cols = np.array(places).T
    shares = np.bincount(codes[rows, cols], minlength=4)[1:] / 600
    assert shares == pytest.approx([1 / 3] * 3, abs=0.08)
    assert len(set(cols[codes[rows, cols] == 2])) >= 45


def test_recoloring_stays_within_the_recipe(tmp_path: Path) -> None:
    image = (
        np.where(np.indices((64, 64))[1] < 32, 100, 140).astype(np.uint8)[None].repeat(2, axis=0)
    )
    dataset = make(tmp_path, image, np.ones((64, 64), np.uint8), block=64)
    recipe = replace(STILL, patch=64, batch=64, brightness=0.3, contrast=0.2)
    batch = patches(dataset, recipe).batch(0)
    assert set(batch.pixels.unique().tolist()) == {
        100,
        140,
    }  # what a step does itself is still to be done
    pixels, *_, left = batch.recolored()
    assert left is None and pixels.shape == batch.pixels.shape
    contrast = (pixels.amax(dim=(2, 3)) - pixels.amin(dim=(2, 3))) / 40
    assert 0.8 * 0.9 <= contrast.min() < 0.95 and 1.05 < contrast.max() <= 1.2 * 1.1
    shift = (pixels.mean(dim=(2, 3)) - 120) / 20
    assert 0.15 < shift.abs().max() <= 0.4 + 1e-4
    assert shift[:, 0].sub(shift[:, 1]).abs().max() > 0.01


def test_turning_is_a_setting(tmp_path: Path) -> None:
    ramp = np.add.outer(3 * np.arange(64), np.arange(64)).astype(np.uint16)[None]
    dataset = make(tmp_path, ramp, np.ones((64, 64), np.uint8), block=64)
    pixels = patches(dataset, replace(STILL, turns=False)).batch(0).pixels[:, 0]
    assert all((int(p[16, 15] - p[15, 15]), int(p[15, 16] - p[15, 15])) == (3, 1) for p in pixels)


def test_rare_classes_are_met_more_often_the_more_balance_there_is(tmp_path):
    codes = np.full((400, 400), 1, np.uint8)
    codes[180:220, 180:220] = 2
    for name in "ab":
        write_raster(tmp_path / "s" / name / "images" / "i.tif", noise(3, 400, 400))
        write_png(tmp_path / "s" / name / "masks" / "i.png", codes)
    swath.prepare(tmp_path / "s", tmp_path / "d", test="b", val="none")
    dataset = Dataset(tmp_path / "d")

    def share_that_sees_the_rare_class(balance):
        recipe = Recipe(patch=32, batch=100, balance=balance, scales=(1, 1))
        labels = patches(dataset, recipe).batch(0).labels
        return float((labels == 1).flatten(1).any(1).float().mean())

    shares = [share_that_sees_the_rare_class(balance) for balance in (1.0, 0.5, 0.0)]
    assert shares[0] < shares[1] < shares[2] and shares[2] > 0.4


def test_the_plan_of_sampling_counts_what_patches_show(tmp_path):
    codes = np.full((128, 128), 1, np.uint8)
    codes[:16, :16] = 2
    dataset = make(tmp_path, noise(1, 128, 128), codes, block=128)
    alike, natural = (
        class_shares(patches(dataset, replace(STILL, balance=b)), 20, 2) for b in (0.0, 1.0)
    )
    assert alike.sum() == pytest.approx(1) and natural.sum() == pytest.approx(1)
    assert natural[1] == pytest.approx(16 * 16 / 128**2, abs=0.03) and alike[1] > 0.1


def test_heights_turn_and_scale_with_the_labels(tmp_path):
    """Heights that repeat the labels still do so in a patch, and are NaN in other splits."""
    codes = np.kron(noise(16, 16, low=1, high=4), np.ones((8, 8), np.uint8))
    write_raster(tmp_path / "s" / "JAX_001_001_RGB.tif", noise(3, 128, 128))
    write_raster(tmp_path / "s" / "JAX_001_001_CLS.tif", np.array([0, 2, 5, 6], np.uint8)[codes])
    write_raster(tmp_path / "s" / "JAX_001_001_AGL.tif", (codes - 1).astype(np.float32))
    swath.prepare(tmp_path / "s", tmp_path / "d", test="none", val="none")
    batch = patches(
        Dataset(tmp_path / "d"), replace(STILL, scales=(0.5, 2.0), batch=32, heights=True)
    ).batch(0)
    known = batch.labels != IGNORE
    assert torch.equal(batch.heights[known], batch.labels[known].float())
    assert known.any() and not known.all() and batch.heights[~known].isnan().all()


def test_mixed_patches_show_squares_of_the_one_before_with_its_labels() -> None:
    from swath.training.batches.patches import Batch, _mixed

    n, size = 64, 32
    ids = torch.arange(n, dtype=torch.float32)
    heights = ids[:, None, None].expand(n, size, size).clone()
    batch = Batch(
        ids[:, None, None, None].expand(n, 2, size, size).clone(),
        heights.long(),
        heights,
        torch.zeros(n, 3, 2),
    )
    mixed = _mixed(np.random.default_rng(3), batch, 0.5)
    assert (mixed.pixels == mixed.labels[:, None]).all() and mixed.heights is not None
    assert (mixed.heights == mixed.labels).all() and (mixed.colors == batch.colors).all()
    foreign = mixed.labels != batch.labels
    assert (mixed.labels[foreign] == (batch.labels[foreign] - 1) % n).all()
    pasted = foreign.any(dim=(1, 2))
    assert 20 < pasted.sum() < 44
    for shown in foreign[pasted]:
        rows, cols = shown.any(dim=1), shown.any(dim=0)
        assert (shown == rows[:, None] & cols).all() and rows.sum() == cols.sum()
    assert 0.35 < foreign[pasted].float().mean() < 0.65
    assert (batch.pixels == ids[:, None, None, None]).all()  # what was given stays
    assert _mixed(np.random.default_rng(3), batch, 0.0) is batch
