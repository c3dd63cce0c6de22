"""Labels that are those of another image, or that fit nothing of their image."""

import numpy as np
import pytest

import swath
from tests.make import noise, write_png, write_raster


def patches(seed, size=192):
    """Return codes 1 to 3 (rows, columns) in rectangles anywhere."""
    codes, rng = np.ones((size, size), np.uint8), np.random.default_rng(seed)
    for row, col, height, width in rng.integers(8, 40, (80, 4)) * (6, 6, 1, 1):
        row, col = row - 40 + rng.integers(6), col - 40 + rng.integers(6)
        codes[max(row, 0) : row + height, max(col, 0) : col + width] = rng.integers(1, 4)
    return codes


def inspect(root, order, images=lambda i, image: image):
    """Inspect images of which the i-th has the labels of `order[i]`; return findings by code."""
    for i, of in enumerate(order):
        image = patches(i)[None] * 60 + noise(3, 192, 192, seed=i, low=0, high=40)
        write_raster(root / "images" / f"{i}.tif", images(i, image.astype(np.uint8)))
        write_png(root / "masks" / f"{i}.png", patches(of))
    return {f["code"]: f for f in swath.inspect(root).findings}


@pytest.mark.parametrize(
    ("order", "count"),
    [([1, 2, 3, 0], 4), ([0, 1, 3, 2], 2), ([0, 1, 3, 4, 5], 2), ([3, 0, 1, 2], 4)],
    ids=["all", "exchanged", "from one on", "the other way"],
)
def test_labels_of_another_image_are_told(tmp_path, order, count):
    found = inspect(tmp_path, order)
    assert f"of {count} image(s)" in found["labels-of-another"]["message"]


def test_labels_of_their_own_image_are_not(tmp_path):
    assert not {"labels-of-another", "labels-unlike-image"} & set(inspect(tmp_path, range(7)))


def cloud(image):
    rng = np.random.default_rng(0)
    shape = image.shape[1:]
    waves = np.add.outer(np.sin(np.arange(shape[0]) / 9), np.sin(np.arange(shape[1]) / 7))
    return np.clip(225 + 10 * waves + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("made", [cloud, lambda image: 0 * image + image % 2 + 120])
def test_images_that_do_not_show_their_labels_are_told(tmp_path, made):
    found = inspect(tmp_path, range(7), lambda i, image: made(image) if i == 2 else image)
    assert "1 image(s)" in found["labels-unlike-image"]["message"]
    assert "2.tif" in found["labels-unlike-image"]["message"]


def test_labels_of_an_image_that_has_another_pair_are_told(tmp_path):
    found = inspect(tmp_path, [0, 1, 2, 3, 4, 5, 0])
    assert "6.tif" in found["labels-unlike-image"]["message"]


def test_noise_is_no_ground_for_a_warning(tmp_path):
    found = inspect(tmp_path, range(7), lambda i, image: noise(3, 192, 192, seed=50 + i))
    assert "labels-unlike-image" not in found


def test_an_image_of_nearly_one_value_is_told_beside_few_others(tmp_path):
    found = inspect(tmp_path, range(2), lambda i, image: image % 2 + 120 if i else image)
    assert "nearly one value" in found["labels-unlike-image"]["message"]
