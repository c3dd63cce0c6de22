"""The same seed, data and versions make the same bytes (models: see `test_train.py`)."""

import hashlib

import pytest

import swath
from tests.make import NORTH_UP, UTM, noise, write_raster

OPTIONS = {"halo": 32, "threads": 1}


def digests(folder):
    """Return the hash of every file of a folder, by its place in it."""
    return {
        p.relative_to(folder): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    pixels = noise(3, 700, 620)
    pixels[:, 300:330, 100:500] = 0
    return write_raster(tmp_path_factory.mktemp("image") / "i.tif", pixels, UTM, NORTH_UP, nodata=0)


@pytest.mark.parametrize(
    ("precision", "memory"),
    [("float32", 0.585), pytest.param("bf16", 0.545, marks=pytest.mark.slow)],
)
def test_one_two_and_four_workers_make_the_same_bytes(
    tiny_model, image, tmp_path, precision, memory
):
    made = {}
    for name, workers in (("once", None), ("again", None), ("two", 2), ("four", 4)):
        folder = tmp_path / name
        folder.mkdir()
        result = swath.predict(
            tiny_model,
            image,
            folder / "m.tif",
            workers=workers,
            memory=memory,
            precision=precision,
            confidence=True,
            probabilities=True,
            **OPTIONS,
        )
        assert result.tiles >= 4
        made[name] = digests(folder)
    assert len(made["once"]) >= 3  # map, confidence, probabilities, and what lies beside them
    assert made["once"] == made["again"] == made["two"] == made["four"]


def test_a_dataset_is_the_same_twice(stripes, tmp_path):
    for name in ("one", "two"):
        swath.prepare(stripes.parent / "source", tmp_path / name, test="d", val="c")
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
