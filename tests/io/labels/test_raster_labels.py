import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.warp import reproject

from swath.errors import DataError
from swath.geo.geobox import GeoBox, geobox_of
from swath.geo.tiling import Window
from swath.io.labels import (
    UNLABELED,
    EmptyLabels,
    MaskReading,
    RasterLabels,
    mask_kind,
    read_ignore_mask,
)
from swath.io.raster import Raster, open_raster
from swath.legend import LandClass, Legend
from tests.errors import fails
from tests.make import (
    NORTH_UP,
    UTM,
    noise,
    truncate,
    write_jpeg,
    write_png,
    write_raster,
)

WKT = rasterio.CRS.from_string(UTM).to_wkt()
GRID = GeoBox(20, 30, tuple(NORTH_UP)[:6], WKT)
PLAIN = GeoBox(20, 30)
CODES = noise(20, 30, high=6)
WIDE = CODES.astype(np.int64)


def placed(path, array, **profile):
    return write_raster(path, array, UTM, NORTH_UP, **profile)


def read(path, grid=GRID, kind="code", *, warp=False, window=None):
    labels = RasterLabels(path, grid, warp=warp)
    try:
        return labels.read(window or grid.window, kind)
    finally:
        labels.close()


# Rasters on the image's grid.
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_codes_of_every_type(tmp_path, dtype):
    labels = read(placed(tmp_path / "m.tif", CODES.astype(dtype)))
    assert labels.dtype == np.int64
    assert (labels == CODES).all()


def test_negative_and_large_codes(tmp_path):
    array = np.array([[-1, 0], [1, 2_000_000_000]], "int32")
    assert (read(write_png(tmp_path / "m.png", CODES), PLAIN) == CODES).all()
    assert (read(write_raster(tmp_path / "m.tif", array), GeoBox(2, 2)) == array).all()


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("uint8", 0), ("uint8", 3), ("int16", -1), ("float32", -9999), ("float32", np.nan)],
)
def test_declared_nodata_is_no_label(tmp_path, dtype, nodata):
    array = CODES.astype(dtype)
    array[4:7, 5:9] = nodata
    labels = read(placed(tmp_path / "m.tif", array, nodata=nodata))
    missing = np.isnan(array) if np.isnan(nodata) else array == nodata
    assert (labels == np.where(missing, UNLABELED, np.nan_to_num(array).astype(np.int64))).all()


def test_zero_is_a_code_unless_declared(tmp_path):
    assert (read(placed(tmp_path / "m.tif", CODES * 0)) == 0).all()


def test_alpha_and_the_files_mask_are_no_label(tmp_path):
    hole = np.ones((20, 30), "uint8")
    hole[3, 4] = 0
    masked = placed(tmp_path / "mask.tif", CODES, mask=hole)
    alpha = write_png(tmp_path / "alpha.png", np.stack([CODES, hole * 255]))
    for labels in (read(masked), read(alpha, PLAIN)):
        assert (labels == np.where(hole, WIDE, UNLABELED)).all()
    color = write_png(tmp_path / "rgba.png", np.stack([CODES, CODES, CODES, hole * 255]))
    assert (read(color, PLAIN, "color") == np.where(hole, WIDE * 0x010101, UNLABELED)).all()


def test_colors_are_packed(tmp_path):
    array = noise(3, 20, 30, low=0, high=256)
    packed = array.astype(int)
    expected = packed[0] * 65536 + packed[1] * 256 + packed[2]
    path = write_png(tmp_path / "m.png", array)
    assert (read(path, PLAIN, "color") == expected).all()
    window = Window(3, 4, 5, 6)
    assert (read(path, PLAIN, "color", window=window) == expected[window.slices]).all()


def test_nodata_of_colors_has_to_be_in_all_three(tmp_path):
    array = noise(3, 20, 30)
    array[:, 2, 2] = 0
    array[0, 5, 5] = 0
    labels = read(placed(tmp_path / "m.tif", array, nodata=0, photometric="RGB"), kind="color")
    assert np.argwhere(labels == UNLABELED).tolist() == [[2, 2]]


def kind_of(path):
    with open_raster(path) as dataset:
        return mask_kind(dataset)


def test_a_palette_is_codes_or_colors(tmp_path):
    path = write_png(tmp_path / "m.png", CODES, colormap={i: (i, 2 * i, 200) for i in range(256)})
    assert kind_of(path) == "code"
    assert (read(path, PLAIN) == CODES).all()
    assert (read(path, PLAIN, "color") == WIDE * 65536 + 2 * WIDE * 256 + 200).all()


