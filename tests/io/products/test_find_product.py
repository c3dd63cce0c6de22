import tarfile
import zipfile

import pytest
import rasterio

from swath import io
from swath.errors import DataError
from swath.io import products
from swath.io.products import (
    READERS,
    ProductFiles,
    ProductReader,
    choose_bands,
    find_product,
    find_products,
    is_product_path,
)
from swath.io.products.bands import COMMON_NAMES, NOT_REFLECTIVE, SENSORS
from swath.io.source_file import BandFile, Product
from tests.errors import fails
from tests.io.products.make import (
    S2_NAME,
    hls,
    landsat,
    planetscope,
    sentinel2,
    tarred,
    zipped,
)


class FakeReader:
    """Recognizes files that end in `.fake`."""

    def find(self, files: ProductFiles) -> list[str]:
        return [name for name in files.top if name.endswith(".fake")]

    def read(self, files: ProductFiles, name: str) -> Product:
        bands = (BandFile(path=files.gdal_path(name), name="red", sensor_name="B07"),)
        return Product(name=name, sensor="fake", bands=bands, files=(files.source(name),))


@pytest.fixture
def fake(monkeypatch):
    reader: ProductReader = FakeReader()
    monkeypatch.setitem(READERS, "fake", reader)


def test_a_reader_is_all_that_a_sensor_needs(tmp_path, fake):
    (tmp_path / "a.fake").write_text("x")
    product = find_product(tmp_path)
    assert (product.name, product.sensor) == ("a.fake", "fake")
    assert product.local_files == {str(tmp_path / "a.fake")}
    assert is_product_path(tmp_path)
    packed = find_product(zipped(tmp_path, tmp_path.with_name("p.zip")))
    assert packed.bands[0].path.startswith("/vsizip/{") and packed.local_files == {
        str(tmp_path.with_name("p.zip"))
    }


def test_bands_by_common_or_own_name(tmp_path):
    product = find_product(landsat(tmp_path))
    chosen = choose_bands(product, ["red", "B2", "b05", "SWIR16"])
    assert [b.sensor_name for b in chosen] == ["B4", "B2", "B5", "B6"]
    with fails("band-missing", DataError) as caught:
        choose_bands(product, ["red", "rededge1", "B99"])
    assert "rededge1, B99" in caught.value.message and "nir08 (B5)" in caught.value.message
    with fails("band-twice", DataError):
        choose_bands(product, ["red", "B4"])


def test_a_folder_of_products_of_all_kinds(tmp_path):
    sentinel2(tmp_path)
    zipped(sentinel2(tmp_path / "more", "S2B_MSIL2A_20220617T101041_N0400_R022_T32TQM_20220617"))
    tarred(landsat(tmp_path / "l"))
    hls(tmp_path / "h")
    planetscope(tmp_path / "p" / "order")
    (tmp_path / "labels.zip").write_bytes(b"no archive")
    found = [p.sensor for p in find_products(tmp_path)]
    kinds = ("sentinel-2", "landsat-9", "hls-s30", "planetscope")
    assert {kind: found.count(kind) for kind in kinds} == dict(
        zip(kinds, (3, 2, 1, 1), strict=True)
    )


def test_what_unpacking_and_packing_leave_around_a_product(tmp_path):
    path = sentinel2(tmp_path / "a" / S2_NAME)
    assert path.name == f"{S2_NAME}.SAFE"
    outer = find_product(path.parent)
    assert (outer.name, outer.bands) == (S2_NAME, find_product(path).bands)
    packed = zipped(path)
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(f"__MACOSX/{S2_NAME}.SAFE/._MTD_MSIL2A.xml", b"x")
    assert len(find_product(packed).bands) == len(outer.bands)
    scene = landsat(tmp_path)
    dotted = tmp_path / "b {1}" / f"{scene.name}.tar"
    dotted.parent.mkdir()
    with tarfile.open(dotted, "w") as archive:
        archive.add(scene, "./")
    product = find_product(dotted)
    assert product.acquired == find_product(scene).acquired
    with rasterio.open(product.bands[0].path) as file:
        assert file.shape == (20, 20)


def test_paths_that_are_nothing(tmp_path):
    assert find_product(tmp_path) is None and find_product(tmp_path / "none") is None
    assert find_product("GTIFF_DIR:1:a.tif") is None and find_product("s3://a/b.tif") is None
    assert find_product("https://example.com/a.tif") is None


def test_tables():
    assert {"blue", "nir08", "swir22", "rededge1", "vv"} <= COMMON_NAMES
    for table in SENSORS.values():
        names = [band.name for band in table.values()]
        assert len(set(names)) == len(names)
        centers = [b.wavelength for b in table.values() if b.name not in NOT_REFLECTIVE]
        assert all(c is None or 0.4 < c < 2.3 for c in centers)
    assert products.__name__ == f"{io.__name__}.products"
