"""Images with traps, from a grammar: written by seed, each with the map that is right.

A case follows from its seed alone: numbers x nodata x names of bands x container x place x quality
layers x one trap. `image_grammar` judges what `predict` makes of a case.
"""

import json
import shutil
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
import rasterio.shutil
import shapely
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.transform import Affine
from rasterio.warp import transform_geom

from swath.io.raster import gdal_env
from tests.make import truncate, write_layer, write_raster
from tests.mapping.image_maker import (
    COMMON,
    CRSES,
    ENGINEERING,
    FORMATS,
    GEOTIFFS,
    LOSSY,
    NO_DATA,
    NUMBERS,
    S2_NAMES,
    Answer,
    Case,
    Maker,
    Values,
)

# What is in order: containers, places, names, types ----------------------------------------------


def plain(case: Case) -> Case:
    """An image in any file that holds it."""
    maker = Maker(case)
    kinds = [k for k in FORMATS if k not in LOSSY]
    path = maker.write(among=kinds)
    maker.right()
    if maker.chance(0.4):  # trained with more, or with less
        middle = maker.values.mean((1, 2), keepdims=True)
        maker.model_values = middle + (maker.values - middle) * maker.pick((0.7, 2.0))
    return maker.finish(path)


def jpeg(case: Case) -> Case:
    """A picture of good quality."""
    maker = Maker(case, ("bytes",), (1, 3))
    path = maker.write(among=LOSSY)
    maker.right(error=2.0)
    return maker.finish(path)


def nearinfrared(case: Case) -> Case:
    """Four bands of 8 bits, whose last GDAL calls alpha."""
    maker = Maker(case, ("bytes",), (4, 2))
    path = maker.write()
    maker.right()
    return maker.finish(path)


def turned(case: Case) -> Case:
    """South-up, mirrored, rotated and sheared pixels."""
    maker = Maker(case)
    maker.utm()
    kind = maker.pick(("south-up", "mirrored", "rotated", "sheared", "oblong"))
    own = maker.transform
    angle = float(maker.rng.uniform(5, 85))
    maker.transform = {
        "south-up": own * Affine.scale(1, -1),
        "mirrored": own * Affine.scale(-1, 1),
        "rotated": own * Affine.rotation(angle),
        "sheared": own * Affine.shear(15, 5),
        "oblong": own * Affine.scale(1, 1.7),
    }[kind]
    case.trap = f"turned ({kind})"
    path = maker.write()
    maker.right()
    return maker.finish(path)


def odd_crs(case: Case) -> Case:
    """An engineering CRS, or ground control points alone."""
    maker = Maker(case)
    maker.utm()
    if maker.chance(0.5):
        maker.crs = rasterio.CRS.from_wkt(ENGINEERING)
        path = maker.write(among=GEOTIFFS[:3])
        maker.right()
        return maker.finish(path)
    own, maker.transform, maker.crs = maker.transform, None, None
    corners = [(0, 0), (0, maker.width), (maker.height, 0), (maker.height, maker.width)]
    points = [GroundControlPoint(r, c, *(own * (c, r))) for r, c in corners]
    path = maker.write(among=("strips",))
    with rasterio.open(path, "r+") as file:
        file.gcps = (points, rasterio.CRS.from_string(CRSES[0]))
    maker.right(plain=False)
    return maker.finish(path)


def names(case: Case) -> Case:
    """Names of bands that say which is which."""
    maker = Maker(case, ("reflectance", "fraction"), (3, 4))
    known = maker.pick((S2_NAMES, COMMON))
    maker.model_names = known[: maker.count]
    held, own = maker.values, list(maker.model_names)
    kind = maker.pick(("order", "extra", "spelled", "common", "order and extra"))
    case.trap = f"names ({kind})"
    if "extra" in kind:
        noise = maker.values[:2] * maker.rng.uniform(0.2, 0.9, maker.values[:2].shape)
        held, own = np.concatenate([held, noise]), [*own, "B09", "B01"]
    if kind != "spelled" and kind != "common":
        turn = maker.rng.permutation(len(own))
        held, own = held[turn], [own[i] for i in turn]
    if kind == "spelled":
        change = maker.pick((str.lower, str.upper, lambda n: n.replace("B0", "B"), str.title))
        own = [change(n) for n in own]
    if kind == "common":
        own = list((COMMON if known is S2_NAMES else S2_NAMES)[: maker.count])
    maker.names = own
    path = _with_bands(maker, held)
    maker.right(plain=kind != "common")
    return maker.finish(path)


def _with_bands(maker: Maker, held: Values, **more: Any) -> Path:
    return maker.write(maker.stored(held), among=GEOTIFFS, **more)


def band_order(case: Case) -> Case:
    """Bands that the user names by number."""
    maker = Maker(case, ("reflectance", "fraction", "bytes"), (3, 4))
    turn = [int(i) for i in maker.rng.permutation(maker.count)]
    maker.names = None if maker.chance(0.6) else [f"x{i}" for i in range(maker.count)]
    path = _with_bands(maker, maker.values[turn])
    case.options["band_order"] = [turn.index(i) + 1 for i in range(maker.count)]
    maker.right()
    return maker.finish(path)


def other_names(case: Case) -> Case:
    """Names without the bands that are wanted, or that are ambiguous."""
    maker = Maker(case, ("reflectance",), (4,))
    kind = maker.pick(("missing", "disjoint", "few", "many", "ambiguous"))
    case.trap = f"other names ({kind})"
    maker.model_names, held = COMMON[:4], maker.values
    maker.names = ["blue", "green", "red", "coastal"] if kind == "missing" else ["h", "v", "x", "y"]
    if kind == "few":
        held, maker.names = held[:3], None
    if kind == "many":
        held, maker.names = np.concatenate([held, held[:1]]), None
    if kind == "ambiguous":
        held = np.concatenate([held, held[:1], held])[:8]
        maker.names = [f"B{i}" for i in range(1, 9)]
    return _refused(maker, _with_bands(maker, held))


