"""Images across 180 degrees, in both conventions of longitude, and those of other bodies."""

from pathlib import Path

import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

import swath
from swath.errors import DataError
from swath.geo.geobox import GeoBox
from swath.geo.pixel_area import PixelAreas
from swath.io.labels import UNLABELED, RasterLabels, VectorLabels
from swath.io.vector import read_features
from tests.errors import fails
from tests.make import looked_up, noise, write_layer, write_model, write_raster

TURN = 2 * np.pi * 6_378_137
GRIDS = {
    "180..": ("EPSG:4326", from_origin(179.68, 10, 0.01, 0.01)),
    "..-180": ("EPSG:4326", from_origin(-180.32, 10, 0.01, 0.01)),
    "UTM 60": ("EPSG:32660", from_origin(794_000, 1_106_500, 1100, 1100)),
    "UTM 1": ("EPSG:32601", from_origin(136_000, 1_106_500, 1100, 1100)),
    "Mercator": ("EPSG:3857", from_origin(TURN / 2 - 35_000, 1_118_800, 1100, 1100)),
}


def cut(west: float, east: float) -> list[shapely.Geometry]:
    """Return a box from `west` to `east` (0..360), cut at 180 degrees and written in -180..180."""
    return [shapely.box(west, 9.5, 180, 9.9), shapely.box(-180, 9.5, east - 360, 9.9)]


LAYERS = {
    "cut": [shapely.MultiPolygon(cut(179.8, 180.2))],
    "0..360": [shapely.box(179.8, 9.5, 180.2, 9.9)],
    "wrapped": [shapely.Polygon([(179.8, 9.5), (-179.8, 9.5), (-179.8, 9.9), (179.8, 9.9)])],
}


def lonlat(crs: str, transform: rasterio.Affine) -> tuple[np.ndarray, np.ndarray]:
    """Return longitude (0..360) and latitude of the centers of 64 x 64 pixels."""
    rows, cols = np.mgrid[:64, :64] + 0.5
    x, y = transform * (cols, rows)
    move = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    lon, lat = move.transform(x, y)
    return lon % 360, lat


def inside(crs: str, transform: rasterio.Affine) -> tuple[np.ndarray, np.ndarray]:
    """Return which pixels lie in the box of `LAYERS`, and which are too near to its edge to say."""
    lon, lat = lonlat(crs, transform)
    distance = np.minimum(0.2 - np.abs(lon - 180), 0.2 - np.abs(lat - 9.7))
    return distance > 0, np.abs(distance) < 2e-4


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("grid", GRIDS)
def test_layers(tmp_path: Path, grid: str, layer: str) -> None:
    path = write_layer(tmp_path / "l.gpkg", LAYERS[layer], {"class": ["a"]}, "EPSG:4326")
    crs, transform = GRIDS[grid]
    box = GeoBox(64, 64, tuple(transform)[:6], pyproj.CRS(crs).to_wkt())
    found = VectorLabels(read_features(path), box).read(box.window, "code") != UNLABELED
    expected, near = inside(crs, transform)
    np.testing.assert_array_equal(found[~near], expected[~near])
    assert expected.sum() > 500


@pytest.mark.parametrize("source", ["EPSG:32660", "EPSG:32601"])
@pytest.mark.parametrize("grid", GRIDS)
def test_layers_in_meters_across_180_degrees(tmp_path: Path, grid: str, source: str) -> None:
    move = pyproj.Transformer.from_crs("EPSG:4326", source, always_xy=True)
    ring = shapely.box(179.8, 9.5, 180.2, 9.9).difference(shapely.box(180.05, 9.6, 180.1, 9.7))
    ring = shapely.transform(shapely.segmentize(ring, 0.01), move.transform, interleaved=False)
    path = write_layer(tmp_path / "l.gpkg", [ring], {"class": ["a"]}, source)
    crs, transform = GRIDS[grid]
    box = GeoBox(64, 64, tuple(transform)[:6], pyproj.CRS(crs).to_wkt())
    found = VectorLabels(read_features(path), box).read(box.window, "code") != UNLABELED
    expected, near = inside(crs, transform)
    lon, lat = lonlat(crs, transform)
    distance = np.minimum(0.025 - np.abs(lon - 180.075), 0.05 - np.abs(lat - 9.65))
    near |= np.abs(distance) < 2e-4
    np.testing.assert_array_equal(found[~near], (expected & (distance < 0))[~near])


