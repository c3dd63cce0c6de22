"""The quick recipe on a scene that is labeled: windows fit together, and heads are scored."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from swath.geo.tiling import Window, iter_blocks
from swath.inference.tiled import read_scaled
from swath.models.hypercolumn import gather_features
from swath.server.layer import Hint, RasterLayer
from swath.training.quick.pixels import feature_maps
from swath.training.quick.scene import SceneClassifier
from tests.make import noise, write_raster

KINDS = {"encoder": (3, np.uint8), "local": (4, np.int16), "bands": (40, np.int16)}


def classifier(path, bands, dtype):
    image = noise(bands, 300, 340).astype(dtype)
    layer = RasterLayer(write_raster(path, image), Hint(kind="image"))
    scaling = [100.0] * bands, [60.0] * bands
    rgb = bands == 3 and dtype == np.uint8
    return SceneClassifier(layer, layer.grid.window, bands, rgb, scaling), layer


@pytest.mark.parametrize("kind", KINDS)
def test_windows_have_the_features_and_classes_of_the_whole_scene(kind, tmp_path):
    made, layer = classifier(tmp_path / "s.tif", *KINDS[kind])
    assert made.kind == kind
    pixels = read_scaled(layer, layer.grid.window, Fraction(1), [0.0] * len(layer.bands))
    maps = feature_maps(made._network, pixels.values)
    if kind == "encoder":
        assert maps[8].is_contiguous(memory_format=torch.channels_last)  # half the time
    random = np.random.default_rng(0)
    rows, cols = random.integers(0, 300, 500), random.integers(0, 340, 500)
    expected = gather_features(maps, torch.from_numpy(rows), torch.from_numpy(cols)).numpy()
    classes = (cols > 170).astype(np.uint8)
    head = made.fit(expected, classes, np.arange(500) % 50, 2, lambda share: None)
    whole = np.zeros((2, 300, 340), np.uint8)
    for _, window in iter_blocks(300, 340, 128):
        features = made.features(window)
        own = (rows >= window.row) & (rows < window.stop[0])
        own &= (cols >= window.col) & (cols < window.stop[1])
        found = made.sample(features, rows[own] - window.row, cols[own] - window.col)
        np.testing.assert_allclose(found, expected[own], atol=0.05, rtol=0.01)
        whole[:, *window.slices] = made.predict(features, head)
    scores = torch.softmax(head.heads.scores(torch.from_numpy(expected)) + head.prior, 1).numpy()
    assert np.abs(whole[:, rows, cols].T / 100 - scores).max() < 0.06


def test_labels_that_are_held_out_score_the_head(tmp_path):
    made, _ = classifier(tmp_path / "s.tif", 4, np.int16)
    random = np.random.default_rng(0)
    classes = np.repeat([0, 1], 300).astype(np.uint8)
    values = random.normal(classes[:, None] * 3.0, 1.0, (600, 20)).astype(np.float32)
    shares = []
    found = made.validate(values, classes, np.arange(600) // 30, 2, shares.append)
    assert found.miou > 0.9 and found.folds == 5 and made._temperature >= 1
    assert found.interval[0] <= found.miou <= found.interval[1]
    assert shares[-1] == pytest.approx(1) and shares == sorted(shares)
    assert made.validate(values, classes, classes.astype(np.int64), 2, shares.append) is None
    assert made.features(Window(0, 0, 64, 64))["valid"].all()