def _refused(maker: Maker, image: Any, about: str = ".") -> Case:
    maker.case.about = about
    return maker.finish(image)


# Numbers -----------------------------------------------------------------------------------------

FACTORS = {
    "reflectance": (1e-4, 1e-2),
    "fraction": (1e4, 100.0),
    "bytes": (1 / 255, 257.0),
    "full range": (1 / 257, 1 / 65_535),
    "decibels": (100.0,),
    "kelvin": (0.01,),
}


def other_scale(case: Case) -> Case:
    """All bands times a factor, or one of them."""
    maker = Maker(case, tuple(FACTORS))
    factor = maker.pick(FACTORS[case.unit])
    one = maker.count > 1 and maker.chance(0.3)
    chosen = [int(maker.rng.integers(maker.count))] if one else list(range(maker.count))
    held = maker.values.copy()
    held[chosen] *= factor
    case.trap = f"other scale (x{factor:.3g}{', one band' if one else ''})"
    maker.dtype = np.dtype("float32")
    if factor > 1 and case.unit != "decibels" and not one:
        maker.dtype = np.dtype(maker.pick(("uint16", "float32")))
    return _refused(maker, maker.write(maker.stored(held)), NUMBERS)


def other_offset(case: Case) -> Case:
    """Sentinel-2's 1000 too many or too few, or degrees Celsius."""
    maker = Maker(case, ("reflectance", "kelvin"))
    shift = maker.pick((1000.0, -1000.0)) if case.unit == "reflectance" else -273.15
    case.trap = f"other offset ({shift:g})"
    if shift == -1000:  # trained with those of baseline 04.00
        maker.model_values = maker.values + 1000
        held = maker.values
        maker.bias = maker.bias + (maker.weights.sum(1) * shift).astype(np.float32)
    else:
        held = maker.values + shift
    return _refused(maker, maker.write(maker.stored(held)), NUMBERS)


def other_type(case: Case) -> Case:
    """The same numbers in another type."""
    dtypes = ("uint8",) if case.seed % 2 else ("uint16", "int16")
    maker = Maker(case, ("bytes",) if case.seed % 2 else ("reflectance",), dtype=dtypes)
    wider = {"bytes": ("int16", "uint16", "float32"), "reflectance": ("int32", "float32")}
    maker.dtype = np.dtype(maker.pick(wider[case.unit]))
    path = maker.write()
    maker.right(plain=False)
    return maker.finish(path)


def scale_tags(case: Case) -> Case:
    """Numbers that are stored with scale and offset, of models that read them and others."""
    maker = Maker(case, ("reflectance", "fraction", "kelvin", "decibels"), dtype=("float32",))
    kind = maker.pick(("physical", "physical", "stored", "raw", "old model"))
    case.trap = f"scale tags ({kind})"
    low, high = maker.values.min((1, 2)), maker.values.max((1, 2))
    scales = (high - low) / maker.pick((250.0, 9_000.0, 60_000.0))
    offsets = low - scales * maker.pick((1.0, 300.0))
    if maker.chance(0.5):  # one for all bands
        scales, offsets = np.full_like(scales, scales.max()), np.full_like(offsets, offsets.min())
    held = np.rint((maker.values - offsets[:, None, None]) / scales[:, None, None])
    fitting = [t for t in ("uint8", "uint16", "int32") if held.max() <= np.iinfo(t).max]
    maker.dtype = np.dtype(maker.pick(fitting))
    physical = held * scales[:, None, None] + offsets[:, None, None]
    tiny = float(np.abs(physical).max()) * 1e-6
    path = maker.write(maker.stored(held), among=("strips", "tiles", "planar", "erdas"))
    with gdal_env(), rasterio.open(path, "r+") as file:
        file.scales, file.offsets = scales.tolist(), offsets.tolist()
    maker.model_dtype, maker.model_values = "float32", physical
    if kind in ("physical", "raw"):
        maker.card["scaled"] = True
        case.needs.add("scaled")
    if kind == "physical":
        maker.right(values=physical, error=tiny)
        return maker.finish(path)
    if kind == "stored":
        _train_on(maker, held)
        maker.right(values=held)
        return maker.finish(path)
    if kind == "raw":
        _train_on(maker, held)
        case.options["raw"] = True
        case.needs.add("raw")
        maker.right(values=held)
        return maker.finish(path)
    case.answers.append(maker.answer(values=physical, error=tiny))
    return _refused(maker, path, NUMBERS)


def _train_on(maker: Maker, values: Values) -> None:
    """Make the network and the card those of other numbers, as they are stored."""
    maker.model_dtype = str(maker.dtype)
    maker.values = maker.model_values = values
    maker._network()


# Nodata ------------------------------------------------------------------------------------------


def _ambiguous(dtype: np.dtype[Any], value: float) -> bool:
    return value == 0 or (dtype.kind == "u" and value == np.iinfo(dtype).max)


def _nodata_values(dtype: np.dtype[Any]) -> list[float]:
    if dtype.kind == "f":
        largest = float(np.finfo("float32").max)
        return [0, -9999, float("nan"), -largest, largest, 9.96921e36, 1e20, -32768, -999]
    limits = np.iinfo(dtype)
    return [0, limits.max, limits.min, *([-9999] if limits.min < -9999 else [])]


