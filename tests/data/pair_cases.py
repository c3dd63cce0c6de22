"""Random source folders from a grammar: written by seed, each with its right answer.

A case follows from its seed alone: layout x format x dtype x nodata x CRS x geometry x encoding of
the labels x one trap. The right answer is known by construction, never read back from files.
`pair_grammar` judges what `prepare` makes of a case.
"""

import csv
import re
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyproj
import rasterio
import shapely
import shapely.affinity
import yaml
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from tests.make import write_layer, write_raster

NONE = -1
"""Key of a pixel without label."""

FIELD_PATTERNS = "pairs"
"""The option that came together with fields in patterns."""

GRAY = 0x010101
BY_NAME = ("folders", "places", "suffix", "splits")
"""Layouts of raster masks that need no option."""

BY_OPTION = ("fields", "split-fields", "bandfiles", "pairs-file", "split-file")
PAIRED = BY_NAME + BY_OPTION
WHOLE = tuple(layout for layout in PAIRED if layout != "bandfiles")
JOINED = ("globs", "one-raster")
VECTOR = ("one-vector", "vectors", "vector-fields")

CODES = ("codes", "codes-from-0", "sparse", "codes-16", "float", "palette")
RASTER = (*CODES, "rgb", "rgba", "gray-3", "one-hot", "binary-255")
COLUMNS = ("int", "text", "number-text")

CRSES = ("EPSG:32632", "EPSG:25833", "EPSG:4326", "EPSG:32733")
COLORS = (0xE2A929, 0x8429F6, 0x6EC1E4, 0x3C1098, 0xFEDD3A, 0x00FF00)
TEXTS = ("forest", "water", "built up", "crop", "bare-soil", "Gr\u00fcnland")
NAMES = {
    "plain": ("a1", "a2", "b7", "c10", "d3", "e5"),
    "tiles": ("tile_1_2", "tile_1_3", "tile_2_10", "tile_3_1", "tile_12_1", "tile_2_1"),
    "numbers": ("001", "002", "010", "100", "011", "101"),
    "dates": ("S2A_20180418T104021", "S2A_20180518T104021", "S2B_20190214T103129")
    + ("S2B_20190301T103129", "S2A_20200101T000000", "S2A_20200102T000000"),
    "blanks": ("a b", "a  b", "b c 1", " d", "e - f", "g h i"),
    "brackets": ("x[1]", "x[2]", "y(3)", "z{4}", "x[12]", "q]"),
    "unicode": (
        "\u00e9t\u00e9",
        "M\u00fcnchen",
        "\u65e5\u672c",
        "e\u0301t\u00e92",
        "\u00d8re",
        "na\u00efve",
    ),
    "signs": ("100%", "#1", "a.b.c", "it's", "x,y", "-z"),
}


@dataclass
class Piece:
    """One sample: its files, and what they hold."""

    name: str
    place: str
    split: str | None
    pixels: NDArray[Any]
    """(bands, rows, columns)"""
    valid: NDArray[np.bool_]
    keys: NDArray[np.int64]
    """(rows, columns), position of the class or `NONE`"""
    cells: list[tuple[int, int, int, int, int]]
    """First and last row and column, and the key; later ones lie above earlier ones."""
    transform: Affine | None
    tolerance: float = 0.0
    """Of pixels that are computed"""
    images: list[Path] = field(default_factory=list)
    labels: Path | None = None


@dataclass
class Case:
    """A folder that was written, how to ask for it, and what is right.

    Attributes:
        options: of `prepare`.
        pieces: samples that the dataset has to hold.
        dropped: files that may be left out where a finding, of any level, or an option says so.
        answers: labels by name of the sample that are right; none where it has to be refused, or a
            warning given.
        said: for each answer, a value that a finding has to speak of, or None.
        same: tells whether a class of the legend is that of a key.
        concerned: files of which a warning is expected where no answer is given.
    """

    seed: int
    root: Path
    layout: str
    encoding: str
    trap: str
    options: dict[str, Any] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)
    dropped: list[Path] = field(default_factory=list)
    answers: list[dict[str, NDArray[np.int64]]] = field(default_factory=list)
    said: list[str | None] = field(default_factory=list)
    same: Callable[[Any, str, int], bool] = lambda cls, kind, key: True
    concerned: list[Path] = field(default_factory=list)
    needs: set[str] = field(default_factory=set)

    @property
    def label(self) -> str:
        """Layout, encoding and trap in words."""
        return f"{self.layout} / {self.encoding} / {self.trap}"


TRAPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "none": (PAIRED + JOINED, RASTER),
    "no trap in a layer": (VECTOR, COLUMNS),
    "missing-mask": (("folders", "places", "suffix", "splits", "fields"), CODES),
    "orphan-mask": (("folders", "places", "suffix", "fields"), CODES),
    "other-size": (PAIRED, CODES),
    "fit-labels": (("folders", "places", "suffix", "fields"), CODES),
    "shifted-transform": (PAIRED, CODES),
    "shifted-crs": (PAIRED, CODES),
    "far-without-crs": (PAIRED, CODES),
    "other-extent": (PAIRED, CODES),
    "finer-mask": (PAIRED, CODES),
    "mask-nodata": (PAIRED + JOINED, ("codes", "codes-from-0", "sparse")),
    "mask-nodata-named": (PAIRED + JOINED, ("codes", "codes-from-0", "sparse")),
    "ignore-255": (PAIRED, ("codes", "codes-from-0", "palette")),
    "zero-around": (PAIRED, ("codes",)),
    "nir-as-alpha": (WHOLE + JOINED, RASTER),
    "real-alpha": (WHOLE, RASTER),
    "decoy": (("suffix", "folders", "fields"), CODES),
    "two-band-mask": (BY_NAME, ("codes",)),
    "no-georeferencing-globs": (("globs",), CODES),
    "yaml-no": (PAIRED, ("codes", "codes-from-0")),
    "yaml-color": (PAIRED, ("rgb",)),
    "identifier-column": (VECTOR, COLUMNS),
    "two-columns": (VECTOR, COLUMNS),
    "names-differ-in-case": (VECTOR, ("text",)),
    "class-outside": (VECTOR, COLUMNS),
    "tiny-polygon": (VECTOR, COLUMNS),
    "far-layer": (VECTOR, COLUMNS),
    "layer-without-crs": (VECTOR, COLUMNS),
    "swapped-axes": (("one-vector", "vector-fields"), COLUMNS),
    "no-column": (VECTOR, ("none",)),
    "background": (VECTOR, (*COLUMNS, "none")),
    "label-band": (PAIRED, CODES),
    "select-bands": (WHOLE, RASTER),
    "nodata-option": (WHOLE, RASTER),
    "two-layers": (VECTOR, COLUMNS),
    "priority": (VECTOR, COLUMNS),
    "named-classes": (PAIRED + VECTOR, ("codes", "int", "text")),
}

GEOREFERENCED = (
    "shifted-transform",
    "shifted-crs",
    "other-extent",
    "finer-mask",
)


