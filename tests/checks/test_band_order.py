"""Images whose first three bands are in reverse order."""

import numpy as np
import pytest

import swath
from tests.checks.test_fit_checks import patches
from tests.make import write_png, write_raster

COLORS = np.array([[0, 0, 0], [110, 125, 140], [190, 160, 120], [60, 95, 50]])


def found(root, changed, dtype="uint8", scale=1, bands=3, group=False):
    """Inspect seven images, those of `changed` in reverse order, and return what is reversed."""
    for i in range(7):
        codes, rng = patches(i), np.random.default_rng(i)
        shade = rng.normal(1, 0.2, codes.shape).clip(0.4, 1.7) * rng.uniform(0.8, 1.2)
        image = np.moveaxis(COLORS[codes], -1, 0) * shade + rng.normal(0, 2, (3, *codes.shape))
        image = np.concatenate([image, image[:1]])[:bands].clip(1, 255) * scale
        if i in changed:
            image[:3] = image[2::-1].copy()
        folder = root / "a" if group else root
        write_raster(folder / "images" / f"{i}.tif", image.astype(dtype))
        write_png(folder / "masks" / f"{i}.png", codes)
    return [f["message"] for f in swath.inspect(root).findings if f["code"] == "bands-reversed"]


@pytest.mark.parametrize(
    ("changed", "made"),
    [({3}, {}), ({1, 5}, {}), ({3}, {"dtype": "uint16", "scale": 20, "bands": 4})],
)
def test_images_of_reversed_bands_are_told(tmp_path, changed, made):
    (message,) = found(tmp_path, changed, **made)
    assert f"of {len(changed)} image(s)" in message
    assert all(f"{i}.tif" in message for i in changed)
    (message,) = found(tmp_path, changed, group=True, **made)
    assert all(f"{i}.tif" in message for i in changed)


@pytest.mark.parametrize("changed", [set(), set(range(7)), {0, 1, 2}])
def test_images_of_one_order_or_of_two_in_equal_parts_are_not(tmp_path, changed):
    assert not found(tmp_path, changed)