def test_one_gray_band_is_three_equal_colors(tmp_path):
    assert (read(write_png(tmp_path / "m.png", CODES), PLAIN, "color") == WIDE * 0x010101).all()


def test_kinds(tmp_path):
    assert kind_of(write_png(tmp_path / "a.png", noise(8, 8))) == "code"
    assert kind_of(write_png(tmp_path / "b.png", noise(2, 8, 8))) == "code"
    assert kind_of(write_png(tmp_path / "c.png", noise(3, 8, 8))) == "color"
    assert kind_of(write_png(tmp_path / "d.png", noise(4, 8, 8))) == "color"


@pytest.mark.parametrize(
    ("array", "kind", "code", "values"),
    [
        (noise(3, 20, 30), "code", "mask-photograph", ["100"]),
        (noise(3, 20, 30, low=1, high=4), "code", "mask-colors", []),
        (noise(3, 20, 30, dtype="uint16"), "color", "mask-dtype", ["uint16", "uint8"]),
        (noise(2, 20, 30), "code", "label-bands", []),
        (np.full((20, 30), 1.25, "float32"), "code", "fractional-code", ["1.25", "600"]),
    ],
)
def test_what_is_no_mask_is_named(tmp_path, array, kind, code, values):
    path = placed(tmp_path / "m.tif", array)
    with fails(code, DataError, path) as caught:
        read(path, kind=kind)
    assert re.findall(r"\w*\d[\d.]*", caught.value.message) == values
    assert caught.value.fix


@pytest.mark.parametrize(
    ("name", "write"), [("é m.png", write_png), ("m.tif", write_raster), ("m.jpg", write_jpeg)]
)
def test_a_mask_cut_off_is_named(tmp_path, name, write):
    path = truncate(write(tmp_path / name, noise(200, 200)))
    with fails("unreadable", DataError, path):
        read(path, GeoBox(200, 200))


# Grids that differ.
@pytest.mark.parametrize(
    ("shape", "transform", "crs", "code"),
    [
        ((20, 30), NORTH_UP, "EPSG:32633", "labels-miss-images"),
        ((20, 30), from_origin(500_300, 5_600_000, 10, 10), UTM, "labels-miss-images"),
        ((20, 30), from_origin(1_100_000, 5_600_000, 10, 10), UTM, "labels-miss-images"),
        ((20, 30), from_origin(1_100_000, 5_600_000, 10, 10), None, "labels-miss-images"),
        ((19, 30), from_origin(8, 50, 1e-4, 1e-4), None, "labels-miss-images"),
        ((20, 30), from_origin(-170, 50, 1e-4, 1e-4), "EPSG:4326", "labels-miss-images"),
        ((19, 30), None, None, "size-mismatch"),
        ((40, 60), None, None, "size-mismatch"),
    ],
)
def test_another_grid_is_refused_in_pairs(tmp_path, shape, transform, crs, code):
    path = write_raster(tmp_path / "m.tif", np.ones(shape, "uint8"), crs, transform)
    with fails(code, DataError, path):
        RasterLabels(path, GRID)


def test_a_mend_that_leaves_labels_where_they_are_is_not_proposed(tmp_path):
    path = write_raster(tmp_path / "m.tif", np.ones((20, 30), np.uint8), UTM, NORTH_UP)
    own = rasterio.CRS.from_proj4("+proj=tmerc +lat_0=0 +lon_0=-70.3 +k=0.99 +x_0=7 +ellps=GRS80")
    with fails("labels-miss-images", DataError, path) as caught:
        RasterLabels(path, GeoBox(20, 30, GRID.transform, own.to_wkt()))
    assert "rio info" in str(caught.value.fix)  # and no transform in a CRS without a code


def test_the_size_decides_where_one_side_has_no_crs(tmp_path):
    assert (read(write_png(tmp_path / "m.png", CODES), GRID) == CODES).all()
    assert (read(placed(tmp_path / "m.tif", CODES), PLAIN) == CODES).all()
    with fails("size-mismatch", DataError, tmp_path / "m.png") as caught:
        read(tmp_path / "m.png", GeoBox(20, 31, GRID.transform, WKT), warp=True)
    assert re.findall(r"\d+x\d+", caught.value.message) == ["30x20", "31x20"]


def test_coarser_labels_are_read_nearest(tmp_path):
    coarse = noise(4, 6, high=200)
    path = write_raster(tmp_path / "m.tif", coarse, UTM, from_origin(500_000, 5_600_000, 50, 50))
    assert (read(path, warp=True) == coarse.repeat(5, 0).repeat(5, 1)).all()