class Maker:
    """Writes one case.

    Attributes:
        table: layouts and encodings of each trap.
        drawn: traps to draw from, more than once where they are to be frequent.
        georeferenced: traps that need a CRS.
    """

    table: ClassVar = TRAPS
    drawn: ClassVar = ["none", "no trap in a layer"] * 4 + list(TRAPS)
    georeferenced: ClassVar = GEOREFERENCED

    def __init__(self, seed: int, root: Path) -> None:
        self.rng = np.random.default_rng([seed, 20_25])
        trap = self.pick(self.drawn)
        layouts, encodings = self.table[trap]
        encodings = tuple(e for e in encodings)
        layout = self.pick(layouts)
        fitting = COLUMNS + ("none",) if layout in VECTOR else RASTER
        encoding = self.pick([e for e in encodings if e in fitting])
        self.case = Case(seed, root, layout, encoding, trap)
        self.trap = trap
        self.source = root / "source"
        self.classes = int(self.rng.integers(2, 6))
        if encoding == "one-hot":
            self.classes = int(self.rng.integers(4, 7))
        if encoding == "binary-255":
            self.classes = 2
        self.codes = self._codes()
        self.names = self.pick(list(NAMES)) if self.chance(0.5) else "plain"
        self._image_kind()
        self._place()
        self.mask_file = self.pick([".tif", ".tif", ".png", ".TIF", ".tiff", ".PNG"])
        plain = encoding not in ("codes-16", "float", "one-hot")
        plain &= self.trap not in ("label-band", "two-band-mask")
        if not plain or self.georeferenced_mask:
            self.mask_file = self.pick([".tif", ".tif", ".TIF", ".tiff"])

    # What to write

    def pick(self, values: Sequence[Any]) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def _codes(self) -> list[int]:
        k = self.classes
        return {
            "codes-from-0": list(range(k)),
            "sparse": [10 * (i + 1) for i in range(k)],
            "codes-16": [300 + 1000 * i for i in range(k)],
            "gray-3": list(range(self.pick([0, 1]), k + 1))[:k],
            "binary-255": [0, 255],
            "number-text": [1, 2, 10, 11, 21, 100][:k],
            "int": [1, 2, 5, 10, 40, 41][:k],
        }.get(self.case.encoding, list(range(1, k + 1)))

    def _image_kind(self) -> None:
        self.image_file = self.pick([".tif", ".tif", ".tif", ".png", ".TIF", ".tiff"])
        self.dtype = self.pick(["uint8", "uint8", "uint16", "int16", "float32"])
        self.bands = self.pick([1, 2, 3, 3, 4, 5])
        self.nodata: float | None = None
        if self.trap in ("nir-as-alpha", "real-alpha"):
            self.dtype, self.bands, self.image_file = "uint8", 4, ".tif"
        elif self.trap == "select-bands":
            self.bands = 5
        elif self.chance(0.3) or self.trap == "nodata-option":
            choice = {"uint8": 0, "uint16": 65535, "int16": -9999, "float32": -9999}
            self.nodata = choice[self.dtype]
        if self.bands == 4 and self.dtype == "uint8" and self.trap == "none":
            self.bands = 3
        if self.case.layout == "bandfiles":
            self.bands = 3
        if self.dtype not in ("uint8", "uint16") or self.bands not in (1, 3) or self.nodata:
            self.image_file = ".tif" if self.image_file == ".png" else self.image_file
        if self.image_file == ".png" and self.nodata is not None:
            self.image_file = ".tif"

    def _place(self) -> None:
        wanted = self.case.layout in JOINED + VECTOR or self.trap in self.georeferenced
        self.crs = self.pick(CRSES) if wanted or self.chance(0.5) else None
        if self.trap == "shifted-crs":
            self.crs = "EPSG:32632"
        if self.trap in ("far-without-crs", "no-georeferencing-globs"):
            self.crs = None
        self.placed = self.crs is not None or self.trap == "far-without-crs"
        self.georeferenced_mask = wanted or self.trap == "far-without-crs"
        if self.placed and self.image_file == ".png":
            self.image_file = ".tif"
        self.step = 1e-4 if self.crs == "EPSG:4326" else 10.0
        self.corner = (9.0, 48.5) if self.crs == "EPSG:4326" else (500_000.0, 5_600_000.0)
        if self.crs == "EPSG:32733":
            self.corner = (500_000.0, 7_000_000.0)
        self.south_up = self.placed and self.case.layout in PAIRED and self.chance(0.15)

    def samples(self) -> None:
        """Draw the samples: sizes, pixels, classes."""
        layout = self.case.layout
        count = int(self.rng.integers(3, 6))
        names = NAMES[self.names]
        left = 0
        same_size = self.chance(0.5) or self.trap == "no-georeferencing-globs"
        size = self.rng.integers(24, 49, 2)
        for i in range(count):
            place, split, name = "", None, names[i]
            if layout == "places":
                place, name = f"site{i % 2}", names[i // 2]
            if layout in ("splits", "split-fields", "split-file"):
                split = ("train", "test", "train", "val", "train")[i]
            if layout in ("splits", "split-fields"):
                name = names[i // 2]
            rows, cols = size if same_size else self.rng.integers(24, 49, 2)
            transform = None
            if self.placed:
                x, y = self.corner[0] + left * self.step, self.corner[1]
                up = self.step if self.south_up else -self.step
                transform = Affine(self.step, 0, x, 0, up, y)
            left += int(cols) + 8
            self.case.pieces.append(
                self._piece(name, place, split, (int(rows), int(cols)), transform)
            )

    def _piece(
        self, name: str, place: str, split: str | None, size: tuple[int, int], transform: Any
    ) -> Piece:
        rows, cols = size
        edges = [np.linspace(0, n, 5).astype(int) for n in size]
        drawn = self.rng.integers(0, self.classes, 16)
        drawn[self.rng.permutation(16)[: self.classes]] = np.arange(self.classes)
        gaps = self.case.layout in VECTOR and self.trap != "no trap in a layer"
        cells = []
        keys = np.full(size, NONE, np.int64)
        for at, key in enumerate(drawn.tolist()):
            r, c = divmod(at, 4)
            box = (edges[0][r], edges[0][r + 1], edges[1][c], edges[1][c + 1])
            if gaps and at in (5, 10):
                continue
            cells.append((*map(int, box), key))
            keys[box[0] : box[1], box[2] : box[3]] = key
        if self.case.layout in VECTOR and self.chance(0.3):  # one above the others: the last wins
            cells.append((rows // 4, rows // 2, cols // 3, cols - 2, 0))
            keys[rows // 4 : rows // 2, cols // 3 : cols - 2] = 0
        if self.trap == "zero-around":
            frame = np.ones(size, bool)
            frame[4:-4, 4:-4] = False
            keys[frame] = 0
        high = {"uint8": 250, "uint16": 4000, "int16": 4000, "float32": 4000}[self.dtype]
        pixels = self.rng.integers(1, high, (self.bands, rows, cols))
        pixels = np.clip(pixels // 2 + keys * 9 + 11, 1, high).astype(self.dtype)
        valid = np.ones(size, bool)
        if self.nodata is not None and (self.chance(0.6) or self.trap == "nodata-option"):
            valid[: rows // 5, cols // 2 :] = False
            pixels[:, ~valid] = self.nodata
        if self.trap == "nir-as-alpha":
            pixels[3] = self.rng.integers(0, 250, size)
            pixels[3, ::7] = 0
        return Piece(name, place, split, pixels, valid, keys, cells, transform)

    # Where to write

    def write(self) -> Case:
        case = self.case
        self.samples()
        self.source.mkdir(parents=True)
        layout = case.layout
        for i, piece in enumerate(case.pieces):
            self._paths(i, piece)
            self._write_image(piece)
        case.answers, case.said = [{self.id(p): p.keys for p in case.pieces}], [None]
        self._identity()
        if layout in VECTOR:
            self._write_layers()
        elif layout == "one-raster":
            self._write_mosaic()
        else:
            for i, piece in enumerate(case.pieces):
                self._write_mask(i, piece)
        self._options()
        self._spoil()
        for answer in case.answers:
            for piece in case.pieces:
                answer[self.id(piece)] = np.where(piece.valid, answer[self.id(piece)], NONE)
        return case

    @staticmethod
    def id(piece: Piece) -> str:
        return str(piece.images[0])

    def _paths(self, i: int, piece: Piece) -> None:
        n, image, mask = piece.name, self.image_file, self.mask_file
        layout = self.case.layout
        word = {"train": "train", "val": "val", "test": "test", None: ""}[piece.split]
        if self.case.seed % 3 == 0:
            word = word.title()
        elif self.case.seed % 3 == 1:
            word = {"train": "training", "val": "validation", "test": "testing", "": ""}[word]
        turned = self.case.seed % 2
        where = {
            "folders": (f"images/{n}", f"masks/{n}"),
            "split-file": (f"images/{n}", f"masks/{n}"),
            "places": (f"{piece.place}/images/{n}", f"{piece.place}/masks/{n}"),
            "suffix": (n, f"{n}_mask"),
            "splits": (f"images/{word}/{n}", f"masks/{word}/{n}")
            if turned
            else (f"{word}/images/{n}", f"{word}/masks/{n}"),
            "fields": (f"photos/{n}_a", f"zz/{n}_b"),
            "split-fields": (f"d/{word}/i/{n}_x", f"d/{word}/l/{n}_y"),
            "pairs-file": (f"photos/{n}", f"zz/m{97 - i}"),
            "globs": (f"images/{n}", f"labels/{n}"),
            "one-raster": (f"images/{n}", "all"),
            "one-vector": (f"images/{n}", "all"),
            "vectors": (f"images/{n}", f"vec/{n}"),
            "vector-fields": (f"images/{n}", f"vec/{n}"),
            "bandfiles": (f"s/{n}/B", f"l/{n}_lab"),
        }[layout]
        if layout == "bandfiles":
            piece.images = [self.source / f"{where[0]}{b}{image}" for b in (2, 3, 10)]
        else:
            piece.images = [self.source / f"{where[0]}{image}"]
        piece.labels = self.source / f"{where[1]}{mask}"

    def _driver(self, path: Path) -> str:
        return "PNG" if path.suffix.lower() == ".png" else "GTiff"

    def _write_image(self, piece: Piece) -> None:
        more: dict[str, Any] = {}
        pixels = piece.pixels
        if self.trap == "real-alpha":
            alpha = np.full(piece.valid.shape, 255, np.uint8)
            alpha[: len(alpha) // 3] = 0
            piece.valid = alpha > 0
            piece.pixels, pixels = pixels[:3], np.concatenate([pixels[:3], alpha[None]])
            more["colorinterp"] = [
                ColorInterp.red,
                ColorInterp.green,
                ColorInterp.blue,
                ColorInterp.alpha,
            ]
        parts = [pixels] if len(piece.images) == 1 else [band[None] for band in pixels]
        for path, part in zip(piece.images, parts, strict=True):
            declared = None if self.trap == "nodata-option" else self.nodata
            self._raster(path, part, piece.transform, self.crs, declared, **more)

    def _raster(
        self,
        path: Path,
        array: NDArray[Any],
        transform: Any,
        crs: Any,
        nodata: float | None = None,
        **more: Any,
    ) -> None:
        write_raster(path, array, crs, transform, nodata, driver=self._driver(path), **more)

    def _encoded(self, keys: NDArray[np.int64]) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return the bands of a mask, and how to write them."""
        encoding = self.case.encoding
        k = self.classes
        codes = np.array([*self.codes, 0])[keys]
        if encoding in ("rgb", "rgba"):
            packed = np.array([*COLORS[:k], 0])[keys]
            bands = np.stack([packed >> 16, packed >> 8 & 255, packed & 255]).astype(np.uint8)
            if encoding == "rgba":
                bands = np.concatenate([bands, np.full((1, *keys.shape), 255, np.uint8)])
            return bands, {}
        if encoding == "one-hot":
            high = 255 if self.case.seed % 2 else 1
            return np.stack([(keys == i) * high for i in range(k)]).astype(np.uint8), {}
        if encoding == "gray-3":
            return np.stack([codes] * 3).astype(np.uint8), {}
        if encoding == "palette":
            table = {
                code: (color >> 16, color >> 8 & 255, color & 255, 255)
                for code, color in zip(self.codes, COLORS, strict=False)
            }
            return codes.astype(np.uint8)[None], {"colormap": table}
        dtype = {"codes-16": "uint16", "float": "float32"}.get(encoding, "uint8")
        return codes.astype(dtype)[None], {}

    def _write_mask(self, i: int, piece: Piece) -> None:
        bands, more = self._encoded(piece.keys)
        assert piece.labels is not None
        both = self.georeferenced_mask or self.case.seed % 2
        png = piece.labels.suffix.lower() == ".png"
        crs, transform = (self.crs, piece.transform) if both and not png else (None, None)
        self._raster(piece.labels, bands, transform, crs, **more)

    def _write_mosaic(self) -> None:
        pieces = self.case.pieces
        rows = max(len(p.keys) for p in pieces)
        width = sum(p.keys.shape[1] + 8 for p in pieces)
        keys = np.full((rows, width), NONE, np.int64)
        left = 0
        for piece in pieces:
            h, w = piece.keys.shape
            keys[:h, left : left + w] = piece.keys
            left += w + 8
        bands, more = self._encoded(keys)
        fill = None
        if self.case.encoding in CODES:
            fill = 0 if self.case.encoding != "codes-from-0" else 99
            bands[:, keys == NONE] = fill
        assert pieces[0].labels is not None
        self._raster(pieces[0].labels, bands, pieces[0].transform, self.crs, fill, **more)

    # Layers

    def _write_layers(self) -> None:
        self.layer_file = self.pick(self._layer_kinds())
        self.column = self.pick(["class", "landcover", "klasse"])
        if self.trap in ("layer-without-crs",):
            self.layer_file = self.pick([".shp", ".gpkg"])
        self.layer_crs = self._layer_crs()
        pieces = self.case.pieces
        for piece in pieces:
            assert piece.labels is not None
            piece.labels = Path(str(piece.labels.with_suffix("")) + self.layer_file)
            if self.case.layout != "one-vector":
                stem = piece.name
                piece.labels = self.source / "vec" / f"{stem}{self.layer_file}"
        if self.case.layout == "one-vector":
            for piece in pieces:
                piece.labels = self.source / f"all{self.layer_file}"
            self._write_layer(pieces, self.source / f"all{self.layer_file}")
        else:
            for piece in pieces:
                self._write_layer([piece], piece.labels)

    def _layer_kinds(self) -> list[str]:
        kinds = [".gpkg", ".geojson", ".shp", ".fgb"]
        if self.case.encoding == "text" and self.trap in ("no trap in a layer", "class-outside"):
            kinds.append(".kml")
        return [".gpkg"] if self.trap == "two-layers" else kinds

    def _layer_crs(self) -> str | None:
        return "EPSG:4326" if self.layer_file in (".geojson", ".kml") else self.crs

    def _shapes(self, piece: Piece) -> tuple[list[Any], list[int]]:
        """Return the shapes of a sample, and their keys."""
        shapes = [self._box(piece.transform, *cell[:4]) for cell in piece.cells]
        return shapes, [cell[4] for cell in piece.cells]

    def _write_layer(self, pieces: Sequence[Piece], path: Path) -> None:
        found = [self._shapes(piece) for piece in pieces]
        shapes = [shape for own, _ in found for shape in own]
        keys = [key for _, own in found for key in own]
        if self.trap == "class-outside":
            shapes.append(self._box(pieces[-1].transform, -900, -890, 2000, 2010))
            keys.append(self.classes)
        if self.trap == "tiny-polygon":
            shapes.append(self._box(pieces[0].transform, 3.1, 3.3, 4.1, 4.3))
            keys.append(self.classes)
        if self.trap == "far-layer":
            by = 3 if self.layer_crs == "EPSG:4326" else 300_000
            shapes = [shapely.affinity.translate(s, by) for s in shapes]
        if self.trap == "swapped-axes":
            shapes = [shapely.transform(s, lambda xy: xy[:, ::-1]) for s in shapes]
        columns = self._columns(keys)
        if self.trap == "priority":  # what lies above is last, and of the lowest rank
            columns["rank"] = np.arange(len(keys), 0, -1, dtype=np.int32)
        crs = None if self.trap == "layer-without-crs" else self.layer_crs
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._store(path, shapes, columns, crs)
            if self.trap == "two-layers":
                other = {name: values[::-1] for name, values in columns.items()}
                write_layer(path, shapes, other, crs, layer="another")

    def _store(self, path: Path, shapes: list[Any], columns: dict[str, Any], crs: Any) -> None:
        # An index would sort the features, and the last wins.
        more = {
            ".fgb": {"SPATIAL_INDEX": "NO"},
            ".kml": {"driver": "KML"},
            ".json": {"driver": "GeoJSON"},
            ".gdb": {"driver": "OpenFileGDB"},
        }.get(path.suffix, {})
        kind = shapes[0].geom_type if shapes else "Polygon"
        write_layer(path, shapes, columns, crs, layer="shapes", geometry_type=kind, **more)

    def _box(self, transform: Any, r0: float, r1: float, c0: float, c1: float) -> Any:
        corners = [transform * corner for corner in ((c0, r0), (c1, r0), (c1, r1), (c0, r1))]
        polygon = shapely.Polygon(corners)
        if self.layer_crs == self.crs:
            return polygon
        move = pyproj.Transformer.from_crs(self.crs, self.layer_crs, always_xy=True)
        return shapely.transform(polygon, move.transform, interleaved=False)

    def _columns(self, keys: Sequence[int]) -> dict[str, Any]:
        kind = self.case.encoding
        codes = [*self.codes, 77]
        texts = [*TEXTS[: self.classes], "elsewhere"]
        values: Any = {
            "int": np.array([codes[k] for k in keys], np.int32),
            "text": np.array([texts[k] for k in keys], object),
            "number-text": np.array([str(codes[k]) for k in keys], object),
            "none": None,
        }[kind]
        if self.trap == "names-differ-in-case":
            forms = (str.lower, str.upper, lambda t: t + " ", str.title)
            values = np.array([forms[i % 4](v) for i, v in enumerate(values)], object)
        numbers = np.arange(len(keys), dtype=np.int32) + 1
        if kind == "none":
            name = self.pick(["uid", "TileId", "OBJECTID"])
            return {name: numbers} if self.chance(0.5) else {}
        if self.layer_file == ".kml":
            return {"Name": values}
        name = self.column
        if self.trap == "identifier-column":
            own = self.pick(["id", "ID", "uid", "code"])
            return {own: numbers, "klasse": values}
        if self.trap == "two-columns":
            self.case.options["label_field"] = "kind"
            return {"class": np.array(["x", "y", "z"], object)[numbers % 3], "kind": values}
        return {name: values}

    # How classes are told

    def _identity(self) -> None:
        """Set what makes a class of the legend that of a key."""
        encoding, codes = self.case.encoding, [*self.codes, 77]
        names = [*TEXTS[: self.classes], "elsewhere"]

        def code(cls: Any, kind: str, key: int) -> bool:
            return (codes[key] * GRAY if kind == "color" else codes[key]) in cls.codes

        def color(cls: Any, kind: str, key: int) -> bool:
            return COLORS[key] in cls.codes

        def text(cls: Any, kind: str, key: int) -> bool:
            return cls.name.strip().casefold() == names[key].casefold()

        def any_class(cls: Any, kind: str, key: int) -> bool:
            return True

        self.case.same = {
            "rgb": color,
            "rgba": color,
            "text": text,
            "one-hot": any_class,
            "none": any_class,
        }.get(encoding, code)

    def _options(self) -> None:
        case, layout = self.case, self.case.layout
        options = case.options
        if layout == "fields":
            options |= {"images": f"photos/{{id}}_a{self.image_file}"}
            options |= {"labels": f"zz/{{id}}_b{self.mask_file}"}
            case.needs.add(FIELD_PATTERNS)
        elif layout == "split-fields":
            options |= {"images": f"d/{{split}}/i/{{id}}_x{self.image_file}"}
            options |= {"labels": f"d/{{split}}/l/{{id}}_y{self.mask_file}"}
            case.needs.add(FIELD_PATTERNS)
        elif layout == "bandfiles":
            options |= {"images": f"s/{{id}}/B*{self.image_file}"}
            options |= {"labels": f"l/{{id}}_lab{self.mask_file}"}
            case.needs.add(FIELD_PATTERNS)
        elif layout == "pairs-file":
            rows = [["image", "labels"]] + [
                [str(f.relative_to(self.source)) for f in (p.images[0], p.labels)]
                for p in case.pieces
            ]
            options["pairs"] = self._csv("pairs.csv", rows)
            case.needs.add("pairs")
        elif layout == "split-file":
            rows = [["name", "split"]] + [[p.name, str(p.split)] for p in case.pieces]
            options["split"] = self._csv("split.csv", rows)
            case.needs.add("split")
        elif layout in JOINED + VECTOR:
            options["images"] = f"images/*{self.image_file}"
            kind = self.layer_file if layout in VECTOR else self.mask_file
            options["labels"] = {
                "globs": f"labels/*{kind}",
                "one-raster": f"all{kind}",
                "one-vector": f"all{kind}",
                "vectors": f"vec/*{kind}",
                "vector-fields": f"vec/{{id}}{kind}",
            }[layout]
            if layout == "vector-fields":
                options["images"] = f"images/{{id}}{self.image_file}"
                case.needs.add(FIELD_PATTERNS)

    def _csv(self, name: str, rows: list[list[str]]) -> str:
        path = self.case.root / name
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        return str(path)

    # Traps

    def _spoil(self) -> None:
        name = "_" + re.sub(r"\W", "_", self.trap)
        getattr(self, name, lambda: None)()

    @property
    def victim(self) -> Piece:
        return self.case.pieces[int(self.case.seed % len(self.case.pieces))]

    def _refuse(self, *files: Any) -> None:
        """No dataset is right without a warning about these files."""
        self.case.answers, self.case.said = [], []
        self.case.concerned += [Path(f) for f in files]

    def _missing_mask(self) -> None:
        victim = self.victim
        assert victim.labels is not None
        victim.labels.unlink()
        self.case.pieces.remove(victim)
        self.case.dropped += victim.images
        way = self.pick(["", "", "unlabeled", "skip_bad"])
        if way:
            self.case.options[way] = True

    def _orphan_mask(self) -> None:
        victim = self.victim
        assert victim.labels is not None
        extra = Path(str(victim.labels).replace(victim.name, "zzz9"))
        extra.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(victim.labels, extra)
        self.case.dropped.append(extra)

    def _rewritten(self, piece: Piece, keys: NDArray[np.int64], transform: Any, crs: Any) -> None:
        assert piece.labels is not None
        bands, more = self._encoded(keys)
        piece.labels.unlink()
        self._raster(piece.labels, bands, transform, crs, **more)

    def _other_size(self) -> None:
        victim = self.victim
        rows, cols = victim.keys.shape
        self._rewritten(victim, victim.keys[: rows - 5, : cols - 2], None, None)
        self._refuse(victim.labels, *victim.images)

    def _fit_labels(self) -> None:
        for piece in self.case.pieces:
            self._rewritten(piece, np.kron(piece.keys, np.ones((2, 2), np.int64)), None, None)
        self.case.options["fit_labels"] = True
        self.case.needs.add("fit_labels")

    def _shifted_transform(self) -> None:
        victim = self.victim
        by = 5
        self._rewritten(victim, victim.keys, victim.transform * Affine.translation(by, 0), self.crs)
        moved = np.full_like(victim.keys, NONE)
        moved[:, by:] = victim.keys[:, :-by]
        self.case.answers[0][self.id(victim)] = moved

    def _shifted_crs(self) -> None:
        victim = self.victim
        self._rewritten(victim, victim.keys, victim.transform, "EPSG:32633")
        self._refuse(victim.labels, *victim.images)

    def _far_without_crs(self) -> None:
        victim = self.victim
        far = Affine.translation(600_000, 0) * victim.transform
        self._rewritten(victim, victim.keys, far, None)
        self._refuse(victim.labels, *victim.images)

    def _other_extent(self) -> None:
        victim = self.victim
        if self.chance(0.5):
            wide = np.pad(victim.keys, 6, mode="edge")
            self._rewritten(victim, wide, victim.transform * Affine.translation(-6, -6), self.crs)
            return
        self._rewritten(
            victim, victim.keys[4:, 3:], victim.transform * Affine.translation(3, 4), self.crs
        )
        answer = victim.keys.copy()
        answer[:4] = answer[:, :3] = NONE
        self.case.answers[0][self.id(victim)] = answer

    def _finer_mask(self) -> None:
        for piece in self.case.pieces:
            fine = np.kron(piece.keys, np.ones((2, 2), np.int64))
            self._rewritten(piece, fine, piece.transform * Affine.scale(0.5), self.crs)

    def _files(self) -> list[Path]:
        return sorted({p.labels for p in self.case.pieces if p.labels is not None})

    def _declare(self, path: Path, nodata: int) -> None:
        """Declare a value as nodata; a PNG is written anew."""
        with rasterio.open(path) as old:
            bands, crs, transform = old.read(), old.crs, old.transform
        given = (transform, crs) if crs is not None else (None, None)
        path.unlink()
        self._raster(path, bands, *given, nodata)

    def _mask_nodata(self) -> None:
        key = int(self.pick([0, self.classes - 1]))
        for path in self._files():
            self._declare(path, self.codes[key])
        kept = self.case.answers[0]
        without = {name: np.where(keys == key, NONE, keys) for name, keys in kept.items()}
        self.case.answers, self.case.said = [kept, without], [None, str(self.codes[key])]

    def _classes(self, rows: Any) -> None:
        path = self.case.root / "classes.yaml"
        text = rows if isinstance(rows, str) else yaml.safe_dump(rows, allow_unicode=True)
        path.write_text(text, encoding="utf-8")
        self.case.options["classes"] = str(path)
        self.case.concerned.append(path)

    def _mask_nodata_named(self) -> None:
        self._mask_nodata()
        self.case.answers, self.case.said = self.case.answers[:1], [None]
        self._classes([{"name": f"n{c}", "code": c} for c in self.codes])

    def _named_classes(self) -> None:
        if self.case.encoding == "text":
            rows = [{"name": TEXTS[i], "code": 7 * i + 3} for i in range(self.classes)]
        else:
            rows = [{"name": f"n{c}", "code": c} for c in self.codes]
        self._classes(rows)

    def _ignore_255(self) -> None:
        for piece in self.case.pieces:
            assert piece.labels is not None
            with rasterio.open(piece.labels) as old:
                bands, crs, transform = old.read(), old.crs, old.transform
                colors = {}
                if self.case.encoding == "palette":
                    colors["colormap"] = {**old.colormap(1), 255: (0, 0, 0, 255)}
            where = np.zeros(piece.keys.shape, bool)
            where[:3] = where[:, -4:] = True
            bands[:, where] = 255
            piece.labels.unlink()
            given = (transform, crs) if crs is not None else (None, None)
            self._raster(piece.labels, bands, *given, **colors)
            self.case.answers[0][self.id(piece)] = np.where(where, NONE, piece.keys)
        self.case.said = ["255"]

    def _zero_around(self) -> None:
        kept = self.case.answers[0]
        self.codes = [0, *self.codes[: self.classes - 1]]
        for piece in self.case.pieces:
            assert piece.labels is not None
            with rasterio.open(piece.labels) as old:
                crs, transform = old.crs, old.transform
            given = (transform, crs) if crs is not None else (None, None)
            self._rewritten(piece, piece.keys, *given)
        self._identity()
        without = {name: np.where(keys == 0, NONE, keys) for name, keys in kept.items()}
        self.case.answers, self.case.said = [kept, without], ["0", "0"]

    def _decoy(self) -> None:
        """Lay an elevation raster beside each image: a file of another role."""
        for piece in self.case.pieces:
            path = piece.images[0].with_name(f"{piece.name}_dem.tif")
            heights = self.rng.normal(300, 20, piece.keys.shape).astype(np.float32)
            self._raster(path, heights[None], piece.transform, self.crs)
            if self.case.layout in BY_NAME:  # patterns leave it out on purpose
                self.case.dropped.append(path)

    def _two_band_mask(self) -> None:
        victim = self.victim
        assert victim.labels is not None
        bands, _ = self._encoded(victim.keys)
        victim.labels.unlink()
        second = self.rng.integers(1, 4, bands.shape).astype(np.uint8)
        self._raster(victim.labels, np.concatenate([bands, second]), None, None)
        self._refuse(victim.labels)

    def _yaml_no(self) -> None:
        words = ["no", "yes", "on", "off", "null", "1e3"][: self.classes]
        self._classes(
            "".join(f"- {{name: {w}, code: {c}}}\n" for w, c in zip(words, self.codes, strict=True))
        )
        codes = self.codes
        self.case.same = lambda cls, kind, key: cls.name == words[key] and codes[key] in cls.codes

    def _yaml_color(self) -> None:
        rows = [f"- name: c{i}\n  color: #{COLORS[i]:06X}\n" for i in range(self.classes)]
        self._classes("".join(rows))

    def _label_band(self) -> None:
        for piece in self.case.pieces:
            assert piece.labels is not None
            with rasterio.open(piece.labels) as old:
                crs, transform = old.crs, old.transform
            bands, _ = self._encoded(piece.keys)
            given = (transform, crs) if crs is not None else (None, None)
            other = [self.rng.integers(1, 4, bands.shape).astype(bands.dtype) for _ in range(3)]
            piece.labels.unlink()
            self._raster(piece.labels, np.concatenate([other[0], bands, *other[1:]]), *given)
        self.case.options["label_band"] = 2
        self.case.needs.add("label_band")

    def _select_bands(self) -> None:
        for piece in self.case.pieces:
            piece.pixels = piece.pixels[[1, 4]]
        self.case.options["select_bands"] = "2,5"
        self.case.needs.add("select_bands")

    def _nodata_option(self) -> None:
        self.case.options["nodata"] = self.nodata
        self.case.needs.add("nodata")

    def _two_layers(self) -> None:
        self.case.options["layer"] = "shapes"
        self.case.needs.add("layer")

    def _priority(self) -> None:
        self.case.options |= {"priority": "rank", "label_field": self.column}
        self.case.needs.add("priority")
        for piece in self.case.pieces:
            keys = np.full(piece.keys.shape, NONE, np.int64)
            for r0, r1, c0, c1, key in reversed(piece.cells):
                keys[r0:r1, c0:c1] = key
            self.case.answers[0][self.id(piece)] = keys

    def _tiny_polygon(self) -> None:
        self.case.said = ["77" if self.case.encoding in ("int", "number-text") else "elsewhere"]

    def _far_layer(self) -> None:
        self._refuse(*self._files())

    def _swapped_axes(self) -> None:
        self._refuse(*self._files())

    def _layer_without_crs(self) -> None:
        """The numbers are right, so that to take the image's CRS is right where it is said."""
        self.case.said = ["CRS"]

    def _no_column(self) -> None:
        self._refuse(*self._files())

    def _background(self) -> None:
        case = self.case
        case.options["background"] = "ground"
        case.needs.add("background")
        none = case.encoding == "none"
        empty = self.classes
        for piece in case.pieces:
            keys = np.where(piece.keys == NONE, empty, 0 if none else piece.keys)
            case.answers[0][self.id(piece)] = keys
        usual = case.same
        case.same = lambda cls, kind, key: (
            (cls.name == "ground")
            if key == empty
            else cls.name != "ground" and usual(cls, kind, key)
        )

    def _no_georeferencing_globs(self) -> None:
        """Patterns without fields, and nothing but order to pair by: only an error is right."""


def make(seed: int, root: Path) -> Case:
    """Write the source folder of a seed below a folder that is empty or absent."""
    return Maker(seed, root).write()
