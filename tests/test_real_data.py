"""The whole way on real images: prepared, trained a few steps, evaluated and predicted."""

import numpy as np
import pytest
import rasterio

import swath
from tests.make import train_small


def on_the_grid_of(mapped, image):
    with rasterio.open(mapped) as a, rasterio.open(image) as b:
        assert (a.shape, a.crs, a.transform) == (b.shape, b.crs, b.transform)
        return a.read(1), a.nodata


def whole_way(tmp_path, source, image, **options):
    predict = {"stack": options.pop("stack")} if "stack" in options else {}
    prepared = swath.prepare(source, tmp_path / "dataset", **options)
    trained = train_small(tmp_path / "dataset", tmp_path / "m.swath", steps=2)
    scored = swath.evaluate(trained.model, tmp_path / "dataset")
    mapped = swath.predict(trained.model, image, tmp_path / "map.tif", **predict)
    assert sum(map(sum, scored.confusion)) == prepared.splits["test"].pixels
    return prepared, scored, *on_the_grid_of(mapped.map, image)


def test_sentinel2_twelve_bands_of_five_utm_zones(shared_data, tmp_path):
    image = shared_data / "sentinel2/images/38D_378R_2_3.tif"
    prepared, scored, codes, nodata = whole_way(tmp_path, shared_data / "sentinel2", image)
    assert len(prepared.bands) == 12 and prepared.images == 5
    assert [c.code for c in prepared.classes] == [1, 2, 3, 4, 5, 6, 7, 9]
    assert set(np.unique(codes)) <= {1, 2, 3, 4, 5, 6, 7, 9} and nodata == 0
    assert any(f["code"] == "single-group" for f in prepared.findings)


@pytest.mark.slow
def test_flood_with_a_code_for_no_data(shared_data, tmp_path):
    (tmp_path / "classes.yaml").write_text(
        "- {name: nodata, code: -1, ignore: true}\n- {name: dry, code: 0}\n"
        "- {name: water, code: 1}\n"
    )
    image = shared_data / "flood/images/Spain_7370579_S2Hand.tif"
    prepared, scored, codes, nodata = whole_way(
        tmp_path, shared_data / "flood", image, classes=tmp_path / "classes.yaml", test="5,6,20"
    )
    assert len(prepared.bands) == 13 and [c.name for c in prepared.classes] == ["dry", "water"]
    assert set(np.unique(codes)) <= {0, 1, 255} and nodata == 255


@pytest.mark.parametrize(
    "labels",
    [
        "landsat96_polygons.shp",
        pytest.param("landsat96_labelled_pixels.tif", marks=pytest.mark.slow),
    ],
)
def test_landsat_bands_in_files_and_labels_in_another_crs(shared_data, tmp_path, labels):
    folder = shared_data / "landsat"
    image = folder / "lsat7_2000_10.tif"
    prepared, scored, codes, nodata = whole_way(
        tmp_path,
        folder,
        image,
        images=["lsat7_2000_*.tif"],
        labels=labels,
        stack=folder,
        val="none",  # else so few labels all train
        block=128,
        buffer=0,
    )
    assert prepared.bands == ["10", "20", "30", "40", "50", "70"]
    assert [c.code for c in prepared.classes] == [1, 2, 3, 4, 5, 6, 7]
    with rasterio.open(image) as first, rasterio.open(folder / "lsat7_2000_70.tif") as last:
        missing = (first.read(1) == -99999) | (last.read(1) == -32768)
    assert missing.any() and (codes[missing] == nodata).all() and (codes[~missing] != nodata).all()


@pytest.mark.slow
def test_dubai_by_tile(shared_data, tmp_path):
    """A few images of three tiles; the full figure is in the README with the commands that give
    it."""
    for tile in (1, 3, 7):
        for kind in ("images", "masks"):
            (tmp_path / "dubai" / f"Tile {tile}" / kind).mkdir(parents=True)
            file = next((shared_data / "dubai" / f"Tile {tile}" / kind).glob("image_part_001.*"))
            (tmp_path / "dubai" / f"Tile {tile}" / kind / file.name).symlink_to(file)
    image = tmp_path / "dubai/Tile 1/images/image_part_001.jpg"
    prepared, scored, codes, nodata = whole_way(
        tmp_path,
        tmp_path / "dubai",
        image,
        classes=shared_data / "dubai-classes.yaml",
        test="Tile 1",
        val="none",
    )
    assert prepared.splits["train"].groups == ["Tile 3", "Tile 7"]
    assert [c.name for c in prepared.classes] == ["water", "land", "road", "building", "vegetation"]
    assert set(np.unique(codes)) <= {1, 2, 3, 4, 5} and nodata == 0
