"""Integers that have wrapped around."""

import numpy as np
import pytest

import swath
from swath.io.wrapped_values import WrappedValues
from tests.make import NORTH_UP, UTM, noise, write_model, write_raster

ROWS, COLS = np.indices((200, 200))
HILLS = 300 + 150 * np.sin(ROWS / 20) + 140 * np.cos(COLS / 15)
HILLS = HILLS + np.random.default_rng(0).normal(0, 4, HILLS.shape)


def find(band, valid=None):
    tally = WrappedValues(1, band.dtype)
    tally.add(band[None], np.ones(band.shape, bool) if valid is None else valid)
    return tally.find()


@pytest.mark.parametrize(
    "band",
    [
        HILLS.astype(np.int64).astype(np.uint8),
        (3 * HILLS).astype(np.int64).astype(np.uint8),
        (HILLS - 300).astype(np.int64).astype(np.uint16),
        (HILLS * 100).astype(np.int64).astype(np.int16),
    ],
    ids=["8 bits", "steep", "below zero", "signed"],
)
def test_wrapped_values_are_found(band):
    assert find(band) == (0,)


@pytest.mark.parametrize(
    "band",
    [
        (HILLS / 3).astype(np.uint8),
        HILLS.clip(0, 255).astype(np.uint8),
        HILLS.astype(np.int16),
        noise(1, 200, 200)[0],
        np.where(ROWS % 7 < 3, 255, 0).astype(np.uint8),
        np.where(ROWS % 7 < 3, 253, 2).astype(np.uint8),
        np.where(HILLS > 500, 65535, HILLS).astype(np.uint16),
        np.where(HILLS > 500, 65534, HILLS).astype(np.uint16),
    ],
    ids=["scaled", "clipped", "wide", "noise", "black and white", "two values", "fill", "one"],
)
def test_other_values_are_not(band):
    assert find(band) == ()


def test_invalid_pixels_do_not_count():
    band = HILLS.astype(np.int64).astype(np.uint8)
    assert find(band, np.zeros(band.shape, bool)) == ()


def test_inspect_tells_them(tmp_path):
    wrapped = np.array([HILLS.astype(np.int64).astype(np.uint8)] * 2 + [noise(1, 200, 200)[0]])
    write_raster(tmp_path / "images" / "a.tif", wrapped)
    codes = np.where(ROWS < 90, 1, 2).astype(np.uint8)
    write_raster(tmp_path / "masks" / "a.tif", codes)
    found = [f for f in swath.inspect(tmp_path).findings if f["code"] == "wrapped-values"]
    assert len(found) == 1 and "uint8" in found[0]["message"]


def test_predict_tells_them(tmp_path):
    model = write_model(tmp_path / "m.swath")
    wrapped = np.array([HILLS.astype(np.int64).astype(np.uint8)] * 3)
    path = write_raster(tmp_path / "a.tif", wrapped, UTM, NORTH_UP)
    warnings = swath.predict(model, path, tmp_path / "a").warnings
    assert any("jump from the largest values" in w for w in warnings)
