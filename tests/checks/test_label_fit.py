"""Labels that are turned against their image, and codes that resampling has made."""

import numpy as np
import pytest

import swath
from tests.make import noise, write_png, write_raster


def patches(seed, size=192):
    """Return codes 1 to 3 (rows, columns) in rectangles whose sides are on no grid."""
    codes, rng = np.ones((size, size), np.uint8), np.random.default_rng(seed)
    for row, col, height, width in rng.integers(4, 40, (150, 4)) * (5, 5, 1, 1):
        codes[row - 10 : row - 10 + height, col - 10 : col - 10 + width] = rng.integers(1, 4)
    return codes


def findings(root, make, bands=lambda image: image, **options):
    """Inspect three pairs whose masks are made from their codes; return findings by code."""
    for seed in range(3):
        codes = patches(seed)
        image = codes * 60 + noise(3, *codes.shape, seed=seed, low=0, high=40)
        write_raster(root / "images" / f"{seed}.tif", bands(image.astype(np.uint8)))
        write_png(root / "masks" / f"{seed}.png", np.ascontiguousarray(make(codes)))
    found = {}
    for finding in swath.inspect(root, **options).findings:
        found.setdefault(finding["code"], []).append(finding)
    return found


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        (lambda a: a[::-1], "top to bottom"),
        (lambda a: a[:, ::-1], "left to right"),
        (lambda a: np.rot90(a), "90 degrees to the right"),
        (lambda a: a.T, "transposed"),
    ],
)
def test_turned_labels_are_told(tmp_path, turn, said):
    found = findings(tmp_path, turn)
    assert all(said in f["message"] for f in found["labels-turned"])


def test_labels_that_fit_or_fit_in_no_way_are_not_turned(tmp_path):
    assert "labels-turned" not in findings(tmp_path / "a", lambda a: a)
    assert "labels-turned" not in findings(tmp_path / "b", lambda a: patches(int(a.sum())))


def smoothed(codes):
    """Return codes times ten, halved and doubled by linear interpolation."""
    at = np.arange(len(codes)) / 2
    half = codes[::2, ::2] * 10.0
    rows = np.stack([np.interp(at, np.arange(len(half)), column) for column in half.T], axis=1)
    both = np.stack([np.interp(at, np.arange(len(half)), row) for row in rows])
    return both.astype(np.uint8)


def test_codes_of_resampling_are_told(tmp_path):
    blended = findings(tmp_path / "a", smoothed)["labels-blended"]
    assert len(blended) == 3 and "code 15" in blended[0]["message"]
    classes = tmp_path / "classes.yaml"
    classes.write_text("".join(f"- {{name: c{c}, code: {c}}}\n" for c in (10, 20, 30)))
    unknown = findings(tmp_path / "a", smoothed, classes=classes)["unknown-code"]
    assert "nearest neighbor" in unknown[0]["fix"]
    assert "labels-blended" not in findings(tmp_path / "b", lambda a: a * 10)


def test_masks_of_two_numberings_are_told(tmp_path):
    for root, less in (("a", (0, 1, 0, 1)), ("b", (0, 0, 0, 0))):
        for seed, by in enumerate(less):
            codes = patches(seed)
            write_raster(tmp_path / root / "images" / f"{seed}.tif", noise(3, 192, 192, seed=seed))
            write_png(tmp_path / root / "masks" / f"{seed}.png", codes - by)
    found = {r: [f["code"] for f in swath.inspect(tmp_path / r).findings] for r in "ab"}
    assert "two-numberings" in found["a"] and "two-numberings" not in found["b"]


def test_bands_that_are_copies_are_told(tmp_path):
    found = findings(tmp_path / "a", lambda a: a, lambda image: image[[0, 1, 1]])
    assert len(found["equal-bands"]) == 3 and "green, blue" in found["equal-bands"][0]["message"]
    assert "equal-bands" not in findings(tmp_path / "b", lambda a: a)
    gray = findings(tmp_path / "c", lambda a: a, lambda image: image[[0, 0, 0]])
    assert "equal-bands" not in gray


@pytest.mark.parametrize("turn", [lambda a: a[:, ::-1], lambda a: a[:, :, ::-1], np.rot90])
def test_a_turned_copy_of_an_image_is_told(tmp_path, turn):
    for seed in range(4):
        codes = patches(seed if seed < 3 else 0)
        image = (codes * 60 + noise(3, *codes.shape, seed=seed, low=0, high=9)).astype(np.uint8)
        if seed == 3:
            image = np.stack([turn(b[None])[0] if turn is not np.rot90 else turn(b) for b in image])
        write_raster(tmp_path / f"g{seed}" / "images" / f"{seed}.tif", image)
        write_png(tmp_path / f"g{seed}" / "masks" / f"{seed}.png", codes)
    found = [f for f in swath.inspect(tmp_path).findings if f["code"] == "near-duplicate"]
    assert [("g3" in f["file"], "turned" in f["message"]) for f in found] == [(True, True)]
