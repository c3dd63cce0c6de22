"""Tiny files for tests: rasters, pictures, vector layers, folders of pairs, a simple model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pyogrio
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.transform import from_origin
from safetensors.numpy import save

import swath
from swath.geo.geobox import GeoBox
from swath.io.raster import gdal_env
from swath.legend import LandClass, Legend
from swath.models.card import Card, CardBand, NetworkShape, Training
from swath.models.model_file import pack_model_file

UTM = "EPSG:32632"
"""CRS of most small rasters here."""

NORTH_UP = from_origin(500_000, 5_600_000, 10, 10)
"""Ten-metre pixels in `UTM`."""


def write_raster(
    path: Path,
    array: NDArray[Any],
    crs: Any = None,
    transform: Any = None,
    nodata: float | None = None,
    **profile: Any,
) -> Path:
    """Write a GeoTIFF (or another `driver`) of an array (bands, rows, columns) or (rows, columns).

    `descriptions`, `colormap` (value to RGB), `mask` (a per-dataset mask, rows x columns) and
    `colorinterp` are set after the pixels; all else goes into the profile of rasterio. Folders are
    made.
    """
    array = np.asarray(array)
    array = array[None] if array.ndim == 2 else array
    later = {
        key: profile.pop(key, None) for key in ("descriptions", "colormap", "mask", "colorinterp")
    }
    given = {"crs": crs, "transform": transform, "nodata": nodata, **profile}
    path.parent.mkdir(parents=True, exist_ok=True)
    with gdal_env(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        with rasterio.open(
            path,
            "w",
            **{"driver": "GTiff"} | {k: v for k, v in given.items() if v is not None},
            count=len(array),
            height=array.shape[1],
            width=array.shape[2],
            dtype=array.dtype,
        ) as out:
            if later["colorinterp"] is not None:
                out.colorinterp = later["colorinterp"]
            if later["colormap"] is not None:
                out.write_colormap(1, later["colormap"])
            out.write(array)
            if later["mask"] is not None:
                out.write_mask(np.asarray(later["mask"], np.uint8) * 255)
            for i, text in enumerate(later["descriptions"] or (), 1):
                out.set_band_description(i, text)
    return path


def write_png(path: Path, array: NDArray[Any], **profile: Any) -> Path:
    """Write a PNG of an 8-bit or 16-bit array (bands, rows, columns) or (rows, columns)."""
    return write_raster(path, array, driver="PNG", **profile)


def write_jpeg(path: Path, array: NDArray[Any], **profile: Any) -> Path:
    """Write a JPEG of an 8-bit array (bands, rows, columns) or (rows, columns)."""
    return write_raster(path, array, driver="JPEG", **profile)


def write_layer(
    path: Path,
    geometries: Sequence[Any],
    columns: Mapping[str, Sequence[Any]],
    crs: str | None = UTM,
    geometry_type: str = "Polygon",
    **options: Any,
) -> Path:
    """Write shapely geometries with columns to a layer; the extension says the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pyogrio.raw.write(
        path,
        shapely.to_wkb(np.asarray(geometries, dtype=object)),
        [np.asarray(v) for v in columns.values()],
        list(columns),
        crs=crs,
        geometry_type=geometry_type,
        **options,
    )
    return path


def box(row: int, col: int, height: int, width: int, transform: Any = NORTH_UP) -> Any:
    """Return the polygon that covers a window of pixels."""
    corners = ((col, row), (col + width, row), (col + width, row + height), (col, row + height))
    return shapely.Polygon([place(*corner, transform) for corner in corners])


def place(col: float, row: float, transform: Any = NORTH_UP) -> tuple[float, float]:
    """Return x and y of a place in pixels."""
    return GeoBox(1, 1, tuple(transform)[:6]).point(col, row)


