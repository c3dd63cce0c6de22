import math
import struct
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import rasterio.control
from hypothesis import given
from hypothesis import strategies as st
from rasterio.enums import ColorInterp

from swath.errors import DataError
from swath.geo.geobox import GeoBox, chunks, geobox_of
from swath.geo.tiling import Window
from swath.io.raster import Raster, distinct_name_parts, open_raster
from swath.mapping.inputs import find_stack
from tests.errors import fails
from tests.make import NORTH_UP, UTM, noise, truncate, write_jpeg, write_png, write_raster

WKT = rasterio.CRS.from_string(UTM).to_wkt()
PLACED = GeoBox(20, 30, tuple(NORTH_UP)[:6], WKT)


def read(*paths, names=None, window=None):
    with Raster(paths, names) as raster:
        return raster.read(window or raster.grid.window)


def bands(*paths):
    with Raster(paths) as raster:
        return raster.bands


def invalid(pixels):
    return [(int(r), int(c)) for r, c in np.argwhere(~pixels.valid)]


def ones(*shape, dtype="uint8", **holes):
    """Make an array of ones; `holes` maps names to (index, value)."""
    array = np.ones(shape, dtype)
    for index, value in holes.values():
        array[index] = value
    return array


# Nodata: one rule, in all its cases. Each array is 2 bands x 4 x 5; band 0 lacks (0, 0), both lack
# (1, 1).
@pytest.mark.parametrize(
    ("dtype", "nodata", "found"),
    [
        ("uint8", 0, [(1, 1)]),
        ("uint8", 255, [(1, 1)]),
        ("uint8", 7, [(0, 0), (1, 1)]),
        ("uint16", 0, [(1, 1)]),
        ("uint16", 65535, [(1, 1)]),
        ("uint16", 255, [(0, 0), (1, 1)]),
        ("int16", 0, [(1, 1)]),
        ("int16", -32768, [(0, 0), (1, 1)]),
        ("int16", 32767, [(0, 0), (1, 1)]),
        ("float32", 0, [(1, 1)]),
        ("float32", -99999, [(0, 0), (1, 1)]),
        ("float32", -3.4028234663852886e38, [(0, 0), (1, 1)]),
        ("float64", math.nan, [(0, 0), (1, 1)]),
    ],
)
def test_declared_nodata(tmp_path, dtype, nodata, found):
    array = ones(2, 4, 5, dtype=dtype, one=((0, 0, 0), nodata), both=((slice(None), 1, 1), nodata))
    assert invalid(read(write_raster(tmp_path / "x.tif", array, nodata=nodata))) == found


def test_what_is_not_declared_is_a_measurement(tmp_path):
    assert read(write_raster(tmp_path / "x.tif", np.zeros((2, 3, 3), "uint8"))).valid.all()
    assert read(write_raster(tmp_path / "y.tif", np.full((2, 3, 3), -9999, "int16"))).valid.all()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_nodata_declared_or_not(tmp_path, value):
    array = ones(2, 3, 3, dtype="float32", one=((1, 2, 0), value))
    assert invalid(read(write_raster(tmp_path / "x.tif", array))) == [(2, 0)]
    assert invalid(read(write_raster(tmp_path / "y.tif", array, nodata=-1))) == [(2, 0)]


def test_nodata_that_the_type_cannot_hold_matches_nothing(tmp_path):
    pixels = write_raster(tmp_path / "x.tif", np.arange(256, dtype="uint8").reshape(16, 16))
    vrt = _vrt(tmp_path / "x.vrt", pixels, (16, 16), [("Byte", -9999)])
    assert read(vrt).valid.all()


def test_nodata_differs_between_bands(tmp_path):
    array = ones(2, 3, 3, a=((0, 0, 0), 5), b=((1, 1, 1), 9), c=((1, 2, 2), 5))
    pixels = write_raster(tmp_path / "x.tif", array)
    assert invalid(read(_vrt(tmp_path / "x.vrt", pixels, (3, 3), [("Byte", 5), ("Byte", 9)]))) == [
        (0, 0),
        (1, 1),
    ]


