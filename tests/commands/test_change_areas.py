"""Areas of change from points: the published example, intervals, and what the map never shows."""

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely

import swath
from swath.errors import DataError, UsageError
from swath.evaluation.strata import POSSIBLE, Strata
from tests.errors import fails
from tests.make import NORTH_UP, UTM, truncate
from tests.mapping.change.made import two_dates, write_date


def fill(points, old, new):
    """Write the true classes (codes of both dates) into the columns of a sample."""
    meta, _, wkb, columns = pyogrio.raw.read(points)
    read = dict(zip(meta["fields"], columns, strict=True))
    rows, cols = read["row"].astype(int), read["column"].astype(int)
    path = points.with_name("filled.gpkg")
    values = [np.array([str(v) for v in one[rows, cols]], object) for one in (old, new)]
    names = ["reference_old", "reference_new"]
    kind = {"geometry_type": "Point", "driver": "GPKG"}
    pyogrio.raw.write(path, wkb, values, names, crs=meta["crs"], **kind)
    return path


def test_the_published_example_with_strata_of_change(tmp_path):
    """Olofsson et al. 2014, tables 8 and 9: 10 000 pixels of 90 ha stand for 10 million of 0.09."""
    # Class 1 is forest, 2 is other land.
    pairs = [(1, 2)] * 200 + [(2, 1)] * 150 + [(1, 1)] * 3200 + [(2, 2)] * 6450
    old, new = np.array(pairs).T.reshape(2, 100, 100)
    for name, codes in (("old", old), ("new", new)):
        path = tmp_path / f"{name}.tif"
        write_date(path, codes, crs=None, transform=None, names=("forest", "other"))
    side = (0.09 * 10_000 * 1000) ** 0.5
    change = tmp_path / "c.tif"
    swath.change(tmp_path / "old.tif", tmp_path / "new.tif", change, shift=0, pixel=side)
    seen = {(1, 2): (66, 0, 5, 4), (2, 1): (0, 55, 8, 12), (1, 1): (1, 0, 153, 11)}
    seen[2, 2] = (2, 1, 9, 313)
    reference = [(1, 2), (2, 1), (1, 1), (2, 2)]
    points, values = [], []
    for pair, counts in seen.items():
        rows, cols = np.nonzero((old == pair[0]) & (new == pair[1]))
        at = iter(zip(rows, cols, strict=True))
        for true, count in zip(reference, counts, strict=True):
            for _ in range(count):
                row, col = next(at)
                points.append(shapely.Point(col + 0.5, row + 0.5))
                values.append(true)
    layer = tmp_path / "p.gpkg"
    names = np.array(["", "forest", "Other"], object)
    columns = [names[np.array(values)[:, i]] for i in (0, 1)]
    kind = {"geometry_type": "Point", "driver": "GPKG"}
    pyogrio.raw.write(
        layer, shapely.to_wkb(points), columns, ["reference_old", "reference_new"], **kind
    )
    result = swath.area(change, reference=layer, pixel=side)
    found = {c.name: c for c in result.classes}
    for name, mapped, area, edge, users, producers in (
        ("forest to other", 18_000, 21_158, 6_158, 0.88, 0.75),
        ("other to forest", 13_500, 11_686, 3_756, 0.73, 0.85),
        ("forest (no change)", 288_000, 285_770, 15_510, 0.93, 0.93),
        ("other (no change)", 580_500, 581_386, 16_282, 0.96, 0.96),
    ):
        c = found[name]
        assert c.mapped == pytest.approx(mapped)
        assert c.area == pytest.approx(area, abs=0.5)
        assert (c.interval[1] - c.interval[0]) / 2 == pytest.approx(edge, abs=1)
        assert (c.users, c.producers) == pytest.approx((users, producers), abs=0.005)
    assert result.overall == pytest.approx(0.947, abs=0.0005)
    change, same = result.change
    assert (change.name, same.name) == ("change", "no change")
    assert change.area == pytest.approx(21_158 + 11_686, abs=1)
    assert change.checked == 150 and change.users == pytest.approx(
        (18_000 * 66 / 75 + 13_500 * 55 / 75) / 31_500
    )


