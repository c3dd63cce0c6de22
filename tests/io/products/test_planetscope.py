import pytest
import rasterio

from swath.errors import DataError
from swath.io.products import find_product, find_products
from tests.errors import fails
from tests.io.products.make import COEFFICIENTS, PLANET, planetscope, zipped
from tests.make import UTM, noise, write_raster

NAMES = {
    4: "blue green red nir",
    8: "coastal blue green_i green yellow red rededge1 nir",
}


@pytest.mark.parametrize("count", [4, 8])
@pytest.mark.parametrize("surface", [False, True])
@pytest.mark.parametrize("clip", ["", "_clip"])
def test_a_file_and_its_folder(tmp_path, count, surface, clip):
    image = planetscope(tmp_path, count, surface=surface, clip=clip)
    product = find_product(image)
    assert product == find_product(tmp_path)
    assert (product.name, product.sensor) == (image.stem, "planetscope")
    assert product.acquired == "2022-06-12T10:10:41Z" and product.warnings == ()
    assert " ".join(b.name for b in product.bands) == NAMES[count]
    expected = [0.0001] * count if surface else COEFFICIENTS[:count]
    assert [b.scale for b in product.bands] == expected
    assert [b.index for b in product.bands] == list(range(1, count + 1))
    (quality,) = product.quality
    assert quality.kind == "udm2" and quality.path.endswith(f"_udm2{clip}.tif")
    assert str(tmp_path) in str(product.local_files)


def test_an_order_as_folder_and_zip(tmp_path):
    order = tmp_path / "order"
    scenes = [PLANET, PLANET.replace("101041", "101043")]
    for scene in scenes:
        planetscope(order / "PSScene", scene=scene)
    found = find_products(order)
    assert [p.name for p in found] == [f"{scene}_AnalyticMS_SR_8b" for scene in scenes]
    packed = find_products(zipped(order / "PSScene", tmp_path / "psscene.zip"))
    assert [p.name for p in packed] == [p.name for p in found]
    with rasterio.open(packed[0].bands[0].path) as file:
        assert file.count == 8


def test_half_a_scene(tmp_path):
    product = find_product(planetscope(tmp_path / "a", udm="", metadata=False))
    assert product.quality == () and "UDM2" in product.warnings[0]
    image = planetscope(tmp_path / "b", surface=False, metadata=False)
    with fails("product-incomplete", DataError, file=image) as caught:
        find_product(image)
    assert "metadata.xml" in caught.value.message
    image = planetscope(tmp_path / "c", 4, udm="udm1")
    assert [q.kind for q in find_product(image).quality] == ["udm1"]
    write_raster(image, noise(3, 20, 20, dtype="uint16"), UTM)
    with fails("product-damaged", DataError, file=image):
        find_product(image)


def test_a_coefficient_is_missing(tmp_path):
    image = planetscope(tmp_path, 4, surface=False)
    (file,) = tmp_path.glob("*.xml")
    file.write_text(file.read_text().replace("<ps:bandNumber>3<", "<ps:bandNumber>2<"))
    with fails("product-damaged", DataError, file=file) as caught:
        find_product(image)
    assert "3" in caught.value.message


def test_another_raster_is_no_product(tmp_path):
    assert find_product(write_raster(tmp_path / "a.tif", noise(3, 20, 20))) is None
