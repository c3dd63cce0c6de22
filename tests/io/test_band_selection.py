"""Bands and nodata that the user names, as `Raster` and `prepare` take them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rasterio.enums import ColorInterp

import swath
from swath.data.dataset import Dataset
from swath.errors import DataError
from swath.io.raster import Raster
from tests.errors import fails
from tests.make import noise, write_pairs, write_png, write_raster


@pytest.fixture
def image(tmp_path: Path) -> Path:
    names = ["blue", "green", "red", "nir"]
    return write_raster(tmp_path / "a.tif", noise(4, 8, 8, dtype="uint16"), descriptions=names)


@pytest.mark.parametrize(
    ("select", "order"),
    [
        (["nir", "red"], [3, 2]),
        (["4", "1"], [3, 0]),
        (["NIR"], [3]),
        (["green", "1", "3"], [1, 0, 2]),
        ([], [0, 1, 2, 3]),
    ],
)
def test_bands_by_name_and_number(image: Path, select: list[str], order: list[int]) -> None:
    with Raster([image]) as whole, Raster([image], select=select) as part:
        every, some = whole.read(whole.grid.window), part.read(part.grid.window)
        assert part.bands == tuple(whole.bands[i] for i in order)
        assert len(part.dtypes) == len(part.nodata) == len(order)
    assert (some.values == every.values[order]).all()


def test_bands_of_a_stack_in_any_order(tmp_path: Path) -> None:
    for i in (10, 20, 30):
        write_raster(tmp_path / f"b_{i}.tif", np.full((8, 8), i, np.uint8))
    files = [tmp_path / f"b_{i}.tif" for i in (10, 20, 30)]
    with Raster(files, select=["30", "10"]) as part:  # names come before numbers
        assert part.bands == ("30", "10")
        assert part.read(part.grid.window).values[:, 0, 0].tolist() == [30, 10]


@pytest.mark.parametrize(
    ("select", "code"),
    [(["swir"], "band-missing"), (["5"], "band-missing"), (["0"], "band-missing")]
    + [(["4", "nir"], "band-twice")],
)
def test_no_such_bands(image: Path, select: list[str], code: str) -> None:
    with fails(code, DataError, image):
        Raster([image], select=select)


def test_a_bad_band_that_is_not_selected_hides_no_pixel(tmp_path: Path) -> None:
    values = noise(3, 8, 8).astype(np.float32)
    values[1] = np.nan
    path = write_raster(tmp_path / "a.tif", values)
    with Raster([path], select=["1", "3"]) as part:
        assert part.read(part.grid.window).valid.all()


@pytest.mark.parametrize(
    ("dtype", "nodata", "hidden"),
    [("uint8", 0, 4), ("uint8", 7, 4), ("int16", -9999, 4), ("float32", -1.5, 4)],
)
def test_nodata_that_is_not_declared(
    tmp_path: Path, dtype: str, nodata: float, hidden: int
) -> None:
    values = noise(2, 8, 8, low=20).astype(dtype)
    values[:, :2, :2] = nodata
    path = write_raster(tmp_path / "a.tif", values)
    with Raster([path], nodata=nodata) as image:
        assert (~image.read(image.grid.window).valid).sum() == hidden


def test_nodata_that_no_pixel_can_have(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", noise(1, 8, 8))
    for value in (-9999, 256, 0.5, float("nan")):
        with fails("nodata-range", DataError, path):
            Raster([path], nodata=value)


def test_declared_nodata_stays(tmp_path: Path) -> None:
    values = noise(1, 8, 8, low=20)
    values[0, 0, 0], values[0, 0, 1] = 7, 9
    path = write_raster(tmp_path / "a.tif", values, nodata=7)
    with Raster([path], nodata=9) as image:
        assert (~image.read(image.grid.window).valid).sum() == 2


def float_pairs(root: Path, dead: list[int], value: float = np.nan) -> Path:
    write_pairs(root, list("abc"), size=32)
    for i, name in enumerate("abc"):
        values = noise(4, 32, 32, seed=i).astype(np.float32)
        values[dead] = value
        nodata = None if np.isnan(value) else value
        (root / "images" / f"{name}.tif").unlink()
        write_raster(root / "images" / f"{name}.tif", values, nodata=nodata)
    return root


@pytest.mark.parametrize("value", [np.nan, -9999.0])
@pytest.mark.parametrize("dead", [[1], [0, 3]])
def test_a_dead_band_is_named_and_its_mend_works(
    tmp_path: Path, dead: list[int], value: float
) -> None:
    source = float_pairs(tmp_path / "s", dead, value)
    with fails("dead-band", DataError) as caught:
        swath.prepare(source, tmp_path / "d")
    assert f"Band {', '.join(str(i + 1) for i in dead)} " in caught.value.message
    bands = str(caught.value.fix).partition("--select-bands ")[2].partition(")")[0]
    result = swath.prepare(source, tmp_path / "d", select_bands=bands, test="a", val="none")
    assert result.bands == [str(i + 1) for i in range(4) if i not in dead]
    assert Dataset(tmp_path / "d").manifest.stored_bands == result.bands
    assert result.read.no_data == 0


def test_all_bands_dead_is_an_image_without_data(tmp_path: Path) -> None:
    source = float_pairs(tmp_path / "s", [0, 1, 2, 3])
    with fails("all-nodata", DataError):
        swath.prepare(source, tmp_path / "d")


def test_prepare_with_nodata_ignores_the_border(tmp_path: Path) -> None:
    source = write_pairs(tmp_path / "s", list("abc"), size=32)
    for i, name in enumerate("abc"):
        values = noise(3, 32, 32, seed=i, low=20)
        values[:, :8] = 255
        write_raster(source / "images" / f"{name}.tif", values)
    codes = [f["code"] for f in swath.inspect(source).findings]
    assert "undeclared-nodata" in codes
    result = swath.prepare(source, tmp_path / "d", nodata=255, test="a", val="none")
    assert result.read.no_data == 0.25 and result.read.nodata == "255"
    assert "undeclared-nodata" not in [f["code"] for f in result.findings]
    assert sum(c.pixels for c in result.classes) == 3 * 24 * 32


def test_an_image_with_one_band_more_has_a_mend_that_works(tmp_path: Path) -> None:
    source = write_pairs(tmp_path / "s", list("abcd"), size=32)
    colors = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined]
    write_raster(
        source / "images" / "e.tif", noise(4, 32, 32), colorinterp=colors, photometric="RGB"
    )
    write_png(source / "masks" / "e.png", np.ones((32, 32), np.uint8))
    found = [f for f in swath.inspect(source).findings if f["code"] == "band-mismatch"]
    bands = found[0]["fix"].partition("--select-bands ")[2].partition(")")[0]
    result = swath.prepare(source, tmp_path / "d", select_bands=bands, test="a", val="none")
    assert result.images == 5
