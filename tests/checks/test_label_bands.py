"""Bands of an image that hold its labels."""

import numpy as np
import pytest

import swath
from tests.checks.test_label_fit import patches
from tests.make import noise, write_raster


def holds_labels(root, *more):
    """Inspect an image with three bands of noise and more that are made from its labels."""
    codes = patches(0)
    bands = [*noise(3, *codes.shape, seed=1, low=0, high=3000), *(make(codes) for make in more)]
    write_raster(root / "images" / "0.tif", np.stack(bands).astype(np.float32))
    write_raster(root / "masks" / "0.tif", codes[None])
    found = {f["code"]: f for f in swath.inspect(root).findings}
    return found.get("labels-in-bands")


@pytest.mark.parametrize(
    "make",
    [
        lambda codes: codes,
        lambda codes: (3 - codes) * 100.0,
        lambda codes: np.where(np.arange(codes.size).reshape(codes.shape) % 40, codes, 0),
    ],
)
def test_a_band_that_holds_the_labels_is_told(tmp_path, make):
    finding = holds_labels(tmp_path, make)
    assert "Band 4 of the image holds the labels" in finding["message"]
    assert "--select-bands 1,2,3" in finding["fix"]


def test_both_bands_that_hold_them_are_told(tmp_path):
    finding = holds_labels(tmp_path, lambda codes: codes * 2, lambda codes: 9 - codes)
    assert "Band 4, 5" in finding["message"]


@pytest.mark.parametrize(
    "make",
    [
        lambda codes: codes == 2,
        lambda codes: np.random.default_rng(0).integers(0, 5, codes.shape),
        lambda codes: np.zeros(codes.shape),
        lambda codes: codes * 100.0 + noise(1, *codes.shape, seed=2, low=0, high=90)[0],
    ],
)
def test_few_values_or_high_agreement_alone_are_none(tmp_path, make):
    assert holds_labels(tmp_path, make) is None


def test_an_image_that_is_made_of_its_labels_is_none(tmp_path):
    codes = patches(0)
    write_raster(tmp_path / "images" / "0.tif", np.stack([codes, codes * 9, 9 - codes]))
    write_raster(tmp_path / "masks" / "0.tif", codes[None])
    assert "labels-in-bands" not in {f["code"] for f in swath.inspect(tmp_path).findings}
