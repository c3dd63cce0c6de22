"""Maps of two dates: what became what, how sure that is, and what is refused."""

import csv
import xml.etree.ElementTree as ET

import numpy as np
import pyogrio
import pytest
import rasterio
from rasterio.transform import from_origin

import swath
from swath.errors import DataError, JobError, UsageError
from swath.io.map_reader import MapFile
from swath.io.qgis import read_style
from swath.mapping.change import plan
from swath.mapping.change.tiles import ChangeWorker
from swath.transitions import Transitions
from tests.errors import fails
from tests.make import NORTH_UP, UTM, noise, write_raster
from tests.mapping.change.made import NAMES, f1, two_dates, write_date

BAND = (
    '<VRTRasterBand dataType="Byte" band="{0}"><SimpleSource><SourceFilename relativeToVRT="1">'
    "{{0}}</SourceFilename><SourceBand>{0}</SourceBand></SimpleSource></VRTRasterBand>"
)
VRT = (
    '<VRTDataset rasterXSize="40" rasterYSize="40">'
    + "".join(BAND.format(i) for i in (1, 2, 3))
    + "</VRTDataset>"
)
HECTARE = 0.01 / 0.9996**2  # of a pixel of 10 m in the plane, at the central meridian of UTM


def pixels(path):
    with rasterio.open(path) as file:
        return file.read(1)


def plain(folder, old, new, **extra):
    """Write two maps without probabilities, of indices (255 without data)."""
    for name, one in (("old", old), ("new", new)):
        write_date(folder / f"{name}.tif", np.where(one == 255, 0, one + 1), **extra)
    return folder / "old.tif", folder / "new.tif"


def test_hectares_and_codes_of_maps_without_errors(tmp_path):
    old = np.zeros((100, 120), int)
    old[:, 60:] = 1
    new = old.copy()
    new[10:30, 10:30] = 2
    new[50:60, 70:100] = 0
    old[90:, :20] = 255
    new[95:, 10:40] = 255
    one, other = plain(tmp_path, old, new)
    table, layer = tmp_path / "c.csv", tmp_path / "c.gpkg"
    result = swath.change(one, other, tmp_path / "c.tif", table=table, polygons=layer)
    found = {(t.old, t.new): t.pixels for t in result.transitions}
    assert found[("water", "field")] == 400 and found[("forest", "water")] == 300
    assert result.changed == 700 and result.differ == 700
    assert result.hectares == pytest.approx(700 * HECTARE, rel=1e-4)
    assert (result.old_only, result.new_only) == (100, 150)
    assert result.prior is None and any("--probabilities" in text for text in result.warnings)
    assert result.transitions[0].confidence is None
    codes = pixels(tmp_path / "c.tif")
    assert codes.dtype == np.uint8 and codes[15, 15] == 13 and codes[0, 0] == 11
    assert (codes[95:, :40] == 0).all() and codes[55, 80] == 21
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["from"], r["to"], r["code"], r["pixels"]) for r in rows[:2]] == [
        ("water", "field", "13", "400"),
        ("forest", "water", "21", "300"),
    ]
    meta, _, _, columns = pyogrio.raw.read(layer)
    read = dict(zip(meta["fields"], columns, strict=True))
    assert list(read["from"]) == ["water", "forest"] and list(read["to"]) == ["field", "water"]
    assert list(read["hectares"]) == pytest.approx([4 * 1.0008, 3 * 1.0008], rel=1e-3)
    assert result.polygons == 2


