"""Classes that nodata or alpha hides, in images and in masks."""

import numpy as np
import pytest
from PIL import Image

import swath
from tests.checks.test_fit_checks import patches
from tests.make import NORTH_UP, UTM, box, noise, write_layer, write_png, write_raster

COLORS = np.array([[0, 0, 0], [0, 0, 255], [0, 128, 0], [255, 255, 0]], np.uint8)


def hidden(root, mask, alpha=lambda codes: np.full(codes.shape, 255, np.uint8), **options):
    """Inspect two RGBA images; return the messages on classes that are hidden."""
    for i in range(2):
        codes = patches(i)
        image = np.concatenate([noise(3, 192, 192, seed=i, low=1), alpha(codes)[None]])
        write_png(root / "images" / f"{i}.png", image)
        (root / "masks").mkdir(parents=True, exist_ok=True)
        mask(codes, root / "masks" / f"{i}.png")
    findings = swath.inspect(root, **options).findings
    return [f["message"] for f in findings if f["code"] == "class-hidden"]


def codes_as_is(codes, path):
    write_png(path, codes)


def rgba(codes, path, gone=3, color=None):
    colors = COLORS.copy()
    if color is not None:
        colors[gone] = color
    Image.fromarray(np.dstack([colors[codes], np.where(codes == gone, 0, 255)]).astype("u1")).save(
        path
    )


def gray_alpha(codes, path):
    Image.fromarray(np.dstack([codes, np.where(codes == 3, 0, 255)]).astype("u1"), "LA").save(path)


def test_a_class_under_the_alpha_of_images_is_told(tmp_path):
    def alpha(codes):
        return np.where(codes == 2, 0, 255).astype(np.uint8)

    (message,) = hidden(tmp_path / "a", codes_as_is, alpha)
    assert "Class 2 " in message or "2 is hidden" in message
    assert not hidden(tmp_path / "b", codes_as_is)


def test_a_class_on_the_nodata_value_is_told(tmp_path):
    for i in range(2):
        codes = patches(i)
        image = noise(3, 192, 192, seed=i, low=1) * (codes != 1)
        write_raster(tmp_path / "images" / f"{i}.tif", image, nodata=0)
        write_png(tmp_path / "masks" / f"{i}.png", codes)
    findings = [f for f in swath.inspect(tmp_path).findings if f["code"] == "class-hidden"]
    assert len(findings) == 1 and "1" in findings[0]["message"]


def test_a_transparent_class_of_masks_is_told(tmp_path):
    (message,) = hidden(tmp_path / "a", rgba)
    assert "#FFFF00" in message
    (message,) = hidden(tmp_path / "b", gray_alpha)
    assert "code 3" in message


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255)])
def test_transparent_black_and_white_are_unlabeled(tmp_path, color):
    assert not hidden(tmp_path, lambda codes, path: rgba(codes, path, 2, color))


@pytest.mark.parametrize(("columns", "told"), [(0, False), (8, False), (100, True)])
def test_polygons_on_nodata_are_told(tmp_path, columns, told):
    image = noise(3, 200, 200, low=1)
    image[:, :, 200 - columns :] = 0
    shapes = [box(0, 0, 100, 200), box(100, 0, 100, 200)]
    write_raster(tmp_path / "scene.tif", image, UTM, NORTH_UP, nodata=0)
    write_layer(tmp_path / "fields.gpkg", shapes, {"class": ["crop", "wood"]}, UTM)
    found = swath.inspect(tmp_path, images=["scene.tif"], labels=["fields.gpkg"]).findings
    assert any(f["code"] == "labels-hidden" for f in found) == told