def declared(case: Case) -> Case:
    """A declared value beyond an edge in all bands, and in single bands here and there."""
    maker = Maker(case)
    value = maker.pick(_nodata_values(maker.dtype))
    beyond, lone = maker.wedge(), maker.holes()
    held, band = maker.values.copy(), int(maker.rng.integers(maker.count))
    held[:, beyond] = value
    held[band, lone] = value
    only = lone if not _ambiguous(maker.dtype, value) or maker.count == 1 else beyond
    path = maker.write(maker.stored(held), among=[*GEOTIFFS, "erdas"], nodata=value)
    maker.right(values=held, valid=~(beyond | only))
    case.trap = f"declared nodata ({value:g})"
    return maker.finish(path)


def undeclared(case: Case) -> Case:
    """A value that evidently means no data and is not declared; or that the user gives."""
    maker = Maker(case, ("bytes", "reflectance", "fraction", "full range", "kelvin"))
    value = maker.pick([v for v in _nodata_values(maker.dtype) if v == v])
    beyond = maker.wedge()
    held = maker.values.copy()
    held[:, beyond] = value
    path = maker.write(maker.stored(held))
    given = maker.chance(0.5)
    case.trap = f"undeclared nodata ({value:.4g}{', --nodata' if given else ''})"
    if given:
        case.options["nodata"] = value
        case.needs.add("nodata")
    maker.right(plain=given, values=held, valid=~beyond)
    return _refused(maker, path, NO_DATA) if not given else maker.finish(path)


def not_finite(case: Case) -> Case:
    """NaN or infinity in single bands, not declared."""
    maker = Maker(case, ("fraction", "decibels", "kelvin"))
    lone, band = maker.holes(0.05), int(maker.rng.integers(maker.count))
    held = maker.values.copy()
    held[band, lone] = maker.pick((np.nan, np.inf, -np.inf))
    path = maker.write(maker.stored(held))
    maker.right(values=held, valid=~lone)
    return maker.finish(path)


def marked(case: Case) -> Case:
    """An alpha band, or a mask within the file or beside it."""
    maker = Maker(case, ("bytes", "reflectance"), (1, 3), dtype=("uint8", "uint16"))
    if maker.dtype == "uint8":
        maker = Maker(case, ("bytes",), (1, 3))
    gone = maker.wedge()
    kind = maker.pick(("alpha", "mask", "png alpha"))
    case.trap = f"marked ({kind})"
    held = maker.stored()
    if kind == "mask":
        path = maker.write(held, among=("strips", "tiles"), mask=~gone)
    else:
        held[:, gone] = 0
        opaque = np.where(gone, 0, np.iinfo(maker.dtype).max).astype(maker.dtype)
        bands = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        bands = bands if maker.count == 3 else (ColorInterp.gray,)
        more = {} if kind == "png alpha" else {"colorinterp": [*bands, ColorInterp.alpha]}
        maker.names = None
        among = ("png",) if kind == "png alpha" else ("strips", "tiles")
        path = maker.write(np.concatenate([held, opaque[None]]), among=among, **more)
    maker.right(valid=~gone)
    return maker.finish(path)


def opaque(case: Case) -> Case:
    """A picture whose alpha is opaque, for a model of near infrared."""
    maker = Maker(case, ("bytes",), (4,))
    maker.model_names = COMMON[:4] if maker.chance(0.5) else None
    maker.names, held = None, maker.stored()
    held[3] = 255
    bands = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    path = maker.write(held, among=("strips", "tiles"), colorinterp=bands)
    return _refused(maker, path, NUMBERS)


def transparent_color(case: Case) -> Case:
    """A PNG with one color that is transparent."""
    maker = Maker(case, ("bytes",), (3,))
    gone, lone, held = maker.wedge(), maker.holes(), maker.values.copy()
    color = [int(n) for n in maker.rng.integers(0, 256, 3)]
    held[:, gone] = np.array(color)[:, None]
    held[0, lone] = color[0]
    path = maker.write(maker.stored(held), among=("png",))
    chunk = b"tRNS" + b"".join(c.to_bytes(2, "big") for c in color)
    chunk = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    content = path.read_bytes()
    at = content.index(b"IDAT") - 4
    path.write_bytes(content[:at] + chunk + content[at:])
    maker.right(values=held, valid=~(held == np.array(color)[:, None, None]).all(0))
    return maker.finish(path)


def dead(case: Case) -> Case:
    """A band without data, or an image without."""
    maker = Maker(case, ("reflectance", "fraction", "bytes"), (3, 4))
    value = maker.pick(
        [v for v in _nodata_values(maker.dtype) if not _ambiguous(maker.dtype, v)] or [255]
    )
    held = maker.values.copy()
    kind = maker.pick(("band", "band ignored", "all"))
    case.trap = f"dead ({kind})"
    band = int(maker.rng.integers(maker.count))
    held[band if kind != "all" else slice(None)] = value
    path = maker.write(maker.stored(held), nodata=value)
    if kind == "band ignored":
        case.needs.add("ignore_band_nodata")
        case.options["ignore_band_nodata"] = True
        if not _ambiguous(maker.dtype, value):
            held[band] = maker.values[band].mean()
            maker.right(plain=False, values=held, error=1e-3 + abs(held[band].max()) * 1e-6)
    return _refused(maker, path, f"{NO_DATA}|{NUMBERS}")


# Virtual rasters, stacks and mosaics -------------------------------------------------------------