def test_a_map_of_change_names_its_codes_for_qgis_and_for_swath(tmp_path):
    old = np.arange(60 * 60).reshape(60, 60) % 60 // 20
    new = old.copy()
    new[:30, :10] = 1
    swath.change(*plain(tmp_path, old, new), tmp_path / "c.tif")
    style = read_style(tmp_path / "c.tif")
    assert style[12][0] == "water to forest" and style[11][0] == "water (no change)"
    with rasterio.open(tmp_path / "c.tif") as file:
        red, green, blue, _ = file.colormap(1)[12]
        tags = file.tags(1)
    assert style[12][1] == f"#{red:02X}{green:02X}{blue:02X}"
    assert Transitions.of_tags(tags).split(12) == (0, 1)
    with MapFile(tmp_path / "c.tif") as file:
        assert file.legend.names[0] == "water (no change)"
        assert {c.map_code for c in file.legend.trained} == {11, 12, 22, 33}
    table = ET.parse(tmp_path / "c.tif.aux.xml").find(".//GDALRasterAttributeTable")
    names = [f.findtext("Name") for f in table.iter("FieldDefn")]
    rows = [[f.text for f in row.iter("F")] for row in table.iter("Row")]
    first = dict(zip(names, rows[0], strict=True))
    assert (first["Value"], first["Count"], first["From"], first["To"]) == (
        *("12", "300"),
        *("water", "forest"),
    )
    assert [f.findtext("Usage") for f in table.iter("FieldDefn")][:3] == ["5", "1", "2"]