@pytest.mark.parametrize("nodata", [None, 0])
def test_ground_without_labels_is_unlabeled(tmp_path, nodata):
    path = write_raster(
        tmp_path / "m.tif",
        CODES[:10, :10],
        UTM,
        from_origin(500_100, 5_599_950, 10, 10),
        nodata=nodata,
    )
    expected = np.full((20, 30), UNLABELED)
    expected[5:15, 10:20] = CODES[:10, :10]
    assert (read(path, warp=True) == expected).all()
    far = GeoBox(20, 30, (10, 0, 900_000, 0, -10, 1_000_000), WKT)
    assert (read(path, far, warp=True) == UNLABELED).all()


@pytest.mark.parametrize(
    "profile", [{}, {"nodata": 0}, {"alpha": "yes"}, {"mask": np.ones((10, 10))}]
)
def test_colors_are_moved_too(tmp_path, profile):
    colors = noise(3, 10, 10)
    array = (
        np.concatenate([colors, np.full((1, 10, 10), 255, "uint8")])
        if "alpha" in profile
        else colors
    )
    path = write_raster(
        tmp_path / "m.tif",
        array,
        UTM,
        from_origin(500_100, 5_599_950, 10, 10),
        photometric="RGB",
        **profile,
    )
    wide = colors.astype(int)
    expected = np.full((20, 30), UNLABELED)
    expected[5:15, 10:20] = wide[0] * 65536 + wide[1] * 256 + wide[2]
    assert (read(path, kind="color", warp=True) == expected).all()


def test_a_files_mask_is_moved_too(tmp_path):
    hole = np.ones((10, 10), "uint8")
    hole[2, 3] = 0
    path = write_raster(
        tmp_path / "m.tif", CODES[:10, :10], UTM, from_origin(500_100, 5_599_950, 10, 10), mask=hole
    )
    labels = read(path, warp=True)
    assert labels[7, 13] == UNLABELED
    assert (labels != UNLABELED).sum() == 99


def test_another_crs_is_what_gdal_makes_of_it_whole_or_in_windows(tmp_path):
    codes = noise(60, 60, high=9)
    there = rasterio.Affine(0.00015, 0, 8.9995, 0, -0.00011, 50.553)
    path = write_raster(tmp_path / "m.tif", codes, "EPSG:4326", there)
    expected = np.zeros((20, 30), "uint8")
    reproject(
        codes,
        expected,
        src_transform=there,
        src_crs="EPSG:4326",
        dst_transform=NORTH_UP,
        dst_crs=UTM,
        resampling=Resampling.nearest,
    )
    labels = read(path, warp=True)
    assert (labels == expected).mean() > 0.98
    assert (labels != UNLABELED).all()
    window = Window(7, 11, 9, 13)
    assert (read(path, warp=True, window=window) == labels[window.slices]).all()


def test_landsat_labels_in_another_crs(shared_data):
    folder = shared_data / "landsat"
    with (
        open_raster(folder / "lsat7_2000_10.tif") as image,
        rasterio.open(folder / "landsat96_labelled_pixels.tif") as source,
    ):
        grid = geobox_of(image)
        counts = np.unique(source.read(1), return_counts=True)
        assert str(source.crs) != str(image.crs)
    labels = read(folder / "landsat96_labelled_pixels.tif", grid, warp=True)
    codes, found = np.unique(labels[labels != UNLABELED], return_counts=True)
    given = {int(c): int(n) for c, n in zip(*counts, strict=True) if c > -9999}
    assert given.keys() == set(codes.tolist())
    assert all(
        abs(n - given[int(c)]) <= 2 + 0.02 * given[int(c)]
        for c, n in zip(codes, found, strict=True)
    )


def test_real_masks_lie_on_their_images(shared_data):
    flood = shared_data / "flood"
    with Raster([flood / "images" / "Spain_7370579_S2Hand.tif"]) as raster:
        labels = read(flood / "labels" / "Spain_7370579_LabelHand.tif", raster.grid)
    assert set(np.unique(labels)) <= {-1, 0, 1}
    tile = shared_data / "dubai" / "Tile 3"
    with Raster([tile / "images" / "image_part_001.jpg"]) as raster:
        labels = read(tile / "masks" / "image_part_001.png", raster.grid, "color")
    assert set(np.unique(labels)) <= {0xE2A929, 0x8429F6, 0x6EC1E4, 0x3C1098, 0xFEDD3A, 0x9B9B9B}


