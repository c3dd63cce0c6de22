"""Points from CSV: their places and classes, and tables that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

import swath
from swath.errors import DataError
from swath.io.vector import read_features
from tests.errors import fails
from tests.make import NORTH_UP, UTM, noise, place, write_raster


@pytest.mark.parametrize(
    ("text", "crs"),
    [
        ("lon,lat,class\n8.5,47,water\n8.25,-46,field\n", "WGS 84"),
        ("\ufeffclass;Latitude;Longitude\nwater;47;8.5\n\nfield;-46;8.25\n", "WGS 84"),
        ("x\tclass\ty\n8.5\twater\t47\n8.25\tfield\t-46\n", None),
    ],
)
def test_a_table_of_points(tmp_path: Path, text: str, crs: str | None) -> None:
    path = tmp_path / "points.csv"
    path.write_text(text, encoding="utf-8")
    found = read_features(path)
    assert shapely.get_coordinates(found.geometries).tolist() == [[8.5, 47], [8.25, -46]]
    assert (found.values.tolist(), found.field) == (["water", "field"], "class")
    assert (found.crs is None) == (crs is None) and (crs is None or crs in str(found.crs))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("name,class\na,1\n", "no-coordinates"),
        ("", "no-coordinates"),
        ("lon,lat,class\n8.5,,1\n", "point-without-place"),
        ("lon;lat;class\n8,5;47,1;1\n", "point-without-place"),
        ("lon,lat,class\n500000,5200000,1\n", "point-without-place"),
        ("lon,lat,class\n8,5,47,1\n", "table-cells"),
    ],
)
def test_a_table_that_is_refused(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "points.csv"
    path.write_text(text, encoding="utf-8")
    with fails(code, DataError, path):
        read_features(path)


def test_points_are_counted_on_the_image(tmp_path: Path) -> None:
    write_raster(tmp_path / "s" / "scene.tif", noise(3, 64, 64), UTM, NORTH_UP)
    cells = [(2.5, 3.5, "a"), (9.5, 3.5, "a"), (20.5, 30.5, "b"), (20.6, 30.4, "c"), (500, 3, "a")]
    rows = [(*place(col, row), name) for col, row, name in cells]
    text = "x,y,class\n" + "".join(f"{x},{y},{name}\n" for x, y, name in rows)
    (tmp_path / "s" / "points.csv").write_text(text)
    how = {"images": "scene.tif", "labels": "points.csv", "labels_crs": UTM}
    result = swath.inspect(tmp_path / "s", **how)
    found = {f["code"]: f["message"] for f in result.findings}
    assert "2 of 3 of a, 0 of 1 of b, 1 of 1 of c" in found["points-by-class"]
    assert found["points-outside"].startswith("1 of 5 points") and "points-share-pixel" in found
    assert {c.name: c.pixels for c in result.classes} == {"a": 2, "c": 1}


@pytest.mark.parametrize("labels", ["EPSG:4326", UTM])
def test_a_width_in_meters_holds_on_an_image_in_degrees(tmp_path: Path, labels: str) -> None:
    import pyproj
    from affine import Affine

    degree = 10 / 111_320  # pixels of 10 m along y, and at 60 degrees of 5 m along x
    grid = Affine(degree, 0, 9, 0, -degree, 60)
    write_raster(tmp_path / "s" / "scene.tif", noise(3, 64, 64), "EPSG:4326", grid)
    x, y = grid @ (32.5, 32.5)
    if labels != "EPSG:4326":
        x, y = pyproj.Transformer.from_crs(4326, labels, always_xy=True).transform(x, y)
    (tmp_path / "s" / "points.csv").write_text(f"x,y,class\n{x},{y},a\n{x},{y},a\n")
    how = {"images": "scene.tif", "labels": "points.csv", "labels_crs": labels}
    result = swath.inspect(tmp_path / "s", **how, label_width=100.0)
    pixels = result.classes[0].pixels
    assert np.pi * 50**2 / (10 * 5) == pytest.approx(pixels, rel=0.1)