def test_an_ambiguous_value_of_some_bands_only_is_a_measurement(tmp_path):
    array = np.zeros((3, 3, 3), "uint8")
    array[1, 0, 0] = array[2, 1, 1] = 4
    pixels = write_raster(tmp_path / "x.tif", array)
    kinds = [("Byte", 0), ("Byte", 0), ("Byte", None)]
    valid = read(_vrt(tmp_path / "x.vrt", pixels, (3, 3), kinds)).valid
    assert [tuple(map(int, at)) for at in np.argwhere(valid)] == [(0, 0)]


def test_alpha_is_a_mask_and_no_band(tmp_path):
    array = noise(4, 6, 7)
    array[3] = 255
    array[3, 2, 3] = 0
    array[3, 2, 4] = 1
    for path in (
        write_png(tmp_path / "x.png", array),
        write_raster(tmp_path / "x.tif", array, photometric="RGB", alpha="yes"),
    ):
        pixels = read(path)
        assert (pixels.values == array[:3]).all()
        assert invalid(pixels) == [(2, 3)]
        assert bands(path) == ("red", "green", "blue")


def test_a_mask_of_the_file_is_heard(tmp_path):
    mask = ones(6, 7, hole=((4, 5), 0))
    array = noise(3, 6, 7)
    pixels = read(write_raster(tmp_path / "x.tif", array, mask=mask))
    assert invalid(pixels) == [(4, 5)]
    assert (pixels.values == array).all()


def test_a_stack_keeps_each_files_nodata_and_type(tmp_path):
    a = write_raster(
        tmp_path / "a.tif", ones(1, 4, 5, dtype="float32", hole=((0, 0, 1), -99999)), nodata=-99999
    )
    b = write_raster(
        tmp_path / "b.tif",
        ones(1, 4, 5, dtype="int16", hole=((0, 2, 2), -32768), big=((0, 3, 3), 3000)),
        nodata=-32768,
    )
    c = write_raster(
        tmp_path / "c.tif", ones(1, 4, 5, dtype="uint8", hole=((0, 3, 4), 0)), nodata=0
    )
    pixels = read(a, b, c)
    assert pixels.values.shape == (3, 4, 5)
    assert pixels.values.dtype == np.float32
    assert invalid(pixels) == [(0, 1), (2, 2), (3, 4)]
    assert pixels.values[1, 3, 3] == 3000


@pytest.mark.parametrize(
    ("kinds", "joint"),
    [
        (("uint8", "uint16"), "uint16"),
        (("int16", "uint16"), "int32"),
        (("int16", "float32"), "float32"),
        (("uint8",) * 2, "uint8"),
    ],
)
def test_a_stack_has_a_type_that_holds_all(tmp_path, kinds, joint):
    with Raster(
        [write_raster(tmp_path / f"{i}.tif", ones(3, 3, dtype=k)) for i, k in enumerate(kinds)]
    ) as raster:
        assert raster.dtype == joint
        assert raster.read(raster.grid.window).values.dtype == joint


def test_bands_are_stacked_in_the_given_order(tmp_path):
    one, two = (write_raster(tmp_path / f"{i}.tif", np.full((3, 3), i, "uint8")) for i in (1, 2))
    assert read(two, one).values[:, 0, 0].tolist() == [2, 1]
    assert bands(two, one) == ("2", "1")


def test_a_palette_is_read_as_colors(tmp_path):
    table = {i: (i, 255 - i, 7) for i in range(256)}
    indices = noise(5, 6)
    for write in (write_png, write_raster):
        pixels = read(write(tmp_path / "x", indices, colormap=table))
        assert pixels.values.dtype == np.uint8
        assert (pixels.values == np.stack([indices, 255 - indices, np.full_like(indices, 7)])).all()
        assert bands(tmp_path / "x") == ("red", "green", "blue")


def test_nodata_of_a_palette_is_an_index(tmp_path):
    table = {i: (0, 0, 0) for i in range(256)}
    path = write_raster(tmp_path / "x.tif", ones(3, 3, hole=((1, 1), 0)), colormap=table, nodata=0)
    assert invalid(read(path)) == [(1, 1)]


