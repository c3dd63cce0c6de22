"""How often `inspect` and `prepare` open each file of a source."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import swath
from tests.make import NORTH_UP, UTM, noise, write_pairs, write_png, write_raster


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return a counter of the calls of `rasterio.open`, by file name."""
    counts: Counter[str] = Counter()
    original = rasterio.open

    def counting(path: Any, *args: Any, **options: Any) -> Any:
        counts[Path(str(path)).name] += 1
        return original(path, *args, **options)

    monkeypatch.setattr(rasterio, "open", counting)
    return counts


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two pairs of more than one chunk, with a cloud mask for the first."""
    source = write_pairs(tmp_path / "source", ["a", "b"], 1100)
    write_png(source / "clouds" / "a_cloud.png", np.eye(1100, dtype=np.uint8))
    (tmp_path / "classes.yaml").write_text("[{name: x, code: [1, 2]}, {name: y, code: 3}]")
    return source


def test_inspect_opens_each_file_once_and_masks_once_more_to_check_their_values(
    source: Path, opened: Counter[str]
) -> None:
    swath.inspect(source, mask="clouds/*.png", classes=source.parent / "classes.yaml")
    assert opened == {"a.tif": 1, "b.tif": 1, "a.png": 1, "b.png": 1, "a_cloud.png": 2}


def test_without_classes_the_header_of_each_mask_is_read_before(
    source: Path, opened: Counter[str]
) -> None:
    swath.inspect(source, mask="clouds/*.png")
    assert opened == {"a.tif": 1, "b.tif": 1, "a.png": 2, "b.png": 2, "a_cloud.png": 2}


def test_prepare_opens_each_file_once_to_inspect_and_once_to_store(
    source: Path, opened: Counter[str]
) -> None:
    classes = source.parent / "classes.yaml"
    swath.prepare(source, source.parent / "d", mask="clouds/*.png", classes=classes)
    assert opened == {"a.tif": 2, "b.tif": 2, "a.png": 2, "b.png": 2, "a_cloud.png": 3}


def test_bands_of_a_scene_are_opened_twice_more_to_compare_their_grids_and_band_counts(
    tmp_path: Path, opened: Counter[str]
) -> None:
    for name in ("b1", "b2"):
        write_raster(tmp_path / f"{name}.tif", noise(1, 64, 64), UTM, NORTH_UP)
    write_raster(tmp_path / "l.tif", noise(64, 64, high=3), UTM, NORTH_UP)
    opened.clear()
    swath.inspect(tmp_path, images="b*.tif", labels="l.tif")
    assert opened == {"b1.tif": 3, "b2.tif": 3, "l.tif": 2}
    opened.clear()
    swath.inspect(tmp_path, images="b1.tif", labels="l.tif")
    assert opened == {"b1.tif": 1, "l.tif": 2}


def test_heights_are_opened_once(tmp_path: Path, opened: Counter[str]) -> None:
    for kind, bands in (("RGB", 3), ("CLS", 1), ("AGL", 1)):
        codes = noise(bands, 48, 48, low=5, high=7)
        write_raster(tmp_path / f"JAX_001_001_{kind}.tif", codes)
    opened.clear()
    swath.inspect(tmp_path)
    assert opened == {f"JAX_001_001_{kind}.tif": 1 for kind in ("RGB", "CLS", "AGL")}