# Bands that mean something else than red, green and blue.
FIVE = noise(20, 30, low=0, high=6)
"""Classes 1 to 5, and 0 for none."""


def one_hot(codes, classes, value=1, dtype="uint8"):
    return np.stack([(codes == k) * value for k in range(1, classes + 1)]).astype(dtype)


@pytest.mark.parametrize(
    ("classes", "value", "dtype", "write"),
    [
        (5, 1, "uint8", write_raster),
        (5, 255, "uint8", write_raster),
        (5, 1, "uint16", write_raster),
        (5, 1, "float32", write_raster),
        (4, 1, "uint8", write_raster),
        (4, 255, "uint8", write_raster),
        (4, 255, "uint8", write_png),
        (3, 1, "uint8", write_png),
        (3, 1, "uint8", write_raster),
        (17, 255, "uint8", write_raster),
    ],
)
def test_one_hot_bands_are_classes(tmp_path, classes, value, dtype, write):
    codes = noise(20, 30, low=0, high=classes + 1).astype(int)
    path = write(tmp_path / "m.tif", one_hot(codes, classes, value, dtype))
    assert (read(path, PLAIN) == np.where(codes, codes, UNLABELED)).all()
    assert kind_of(path) == "code"


def test_one_hot_bands_have_the_names_of_the_bands(tmp_path):
    names = ["water", "forest", "field", "road", "roof"]
    path = write_raster(tmp_path / "m.tif", one_hot(FIVE, 5), descriptions=names)
    assert RasterLabels(path, PLAIN).names == dict(enumerate(names, 1))


def test_nodata_0_of_one_hot_bands_is_not_this_class(tmp_path):
    path = placed(tmp_path / "m.tif", one_hot(FIVE, 5), nodata=0)
    assert (read(path) == np.where(FIVE, FIVE.astype(int), UNLABELED)).all()


@pytest.mark.parametrize(
    "bands",
    [
        noise(5, 20, 30),
        np.ones((5, 20, 30), "uint8"),
        one_hot(FIVE, 5) * 2,
        noise(7, 20, 30, dtype="uint16"),
        noise(2, 20, 30),
    ],
)
def test_bands_that_exclude_nothing_are_refused_and_one_can_be_named(tmp_path, bands):
    path = placed(tmp_path / "m.tif", bands)
    with fails("label-bands", DataError, path) as caught:
        read(path)
    assert "--label-band" in caught.value.fix
    for band in (1, 2):
        labels = RasterLabels(path, GRID, reading=MaskReading(band))
        assert (labels.read(GRID.window, "code") == bands[band - 1]).all()
    with fails("label-bands", DataError, path):
        RasterLabels(path, GRID, reading=MaskReading(len(bands) + 1))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_three_equal_bands_are_codes(tmp_path, dtype):
    path = write_raster(tmp_path / "m.tif", np.stack([CODES] * 3).astype(dtype))
    assert (read(path, PLAIN) == CODES).all()


def test_real_alpha_of_colors_is_no_class(tmp_path):
    colors = one_hot(FIVE % 4, 3, 255)
    opaque = np.full((1, 20, 30), 255, "uint8")
    path = write_png(tmp_path / "m.png", np.concatenate([colors, opaque]))
    assert kind_of(path) == "color"


# Nodata that is a class.
@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 0), ("int16", 3), ("float32", 5)])
@pytest.mark.parametrize("warp", [False, True])
def test_a_class_of_the_user_wins_over_nodata(tmp_path, dtype, nodata, warp):
    path = placed(tmp_path / "m.tif", FIVE.astype(dtype), nodata=nodata)
    grid = GeoBox(24, 30, tuple(from_origin(500_000, 5_600_040, 10, 10))[:6], WKT) if warp else GRID
    classes = tuple(LandClass(f"c{k}", (k,), k, "#000000") for k in range(6))
    named, inner = Legend(classes, origin="classes.yaml"), np.s_[4:] if warp else np.s_[:]
    for legend, kept in ((named, True), (Legend(classes), False), (None, False)):
        labels = RasterLabels(path, grid, warp=warp, legend=legend)
        found = labels.read(grid.window, "code")
        wide = FIVE.astype(int)
        assert (found[inner] == (wide if kept else np.where(FIVE == nodata, UNLABELED, wide))).all()
        assert labels.nodata_pixels == (0 if kept else (FIVE == nodata).sum())
        assert (found[:4] == UNLABELED).all() or not warp


