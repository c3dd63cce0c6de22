"""More random source folders: arrays, bands of several files and orders, options, layers.

`pair_cases` holds the grammar; here are its further productions, drawn by seeds of their own.
"""

import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray

from tests.data.pair_cases import (
    BY_NAME,
    CODES,
    COLUMNS,
    JOINED,
    NONE,
    PAIRED,
    VECTOR,
    WHOLE,
    Case,
    Maker,
    Piece,
)

PLAIN = ("codes", "codes-from-0", "sparse", "codes-16", "float")
"""Encodings of masks that arrays hold too."""

ONE_FILE = ("folders", "suffix", "places", "splits", "fields", "pairs-file")
BAND_NAMES = ("blue", "green", "red", "nir", "swir16")
GEOREFERENCED = ("labels-crs", "labels-crs-of-another", "labels-crs-declared", "resolutions")

EXTRAS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "npy": (ONE_FILE, PLAIN),
    "npy-images": (ONE_FILE, PLAIN),
    "npy-masks": (ONE_FILE, PLAIN),
    "npy-of-times": (("fields",), PLAIN),
    "npz": (("fields",), PLAIN),
    "npz-members": (("fields",), PLAIN),
    "npz-unnamed": (("fields",), PLAIN),
    "stack-of-all": (("fields",), PLAIN),
    "netcdf": (("fields",), PLAIN),
    "netcdf-located": (("fields",), PLAIN),
    "resolutions": (("bandfiles",), CODES),
    "band-orders": (WHOLE, CODES),
    "bands-selected": (WHOLE, CODES),
    "band-unknown": (WHOLE, CODES),
    "band-missing": (WHOLE, CODES),
    "scaled": (WHOLE, CODES),
    "raw": (WHOLE, CODES),
    "other-nodata": (WHOLE, CODES),
    "mask-option": (("folders", "suffix", "fields"), CODES),
    "labels-crs": (PAIRED, CODES),
    "labels-crs-of-another": (PAIRED, CODES),
    "labels-crs-declared": (PAIRED, CODES),
    "labels-crs-without-place": (BY_NAME, CODES),
    "layers-labels-crs": (VECTOR, COLUMNS),
    "no-effect-on-masks": (PAIRED + JOINED, CODES),
    "no-effect-on-layers": (VECTOR, COLUMNS),
    "formats": (VECTOR, COLUMNS),
    "points": (VECTOR, COLUMNS),
    "holes": (VECTOR, COLUMNS),
    "labels-beside-image": (("folders", "suffix"), ("rgb", "one-hot", "gray-3")),
}
"""Layouts and encodings by trap."""


