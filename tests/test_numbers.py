"""What Swath reckons, held against others who reckon the same: scikit-learn, rasterio, PROJ, and
one engine against another."""

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.features
import rasterio.warp
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine
from sklearn import metrics

from swath.geo.geobox import GeoBox
from swath.inference.runtimes import RuntimeSetup, TorchRuntime, choose_setup
from swath.io.labels import UNLABELED, RasterLabels
from swath.io.raster import Raster
from swath.legend import IGNORE
from swath.mapping.polygons import polygonize
from swath.metrics.confusion import Scores, confusion_matrix
from swath.models.model import Model
from tests.make import UTM, write_raster

SEEDS = st.integers(0, 2**32 - 1)
TURNED = st.tuples(st.floats(1, 100), st.floats(1, 100), st.floats(0, 6.3), st.booleans()).map(
    lambda n: (
        Affine.translation(500_000, 5_600_000)
        * Affine.rotation(n[2] * 57.3)
        * Affine.scale(n[0], -n[1] if n[3] else n[1])
    )
)
"""Pixels of any size, turned any way, mirrored or not."""


@settings(max_examples=12)
@given(SEEDS, st.integers(2, 12), st.floats(0, 0.5))
def test_scores_are_those_of_scikit_learn(seed, n, missing):
    dice = np.random.default_rng(seed)
    reference = dice.integers(0, dice.integers(1, n + 1), (30, 40)).astype(np.uint8)
    made = np.where(
        dice.random(reference.shape) < 0.5, reference, dice.integers(0, n, reference.shape)
    ).astype(np.uint8)
    reference[dice.random(reference.shape) < missing] = IGNORE
    known = reference != IGNORE
    assume(known.any())
    matrix = confusion_matrix(reference, made, n)
    scores = Scores.of(matrix)
    there = sorted({*reference[known].tolist(), *made[known].tolist()})
    flat = reference[known], made[known]
    options = {"labels": there, "average": None, "zero_division": 0}
    np.testing.assert_allclose(scores.iou[there], metrics.jaccard_score(*flat, **options))
    np.testing.assert_allclose(scores.f1[there], metrics.f1_score(*flat, **options))
    np.testing.assert_array_equal(
        matrix[np.ix_(there, there)], metrics.confusion_matrix(*flat, labels=there)
    )
    assert np.isnan(np.delete(scores.iou, there)).all()
    assert scores.miou == pytest.approx(
        metrics.jaccard_score(*flat, labels=there, average="macro", zero_division=0)
    )


@settings(max_examples=12)
@given(SEEDS, TURNED, st.integers(1, 24), st.integers(1, 24))
def test_areas_of_polygons_are_rasterios(tmp_path_factory, seed, transform, height, width):
    dice = np.random.default_rng(seed)
    codes = np.kron(dice.integers(0, 4, (height, width)), np.ones((2, 3))).astype(np.uint8)
    path = write_raster(
        tmp_path_factory.getbasetemp() / "codes.tif", codes, UTM, transform, nodata=0
    )
    found = polygonize(path, None)
    shapes = rasterio.features.shapes(codes, codes != 0, transform=transform)
    theirs = sorted(
        (int(code), shapely.area(shapely.geometry.shape(shape))) for shape, code in shapes
    )
    ours = sorted(zip(found.codes.tolist(), shapely.area(found.geometries).tolist(), strict=True))
    assert [code for code, _ in ours] == [code for code, _ in theirs]
    np.testing.assert_allclose([a for _, a in ours], [a for _, a in theirs], rtol=1e-6)
    pixel = abs(transform.determinant)
    for code in range(1, 4):
        area = shapely.area(found.geometries[found.codes == code]).sum()
        assert area == pytest.approx((codes == code).sum() * pixel, rel=1e-6)
        # UTM stretches lengths by 0.9996 here, in the middle of its zone
        assert found.areas[found.codes == code].sum() == pytest.approx(area / 0.9996**2, rel=1e-3)
    if len(found.codes):
        back = rasterio.features.rasterize(
            zip(found.geometries, found.codes, strict=True),
            codes.shape,
            transform=transform,
            dtype="uint8",
        )
        np.testing.assert_array_equal(back, codes)