def _vrt(maker: Maker, sources: Sequence[Sequence[dict[str, Any]]], name: str = "x.vrt") -> Path:
    """Write a virtual raster; `sources` of each band have file, band, window and more.

    The keys `nodata` of a first source and `window` (column, row, width, height) may be absent.
    """
    kind = {"uint8": "Byte", "int8": "Int8"}.get(str(maker.dtype), str(maker.dtype).title())
    kind = kind.replace("Uint", "UInt")
    text = [f'<VRTDataset rasterXSize="{maker.width}" rasterYSize="{maker.height}">']
    if maker.crs is not None:
        text.append(f"<SRS>{escape(rasterio.CRS.from_user_input(maker.crs).to_wkt())}</SRS>")
    if maker.transform is not None:
        numbers = ", ".join(f"{v:.17g}" for v in maker.transform.to_gdal())
        text.append(f"<GeoTransform>{numbers}</GeoTransform>")
    for i, parts in enumerate(sources, 1):
        text.append(f'<VRTRasterBand dataType="{kind}" band="{i}">')
        if maker.names:
            text.append(f"<Description>{maker.names[i - 1]}</Description>")
        if "nodata" in parts[0]:
            text.append(f"<NoDataValue>{parts[0]['nodata']:.17g}</NoDataValue>")
        for part in parts:
            col, row, width, height = part.get("window", (0, 0, maker.width, maker.height))
            text.append(
                f'<SimpleSource><SourceFilename relativeToVRT="1">{escape(part["file"].name)}'
                f"</SourceFilename><SourceBand>{part['band']}</SourceBand>"
                f'<SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/>'
                f'<DstRect xOff="{col}" yOff="{row}" xSize="{width}" ySize="{height}"/>'
                "</SimpleSource>"
            )
        text.append("</VRTRasterBand>")
    path = maker.case.root / name
    path.write_text("\n".join([*text, "</VRTDataset>"]), encoding="utf-8")
    return path


def virtual(case: Case) -> Case:
    """A virtual raster of one file, of a file a band, of another one, with gaps."""
    maker = Maker(case)
    kind = maker.pick(("one", "bands", "nested", "gap", "nested gap", "missing", "nodata by band"))
    case.trap = f"virtual ({kind})"
    bands = range(1, maker.count + 1)
    path = maker.write(among=GEOTIFFS[:3])
    case.container = "vrt"
    whole: list[list[dict[str, Any]]] = [[{"file": path, "band": b}] for b in bands]
    if kind == "bands":
        for b in bands:
            own = case.root / f"part{b}.tif"
            write_raster(own, maker.stored()[b - 1], crs=maker.crs, transform=maker.transform)
            whole[b - 1] = [{"file": own, "band": 1}]
    if "gap" in kind:
        part = (0, 0, maker.width - 11, maker.height - 7)
        for sources in whole:
            sources[0]["window"] = part
        maker.valid[part[3] :] = maker.valid[:, part[2] :] = False
    if kind == "nodata by band":
        return _nodata_by_band(maker, whole)
    made = _vrt(maker, whole)
    if "nested" in kind:
        made = _vrt(maker, [[{"file": made, "band": b}] for b in bands], "outer.vrt")
    if kind == "missing":
        path.unlink()
        return _refused(maker, made)
    maker.right()
    return maker.finish(made)


def _nodata_by_band(maker: Maker, sources: list[list[dict[str, Any]]]) -> Case:
    """Declare another value for each band, that some of its own pixels have."""
    held, gone = maker.values.copy(), np.zeros_like(maker.valid)
    for b in range(maker.count):
        value = float(np.rint(maker.values[b].max())) + b + 1
        lone = maker.holes()
        held[b, lone] = value
        sources[b][0]["nodata"] = float(maker.stored(held)[b, lone].max()) if lone.any() else value
        gone |= lone
    write_raster(
        sources[0][0]["file"], maker.stored(held), crs=maker.crs, transform=maker.transform
    )
    maker.right(values=held, valid=~gone)
    return maker.finish(_vrt(maker, sources))


def stack(case: Case) -> Case:
    """A folder of one file a band."""
    maker = Maker(case, count=(2, 3, 4))
    maker.model_names = maker.pick((S2_NAMES, COMMON))[: maker.count]
    kind = maker.pick(("plain", "plain", "half a pixel", "other crs", "missing", "other type"))
    case.trap, case.container = f"stack ({kind})", "files"
    odd = int(maker.rng.integers(maker.count))
    if kind in ("half a pixel", "other crs"):
        maker.utm()
    head = maker.pick(("", "T32UPU_20240601_", "LC09_"))
    for b, name in enumerate(maker.model_names):
        crs, transform, held = maker.crs, maker.transform, maker.stored()[b]
        if b == odd and kind == "half a pixel":
            transform = transform * Affine.translation(0.5, 0.5)
        if b == odd and kind == "other crs":
            crs = "EPSG:32633"
        if b == odd and kind == "missing":
            continue
        if b == odd and kind == "other type":
            held = held.astype("float64")
        path = case.root / "bands" / f"{head}{name}.tif"
        write_raster(path, held, crs=crs, transform=transform)
    if maker.chance(0.4):
        write_raster(case.root / "bands" / "extra.tif", maker.stored()[0])
    case.options["stack"] = case.root / "bands"
    if kind in ("plain", "other type"):
        maker.right(plain=kind == "plain")
    return maker.finish()


