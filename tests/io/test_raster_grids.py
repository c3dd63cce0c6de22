"""Bands of several files, resolutions and scales as one image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling
from rasterio.transform import Affine

from swath.errors import DataError
from swath.geo.tiling import Window, iter_blocks
from swath.io.raster import Raster
from swath.io.source_file import BandFile
from tests.errors import fails
from tests.make import UTM, noise, write_raster

RNG = np.random.default_rng(1)


def grid(size: float, x: float = 0, y: float = 0) -> Affine:
    return Affine(size, 0, 500_000 + x, 0, -size, 5_600_000 + y)


def band(path: Path, values: np.ndarray, size: float, *, x: float = 0, y: float = 0, **k) -> Path:
    return write_raster(path, values[None], UTM, grid(size, x, y), **k)


def at_10_20_60_m(root: Path, nodata: float | None = None, dtype: str = "uint16") -> list[Path]:
    """Write bands of 10, 20 and 60 m; of the coarser two a corner and a pixel are nodata."""
    out = []
    for name, side, size in (("B04", 120, 10), ("B05", 60, 20), ("B01", 20, 60)):
        values = RNG.integers(100, 4000, (side, side)).astype(dtype)
        if nodata is not None and size > 10:
            values[:4, :5] = values[9, 9] = nodata
        out.append(band(root / f"{name}.tif", values, size, nodata=nodata))
    return out


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("nodata", [None, 0, 77])
@pytest.mark.parametrize("block", [1, 7, 32, 50])
def test_windows_stitched_are_the_whole(tmp_path, dtype, nodata, block):
    files = at_10_20_60_m(tmp_path, nodata, dtype)
    for gsd in (None, 25):
        with Raster(files, gsd=gsd) as image:
            whole = image.read(image.grid.window)
            side = block if gsd is None else max(block, 5)
            for _, window in iter_blocks(image.grid.height, image.grid.width, side):
                if block == 1 and window.row % 11:
                    continue
                part, at = image.read(window), window.slices
                assert part.values.tobytes() == whole.values[:, at[0], at[1]].tobytes()
                assert (part.valid == whole.valid[at]).all()


@pytest.mark.parametrize(("side", "size", "first"), [(60, 20, 0), (20, 60, 0), (21, 60, -30)])
def test_coarser_bands_are_interpolated_as_by_hand(tmp_path, side, size, first):
    fine = band(tmp_path / "a.tif", noise(120, 120).astype("float32"), 10)
    values = RNG.random((side, side)).astype("float32")
    coarse = band(tmp_path / "b.tif", values, size, x=first, y=-first)
    with Raster([fine, coarse]) as image:
        got = image.read(image.grid.window).values[1]
    at = np.clip((np.arange(120) * 10 + 5 - first) / size - 0.5, 0, side - 1)
    right = [np.interp(at, np.arange(side), row) for row in values.astype(float)]
    right = np.array([np.interp(at, np.arange(side), column) for column in np.array(right).T]).T
    assert np.allclose(got, right, atol=1e-6)


@pytest.mark.parametrize("nodata", [-9999, 0, np.nan])
def test_nodata_of_a_coarse_band_does_not_bleed(tmp_path, nodata):
    fine = band(tmp_path / "a.tif", np.full((12, 12), 5, "float32"), 10, nodata=nodata)
    values = np.full((4, 4), 200, "float32")
    values[1, 2] = nodata
    with Raster([fine, band(tmp_path / "b.tif", values, 30, nodata=nodata)]) as image:
        pixels = image.read(image.grid.window)
    hidden = np.zeros((12, 12), bool)
    hidden[3:6, 6:9] = True
    assert np.abs(pixels.values[1][~hidden] - 200).max() < 1e-3
    assert (pixels.valid == (~hidden if nodata else True)).all()


def test_zero_counts_over_the_files_of_a_stack(tmp_path):
    array = np.full((2, 8, 8), 9, "uint16")
    array[0, :4, :4] = array[1, :4, :2] = 0
    files = [band(tmp_path / f"{i}.tif", a, 10, nodata=0) for i, a in enumerate(array)]
    one = write_raster(tmp_path / "x.tif", array, UTM, grid(10), nodata=0)
    with Raster(files) as stack, Raster([one]) as image:
        masks = [r.read(r.grid.window).valid for r in (stack, image)]
    assert (masks[0] == masks[1]).all()
    assert (~masks[0]).sum() == 8


def test_classes_are_never_mixed(tmp_path):
    fine = band(tmp_path / "a.tif", noise(12, 12), 10)
    codes = RNG.choice([1, 200], (4, 4)).astype("uint8")
    table = {1: (1, 2, 3, 255), 200: (4, 5, 6, 255)}
    coarse = band(tmp_path / "b.tif", codes, 30, colormap=table)
    with Raster([fine, coarse], raw=True) as image:
        got = image.read(image.grid.window).values[1]
    assert (got == np.kron(codes, np.ones((3, 3), int))).all()


@pytest.mark.parametrize(("gsd", "factor"), [(20, 2), (30, 3), (60, 6)])
def test_a_coarser_grid_has_means(tmp_path, gsd, factor):
    values = RNG.integers(0, 3000, (60, 60)).astype("uint16")
    path = band(tmp_path / "a.tif", values, 10)
    with Raster([path], gsd=gsd) as image:
        assert image.grid.gsd == pytest.approx(gsd, rel=0.01)
        got = image.read(image.grid.window).values[0]
    cells = 60 // factor
    means = values.reshape(cells, factor, cells, factor).mean((1, 3))
    assert np.abs(got - means).max() <= 0.501


def test_a_finer_grid_of_one_file(tmp_path):
    path = band(tmp_path / "a.tif", RNG.random((6, 6)).astype("float32"), 10)
    with Raster([path], gsd=5) as image, rasterio.open(path) as source:
        assert (image.grid.height, image.grid.width) == (12, 12)
        right = source.read(1, out_shape=(12, 12), resampling=Resampling.bilinear)
        assert np.allclose(image.read(image.grid.window).values[0], right, atol=1e-6)


def test_pixels_without_a_place_have_no_size(tmp_path):
    path = write_raster(tmp_path / "a.tif", noise(1, 8, 8))
    with fails("grid-mismatch", DataError, path):
        Raster([path], gsd=3)


@pytest.mark.parametrize(("x", "size"), [(0, 40), (-60, 60), (40, 60)])
def test_a_coarse_band_that_does_not_cover_the_image(tmp_path, x, size):
    fine = band(tmp_path / "a.tif", noise(120, 120), 10)
    coarse = band(tmp_path / "b.tif", noise(20, 20), size, x=x)
    with fails("grid-mismatch", DataError, coarse):
        Raster([fine, coarse])


# Bands of products, and numbers.
def test_bands_of_a_file_are_opened_once_in_any_order(tmp_path):
    array = noise(3, 8, 8)
    a = write_raster(tmp_path / "a.tif", array, UTM, grid(10))
    b = band(tmp_path / "b.tif", noise(8, 8, seed=4), 10)
    files = [
        BandFile(path=str(a), index=3, name="nir", wavelength=0.84),
        BandFile(path=str(b), name="green"),
        BandFile(path=str(a), index=1, name="red"),
    ]
    with Raster(files) as image:
        assert image.paths == (str(a), str(b))
        assert image.bands == ("nir", "green", "red")
        assert image.wavelengths == (0.84, None, None)
        values = image.read(image.grid.window).values
        assert (values[[0, 2]] == array[[2, 0]]).all()
    for select in (["red", "nir"], ["3", "1"]):
        with Raster(files, select=select) as image:
            assert image.bands == ("red", "nir")
            assert (image.read(image.grid.window).values == array[[0, 2]]).all()
    with Raster(files, order=[2, 1]) as image:
        assert image.bands == ("green", "nir")


def test_a_band_that_the_file_lacks(tmp_path):
    path = band(tmp_path / "a.tif", noise(8, 8), 10)
    with fails("band-missing", DataError, path):
        Raster([BandFile(path=str(path), index=2, name="x")])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32"])
@pytest.mark.parametrize("by", ["product", "tags"])
def test_numbers_are_stored_times_scale_plus_offset(tmp_path, dtype, by):
    stored = RNG.integers(1, 120, (300, 300)).astype(dtype)
    stored[0, 0] = 0
    path = band(tmp_path / "a.tif", stored, 10, nodata=0)
    about = {"scale": 0.0001, "offset": -0.1} if by == "product" else {}
    if by == "tags":
        with rasterio.open(path, "r+") as out:
            out.scales, out.offsets = (0.0001,), (-0.1,)
    files = [BandFile(path=str(path), name="x", **about)] if by == "product" else [path]
    with Raster(files, scaled=True) as image:
        pixels = image.read(image.grid.window)
        assert (image.dtype, image.dtypes) == (np.float32, ("float32",))
        assert (image.scales, image.offsets) == ((0.0001,), (-0.1,))
    right = (stored.astype(float) * 0.0001 - 0.1).astype("float32")
    assert pixels.values[0].tobytes() == right.tobytes()
    assert np.argwhere(~pixels.valid).tolist() == [[0, 0]]
    with Raster(files) as image:
        assert image.read(image.grid.window).values.dtype == dtype


def test_decibels(tmp_path):
    stored = np.array([[0.0, -1, 1, 100]], "float32")
    path = band(tmp_path / "a.tif", stored, 10)
    with Raster([BandFile(path=str(path), name="vv", decibels=True)], scaled=True) as image:
        pixels = image.read(image.grid.window)
    assert pixels.valid.tolist() == [[False, False, True, True]]
    assert pixels.values[0, 0, 2:].tolist() == [0, 20]


def test_nodata_of_a_product_is_of_stored_values(tmp_path):
    stored = np.array([[0, 1000, 7, 1500]], "uint16")
    path = band(tmp_path / "a.tif", stored, 10, nodata=7)
    about = BandFile(path=str(path), name="x", scale=1e-4, offset=-0.1, nodata=0)
    with Raster([about], scaled=True) as image:
        assert image.read(image.grid.window).valid.tolist() == [[False, True, True, True]]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 119), st.integers(0, 119), st.integers(1, 60), st.integers(1, 60))
def test_any_window_is_a_part(tmp_path_factory, row, col, height, width):
    folder = tmp_path_factory.mktemp("grids")
    with Raster(at_10_20_60_m(folder, 77)) as image:
        window = Window(row, col, height, width).within(image.grid.window)
        whole, part, at = image.read(image.grid.window), image.read(window), window.slices
        assert (part.values == whole.values[:, at[0], at[1]]).all()
        assert (part.valid == whole.valid[at]).all()
