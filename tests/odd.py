"""Well-formed rasters that few people write but some do, by seed, each with what a right reading
of it is.

The expected reading is worked out here from what was written and from the rules in
docs/reference/images.md, never by reading the file.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from tests.make import write_raster

CRSES = (
    None,
    None,
    "EPSG:32632",
    "EPSG:32760",
    "EPSG:4326",
    "EPSG:3857",
    "EPSG:3413",
    'LOCAL_CS["drawing",UNIT["metre",1]]',
)
TRANSFORMS = (
    None,
    Affine(10, 0, 500_000, 0, -10, 5_600_000),
    Affine(10, 0, 500_000, 0, 10, 5_600_000),
    Affine(-10, 0, 500_000, 0, -10, 5_600_000),
    Affine(6, 8, 500_000, 8, -6, 5_600_000),
    Affine(0.001, 0, 179.99, 0, -0.001, 10),
    Affine(1e-9, 0, 0, 0, -1e-9, 0),
    Affine(1e6, 0, -1e7, 0, -1e6, 1e7),
)
LOSSLESS = ("none", "deflate", "lzw", "zstd", "packbits", "lzma", "lerc", "lerc_deflate", "webp")
NAMES = ("x", "a b", "é", "x[1]", "100%", "-x", "#1", "x.y", "'", "日本")
DTYPES = (
    ("uint8",) * 6
    + ("uint16", "int16", "float32") * 3
    + ("int8", "uint32", "int32", "uint64", "int64", "float64")
)


@dataclass(frozen=True)
class Odd:
    """A raster on disk and what it holds.

    Attributes:
        path: the file.
        values: (bands, rows, columns) as they are to be read.
        valid: (rows, columns).
        crs: as it was written, None without.
        transform: as it was written, None without.
        off: mean difference that its compression may make; 0 for none.
        refused: word of the error by which it has to be refused; None for what has to be read.
    """

    path: Path
    values: NDArray[Any]
    valid: NDArray[np.bool_]
    crs: str | None = None
    transform: Affine | None = None
    off: float = 0
    refused: str | None = None


def odd(dice: np.random.Generator, folder: Path) -> Odd:
    """Write one odd raster into a folder."""
    kinds = (_tiff,) * 10 + (
        _bits,
        _palette,
        _lossy,
        _picture,
        _sparse,
        _alpha,
        _masked,
        _complex,
        _many,
        _huge,
    )
    return kinds[dice.integers(len(kinds))](dice, folder)


def labels(
    dice: np.random.Generator, path: Path, shape: tuple[int, int], **place: Any
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Write an odd mask of the codes 1 to 3, in a `crs` with a `transform`; return codes and where
    there are any."""
    dtype = _pick(
        dice, ("uint8",) * 4 + ("int16", "uint16", "int32", "float32", "float64", "int8", "uint32")
    )
    codes = dice.integers(1, 4, shape).astype(dtype)
    missing, nodata = np.zeros(shape, bool), None
    if dice.random() < 0.4:
        nodata = _pick(dice, (0, 100, 3))
        codes[dice.random(shape) < 0.2] = nodata
        missing = codes == nodata
    if codes.dtype.kind == "f" and dice.random() < 0.3:
        codes[0, 0] = np.nan
        missing[0, 0] = True
    table = (
        {v: (v * 60, 255 - v, 7) for v in range(256)}
        if dtype == "uint8" and dice.random() < 0.5
        else None
    )
    write_raster(path, codes, nodata=nodata, colormap=table, **place, **_storage(dice, dtype, 1))
    return np.where(missing, 0, np.nan_to_num(codes)).astype(np.int64), ~missing


def _pick(dice: np.random.Generator, of: Any) -> Any:
    return of[dice.integers(len(of))]


def _size(dice: np.random.Generator, most: int = 90) -> tuple[int, int]:
    """Return rows and columns; now and then one pixel, one row, one column, or more than what is
    read at once."""
    sizes = (
        *[tuple(int(n) for n in dice.integers(2, most, 2))] * 8,
        (1, 1),
        (1, most),
        (most, 1),
        (1100, 3),
        (3, 1100),
    )
    return sizes[dice.integers(len(sizes))]


def _place(dice: np.random.Generator) -> dict[str, Any]:
    crs, transform = _pick(dice, CRSES), _pick(dice, TRANSFORMS)
    return {"crs": crs, "transform": None if crs is None else transform}