class ExtraMaker(Maker):
    """Writes one case of the further productions."""

    table: ClassVar = EXTRAS
    drawn: ClassVar = list(EXTRAS)
    georeferenced: ClassVar = GEOREFERENCED

    @property
    def arrays(self) -> bool:
        return self.trap.startswith(("npy", "npz", "netcdf", "stack"))

    def _image_kind(self) -> None:
        super()._image_kind()
        banded = ("band", "scaled", "raw", "other-nodata", "mask-option")
        if self.arrays or self.trap.startswith(banded):
            self.image_file = ".tif"
        if self.arrays:
            self.nodata = None
            self.south_first = self.chance(0.3)
        if self.trap.startswith("band"):
            self.bands = self.pick([3, 4, 5])
        if self.trap in ("scaled", "raw", "other-nodata", "netcdf", "netcdf-located"):
            self.dtype, self.nodata = self.pick(["int16", "float32"]), None
        if self.trap == "other-nodata":
            self.nodata = -9999
        if self.trap == "resolutions":
            self.dtype, self.nodata, self.image_file = "float32", None, ".tif"

    def _place(self) -> None:
        super()._place()
        if self.arrays or self.trap == "labels-crs-without-place":
            self.crs, self.placed, self.south_up = None, False, False
            self.georeferenced_mask = False
        if self.trap in ("labels-crs-of-another", "labels-crs-declared"):
            self.crs = "EPSG:32632"
            self.step, self.corner = 10.0, (500_000.0, 5_600_000.0)

    # Arrays

    def _paths(self, i: int, piece: Piece) -> None:
        super()._paths(i, piece)
        assert piece.labels is not None
        if self.trap in ("npy", "npy-images"):
            piece.images = [piece.images[0].with_name(piece.images[0].stem + ".npy")]
        if self.trap in ("npy", "npy-masks"):
            piece.labels = piece.labels.with_name(piece.labels.stem + ".npy")
        n = piece.name
        both = {
            "npy-of-times": (f"i/{n}.npy[1]", f"l/{n}.npy[0]"),
            "npz": (f"i/{n}_i.npz", f"l/{n}_l.npz"),
            "npz-members": (f"d/{n}.npz:image", f"d/{n}.npz:mask"),
            "npz-unnamed": (f"d/{n}.npz", f"d/{n}.npz:mask"),
            "stack-of-all": (f"images.npy[{i}]", f"labels.npy[{i}]"),
            "netcdf": (f"d/{n}.nc:image", f"d/{n}.nc:mask"),
            "netcdf-located": (f"d/{n}.nc:image", f"d/{n}.nc:mask"),
        }.get(self.trap)
        if both:
            piece.images, piece.labels = [self.source / both[0]], self.source / both[1]

    def samples(self) -> None:
        super().samples()
        if self.trap != "stack-of-all":
            return
        pieces = self.case.pieces
        rows, cols = (min(p.keys.shape[axis] for p in pieces) for axis in (0, 1))
        for piece in pieces:
            piece.keys, piece.valid = piece.keys[:rows, :cols], piece.valid[:rows, :cols]
            piece.pixels = piece.pixels[:, :rows, :cols]

    def _write_image(self, piece: Piece) -> None:
        trap, path = self.trap, piece.images[0]
        if trap in ("npy", "npy-images"):
            self._save(path, self._turned(piece.pixels))
        elif trap == "resolutions":
            self._write_coarse(piece)
        elif trap.startswith("band"):
            self._write_named(piece)
        elif trap in ("scaled", "raw"):
            self._write_scaled(piece)
        elif trap == "other-nodata":
            self._write_other_nodata(piece)
        elif not self.arrays or trap == "npy-masks":
            super()._write_image(piece)

    def _write_mask(self, i: int, piece: Piece) -> None:
        assert piece.labels is not None
        if not self.arrays or self.trap == "npy-images":
            super()._write_mask(i, piece)
            return
        codes = self._encoded(piece.keys)[0][0]
        codes = codes.astype(self.pick([codes.dtype, np.int64, np.int32, ">i4", np.float64]))
        if self.trap in ("npy", "npy-masks"):
            shape = self.pick([codes.shape, codes.shape, (1, *codes.shape)])
            self._save(piece.labels, codes.reshape(shape))
        else:
            self._write_both(i, piece, codes)

    def _write_both(self, i: int, piece: Piece, codes: NDArray[Any]) -> None:
        assert piece.labels is not None
        image = Path(str(piece.images[0]).partition(".np")[0])
        mask = Path(str(piece.labels).partition(".np")[0])
        for path in (image, mask):
            path.parent.mkdir(parents=True, exist_ok=True)
        if self.trap == "npy-of-times":
            other = piece.pixels[:, ::-1]
            np.save(f"{image}.npy", np.stack([other, piece.pixels, other]))
            np.save(f"{mask}.npy", np.stack([codes, np.flip(codes)]))
        elif self.trap == "npz":
            np.savez_compressed(f"{image}.npz", x=self._turned(piece.pixels))
            np.savez(f"{mask}.npz", codes)
        elif self.trap.startswith("npz"):
            save = self.pick([np.savez, np.savez_compressed])
            save(f"{image}.npz", image=self._turned(piece.pixels), mask=codes)
        elif self.trap == "stack-of-all":
            if i == len(self.case.pieces) - 1:
                pixels = [p.pixels for p in self.case.pieces]
                np.save(f"{image}.npy", np.stack(pixels))
                labels = [self._encoded(p.keys)[0][0] for p in self.case.pieces]
                np.save(f"{mask}.npy", np.stack(labels))
        else:
            self._write_netcdf(Path(str(piece.images[0]).partition(":")[0]), piece, codes)

    def _turned(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return an array (bands, rows, columns) as people save it."""
        if len(pixels) == 1 and self.case.seed % 2:
            return pixels[0]
        if self.case.seed % 3 == 0:
            pixels = np.moveaxis(pixels, 0, -1)
        if self.case.seed % 5 == 0:
            return np.asfortranarray(pixels)
        if self.case.seed % 5 == 1:
            return pixels.astype(pixels.dtype.newbyteorder(">"))
        return np.ascontiguousarray(pixels)

    @staticmethod
    def _save(path: Path, array: NDArray[Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)

    def _write_netcdf(self, path: Path, piece: Piece, codes: NDArray[Any]) -> None:
        from scipy.io import netcdf_file

        rows, cols = codes.shape
        path.parent.mkdir(parents=True, exist_ok=True)
        with netcdf_file(str(path), "w") as out:
            for name, size in (("band", self.bands), ("y", rows), ("x", cols)):
                out.createDimension(name, size)
            order = slice(None)
            if self.trap == "netcdf-located":
                lat = 48.0 - 1e-4 * np.arange(rows)
                if self.south_first:
                    order = slice(None, None, -1)
                for name, values, unit in (
                    ("y", lat[order], "degrees_north"),
                    ("x", 9.0 + 1e-4 * np.arange(cols), "degrees_east"),
                ):
                    axis = out.createVariable(name, "f8", (name,))
                    axis[:], axis.units = values, unit
                    axis.standard_name = "latitude" if name == "y" else "longitude"
            image = out.createVariable("image", piece.pixels.dtype, ("band", "y", "x"))
            image[:] = piece.pixels[:, order]
            mask = out.createVariable("mask", "i4", ("y", "x"))
            mask[:] = codes[order].astype("i4")

    # Bands

    def _write_coarse(self, piece: Piece) -> None:
        """Write the first or last band at half the resolution: a slope, which bilinear keeps."""
        rows, cols = (n // 2 * 2 for n in piece.keys.shape)
        piece.keys, piece.valid = piece.keys[:rows, :cols], piece.valid[:rows, :cols]
        piece.pixels, piece.tolerance = piece.pixels[:, :rows, :cols].copy(), 1e-2
        coarse = self.pick([0, 2])
        for band, path in enumerate(piece.images):
            if band != coarse or piece.transform is None:
                self._raster(path, piece.pixels[band][None], piece.transform, self.crs)
                continue
            slope = self.rng.uniform(1, 20, 2)
            r, c = np.arange(rows // 2), np.arange(cols // 2)
            small = 100 + slope[0] * r[:, None] + slope[1] * c
            fine = [np.clip(np.arange(n) / 2 - 0.25, 0, n // 2 - 1) for n in (rows, cols)]
            piece.pixels[band] = 100 + slope[0] * fine[0][:, None] + slope[1] * fine[1]
            half = piece.transform * rasterio.Affine.scale(2)
            self._raster(path, small.astype(np.float32)[None], half, self.crs)

    def _write_named(self, piece: Piece) -> None:
        names = list(BAND_NAMES[: self.bands])
        order = list(range(self.bands))
        pixels = piece.pixels
        is_victim = piece is self.victim
        if is_victim or self.trap == "bands-selected":
            order = self.rng.permutation(self.bands).tolist()
        if self.trap == "band-unknown" and is_victim:
            names[self.bands - 1] = "rededge1"
        if self.trap == "band-missing" and is_victim:
            order = order[:-1]
        self._raster(
            piece.images[0],
            pixels[order],
            piece.transform,
            self.crs,
            self.nodata,
            descriptions=[names[i] for i in order],
        )
        if self.trap == "bands-selected":
            piece.pixels = pixels[[2, 0]]

    def _write_scaled(self, piece: Piece) -> None:
        self._raster(piece.images[0], piece.pixels, piece.transform, self.crs)
        scales = [0.0001, 0.5, 2.0, 0.1, 1.0][: self.bands]
        offsets = [-0.1, 0.0, 3.0, 0.0, 10.0][: self.bands]
        with rasterio.open(piece.images[0], "r+") as out:
            out.scales, out.offsets = scales, offsets
        if self.trap == "scaled":
            shape = (-1, 1, 1)
            scaled = piece.pixels * np.reshape(scales, shape) + np.reshape(offsets, shape)
            piece.pixels, piece.tolerance = scaled.astype(np.float32), 1e-2

    def _write_other_nodata(self, piece: Piece) -> None:
        """Write a value of its own in each file."""
        own = -9000 - len(piece.name) - self.case.pieces.index(piece)
        pixels = piece.pixels.copy()
        pixels[:, ~piece.valid] = own
        self._raster(piece.images[0], pixels, piece.transform, self.crs, own)

    # Options

    def _options(self) -> None:
        super()._options()
        options = self.case.options
        pattern = {
            "npy-of-times": ("i/{id}.npy[1]", "l/{id}.npy[0]"),
            "npz": ("i/{id}_i.npz", "l/{id}_l.npz"),
            "npz-members": ("d/{id}.npz:image", "d/{id}.npz:mask"),
            "npz-unnamed": ("d/{id}.npz", "d/{id}.npz:mask"),
            "stack-of-all": ("images.npy[{id}]", "labels.npy[{id}]"),
            "netcdf": ("d/{id}.nc:image", "d/{id}.nc:mask"),
            "netcdf-located": ("d/{id}.nc:image", "d/{id}.nc:mask"),
        }.get(self.trap)
        if self.trap == "stack-of-all" and self.case.seed % 2:
            pattern = ("images.npy[*]", "labels.npy[*]")
        if pattern:
            options["images"], options["labels"] = pattern
        elif "images" in options and self.trap in ("npy", "npy-images"):
            options["images"] = f"{options['images'].rpartition('.')[0]}.npy"
        if "labels" in options and self.trap in ("npy", "npy-masks"):
            options["labels"] = f"{options['labels'].rpartition('.')[0]}.npy"

    def _npz_unnamed(self) -> None:
        self._refuse(*self.source.rglob("*.npz"))

    def _bands_selected(self) -> None:
        self.case.options["select_bands"] = "red,blue"

    def _band_unknown(self) -> None:
        self._refuse(*self.victim.images)

    def _band_missing(self) -> None:
        self._refuse(*self.victim.images)

    def _raw(self) -> None:
        self.case.options["raw"] = True

    def _mask_option(self) -> None:
        where = self.source / "hidden"
        for piece in self.case.pieces:
            hidden = np.zeros(piece.keys.shape, np.uint8)
            hidden[: len(hidden) // 3] = self.pick([1, 2, 200])
            self._raster(
                where / f"{piece.images[0].stem}.tif", hidden[None], piece.transform, self.crs
            )
            piece.valid = piece.valid & (hidden == 0)
        self.case.options["mask"] = "hidden/*.tif"

    def _without_crs(self) -> None:
        for piece in self.case.pieces:
            self._rewritten(piece, piece.keys, piece.transform, None)

    def _labels_crs(self) -> None:
        self._without_crs()
        self.case.options["labels_crs"] = self.crs

    def _labels_crs_of_another(self) -> None:
        self._without_crs()
        self.case.options["labels_crs"] = "EPSG:32633"
        self._refuse(*self._files())

    def _labels_crs_declared(self) -> None:
        self.case.options["labels_crs"] = "EPSG:32633"
        self._refuse(*self._files())

    def _labels_crs_without_place(self) -> None:
        self.case.options["labels_crs"] = "EPSG:32632"
        self._refuse(*self._files())

    def _layers_labels_crs(self) -> None:
        self.case.options["labels_crs"] = self.crs
        if self.layer_crs is not None and self.layer_crs != self.crs:
            self._refuse(*self._files())

    def _no_effect_on_masks(self) -> None:
        given = self.pick(
            [
                {"label_field": "class"},
                {"layer": "shapes"},
                {"background": "ground"},
                {"all_touched": True},
                {"label_width": 20.0},
                {"priority": "rank"},
            ]
        )
        self.case.options |= given
        self._refuse()

    def _no_effect_on_layers(self) -> None:
        given = self.pick(
            [{"label_band": 1}, {"fit_labels": True}, {"snap_colors": True}, {"label_width": 20.0}]
        )
        self.case.options |= given
        self._refuse()

    def _points(self) -> None:
        for piece in self.case.pieces:
            self.case.answers[0][self.id(piece)] = piece.keys

    _holes = _points

    # Layers

    def _layer_kinds(self) -> list[str]:
        if self.trap == "formats":
            return [".parquet", ".zip", ".gml", ".json", ".gdb", ".geojson"]
        if self.trap == "layers-labels-crs":
            return [".gpkg", ".shp", ".geojson"]
        return super()._layer_kinds()

    def _layer_crs(self) -> str | None:
        own = self.trap == "formats" and self.layer_file in (".geojson", ".json")
        return self.crs if own and self.case.seed % 2 else super()._layer_crs()

    def _store(self, path: Path, shapes: list[Any], columns: dict[str, Any], crs: Any) -> None:
        if self.trap == "layers-labels-crs" and self.layer_file != ".geojson":
            crs = None
        if path.suffix == ".zip":
            inner = path.with_suffix("") / f"{path.stem}.shp"
            super()._store(inner, shapes, columns, crs)
            shutil.make_archive(str(path.with_suffix("")), "zip", inner.parent)
            shutil.rmtree(inner.parent)
        elif path.suffix == ".parquet":
            _write_parquet(path, shapes, columns, crs)
        else:
            super()._store(path, shapes, columns, crs)

    def _shapes(self, piece: Piece) -> tuple[list[Any], list[int]]:
        if self.trap == "points":
            return self._some_points(piece)
        shapes, keys = super()._shapes(piece)
        if self.trap == "holes":
            shapes = [
                self._hole(piece, cell, s) for cell, s in zip(piece.cells, shapes, strict=True)
            ]
            inside = np.full(piece.keys.shape, NONE, np.int64)
            for r0, r1, c0, c1, key in piece.cells:
                here = np.zeros(inside.shape, bool)
                here[r0:r1, c0:c1] = True
                if r1 - r0 > 4 and c1 - c0 > 4:
                    here[r0 + 1 : r0 + 3, c0 + 1 : c0 + 4] = False
                inside[here] = key
            piece.keys = inside
        return shapes, keys

    def _hole(self, piece: Piece, cell: tuple[int, ...], shape: Any) -> Any:
        r0, r1, c0, c1, _ = cell
        if r1 - r0 <= 4 or c1 - c0 <= 4:
            return shape
        hole = self._box(piece.transform, r0 + 1, r0 + 3, c0 + 1, c0 + 4)
        return shape.difference(hole)

    def _some_points(self, piece: Piece) -> tuple[list[Any], list[int]]:
        own = piece.keys
        piece.keys = np.full(own.shape, NONE, np.int64)
        rows, cols = (self.rng.permutation(n)[:20] for n in own.shape)
        shapes, keys = [], []
        for r, c in zip(rows.tolist(), cols.tolist(), strict=True):
            if own[r, c] != NONE:
                shapes.append(self._box(piece.transform, r, r + 1, c, c + 1).centroid)
                keys.append(int(own[r, c]))
                piece.keys[r, c] = own[r, c]
        return shapes, keys


def _write_parquet(path: Path, shapes: list[Any], columns: dict[str, Any], crs: Any) -> None:
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq
    import pyproj

    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {
            "geometry": {
                "encoding": "WKB",
                "geometry_types": [],
                "crs": None if crs is None else pyproj.CRS(crs).to_json_dict(),
            }
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({k: pa.array(list(v)) for k, v in columns.items()}).append_column(
        "geometry", pa.array(list(shapely.to_wkb(np.array(shapes, object))), pa.binary())
    )
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)


def make_extra(seed: int, root: Path) -> Case:
    """Write the source folder of a seed of the further productions."""
    return ExtraMaker(seed, root).write()
