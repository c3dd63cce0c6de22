"""Layout `scene`: large rasters, and labels in a raster or vector layer of any grid and CRS."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from swath.data.layouts.catalog import (
    Catalog,
    SourceSample,
    matching,
    missing_mask,
    product_findings,
    product_sample,
)
from swath.data.layouts.label_files import (
    SIDE_FILES,
    grid_of,
    has_place,
    layer_options,
    with_labels,
)
from swath.data.layouts.label_options import VECTOR_OPTIONS
from swath.data.layouts.proposals import BAND_WORDS
from swath.data.layouts.quality_layers import quality_paths
from swath.errors import DataError, UsageError, check_path
from swath.geo.geobox import GeoBox, geobox_of
from swath.io.arrays import file_of, parse_array, stem_of
from swath.io.products import find_products, is_product_path
from swath.io.products.reader import is_archive
from swath.io.raster import Raster, open_raster
from swath.io.source_file import Product
from swath.io.vector import is_vector_file
from swath.options import SourceOptions
from swath.types import Finding

OPTIONS: tuple[str, ...] = ("images", "labels", *VECTOR_OPTIONS)

_WORDS = re.compile(r"([\W_]+)")
_PIXEL_SIZE = re.compile(r"\d+m", re.IGNORECASE)
_BAND = re.compile(r"(b|band|ch|channel)_?\d{1,2}a?", re.IGNORECASE)


def recognizes(options: SourceOptions) -> bool:
    """Return whether images or labels are named, or the folder has products and one layer."""
    if options.images or options.labels:
        return True
    return _only_layer(options.root) is not None and _holds_products(options.root)


def find(options: SourceOptions) -> Catalog:
    """List the scenes named by `--images`, each with the labels of `--labels` that lie on it.

    Files of one grid that have one band each are the bands of one scene, in the order given (a
    pattern gives them by name); without georeferencing, if their names are those of bands. Files on
    one grid of which each has another number of bands are one scene, too, such as an image and its
    relief. All others are scenes. Each scene is cut into blocks, which are the groups of the split.
    For several label files see `label_files`.

    Raises:
        UsageError: images or labels are not named.
        DataError: nothing matches, or a file cannot be read.
    """
    root, products, named_labels = options.root, *_not_named(options)
    if not (options.images or products) or not (named_labels or options.unlabeled):
        raise UsageError(
            "The scene layout needs --images and --labels",
            code="option-missing",
            fix="Name the images (--images 'b*.tif') and the file of labels (--labels roads.gpkg)",
        )
    labels = _resolve(root, named_labels, "--labels")
    labels = [p for p in labels if not p.name.lower().endswith(SIDE_FILES)]
    ignored = tuple(_resolve(root, options.mask, "--mask"))
    samples = _unlabeled(_named_images(options, (*labels, *ignored)), products)
    if not samples:
        message, fix = "No image or product is among what --images names", "Name images in folders"
        raise DataError(message, code="no-such-file", file=root, fix=fix)
    samples = [replace(sample, ignored=ignored, warp=True) for sample in samples]
    if labels:
        samples = with_labels(samples, labels, layer_options(options))
    without = samples if labels else []
    findings = [*_missing_labels(without, options), *product_findings(samples), *_stacked(samples)]
    return Catalog(root, "scene", tuple(samples), tuple(findings))


def _named_images(options: SourceOptions, others: Sequence[Path]) -> list[Path]:
    """Return the files and products of `--images` that are no other file, nor a quality layer."""
    named = _resolve(options.root, options.images, "--images", folders=True)
    layers = quality_paths(options.quality, options.root)
    return [p for p in named if p not in others and p.absolute() not in layers]


def _missing_labels(samples: Sequence[SourceSample], options: SourceOptions) -> list[Finding]:
    """Return the findings on images without labels."""
    return [
        missing_mask(s.images[0], s.name, "label file that touches it", options.unlabeled)
        for s in samples
        if s.labels is None
    ]


def _stacked(samples: Sequence[SourceSample]) -> Iterator[Finding]:
    """Yield a note on files of several bands that are stacked."""
    for sample in samples:
        if sample.product is not None or len(sample.images) == 1:
            continue
        if len({_count_bands(path) for path in sample.images}) > 1:
            names = ", ".join(path.name for path in sample.images)
            message = f"Files on one grid, each with another number of bands, are stacked: {names}."
            fix = "Nothing, or name one of them alone."
            yield Finding("note", "stacked-files", str(sample.images[0]), message, fix)


def _not_named(options: SourceOptions) -> tuple[list[Product], Sequence[str]]:
    """Return the products of a folder whose images are not named, and the labels to take."""
    if options.images:
        return [], options.labels
    layer = None if options.labels else _only_layer(options.root)
    return find_products(options.root), options.labels if layer is None else (layer.name,)


def _unlabeled(images: Sequence[Path], products: Sequence[Product]) -> list[SourceSample]:
    """Return the samples of images, and of products, which may be among the images."""
    at = [p for p in images if is_product_path(p)]
    found = [*products, *(product for p in at for product in find_products(p))]
    _check_names(found)
    scenes = _join_unlike(_join_bands([p for p in images if p not in at and _is_raster(p)]))
    samples = [
        SourceSample(name, tuple(files), None)
        for name, files in zip(_names(scenes), scenes, strict=True)
    ]
    return [*samples, *map(product_sample, found)]


def _is_raster(path: Path) -> bool:
    """Return whether a path is a file or an array in one, and no folder of files."""
    return path.is_file() or parse_array(path) is not None


def _check_names(products: Sequence[Product]) -> None:
    name, count = Counter(p.name for p in products).most_common(1)[0] if products else ("", 0)
    if count > 1:
        path = next(p.path for p in products if p.name == name)
        message = f"{count} products are called {name}, such as a folder and its archive"
        fix = "Leave one of them in the folder, or name the products by --images"
        raise DataError(message, code="same-name", file=path, fix=fix)


def _only_layer(root: Path) -> Path | None:
    """Return the vector file of a folder, if there is one alone."""
    found = root.glob("[!.]*") if root.is_dir() else ()
    layers = [p for p in found if is_vector_file(p) and not _seems_product(p)]
    return layers[0] if len(layers) == 1 else None


def _holds_products(root: Path) -> bool:
    """Return whether a folder is a product, or one of what it holds."""
    inside = (p for p in root.glob("[!.]*") if p.is_dir() or is_archive(p))
    return is_product_path(root) or any(map(_seems_product, inside))


def _seems_product(path: Path) -> bool:
    try:
        return is_product_path(path)
    except DataError:
        return False  # an archive of something else


def _resolve(
    root: Path, patterns: Sequence[str], option: str, *, folders: bool = False
) -> list[Path]:
    """Expand patterns, each of which must match."""
    out: list[Path] = []
    for pattern in patterns:
        matches = matching(root, pattern, folders=folders)
        if not matches:
            message = f"No file matches {option} {pattern}"
            fix = check_path(root / pattern, "Check the name or pattern")
            raise DataError(message, code="no-such-file", file=root, fix=fix)
        out += [p for p in matches if p not in out]
    return out


def _join_bands(images: Sequence[Path]) -> list[list[Path]]:
    """Join single-band files of one place into one scene; an unreadable file is a scene."""
    if len(images) == 1:
        return [list(images)]
    scenes: list[tuple[GeoBox | None, list[Path]]] = []
    for path in images:
        grid = _grid_of_single_band(path)
        for other, files in scenes:
            if grid is not None and other is not None and _are_bands(grid, path, other, files[0]):
                files.append(path)
                break
        else:
            scenes.append((grid, [path]))
    return [files for _, files in scenes]


def _join_unlike(scenes: list[list[Path]]) -> list[list[Path]]:
    """Join scenes on one grid of which each has another number of bands."""
    if len(scenes) == 1:
        return scenes
    groups: dict[object, list[list[Path]]] = defaultdict(list)
    for files in scenes:
        grid = grid_of(files[0])
        groups[grid if grid is not None and has_place(grid) else files[0]].append(files)
    out: list[list[Path]] = []
    for group in groups.values():
        counts = {sum(map(_count_bands, files)) for files in group} if len(group) > 1 else ()
        out += [sum(group, [])] if len(counts) == len(group) else group
    return out


def _count_bands(path: Path) -> int:
    """Return the number of bands of a file, 0 if it cannot be read."""
    try:
        with Raster([path]) as raster:
            return len(raster.bands)
    except DataError:
        return 0


def _are_bands(grid: GeoBox, path: Path, other: GeoBox, first: Path) -> bool:
    """Return whether two files are bands of one scene: one place, or names of bands.

    Of two pixel sizes on one place they need names of bands that else differ in the size alone.
    """
    same = grid.same_as(other)
    if same and has_place(grid):
        return True
    if not same and not (grid.can_fill(other) or other.can_fill(grid)):
        return False
    name = _without_band(path)
    return name is not None and name == _without_band(first)


def _without_band(path: Path) -> tuple[Path, str] | None:
    """Return folder and name without the one word that names a band; None if none or several do."""
    words = [w for w in _WORDS.split(path.stem) if not _PIXEL_SIZE.fullmatch(w)]
    bands = [i for i, w in enumerate(words) if _BAND.fullmatch(w) or w.lower() in BAND_WORDS]
    if len(bands) != 1:
        return None
    return path.parent, "".join(w for i, w in enumerate(words) if i != bands[0])


def _grid_of_single_band(path: Path) -> GeoBox | None:
    try:
        with open_raster(path) as dataset:
            return geobox_of(dataset) if dataset.count == 1 else None
    except DataError:
        return None


def _names(scenes: Sequence[Sequence[Path]]) -> list[str]:
    stems = [stem_of(files[0]) for files in scenes]
    if len(set(stems)) == len(stems):
        return stems
    return [str(file_of(files[0]).with_name(stem_of(files[0]))) for files in scenes]
