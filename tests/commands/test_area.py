"""Points drawn on a map, and areas with errors from them or from held-out labels."""

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
import shapely.affinity
from rasterio.transform import from_origin

import swath
from swath.errors import DataError, UsageError
from tests.errors import fails
from tests.make import NORTH_UP, UTM, noise, write_raster


def truth_and_map(seed=0, size=300):
    """A true map, and one that mistakes a tenth of class 1 for 2 and a fifth of class 2 for 1."""
    rng = np.random.default_rng(seed)
    reference = np.kron(
        rng.choice([1, 2, 3], (30, 30), p=[0.2, 0.3, 0.5]), np.ones((10, 10), int)
    ).astype(np.uint8)
    mapped, luck = reference.copy(), rng.random(reference.shape)
    mapped[(reference == 1) & (luck < 0.1)] = 2
    mapped[(reference == 2) & (luck < 0.2)] = 1
    return reference[:size, :size], mapped[:size, :size]


def answered(points, reference):
    """Fill in what a person sees at each point, from the reference."""
    meta, _, wkb, columns = pyogrio.raw.read(points)
    rows, cols = columns[1].astype(int), columns[2].astype(int)
    seen = np.array([str(v) for v in reference[rows, cols]], object)
    path = points.with_name("answered.gpkg")
    pyogrio.raw.write(
        path,
        wkb,
        [columns[0], seen],
        ["id", "reference"],
        crs=meta["crs"],
        geometry_type="Point",
        driver="GPKG",
    )
    return path


def test_points_lie_on_their_pixels_and_do_not_tell_the_class(tmp_path):
    _, mapped = truth_and_map()
    write_raster(tmp_path / "m.tif", mapped, UTM, NORTH_UP, nodata=0)
    result = swath.sample(tmp_path / "m.tif", tmp_path / "p.gpkg", n=90)
    meta, _, wkb, columns = pyogrio.raw.read(tmp_path / "p.gpkg")
    assert list(meta["fields"]) == ["id", "row", "column", "reference"]
    assert result.n == len(wkb) == 90 and sum(result.classes.values()) == 90
    assert min(result.classes.values()) >= 15  # a third of the half that is divided equally
    xy = shapely.get_coordinates(shapely.from_wkb(wkb))
    assert xy == pytest.approx(
        np.stack([500_000 + 10 * columns[2] + 5, 5_600_000 - 10 * columns[1] - 5], axis=1)
    )
    assert len({(r, c) for r, c in zip(columns[1], columns[2], strict=True)}) == 90
    codes = mapped[columns[1].astype(int), columns[2].astype(int)]
    assert [int((codes == k).sum()) for k in (1, 2, 3)] == list(result.classes.values())
    assert (np.diff(codes.astype(int)) != 0).sum() > 20  # shuffled
    again = swath.sample(tmp_path / "m.tif", tmp_path / "q.gpkg", n=90)
    assert again.classes == result.classes
    assert (pyogrio.raw.read(tmp_path / "q.gpkg")[3][1] == columns[1]).all()


def test_the_draw_is_even_within_a_class_by_ground_not_by_pixels(tmp_path):
    """Rows near the pole cover less ground, so fewer points fall there."""
    write_raster(
        tmp_path / "m.tif", np.ones((160, 400), np.uint8), "EPSG:4326", from_origin(0, 85, 0.5, 0.5)
    )
    swath.sample(tmp_path / "m.tif", tmp_path / "p.gpkg", n=3000)
    rows = pyogrio.raw.read(tmp_path / "p.gpkg")[3][1]
    ground = np.cos(np.radians(85 - 0.5 * (np.arange(160) + 0.5)))
    assert np.mean(rows) == pytest.approx((ground * np.arange(160)).sum() / ground.sum(), abs=2)