def resolutions(case: Case) -> Case:
    """Bands of 10, 20 and 60 meters in a folder, with nodata or without."""
    maker = Maker(case, ("reflectance", "fraction", "kelvin"), (3, 4), side=(60, 72))
    maker.utm()
    case.container = "files"
    maker.model_names = S2_NAMES[: maker.count]
    seen = maker.values.copy()
    error = 0.51 if maker.dtype.kind in "iu" else 1e-5 * np.abs(seen).max()
    for b, name in enumerate(maker.model_names):
        factor = 1 if b == 0 else int(maker.pick((1, 2, 6)))
        held = maker.stored()[b, factor // 2 :: factor, factor // 2 :: factor]
        seen[b] = _bilinear(held.astype(np.float64), factor)
        transform = maker.transform * Affine.scale(factor)
        write_raster(case.root / "bands" / f"{name}.tif", held, crs=maker.crs, transform=transform)
    case.options["stack"] = case.root / "bands"
    maker.right(values=seen, error=error)
    return maker.finish()


def _bilinear(coarse: Values, factor: int) -> Values:
    """Interpolate between pixel centers (rows, columns); beyond the outer ones, these count."""
    for axis in (0, 1):
        size = coarse.shape[axis]
        at = np.clip((np.arange(size * factor) + 0.5) / factor - 0.5, 0, size - 1)
        low = np.minimum(at.astype(int), max(0, size - 2))
        share = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
        high = np.minimum(low + 1, size - 1)
        coarse = coarse.take(low, axis) * (1 - share) + coarse.take(high, axis) * share
    return coarse


def mosaic(case: Case) -> Case:
    """Two images beside each other, that overlap or leave a gap."""
    maker = Maker(case)
    maker.utm()
    kind = maker.pick(
        ("plain", "plain", "nodata", "half a pixel", "other crs", "other bands", "other order")
        + ("other order", "other scale", "other type", "one nodata")
    )
    case.trap, case.container = f"mosaic ({kind})", "files"
    cut, overlap = maker.width // 2, int(maker.pick((0, 9, -6)))
    left, right = maker.stored()[:, :, :cut], maker.stored()[:, :, cut - overlap :]
    profile: dict[str, Any] = {"descriptions": maker.names}
    if overlap < 0:
        maker.valid[:, cut : cut - overlap] = False
    if kind == "nodata":
        gone = maker.rng.random(left.shape[1:]) < 0.1
        value = float(np.iinfo(maker.dtype).min if maker.dtype.kind in "iu" else -9999)
        left[:, gone] = value
        profile["nodata"] = value
        behind = np.zeros_like(maker.valid)
        behind[:, cut - max(overlap, 0) : cut] = True
        missing = np.zeros_like(maker.valid)
        missing[:, :cut] = gone
        maker.valid &= ~(missing & ~behind)
    place, crs = maker.transform * Affine.translation(cut - overlap, 0), maker.crs
    if kind == "half a pixel":
        place = place * Affine.translation(0, 0.5)
    if kind == "other crs":
        crs = "EPSG:32633"
    if kind == "other bands":
        right = np.concatenate([right, right[:1]])
        profile["descriptions"] = None
    folder = case.root / "images"
    write_raster(folder / "a.tif", left, crs=maker.crs, transform=maker.transform, **profile)
    if kind == "other order":
        maker.names = maker.model_names = COMMON[: maker.count]
        write_raster(folder / "a.tif", left, maker.crs, maker.transform, descriptions=maker.names)
        right, profile["descriptions"] = right[::-1], maker.names[::-1]
    if kind == "other type":
        right = right.astype("float64")
    if kind == "one nodata":
        middle = float(np.median(right))
        profile["nodata"] = middle
        gone = np.zeros_like(maker.valid)
        gone[:, cut - overlap :] = (right == middle).any(0)
        gone[:, :cut] = False
        maker.valid &= ~gone
    path = write_raster(folder / "b.tif", right, crs=crs, transform=place, **profile)
    if kind == "other scale":
        with gdal_env(), rasterio.open(path, "r+") as file:
            file.scales, file.offsets = [0.5] * maker.count, [3.0] * maker.count
        maker.card["scaled"] = True
        case.needs.add("scaled")
        physical = maker.values.copy()
        physical[:, :, cut:] = physical[:, :, cut:] * 0.5 + 3
        case.answers.append(maker.answer(values=physical, error=1e-5 * np.abs(physical).max()))
    case.options["mosaic"] = True
    if kind in ("plain", "nodata", "other order", "one nodata", "other type"):
        maker.right(plain=kind in ("plain", "nodata"))
    return maker.finish(folder)


def packed(case: Case) -> Case:
    """An image in a zip file, named in a list, or the only one of a folder."""
    maker = Maker(case)
    path = maker.write()
    kind = maker.pick(("zip", "list", "folder", "pattern"))
    case.trap, case.many = f"packed ({kind})", kind in ("list", "folder")
    image: Any = path
    if kind == "zip":
        with zipfile.ZipFile(case.root / "a.zip", "w") as out:
            out.write(path, f"deep/{path.name}")
        image = f"/vsizip/{case.root}/a.zip/deep/{path.name}"
    if kind == "list":
        image = case.root / "images.txt"
        image.write_text(f"# one\n{path}\n\n", encoding="utf-8")
    if kind in ("folder", "pattern"):
        (case.root / "images").mkdir()
        shutil.move(path, case.root / "images" / path.name)
        image = case.root / "images" / ("" if kind == "folder" else "sc*")
    maker.right()
    return maker.finish(image)


def broken(case: Case) -> Case:
    """A file that is cut off, empty, of complex numbers, or no raster."""
    maker = Maker(case)
    kind = maker.pick(("cut off", "empty", "complex", "text", "absent"))
    case.trap = f"broken ({kind})"
    path = case.root / "scene.tif"
    if kind == "complex":
        write_raster(path, maker.values.astype("complex64"), crs=maker.crs)
    else:
        path = maker.write(among=("strips", "tiles", "pixels"))
    if kind == "cut off":
        truncate(path, 0.6)
    if kind in ("empty", "text"):
        path.write_text("" if kind == "empty" else "no raster")
    if kind == "absent":
        path = path.with_name("other.tif")
    return _refused(maker, path)


def network_cdf(case: Case) -> Case:
    """A netCDF file of one variable or several, with scale and offset or without."""
    maker = Maker(case, ("reflectance", "fraction", "kelvin"), (1, 1, 3), dtype=("float32",))
    maker.utm()
    maker.names = None
    path = case.root / "cube.nc"
    made = write_raster(case.root / "cube.tif", maker.stored(), maker.crs, maker.transform)
    with gdal_env():
        rasterio.shutil.copy(made, path, driver="netCDF")
    case.container = "netcdf"
    maker.right(plain=maker.count == 1)
    return maker.finish(path)


# Further containers ------------------------------------------------------------------------------


def arrays(case: Case) -> Case:
    """Arrays of numpy, or one variable of a netCDF file."""
    maker = Maker(case)
    kind = maker.pick(("npy", "npz", "npz of two", "variable", "last axis"))
    case.trap, case.container = f"arrays ({kind})", "array"
    maker.names = None
    held = maker.stored()
    if kind == "variable":
        maker = Maker(case, ("fraction", "kelvin"), (1,), dtype=("float32",))
        if maker.transform is None:  # the order of rows is then not told
            maker.utm()
        made = write_raster(case.root / "a.tif", maker.stored(), maker.crs, maker.transform)
        physical = maker.values
        if maker.chance(0.6):
            case.trap = "arrays (scaled variable)"
            case.needs.add("scaled")
            maker.card["scaled"] = True
            physical = maker.model_values = maker.values * 0.25 + 7
            with rasterio.open(made, "r+") as file:
                file.scales, file.offsets = [0.25], [7.0]
            maker.bias = (maker.bias - 7 / 0.25 * maker.weights.sum(1)).astype(np.float32)
            maker.weights = (maker.weights / 0.25).astype(np.float32).astype(np.float64)
        with gdal_env():
            rasterio.shutil.copy(made, case.root / "a.nc", driver="netCDF")
        maker.names = None
        maker.right(values=physical, error=1e-6 * np.abs(physical).max())
        return maker.finish(f"{case.root / 'a.nc'}:Band1")
    maker.crs = maker.transform = None
    path = case.root / f"a.{kind[:3]}"
    image: Any = path
    if kind == "npy":
        np.save(path, held)
    elif kind == "last axis":
        path = image = case.root / "a.npy"
        np.save(path, held.transpose(1, 2, 0))
        maker.right(plain=False)
        return maker.finish(image)
    else:
        np.savez(path, x=held, **({"y": held[:, ::-1]} if kind == "npz of two" else {}))
        image = f"{path}:x"
    maker.right()
    return maker.finish(image)


def odd_tiff(case: Case) -> Case:
    """Blocks that were never written, 12 bits, a mask file beside, colors of a palette."""
    maker = Maker(case, ("reflectance",), dtype=("uint16", "int16"))
    maker.names = None
    kind = maker.pick(("sparse", "sparse nodata", "12 bits", "mask beside", "palette"))
    case.trap = f"odd tiff ({kind})"
    if kind == "palette":
        return _palette(case)
    if kind == "12 bits":
        maker = Maker(case, ("reflectance",), dtype=("uint16",))
        maker.values = maker.model_values = np.minimum(maker.values, 4095)
        path = maker.write(among=("strips",), NBITS=12)
        maker.right()
        return maker.finish(path)
    if kind == "mask beside":
        gone = maker.wedge()
        path = maker.write(among=("strips", "tiles"))
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as file:
            file.write_mask((~gone).astype(np.uint8) * 255)
        maker.right(valid=~gone)
        return maker.finish(path)
    return _sparse(maker, nodata=0.0 if kind == "sparse nodata" else None)


def _sparse(maker: Maker, nodata: float | None) -> Case:
    """Write only the first block."""
    path = maker.case.root / "scene.tif"
    profile = {"tiled": True, "blockxsize": 32, "blockysize": 32, "SPARSE_OK": True}
    size = {"count": maker.count, "height": maker.height, "width": maker.width}
    place = {"crs": maker.crs, "transform": maker.transform}
    written = maker.stored()[:, :32, :32]
    with (
        gdal_env(),
        rasterio.open(
            path, "w", driver="GTiff", dtype=maker.dtype, nodata=nodata, **profile, **size, **place
        ) as file,
    ):
        file.write(written, window=rasterio.windows.Window(0, 0, 32, 32))
    maker.valid[:] = False
    maker.valid[:32, :32] = True
    maker.right(plain=nodata is not None)
    return _refused(maker, path, NO_DATA)


def _palette(case: Case) -> Case:
    maker = Maker(case, ("bytes",), (3,))
    maker.names = maker.model_names = None
    colors = np.rint(maker.rng.uniform(12, 230, (200, 3))).astype(int)
    index = maker.rng.integers(0, 200, (maker.height, maker.width)).astype(np.uint8)
    maker.values = maker.model_values = colors[index].transpose(2, 0, 1).astype(np.float64)
    table = {i: tuple(map(int, color)) for i, color in enumerate(colors)}
    path = maker.write(index[None], among=("strips", "tiles"), colormap=table, descriptions=None)
    maker.right()
    return maker.finish(path)


def item(case: Case) -> Case:
    """A STAC item with one file a band, of several resolutions, with scale and offset."""
    maker = Maker(case, ("fraction",), (3, 4), dtype=("float32",), side=(60, 72))
    maker.utm()
    maker.model_names = COMMON[: maker.count]
    case.container = "item"
    kind = maker.pick(("scaled", "stored", "other model"))
    case.trap = f"item ({kind})"
    held = np.rint((maker.values + 0.1) / 1e-4)
    assets, seen = {}, held.copy()
    for b, name in enumerate(maker.model_names):
        factor = 1 if b == 0 else int(maker.pick((1, 2)))
        band = held[b, ::factor, ::factor].astype("uint16")
        seen[b] = _bilinear(band.astype(np.float64), factor)
        path = case.root / "item" / f"file{b}.tif"
        write_raster(path, band, crs=maker.crs, transform=maker.transform * Affine.scale(factor))
        about = {"scale": 1e-4, "offset": -0.1, "nodata": 0}
        assets[f"asset{b}"] = {
            "href": path.name,
            "type": "image/tiff; application=geotiff",
            "roles": ["data"],
            "eo:bands": [{"name": f"X{b}", "common_name": name}],
            "raster:bands": [about],
        }
    turn = [f"asset{i}" for i in maker.rng.permutation(maker.count)]
    content = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "scene",
        "geometry": None,
        "properties": {"datetime": "2024-06-01T10:00:00Z"},
        "links": [],
        "assets": {key: assets[key] for key in turn},
    }
    image = case.root / "item" / "scene.json"
    image.write_text(json.dumps(content), encoding="utf-8")
    physical = seen * 1e-4 - 0.1
    if kind == "stored":
        maker.dtype = np.dtype("uint16")
        _train_on(maker, seen)
        maker.right(values=seen, error=0.51)
        return maker.finish(image)
    if kind == "scaled":
        maker.card["scaled"] = True
        case.needs.add("scaled")
        maker.right(values=physical, error=1e-4)
        return maker.finish(image)
    return _refused(maker, image, NUMBERS)