def test_points_of_possible_changes_find_what_the_map_misses(tmp_path):
    old, new = two_dates(tmp_path, size=384)
    change, points = tmp_path / "c.tif", tmp_path / "p.gpkg"
    swath.change(tmp_path / "old.tif", tmp_path / "new.tif", change)
    result = swath.sample(change, points, n=600)
    assert result.warnings == []
    assert result.columns == ["reference_old", "reference_new"] and result.n == 600
    assert sorted(result.classes.values())[1] >= 30 and result.classes[POSSIBLE] >= 30
    found = swath.area(change, reference=fill(points, old + 1, new + 1))
    hectare = 0.01 / 0.9996**2
    true = (old != new).sum() * hectare
    low, high = found.change[0].interval
    assert low <= true <= high and high - low < 2 * true
    assert 0.2 < found.change[0].producers < 1 and found.change[1].users > 0.98
    assert sum(c.area for c in found.classes) == pytest.approx(old.size * hectare, rel=1e-4)
    assert np.sum(found.matrix) == 600
    # Damaged percents are named, not the map.
    truncate(tmp_path / "c_confidence.tif", 0.9)
    with fails("unreadable", DataError, tmp_path / "c_confidence.tif"):
        swath.area(change, reference=points)
    # Without the percents the strata are unknown: an error, not other strata.
    (tmp_path / "c_confidence.tif").unlink()
    for command in (
        lambda: swath.area(change, reference=points),
        lambda: swath.sample(change, tmp_path / "q.gpkg"),
    ):
        with fails("no-such-file", DataError, tmp_path / "c_confidence.tif"):
            command()


def test_a_transition_that_is_seen_and_never_mapped_has_an_area(tmp_path):
    old = np.ones((100, 100), int)
    old[:, 50:] = 2
    new = old.copy()
    new[:20, :20] = 2
    for name, codes in (("old", old), ("new", new)):
        write_date(tmp_path / f"{name}.tif", codes)
    swath.change(tmp_path / "old.tif", tmp_path / "new.tif", tmp_path / "c.tif")
    swath.sample(tmp_path / "c.tif", tmp_path / "p.gpkg", n=200)
    true = new.copy()
    true[:, 90:] = 3
    found = swath.area(
        tmp_path / "c.tif", reference=fill(tmp_path / "p.gpkg", old, true), field="reference"
    )
    area = {c.name: c for c in found.classes}["forest to field"]
    assert area.mapped == 0 and area.checked == 0 and area.users is None and area.producers == 0
    assert area.interval[0] <= 10.008 <= area.interval[1]


def test_a_dataset_is_no_reference_of_a_change(tmp_path, stripes, monkeypatch):
    maps = [write_date(tmp_path / f"{name}.tif", np.ones((40, 40))) for name in ("old", "new")]
    swath.change(*maps, tmp_path / "c.tif")
    monkeypatch.setattr(Strata, "measure", lambda *_: pytest.fail("measured"))
    with fails("option-conflict", UsageError, stripes):
        swath.area(tmp_path / "c.tif", reference=stripes)


def test_few_points_for_many_strata_are_told(tmp_path):
    two_dates(tmp_path, size=256)
    change = tmp_path / "c.tif"
    swath.change(tmp_path / "old.tif", tmp_path / "new.tif", change)
    result = swath.sample(change, tmp_path / "p.gpkg", n=60)
    assert result.n == 60 and any("-n" in text for text in result.warnings)
    plain = swath.sample(tmp_path / "old.tif", tmp_path / "q.gpkg", n=90, least=25)
    assert min(plain.classes.values()) >= 25 and plain.columns == ["reference"]
    with fails("too-few-points", UsageError):
        swath.sample(change, tmp_path / "r.gpkg", n=4)


def test_both_columns_are_to_be_filled(tmp_path):
    old = np.ones((40, 40), int)
    old[:, 20:] = 2
    for name, codes in (("old", old), ("new", old[:, ::-1])):
        write_date(tmp_path / f"{name}.tif", codes)
    change, points = tmp_path / "c.tif", tmp_path / "p.gpkg"
    swath.change(tmp_path / "old.tif", tmp_path / "new.tif", change)
    swath.sample(change, points, n=60)
    with fails("empty-class", DataError, points):
        swath.area(change, reference=points)
    with fails("unknown-class", DataError):
        swath.area(change, reference=fill(points, old, old * 7))
    with rasterio.open(change) as file:
        assert file.crs == UTM and file.transform == NORTH_UP