def test_areas_from_points_hold_the_truth_and_mend_the_bias(tmp_path):
    reference, mapped = truth_and_map()
    write_raster(tmp_path / "m.tif", mapped, UTM, NORTH_UP, nodata=0)
    swath.sample(tmp_path / "m.tif", tmp_path / "p.gpkg", n=300)
    result = swath.area(tmp_path / "m.tif", reference=answered(tmp_path / "p.gpkg", reference))
    hectares = 0.01 / 0.9996**2  # 10 m in the plane, at the central meridian of UTM
    for c in result.classes:
        true = (reference == c.code).sum() * hectares
        assert c.mapped == pytest.approx((mapped == c.code).sum() * hectares, rel=1e-5)
        assert c.interval[0] * 0.9999 <= true <= c.interval[1] * 1.0001
    assert result.classes[0].interval[1] - result.classes[0].interval[0] > 10
    assert sum(c.area for c in result.classes) == pytest.approx(
        sum(c.mapped for c in result.classes)
    )
    assert result.overall == pytest.approx((reference == mapped).mean(), abs=0.05)
    assert "checked points" in result.method and "at random" in result.assumes
    assert np.sum(result.matrix) == 300


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_areas_from_held_out_labels_say_what_they_assume(tmp_path, order):
    places = []
    for k in range(5):
        reference, mapped = truth_and_map(k)
        where = from_origin(500_000 + 3000 * k, 5_600_000, 10, 10)
        write_raster(
            tmp_path / "s" / f"p{k}" / "images" / "x.tif", noise(3, 300, 300, seed=k), UTM, where
        )
        write_raster(tmp_path / "s" / f"p{k}" / "masks" / "x.tif", reference, UTM, where)
        places.append((reference, mapped))
    reference, mapped = (np.concatenate(maps, axis=1) for maps in zip(*places, strict=True))
    write_raster(tmp_path / "m.tif", mapped, UTM, NORTH_UP, nodata=0)
    classes = tmp_path / "classes.yaml"
    classes.write_text("".join(f"- {{name: c{code}, code: {code}}}\n" for code in order))
    swath.prepare(
        tmp_path / "s",
        tmp_path / "d",
        classes=classes,
        test=["p1", "p2", "p3", "p4"],
        val="none",
    )
    result = swath.area(tmp_path / "m.tif", reference=tmp_path / "d")
    assert [c.code for c in result.classes] == list(order)
    assert (
        "held-out labels" in result.method
        and "4 group(s)" in result.method
        and "chosen by people" in result.assumes
    )
    for c in result.classes:
        assert c.interval[0] <= c.area <= c.interval[1]
        assert c.area == pytest.approx((reference == c.code).sum() * 0.01, rel=0.05)


def test_what_cannot_be_estimated_is_refused(tmp_path):
    reference, mapped = truth_and_map()
    write_raster(tmp_path / "m.tif", mapped, UTM, NORTH_UP, nodata=0)
    with fails("too-few-points", UsageError) as caught:
        swath.sample(tmp_path / "m.tif", tmp_path / "p.gpkg", n=5)
    assert {"5", "3"} <= set(caught.value.message.split())
    swath.sample(tmp_path / "m.tif", tmp_path / "p.gpkg", n=30)
    with fails("empty-class", DataError, tmp_path / "p.gpkg") as caught:
        swath.area(tmp_path / "m.tif", reference=tmp_path / "p.gpkg")
    assert "'reference'" in caught.value.message and "30 of 30" in caught.value.message
    odd = answered(tmp_path / "p.gpkg", np.full_like(reference, 8))
    with fails("unknown-class", DataError, odd) as caught:
        swath.area(tmp_path / "m.tif", reference=odd)
    assert "'8'" in caught.value.message
    write_raster(tmp_path / "bare.tif", mapped)
    with fails("crs-missing", DataError) as caught:
        swath.sample(tmp_path / "bare.tif", tmp_path / "q.gpkg")
    assert "--pixel" in caught.value.fix
    swath.sample(tmp_path / "bare.tif", tmp_path / "q.gpkg", pixel=30)
    with fails("file-exists", UsageError, tmp_path / "p.gpkg"):
        swath.sample(tmp_path / "m.tif", tmp_path / "p.gpkg")
    with fails("file-extension", UsageError, tmp_path / "m.tif"):
        swath.sample(tmp_path / "m.tif", tmp_path / "m.tif")


@pytest.mark.parametrize("kind", [object, np.float64])
def test_points_without_a_class_are_not_to_be_left_out(tmp_path, kind):
    reference, mapped = truth_and_map()
    write_raster(tmp_path / "m.tif", mapped, UTM, NORTH_UP, nodata=0)
    swath.sample(tmp_path / "m.tif", tmp_path / "p.gpkg", n=60)
    path = answered(tmp_path / "p.gpkg", reference)
    meta, _, wkb, columns = pyogrio.raw.read(path)

    def write(rows, field="reference", seen=columns[1]):
        how = {"crs": meta["crs"], "geometry_type": "Point", "driver": "GPKG"}
        pyogrio.raw.write(path, wkb[rows], [columns[0][rows], seen[rows]], ["id", field], **how)

    seen = columns[1].astype(kind)
    seen[:7] = None
    write(np.arange(60), seen=seen)
    with fails("empty-class", DataError, path) as caught:
        swath.area(tmp_path / "m.tif", reference=path)
    assert "7 of 60 points" in caught.value.message and "elete" not in caught.value.fix
    write(np.arange(60), field="seen")
    with fails("no-such-column", DataError, path):
        swath.area(tmp_path / "m.tif", reference=path)
    assert swath.area(tmp_path / "m.tif", reference=path, field="seen").warnings == []
    write(np.arange(7, 60))
    warning = swath.area(tmp_path / "m.tif", reference=path).warnings[0]
    assert "7 of 60" in warning and f"id {min(columns[0][:7])}" in warning