@settings(max_examples=12)
@given(
    SEEDS,
    st.sampled_from(["EPSG:4326", "EPSG:3857", "EPSG:32631", "EPSG:3035"]),
    st.booleans(),
    st.sampled_from([None, 0]),
)
def test_labels_on_another_grid_are_gdals_and_projs(tmp_path_factory, seed, crs, turned, nodata):
    """Each pixel has the label at its center, to a fifth of a label pixel; what lies outside the
    labels has none."""
    dice = np.random.default_rng(seed)
    labels = dice.integers(0, 5, (40, 50)).astype(np.uint8)
    lon, lat = dice.uniform(7, 11), dice.uniform(45, 55)
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    step = 0.0003 if crs == "EPSG:4326" else 30
    place = (
        Affine.translation(x, y) * Affine.rotation(20 if turned else 0) * Affine.scale(step, -step)
    )
    path = write_raster(
        tmp_path_factory.getbasetemp() / "labels.tif", labels, crs, place, nodata=nodata
    )
    east, north = pyproj.Transformer.from_crs("EPSG:4326", UTM, always_xy=True).transform(lon, lat)
    transform = Affine(13, 0, east - 100, 0, -17, north + 100)
    grid = GeoBox(60, 70, tuple(transform)[:6], rasterio.CRS.from_string(UTM).to_wkt())
    opened = RasterLabels(path, grid, warp=True)
    ours = opened.read(grid.window, "code")
    opened.close()

    theirs, covered = np.zeros((2, 60, 70), np.uint8)
    for source, into in ((labels, theirs), (np.ones_like(labels), covered)):
        rasterio.warp.reproject(
            source,
            into,
            src_transform=place,
            src_crs=crs,
            dst_transform=transform,
            dst_crs=UTM,
            tolerance=0,
        )
    missing = covered == 0 if nodata is None else theirs == 0
    gdals = np.where(missing, UNLABELED, theirs.astype(np.int64))

    rows, cols = np.indices((60, 70)) + 0.5
    xs, ys = transform * (cols, rows)
    xs, ys = pyproj.Transformer.from_crs(UTM, crs, always_xy=True).transform(xs, ys)
    col, row = ~place * (xs, ys)
    inside = (col >= 0) & (col < 50) & (row >= 0) & (row < 40)
    nearest = labels[np.clip(row, 0, 39).astype(int), np.clip(col, 0, 49).astype(int)]
    projs = np.where(
        inside & (nearest != nodata) if nodata is not None else inside,
        nearest.astype(np.int64),
        UNLABELED,
    )
    clear = (np.abs(col - np.round(col)) > 0.2) & (np.abs(row - np.round(row)) > 0.2)
    np.testing.assert_array_equal(ours[clear], projs[clear])
    np.testing.assert_array_equal(ours[clear], gdals[clear])
    assert (ours != gdals).mean() < 0.1
    assert clear.mean() > 0.2


def test_torch_onnx_and_openvino_agree_on_a_hundred_real_patches(shared_data, tiny_model):
    """Scores to 0.001, as packing wants, and the class of every pixel whose two best scores differ
    by more than that."""
    model = Model(tiny_model)
    images = sorted((shared_data / "dubai").glob("Tile */images/*.jpg"))
    dice = np.random.default_rng(0)
    patches = []
    for path in images[:: len(images) // 20][:20]:
        with Raster([path]) as raster:
            values = raster.read(raster.grid.window).values
        for _ in range(5):
            row, col = (int(dice.integers(n - 64)) for n in values.shape[1:])
            patches.append(values[:, row : row + 64, col : col + 64])
    raw = np.stack(patches).astype(np.float32)
    assert raw.shape == (100, 3, 64, 64)
    setups: list[RuntimeSetup] = [
        choose_setup(name, "float32") for name in ("openvino", "onnxruntime")
    ]
    answers = [
        TorchRuntime(model.in_torch())(raw),
        *(model.open(setup).runtime(raw) for setup in setups),
    ]
    best = np.sort(answers[0], axis=1)
    clear = best[:, -1] - best[:, -2] > 2e-3
    assert clear.mean() > 0.9
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], atol=1e-3)
        assert (answer.argmax(axis=1) == answers[0].argmax(axis=1))[clear].all()
