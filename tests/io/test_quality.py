"""Quality layers: what they are, what their values mean, and where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.transform import Affine, from_origin

from swath.data.layouts.quality_layers import QualityTarget, assign_quality
from swath.errors import DataError, UsageError
from swath.geo.geobox import GeoBox
from swath.geo.tiling import Window
from swath.io.quality import REASONS, QualityMask, check_mask, recognize, shares_of
from swath.io.raster import Raster
from swath.io.source_file import QualityFile, QualityKind
from swath.options import DROP
from swath.types import QualityReason
from tests.errors import fails
from tests.make import NORTH_UP, UTM, box, write_layer, write_raster

UDM2 = ("clear", "snow", "shadow", "haze_light", "haze_heavy", "cloud", "confidence", "unusable")
QA_CLEAR, QA_CLOUD = 21824, 22280


@pytest.fixture
def grid(tmp_path: Path) -> GeoBox:
    write_raster(tmp_path / "grid.tif", np.zeros((20, 30), np.uint8), UTM, NORTH_UP)
    with Raster([tmp_path / "grid.tif"]) as raster:
        return raster.grid


def layer(path: Path, values: Any, dtype: str = "uint8", **more: Any) -> Path:
    """Write a layer of 20 x 30 pixels that begins with some values, and is 0 or `fill` else."""
    out = np.full((20, 30), more.pop("fill", 0), dtype)
    out.ravel()[: len(values)] = values
    return write_raster(path, out, UTM, more.pop("transform", NORTH_UP), **more)


def reasons(
    kind: QualityKind,
    path: Path,
    grid: GeoBox,
    drop: Sequence[QualityReason] = REASONS,
    **more: Any,
) -> list[str | None]:
    """Return the reason of each pixel, in rows."""
    with QualityMask([QualityFile(path=str(path), kind=kind)], grid, drop, **more) as mask:
        codes, _ = mask.codes(grid.window)
    return [None if code == 0 else REASONS[code - 1] for code in codes.ravel().tolist()]


# What values mean.
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_each_class_of_scl(tmp_path: Path, grid: GeoBox, dtype: str) -> None:
    path = layer(tmp_path / "SCL.tif", range(12), dtype, fill=4)
    assert reasons("scl", path, grid)[:13] == [
        "nodata",
        "saturated",
        "shadow",
        "shadow",
        None,
        None,
        "water",
        None,
        "cloud",
        "cloud",
        "cirrus",
        "snow",
        None,
    ]


QA_BITS = ("nodata", "cloud", "cirrus", "cloud", "shadow", "snow", None, "water")


@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_each_bit_of_qa_pixel(tmp_path: Path, grid: GeoBox, dtype: str) -> None:
    values = [QA_CLEAR | 1 << bit for bit in range(8)]
    found = reasons("qa_pixel", layer(tmp_path / "q.tif", values, dtype, fill=QA_CLEAR), grid)
    assert tuple(found[:8]) == QA_BITS and set(found[8:]) == {None}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (1, "nodata"),
        (0, "nodata"),
        (21824, None),
        (21888, None),  # water, which is not dropped by default
        (22280, "cloud"),
        (23888, "shadow"),
        (30048, None),  # snow
        (54596, "cirrus"),
        (55052, "cloud"),  # cloud and cirrus
        (5440, None),  # Landsat 5
        (5896, "cloud"),
        (7440, "shadow"),
        (21762, "cloud"),  # dilated
    ],
)
def test_usual_values_of_qa_pixel(tmp_path: Path, grid: GeoBox, value: int, reason: str) -> None:
    path = layer(tmp_path / "q.tif", [value], "uint16", fill=QA_CLEAR, nodata=1)
    assert reasons("qa_pixel", path, grid, DROP)[:2] == [reason, None]


def test_each_bit_of_qa_radsat(tmp_path: Path, grid: GeoBox) -> None:
    path = layer(tmp_path / "r.tif", [1 << b for b in range(12)], "uint16", nodata=0)
    found = reasons("qa_radsat", path, grid)
    assert found[:13] == ["saturated"] * 9 + ["nodata", None, "shadow", None]


def test_each_bit_of_fmask(tmp_path: Path, grid: GeoBox) -> None:
    values = [*(1 << b for b in range(8)), 192, 255, 64 + 2 + 8]
    found = reasons("fmask", layer(tmp_path / "f.tif", values, nodata=255), grid)
    assert found[:12] == [
        "cirrus",
        "cloud",
        "cloud",
        "shadow",
        "snow",
        "water",
        None,
        None,
        "haze",
        "nodata",
        "cloud",
        None,
    ]


def test_each_bit_of_udm1(tmp_path: Path, grid: GeoBox) -> None:
    found = reasons("udm1", layer(tmp_path / "u.tif", [1 << b for b in range(8)]), grid)
    assert found[:9] == ["nodata", "cloud", *["unusable"] * 6, None]


@pytest.mark.parametrize("described", [True, False])
@pytest.mark.parametrize("order", [range(8), [5, 0, 2, 1, 3, 4, 6, 7]])
def test_each_band_of_udm2(
    tmp_path: Path, grid: GeoBox, described: bool, order: Sequence[int]
) -> None:
    if not described and list(order) != list(range(8)):
        order = range(8)
    bands = np.zeros((8, 20, 30), np.uint8)
    bands[0] = 1
    for k in range(1, 8):
        bands[k, 0, k] = 1
        bands[0, 0, k] = k == 6
    bands[6] = 90
    bands[7, 0, 7] = 2
    bands[0, 0, 8] = 0  # neither clear nor anything
    texts = [UDM2[i] for i in order] if described else ()
    path = tmp_path / "udm2.tif"
    write_raster(path, bands[list(order)], UTM, NORTH_UP, descriptions=texts or None)
    assert reasons("udm2", path, grid)[:10] == [
        None,
        "snow",
        "shadow",
        "haze",
        "haze",
        "cloud",
        None,
        "unusable",
        "unusable",
        None,
    ]


@pytest.mark.parametrize(
    ("values", "dtype", "limit", "dropped"),
    [
        ([39, 40, 41, 100, 255], "uint8", 40, [False, True, True, True, True]),
        ([39.9, 40.0, 90.5, 3, np.nan], "float32", 40, [False, True, True, False, True]),
        ([0.39, 0.4, 0.95, 0.03, -9999], "float32", 40, [False, True, True, False, True]),
        ([0.39, 0.4, 0.95, 0.03, 1.0], "float64", 90, [False, False, True, False, True]),
        ([5, 0, 3, 9, 10], "int16", 5, [True, False, False, True, True]),
    ],
)
def test_probabilities(
    tmp_path: Path, grid: GeoBox, values: list[float], dtype: str, limit: float, dropped: list[bool]
) -> None:
    path = layer(tmp_path / "p.tif", values, dtype)
    found = reasons("cloud_probability", path, grid, DROP, clear_below=limit)
    assert [reason is not None for reason in found[:5]] == dropped
    assert set(found[5:]) == {None}


def test_masks_and_polygons_are_dropped_whatever_the_reasons(tmp_path: Path, grid: GeoBox) -> None:
    path = layer(tmp_path / "m.tif", [0, 1, 1], nodata=None)
    assert reasons("mask", path, grid, ["snow"])[:4] == [None, "unusable", "unusable", None]
    shapes = write_layer(tmp_path / "c.gpkg", [box(2, 3, 4, 5)], {"kind": ["cloud"]})
    found = np.reshape(reasons("polygons", shapes, grid, ["snow"]), (20, 30)) != None  # noqa: E711
    expected = np.zeros((20, 30), bool)
    expected[2:6, 3:8] = True
    assert (found == expected).all()


@pytest.mark.parametrize("drop", [[], ["cloud"], ["snow", "water"], ["shadow", "cirrus"]])
def test_only_the_reasons_that_were_asked_for(
    tmp_path: Path, grid: GeoBox, drop: list[QualityReason]
) -> None:
    path = layer(tmp_path / "SCL.tif", range(12), fill=4)
    assert {*reasons("scl", path, grid, drop)} - {None, "nodata"} == {*drop}


@pytest.mark.parametrize(("kind", "value"), [("scl", 12), ("scl", 200), ("qa_radsat", 1 << 12)])
def test_values_that_a_kind_does_not_have(
    tmp_path: Path, grid: GeoBox, kind: QualityKind, value: int
) -> None:
    path = layer(tmp_path / "x.tif", [value], "uint16")
    with fails("quality-values", DataError, path):
        reasons(kind, path, grid)


# What a file is.
@pytest.mark.parametrize(
    ("name", "values", "dtype", "kind"),
    [
        ("LC08_L2SP_038037_20200101_20200101_02_T1_QA_PIXEL.tif", [QA_CLOUD], "uint16", "qa_pixel"),
        ("qa_pixel.tif", [1, 5440], "uint16", "qa_pixel"),
        ("anything.tif", [QA_CLOUD, 1], "uint16", "qa_pixel"),
        ("LC09_02_T1_QA_RADSAT.tif", [0, 4], "uint16", "qa_radsat"),
        ("T32TQM_20200101T000000_SCL_20m.tif", [4, 9], "uint8", "scl"),
        ("scl.tif", [0, 5], "uint8", "scl"),
        ("HLS.S30.T32TQM.2020001T000000.v2.0.Fmask.tif", [0, 2], "uint8", "fmask"),
        ("Fmask.tif", [64, 66, 72], "uint8", "fmask"),
        ("20200101_ssc1_3B_AnalyticMS_DN_udm.tif", [0, 2], "uint8", "udm1"),
        ("MSK_CLDPRB_20m.tif", [0, 1], "uint8", "cloud_probability"),
        ("cloud_probability.tif", [3, 90], "uint8", "cloud_probability"),
        ("x.tif", [3.25, 90.5], "float32", "cloud_probability"),
        ("x.tif", list(range(0, 100, 5)), "uint8", "cloud_probability"),
        ("clouds.tif", [0, 1], "uint8", "mask"),
        ("x.tif", [0, 255], "uint8", "mask"),
    ],
)
def test_what_a_file_is(
    tmp_path: Path, name: str, values: list[float], dtype: str, kind: QualityKind
) -> None:
    fill = QA_CLEAR if kind == "qa_pixel" else values[0]
    path = layer(tmp_path / name, values, dtype, fill=fill)
    assert recognize(path) == QualityFile(path=str(path), kind=kind)


@pytest.mark.parametrize(
    ("name", "values", "dtype"),
    [
        ("x.tif", [4, 9], "uint8"),  # SCL, or land cover
        ("x.tif", [0, 3, 90], "uint8"),
        ("x.tif", [64, 66, 72], "uint8"),
        ("x.tif", [-0.2, 0.7], "float32"),
        ("SCL.tif", [0, 1], "uint8"),  # a mask that was made of SCL
        ("SCL.tif", [4, 90], "uint8"),
        ("QA_PIXEL.tif", [0, 3, 9], "uint8"),
        ("Fmask4.tif", [0, 1, 4], "uint8"),  # classes
        ("LC08_01_T1_pixel_qa.tif", [322, 386], "uint16"),  # Collection 1
        ("LC08_01_T1_BQA.tif", [2720], "uint16"),
        ("MSK_SNWPRB_20m.tif", [0, 90], "uint8"),
        ("LC08_SR_QA_AEROSOL.tif", [0, 64], "uint8"),
        ("clear.tif", [0, 1], "uint8"),
        ("cloud_prob.tif", [0, 200], "uint8"),
    ],
)
def test_files_that_are_not_guessed(
    tmp_path: Path, name: str, values: list[float], dtype: str
) -> None:
    path = layer(tmp_path / name, values, dtype, fill=values[0])
    with fails("quality-unknown", DataError, path) as caught:
        recognize(path)
    assert "scl:" in str(caught.value.fix) and "cloud_probability" in str(caught.value.fix)
    assert recognize(f"fmask:{path}").kind == "fmask"


@pytest.mark.parametrize("band", [1, 3])
def test_a_described_band_of_a_stack(tmp_path: Path, grid: GeoBox, band: int) -> None:
    bands = np.full((4, 20, 30), 7, np.uint8)
    bands[band - 1, 0, 0] = 9
    texts = [f"B{i}" for i in range(1, 5)]
    texts[band - 1] = "SCL"
    path = write_raster(
        tmp_path / "x.tif",
        bands,
        UTM,
        NORTH_UP,
        descriptions=texts,
        photometric="minisblack",
    )
    found = recognize(path)
    assert (found.kind, found.index) == ("scl", band)
    with QualityMask([found], grid) as mask:
        assert np.argwhere(mask.read(grid.window)).tolist() == [[0, 0]]


@pytest.mark.parametrize("described", [True, False])
def test_eight_bands_are_a_udm2(tmp_path: Path, described: bool) -> None:
    texts = UDM2 if described else None
    path = write_raster(tmp_path / "x.tif", np.ones((8, 4, 4), np.uint8), descriptions=texts)
    assert recognize(path).kind == "udm2"
    assert recognize(write_layer(tmp_path / "x.gpkg", [box(0, 0, 1, 1)], {"a": [1]})).kind == (
        "polygons"
    )


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with fails("no-such-file", DataError, tmp_path / "SCL.tif"):
        recognize(tmp_path / "SCL.tif")


# Where a layer lies.
def expected_nearest(coarse: NDArray[Any], factor: int) -> NDArray[Any]:
    return coarse.repeat(factor, 0).repeat(factor, 1)


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_coarser_layers_are_nearest(tmp_path: Path, grid: GeoBox, factor: int) -> None:
    coarse = np.random.default_rng(factor).integers(4, 11, (20 // factor, 30 // factor), "uint8")
    side = 10 * factor
    path = write_raster(
        tmp_path / "SCL.tif", coarse, UTM, from_origin(500_000, 5_600_000, side, side)
    )
    full = expected_nearest(coarse, factor)
    with QualityMask([recognize(path)], grid) as mask:
        assert (mask.read(grid.window) == np.isin(full, [8, 9, 10])).all()


def test_finer_layers_give_the_value_at_the_center(tmp_path: Path, grid: GeoBox) -> None:
    fine = np.full((60, 90), 4, np.uint8)
    fine[1::3, 1::3] = np.random.default_rng(1).integers(4, 11, (20, 30))
    path = write_raster(
        tmp_path / "SCL.tif", fine, UTM, from_origin(500_000, 5_600_000, 10 / 3, 10 / 3)
    )
    with QualityMask([recognize(path)], grid) as mask:
        assert (mask.read(grid.window) == np.isin(fine[1::3, 1::3], [8, 9, 10])).all()


def test_a_rotated_image_and_another_crs(tmp_path: Path) -> None:
    turned = NORTH_UP * Affine.rotation(30)
    write_raster(tmp_path / "i.tif", np.zeros((20, 30), np.uint8), UTM, turned)
    with Raster([tmp_path / "i.tif"]) as raster:
        grid = raster.grid
    lon, lat = grid.lonlat([grid.point(15, 10)]) or ([], [])
    scl = np.full((400, 400), 4, np.uint8)
    scl[:200] = 9  # north of the image's center
    step = 2e-5
    where = from_origin(lon[0] - 200 * step, lat[0] + 200 * step, step, step)
    path = write_raster(tmp_path / "SCL.tif", scl, "EPSG:4326", where)
    rows, cols = np.mgrid[:20, :30] + 0.5
    points = [grid.point(c, r) for r, c in zip(rows.ravel(), cols.ravel(), strict=True)]
    north = np.reshape(np.array((grid.lonlat(points) or ([], []))[1]) > lat[0], (20, 30))
    with QualityMask([recognize(path)], grid) as mask:
        found, (_, outside) = mask.read(grid.window), mask.codes(grid.window)
    assert (found == north).mean() > 0.99 and outside == 0 and 0.3 < north.mean() < 0.7


def test_windows_and_threads_give_the_same_bytes(tmp_path: Path, grid: GeoBox) -> None:
    rng = np.random.default_rng(3)
    where = from_origin(499_990, 5_600_015, 20, 20)
    path = write_raster(tmp_path / "SCL.tif", rng.integers(0, 12, (12, 18), "uint8"), UTM, where)
    other = layer(tmp_path / "QA_RADSAT.tif", rng.integers(0, 2, 600), "uint16")
    windows = [Window(r, c, 7, 11).within(grid.window) for r in (0, 5, 13) for c in (0, 9, 25)]
    with QualityMask([recognize(path), recognize(other)], grid, REASONS) as mask:
        whole, _ = mask.codes(grid.window)
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(lambda w: mask.codes(w)[0], windows * 5))
        for window, part in zip(windows * 5, parts, strict=True):
            assert (part == whole[window.slices]).all()
        tally = mask.count(grid)
    counts = np.bincount(whole.ravel(), minlength=len(REASONS) + 1)[1:]
    assert tally.pixels == 600
    assert {r: n for r, n in zip(REASONS, counts.tolist(), strict=True) if n} == tally.dropped
    assert shares_of([tally, tally])["cloud"] == tally.dropped["cloud"] / 600


def test_what_lies_outside_is_kept_and_counted(tmp_path: Path, grid: GeoBox) -> None:
    where = from_origin(500_000, 5_600_000, 10, 10)
    path = write_raster(tmp_path / "SCL.tif", np.full((20, 12), 9, np.uint8), UTM, where)
    with QualityMask([recognize(path)], grid) as mask:
        tally, found = mask.count(grid), mask.read(grid.window)
    assert found[:, :12].all() and not found[:, 12:].any()
    assert tally.outside == 20 * 18 and tally.dropped == {"cloud": 240}


@pytest.mark.parametrize("kind", ["scl", "udm2", "cloud_probability", "mask"])
def test_layers_that_miss_the_image(tmp_path: Path, grid: GeoBox, kind: QualityKind) -> None:
    far = from_origin(900_000, 5_600_000, 10, 10)
    path = write_raster(tmp_path / "x.tif", np.ones((8, 20, 30), np.uint8), UTM, far)
    with fails("quality-misses-image", DataError, path):
        QualityMask([QualityFile(path=str(path), kind=kind)], grid)


def test_layers_without_crs_are_pixel_on_pixel(tmp_path: Path, grid: GeoBox) -> None:
    scl = np.full((20, 30), 4, np.uint8)
    scl[3, 4] = 9
    path = write_raster(tmp_path / "SCL.tif", scl)
    with QualityMask([recognize(path)], grid) as mask:
        assert np.argwhere(mask.read(grid.window)).tolist() == [[3, 4]]
    path = write_raster(tmp_path / "SCL.tif", scl[:10])
    with fails("size-mismatch", DataError, path):
        QualityMask([recognize(path)], grid)


def test_a_vrt_is_read(tmp_path: Path, grid: GeoBox) -> None:
    from rasterio.shutil import copy

    scl = layer(tmp_path / "SCL.tif", [9], fill=4)
    copy(scl, tmp_path / "SCL.vrt", driver="VRT")
    assert reasons("scl", tmp_path / "SCL.vrt", grid)[:2] == ["cloud", None]


def test_a_layer_of_polygons_without_any(tmp_path: Path, grid: GeoBox) -> None:
    path = tmp_path / "c.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}', encoding="utf-8")
    assert set(reasons("polygons", path, grid)) == {None}


# What is no mask.
@pytest.mark.parametrize(
    ("name", "values", "dtype", "nodata"),
    [
        ("QA_PIXEL.tif", [QA_CLOUD, QA_CLEAR], "uint16", 1),
        ("x.tif", [0, QA_CLEAR], "uint16", None),
        ("x.tif", [QA_CLEAR, QA_CLEAR], "uint16", None),
        ("SCL.tif", [9, 4], "uint8", 0),
        ("SCL.tif", [4, 4], "uint8", None),
        ("SCL.tif", [0, 4], "uint8", None),
        ("x.tif", [4, 9], "uint8", 0),
        ("x.tif", [0, 1, 2], "uint8", None),
        ("x.tif", [3.25, 90.5], "float32", None),
        ("x.tif", [0, 0.5], "float32", None),
        ("x.tif", list(range(100)), "uint8", None),
    ],
)
def test_rasters_that_are_no_mask(
    tmp_path: Path, name: str, values: list[float], dtype: str, nodata: float | None
) -> None:
    path = layer(tmp_path / name, values, dtype, fill=values[0], nodata=nodata)
    with fails("not-a-mask", DataError, path) as caught:
        check_mask(path)
    assert "--quality" in str(caught.value.fix)


@pytest.mark.parametrize("values", [[0, 1], [0, 255], [0, 4], [0, 0], [1, 1], [255, 255]])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_rasters_that_are_masks(tmp_path: Path, values: list[int], dtype: str) -> None:
    path = layer(tmp_path / "cloud.tif", values, dtype, fill=values[0])
    assert check_mask(path) is None
    gray = np.zeros((3, 8, 8), np.uint8)
    gray[:, 2] = 255
    assert check_mask(write_raster(tmp_path / "gray.tif", gray)) is None
    with fails("not-a-mask", DataError):
        check_mask(write_raster(tmp_path / "two.tif", np.eye(8, dtype="uint8")[None].repeat(8, 0)))


# Which image a layer belongs to.
def target(path: Path, own: Sequence[QualityFile] = (), name: str = "") -> QualityTarget:
    def open_grid() -> GeoBox:
        with Raster([path]) as raster:
            return raster.grid

    return QualityTarget(((name or path.stem, str(path)),), tuple(own), open_grid)


def placed(path: Path, value: int, column: int = 0) -> Path:
    where = NORTH_UP * Affine.translation(column, 0)
    return write_raster(path, np.full((20, 30), value, np.uint8), UTM, where)


def names(found: Sequence[Sequence[QualityFile]]) -> list[list[str]]:
    return [sorted(Path(file.path).name for file in files) for files in found]


@pytest.mark.parametrize(
    ("images", "layers", "pattern"),
    [
        (["a.tif", "b.tif"], ["qa/a_QA_SCL.tif", "qa/b_QA_SCL.tif"], "qa/{id}_QA_SCL.tif"),
        (["a.tif", "b.tif"], ["a_SCL.tif", "b_SCL.tif"], "*_SCL.tif"),
        (["t_1.tif", "t_11.tif"], ["q/t_1_SCL.tif", "q/t_11_SCL.tif"], "q/*.tif"),
        (["t_1.tif", "t_11.tif"], ["q/1_SCL.tif", "q/11_SCL.tif"], "q/{id}_SCL.tif"),
        (["s1/rgb.tif", "s2/rgb.tif"], ["s1/SCL.tif", "s2/SCL.tif"], "*/SCL.tif"),
        (["s1/rgb.tif", "s2/rgb.tif"], ["s1/SCL.tif", "s2/SCL.tif"], "{scene}/SCL.tif"),
        (["x_B04.tif", "y_B04.tif"], ["x_SCL_20m.tif", "y_SCL_20m.tif"], "*_SCL_20m.tif"),
    ],
)
def test_layers_are_paired_by_name(
    tmp_path: Path, images: list[str], layers: list[str], pattern: str
) -> None:
    targets = [target(placed(tmp_path / name, 7), name=name[:-4]) for name in images]
    paths = [placed(tmp_path / name, 9) for name in layers]
    found = assign_quality(targets, [pattern], tmp_path)
    assert [[file.path for file in files] for files in found] == [[str(path)] for path in paths]
    found = assign_quality(targets[:1], [pattern], tmp_path)
    assert [file.path for file in found[0]] == [str(paths[0])]


def test_layers_are_paired_by_place(tmp_path: Path) -> None:
    targets = [target(placed(tmp_path / f"{n}.tif", 7, c)) for n, c in (("a", 0), ("b", 500))]
    for name, column in (("q1_SCL", 500), ("q2_SCL", 0)):
        placed(tmp_path / "q" / f"{name}.tif", 9, column)
    found = assign_quality(targets, ["q/*.tif"], tmp_path)
    assert names(found) == [["q2_SCL.tif"], ["q1_SCL.tif"]]


def test_two_layers_of_one_place_and_no_name(tmp_path: Path) -> None:
    targets = [target(placed(tmp_path / f"{n}.tif", 7, c)) for n, c in (("a", 0), ("b", 500))]
    for name in ("q1_SCL", "q2_SCL"):
        placed(tmp_path / "q" / f"{name}.tif", 9)
    with fails("ambiguous-quality", DataError):
        assign_quality(targets, ["q/*.tif"], tmp_path)


@pytest.mark.parametrize("count", [1, 2])
def test_layers_that_touch_no_image(tmp_path: Path, count: int) -> None:
    targets = [target(placed(tmp_path / f"{n}.tif", 7)) for n in "ab"[:count]]
    shapes = write_layer(tmp_path / "far.gpkg", [box(0, 9000, 9, 9)], {"a": [1]})
    with fails("quality-misses-image", DataError, shapes):
        assign_quality(targets, [str(shapes)])
    if count > 1:
        far = placed(tmp_path / "q_SCL.tif", 9, 9000)
        with fails("quality-misses-image", DataError, far):
            assign_quality(targets, [str(far)])


def test_what_images_bring(tmp_path: Path) -> None:
    own = QualityFile(path=str(placed(tmp_path / "o_SCL.tif", 9)), kind="scl")
    more = placed(tmp_path / "a_QA_RADSAT.tif", 0)
    targets = [target(placed(tmp_path / "a.tif", 7), [own])]
    assert names(assign_quality(targets, ["auto"])) == [["o_SCL.tif"]]
    assert names(assign_quality(targets, ["none"])) == [[]]
    assert names(assign_quality(targets, [str(more)])) == [["a_QA_RADSAT.tif"]]
    both = assign_quality(targets, ["auto", str(more)])
    assert names(both) == [["a_QA_RADSAT.tif", "o_SCL.tif"]]
    with fails("option-conflict", UsageError):
        assign_quality(targets, ["none", "auto"])
    with fails("no-quality", DataError):
        assign_quality(targets, ["nothing*.tif"], tmp_path)


def test_each_image_of_a_mosaic_has_its_layer(tmp_path: Path) -> None:
    files = [placed(tmp_path / name, 7, c) for name, c in (("a.tif", 0), ("long_b.tif", 30))]
    for name, column in (("a_SCL", 0), ("long_b_SCL", 30)):
        placed(tmp_path / "q" / f"{name}.tif", 9, column)
    one = target(files[0])
    mosaic = QualityTarget(tuple((str(file),) for file in files), (), one.open_grid)
    found = assign_quality([mosaic], ["q/*.tif"], tmp_path)
    assert names(found) == [["a_SCL.tif", "long_b_SCL.tif"]]


def test_a_mask_whose_marks_are_nodata(tmp_path: Path, grid: GeoBox) -> None:
    path = layer(tmp_path / "m.tif", [1], nodata=1)
    with fails("mask-nodata", DataError, path):
        check_mask(path)
    assert reasons("mask", path, grid)[:2] == ["unusable", None]
