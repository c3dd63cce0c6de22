import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from swath.errors import DataError
from swath.io.products import find_product
from tests.errors import fails
from tests.io.products.make import (
    SENTINEL2A,
    hls,
    landsat,
    sentinel2,
    sentinel2_item,
    stac_item,
)
from tests.make import noise, write_raster


def numbers(product):
    return {(b.scale, b.offset, b.nodata) for b in product.bands}


@pytest.fixture(scope="module")
def safe(tmp_path_factory):
    return sentinel2(tmp_path_factory.mktemp("s2"))


@pytest.mark.parametrize("style", ["earth-search", "planetary-computer"])
def test_items_of_sentinel_2_are_as_the_folder(tmp_path, safe, style):
    path = sentinel2_item(
        tmp_path / "item.json", safe, style=style, **{"s2:processing_baseline": "04.00"}
    )
    product, folder = find_product(path), find_product(safe)
    assert [b.path for b in product.bands] == [b.path for b in folder.bands]
    told = [(b.name, b.sensor_name, b.wavelength) for b in product.bands]
    assert told == [(b.name, b.sensor_name, b.wavelength) for b in folder.bands]
    assert numbers(product) == {(0.0001, -0.1, 0.0)}
    assert product.quality == folder.quality
    assert (product.sensor, product.acquired) == ("sentinel-2", "2022-06-12T10:10:41Z")
    assert product.files == (str(path),) and product.warnings == ()


@pytest.mark.parametrize(
    "style, properties, offset",
    [
        ("earth-search", {"earthsearch:boa_offset_applied": True}, 0.0),
        ("earth-search", {"earthsearch:boa_offset_applied": False}, -0.1),
        ("earth-search", {}, -0.1),
        ("planetary-computer", {"s2:processing_baseline": "05.09"}, -0.1),
        ("planetary-computer", {"s2:processing_baseline": "03.01"}, 0.0),
        ("planetary-computer", {"processing:version": "04.00"}, -0.1),
    ],
)
def test_the_offset_of_baseline_4(tmp_path, safe, style, properties, offset):
    path = sentinel2_item(tmp_path / "item.json", safe, style=style, **properties)
    assert numbers(find_product(path)) == {(0.0001, offset, 0.0)}


def test_of_copies_the_native_resolution_is_taken(tmp_path):
    def asset(own, meters, **more):
        fields = {"bands": [{"name": own}], "raster:scale": 0.0001, "raster:offset": -0.1}
        return {"href": f"./{own}_{meters}.jp2", "type": "image/jp2", **fields, **more}

    sizes = {"B01": (20, 60), "B02": (60, 10, 20), "B05": (60, 20)}
    assets = {f"{own}_{m}m": asset(own, m) for own, all_of in sizes.items() for m in all_of}
    assets["B09_x"] = asset("B09", 20, gsd=20)
    path = stac_item(tmp_path / "i.json", assets, version="1.1.0", platform="sentinel-2a")
    product = find_product(path)
    files = [b.path.rpartition("/")[2] for b in product.bands]
    assert files == ["B01_60.jp2", "B02_10.jp2", "B05_20.jp2", "B09_20.jp2"]
    assert numbers(product) == {(0.0001, -0.1, 0.0)}


def test_an_unknown_baseline_is_said(tmp_path, safe):
    path = sentinel2_item(tmp_path / "item.json", safe, style="planetary-computer")
    (warning,) = find_product(path).warnings
    assert "baseline" in warning


def test_fields_of_stac_1_1(tmp_path):
    image = write_raster(tmp_path / "a.tif", noise(2, 20, 20))
    assets = {
        "stack": {
            "href": "./a.tif",
            "type": "image/tiff; application=geotiff",
            "nodata": 7,
            "bands": [
                {"name": "one", "eo:common_name": "red", "raster:scale": 0.5, "nodata": "nan"},
                {"name": "two", "eo:common_name": "nir", "eo:center_wavelength": 0.8},
            ],
        },
        "mask": {"href": "./b.txt", "type": "text/plain"},
    }
    product = find_product(stac_item(tmp_path / "item.json", assets, version="1.1.0"))
    red, nir = product.bands
    assert (red.name, red.index, red.scale, nir.name, nir.index) == ("red", 1, 0.5, "nir", 2)
    assert red.nodata is None and nir.nodata == 7 and nir.wavelength == 0.8
    assert red.path == nir.path == str(image) and product.sensor == "unknown"


