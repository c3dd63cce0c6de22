"""Images of another ground sampling distance than the model's: at what scale they are shown, and that it shows no seam."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import from_origin

import swath
from swath.classes import IGNORE
from swath.dataset import Dataset
from swath.fleet import Engine, answers, answers_in
from swath.grid import fit, square
from swath.ground import Ground
from swath.patches import Patches
from swath.raster import Grid
from swath.recipes import Recipe
from swath.resolution import LARGEST, NEAR, SMALLEST, TOLERATED, out_of_reach, zoom_of
from swath.tta import LOOKS, Looks, resample

from .make import UTM, noise, write_png, write_raster
from .test_tta import Array, coarse, pixels, tiled

ONE = Fraction(1)


def at(metres: float, row: int = 0) -> rasterio.Affine:
    """Return the transform of a raster with pixels of a size; its centre is near the middle of the zone."""
    return from_origin(500_000, 5_600_000 + 100_000 * row, metres, metres)


@given(st.floats(0.01, 1000), st.floats(0.01, 1000))
def test_scales_are_near_what_is_wanted_and_have_small_denominators(gsd: float, known: float) -> None:
    zoom = zoom_of(gsd, known)
    wanted = min(max(gsd / known, SMALLEST), LARGEST)
    if 1 / TOLERATED <= wanted <= TOLERATED:
        assert zoom == 1
    else:
        simpler = [Fraction(above, below) for below in range(1, zoom.denominator) for above in range(1, 5 * below)]
        assert 1 / NEAR <= zoom / wanted <= NEAR and zoom.denominator <= 8
        assert not any(1 / NEAR <= other / wanted <= NEAR for other in simpler)
    assert out_of_reach(gsd, known) == (not SMALLEST / TOLERATED <= gsd / known <= LARGEST * TOLERATED)


@pytest.mark.parametrize(
    ("gsd", "known", "zoom"),
    [
        (10, 10, "1"), (11.4, 10, "1"), (8.8, 10, "1"), (5, 10, "1/2"), (20, 10, "2"), (30, 10, "3"), (10, 30, "1/3"),
        (15, 10, "3/2"), (7.5, 10, "3/4"), (0.3, 10, "1/8"), (12, 20, "3/5"), (25, 10, "5/2"),
            (1000, 1, "4"), (None, 10, "1"), (10, None, "1"),
    ],
)  # fmt: skip
def test_scales(gsd: float | None, known: float | None, zoom: str) -> None:
    assert zoom_of(gsd, known) == Fraction(zoom)


def test_what_is_out_of_reach() -> None:
    assert [out_of_reach(g, 10.0) for g in (None, 1.0, 1.2, 10.0, 45.0, 50.0)] == [False, True, False, False, False, True]
    assert not out_of_reach(1.0, None)


# Looks at another scale.


@pytest.mark.parametrize("kind", ["none", "full"])
@pytest.mark.parametrize("zoom", ["1/2", "2/3", "1/8", "2", "3/2", "4"])
def test_tiles_and_the_whole_image_say_the_same_at_any_scale(kind: str, zoom: str) -> None:
    """One tile, and many: each is sampled at the very places where the whole image is."""
    scale = Fraction(zoom)
    looks, side = LOOKS[kind].at(scale), {True: 780, False: 160}[scale < 1]
    valid = np.ones((side + 7, side), bool)
    valid[side // 2 : side // 2 + 9, side // 3 :] = False
    source = Array(pixels(1, side + 7, side), valid)
    stride, halo = looks.stride(8), looks.halo(24, 8)
    engine = Engine(looks.runtime(lambda _: coarse, 3), [0.0], stride, halo, 3, looks=looks)
    most = max((stride + 2 * halo) ** 2, valid.size // 3)
    one, many = (fit(*valid.shape, most=most, halo=halo, stride=stride) for most in (10**7, most))
    assert len(one) == 1 and len(many) > 1
    few, all_at_once = (tiled(engine, source, tiling) for tiling in (many, one))
    np.testing.assert_allclose(few, all_at_once, atol=1e-5)
    np.testing.assert_array_equal(few[3] == 1, valid)


@given(
    st.fractions(Fraction(1, 8), 4, max_denominator=8), st.integers(0, 5), st.sampled_from([1, 3, 8, 32]),
    st.sampled_from(sorted(LOOKS)), st.integers(1, 3000), st.integers(10, 10**6),
)  # fmt: skip
def test_windows_are_whole_in_pixels_of_image_and_network(
    zoom: Fraction, halos: int, stride: int, kind: str, length: int, most: int
) -> None:
    looks = LOOKS[kind].at(zoom)
    unit, halo = looks.stride(stride), looks.halo(halos * stride, stride)
    assert all(each * unit % stride == 0 for each in looks.zooms)
    assert 2 * halo % unit == 0 and all(halo * each >= halos * stride for each in looks.zooms)
    side = looks.side(8 * stride + 2 * halos * stride, halos * stride, stride)
    for tiling in (
        fit(length, length, most=most, halo=halo, stride=unit), square(length, length, side=side, halo=halo, stride=unit),
    ):  # fmt: skip
        for tile in (tiling[0], tiling[len(tiling) - 1]):
            assert tile.read.row % unit == tile.read.col % unit == 0
            assert tile.core.within(tile.read) == tile.core


def test_what_is_read_at_one_time_keeps_the_network_as_busy() -> None:
    assert [Looks((Fraction(z),)).area(2**20) for z in ("1", "2", "1/2", "1/8")] == [2**20, 2**18, 2**22, 2**24]
    plain, small, large = (Looks((Fraction(z),)).bytes_per_pixel(3, 5) for z in ("1", "1/8", "4"))
    assert plain == 0 and 20 < small < 50 and large > 16 * 80


@pytest.mark.parametrize("zoom", ["1/2", "2"])
def test_an_engine_shows_sources_at_the_scale_it_knows(zoom: str) -> None:
    """The network says the mean of what it is shown; shown at another scale, it says what it would of the scaled image."""
    scale = Fraction(zoom)

    def at_scale(zoom: Fraction) -> Engine:
        looks = Looks((zoom,))
        return Engine(
            looks.runtime(lambda _: coarse, 3), [0.0], looks.stride(8), looks.halo(24, 8), 3, looks=looks, gsd=10.0,
            rescaled=at_scale,
        )  # fmt: skip

    source = Array(pixels(1, 192, 192))
    source.grid = Grid(192, 192, tuple(at(10 * scale))[:6], rasterio.CRS.from_string(UTM).to_wkt())
    engine = at_scale(ONE)
    (answer,) = answers_in(source, engine)
    seen = resample(source.values[None], scale)
    expected = resample(softmaxed(coarse(seen)), 1 / scale)[0]
    np.testing.assert_allclose(answer.probabilities, expected, atol=1e-5)
    (same,) = answers(source, engine.for_gsd(10 * float(scale)), fit(192, 192, most=10**6, halo=0, stride=96))
    np.testing.assert_array_equal(same.indices, answer.indices)
    (plain,) = answers_in(source, replace(engine, gsd=None))
    np.testing.assert_allclose(plain.scores, coarse(source.values[None])[0], rtol=1e-6)
    assert engine.for_gsd(10 * float(scale)).gsd is None  # so that it is not scaled once more


def softmaxed(scores: np.ndarray) -> np.ndarray:
    return torch.softmax(torch.from_numpy(scores), 1).numpy()


# Training.


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return a dataset of images of 5, 10 and 20 m, whose values rise by one a metre to the east."""
    folder = tmp_path_factory.mktemp("mixed")
    for row, (name, size) in enumerate((("a", 5), ("b", 10), ("c", 20), ("d", 10))):
        side = 5120 // size
        rise = np.tile((np.arange(side) * size).astype(np.uint16), (side, 1))
        write_raster(folder / "s" / name / "images" / "i.tif", rise, UTM, at(size, row))
        write_png(folder / "s" / name / "masks" / "i.png", (rise // 640 % 2 + 1).astype(np.uint8))
    swath.prepare(folder / "s", folder / "d", test="d", val="none")
    return Dataset(folder / "d")


def drawn(dataset: Dataset, zoom: float, number: int = 0) -> list[tuple[float, np.ndarray]]:
    """Return the mean rise per network pixel of patches, and their labels."""
    recipe = Recipe(patch=32, batch=32, scales_known=(zoom, zoom), brightness=0, contrast=0, turns=False)
    batch = Patches(Ground(dataset, dataset.manifest.of("train"), 1.0), recipe, 0).batch(number)
    inside = [(p[0], l) for p, l in zip(batch.pixels.numpy(), batch.labels.numpy(), strict=True) if (l != IGNORE).all()]
    return [(float(np.diff(p[:, 4:-4], axis=1).mean()), l) for p, l in inside]


@pytest.mark.parametrize("zoom", [1.0, 2.0])
def test_patches_show_the_ground_in_one_size_whatever_image_shows_it(mixed: Dataset, zoom: float) -> None:
    assert mixed.manifest.gsd == pytest.approx(10, rel=0.01)
    rises = [rise for rise, _ in drawn(mixed, zoom)]
    assert len(rises) > 15
    np.testing.assert_allclose(rises, 10 / zoom, rtol=0.05)


def test_where_all_images_have_one_resolution_it_changes_no_byte(tmp_path: Path) -> None:
    made = []
    for crs, place in ((None, None), (UTM, at(10))):
        folder = tmp_path / str(crs).replace(":", "-")
        for name in "abc":
            values = noise(3, 200, 150, seed=ord(name))
            write_raster(folder / "s" / name / "images" / "i.tif", values, crs, place)
            write_png(
                folder / "s" / name / "masks" / "i.png", np.kron(noise(20, 15, low=1, high=3), np.ones((10, 10), np.uint8))
            )
        swath.prepare(folder / "s", folder / "d", test="c", val="none")
        dataset = Dataset(folder / "d")
        recipe = Recipe(patch=48, batch=8, scales=(0.75, 1.33), scales_known=(0.75, 1.33))
        made.append(Patches(Ground(dataset, dataset.manifest.of("train"), 0.5), recipe, 3).batch(2))
    assert all(torch.equal(a, b) for a, b in zip(*made, strict=True) if a is not None)
