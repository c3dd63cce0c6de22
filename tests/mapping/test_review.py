import numpy as np
import pyogrio
import pytest
import shapely

import swath
from swath.errors import DataError
from swath.mapping.review import CELL, MAX_CELLS, uncertain_regions, write_review
from tests.errors import fails
from tests.make import NORTH_UP, UTM, box, noise, write_raster


@pytest.fixture
def confident(tmp_path):
    """A certain map with three uncertain spots, the second of which is the largest, and a gap."""
    percent = np.full((700, 1200), 98, np.uint8)
    percent[32:64, 32:64] = 40
    percent[320:400, 480:560] = 55
    percent[640:700, 1180:1200] = 20
    percent[:, 900:960] = 255
    return write_raster(tmp_path / "c.tif", percent, UTM, NORTH_UP, nodata=255)


def test_regions_are_the_uncertain_spots_worst_first(confident):
    regions = uncertain_regions(confident, 3)
    spots = [box(320, 480, 80, 80), box(640, 1180, 60, 20), box(32, 32, 32, 32)]
    assert len(regions) == 3
    for region, spot in zip(regions, spots, strict=True):
        assert (
            region.shape.contains(spot.centroid)
            and region.shape.intersection(spot).area > 0.99 * spot.area
        )
    assert regions[0].wrong == pytest.approx(0.45 * 80 * 80, rel=0.05)
    assert [r.wrong for r in regions] == sorted((r.wrong for r in regions), reverse=True)
    assert regions[1].shape.bounds[2] <= NORTH_UP.c + 12_000  # cut at the map's edge


def test_a_certain_map_has_no_regions_to_review(tmp_path):
    write_raster(tmp_path / "c.tif", np.full((200, 200), 100, np.uint8), UTM, NORTH_UP, nodata=255)
    assert uncertain_regions(tmp_path / "c.tif", 5) == []
    write_raster(tmp_path / "n.tif", np.full((200, 200), 255, np.uint8), UTM, NORTH_UP, nodata=255)
    assert uncertain_regions(tmp_path / "n.tif", 5) == []


def test_large_uncertain_areas_are_cut_and_regions_do_not_overlap(tmp_path):
    percent = noise(1100, 1100, low=30, high=60)
    write_raster(tmp_path / "c.tif", percent, UTM, NORTH_UP, nodata=255)
    regions = uncertain_regions(tmp_path / "c.tif", 10)
    assert all(0 < r.pixels <= MAX_CELLS * CELL**2 for r in regions)
    assert shapely.union_all([r.shape for r in regions]).area == pytest.approx(
        sum(r.shape.area for r in regions)
    )


def test_the_layer_is_ranked(confident, tmp_path):
    assert write_review(confident, tmp_path / "r.gpkg", 2) == 2
    meta, _, wkb, columns = pyogrio.raw.read(tmp_path / "r.gpkg")
    assert list(meta["fields"]) == ["rank", "wrong", "pixels", "share"] and columns[0].tolist() == [
        1,
        2,
    ]
    assert "32632" in meta["crs"] and shapely.from_wkb(wkb[0]).contains(box(350, 500, 1, 1))


def test_what_is_no_confidence_is_refused(tmp_path):
    with fails("not-confidence", DataError, file=tmp_path / "x.tif"):
        uncertain_regions(write_raster(tmp_path / "x.tif", noise(3, 9, 9)), 1)


def test_predict_writes_the_regions_beside_the_map(tiny_model, stripes, tmp_path):
    image = next((stripes.parent / "source" / "d" / "images").iterdir())
    result = swath.predict(tiny_model, image, tmp_path / "m.tif", review=4, confidence=True)
    assert str(tmp_path / "m_review.gpkg") in result.maps
    meta, _, wkb, columns = pyogrio.raw.read(tmp_path / "m_review.gpkg")
    assert 0 < len(wkb) <= 4 and columns[0].tolist() == list(range(1, len(wkb) + 1))
    found = uncertain_regions(tmp_path / "m_confidence.tif", 4)
    assert [round(r.wrong, 1) for r in found] == columns[1].tolist()
    alone = swath.predict(tiny_model, image, tmp_path / "n.tif", review=4)
    assert (tmp_path / "n_review.gpkg").exists() and not (tmp_path / "n_confidence.tif").exists()
    assert len(alone.maps) == 2