def test_probabilities_tell_change_from_flicker(tmp_path):
    old, new = two_dates(tmp_path, size=384)
    result = swath.change(tmp_path / "old.tif", tmp_path / "new.tif", tmp_path / "c.tif")
    true = old != new
    codes = pixels(tmp_path / "c.tif")
    differing = pixels(tmp_path / "old.tif") != pixels(tmp_path / "new.tif")
    assert f1(codes // 10 != codes % 10, true) > 2 * f1(differing, true)
    assert result.prior == pytest.approx(true.mean(), rel=0.4) and result.estimated
    assert result.unsure > 0.8 * result.differ == 0.8 * differing.sum()
    assert result.at_least == 0.8
    sure = pixels(tmp_path / "c_confidence.tif")
    assert (sure[codes // 10 != codes % 10] >= 80).all() and sure.max() <= 100
    # Where neither date is sure, unchanged pixels get the likelier class of both.
    agreed = (codes // 10 - 1 == old)[~true].mean()
    assert agreed > ((pixels(tmp_path / "old.tif") - 1) == old)[~true].mean() + 0.02
    stricter = swath.change(
        tmp_path / "old.tif", tmp_path / "new.tif", tmp_path / "c.tif", at_least=0.99
    )
    assert 0 < stricter.changed < result.changed
    given = swath.change(
        tmp_path / "old.tif", tmp_path / "new.tif", tmp_path / "c.tif", prior=0.0001
    )
    assert given.prior == pytest.approx(0.0001) and not given.estimated
    assert given.changed < result.changed
    assert not [text for text in result.warnings if "--prior" in text]


def test_differences_that_all_count_as_errors_are_told(tmp_path):
    two_dates(tmp_path, size=256, share=0, separation=1.2)
    result = swath.change(tmp_path / "old.tif", tmp_path / "new.tif", tmp_path / "c.tif")
    assert result.differ > 0.1 * 256**2 and result.changed < 0.02 * result.differ
    assert any("--prior" in text for text in result.warnings)


def test_confidence_alone_serves_and_one_bare_map_is_taken_as_certain(tmp_path):
    old, new = two_dates(tmp_path, size=384)
    true, folder = old != new, tmp_path
    differing = pixels(folder / "old.tif") != pixels(folder / "new.tif")
    for name in ("old", "new"):
        percents = folder / f"{name}_probabilities.tif"
        with rasterio.open(percents) as file:
            best = file.read().max(axis=0)
        percents.unlink()
        write_raster(folder / f"{name}_confidence.tif", best, UTM, NORTH_UP, nodata=255)
    result = swath.change(folder / "old.tif", folder / "new.tif", folder / "c.tif")
    codes = pixels(folder / "c.tif")
    assert f1(codes // 10 != codes % 10, true) > 2 * f1(differing, true)
    write_date(folder / "old.tif", old + 1)
    (folder / "old_confidence.tif").unlink()
    result = swath.change(folder / "old.tif", folder / "new.tif", folder / "c.tif")
    codes = pixels(folder / "c.tif")
    assert f1(codes // 10 != codes % 10, true) > 0.8
    assert [text for text in result.warnings if "taken as certain" in text and "old.tif" in text]


def test_a_shift_of_two_pixels_is_not_change(tmp_path):
    old, new = two_dates(tmp_path, size=384, share=0.001, shift=2)
    results = [
        swath.change(tmp_path / "old.tif", tmp_path / "new.tif", tmp_path / f"c{s}.tif", shift=s)
        for s in (0, 2)
    ]
    assert results[1].shifted > 0 == results[0].shifted
    assert results[1].changed < 0.3 * results[0].changed


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_and_interruptions_change_no_byte(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(plan, "TILE_VALUES", 1)  # tiles of 128 pixels
    two_dates(tmp_path, size=300)
    files = ("c.tif", "c_confidence.tif", "c.tif.aux.xml", "c.qml")
    names = [tmp_path / name for name in ("old.tif", "new.tif", "c.tif")]
    swath.change(*names)
    once = [(tmp_path / name).read_bytes() for name in files]
    make, made = ChangeWorker.make, []

    def stopping(self, core):
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(core)
        return make(self, core)

    monkeypatch.setattr(ChangeWorker, "make", stopping)
    (tmp_path / "c.tif").unlink()
    with pytest.raises(KeyboardInterrupt):
        swath.change(*names)
    parts = tmp_path / "c.tif.change-parts"
    assert len(list(parts.glob("*/*.part"))) == 4 and not (tmp_path / "c.tif").exists()
    with fails("other-work", JobError):
        swath.change(*names, at_least=0.9)
    monkeypatch.setattr(ChangeWorker, "make", make)
    swath.change(*names, workers=workers)
    assert [(tmp_path / name).read_bytes() for name in files] == once
    assert not parts.exists()


def test_a_changed_map_is_not_continued(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "TILE_VALUES", 1)
    old, _ = two_dates(tmp_path, size=200)
    names = [tmp_path / name for name in ("old.tif", "new.tif", "c.tif")]
    made, make = [], ChangeWorker.make

    def stopping(self, core):
        if made:
            raise KeyboardInterrupt
        made.append(core)
        return make(self, core)

    with monkeypatch.context() as patch:
        patch.setattr(ChangeWorker, "make", stopping)
        with pytest.raises(KeyboardInterrupt):
            swath.change(*names)
    write_date(names[0], old % 2 + 1)
    with fails("other-work", JobError) as caught:
        swath.change(*names)
    assert "--restart" in caught.value.fix
    (tmp_path / "old_probabilities.tif").unlink()
    assert swath.change(*names, restart=True).differ > 0


def test_another_grid_is_brought_onto_the_first_and_said(tmp_path):
    old = np.zeros((80, 80), int)
    old[:, 40:] = 1
    new = old.copy()
    new[20:40, 20:40] = 2
    write_date(tmp_path / "old.tif", old + 1)
    coarse = new[::2, ::2]
    write_date(tmp_path / "new.tif", coarse + 1, transform=from_origin(500_000, 5_600_000, 20, 20))
    result = swath.change(tmp_path / "old.tif", tmp_path / "new.tif", tmp_path / "c.tif")
    assert result.changed == 400 and any("nearest" in text for text in result.warnings)
    (tmp_path / "c.tif").unlink()
    # Half as far: what the new map does not cover has no data.
    write_date(tmp_path / "new.tif", new[:, :40] + 1)
    result = swath.change(tmp_path / "old.tif", tmp_path / "new.tif", tmp_path / "c.tif")
    assert result.old_only == 80 * 40 and result.changed == 400
    assert any("nearest" in text for text in result.warnings)


def test_maps_that_do_not_fit_each_other_are_refused(tmp_path):
    codes = np.ones((64, 64), int)
    old = write_date(tmp_path / "old.tif", codes)
    new, out = tmp_path / "new.tif", tmp_path / "c.tif"
    write_date(new, codes, names=("water", "forest", "town"))
    with fails("classes-differ", DataError, new) as caught:
        swath.change(old, new, out)
    assert "--classes" in caught.value.fix
    write_date(new, codes, transform=from_origin(700_000, 5_600_000, 10, 10))
    with fails("no-overlap", DataError, new):
        swath.change(old, new, out)
    write_date(new, codes, crs=None)
    with fails("crs-missing", DataError, new) as caught:
        swath.change(old, new, out)
    assert f"rio edit-info {new} --crs EPSG:32632" in caught.value.fix
    write_date(new, np.full((64, 64), 9))
    with fails("unknown-code", DataError, new):
        swath.change(old, new, out)
    write_date(old, codes, crs=None, transform=None)
    write_date(new, np.ones((32, 32)), crs=None, transform=None)
    with fails("grid-mismatch", DataError, new):
        swath.change(old, new, out)
    write_date(old, codes)
    write_date(new, np.zeros((64, 64)))
    with fails("no-overlap", DataError, new) as caught:
        swath.change(old, new, out)
    assert str(old) in caught.value.message
    write_raster(new, np.ones((3, 64, 64), np.uint8), UTM, NORTH_UP)
    with fails("not-a-class-map", DataError, new):
        swath.change(old, new, out)
    assert not out.exists() and not list(tmp_path.glob("*parts*"))


def test_probabilities_of_another_map_are_refused(tmp_path):
    two_dates(tmp_path, size=128)
    names = [tmp_path / name for name in ("old.tif", "new.tif", "c.tif")]
    percents = tmp_path / "old_probabilities.tif"
    with rasterio.open(percents) as file:
        seen = file.read()
    write_raster(percents, seen[::-1], UTM, NORTH_UP, nodata=255, descriptions=list(NAMES))
    with fails("other-map", DataError, percents):
        swath.change(*names)
    write_raster(percents, seen, UTM, NORTH_UP, nodata=255, descriptions=["a", "b", "c"])
    with fails("band-mismatch", DataError, percents):
        swath.change(*names)
    alike = ["WATER", " forest", "field"]
    write_raster(percents, seen, UTM, NORTH_UP, nodata=255, descriptions=alike)
    assert swath.change(*names).prior is not None
    moved = from_origin(0, 0, 10, 10)
    write_raster(percents, seen, UTM, moved, nodata=255, descriptions=list(NAMES))
    with fails("grid-mismatch", DataError, percents):
        swath.change(*names)


@pytest.mark.parametrize("kind", ["confidence", "probabilities"])
def test_percents_of_an_earlier_map_are_refused(tiny_model, tmp_path, kind):
    image = write_raster(tmp_path / "i.tif", noise(3, 90, 90), UTM, NORTH_UP)
    later = write_raster(tmp_path / "j.tif", noise(3, 90, 90, seed=1), UTM, NORTH_UP)
    names = [tmp_path / name for name in ("old.tif", "new.tif", "c.tif")]
    swath.predict(tiny_model, image, names[0], **{kind: True})
    swath.predict(tiny_model, later, names[1], **{kind: True})
    swath.change(*names)
    # Predicted once more with other numbers, without the percents.
    assert swath.predict(tiny_model, image, names[1]).warnings[-1].count(f"new_{kind}.tif") == 1
    with fails("other-map", DataError, tmp_path / f"new_{kind}.tif") as caught:
        swath.change(*names)
    assert f"--{kind}" in caught.value.fix
    swath.predict(tiny_model, image, names[1], **{kind: True})
    assert swath.change(*names).differ == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("map_2020.tif", "map_2015.tif", 1),
        ("map_2015.tif", "map_2020.tif", 0),
        ("m_2020-07.tif", "m_2020.tif", 0),
        ("a.tif", "m_2020.tif", 0),
    ],
)
def test_maps_in_the_order_of_no_dates_are_told(tmp_path, old, new, said):
    plain(tmp_path, np.zeros((40, 40), int), np.ones((40, 40), int))
    for name, wanted in (("old.tif", old), ("new.tif", new)):
        (tmp_path / name).rename(tmp_path / wanted)
    result = swath.change(tmp_path / old, tmp_path / new, tmp_path / "c.tif")
    assert sum("other order" in text for text in result.warnings) == said


def test_options_that_cannot_be_heeded_are_refused(tmp_path):
    old, new = plain(tmp_path, np.zeros((40, 40), int), np.ones((40, 40), int))
    for option in ({"at_least": 0.9}, {"prior": 0.1}):
        with fails("no-probabilities", UsageError):
            swath.change(old, new, tmp_path / "c.tif", **option)
    with fails("output-is-input", UsageError):
        swath.change(old, new, old)
    with fails("file-extension", UsageError):
        swath.change(old, new, tmp_path / "c.png")
    with fails("file-extension", UsageError):
        swath.change(old, new, tmp_path / "c.tif", table=tmp_path / "c.xlsx")
    with fails("file-extension", UsageError):
        swath.change(old, new, tmp_path / "c.tif", polygons=tmp_path / "c.shp")
    with fails("option-value", UsageError):
        swath.change(old, new, tmp_path / "c.tif", at_least=0)
    assert {p.name for p in tmp_path.iterdir()} == {"old.tif", "new.tif"}


def test_a_class_file_joins_the_classes_of_both_maps(tmp_path):
    old = write_date(tmp_path / "old.tif", [[1, 1, 2, 3]] * 4)
    new = write_date(tmp_path / "new.tif", [[1, 2, 4, 5]] * 4, names=("a", "b", "c", "d", "e"))
    one = tmp_path / "old.yaml"
    one.write_text("- {name: wet, code: 1}\n- {name: dry, code: [2, 3]}\n")
    other = tmp_path / "new.yaml"
    other.write_text("- {name: dry, code: [2, 3, 4]}\n- {name: wet, code: [1, 5]}\n")
    result = swath.change(old, new, tmp_path / "c.tif", classes=[one, other], shift=0)
    assert pixels(tmp_path / "c.tif")[0].tolist() == [11, 12, 22, 21]
    assert result.classes == ["wet", "dry"]
    with fails("unknown-code", DataError, new):
        swath.change(old, new, tmp_path / "c.tif", classes=one)
    other.write_text("- {name: moist, code: [1, 2, 3, 4, 5]}\n")
    with fails("classes-differ", DataError, other):
        swath.change(old, new, tmp_path / "c.tif", classes=[one, other])
    with fails("option-conflict", UsageError):
        swath.change(old, new, tmp_path / "c.tif", classes=[one, other, one])


def test_joined_classes_have_the_sum_of_their_probabilities(tmp_path):
    old, new = two_dates(tmp_path, size=256)
    table = tmp_path / "classes.yaml"
    table.write_text("- {name: water, code: 1}\n- {name: land, code: [2, 3]}\n")
    names = [tmp_path / name for name in ("old.tif", "new.tif", "c.tif")]
    result = swath.change(*names, classes=table)
    true = (old == 0) != (new == 0)
    codes = pixels(tmp_path / "c.tif")
    seen = [pixels(tmp_path / name) == 1 for name in ("old.tif", "new.tif")]
    assert f1(codes // 10 != codes % 10, true) > 2 * f1(seen[0] != seen[1], true)
    assert result.classes == ["water", "land"]
    assert result.prior == pytest.approx(true.mean(), rel=0.5)


def test_maps_without_a_place_have_pixels_and_no_hectares(tmp_path):
    old, new = plain(
        *(tmp_path, np.zeros((40, 40), int), np.ones((40, 40), int)), crs=None, transform=None
    )
    result = swath.change(old, new, tmp_path / "c.tif")
    assert result.hectares is None and result.transitions[0].pixels == 1600
    assert any("--pixel" in text for text in result.warnings)
    table = tmp_path / "c.tif.aux.xml"
    assert str(table) in result.files and "Hectares" not in table.read_text()
    result = swath.change(old, new, tmp_path / "c.tif", pixel=10)
    assert result.hectares == pytest.approx(16)
    row = [f.text for f in next(ET.parse(table).iter("Row")).iter("F")]
    fields = [f.text for f in ET.parse(table).iter("Name")]
    assert float(dict(zip(fields, row, strict=True))["Hectares"]) == 16


def test_more_transitions_than_later_commands_take_are_told(tmp_path):
    classes = np.arange(1, 19).repeat(18)[None]
    names = [f"c{i}" for i in range(1, 19)]
    maps = [write_date(tmp_path / "old.tif", classes, names=names)]
    maps += [write_date(tmp_path / "new.tif", np.tile(np.arange(1, 19), 18)[None], names=names)]
    result = swath.change(*maps, tmp_path / "c.tif", shift=0)
    assert len(result.transitions) == 324
    assert any("324 transitions" in text and "--classes" in text for text in result.warnings)


@pytest.mark.parametrize(("given", "used"), [(0.004, 0.01), (0.991, 1), (0.55, 0.55), (0.07, 0.07)])
def test_the_probability_of_change_is_rounded_up_to_percent(tmp_path, given, used):
    two_dates(tmp_path, size=64)
    maps = tmp_path / "old.tif", tmp_path / "new.tif"
    result = swath.change(*maps, tmp_path / "c.tif", at_least=given)
    assert result.at_least == used and result.changed < 64 * 64


def test_many_classes_have_codes_of_their_places(tmp_path):
    names = [f"c{i}" for i in range(1, 13)]
    old, new = np.arange(1, 13).repeat(5)[None], np.roll(np.arange(1, 13), 1).repeat(5)[None]
    write_date(tmp_path / "old.tif", old, names=names)
    write_date(tmp_path / "new.tif", new, names=names)
    swath.change(tmp_path / "old.tif", tmp_path / "new.tif", tmp_path / "c.tif", shift=0)
    codes = pixels(tmp_path / "c.tif")[0]
    assert codes.dtype == np.uint8 and codes[5] == 2 * 16 + 1
    with rasterio.open(tmp_path / "c.tif") as file:
        assert Transitions.of_tags(file.tags(1)).split(int(codes[5])) == (1, 0)


def test_a_model_never_writes_over_its_images(tmp_path, tiny_model):
    names = ("a.tif", "c_old.tif", "c_new_probabilities.tif")
    images = [write_raster(tmp_path / name, noise(3, 40, 40), UTM, NORTH_UP) for name in names]
    before = [path.read_bytes() for path in images]
    linked = tmp_path / "linked.vrt"
    linked.write_text(VRT.format("c_old.tif"))
    for image, target in [(images[0], images[0]), *((i, tmp_path / "c.tif") for i in images[1:])]:
        with fails("output-is-input", UsageError, image):
            swath.change(tiny_model, images[0], image, [target])
    with fails("output-is-input", UsageError, images[1]):
        swath.change(tiny_model, images[0], linked, [tmp_path / "c.tif"])
    clash = {"polygons": tmp_path / "d.gpkg", "table": tmp_path / "d.csv"}
    clash["table"].symlink_to(clash["polygons"])
    with fails("same-output", UsageError):
        swath.change(tiny_model, images[0], images[0], [tmp_path / "d.tif"], **clash)
    assert [path.read_bytes() for path in images] == before


def test_an_interrupted_comparison_of_a_model_goes_on(tmp_path, tiny_model, monkeypatch):
    monkeypatch.setattr(plan, "TILE_VALUES", 1)
    images = [
        write_raster(tmp_path / f"{i}.tif", noise(3, 200, 200, seed=i), UTM, NORTH_UP)
        for i in range(2)
    ]
    swath.change(tiny_model, *images, [tmp_path / "once.tif"])
    make, made = ChangeWorker.make, []

    def counted(self, core):
        made.append(core)
        return make(self, core)

    def stopping(self, core):
        if len(made) == 2:
            raise KeyboardInterrupt
        return counted(self, core)

    monkeypatch.setattr(ChangeWorker, "make", stopping)
    with pytest.raises(KeyboardInterrupt):
        swath.change(tiny_model, *images, [tmp_path / "c.tif"])
    made.clear()
    monkeypatch.setattr(ChangeWorker, "make", counted)
    swath.change(tiny_model, *images, [tmp_path / "c.tif"])
    assert len(made) == 2  # of four tiles
    assert (tmp_path / "c.tif").read_bytes() == (tmp_path / "once.tif").read_bytes()
    assert not list(tmp_path.glob("*parts"))


def test_maps_that_share_a_few_pixels_are_compared_there(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "SAMPLE_WINDOWS", 2)
    monkeypatch.setattr(plan, "SAMPLE_SIDE", 16)
    for name, place in (("old", slice(30, 50)), ("new", slice(40, 60)), ("far", slice(70, 80))):
        shares = np.full((3, 96, 96), 255, np.uint8)
        shares[:, place] = np.array([90, 5, 5], np.uint8)[:, None, None]
        codes = np.zeros((96, 96), np.uint8)
        codes[place] = 1
        write_date(tmp_path / f"{name}.tif", codes, shares)
    result = swath.change(tmp_path / "old.tif", tmp_path / "new.tif", tmp_path / "c.tif")
    assert sum(t.pixels for t in result.transitions) == 10 * 96 and result.changed == 0
    with fails("no-overlap", DataError, tmp_path / "far.tif"):
        swath.change(tmp_path / "old.tif", tmp_path / "far.tif", tmp_path / "d.tif")


def test_confidence_that_is_not_in_percent_is_refused(tmp_path):
    old, new = plain(tmp_path, np.zeros((40, 40), int), np.ones((40, 40), int))
    sure = tmp_path / "old_confidence.tif"
    write_raster(sure, np.full((40, 40), 0.9, np.float32), UTM, NORTH_UP)
    with fails("not-confidence", DataError, sure):
        swath.change(old, new, tmp_path / "c.tif")


def test_confidence_is_found_beside_a_map_of_another_ending(tmp_path):
    two_dates(tmp_path, size=64)
    for name in ("old", "new"):
        (tmp_path / f"{name}.tif").rename(tmp_path / f"{name}.tiff")
    result = swath.change(tmp_path / "old.tiff", tmp_path / "new.tiff", tmp_path / "c.tiff")
    assert result.prior is not None and (tmp_path / "c_confidence.tif").is_file()


def test_a_model_maps_both_images_first(tmp_path, tiny_model):
    image = write_raster(tmp_path / "old-scene.tif", noise(3, 96, 96), UTM, NORTH_UP)
    other = write_raster(tmp_path / "new-scene.tif", noise(3, 96, 96, seed=1), UTM, NORTH_UP)
    result = swath.change(tiny_model, image, other, [tmp_path / "c.tif"])
    maps = [tmp_path / "c_old.tif", tmp_path / "c_new.tif"]
    assert all(path.is_file() for path in maps) and result.prior is not None
    assert not list(tmp_path.glob("*parts"))
    again = swath.change(*maps, tmp_path / "again.tif")
    assert again.transitions == result.transitions
    assert (tmp_path / "again.tif").read_bytes() == (tmp_path / "c.tif").read_bytes()
    with fails("option-conflict", UsageError):
        swath.change(tiny_model, image, tmp_path / "c.tif")
    with fails("option-conflict", UsageError):
        swath.change(*maps, tmp_path / "d.tif", tmp_path / "c.tif")
