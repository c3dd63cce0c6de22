"""Rasters of embeddings are images like any other: AlphaEarth's int8, Tessera's float32."""

import numpy as np
import pytest
import rasterio

import swath
from swath.data.dataset import Dataset
from swath.models.model import Model
from tests.make import NORTH_UP, UTM, box, write_layer, write_raster

SIDE, CELL = 160, 20

SOUTH_UP = rasterio.Affine(10, 0, NORTH_UP.c, 0, 10, NORTH_UP.f - 10 * SIDE)
"""Rows from south to north, as AlphaEarth's files have them."""


def farm(folder, bands, kind):
    """Write embeddings of three classes on the unit sphere, with a corner without data, and labels.

    Return the classes (rows, columns), 0 where there are no data, in the order of the file's rows.
    """
    rng = np.random.default_rng(0)
    true = np.kron(rng.integers(0, 3, (SIDE // CELL,) * 2), np.ones((CELL, CELL), int))
    vectors = rng.normal(size=(3, bands)) + rng.normal(size=bands)
    image = vectors[true].transpose(2, 0, 1) + rng.normal(0, 0.7, (bands, SIDE, SIDE))
    image /= np.linalg.norm(image, axis=0)
    gap = np.s_[-30:, -30:]
    nodata, where = -128, NORTH_UP
    if kind == "int8":  # sign(v) * sqrt(abs(v)) * 127.5
        image = np.rint(np.sign(image) * np.sqrt(np.abs(image)) * 127.5).astype(np.int8)
        where = SOUTH_UP
    else:
        nodata = np.nan
    image[(slice(None), *gap)] = nodata
    stored = {"interleave": "pixel", "tiled": True, "blockxsize": 64, "blockysize": 64}
    names = [f"A{i:02d}" for i in range(bands)]
    write_raster(
        folder / "embeddings.tif",
        image.astype(kind),
        UTM,
        where,
        nodata,
        descriptions=names,
        **stored,
    )
    corners = [(row, col) for row in range(4, 120, 40) for col in range(4, 160, 20)]
    shapes = [box(row, col, 5, 5, where) for row, col in corners]
    kinds = [("soil", "tree", "wall")[true[row, col]] for row, col in corners]
    write_layer(folder / "fields.gpkg", shapes, {"class": kinds})
    true = true + 1
    true[gap] = 0
    return true


@pytest.mark.parametrize(("bands", "kind"), [(64, "int8"), (128, "float32")])
def test_a_few_labels_map_embeddings(tmp_path, bands, kind):
    true = farm(tmp_path, bands, kind)
    given = {"images": "embeddings.tif", "labels": "fields.gpkg"}
    prepared = swath.prepare(tmp_path, tmp_path / "ds", **given)
    assert {f["level"] for f in prepared.findings} <= {"note"}
    assert prepared.bands[:2] == ["A00", "A01"] and prepared.read.no_data == 900 / SIDE**2
    stored = Dataset(tmp_path / "ds").manifest
    assert stored.dtype == kind and min(b.min for b in stored.bands) > -128
    trained = swath.train(tmp_path / "ds", tmp_path / "m.swath", recipe="quick")
    assert trained.features == "bands" and trained.folds.miou > 0.9
    assert Model(tmp_path / "m.swath").card.halo == 0
    mapped = swath.predict(tmp_path / "m.swath", tmp_path / "embeddings.tif", tmp_path / "map.tif")
    assert mapped.warnings == [] and mapped.nodata == 900
    with rasterio.open(tmp_path / "map.tif") as source:
        found = source.read(1)
        south_up = source.transform.e > 0
    true = true if south_up == (kind == "int8") else true[::-1]
    assert ((found == 0) == (true == 0)).all() and (found == true).mean() > 0.95

    given = tmp_path / "embeddings.tif", tmp_path / "fields.gpkg", tmp_path / "next.gpkg"
    suggested = swath.suggest(tmp_path / "m.swath", *given, n=5)
    assert suggested.n == 5 and suggested.warnings == []
