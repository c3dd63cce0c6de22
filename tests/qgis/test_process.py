"""Each algorithm by `qgis_process`, without a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio

from swath.models.model import Model
from tests.make import NORTH_UP, UTM, box, write_layer, write_raster
from tests.networks import NAMES, RGB, local
from tests.qgis.conftest import Qgis


def test_the_provider_lists_its_algorithms(qgis: Qgis) -> None:
    said = qgis.process("list")
    listed = {line.split()[0] for line in said.stdout.splitlines() if "\tswath:" in line}
    assert {
        f"swath:{n}" for n in ("inspect", "train", "map", "sample", "areas", "suggest", "change")
    } <= listed, said


def test_inspect_says_what_is_wrong(qgis: Qgis, field: Path, tmp_path: Path) -> None:
    far = write_layer(tmp_path / "far.gpkg", [box(900, 900, 9, 9)], {"kind": ["water"]})
    given = {"RASTERS": field / "scene.tif", "LABELS": far, "FIELD": "kind"}
    ran = qgis.run("inspect", **given, REPORT=tmp_path / "report")
    assert ran.code == 0 and ran.results["OK"] is False
    assert "scene.tif" in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")


def test_map_sample_and_areas(qgis: Qgis, field: Path, model: Path, tmp_path: Path) -> None:
    target = tmp_path / "map.tif"
    mapped = qgis.run("map", MODEL=model, RASTERS=field / "scene.tif", MAP=target)
    assert mapped.code == 0, mapped.text
    assert mapped.results["CONFIDENCE"] == str(tmp_path / "map_confidence.tif")
    board = np.kron(np.indices((6, 6)).sum(0) % 2, np.ones((24, 24)))
    with rasterio.open(target) as file:
        codes = file.read(1)
    assert (codes == np.where(board, codes[0, 30], codes[0, 0])).mean() > 0.95
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "map.qml",
        "map.tif",
        "map_confidence.tif",
    ]

    points = tmp_path / "points.gpkg"
    sampled = qgis.run("sample", MAP=target, N=40, SEED=1, POINTS=points)
    assert sampled.code == 0 and len(pyogrio.read_info(points)["fields"]) >= 3, sampled.text
    assert qgis.run("sample", MAP=target, N=40, POINTS=points).code != 0  # never replaced
    empty = qgis.run("areas", MAP=target, POINTS=points, FIELD="reference", TABLE="memory:")
    assert empty.code != 0 and "reference" in empty.text  # points that nobody has checked
    checked = _checked(points, tmp_path / "checked.gpkg", target)
    areas = qgis.run(
        "areas", MAP=target, POINTS=checked, FIELD="reference", TABLE=tmp_path / "areas.csv"
    )
    assert areas.code == 0 and areas.results["ACCURACY"] == 1, areas.text
    rows = (tmp_path / "areas.csv").read_text().splitlines()
    assert rows[0].startswith("class,code,mapped_ha,area_ha,low_ha,high_ha") and len(rows) == 3
    total = sum(float(row.split(",")[3]) for row in rows[1:])
    assert total == pytest.approx(144 * 144 / 100, rel=0.01)  # hectares


def _checked(points: Path, target: Path, mapped: Path) -> Path:
    """Write the points with the class that the map has there, as a person would who agrees."""
    meta, _, shapes, columns = pyogrio.raw.read(points)
    values = dict(zip(meta["fields"], columns, strict=True))
    with rasterio.open(mapped) as file:
        codes = file.read(1)[values["row"], values["column"]]
    fields = {"reference": codes.astype(str)}
    pyogrio.raw.write(
        target, shapes, list(fields.values()), list(fields), crs=UTM, geometry_type="Point"
    )
    return target


def test_an_extent_is_mapped_alone(qgis: Qgis, field: Path, model: Path, tmp_path: Path) -> None:
    extent = "500000,500240,5599760,5600000 [EPSG:32632]"
    target = tmp_path / "part.tif"
    given = {"MODEL": model, "RASTERS": field / "scene.tif", "EXTENT": extent, "CONFIDENT": "false"}
    ran = qgis.run("map", **given, MAP=target)
    assert ran.code == 0, ran.text
    with rasterio.open(target) as file:
        mask = file.dataset_mask() > 0
    assert mask[:24, :24].all() and mask.sum() == 24 * 24
    assert not (tmp_path / "part_confidence.tif").exists()


def test_errors_of_the_program_are_shown_with_their_mend(
    qgis: Qgis, field: Path, tmp_path: Path
) -> None:
    model = tmp_path / "no.swath"
    model.write_text("no model")
    ran = qgis.run("map", MODEL=model, RASTERS=field / "scene.tif", MAP=tmp_path / "map.tif")
    assert ran.code != 0 and "no.swath" in ran.text and "Traceback" not in ran.text
    assert [p.name for p in tmp_path.iterdir()] == ["no.swath"]


def test_a_missing_program_is_an_error_with_a_mend(
    qgis: Qgis, field: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(qgis.env, "PATH", "/usr/bin:/bin")
    ran = qgis.run("map", MODEL=model, RASTERS=field / "scene.tif", MAP=tmp_path / "map.tif")
    assert ran.code != 0 and "Settings > Options > Swath" in ran.text


def test_change_between_two_maps(qgis: Qgis, tmp_path: Path) -> None:
    codes = np.repeat(np.uint8([[1], [2]]), 40, axis=0).repeat(80, axis=1)
    later = codes.copy()
    later[:30, :30] = 2
    for name, array in (("old", codes), ("new", later)):
        write_raster(tmp_path / f"{name}.tif", array, UTM, NORTH_UP, nodata=0)
    target, parts = tmp_path / "change.tif", tmp_path / "change.gpkg"
    given = {"OLD": tmp_path / "old.tif", "NEW": tmp_path / "new.tif"}
    ran = qgis.run("change", **given, CHANGE=target, POLYGONS=parts)
    assert ran.code == 0 and ran.results["CHANGE"] == str(target), ran.text
    with rasterio.open(target) as file:
        found = file.read(1)
    assert len(set(found[5:25, 5:25].flat)) == 1 and found[10, 10] not in found[60:, :]
    assert pyogrio.read_info(parts)["features"] == 1


def test_where_to_label_next(qgis: Qgis, field: Path, model: Path, tmp_path: Path) -> None:
    regions = tmp_path / "next.gpkg"
    given = {"RASTERS": field / "scene.tif", "LABELS": field / "labels.gpkg", "FIELD": "kind"}
    ran = qgis.run("suggest", MODEL=model, **given, N=5, REGIONS=regions)
    assert ran.code == 0 and ran.results["REGIONS"] == str(regions), ran.text
    assert 1 <= pyogrio.read_info(regions)["features"] <= 5


def test_an_onnx_network_becomes_a_model(qgis: Qgis, tmp_path: Path) -> None:
    network, model = local().write(tmp_path / "net.onnx"), tmp_path / "net.swath"
    given = {"NETWORK": network, "BANDS": RGB, "CLASSES": NAMES, "SCALE": "0.01"}
    ran = qgis.run("import", **given, MODEL=model)
    assert ran.code == 0 and ran.results["MODEL"] == str(model), ran.text
    assert Model(model).card.legend.names == NAMES.split(",")
