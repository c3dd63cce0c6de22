"""Maps of several dates: consistent series, dates of change, and what is refused."""

import numpy as np
import pytest
import rasterio

import swath
from swath.errors import DataError, JobError, UsageError
from swath.io.map_reader import MapFile
from swath.io.qgis import read_style
from swath.mapping.change import plan
from swath.mapping.change.series import SeriesWorker
from swath.transitions import Transitions
from tests.errors import fails
from tests.make import NORTH_UP, UTM, write_raster
from tests.mapping.change.made import f1, percents, write_date

YEARS = (2016, 2018, 2020, 2022)


def pixels(path):
    with rasterio.open(path) as file:
        return file.read(1)


def series(folder, stack, **extra):
    """Write maps without probabilities, of indices (255 without data)."""
    stack = np.asarray(stack)
    return [
        write_date(folder / f"m{year}.tif", np.where(one == 255, 0, one + 1), **extra)
        for year, one in zip(YEARS, stack, strict=False)
    ]


def run(maps, out, **options):
    return swath.change(*maps[:3], [*maps[3:], out], dates=True, **options)


def flickering(size=64):
    """Return four dates of three classes: one change that stays, flicker, and data missing."""
    stack = np.zeros((4, size, size), int)
    stack[:, :, size // 2 :] = 1
    stack[1:, 8:20, 8:20] = 2
    stack[1, 40, 5:25:4] = 2
    stack[2, 44, 5:25:4] = 1
    stack[3, :, -4:] = 255
    stack[1, 10:14, 10:14] = 255
    stack[:, -2:, :2] = 255
    return stack


def test_flicker_is_smoothed_and_change_is_kept(tmp_path):
    stack = flickering()
    result = run(series(tmp_path, stack), tmp_path / "c.tif", accuracy=0.9)
    found = np.stack([pixels(tmp_path / f"c_{year}.tif") for year in YEARS])
    wanted = stack + 1
    wanted[1, 40] = wanted[0, 40]
    wanted[2, 44] = wanted[0, 44]
    wanted[3, :, -4:] = 2  # no data at one date is no class
    wanted[1, 10:14, 10:14] = 1  # a change is dated where it is seen
    wanted[:, -2:, :2] = 0
    assert (found == wanted).all()
    first, last = (pixels(tmp_path / f"c_{name}_change.tif") for name in ("first", "last"))
    assert (first[8, 8], first[11, 11], first[0, 0], first[-1, 0]) == (2, 3, 0, 255)
    assert (first == last).all()
    counts = pixels(tmp_path / "c_changes.tif")
    assert counts[8, 8] == 1 and counts[40, 5] == 0 and counts[-1, 0] == 255
    codes = pixels(tmp_path / "c.tif")
    assert codes[8, 8] == 13 and codes[40, 5] == 11 and codes[-1, 0] == 0
    assert result.counts == [64 * 64 - 4 - 144, 144, 0, 0]
    assert [row.changed for row in result.dates] == [0, 128, 16, 0]
    assert [row.date for row in result.dates] == list(map(str, YEARS))
    assert result.dates[3].data == 64 * 60 - 4 and result.dates[0].hectares == 0
    assert result.dates[1].hectares == pytest.approx(1.28, rel=0.01)
    assert result.changed == 144 and result.differ == 144 + 10
    assert result.estimated and 0 < result.prior < 0.03
    sure = pixels(tmp_path / "c_confidence.tif")
    assert sure[8, 8] >= 80 > 20 > sure[40, 5] and sure[-1, 0] == 255


def test_a_change_there_and_back_is_counted_twice(tmp_path):
    stack = np.zeros((4, 64, 64), int)
    stack[1:3, 10:30, 10:30] = 1
    for i, classes in enumerate(stack):
        one = percents(classes, i, 4.0)
        write_date(tmp_path / f"m{YEARS[i]}.tif", one.argmax(axis=0) + 1, one)
    result = run([tmp_path / f"m{year}.tif" for year in YEARS], tmp_path / "c.tif")
    assert pixels(tmp_path / "c_changes.tif")[20, 20] == 2 and result.counts[2] >= 380
    assert pixels(tmp_path / "c_first_change.tif")[20, 20] == 2
    assert pixels(tmp_path / "c_last_change.tif")[20, 20] == 4
    assert pixels(tmp_path / "c.tif")[20, 20] == 11 and result.changed < 60
    given = run([tmp_path / f"m{year}.tif" for year in YEARS], tmp_path / "d.tif", prior=0.01)
    assert given.prior == pytest.approx(0.01) and not given.estimated


def test_smoothed_maps_are_nearer_to_the_truth(tmp_path):
    rng = np.random.default_rng(0)
    true = np.kron(rng.integers(0, 3, (4, 4)), np.ones((32, 32), int))[None].repeat(4, 0)
    true[2:, 30:50, 30:50] = 2
    maps = []
    for i, one in enumerate(true):
        seen = percents(one, i, 1.8)
        maps.append(write_date(tmp_path / f"m{YEARS[i]}.tif", seen.argmax(axis=0) + 1, seen))
    run(maps, tmp_path / "c.tif")
    before = np.mean([pixels(path) - 1 != one for path, one in zip(maps, true, strict=True)])
    made = np.stack([pixels(tmp_path / f"c_{year}.tif") - 1 for year in YEARS])
    assert (made != true).mean() < 0.1 * before
    codes, changed = pixels(tmp_path / "c.tif"), true[0] != true[3]
    assert f1(codes // 10 != codes % 10, changed) > 0.85


def test_maps_of_dates_are_styled_and_named(tmp_path):
    result = run(series(tmp_path, flickering()), tmp_path / "c.tif")
    assert any("--accuracy" in text for text in result.warnings)
    assert read_style(tmp_path / "c_first_change.tif")[3][0] == "2020"
    assert read_style(tmp_path / "c_2018.tif")[1][0] == "water"
    with MapFile(tmp_path / "c_changes.tif") as file:
        assert file.legend.names[:2] == ["0 changes", "1 change"]
    with rasterio.open(tmp_path / "c.tif") as file:
        assert Transitions.of_tags(file.tags(1)).with_percents
    assert set(result.files) >= {
        str(tmp_path / name)
        for name in ("c_2016.tif", "c_2016.qml", "c_changes.qml", "c_confidence.tif")
    }
    assert {str(path) for path in tmp_path.glob("c*")} == set(result.files)


@pytest.mark.parametrize("workers", [2])
def test_workers_and_interruptions_change_no_byte(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(plan, "TILE_VALUES", 1)  # tiles of 128 pixels
    maps = series(tmp_path, flickering(300))
    run(maps, tmp_path / "c.tif", shift=2)
    once = {path.name: path.read_bytes() for path in tmp_path.glob("c*")}
    make, made = SeriesWorker.make, []

    def stopping(self, core):
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(core)
        return make(self, core)

    monkeypatch.setattr(SeriesWorker, "make", stopping)
    for name in once:
        (tmp_path / name).unlink()
    with pytest.raises(KeyboardInterrupt):
        run(maps, tmp_path / "c.tif", shift=2)
    assert not list(tmp_path.glob("c*.tif"))
    with fails("other-work", JobError):
        run(maps[:3], tmp_path / "c.tif", shift=2)
    monkeypatch.setattr(SeriesWorker, "make", make)
    run(maps, tmp_path / "c.tif", shift=2, workers=workers)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("c*")} == once
    monkeypatch.setattr(plan, "TILE_VALUES", 6 * 2**20)  # no tile leaves a trace
    run(maps, tmp_path / "c.tif", shift=2)
    assert (tmp_path / "c_2020.tif").read_bytes() == once["c_2020.tif"]


def test_a_border_that_moved_by_a_pixel_is_no_change(tmp_path):
    stack = np.zeros((4, 64, 64), int)
    for year, edge in enumerate((30, 30, 31, 31)):
        stack[year, :, edge:] = 1
    stack[2:, 10:20, 5:15] = stack[3, 30:34, 5:15] = 1
    stack[3, 50:54, 40:60] = 0
    options = {"accuracy": 0.99, "prior": 0.2, "at_least": 0.01}
    result = run(series(tmp_path, stack), tmp_path / "c.tif", **options)
    assert result.counts[1:] == [220, 0, 0] and result.shifted > 0
    result = run(series(tmp_path, stack), tmp_path / "c.tif", shift=0, **options)
    assert sum(result.counts[1:]) == 220 + 64


def test_series_that_do_not_fit_are_refused(tmp_path):
    stack = np.ones((4, 32, 32), int)
    maps = series(tmp_path, stack)
    out = tmp_path / "c.tif"
    with fails("option-conflict", UsageError) as caught:
        swath.change(*maps[:3], [*maps[3:], out])
    assert "--dates" in caught.value.fix
    with fails("dates-unordered", UsageError, maps[0]):
        run([maps[1], maps[0], *maps[2:]], out)
    with fails("dates-equal", UsageError, maps[1]):
        run([*maps[:2], maps[1]], out)
    write_date(maps[2], stack[2] + 1, names=("water", "forest", "town"))
    with fails("classes-differ", DataError, maps[2]):
        run(maps, out)
    write_date(maps[2], stack[2] + 1, crs=None)
    with fails("crs-missing", DataError, maps[2]):
        run(maps, out)
    write_date(maps[2], stack[2] + 1, transform=rasterio.Affine(10, 0, 9e5, 0, -10, 5e6))
    with fails("no-overlap", DataError, maps[2]):
        run(maps, out)
    write_date(maps[2], np.zeros((32, 32)))
    result = run(maps, out)
    assert result.dates[2].data == 0 and any(str(maps[2]) in text for text in result.warnings)
    write_raster(tmp_path / "m_2018.tif", np.ones((32, 32), np.uint8), UTM, NORTH_UP)
    with fails("output-is-input", UsageError, tmp_path / "m_2018.tif"):
        run([maps[0], tmp_path / "m_2018.tif", maps[3]], tmp_path / "m.tif")
    with fails("option-conflict", UsageError):
        swath.change("model.swath", *maps[1:3], out, dates=True)


def test_accuracy_serves_two_maps_too(tmp_path):
    rng = np.random.default_rng(0)
    old = np.kron(rng.integers(0, 3, (8, 8)), np.ones((32, 32), int))
    new = old.copy()
    new[40:80, 40:80] = (new[40:80, 40:80] + 1) % 3
    maps = []
    for name, one in (("old", old), ("new", new)):
        wrong = rng.random(one.shape) < 0.1
        seen = np.where(wrong, (one + rng.integers(1, 3, one.shape)) % 3, one)
        maps.append(write_date(tmp_path / f"{name}.tif", seen + 1))
    result = swath.change(*maps, tmp_path / "c.tif", accuracy=0.9)
    assert result.prior == pytest.approx((old != new).mean(), rel=0.3)
    assert result.differ > 10_000 and 1200 < result.changed < 2200


def test_the_style_of_an_input_is_not_replaced(tmp_path):
    maps = series(tmp_path, np.ones((2, 32, 32), int))
    style = tmp_path / "m2016.qml"
    style.write_text("<qgis author='swath'/>")
    (tmp_path / "m2016.tif").rename(tmp_path / "m2016.tiff")
    with fails("output-is-input", UsageError, style):
        swath.change(tmp_path / "m2016.tiff", maps[1], tmp_path / "m2016.tif")
    assert style.read_text() == "<qgis author='swath'/>"
