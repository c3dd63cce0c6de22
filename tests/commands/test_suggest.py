"""Regions to label next, of a model whose errors are known."""

import numpy as np
import pyogrio
import pytest
import shapely

import swath
from swath.errors import DataError, UsageError
from swath.mapping.suggestions import regions as module
from swath.mapping.suggestions.labels import LabelsOfImage
from tests.errors import fails
from tests.make import NORTH_UP, UTM, box, write_layer, write_model, write_raster

SIDE = 320


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Class 1 where the first band is high, 2 where the third is; unsure where they are alike."""
    weights = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 0]]), np.array([0, 0, -900])
    folder = tmp_path_factory.mktemp("model")
    return write_model(folder / "m.swath", network=weights, card={"temperature": 20}, std=50)


@pytest.fixture
def image(tmp_path):
    """Class 1 on the left, 2 on the right, and in between two spots of neither."""
    values = np.zeros((3, SIDE, SIDE), np.uint8)
    values[0, :, : SIDE // 2], values[2, :, SIDE // 2 :] = 250, 250
    for row, col, bright in ((32, 32, 60), (256, 256, 200)):
        values[:, row : row + 32, col : col + 32] = bright
    return write_raster(tmp_path / "i.tif", values, UTM, NORTH_UP)


def labels(folder, *at, names=None, crs=UTM, **columns):
    """Write squares of 8 pixels of classes 1, 2, 1, ... at rows and columns."""
    names = names or [str(1 + i % 2) for i in range(len(at))]
    shapes = [box(row, col, 8, 8) for row, col in at]
    return write_layer(folder / "l.gpkg", shapes, {"class": names} | columns, crs)


def read(path):
    meta, _, wkb, columns = pyogrio.raw.read(path)
    return shapely.from_wkb(wkb), dict(zip(meta["fields"], columns, strict=True)), meta["crs"]


SPOTS = box(32, 32, 32, 32), box(256, 256, 32, 32)


def test_the_regions_are_where_the_model_is_unsure(model, image, tmp_path):
    given = labels(tmp_path, (200, 40), (40, 200))
    out = tmp_path / "r.gpkg"
    result = swath.suggest(model, image, given, out, n=2)
    shapes, columns, crs = read(out)
    assert (result.n, result.seen, result.warnings) == (2, 1.0, [])
    assert [s.intersects(shapes[0]) for s in SPOTS] != [s.intersects(shapes[1]) for s in SPOTS]
    assert all(any(spot.intersects(shape) for spot in SPOTS) for shape in shapes)
    assert columns["rank"].tolist() == [1, 2] and "32632" in crs
    assert {*columns["class"], *columns["other"]} == {"1", "2"}
    assert (columns["confidence"] < 60).all()
    before = out.read_bytes()
    swath.suggest(model, image, given, out, n=2)
    assert out.read_bytes() == before


def test_what_has_a_label_is_not_suggested_and_its_like_comes_later(model, image, tmp_path):
    given = labels(tmp_path, (44, 44), (40, 200))
    swath.suggest(model, image, given, tmp_path / "r.gpkg", n=3)
    shapes, _, _ = read(tmp_path / "r.gpkg")
    assert SPOTS[1].intersects(shapes[0])
    assert not any(shape.intersects(box(44, 44, 8, 8)) for shape in shapes)


def test_a_mask_of_labels_and_regions_and_other_crs(model, image, tmp_path, monkeypatch):
    codes = np.zeros((SIDE, SIDE), np.uint8)
    codes[258:280, 258:280] = 1
    mask = write_raster(tmp_path / "l.tif", codes, UTM, NORTH_UP, nodata=0)
    swath.suggest(model, image, mask, tmp_path / "r.gpkg", n=1)
    assert SPOTS[0].intersects(read(tmp_path / "r.gpkg")[0][0])
    inside = write_layer(tmp_path / "a.gpkg", [box(200, 200, 120, 120)], {"id": [1]})
    plain = labels(tmp_path, (40, 200), names=["2"])
    swath.suggest(model, image, plain, tmp_path / "r.gpkg", n=1, regions=inside)
    assert SPOTS[1].intersects(read(tmp_path / "r.gpkg")[0][0])
    write_raster(mask, codes * 9, UTM, NORTH_UP, nodata=0)
    closed, close = [], LabelsOfImage.close
    monkeypatch.setattr(LabelsOfImage, "close", lambda self: closed.append(close(self)))
    with fails("unknown-class", DataError, file=mask):
        swath.suggest(model, image, mask, tmp_path / "r.gpkg")
    assert len(closed) == 1


def test_large_images_are_looked_at_in_part(model, tmp_path, monkeypatch):
    values = np.random.default_rng(0).integers(0, 255, (3, 64, 4096)).astype(np.uint8)
    image = write_raster(tmp_path / "i.tif", values, UTM, NORTH_UP)
    given = labels(tmp_path, (8, 8))
    monkeypatch.setattr(module, "MAX_TILES", 2)
    monkeypatch.setattr("swath.inference.tiled.MAX_NETWORK_PIXELS", 64 * 512)
    result = swath.suggest(model, image, given, tmp_path / "r.gpkg", n=5)
    assert 0.2 < result.seen < 0.6 and result.n == 5


def test_tiles_are_spread_over_the_regions_of_a_large_image(model, tmp_path, monkeypatch):
    values = np.random.default_rng(0).integers(0, 255, (3, 512, 256)).astype(np.uint8)
    image = write_raster(tmp_path / "i.tif", values, UTM, NORTH_UP)
    given = labels(tmp_path, (8, 8))
    monkeypatch.setattr(module, "MAX_TILES", 8)
    monkeypatch.setattr("swath.inference.tiled.MAX_NETWORK_PIXELS", 64 * 64)
    swath.suggest(model, image, given, tmp_path / "r.gpkg", n=20)
    found = shapely.get_coordinates(shapely.centroid(read(tmp_path / "r.gpkg")[0]))
    assert np.ptp(found, axis=0) == pytest.approx((2560, 5120), rel=0.4)  # not in one column
    inside = write_layer(tmp_path / "a.gpkg", [box(70, 70, 30, 30)], {"id": [1]})
    result = swath.suggest(model, image, given, tmp_path / "r.gpkg", n=3, regions=inside)
    assert result.n == 3 and result.seen < 0.05


def test_faults_of_the_labels_are_named(model, image, tmp_path):
    out = tmp_path / "r.gpkg"

    def suggest(labels, **options):
        return swath.suggest(model, image, labels, out, **options)

    given = labels(tmp_path, (900, 900))
    with fails("labels-miss-images", DataError, file=given):
        suggest(given)
    with fails("unknown-class", DataError, file=given):
        suggest(labels(tmp_path, (40, 40), names=["7"]))
    with fails("unknown-class", DataError, file=given):
        suggest(labels(tmp_path, (40, 40), (80, 80), names=["1", "grass"]))
    with fails("crs-missing", DataError):
        suggest(labels(tmp_path, (40, 40), crs=None))
    assert suggest(given, labels_crs=UTM).n > 0
    with fails("no-such-column", DataError, file=given):
        suggest(labels(tmp_path, (40, 40)), label_field="kind")
    with fails("no-geometry", DataError, file=given):
        suggest(labels(tmp_path))
    with fails("output-is-input", UsageError, file=given):
        swath.suggest(model, image, labels(tmp_path, (40, 40)), given)
    with fails("file-extension", UsageError):
        swath.suggest(model, image, given, tmp_path / "r.shp")
    assert not (tmp_path / "r.shp").exists()
    bare = write_raster(tmp_path / "b.tif", np.zeros((3, 64, 64), np.uint8))
    with fails("crs-missing", DataError):
        swath.suggest(model, bare, labels(tmp_path, (40, 40)), out)
    two = write_raster(tmp_path / "two.tif", np.zeros((2, 64, 64), np.uint8), UTM, NORTH_UP)
    with fails("band-mismatch", DataError, file=two):
        swath.suggest(model, two, given, out)