@given(st.integers(0, 19), st.integers(0, 29), st.integers(1, 20), st.integers(1, 30))
def test_a_window_is_a_cut_of_the_whole(tmp_path_factory, row, col, height, width):
    path = tmp_path_factory.getbasetemp() / "windows.tif"
    array = noise(2, 20, 30, dtype="int16")
    array[:, 3:5, 7:9] = 0
    if not path.exists():
        write_raster(path, array, nodata=0)
    window = Window(row, col, height, width).within(Window(0, 0, 20, 30))
    pixels = read(path, window=window)
    assert (pixels.values == array[(slice(None), *window.slices)]).all()
    assert (pixels.valid == (array != 0).any(axis=0)[window.slices]).all()


def test_threads_may_share_a_raster(tmp_path):
    array = noise(3, 256, 256)
    path = write_raster(
        tmp_path / "x.tif", array, compress="deflate", tiled=True, blockxsize=64, blockysize=64
    )
    windows = [Window(r, c, 32, 32) for r in range(0, 256, 32) for c in range(0, 256, 32)]
    with Raster([path]) as raster, ThreadPoolExecutor(8) as pool:
        for window, pixels in zip(windows, pool.map(raster.read, windows), strict=True):
            assert (pixels.values == array[(slice(None), *window.slices)]).all()


# Damage. A file that is cut off must never give pixels.
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("plain.tif", {}),
        ("deflate.tif", {"compress": "deflate"}),
        ("lzw.tif", {"compress": "lzw", "tiled": True, "blockxsize": 64, "blockysize": 64}),
        ("jpeg.tif", {"compress": "jpeg", "photometric": "ycbcr"}),
        ("x y.jpg", {"driver": "JPEG"}),
        ("é.png", {"driver": "PNG"}),
        ("x.webp", {"driver": "WEBP"}),
    ],
)
def test_a_file_cut_off_is_an_error_that_names_it(tmp_path, name, profile, share):
    path = truncate(write_raster(tmp_path / name, noise(3, 200, 200), **profile), share)
    with fails("unreadable", DataError, path) as caught:
        read(path)
    assert caught.value.fix


def test_a_png_that_is_whole_is_read_exactly(tmp_path):
    array = noise(3, 70, 90, low=0, high=256)
    assert (read(write_png(tmp_path / "x.png", array)).values == array).all()
    deep = noise(1, 70, 90, high=60000, dtype="uint16")
    assert (read(write_png(tmp_path / "y.png", deep)).values == deep).all()


