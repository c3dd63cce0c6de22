import numpy as np
import pytest
from scipy.ndimage import uniform_filter

import swath
from swath.data.dataset import Dataset
from swath.evaluation.halo import (
    DEFAULT_HALO,
    MAX_SEAM,
    MIN_STRIP,
    changes_by_distance,
    find_context,
    measure_halo,
    receptive_halo,
    seam_share,
)
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Pixels
from swath.inference.output import OutputSpec
from swath.inference.tiled import TiledPredictor, classify
from tests.make import noise, write_png, write_raster


def blur(side):
    """A network whose labels depend on `side // 2` pixels around."""

    def run(raw):
        smooth = np.stack([uniform_filter(one[0], side, mode="constant") for one in raw])
        return np.stack([99.5 - smooth, smooth - 99.5], axis=1).astype(np.float32)

    return run


def overall(raw):
    """A network that looks at the mean of all it is given."""
    mean = raw.mean(axis=(1, 2, 3), keepdims=True)
    return np.concatenate([raw[:, :1] - mean, mean - raw[:, :1]], axis=1)


def predictor(runtime):
    return TiledPredictor(runtime, OutputSpec(2), [100.0, 100.0, 100.0], 32, 0)


@pytest.mark.parametrize(("side", "halo"), [(1, 0), (81, 40), (83, 48)])
def test_the_halo_of_all_pixels_is_found_on_narrow_images(side: int, halo: int):
    shapes = []

    def run(raw):
        """Spread what is not a number over squares, as convolutions do."""
        shapes.append(raw.shape)
        lost = uniform_filter(np.isnan(raw).astype(float), (1, 1, side, side), mode="constant")
        return np.where(lost > 1e-9, np.nan, raw)

    found = receptive_halo(run, 2, 8)
    assert (found.halo, found.context) == (halo, "local")
    assert {shape[1:] for shape in shapes} == {(2, 320, 64)}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Return a dataset with one image that is large enough, and one that is not."""
    root = tmp_path_factory.mktemp("large")
    for name, shape in (("a", (300, 1000)), ("b", (300, 1000)), ("c", (200, 200))):
        write_raster(
            root / "source" / name / "images" / f"{name}.tif",
            noise(3, *shape, seed=ord(name), low=0, high=200),
        )
        write_png(root / "source" / name / "masks" / f"{name}.png", noise(*shape, low=1, high=3))
    swath.prepare(root / "source", root / "d", test="none", val="none")
    return Dataset(root / "d")


def test_labels_differ_as_far_as_the_network_looks_and_no_further():
    rates = changes_by_distance(
        predictor(blur(81)), [noise(3, 512, 256, low=0, high=200).astype(np.float32)]
    )
    assert rates[:20].min() > 0.02 and (rates[40:] == 0).all() and len(rates) == 256
    assert seam_share(rates, 0, 1024) == pytest.approx(4 * rates.sum() / 1024)


@pytest.mark.parametrize("side", [21, 81, 161])
def test_the_measured_halo_keeps_what_it_promises(large, side):
    found = measure_halo(predictor(blur(side)), large)
    assert found.context == "local" and found.halo % 32 == 0 and found.seam <= MAX_SEAM
    assert found.halo <= -(-(side // 2) // 32) * 32

    class Image:
        grid = GeoBox(2200, 700)
        values = noise(3, 2200, 700, seed=9, low=0, high=200)

        def read(self, window):
            return Pixels(
                self.values[(slice(None), *window.slices)],
                np.ones((window.height, window.width), bool),
            )

    image = Image()
    whole = blur(side)(image.values[None].astype(np.float32))[0].argmax(0)
    chosen = TiledPredictor(blur(side), OutputSpec(), [0.0] * 3, 32, found.halo)
    wrong = sum(
        (labels != whole[window.slices]).sum() for window, labels in classify(image, chosen)
    )
    assert wrong / whole.size <= 2 * MAX_SEAM


def test_without_a_large_image_it_is_said(stripes, caplog):
    found = measure_halo(predictor(blur(21)), Dataset(stripes))
    assert (found.halo, found.seam) == (DEFAULT_HALO, None) and [
        r.args for r in caplog.records
    ] == [(*MIN_STRIP, DEFAULT_HALO)]


def test_what_looks_at_everything_is_found_out(large):
    assert find_context(predictor(overall), 3) == "global"
    assert find_context(predictor(blur(161)), 3) == "local"
    assert measure_halo(predictor(overall), large).context == "global"