@pytest.mark.parametrize("labels", [-180.0, 0.0, 179.5, -180.5])
@pytest.mark.parametrize("grid", GRIDS)
def test_label_rasters(tmp_path: Path, grid: str, labels: float) -> None:
    """A raster in degrees, the whole earth around or a part, in any convention."""
    cols = 3600 if labels in (-180.0, 0.0) else 20
    step = 360 / 3600 if cols == 3600 else 0.05
    lon = (labels + (np.arange(cols) + 0.5) * step) % 360
    codes = np.where(lon < 180, 1, 2).astype(np.uint8)[None].repeat(40, axis=0)
    placed = from_origin(labels, 11, step, 0.05)
    path = write_raster(tmp_path / "l.tif", codes, "EPSG:4326", placed)
    crs, transform = GRIDS[grid]
    box = GeoBox(64, 64, tuple(transform)[:6], pyproj.CRS(crs).to_wkt())
    found = RasterLabels(path, box, warp=True).read(box.window, "code")
    own, _ = lonlat(crs, transform)
    near = np.abs(own - 180) < 2e-3
    np.testing.assert_array_equal(found[~near], np.where(own < 180, 1, 2)[~near])


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("grid", ["180..", "..-180", "UTM 60", "Mercator"])
def test_regions_and_polygons(tmp_path: Path, grid: str, layer: str) -> None:
    model, (crs, transform) = write_model(tmp_path / "m.swath"), GRIDS[grid]
    pixels = noise(3, 64, 64)
    image = write_raster(tmp_path / "a.tif", pixels, crs, transform)
    regions = write_layer(tmp_path / "l.gpkg", LAYERS[layer], {"class": ["a"]}, "EPSG:4326")
    options = {"regions": regions, "polygons": tmp_path / "p.gpkg"}
    swath.predict(model, image, tmp_path / "map.tif", **options)
    with rasterio.open(tmp_path / "map.tif") as made:
        found = made.read(1)
    wanted, near = inside(crs, transform)
    expected = np.where(wanted, looked_up(pixels, np.ones((64, 64), bool)), 0)
    np.testing.assert_array_equal(found[~near], expected[~near])
    areas = PixelAreas(GeoBox(64, 64, tuple(transform)[:6], pyproj.CRS(crs).to_wkt()))
    columns = pyogrio.raw.read(tmp_path / "p.gpkg", columns=["area_m2"], read_geometry=False)[3]
    total = areas.of(GeoBox(64, 64).window)[found != 0].sum()
    assert columns[0].sum() == pytest.approx(total, rel=1e-4)


def test_a_mosaic_goes_on_beyond_180_degrees(tmp_path: Path) -> None:
    model, pixels = write_model(tmp_path / "m.swath"), noise(3, 64, 128)
    east = from_origin(179.936, 10, 0.001, 0.001)
    west = from_origin(-180, 10, 0.001, 0.001)
    parts = [
        write_raster(tmp_path / "b.tif", pixels[:, :, 64:], "EPSG:4326", west),
        write_raster(tmp_path / "a.tif", pixels[:, :, :64], "EPSG:4326", east),
    ]
    swath.predict(model, parts, tmp_path / "map.tif", mosaic=True)
    with rasterio.open(tmp_path / "map.tif") as made:
        np.testing.assert_array_equal(made.read(1), looked_up(pixels, np.ones((64, 128), bool)))
        assert made.transform.c % 360 == pytest.approx(179.936)


def test_a_mosaic_around_the_earth_stays_as_it_is(tmp_path: Path) -> None:
    model, pixels = write_model(tmp_path / "m.swath"), noise(3, 18, 36)
    steps = [from_origin(west, 90, 10, 10) for west in (-180, 0)]
    parts = [
        write_raster(tmp_path / f"{i}.tif", pixels[:, :, i * 18 : i * 18 + 18], "EPSG:4326", step)
        for i, step in enumerate(steps)
    ]
    swath.predict(model, parts, tmp_path / "map.tif", mosaic=True)
    with rasterio.open(tmp_path / "map.tif") as made:
        assert made.bounds == (-180, -90, 180, 90)


@pytest.mark.parametrize("crs", ["EPSG:4326", 'LOCAL_CS["x",UNIT["metre",1]]', "IAU_2015:49900"])
def test_regions_whose_crs_has_no_way(tmp_path: Path, crs: str) -> None:
    """One side lies on Mars, the other on the earth or nowhere."""
    model = write_model(tmp_path / "m.swath")
    other = "EPSG:32632" if crs.startswith("IAU") else "IAU_2015:49910"
    image = write_raster(tmp_path / "a.tif", noise(3, 64, 64), other, from_origin(0, 0, 10, 10))
    regions = write_layer(tmp_path / "l.gpkg", [shapely.box(0, 0, 1, 1)], {"class": ["a"]}, crs)
    with fails("crs-no-transform", DataError, regions):
        swath.predict(model, image, tmp_path / "map.tif", regions=regions)
    mask = write_raster(
        tmp_path / "k.tif", noise(1, 8, 8, low=0, high=2), crs, from_origin(0, 1, 0.1, 0.1)
    )
    with fails("crs-mismatch", DataError, mask):
        swath.predict(model, image, tmp_path / "map.tif", mask=mask)