@pytest.mark.parametrize("content", [b"", b"not a raster", b"II*\0", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_raster_is_named(tmp_path, content):
    path = tmp_path / "x.tif"
    path.write_bytes(content)
    with fails("unreadable", DataError, path) as caught:
        Raster([path])
    assert str(caught.value).count(str(path)) == 1


def test_an_absent_file_is_named(tmp_path):
    with fails("no-such-file", DataError, tmp_path / "none.tif"):
        Raster([tmp_path / "none.tif"])


def test_a_folder_is_no_raster(tmp_path):
    with fails("is-a-folder", DataError, tmp_path):
        Raster([tmp_path])


def test_complex_numbers_are_refused(tmp_path):
    with fails("complex-values", DataError, tmp_path / "x.tif"):
        Raster([write_raster(tmp_path / "x.tif", np.ones((3, 3), "complex64"))])


def test_control_points_count_where_they_have_a_crs(tmp_path):
    points = [
        rasterio.control.GroundControlPoint(r, c, 10 + c, 50 - r)
        for r, c in ((0, 0), (0, 9), (9, 0))
    ]
    path = write_raster(tmp_path / "x.tif", ones(1, 9, 9), "EPSG:4326", gcps=points)
    with Raster([path]) as raster:
        assert len(raster.extra_georeferencing["gcps"]) == 3
    content = path.read_bytes()
    key = struct.pack("<H", 34735)
    assert content.count(key) == 1
    path.write_bytes(content.replace(key, struct.pack("<H", 34739)))
    with Raster([path]) as raster:
        assert raster.extra_georeferencing == {}


def test_numbers_that_float32_does_not_hold_are_no_measurements(tmp_path):
    array = ones(2, 3, 3, dtype="float64", one=((1, 2, 0), 1e300))
    assert invalid(read(write_raster(tmp_path / "x.tif", array))) == [(2, 0)]


def test_only_alpha_is_no_image(tmp_path):
    path = write_raster(tmp_path / "x.tif", ones(1, 3, 3), colorinterp=[ColorInterp.alpha])
    with fails("no-bands", DataError, path):
        Raster([path])


def test_files_of_two_grids_are_no_stack(tmp_path):
    a = write_raster(tmp_path / "a.tif", ones(3, 3), UTM, NORTH_UP)
    for b in (
        write_raster(tmp_path / "b.tif", ones(3, 4), UTM, NORTH_UP),
        write_raster(tmp_path / "c.tif", ones(3, 3), "EPSG:32633", NORTH_UP),
        write_raster(tmp_path / "d.tif", ones(3, 3), UTM, PLACED.part(Window(0, 1, 3, 3)).affine),
    ):
        with fails("grid-mismatch", DataError, b) as caught:
            Raster([a, b])
        assert str(a) in caught.value.message


# Band names.
def test_a_description_that_is_not_utf8_is_none(tmp_path):
    path = write_raster(tmp_path / "x.tif", ones(2, 3, 3), descriptions=["abcdefg", "hijklmn"])
    path.write_bytes(path.read_bytes().replace(b"abcdefg", b"J\xe9r\xf4me "))
    assert bands(path) == ("1", "2")


def test_bands_are_named_by_description_color_or_number(tmp_path):
    assert bands(write_raster(tmp_path / "a.tif", ones(2, 3, 3), descriptions=["B2", "B8"])) == (
        "B2",
        "B8",
    )
    assert bands(write_raster(tmp_path / "b.tif", ones(3, 3, 3), photometric="RGB")) == (
        "red",
        "green",
        "blue",
    )
    assert bands(write_raster(tmp_path / "c.tif", ones(2, 3, 3), descriptions=["B2", None])) == (
        "B2",
        "2",
    )
    assert bands(write_raster(tmp_path / "d.tif", ones(2, 3, 3), descriptions=["x", "x"])) == (
        "1",
        "2",
    )
    assert bands(write_jpeg(tmp_path / "e.jpg", ones(1, 8, 8))) == ("1",)


def test_stacked_bands_are_named_by_where_file_names_differ(tmp_path):
    files = [write_raster(tmp_path / f"LC08_2020_B{i}_v1.tif", ones(3, 3)) for i in (2, 3)]
    assert bands(*files) == ("B2", "B3")
    more = write_raster(tmp_path / "LC08_2020_B4_v1.tif", ones(2, 3, 3), descriptions=["lo", "hi"])
    assert bands(*files, more) == ("B2", "B3", "B4-lo", "B4-hi")
    with Raster(files, ["near", "far"]) as raster:
        assert raster.bands == ("near", "far")


@pytest.mark.parametrize(
    ("stems", "parts"),
    [
        (["lsat7_2000_10", "lsat7_2000_20"], ["10", "20"]),
        (["B1", "B2"], ["B1", "B2"]),
        (["a_red_x", "a_green_x"], ["red", "green"]),
        (["T32_B02_10m", "T32_B11_20m"], ["B02_10m", "B11_20m"]),
        (["a_b", "a_b"], ["b", "b"]),
        (["a", "a_b"], ["a", "a_b"]),
        (["s-1", "s_2"], ["1", "2"]),
        (["only"], ["only"]),
    ],
)
def test_distinct_parts(stems, parts):
    assert distinct_name_parts(stems) == parts


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "10", "1"]), min_size=1, max_size=4).map("_".join),
        min_size=2,
        unique=True,
    )
)
def test_distinct_parts_stay_distinct_and_are_found_again(stems):
    parts = distinct_name_parts(stems)
    assert len(set(parts)) == len(parts)
    assert all(part in stem for part, stem in zip(parts, stems, strict=True))


def test_find_stack(tmp_path):
    for name in ("lsat7_2000_10.tif", "lsat7_2000_1.tif", "lsat7_2000_100.tif", "notes_10.txt"):
        write_raster(tmp_path / name, ones(3, 3))
    assert [p.name for p in find_stack(tmp_path, ["100", "1"])] == [
        "lsat7_2000_100.tif",
        "lsat7_2000_1.tif",
    ]
    write_raster(tmp_path / "1.tif", ones(3, 3))
    assert [p.name for p in find_stack(tmp_path, ["1"])] == ["1.tif"]