def _storage(dice: np.random.Generator, dtype: str, bands: int) -> dict[str, Any]:
    """Draw how a GeoTIFF is laid out and compressed, without loss."""
    compress = _pick(dice, LOSSLESS)
    if compress == "webp" and (dtype != "uint8" or bands not in (3, 4)):
        compress = "deflate"
    if compress.startswith("lerc") and dtype not in ("uint8", "int16", "uint16", "int32", "uint32"):
        compress = "lzw"  # GDAL's writer has no LERC of 64 bits, and loses pixels beside NaN
    out: dict[str, Any] = {"compress": compress, "interleave": _pick(dice, ("pixel", "band"))}
    if compress == "webp":
        out |= {"interleave": "pixel", "WEBP_LOSSLESS": "YES"}
    if compress in ("deflate", "lzw", "zstd") and dtype != "int8":
        wide = np.dtype(dtype).kind == "f"
        out["predictor"] = _pick(dice, (1, 3) if wide else (1, 2))
        if out["predictor"] == 2 and np.dtype(dtype).itemsize == 8:
            out["predictor"] = 1  # the lowest rasterio that is allowed cannot write it
    if dice.random() < 0.5:
        out |= {
            "tiled": True,
            "blockxsize": int(_pick(dice, (16, 48, 256))),
            "blockysize": int(_pick(dice, (16, 32, 512))),
        }
    elif dice.random() < 0.5:
        out["blockysize"] = int(dice.integers(1, 50))
    out["BIGTIFF"] = _pick(dice, ("NO", "NO", "YES"))
    out["ENDIANNESS"] = _pick(dice, ("NATIVE", "NATIVE", "BIG"))
    return out