@pytest.mark.parametrize(
    ("code", "shape"),
    [
        ("geometry-type", shapely.box(500_000, 5_599_900, 500_100, 5_600_000)),
        ("point-outside-map", shapely.Point(499_995, 5_599_995)),
        ("no-data", shapely.Point(500_005, 5_599_995)),
    ],
)
def test_points_that_cannot_be_counted_are_refused(tmp_path, code, shape):
    _, mapped = truth_and_map()
    mapped[0, 0] = 0
    write_raster(tmp_path / "m.tif", mapped, UTM, NORTH_UP, nodata=0)
    path = tmp_path / "p.gpkg"
    pyogrio.raw.write(
        path,
        shapely.to_wkb(np.array([shape])),
        [np.array(["1"], object)],
        ["reference"],
        crs=UTM,
        geometry_type=shape.geom_type,
        driver="GPKG",
    )
    with fails(code, DataError, path):
        swath.area(tmp_path / "m.tif", reference=path)


def test_points_of_another_map_are_told(tmp_path):
    reference, mapped = truth_and_map()
    write_raster(tmp_path / "m.tif", mapped, UTM, NORTH_UP, nodata=0)
    swath.sample(tmp_path / "m.tif", tmp_path / "p.gpkg", n=60)
    meta, _, wkb, columns = pyogrio.raw.read(tmp_path / "p.gpkg")
    seen = reference[columns[1].astype(int), columns[2].astype(int)].astype(str).astype(object)
    facts = pyogrio.read_info(tmp_path / "p.gpkg")["layer_metadata"]
    path = tmp_path / "seen.gpkg"

    def write(shapes=wkb, rows=slice(None), **how):
        values = [column[rows] for column in (*columns[:3], seen)]
        how |= {"crs": meta["crs"], "geometry_type": "Point", "layer": "points"}
        pyogrio.raw.write(path, shapes[rows], values, meta["fields"], layer_metadata=facts, **how)

    write()
    assert swath.area(tmp_path / "m.tif", reference=path).warnings == []
    # The same grid, and other classes.
    write_raster(tmp_path / "other.tif", truth_and_map(1)[1], UTM, NORTH_UP, nodata=0)
    (warning,) = swath.area(tmp_path / "other.tif", reference=path).warnings
    assert "other.tif" in warning and "swath sample" in warning
    coarse = from_origin(500_000, 5_600_000, 20, 20)
    write_raster(tmp_path / "coarse.tif", mapped, UTM, coarse, nodata=0)
    with fails("points-of-another-map", DataError, path) as caught:
        swath.area(tmp_path / "coarse.tif", reference=path)
    assert "of 60 points" in caught.value.message
    # One point that was dragged to the next pixel.
    dragged = wkb.copy()
    dragged[4] = shapely.to_wkb(shapely.affinity.translate(shapely.from_wkb(wkb[4]), -10, 0))
    write(dragged)
    (warning,) = swath.area(tmp_path / "m.tif", reference=path).warnings
    assert "1 of 60 points (row 5 " in warning
    write(rows=np.array([*range(60), 7]))
    with fails("point-twice", DataError, path) as caught:
        swath.area(tmp_path / "m.tif", reference=path)
    assert "8 and 61" in caught.value.message


def test_confidence_is_no_map(tmp_path):
    percent = noise(40, 40, low=60, high=70)
    path = write_raster(
        tmp_path / "m_confidence.tif", percent, UTM, NORTH_UP, descriptions=["confidence"]
    )
    with fails("not-a-class-map", DataError, path):
        swath.sample(path, tmp_path / "p.gpkg", n=60)


def test_class_names_are_understood_as_well_as_codes(tmp_path):
    reference, mapped = truth_and_map()
    path = write_raster(tmp_path / "m.tif", mapped, UTM, NORTH_UP, nodata=0)
    with rasterio.open(path, "r+") as file:
        file.update_tags(1, class_1="Water", class_2="wood", class_3="town")
    swath.sample(path, tmp_path / "p.gpkg", n=60)
    names = np.array(["", "water", "wood", "town"], object)
    result = swath.area(path, reference=answered(tmp_path / "p.gpkg", names[reference]))
    assert [c.name for c in result.classes] == ["Water", "wood", "town"]