def test_find_stack_finds_files_of_several_bands_once(tmp_path):
    for name in ("x_scene.tif", "x_relief.tif", "x_scenery.tif"):
        write_raster(tmp_path / name, ones(3, 3))
    found = find_stack(tmp_path, ["scene-red", "scene-blue", "relief"])
    assert [p.name for p in found] == ["x_scene.tif", "x_relief.tif"]
    with fails("band-missing", DataError, tmp_path):
        find_stack(tmp_path, ["-red"])


def test_find_stack_says_what_is_missing_or_double(tmp_path):
    write_raster(tmp_path / "a_10.tif", ones(3, 3))
    write_raster(tmp_path / "b_10.tif", ones(3, 3))
    with pytest.raises(DataError) as caught:
        find_stack(tmp_path, ["10"])
    assert all(word in caught.value.message for word in ("10", "a_10.tif", "b_10.tif"))
    with pytest.raises(DataError) as caught:
        find_stack(tmp_path, ["20"])
    assert "20" in caught.value.message and caught.value.file == str(tmp_path)
    with pytest.raises(DataError) as caught:
        find_stack(tmp_path / "none", ["20"])
    assert caught.value.file == str(tmp_path / "none")


# Grids.
@pytest.mark.parametrize(
    ("other", "same"),
    [
        (GeoBox(20, 30, (10, 0, 500_000.9, 0, -10, 5_600_000), WKT), True),
        (GeoBox(20, 30, (10, 0, 500_001.1, 0, -10, 5_600_000), WKT), False),
        (GeoBox(20, 30, (10.02, 0, 500_000, 0, -10, 5_600_000), WKT), True),
        (GeoBox(20, 30, (10.05, 0, 500_000, 0, -10, 5_600_000), WKT), False),
        (GeoBox(20, 30, (10, 0, 500_000, 0, 10, 5_600_000), WKT), False),
        (GeoBox(30, 20, PLACED.transform, WKT), False),
        (GeoBox(20, 30, PLACED.transform, None), False),
        (GeoBox(20, 30, PLACED.transform, rasterio.CRS.from_epsg(32633).to_wkt()), False),
        (
            GeoBox(
                20,
                30,
                PLACED.transform,
                rasterio.CRS.from_string("+proj=utm +zone=32 +datum=WGS84").to_wkt(),
            ),
            True,
        ),
    ],
)
def test_same_grid_to_a_tenth_of_a_pixel(other, same):
    assert PLACED.same_as(other) == other.same_as(PLACED) == same


def test_a_part_of_a_grid_keeps_its_place():
    turned = GeoBox(20, 30, (6, 8, 500_000, 8, -6, 5_600_000), WKT)
    part = turned.part(Window(3, 5, 7, 9))
    assert (part.height, part.width, part.crs) == (7, 9, WKT)
    assert (
        part.point(2, 1)
        == turned.point(7, 4)
        == (500_000 + 6 * 7 + 8 * 4, 5_600_000 + 8 * 7 - 6 * 4)
    )
    assert turned.part(turned.window) == turned


def test_grids_without_crs_are_the_same_by_size():
    assert GeoBox(3, 4).same_as(GeoBox(3, 4))
    assert not GeoBox(3, 4).same_as(GeoBox(4, 3))


def test_degrees_are_compared_as_finely():
    fine = GeoBox(512, 512, (9e-5, 0, -0.78, 0, -9e-5, 38.1), rasterio.CRS.from_epsg(4326).to_wkt())
    assert fine.same_as(GeoBox(512, 512, (9e-5, 0, -0.78 + 5e-6, 0, -9e-5, 38.1), fine.crs))
    assert not fine.same_as(GeoBox(512, 512, (9e-5, 0, -0.78 + 2e-5, 0, -9e-5, 38.1), fine.crs))