def truncate(path: Path, share: float = 0.5) -> Path:
    """Cut a file off, as a broken download leaves it."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def noise(
    *shape: int, seed: int = 0, low: int = 1, high: int = 255, dtype: str = "uint8"
) -> NDArray[Any]:
    """Return random whole numbers of a shape, `low` to `high` (not included)."""
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def write_pairs(root: Path, names: Sequence[str], size: int = 64, classes: int = 3) -> Path:
    """Write `images/NAME.tif` (3 bands) and `masks/NAME.png` (codes in stripes) below a folder.

    Each image has blotches of its own, as ground has, so that no two are taken for the same.
    """
    for seed, name in enumerate(names):
        codes = (np.indices((size, size))[1] * classes // size + 1).astype(np.uint8)
        own = np.frombuffer(f"{root}/{name}".encode(), np.uint8).sum() + seed
        blotches = np.kron(
            noise(8, 8, seed=own, low=0, high=50), np.ones((-(-size // 8), -(-size // 8)))
        )[:size, :size]
        pixels = codes * 50.0 + blotches + noise(3, size, size, seed=seed, low=0, high=20)
        pixels = np.clip(pixels, 1, 255).astype(np.uint8)
        write_raster(root / "images" / f"{name}.tif", pixels)
        write_png(root / "masks" / f"{name}.png", codes)
    return root


SMALL_NETWORK = {"encoder": "test_resnet", "weights": "none"}
"""Options of `swath train` for the smallest encoder, which sees no image as a whole."""


def train_small(dataset: Path, path: Path, **options: Any) -> Any:
    """Train `SMALL_NETWORK` on few small patches a step, and return the result of `swath.train`.

    This is for tests in which the training has to work, and the network is not the subject.
    """
    from swath.training.recipes import RECIPES

    kind = {} if "from_" in options else SMALL_NETWORK
    small = RECIPES["default"].but(patch=64, batch=4, widths=(16, 16, 16, 16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "default", small)
        return swath.train(dataset, path, **(kind | options))


def write_model(
    path: Path,
    bands: int = 3,
    dtype: str = "uint8",
    latitude: bool = False,
    names: Sequence[str] | None = None,
    network: tuple[NDArray[Any], NDArray[Any]] | None = None,
    card: Mapping[str, Any] | None = None,
    **statistics: float | Sequence[float],
) -> Path:
    """Write a model of a 1x1 convolution with classes 1, 2, 3 (see `looked_up`).

    With `latitude`, that is the last band, and the third class scores nothing. `network` are other
    weights (3, bands) and biases (3,), `card` further fields of the card, and `statistics` fields
    of its bands, one value or one a band.
    """
    weights = np.zeros((3, bands, 1, 1), np.float32)
    weights[0, 0], weights[1, -1] = 1, 1 if bands > 1 else -1
    bias = np.array([0, 0, 0 if latitude else LEVEL], np.float32)
    if network is not None:
        weights = network[0].astype(np.float32)[:, :, None, None]
        bias = network[1].astype(np.float32)
    tensors = [("weights", weights), ("bias", bias)]
    ends = [
        onnx.helper.make_tensor_value_info(
            name, onnx.TensorProto.FLOAT, ["batch", channels, "height", "width"]
        )
        for name, channels in (("raw", bands), ("scores", 3))
    ]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["raw", "weights", "bias"], ["scores"])],
        "by-hand",
        ends[:1],
        ends[1:],
        [onnx.numpy_helper.from_array(values, name) for name, values in tensors],
    )
    written = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9
    )
    legend = Legend(tuple(LandClass(str(c), (c,), c, f"#0000{c:02X}") for c in (1, 2, 3)))
    names = [*(names or map(str, range(1, bands + 1 - latitude))), *["latitude"] * latitude]
    known = {"fill": 0, "mean": 0, "std": 1, "min": 0, "max": 255} | statistics
    by_band = {key: np.broadcast_to(value, len(names)).tolist() for key, value in known.items()}
    training = Training(
        data="",
        data_digest="",
        groups={},
        recipe="",
        settings={},
        seed=0,
        steps=0,
        seconds=0,
        first_weights="none",
        precision="float32",
        versions={},
        curve=[],
        validation_miou=None,
    )
    fields = {"name": path.stem, "dtype": dtype, "gsd": None, "latitude": latitude} | {
        **(card or {})
    }
    described = Card(
        swath_version="0",
        legend=legend,
        encoder="none",
        decoder="unet",
        network=NetworkShape(widths=[8, 8, 8, 8], pixel_width=0),
        bands=[
            CardBand(name=name, **{key: values[i] for key, values in by_band.items()})
            for i, name in enumerate(names)
        ],
        stride=32,
        halo=0,
        parameters=weights.size + 3,
        training=training,
        files={},
        **fields,
    )
    pack_model_file(path, described, written.SerializeToString(), save({"weights": weights}))
    return path


LEVEL = 100.0
"""Score of the third class of `write_model`, everywhere."""


def looked_up(values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the map (rows, columns) of `write_model`'s network for pixels."""
    first, last = values[0].astype(np.float32), values[-1].astype(np.float32)
    scores = np.stack([first, last if len(values) > 1 else -first, np.full_like(first, LEVEL)])
    return np.where(valid, scores.argmax(axis=0) + 1, 0).astype(np.uint8)