def scaled_nodata(case: Case) -> Case:
    """Stored values that mean no data, in files with scale and offset."""
    maker = Maker(case, ("fraction", "kelvin"), dtype=("float32",))
    case.needs.add("scaled")
    maker.card["scaled"] = True
    scale = float(maker.values.max() - maker.values.min()) / 9000
    offset = float(maker.values.min()) - 100 * scale
    held = np.rint((maker.values - offset) / scale)
    maker.dtype = np.dtype("int32")
    value = maker.pick((0, -9999, 65535, round(-offset / scale)))
    gone = maker.wedge()
    held[:, gone] = value
    lone = (held == value).all(0) if value == 0 else (held == value).any(0)
    physical = held * scale + offset
    path = maker.write(maker.stored(held), among=("strips", "tiles"), nodata=value)
    with gdal_env(), rasterio.open(path, "r+") as file:
        file.scales, file.offsets = [scale] * maker.count, [offset] * maker.count
    maker.model_dtype = "float32"
    maker.right(values=physical, valid=~lone, error=float(np.abs(physical).max()) * 1e-6)
    return maker.finish(path)


def several(case: Case) -> Case:
    """Two images of a folder, the second of which is on another scale or of other bands."""
    maker = Maker(case, ("reflectance", "bytes"), (1, 3))
    kind = maker.pick(("right", "scale", "bands", "broken"))
    case.trap = f"several ({kind})"
    folder = case.root / "images"
    maker.write(name="images/a", among=GEOTIFFS)
    other = maker.stored()
    if kind == "scale":
        other = (maker.values * 1e-4).astype("float32")
    if kind == "bands":
        other = np.concatenate([other, other])
    names = None if kind == "bands" else maker.names
    place = {"crs": maker.crs, "transform": maker.transform, "descriptions": names}
    path = write_raster(folder / "second.tif", other, **place)
    if kind == "broken":
        truncate(path, 0.4)
    case.many = True
    if kind == "right":
        maker.right()
        return maker.finish(folder)
    return _refused(maker, folder, "second")