@pytest.mark.parametrize(
    ("epsg", "transform", "meters"),
    [
        (32632, (10, 0, 500_000, 0, -10, 5_600_000), 10),
        (32632, (6, 8, 500_000, 8, -6, 5_600_000), 10),
        (4326, (0.001, 0, 9, 0, -0.001, 0.005), 111.32),
        (4326, (0.001, 0, 9, 0, -0.001, 60.005), 111.32 * math.sqrt(0.5)),
        (3857, (10, 0, 0, 0, -10, 8_399_800), 5),
        (2263, (100, 0, 1_000_000, 0, -100, 200_000), 30.48),
        (32760, (10, 0, 790_000, 0, -10, 8_000_000), 10),
    ],
)
def test_ground_resolution_is_in_meters(epsg, transform, meters):
    assert GeoBox(10, 10, transform, rasterio.CRS.from_epsg(epsg).to_wkt()).gsd == pytest.approx(
        meters, rel=0.01
    )


@pytest.mark.parametrize("offset", [-0.0155, -0.0145, 0.0])
def test_ground_resolution_at_the_date_line(offset):
    wkt = (
        'PROJCS["x",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
        'PRIMEM["Greenwich",0],'
        'UNIT["degree",0.0174532925199433]],PROJECTION["Mercator_1SP"],PARAMETER["central_meridian",180],'
        'PARAMETER["scale_factor",1],UNIT["metre",1]]'
    )
    assert GeoBox(2, 2, (1000, 0, -1500 + offset, 0, -1000, 1000), wkt).gsd == pytest.approx(
        1000, rel=0.01
    )


@pytest.mark.parametrize("crs", [None, 'LOCAL_CS["a drawing",UNIT["metre",1]]'])
def test_no_ground_resolution_without_ground(crs):
    assert GeoBox(10, 10, PLACED.transform, crs).gsd is None


def test_a_file_without_crs_has_the_plain_grid(tmp_path):
    with open_raster(write_png(tmp_path / "x.png", ones(3, 4))) as dataset:
        assert geobox_of(dataset) == GeoBox(3, 4)


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_chunks_cover_a_raster_once(height, width):
    found = list(chunks(GeoBox(height, width)))
    assert sum(w.size for w in found) == height * width
    assert all(w.within(GeoBox(height, width).window) == w and w.size for w in found)


def _vrt(path, pixels, shape, nodata):
    """Write a VRT whose bands declare nodata out of range, or different from band to band."""
    root = ElementTree.Element("VRTDataset", rasterXSize=str(shape[1]), rasterYSize=str(shape[0]))
    for i, (kind, value) in enumerate(nodata, 1):
        band = ElementTree.SubElement(root, "VRTRasterBand", dataType=kind, band=str(i))
        if value is not None:
            ElementTree.SubElement(band, "NoDataValue").text = str(value)
        source = ElementTree.SubElement(band, "SimpleSource")
        ElementTree.SubElement(source, "SourceFilename", relativeToVRT="0").text = str(pixels)
        ElementTree.SubElement(source, "SourceBand").text = str(i)
    ElementTree.ElementTree(root).write(path)
    return path


# Real images.
def test_sentinel2(shared_data):
    with Raster([shared_data / "sentinel2" / "images" / "637U_59R_1_3.tif"]) as raster:
        assert len(raster.bands) == 12
        assert raster.dtype == "int16"
        assert raster.grid.gsd == pytest.approx(10, rel=0.01)
        assert raster.read(Window(100, 50, 8, 9)).values.shape == (12, 8, 9)


def test_flood_zero_in_all_bands_is_nodata(shared_data):
    with Raster([shared_data / "flood" / "images" / "Spain_7370579_S2Hand.tif"]) as raster:
        values, valid = raster.read(raster.grid.window)
        assert raster.bands[:3] == ("B1", "B2", "B3")
        assert raster.grid.gsd == pytest.approx(9, rel=0.2)
    assert (valid == (values != 0).any(axis=0)).all()


def test_landsat_is_a_stack_of_mixed_types(shared_data):
    files = sorted((shared_data / "landsat").glob("lsat7_*.tif"))
    with Raster(files) as raster:
        assert raster.bands == ("10", "20", "30", "40", "50", "70")
        assert (raster.dtype, raster.grid.gsd) == ("float32", pytest.approx(28.5, rel=0.01))
        values, valid = raster.read(raster.grid.window)
    lacking = [np.isin(band, (-99999, -32768)) for band in values]
    assert (valid == ~np.any(lacking, axis=0)).all()
    assert 0 < valid.sum()
    assert find_stack(shared_data / "landsat", ["10", "70"]) == [files[0], files[-1]]


