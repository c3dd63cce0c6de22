"""Gaps of virtual rasters, colors that mean no data, fill values, bands without data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image as Picture

import swath
from swath.errors import DataError
from swath.io.nodata import count_ring
from swath.io.raster import Raster
from tests.errors import fails
from tests.make import NORTH_UP, UTM, noise, write_model, write_pairs, write_raster


def vrt(path: Path, size: tuple[int, int], sources: list[tuple[str, int, int, int]]) -> Path:
    """Write a VRT (rows, columns) of one band; sources are file, first row, first column, side."""
    parts = "".join(
        f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename>'
        f"<SourceBand>1</SourceBand>"
        f'<SrcRect xOff="0" yOff="0" xSize="{side}" ySize="{side}"/>'
        f'<DstRect xOff="{col}" yOff="{row}" xSize="{side}" ySize="{side}"/></SimpleSource>'
        for name, row, col, side in sources
    )
    path.write_text(
        f'<VRTDataset rasterXSize="{size[1]}" rasterYSize="{size[0]}">'
        f'<VRTRasterBand dataType="Byte" band="1">{parts}</VRTRasterBand></VRTDataset>'
    )
    return path


def valid_of(path: Path, **read) -> np.ndarray:
    with Raster([path], **read) as image:
        return image.read(image.grid.window).valid


def test_what_no_source_covers_is_nodata(tmp_path):
    write_raster(tmp_path / "a.tif", noise(1, 8, 8))
    path = vrt(tmp_path / "m.vrt", (8, 24), [("a.tif", 0, 0, 8), ("a.tif", 0, 14, 8)])
    right = np.ones((8, 24), bool)
    right[:, 8:14] = right[:, 22:] = False
    assert (valid_of(path) == right).all()
    outer = vrt(tmp_path / "outer.vrt", (30, 30), [("m.vrt", 3, 5, 8)])
    nested = np.zeros((30, 30), bool)
    nested[3:11, 5:13] = True
    assert (valid_of(outer) == nested).all()
    wide = vrt(tmp_path / "wide.vrt", (24, 24), [("m.vrt", 0, 0, 24)])
    assert (valid_of(wide)[:8] == right).all()


def test_a_virtual_raster_that_lost_a_source(tmp_path):
    write_raster(tmp_path / "a.tif", noise(1, 8, 8))
    path = vrt(tmp_path / "m.vrt", (8, 16), [("a.tif", 0, 0, 8), ("lost.tif", 0, 8, 8)])
    with fails("missing-source", DataError, path) as caught:
        Raster([path])
    assert str(tmp_path / "lost.tif") in caught.value.message
    outer = vrt(tmp_path / "outer.vrt", (8, 16), [("m.vrt", 0, 0, 8)])
    with fails("missing-source", DataError, path):
        Raster([outer])


@pytest.mark.parametrize("color", [(10, 20, 30), (0, 0, 0), (255, 0, 7)])
def test_a_transparent_color_is_of_all_bands(tmp_path, color):
    pixels = noise(3, 16, 16)
    pixels[:, 5, 5] = color
    pixels[:, 9, 9] = color[0], color[1], 99
    picture = Picture.fromarray(pixels.transpose(1, 2, 0))
    picture.save(tmp_path / "x.png", transparency=color)
    assert np.argwhere(~valid_of(tmp_path / "x.png")).tolist() == [[5, 5]]


@pytest.mark.parametrize("nodata", [-32768, 77])
def test_nodata_of_one_band_may_be_ignored(tmp_path, nodata):
    values = noise(3, 8, 8).astype("int16")
    values[values == nodata] = 78
    values[1] = nodata
    values[:, 0, 0] = nodata
    path = write_raster(tmp_path / "a.tif", values, nodata=nodata)
    with Raster([path]) as image:
        assert not image.read(image.grid.window).valid.any()
        assert image.dead == ("2",)
    with Raster([path], ignore_band_nodata=True, fill=(1, 5, 9)) as image:
        got = image.read(image.grid.window)
    assert np.argwhere(~got.valid).tolist() == [[0, 0]]
    assert (got.values[1] == 5).all()
    assert (got.values[[0, 2]][:, got.valid] == values[[0, 2]][:, got.valid]).all()


def test_a_dead_band_is_named_by_predict_and_may_be_ignored(tmp_path):
    model = write_model(tmp_path / "m.swath", dtype="int16")
    values = noise(3, 64, 64).astype("int16")
    values[1] = -32768
    path = write_raster(tmp_path / "a.tif", values, UTM, NORTH_UP, nodata=-32768)
    result = swath.predict(model, path, tmp_path / "empty.tif")
    assert result.nodata == result.pixels
    assert "Band 2 " in result.warnings[0]
    assert "--ignore-band-nodata" in result.warnings[0]
    assert swath.predict(model, path, tmp_path / "b.tif", ignore_band_nodata=True).nodata == 0


def test_prepare_fills_a_dead_band_with_its_mean(tmp_path):
    write_pairs(tmp_path / "s", list("abc"), size=32)
    for i, name in enumerate("abc"):
        values = np.full((2, 32, 32), 10 * i, "int16")
        values[1] += 7
        if name == "b":
            values[1] = -9
        (tmp_path / "s" / "images" / f"{name}.tif").unlink()
        write_raster(tmp_path / "s" / "images" / f"{name}.tif", values, nodata=-9)
    with fails("dead-band", DataError):
        swath.prepare(tmp_path / "s", tmp_path / "d")
    swath.prepare(tmp_path / "s", tmp_path / "d", ignore_band_nodata=True, test="a", val="none")
    manifest = json.loads((tmp_path / "d" / "dataset.json").read_text())
    stored = {i["name"]: np.load(tmp_path / "d" / i["pixels"]) for i in manifest["images"]}
    assert {
        int(v) for v in np.unique(stored["images/b" if "images/b" in stored else "b"][..., 1])
    } == {17}


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [("int16", -9999), ("int16", -32768), ("float32", 9.969209968386869e36)]
    + [("float32", -3.4028234663852886e38), ("float64", -9999), ("int32", -99999)],
)
def test_undeclared_fill_values_are_counted(tmp_path, dtype, fill):
    write_pairs(tmp_path / "s", list("abc"), size=32)
    path = tmp_path / "s" / "images" / "b.tif"
    for name in "abc":
        values = noise(2, 32, 32).astype(dtype)
        if name == "b":
            values[1, 8:10, 8:13] = fill
        (tmp_path / "s" / "images" / f"{name}.tif").unlink()
        write_raster(tmp_path / "s" / "images" / f"{name}.tif", values)
    found = [f for f in swath.inspect(tmp_path / "s").findings if f["code"] == "undeclared-nodata"]
    assert [f["file"] for f in found] == [str(path)]
    assert found[0]["message"].startswith("10 pixels ")
    value = found[0]["fix"].partition("--nodata ")[2].partition(")")[0]
    mended = swath.inspect(tmp_path / "s", nodata=float(value))
    assert "undeclared-nodata" not in {f["code"] for f in mended.findings}


def test_predict_warns_of_an_undeclared_fill_value(tmp_path):
    model = write_model(tmp_path / "m.swath", dtype="int16")
    values = noise(3, 300, 300).astype("int16")
    values[0, :40, :50] = -9999
    path = write_raster(tmp_path / "a.tif", values, UTM, NORTH_UP)
    assert any("--nodata -9999" in w for w in swath.predict(model, path, tmp_path / "a").warnings)
    result = swath.predict(model, path, tmp_path / "b.tif", nodata=-9999)
    assert (result.nodata, result.warnings) == (2000, [])


def test_the_ring_that_jpeg_leaves(tmp_path):
    values = noise(3, 128, 128, low=90)
    values[:, :, :50] = 0
    with rasterio.open(
        tmp_path / "a.tif",
        "w",
        driver="GTiff",
        count=3,
        height=128,
        width=128,
        dtype="uint8",
        compress="jpeg",
        photometric="YCbCr",
    ) as out:
        out.write(values)
    with Raster([tmp_path / "a.tif"]) as image:
        assert image.lossy
        dark, beside = count_ring(*image.read(image.grid.window))
    assert dark > 0.2 * beside
    assert count_ring(values, np.ones((128, 128), bool)) == (0, 128)


def test_a_model_reads_numbers_as_it_was_trained(tmp_path):
    write_pairs(tmp_path / "s", list("abc"), size=32)
    for path in (tmp_path / "s" / "images").iterdir():
        with rasterio.open(path, "r+") as image:
            image.scales, image.offsets = (0.01,) * image.count, (-0.1,) * image.count
    for raw in (False, True):
        swath.prepare(tmp_path / "s", tmp_path / f"{raw}", raw=raw, test="a", val="none")
        manifest = json.loads((tmp_path / f"{raw}" / "dataset.json").read_text())
        assert (manifest["scaled"], manifest["dtype"]) == (
            not raw,
            "uint8" if raw else "float32",
        )