# Quality layers, masks, regions ------------------------------------------------------------------

KEPT = {
    "scl": (4, 5, 6, 7, 11),
    "qa_pixel": (21824, 21952),
    "cldprb": (0, 3, 17, 30),
    "fmask": (64, 128),
}
LOST = {
    "scl": (3, 8, 9, 10, 2),
    "qa_pixel": (22280, 23888),
    "cldprb": (55, 70, 100),
    "fmask": (66, 72, 67),
}


def _layer(maker: Maker, kind: str, gone: NDArray[np.bool_]) -> NDArray[Any]:
    """Return values (bands, rows, columns) of a quality layer that drops some pixels."""
    shape = gone.shape
    if kind == "mask":
        return gone.astype(np.uint8)[None] * int(maker.pick((1, 255)))
    if kind == "udm2":
        out = np.zeros((8, *shape), np.uint8)
        out[0] = ~gone
        bad = maker.rng.integers(0, 3, shape)
        for i, band in enumerate((2, 5, 7)):
            out[band] = gone & (bad == i)
        out[7] *= 2
        out[6] = maker.rng.integers(0, 100, shape)
        return out
    kept, lost = np.array(KEPT[kind]), np.array(LOST[kind])
    values = kept[maker.rng.integers(0, len(kept), shape)]
    values[gone] = lost[maker.rng.integers(0, len(lost), int(gone.sum()))]
    if kind == "cldprb":
        spread = maker.rng.integers(0, 9, shape)
        values = np.where(gone, np.minimum(values + spread, 100), values + spread)
    return values.astype("uint16" if kind == "qa_pixel" else "uint8")[None]


FILES = {
    "scl": ("T32UPU_20240601_SCL_20m.tif", "scene_scl.tif", "SCL.tif"),
    "qa_pixel": ("LC09_L2SP_194026_QA_PIXEL.TIF", "qa_pixel.tif"),
    "udm2": ("20240601_3B_udm2.tif", "scene_udm2_clip.tif"),
    "cldprb": ("MSK_CLDPRB_20m.tif", "cloud_probability.tif"),
    "fmask": ("HLS.S30.T32UPU.2024153T102601.v2.0.Fmask.tif",),
    "mask": ("clouds.tif", "bad.tif"),
}