def test_dubai(shared_data):
    with Raster([shared_data / "dubai" / "Tile 3" / "images" / "image_part_001.jpg"]) as raster:
        assert raster.grid == GeoBox(658, 682)
        assert raster.bands == ("red", "green", "blue")
        assert raster.read(raster.grid.window).valid.all()


@pytest.mark.parametrize(
    ("write", "shape", "name"),
    [
        (write_raster, (64, 64), "a.tif"),
        (write_raster, (700, 900), "a.tif"),
        (write_png, (64, 64), "a.png"),
    ],
)
def test_a_fourth_band_of_measurements_is_no_alpha(tmp_path, write, shape, name):
    array = noise(4, *shape, low=0, high=200)
    array[3, :9] = 0
    profile = {"photometric": "RGB", "alpha": "yes"} if write is write_raster else {}
    path = write(tmp_path / name, array, **profile)
    with Raster([path]) as raster:
        values, valid = raster.read(raster.grid.window)
        assert raster.bands == ("red", "green", "blue", "4") and raster.alpha_as_band
    assert (values == array).all() and valid.all()
    with Raster([path], ["r", "g", "b"]) as raster:
        assert not raster.alpha_as_band
        assert not raster.read(raster.grid.window).valid[:9].any()
    with Raster([path], order=[4, 1]) as raster:
        assert (raster.read(raster.grid.window).values == array[[3, 0]]).all()


@pytest.mark.parametrize("kind", ["opaque", "clear", "edges", "translucent", "soft"])
def test_real_alpha_is_a_mask(tmp_path, kind):
    array = noise(4, 64, 64)
    array[3] = {"opaque": 255, "clear": 0, "edges": 255, "translucent": 128, "soft": 255}[kind]
    if kind == "edges":
        array[3, :20] = 0
    elif kind == "soft":
        array[3, :25] = noise(25, 64)
    path = write_png(tmp_path / "a.png", array)
    with Raster([path]) as raster:
        assert len(raster.bands) == 3
        assert (raster.read(raster.grid.window).valid == (array[3] > 0)).all()
    with Raster([path], ["r", "g", "b", "nir"]) as raster:
        assert (raster.read(raster.grid.window).values == array).all()


def test_a_fourth_band_with_a_name_is_no_alpha(tmp_path):
    values = ones(4, 30, 30)
    values[3, :, :20] = 255  # as alpha has it
    names = ("blue", "green", "red", "nir")
    path = write_raster(
        tmp_path / "x.tif", values, photometric="RGB", alpha="yes", descriptions=names
    )
    with Raster([path]) as raster:
        assert raster.bands == names and raster.alpha_as_band


def test_bands_of_several_dtypes_in_one_file(tmp_path):
    """A virtual raster can stack them; each keeps its own nodata value."""
    write_raster(tmp_path / "a.tif", np.int16([[1, -32768], [3, 4]]), UTM, NORTH_UP, nodata=-32768)
    write_raster(tmp_path / "b.tif", np.float32([[0.5, 1], [-1, 2]]), UTM, NORTH_UP, nodata=-1)
    parts = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{i}"><NoDataValue>{nodata}</NoDataValue>'
        f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for i, (kind, nodata, name) in enumerate(
            [("Int16", -32768, "a.tif"), ("Float32", -1, "b.tif")], 1
        )
    )
    path = tmp_path / "both.vrt"
    path.write_text(f'<VRTDataset rasterXSize="2" rasterYSize="2">{parts}</VRTDataset>')
    pixels = read(path)
    assert pixels.values.dtype == np.float32
    assert pixels.values[:, 0, 0].tolist() == [1, 0.5] and invalid(pixels) == [(0, 1), (1, 0)]


def test_files_opened_in_several_threads_are_closed_in_one(tmp_path):
    paths = [write_raster(tmp_path / f"{i}.tif", noise(1, 8, 8)) for i in range(4)]
    rasters = [Raster([paths[0]])]
    for path in paths[1:]:
        with ThreadPoolExecutor(1) as pool:
            rasters += pool.map(Raster, [[path]])
    for raster in rasters:
        raster.close()
    with Raster([paths[0]]) as again:
        assert again.read(Window(0, 0, 8, 8)).valid.all()