def _numbers(dice: np.random.Generator, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        scale = _pick(dice, (1.0, 300.0, 1e-30, 1e30))
        return (dice.standard_normal(shape) * scale).astype(dtype)
    info = np.iinfo(kind)
    low, high = (
        (int(info.min), int(info.max))
        if dice.random() < 0.5
        else (max(0, int(info.min)), min(255, int(info.max)))
    )
    return dice.integers(low, high, shape, dtype=kind, endpoint=True)


def _holes(
    dice: np.random.Generator, values: NDArray[Any]
) -> tuple[NDArray[np.bool_], float | None]:
    """Put a declared nodata value into some pixels, here of all bands, there of one; return what
    is valid then."""
    info = np.iinfo(values.dtype) if values.dtype.kind in "iu" else None
    choices = (
        [0, int(info.min), int(info.max), 7]
        if info
        else [0, -9999, np.nan, 7, -3.4028234663852886e38]
    )
    nodata = None if dice.random() < 0.4 else _pick(dice, choices)
    if nodata is not None and info and abs(nodata) > 2**53:
        nodata = 7  # a TIFF writes it as text, and rasterio takes it as a float
    bands, rows, cols = values.shape
    if nodata is not None:
        values[:, dice.random((rows, cols)) < 0.1] = nodata
        values[0, dice.random((rows, cols)) < 0.1] = nodata
    if not info and dice.random() < 0.4:
        values[-1, dice.random((rows, cols)) < 0.1] = _pick(dice, (np.nan, np.inf, -np.inf))
    return _valid(values, nodata), nodata


def _valid(values: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    """Apply the rule of docs/reference/images.md."""
    valid = (
        np.isfinite(values.astype(np.float32)).all(axis=0)
        if values.dtype.kind == "f"
        else np.ones(values.shape[1:], bool)
    )
    if nodata is None or np.isnan(nodata):
        return valid
    whole = values.dtype.kind in "iu"
    doubtful = whole and (
        nodata == 0 or (values.dtype.kind == "u" and nodata == np.iinfo(values.dtype).max)
    )
    held = values == np.asarray(nodata, values.dtype)
    return valid & ~(held.all(axis=0) if doubtful else held.any(axis=0))


def _tiff(dice: np.random.Generator, folder: Path) -> Odd:
    """A GeoTIFF of any type, size, layout, compression, place and nodata."""
    dtype, bands = _pick(dice, DTYPES), int(_pick(dice, (1, 2, 3, 3, 3, 4, 5, 12)))
    values = _numbers(dice, (bands, *_size(dice)), dtype)
    valid, nodata = _holes(dice, values)
    extra: dict[str, Any] = (
        {"photometric": "RGB"} if bands == 3 and dtype == "uint8" and dice.random() < 0.5 else {}
    )
    if bands > 3 and dtype == "uint8":
        extra["ALPHA"] = "NO"
    if dice.random() < 0.3:
        extra["descriptions"] = [
            _pick(dice, ("B1", "B1", "é", "near infrared", "", "nan")) for _ in range(bands)
        ]
    place = _place(dice)
    path = folder / f"{_pick(dice, NAMES)}.{_pick(dice, ('tif', 'TIF', 'tiff'))}"
    write_raster(path, values, nodata=nodata, **place, **extra, **_storage(dice, dtype, bands))
    return Odd(path, values, valid, **place)


def _bits(dice: np.random.Generator, folder: Path) -> Odd:
    """Fewer bits than the type has, black and white on either side, with the compressions of
    faxes."""
    bits = int(_pick(dice, (1, 1, 2, 4, 7, 10, 12)))
    dtype = "uint8" if bits <= 8 else "uint16"
    values = dice.integers(0, 2**bits, (1, *_size(dice))).astype(dtype)
    extra: dict[str, Any] = {"NBITS": bits}
    if bits == 1:
        extra["compress"] = _pick(dice, ("none", "ccittfax4", "ccittfax3", "packbits", "lzw"))
        extra["photometric"] = _pick(dice, ("MINISBLACK", "MINISWHITE"))
    path = write_raster(folder / "bits.tif", values, **extra)
    if bits == 1:  # as people see it
        values = np.repeat(
            np.where((values == 0) == (extra["photometric"] == "MINISWHITE"), 255, 0), 3, axis=0
        ).astype(np.uint8)
    return Odd(path, values, np.ones(values.shape[1:], bool))


def _palette(dice: np.random.Generator, folder: Path) -> Odd:
    """Indices into colors."""
    indices = dice.integers(0, 256, _size(dice)).astype(np.uint8)
    colors = dice.integers(0, 256, (256, 3))
    nodata = _pick(dice, (None, 0, 9))
    driver, name = _pick(dice, (("GTiff", "p.tif"), ("PNG", "p.png"), ("BMP", "p.bmp")))
    nodata = None if driver == "BMP" else nodata
    path = write_raster(
        folder / name,
        indices,
        driver=driver,
        nodata=nodata,
        colormap={i: tuple(map(int, c)) for i, c in enumerate(colors)},
    )
    valid = np.ones(indices.shape, bool) if nodata is None else indices != nodata
    return Odd(path, colors[indices].transpose(2, 0, 1).astype(np.uint8), valid)


def _lossy(dice: np.random.Generator, folder: Path) -> Odd:
    """JPEG and WebP, alone and inside TIFF, of smooth pictures."""
    rows, cols = (int(n) for n in dice.integers(8, 90, 2))
    y, x = np.mgrid[:rows, :cols]
    bands = int(_pick(dice, (1, 3, 3)))
    values = np.stack(
        [40 + 20 * b + 60 * np.sin(x / 30) + 60 * np.cos(y / 25) for b in range(bands)]
    )
    values = values.clip(0, 255).astype(np.uint8)
    ways: list[tuple[str, dict[str, Any]]] = [
        ("l.jpg", {"driver": "JPEG", "quality": 90}),
        ("l.tif", {"compress": "jpeg", "JPEG_QUALITY": 90}),
    ]
    if bands == 3:
        ways += [
            ("l.webp", {"driver": "WEBP", "quality": 90}),
            (
                "l.tif",
                {
                    "compress": "jpeg",
                    "photometric": "YCBCR",
                    "tiled": True,
                    "blockxsize": 32,
                    "blockysize": 32,
                },
            ),
            ("l.tif", {"compress": "webp", "WEBP_LEVEL": 90, "interleave": "pixel"}),
        ]
    name, how = _pick(dice, ways)
    return Odd(
        write_raster(folder / name, values, **how), values, np.ones((rows, cols), bool), off=6
    )


def _picture(dice: np.random.Generator, folder: Path) -> Odd:
    """Lossless pictures without a place."""
    bands = int(_pick(dice, (1, 3)))
    name, driver, dtype = _pick(
        dice, (("p.png", "PNG", "uint8"), ("p.png", "PNG", "uint16"), ("p.bmp", "BMP", "uint8"))
    )
    values = _numbers(dice, (bands, *_size(dice)), dtype)
    path = write_raster(folder / name, values, driver=driver)
    if driver == "BMP":
        values = np.broadcast_to(values, (3, *values.shape[1:]))  # gray is a palette there
    return Odd(path, values, np.ones(values.shape[1:], bool))


def _sparse(dice: np.random.Generator, folder: Path) -> Odd:
    """Blocks that were never written: they hold the nodata value where one is declared, else 0."""
    nodata = _pick(dice, (None, 0, 7))
    bands = int(_pick(dice, (1, 3)))
    shape = tuple(int(n) for n in dice.integers(40, 130, 2))
    values = np.full((bands, *shape), 0 if nodata is None else nodata, "uint8")
    valid = np.full(shape, nodata is None)
    path = folder / "sparse.tif"
    profile = {
        "driver": "GTiff",
        "count": bands,
        "height": shape[0],
        "width": shape[1],
        "dtype": "uint8",
    }
    how = {
        "tiled": True,
        "blockxsize": 32,
        "blockysize": 32,
        "SPARSE_OK": True,
        "interleave": _pick(dice, ("pixel", "band")),
    }
    with rasterio.open(path, "w", nodata=nodata, **profile, **how) as out:
        for row in range(0, shape[0], 32):
            for col in range(0, shape[1], 32):
                if dice.random() < 0.5:
                    part = dice.integers(
                        10, 200, (bands, min(32, shape[0] - row), min(32, shape[1] - col))
                    ).astype("uint8")
                    out.write(
                        part, window=rasterio.windows.Window(col, row, part.shape[2], part.shape[1])
                    )
                    values[:, row : row + 32, col : col + 32] = part
                    valid[row : row + 32, col : col + 32] = True
    return Odd(path, values, valid)


def _alpha(dice: np.random.Generator, folder: Path) -> Odd:
    """An alpha band of 8 or 16 bits."""
    bands = int(_pick(dice, (1, 3)))
    name, driver = _pick(dice, (("a.tif", "GTiff"), ("a.png", "PNG")))
    values = _numbers(dice, (bands + 1, *_size(dice)), _pick(dice, ("uint8", "uint16")))
    values[-1] = np.where(dice.random(values.shape[1:]) < 0.3, 0, np.iinfo(values.dtype).max)
    interp = (
        [ColorInterp.gray] if bands == 1 else [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    )
    extra: dict[str, Any] = (
        {"colorinterp": [*interp, ColorInterp.alpha]} if driver == "GTiff" else {}
    )
    path = write_raster(folder / name, values, driver=driver, **extra)
    return Odd(path, values[:-1], values[-1] > 0)


def _masked(dice: np.random.Generator, folder: Path) -> Odd:
    """A mask inside the file."""
    values = _numbers(dice, (3, *_size(dice)), "uint8")
    mask = dice.random(values.shape[1:]) < 0.7
    return Odd(write_raster(folder / "masked.tif", values, mask=mask), values, mask)


def _complex(dice: np.random.Generator, folder: Path) -> Odd:
    """Numbers that are no measurements."""
    values = _numbers(dice, (1, 5, 6), "float32")
    path = write_raster(
        folder / "complex.tif", values.astype(_pick(dice, ("complex64", "complex128")))
    )
    return Odd(path, values, np.ones((5, 6), bool), refused="complex")


def _many(dice: np.random.Generator, folder: Path) -> Odd:
    """Three hundred bands."""
    dtype = _pick(dice, ("uint8", "uint16", "float32"))
    values = _numbers(dice, (300, *_size(dice, 12)), dtype)
    values = values[:, :20, :20]
    path = write_raster(
        folder / "many.tif", values, interleave=_pick(dice, ("pixel", "band")), compress="deflate"
    )
    return Odd(path, values, _valid(values, None))


def _huge(dice: np.random.Generator, folder: Path) -> Odd:
    """Values that no float32 holds, and control points instead of a transform."""
    values = _numbers(dice, (2, *_size(dice)), "float64")
    values[0, dice.random(values.shape[1:]) < 0.2] = 1e300
    gcps = [
        GroundControlPoint(r, c, 10 + c / 100, 50 - r / 100)
        for r, c in ((0, 0), (0, 9), (9, 0), (9, 9))
    ]
    path = write_raster(
        folder / "gcps.tif",
        values,
        **({"gcps": gcps, "crs": "EPSG:4326"} if dice.random() < 0.5 else {}),
    )
    return Odd(path, values, _valid(values, None))


def moved(found: Odd, path: Path) -> Odd:
    """Return the same raster under another name."""
    found.path.rename(path)
    return replace(found, path=path)