def quality(case: Case) -> Case:
    """A quality layer of a kind that its name or its values tell."""
    maker = Maker(case, side=(60, 72))
    maker.utm()
    kind = maker.pick(tuple(FILES))
    factor = int(maker.pick((1, 1, 2, 6)))
    case.trap = f"quality ({kind}{f', 1:{factor}' if factor > 1 else ''})"
    small = maker.rng.random((60 // factor, 72 // factor)) < 0.3
    gone = small.repeat(factor, 0).repeat(factor, 1)
    name = maker.pick(FILES[kind])
    values = _layer(maker, kind, small)
    if kind == "cldprb" and maker.chance(0.5):
        limit = float(maker.pick((20, 60)))
        case.options["clear_below"] = limit
        gone = (values[0] >= limit).repeat(factor, 0).repeat(factor, 1)
    if kind == "scl" and maker.chance(0.5):
        case.options["drop"] = ("snow", "cirrus")
        gone = np.isin(values[0], (10, 11)).repeat(factor, 0).repeat(factor, 1)
    path = case.root / "quality" / name
    transform = maker.transform * Affine.scale(factor)
    write_raster(path, values, crs=maker.crs, transform=transform)
    case.options["mask" if kind == "mask" and maker.chance(0.5) else "quality"] = [str(path)]
    image = maker.write()
    maker.right(valid=~gone)
    return maker.finish(image)


def wrong_quality(case: Case) -> Case:
    """A layer given as what it is not, or that lies elsewhere."""
    maker = Maker(case, side=(60, 72))
    maker.utm()
    how = maker.pick(("as mask", "elsewhere", "unknown", "mask elsewhere", "inverse", "part"))
    kinds = [k for k in FILES if k != "mask"]
    kind = "mask" if how in ("mask elsewhere", "inverse") else maker.pick(kinds)
    case.trap = f"wrong quality ({how}, {kind})"
    gone = maker.rng.random((60, 72)) < 0.3
    name = maker.pick(FILES[kind])
    transform = maker.transform
    if "elsewhere" in how:
        transform = transform * Affine.translation(3000, 0)
    name = {"unknown": "layer.tif", "inverse": "clear.tif"}.get(how, name)
    path = case.root / "quality" / name
    values = _layer(maker, kind, gone)
    if how == "inverse":
        values = 1 - np.minimum(values, 1)
    if how == "part":
        values, maker.valid = values[:, :, :40], ~gone
        maker.valid[:, 40:] = True
        case.answers.append(maker.answer(said="outside"))
    if how in ("unknown", "inverse"):  # a guess that is right is fair
        case.answers.append(maker.answer(valid=~gone))
    write_raster(path, values, crs=maker.crs, transform=transform)
    case.options["mask" if how in ("as mask", "mask elsewhere") else "quality"] = [str(path)]
    return _refused(maker, maker.write(), "mask|quality|touches")


def polygons(case: Case) -> Case:
    """Polygons of clouds or regions, in the CRS of the image or another."""
    maker = Maker(case)
    maker.utm()
    kind = maker.pick(("regions", "regions", "quality", "elsewhere"))
    crs = maker.pick((maker.crs, "EPSG:4326", "EPSG:32633"))
    case.trap = f"polygons ({kind}, {crs})"
    corners = [maker.transform * (maker.width * x, maker.height * y) for x, y in _CORNERS]
    shape = shapely.Polygon(corners)
    rows, cols = np.indices((maker.height, maker.width)) + 0.5
    x, y = maker.transform * (cols, rows)
    inside = shapely.contains_xy(shape, x, y)
    edge = shapely.distance(shape.exterior, shapely.points(x, y)) < 10
    if kind == "elsewhere":
        shape = shapely.transform(shape, lambda xy: xy + 50_000)
    fine = shapely.segmentize(shape, 30)
    placed = shapely.geometry.shape(transform_geom(maker.crs, crs, fine.__geo_interface__))
    path = case.root / "shapes" / maker.pick(("field.gpkg", "field.geojson"))
    if path.suffix == ".geojson" and crs != "EPSG:4326":
        path = path.with_suffix(".gpkg")
    write_layer(path, [placed], {"kind": ["a"]}, crs=crs)
    case.options["quality" if kind == "quality" else "regions"] = str(path)
    if kind != "elsewhere":
        answer = maker.answer(valid=~inside if kind == "quality" else inside)
        case.answers.append(Answer(answer.classes, answer.sure & ~edge))
        case.plain = True
    return _refused(maker, maker.write())


_CORNERS = ((0.11, 0.17), (0.83, 0.08), (0.91, 0.72), (0.47, 0.55), (0.13, 0.93))


def other_gsd(case: Case) -> Case:
    """Pixels of another size than those of the training images."""
    maker = Maker(case)
    maker.utm()
    maker.card["gsd"] = float(maker.pick((0.3, 300.0)))
    return _refused(maker, maker.write(), "pixels of|one class")


TRAPS: dict[str, Callable[[Case], Case]] = {
    trap.__name__.replace("_", " "): trap
    for trap in (
        plain,
        jpeg,
        nearinfrared,
        turned,
        odd_crs,
        names,
        band_order,
        other_names,
        other_scale,
        other_offset,
        other_type,
        scale_tags,
        declared,
        undeclared,
        not_finite,
        marked,
        transparent_color,
        opaque,
        dead,
        virtual,
        stack,
        resolutions,
        mosaic,
        packed,
        broken,
        network_cdf,
        arrays,
        odd_tiff,
        item,
        scaled_nodata,
        several,
        quality,
        wrong_quality,
        polygons,
        other_gsd,
    )
}


def make(seed: int, root: Path) -> Case:
    """Write the case of a seed to a folder."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 7])
    trap = list(TRAPS)[int(rng.integers(len(TRAPS)))]
    return TRAPS[trap](Case(seed, root, trap))