@pytest.mark.parametrize("crs", ['LOCAL_CS["x",UNIT["metre",1]]', "IAU_2015:49910"])
def test_maps_that_do_not_lie_on_the_earth(tmp_path: Path, crs: str) -> None:
    model, options = write_model(tmp_path / "m.swath"), {"polygons": tmp_path / "p.gpkg"}
    image = write_raster(tmp_path / "a.tif", noise(3, 64, 64), crs, from_origin(0, 0, 10, 10))
    swath.predict(model, image, tmp_path / "map.tif", **options)
    areas = pyogrio.raw.read(tmp_path / "p.gpkg", columns=["area_m2"], read_geometry=False)[3][0]
    points = tmp_path / "points.gpkg"
    if crs.startswith("IAU"):
        assert np.sum(areas) == pytest.approx(640 * 640, rel=1e-3)
        assert swath.sample(tmp_path / "map.tif", points, n=10).n == 10
    else:
        assert np.isnan(np.array(areas, float)).all()
        with fails("crs-not-on-earth", DataError, tmp_path / "map.tif"):
            swath.sample(tmp_path / "map.tif", points, n=10)
        assert swath.sample(tmp_path / "map.tif", points, n=10, pixel=10).n == 10
    assert swath.evaluate(tmp_path / "map.tif", tmp_path / "map.tif").accuracy == 1


@pytest.mark.parametrize("grid", ["180..", "..-180", "Mercator"])
def test_points_of_the_other_convention_count_in_areas(tmp_path: Path, grid: str) -> None:
    crs, transform = GRIDS[grid]
    codes = np.repeat([[1, 2]], 64, 0).repeat(32, 1).astype(np.uint8)
    mapped = write_raster(tmp_path / "map.tif", codes, crs, transform, 0)
    longitudes = [179.7, 179.75, -179.8, -179.75]
    points = [shapely.Point(lon, 9.7) for lon in longitudes]
    layer = tmp_path / "p.gpkg"
    pyogrio.raw.write(
        layer,
        shapely.to_wkb(np.array(points, object)),
        [np.array([1, 1, 2, 2])],
        ["reference"],
        crs="EPSG:4326",
        geometry_type="Point",
    )
    result = swath.area(mapped, reference=layer)
    assert result.matrix == [[2, 0], [0, 2]] and all(c.area > 0 for c in result.classes)


@pytest.mark.parametrize("other", ["..-180", "halves", "UTM 60"])
def test_maps_of_two_dates_meet_across_180_degrees(tmp_path: Path, other: str) -> None:
    """The percents of the new map lie where its classes do, in any convention of longitude."""
    codes = np.ones((64, 64), np.uint8)
    codes[:, 40:] = 2
    shares = np.where(codes == 1, [[[90]], [[10]]], [[[20]], [[80]]]).astype(np.uint8)
    names = {"nodata": 255, "descriptions": ["1", "2"]}
    old = write_raster(tmp_path / "old.tif", codes, *GRIDS["180.."], nodata=0)
    write_raster(tmp_path / "old_probabilities.tif", shares, *GRIDS["180.."], **names)
    crs, transform = GRIDS["..-180" if other == "halves" else other]
    if other == "halves":  # around the earth, so that the map lies on both ends
        codes, shares = (
            np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, 36000 - 64)]) for a in (codes, shares)
        )
        shares[:, :, 64:] = 255
        codes, shares = np.roll(codes, -32, -1), np.roll(shares, -32, -1)
        transform = from_origin(-180, 10, 0.01, 0.01)
    new = write_raster(tmp_path / "new.tif", codes, crs, transform, nodata=0)
    write_raster(tmp_path / "new_probabilities.tif", shares, crs, transform, **names)
    result = swath.change(old, new, tmp_path / "c.tif", shift=0, prior=0.05, at_least=0.5)
    with rasterio.open(tmp_path / "c.tif") as file:
        found = file.read(1)
    if other == "UTM 60":  # another grid, that covers most of it
        assert (found[:50, 5:30] == 11).mean() > 0.9 and result.changed < 0.2 * 64 * 64
    else:
        assert (found[:, :40] == 11).all() and (found[:, 40:] == 22).all()
