import os

import numpy as np
import pytest

from swath.errors import JobError
from swath.io.work_folder import open_store
from swath.mapping.tile_store import PARTS, TileStore, decode, encode
from tests.errors import fails

LAYERS = {
    "class": np.arange(12, dtype=np.uint8).reshape(3, 4),
    "probabilities": np.full((2, 3, 4), 7, np.uint8),
    "height": np.array([[1.5, np.nan, -2, 0]] * 3, np.float32),
}


def same(found, layers=LAYERS):
    assert list(found) == list(layers)
    for name, array in layers.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_a_part_comes_back_as_it_was():
    same(decode("plan", encode("plan", LAYERS)))
    assert encode("plan", LAYERS) == encode("plan", LAYERS)


@pytest.mark.parametrize(
    "harm",
    [lambda c: c[:-1], lambda c: c[:-1] + bytes([c[-1] ^ 1]), lambda c: b"", lambda c: b"{}\n"],
)
def test_a_damaged_part_is_no_part(harm):
    assert decode("plan", harm(encode("plan", LAYERS))) is None
    assert decode("another plan", encode("plan", LAYERS)) is None


def test_parts_are_found_again_and_the_rest_is_missing(tmp_path):
    store = open_store(str(tmp_path / "parts"))
    parts = TileStore(store, "plan")
    assert not store.holds(PARTS) and list(parts.missing(3)) == [0, 1, 2]
    for i in (1, 123_456_789):
        parts.put(i, LAYERS)
        same(parts.get(i))
    assert list(parts.missing(3)) == [0, 2] and store.holds(PARTS)
    assert list(TileStore(store, "changed").missing(2)) == [0, 1]


def test_folders_hold_a_thousand_parts_each_and_nothing_else(tmp_path):
    parts = TileStore(open_store(str(tmp_path)), "plan")
    for i in (0, 999, 1000):
        parts.put(i, LAYERS)
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert found == ["000000/000000000.part", "000000/000000999.part", "000001/000001000.part"]


def test_what_cannot_be_written_leaves_nothing_and_is_told(tmp_path, monkeypatch):
    parts = TileStore(open_store(str(tmp_path)), "plan")
    parts.put(0, LAYERS)
    monkeypatch.setattr(
        os, "replace", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with fails("not-writable", JobError, file=tmp_path) as caught:
        parts.put(1, LAYERS)
    assert "No space left" in caught.value.message
    assert list(parts.missing(2)) == [1]
