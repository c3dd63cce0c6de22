"""An image that is unlike the training data is told from one that is like them."""

from fractions import Fraction

import numpy as np
import pytest

import swath
from swath.data.dataset import Dataset
from swath.errors import ModelError, UsageError
from swath.evaluation.ood import band_distance, describe_image, fit_ood, ood_distance
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Pixels
from swath.inference.output import OutputSpec
from swath.inference.tiled import TiledPredictor
from tests.errors import fails
from tests.make import noise, write_png, write_raster

SIDE = 256


class Scores:
    """A network of two classes: first band bright, and first band dark."""

    def __call__(self, raw):
        return np.stack([raw[:, 0] / 50, 3 - raw[:, 0] / 50], axis=1).astype(np.float32)


PREDICTOR = TiledPredictor(Scores(), OutputSpec(2), [80.0, 120.0, 60.0], 32, 0)


def city(seed, tones=(80, 120, 60), patch=16, dtype=np.uint8):
    """Return an image (3, rows, columns) of patches with correlated bands, green the brightest."""
    rng = np.random.default_rng(seed)
    lot = np.kron(rng.uniform(0.7, 1.3, (SIDE // patch, SIDE // patch)), np.ones((patch, patch)))
    light = rng.uniform(0.9, 1.1)
    pixels = light * lot * np.array(tones)[:, None, None] + rng.normal(0, 4, (3, SIDE, SIDE))
    return np.clip(pixels, 1, np.iinfo(dtype).max).astype(dtype)


class Image:
    def __init__(self, values, valid=None):
        self.grid = GeoBox(*values.shape[1:])
        self.values = values
        self.valid = np.ones(values.shape[1:], bool) if valid is None else valid

    def read(self, window):
        rows, cols = window.slices
        return Pixels(self.values[:, rows, cols], self.valid[rows, cols])


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    root = tmp_path_factory.mktemp("cities")
    for k in range(12):
        write_raster(root / "s" / f"g{k % 4}" / "images" / f"{k}.tif", city(k))
        write_png(
            root / "s" / f"g{k % 4}" / "masks" / f"{k}.png",
            noise(SIDE, SIDE, seed=k, low=1, high=3),
        )
    swath.prepare(root / "s", root / "d", test="none", val="none")
    return fit_ood(Dataset(root / "d"), PREDICTOR)


@pytest.mark.parametrize("seed", range(100, 110))
def test_more_of_the_same_city_is_familiar(known, seed):
    far, _ = ood_distance(Image(city(seed)), PREDICTOR, known)
    assert far <= known.threshold


@pytest.mark.parametrize(
    "strange",
    [
        city(5, dtype=np.uint16) * 257,
        city(5)[[1, 0, 2]],
        city(5)[::-1],
        city(5, tones=(160, 130, 110)),
        city(5, patch=2),
        255 - city(5),
    ],
    ids=[
        "16 bits",
        "swapped bands",
        "reversed bands",
        "another city",
        "another resolution",
        "inverted",
    ],
)
def test_what_is_unlike_the_training_data_is_told(known, strange):
    far, _ = ood_distance(Image(strange), PREDICTOR, known)
    assert far > 1.5 * known.threshold


def test_nodata_does_not_count(known):
    image = city(7)
    valid = np.ones((SIDE, SIDE), bool)
    valid[:, :100] = False
    spoilt = np.where(valid, image, 255).astype(np.uint8)
    assert ood_distance(Image(spoilt, valid), PREDICTOR, known)[0] <= known.threshold
    assert ood_distance(Image(spoilt, ~np.ones_like(valid)), PREDICTOR, known)[0] == float("inf")


def test_data_that_are_mostly_nodata_are_not_described(tmp_path):
    for k in range(2):
        image = city(k)
        image[:, :, 10:] = 0
        write_raster(tmp_path / "s" / f"g{k}" / "images" / "x.tif", image, nodata=0)
        write_png(
            tmp_path / "s" / f"g{k}" / "masks" / "x.png", noise(SIDE, SIDE, seed=k, low=1, high=3)
        )
    swath.prepare(tmp_path / "s", tmp_path / "d", test="none", val="none")
    assert fit_ood(Dataset(tmp_path / "d"), PREDICTOR) is None


def test_description_of_a_patch_by_hand():
    values = np.array([[[1, 3], [1, 3]], [[2, 2], [4, 4]]])
    found = describe_image(
        Pixels(values, np.ones((2, 2), bool)),
        np.array([[[1.0, 1], [1, 1]], [[1, 1], [1, 1]]], np.float32),
    )
    mean, step, deviation, rough, together = found[0], found[1], found[2:4], found[4:6], found[6]
    assert (mean, step, together) == (2.5, 1.0, 0.0)
    assert deviation.tolist() == [1, 1] and rough == pytest.approx(np.log1p([2, 0]))
    assert found[7:].tolist() == pytest.approx([1, 1, 1 + np.log(2)])


def test_bands_alone_tell_what_is_far_from_training(known):
    def distance(values, valid=None):
        return band_distance(Image(values, valid), Fraction(1), PREDICTOR.fill, known)

    assert distance(city(90)) < 3 * known.threshold
    for odd in (city(91)[[1, 0, 2]], city(92)[[0, 1, 1]], city(93, (40, 60, 30))):
        assert distance(odd) > 3 * known.threshold
    assert distance(city(94)[:, :40, :40]) is None  # too small to tell
    assert distance(city(95), np.zeros((SIDE, SIDE), bool)) is None


def test_predict_tells_bands_that_are_unlike_training(tiny_model, stripes, tmp_path, monkeypatch):
    image = next((stripes.parent / "source" / "d" / "images").iterdir())
    assert swath.predict(tiny_model, image, tmp_path / "m.tif").warnings == []
    monkeypatch.setattr("swath.commands.predict.FAR", 0.0)
    (warning,) = swath.predict(tiny_model, image, tmp_path / "n.tif").warnings
    assert str(image) in warning and "--against" in warning


def test_inspect_holds_an_image_against_a_model(tiny_model, stripes, tmp_path):
    image = next((stripes.parent / "source" / "d" / "images").iterdir())
    result = swath.inspect(image, against=tiny_model)
    assert result.ok and result.ood.distance > 0 and result.ood.threshold >= 1
    assert [b.name for b in result.ood.bands] == result.bands
    assert all(b.low <= b.mean <= b.high for b in result.ood.bands)
    wide = write_raster(
        tmp_path / "w.tif", noise(3, 96, 96, high=60_000, dtype="int64").astype(np.uint16)
    )
    findings = {f["code"]: f["level"] for f in swath.inspect(wide, against=tiny_model).findings}
    assert findings == {
        "other-numbers": "warning",
        "other-type": "warning",
        "unlike-training": "warning",
    }
    texts = [f["message"] + f["fix"] for f in swath.inspect(wide, against=tiny_model).findings]
    assert not any("swath inspect" in text for text in texts)  # which was just run
    two = swath.inspect(write_raster(tmp_path / "t.tif", noise(2, 96, 96)), against=tiny_model)
    assert not two.ok and two.findings[0]["code"] == "other-bands"
    gone = swath.inspect(tmp_path / "nowhere.tif", against=tiny_model)
    assert not gone.ok and "no such file" in gone.findings[0]["message"]
    with pytest.raises(ModelError):
        swath.inspect(image, against=image)
    with fails("option-conflict", UsageError):
        swath.inspect(image, against=tiny_model, label_band=2)
