"""Images of which two classes look as the other one does elsewhere."""

import numpy as np
import pytest

import swath
from tests.checks.test_fit_checks import patches
from tests.make import noise, write_png, write_raster

LEVELS = np.array(
    [[0, 0, 0, 0], [300, 500, 400, 2500], [900, 1000, 1200, 1700], [400, 300, 200, 90]]
)


def inspect(root, made, dtype="uint16", bands=4, plain=False):
    """Inspect seven images, the codes of the fourth as `made`; return the findings of the kind."""
    for i in range(7):
        codes, rng = patches(i), np.random.default_rng(i)
        image = np.moveaxis(LEVELS[codes], -1, 0)[:bands] * rng.uniform(0.8, 1.2)
        image = image * rng.normal(1, 0.1, image.shape)
        image = noise(bands, 192, 192, seed=i) if plain else image.clip(1)
        write_raster(root / "images" / f"{i}.tif", image.astype(dtype))
        write_png(root / "masks" / f"{i}.png", made(codes) if i == 3 else codes)
    findings = swath.inspect(root).findings
    return [f["message"] for f in findings if f["code"] == "classes-exchanged"]


def exchange(*codes):
    return lambda labels: np.array(codes, np.uint8)[labels]


@pytest.mark.parametrize(
    ("made", "pair", "how"),
    [
        (exchange(0, 2, 1, 3), "code 1 and code 2", {}),
        (exchange(0, 3, 2, 1), "code 1 and code 3", {"dtype": "float32"}),
        (exchange(0, 1, 3, 2), "code 2 and code 3", {"bands": 3}),
    ],
)
def test_exchanged_classes_are_told(tmp_path, made, pair, how):
    (message,) = inspect(tmp_path, made, **how)
    assert "of 1 image(s)" in message and f"3.png ({pair})" in message


@pytest.mark.parametrize("plain", [False, True])
def test_other_classes_are_not(tmp_path, plain):
    assert not inspect(tmp_path, exchange(0, 1, 2, 3), plain=plain)
