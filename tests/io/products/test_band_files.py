import pytest

from swath.errors import DataError
from swath.io.products import find_product, find_products
from tests.errors import fails
from tests.io.products.make import grid, stored
from tests.make import noise, write_raster


def folder(root, names, meters=10, **more):
    for name in names:
        write_raster(root / f"{name}.tif", stored(name, meters), **{**grid(meters), **more})
    return root


@pytest.mark.parametrize(
    "files, sensor, names",
    [
        ("B02 B03 B04", "unknown", "B02 B03 B04"),
        ("B2 B3 B4 B8A", "sentinel-2", "blue green red nir08"),
        ("T32_B12 T32_B8A T32_B02", "sentinel-2", "blue nir08 swir22"),
        ("nir red Blue", "unknown", "blue red nir"),
        ("x.B10 x.B9 x.B1", "unknown", "B1 B9 B10"),
    ],
)
def test_names_of_files(tmp_path, files, sensor, names):
    product = find_product(folder(tmp_path, files.split()))
    assert product.sensor == sensor and {(b.scale, b.offset) for b in product.bands} == {(1, 0)}
    assert [b.name for b in product.bands] == names.split()


def test_resolutions_and_quality(tmp_path):
    folder(tmp_path, ["B02", "B8A"])
    folder(tmp_path, ["B12", "SCL"], 20)
    product = find_product(tmp_path)
    assert [b.sensor_name for b in product.bands] == ["B02", "B8A", "B12"]
    assert [q.kind for q in product.quality] == ["scl"]


def test_several_images_and_two_files_of_a_band(tmp_path):
    folder(tmp_path / "a", ["x_B02", "x_B03", "y_B02", "y_B03"])
    assert [p.name for p in find_products(tmp_path / "a", plain=True)] == ["x", "y"]
    assert find_products(tmp_path / "a") == []
    folder(tmp_path / "b", ["B2", "B02", "B8A"])
    with fails("product-incomplete", DataError, file=tmp_path / "b"):
        find_product(tmp_path / "b")


def test_other_folders_are_none(tmp_path):
    assert find_product(folder(tmp_path / "a", ["B02"])) is None
    assert find_product(folder(tmp_path / "b", ["B02", "B03", "mosaic"])) is None
    folder(tmp_path / "c", ["B1"])
    write_raster(tmp_path / "c" / "B2.tif", stored("B2"), **grid(10, x=500_600))
    assert find_product(tmp_path / "c") is None
    write_raster(tmp_path / "d" / "B1.tif", noise(3, 20, 20))
    write_raster(tmp_path / "d" / "B2.tif", noise(3, 20, 20))
    assert find_product(tmp_path / "d") is None