def test_landsat_and_hls_without_scale_take_the_documented(tmp_path):
    folder = landsat(tmp_path)
    tables = {"blue": "SR_B2", "nir08": "SR_B5", "lwir11": "ST_B10", "qa_pixel": "QA_PIXEL"}
    assets = {k: {"href": str(next(folder.glob(f"*_{v}.TIF")))} for k, v in tables.items()}
    assets["atran"] = {"href": assets["blue"]["href"], "roles": ["data"]}
    path = stac_item(
        tmp_path / "l.json", assets, platform="landsat-9", **{"landsat:correction": "L2SP"}
    )
    product = find_product(path)
    assert [(b.name, b.sensor_name, b.scale, b.offset) for b in product.bands] == [
        ("blue", "B2", 0.0000275, -0.2),
        ("nir08", "B5", 0.0000275, -0.2),
        ("lwir11", "B10", 0.00341802, 149.0),
    ]
    assert [q.kind for q in product.quality] == ["qa_pixel"] and product.warnings == ()
    folder = hls(tmp_path)
    assets = {f.stem.split(".")[-1]: {"href": str(f)} for f in sorted(folder.iterdir())}
    product = find_product(stac_item(tmp_path / "h.json", assets, name=folder.name))
    assert [b.sensor_name for b in product.bands] == list(SENTINEL2A)
    assert numbers(product) == {(0.0001, 0.0, -9999.0)} and product.quality[0].kind == "fmask"


def test_level_1_without_scale_is_said(tmp_path):
    assets = {"B2": {"href": "./B2.tif"}}
    path = stac_item(tmp_path / "i.json", assets, platform="landsat-8")
    product = find_product(path)
    assert numbers(product) == {(1.0, 0.0, None)} and "B2" in product.warnings[0]


def test_polarizations_are_decibels(tmp_path):
    assets = {k: {"href": f"./{k}.tif", "roles": ["data"]} for k in ("vh", "vv")}
    path = stac_item(tmp_path / "a.json", assets, collection="sentinel-1-rtc")
    assert [(b.name, b.decibels, b.amplitude) for b in find_product(path).bands] == [
        ("vv", True, False),
        ("vh", True, False),
    ]
    path = stac_item(tmp_path / "b.json", assets, collection="sentinel-1-grd")
    assert find_product(path).bands[0].amplitude and find_product(path).warnings


def test_bands_of_one_common_name_go_by_their_own(tmp_path):
    assets = {
        k: {"href": f"./{k}.tif", "bands": [{"name": k, "eo:common_name": "rededge"}]}
        for k in ("re1", "re2")
    }
    assert [b.name for b in find_product(stac_item(tmp_path / "i.json", assets)).bands] == [
        "re1",
        "re2",
    ]


def test_the_same_over_http(tmp_path):
    write_raster(tmp_path / "data" / "a.tif", noise(20, 20))
    stac_item(tmp_path / "items" / "i.json", {"red": {"href": "../data/a.tif"}})
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"
        product = find_product(f"{root}/items/i.json")
        with fails("http-error", DataError, file=f"{root}/items/none.json"):
            find_product(f"{root}/items/none.json")
        server.shutdown()
    assert product.bands[0].path == f"{root}/data/a.tif"
    assert product.local_files == set()


def test_what_is_no_item(tmp_path):
    path = tmp_path / "labels.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    assert find_product(path) is None
    path.write_text("{")
    assert find_product(path) is None
    path.write_text('{"stac_version": "1.0.0",')
    with fails("not-a-stac-item", DataError, file=path):
        find_product(path)
    empty = stac_item(tmp_path / "item.json", {"doc": {"href": "a.pdf"}})
    with fails("product-incomplete", DataError, file=empty):
        find_product(empty)
