"""Solid areas of one value in all bands, which no file declares as nodata."""

import numpy as np
import pytest

import swath
from swath.io.solid_fills import SolidFills
from tests.make import NORTH_UP, UTM, noise, write_model, write_raster


def find(values, fills=None):
    tally = SolidFills(len(values), values.dtype, fills or {0.0: np.zeros(len(values))})
    tally.add(values, np.ones(values.shape[1:], bool))
    return tally.find()


def filled(value, dtype, bands=4, **made):
    values = noise(bands, 128, 128, dtype=dtype, **made)
    values[:, 20:60, 30:70] = value
    return values


@pytest.mark.parametrize(
    ("value", "dtype", "bands"),
    [
        (-999, "int16", 4),
        (-1, "int16", 2),
        (65535, "uint16", 3),
        (0, "uint16", 4),
        (1e20, "float32", 2),
        (-128, "int8", 64),
    ],
)
def test_solid_areas_are_found(value, dtype, bands):
    found = find(filled(value, dtype, bands, high=120))
    assert [*found] == [np.dtype(dtype).type(value)] and 1400 < sum(found.values()) < 1600


def test_other_areas_are_not():
    assert not find(noise(4, 128, 128, dtype="uint16"))
    assert not find(filled(255, "uint8", 3))  # may be roofs
    assert not find(filled(0, "float32", 1))  # may be a lake
    assert not find(np.concatenate([noise(1, 128, 128).astype("uint16")] * 3))  # is gray
    speckle = noise(4, 128, 128, dtype="uint16")
    speckle[:, ::3, ::3] = 0
    assert not find(speckle)
    scaled = {0.0: np.full(4, -0.1)}
    assert not find(filled(0, "float32"), scaled)


def test_inspect_and_predict_tell_them(tmp_path):
    path = write_raster(
        tmp_path / "s" / "images" / "a.tif", filled(-999, "int16", 3), UTM, NORTH_UP
    )
    codes = np.where(np.indices((128, 128))[0] < 90, 1, 2).astype(np.uint8)
    write_raster(tmp_path / "s" / "masks" / "a.tif", codes, UTM, NORTH_UP)

    def told(**options):
        findings = swath.inspect(tmp_path / "s", **options).findings
        return [f["fix"] for f in findings if f["code"] == "undeclared-nodata"]

    assert "--nodata -999" in told()[0] and not told(nodata=-999)
    model = write_model(tmp_path / "m.swath", dtype="int16")
    warnings = swath.predict(model, path, tmp_path / "map").warnings
    assert any("--nodata -999" in w for w in warnings)