# Labels of another size, and elsewhere.
def test_labels_of_the_aspect_are_fitted_when_asked(tmp_path):
    for scale in (2, 3):
        fine = CODES.repeat(scale, 0).repeat(scale, 1)
        path = write_png(tmp_path / "m.png", fine)
        with fails("size-mismatch", DataError, path) as caught:
            RasterLabels(path, PLAIN)
        assert "--fit-labels" in caught.value.fix
        labels = RasterLabels(path, PLAIN, reading=MaskReading(fit=True))
        assert labels.placement == "fitted"
        assert (labels.read(PLAIN.window, "code") == CODES).all()
        window = Window(3, 5, 7, 9)
        assert (labels.read(window, "code") == CODES[window.slices]).all()
    other = write_png(tmp_path / "o.png", np.ones((40, 61), "uint8"))
    with fails("size-mismatch", DataError, other):
        RasterLabels(other, PLAIN, reading=MaskReading(fit=True))


@pytest.mark.parametrize("crs", [UTM, None])
def test_finer_labels_and_those_of_another_extent_are_warped(tmp_path, crs):
    grid = GeoBox(20, 30, tuple(NORTH_UP)[:6], WKT if crs else None)
    fine = from_origin(500_000, 5_600_000, 5, 5)
    path = write_raster(tmp_path / "m.tif", CODES.repeat(2, 0).repeat(2, 1), crs, fine)
    labels = RasterLabels(path, grid)
    assert labels.placement == "warped"
    assert (labels.read(grid.window, "code") == CODES).all()
    beside = from_origin(500_100, 5_599_950, 10, 10)
    found = read(write_raster(tmp_path / "b.tif", CODES, crs, beside), grid)
    assert (found[5:, 10:] == CODES[:15, :20]).all()
    assert (found[:5] == UNLABELED).all() and (found[:, :10] == UNLABELED).all()


@pytest.mark.parametrize("warp", [False, True])
def test_labels_without_crs_far_away_are_refused(tmp_path, warp):
    there = from_origin(1_100_000, 5_600_000, 10, 10)
    path = write_raster(tmp_path / "m.tif", CODES, None, there)
    for crs in (None, WKT):
        with fails("labels-miss-images", DataError, path) as caught:
            RasterLabels(path, GeoBox(20, 30, tuple(NORTH_UP)[:6], crs), warp=warp)
        assert "1100000" in caught.value.message and "500000" in caught.value.message
    command = re.findall("`(.*)`", caught.value.fix)[0]
    rio = [str(Path(sys.executable).with_name("rio")), *shlex.split(command)[1:]]
    subprocess.run(rio, check=True, capture_output=True)
    assert (read(path) == CODES).all()


def test_a_transform_that_counts_pixels_is_no_place(tmp_path):
    path = write_raster(tmp_path / "m.tif", CODES, None, from_origin(0, 20, 1, 1))
    assert (read(path) == CODES).all()


# No labels, and masks of what to ignore.
def test_no_labels():
    assert (EmptyLabels().read(Window(3, 4, 5, 6), "code") == np.full((5, 6), UNLABELED)).all()


def test_pixels_of_any_mask_are_ignored(tmp_path):
    clouds, haze = np.zeros((2, 20, 30), "uint8")
    clouds[2, 3] = 1
    haze[4, 5] = 200
    haze[6, 7] = 9
    paths = [placed(tmp_path / "c.tif", clouds), placed(tmp_path / "h.tif", haze, nodata=9)]
    window = Window(1, 2, 8, 9)
    found = read_ignore_mask(paths, GRID, window)
    assert found.dtype == bool
    assert np.argwhere(found).tolist() == [[1, 1], [3, 3]]
    assert not read_ignore_mask([], GRID, window).any()


def test_a_coarse_quality_mask_is_moved(tmp_path):
    coarse = np.zeros((2, 3), "uint8")
    coarse[1, 2] = 1
    path = write_raster(tmp_path / "q.tif", coarse, UTM, from_origin(500_000, 5_600_000, 100, 100))
    expected = np.zeros((20, 30), bool)
    expected[10:, 20:] = True
    assert (read_ignore_mask([path], GRID, GRID.window) == expected).all()


def test_labels_that_no_way_leads_from_are_named(tmp_path):
    path = write_raster(
        tmp_path / "m.tif", CODES[:5, :5], 'LOCAL_CS["a drawing",UNIT["metre",1]]', NORTH_UP
    )
    with fails("crs-mismatch", DataError, path) as caught:
        read(path, warp=True)
    names = re.findall(r"\((.*?)\)", caught.value.message)
    assert names == ["a drawing", "WGS 84 / UTM zone 32N"]
