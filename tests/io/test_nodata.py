"""Gaps of virtual rasters, colors that mean no data, fill values, bands without data."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image as Picture

import swath
from swath.errors import DataError, JobError
from swath.geo.tiling import Window
from swath.io.nodata import RingTally, count_border
from swath.io.raster import Raster
from tests.errors import fails
from tests.make import (
    NORTH_UP,
    UTM,
    box,
    noise,
    write_jpeg,
    write_layer,
    write_model,
    write_pairs,
    write_raster,
)


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


@pytest.mark.parametrize("value", [0, 7])
def test_a_band_of_one_value_is_told_by_predict_with_a_mend(tmp_path, value):
    model = write_model(tmp_path / "m.swath", dtype="int16")
    values = noise(3, 300, 300, low=20).astype("int16")
    values[1] = value
    path = write_raster(tmp_path / "a.tif", values, UTM, NORTH_UP)
    (warned,) = swath.predict(model, path, tmp_path / "a_map.tif").warnings
    assert "Band 2 has one value" in warned
    options = {"nodata": value, "ignore_band_nodata": True}
    assert swath.predict(model, path, tmp_path / "b_map.tif", **options).nodata == 0


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


def write_ring(path, color, nodata=None, mask=None, **profile):
    """Write a lossy image of smooth ground with a corner of one color, cut across blocks."""
    rows, cols = np.indices((192, 192))
    ground = 128 + 40 * np.sin(rows / 9) * np.cos(cols / 7)
    values = np.stack([ground, ground + 20, ground - 15]).astype(np.uint8)
    empty = rows + 2 * cols < 150
    values[:, empty] = color
    mask = None if mask is None else ~empty
    how = {"compress": "jpeg", "photometric": "YCbCr", "jpeg_quality": 60} | profile
    write_raster(path, values, UTM, NORTH_UP, nodata=nodata, mask=mask, **how)
    return empty


def ring_of(path, **read):
    tally, border = RingTally(), {}
    with Raster([path], **read) as image:
        assert image.lossy
        values, valid = image.read(image.grid.window)
        tally.add(values, valid)
        border = count_border(values, valid, (True,) * 4, image.fills)
    return tally.find(value for value in border)


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("color", [0, 255])
@pytest.mark.parametrize("profile", [{}, {"tiled": True, "blockxsize": 64, "blockysize": 64}])
def test_the_ring_that_jpeg_leaves_is_found_and_eroded(tmp_path, color, declared, profile):
    path = tmp_path / "a.tif"
    write_ring(path, color, color if declared else None, **profile)
    ring = ring_of(path)
    assert ring is not None and (ring.color, ring.declared) == (color, declared)
    assert ring.mend.startswith("--erode" if declared else f"--nodata {color} --erode")
    read = {} if declared else {"nodata": color}
    with Raster([path], **read) as image:
        before = image.read(image.grid.window).valid
    with Raster([path], **read, erode_nodata=ring.depth) as image:
        values, valid = image.read(image.grid.window)
    near = (np.abs(values.astype(int) - color) <= 16).all(0)
    assert 0 <= (near & before).sum() - ring.count < 0.01 * ring.count
    assert (near & valid).sum() < 0.01 * ring.count and valid.mean() > 0.7
    assert ring_of(path, **read, erode_nodata=ring.depth) is None


def test_no_ring_where_nothing_is_lost(tmp_path):
    write_ring(tmp_path / "a.tif", 0, 0, compress="deflate", photometric="RGB", jpeg_quality=None)
    values = noise(3, 128, 128, low=90)
    values[:, :, :50] = 0
    tally = RingTally()
    tally.add(values, np.ones((128, 128), bool))
    assert tally.find([0.0]) is None
    with Raster([tmp_path / "a.tif"]) as image:
        assert not image.lossy
    night = noise(3, 128, 128, low=1, high=12)  # is dark everywhere, not beside nodata
    night[:, :, :50] = 0
    tally.add(night, np.ones((128, 128), bool))
    assert tally.find([0.0]) is None


def test_white_roofs_at_the_border_are_no_ring(tmp_path):
    rows, cols = np.indices((192, 192))
    values = np.where(rows % 6 < 4, 255, 246)  # corrugated, with glare on the ridges
    values[cols % 64 > 40] = 120
    write_jpeg(tmp_path / "a.jpg", np.array([values] * 3, np.uint8))
    with Raster([tmp_path / "a.jpg"]) as image:
        values, valid = image.read(image.grid.window)
    border = count_border(values, valid, (True,) * 4, image.fills)
    assert border[255.0] > 0.05 * 4 * 192  # as nodata has
    assert ring_of(tmp_path / "a.jpg") is None


def square_erosion(valid, pixels):
    out = valid.copy()
    for row, col in np.argwhere(~valid):
        top, left = max(0, row - pixels), max(0, col - pixels)
        out[top : row + pixels + 1, left : col + pixels + 1] = False
    return out


@pytest.mark.parametrize("pixels", [0, 1, 5])
@pytest.mark.parametrize("kind", ["value", "mask", "gap", "coarse"])
def test_eroded_pixels_do_not_depend_on_the_window(tmp_path, kind, pixels):
    values = noise(2, 60, 70)
    values[:, 20:23, 30] = 255
    values[:, 0, 0] = 255
    values[:, 55, 69] = 255
    how = {"nodata": 255}
    if kind == "mask":
        how = {"mask": (values != 255).all(0)}
    paths = [write_raster(tmp_path / "a.tif", values, UTM, NORTH_UP, **how)]
    if kind == "gap":
        write_raster(tmp_path / "b.tif", noise(1, 20, 20))
        paths = [vrt(tmp_path / "m.vrt", (60, 70), [("b.tif", 0, 0, 20), ("b.tif", 30, 33, 20)])]
    if kind == "coarse":
        half = NORTH_UP * NORTH_UP.scale(2)
        coarse = noise(1, 30, 35, dtype="int16")
        coarse[0, 7, 9] = -5
        paths.append(write_raster(tmp_path / "c.tif", coarse, UTM, half, nodata=-5))
    with Raster(paths) as image:
        plain = image.read(image.grid.window)
    with Raster(paths, erode_nodata=pixels, ignore_band_nodata=True) as image:
        whole_tallies = (image.read(image.grid.window), image.tallies)[1]
    with Raster(paths, erode_nodata=pixels) as image:
        whole = image.read(image.grid.window)
        assert np.array_equal(whole.valid, square_erosion(plain.valid, pixels))
        assert np.array_equal(whole.values, plain.values)
        assert pixels == 0 or whole.valid.sum() < plain.valid.sum()
    for side in (7, 16, 33):
        with (
            Raster(paths, erode_nodata=pixels) as image,
            Raster(paths, erode_nodata=pixels, ignore_band_nodata=True) as ignoring,
        ):
            for row in range(0, 60, side):
                for col in range(0, 70, side):
                    window = Window(row, col, side, side).within(image.grid.window)
                    part = image.read(window)
                    assert np.array_equal(part.valid, whole.valid[window.slices])
                    assert np.array_equal(part.values, whole.values[:, *window.slices])
                    ignoring.read(window)
            assert ignoring.tallies == whole_tallies


def test_prepare_and_predict_print_a_mend_of_the_ring_that_works(tmp_path):
    empty = write_ring(tmp_path / "s" / "a.tif", 255, 255)
    labels = [box(0, 0, 192, 96), box(0, 96, 192, 96)]
    write_layer(tmp_path / "s" / "f.gpkg", labels, {"class": ["a", "b"]})
    options = {"images": "a.tif", "labels": "f.gpkg", "test": "none", "val": "none"}

    def prepared(**more):
        swath.prepare(tmp_path / "s", tmp_path / "d", **options, **more)
        result = swath.inspect(tmp_path / "s", images="a.tif", labels="f.gpkg", **more)
        found = [f["fix"] for f in result.findings if f["code"] == "jpeg-ring"]
        return result.read, np.load(next((tmp_path / "d" / "labels").iterdir())), found

    read, labels, fixes = prepared()
    assert read.erode_nodata == 0 and len(fixes) == 1
    depth = int(re.search(r"--erode-nodata (\d+)", fixes[0])[1])
    read, eroded, fixes = prepared(erode_nodata=depth)
    assert (read.erode_nodata, fixes) == (depth, [])
    labeled = labels != 255
    assert np.array_equal(eroded != 255, square_erosion(labeled, depth))

    model, image = write_model(tmp_path / "m.swath"), tmp_path / "s" / "a.tif"
    warned = swath.predict(model, image, tmp_path / "a.tif").warnings
    assert any(f"--erode-nodata {depth} " in text for text in warned)
    for number, memory in enumerate((2.0, 0.001)):
        path = tmp_path / f"b{number}.tif"
        try:
            result = swath.predict(model, image, path, erode_nodata=depth, memory=memory)
        except JobError:  # less memory than a tile needs
            continue
        assert not any("--erode" in text for text in result.warnings)
        with rasterio.open(path) as file:
            assert np.array_equal(file.read(1) != 0, square_erosion(labeled, depth))
    assert empty.sum() < (~labeled).sum() + 3000


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


def count_white(values):
    fills = {255.0: np.full(3, 255.0)}
    return count_border(values, np.ones(values.shape[1:], bool), (True,) * 4, fills).get(255.0, 0)


def test_white_roofs_along_the_border_are_no_nodata():
    rows, cols = np.indices((600, 600))
    roofs = np.where((cols % 70 < 45) & (rows % 90 < 40), 255, 120)
    assert count_white(np.array([roofs] * 3, np.uint8)) == 0


@pytest.mark.parametrize("empty", [lambda r, c: r + c < 80, lambda r, c: c < 3, lambda r, c: r < 1])
def test_white_wedges_and_collars_are(empty):
    rows, cols = np.indices((600, 600))
    values = np.where(empty(rows, cols), 255, 120)
    assert count_white(np.array([values] * 3, np.uint8)) > 0.05 * 2400
