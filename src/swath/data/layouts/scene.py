"""Layout `scene`: large rasters, and labels in a raster or vector layer of any grid and CRS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from swath.data.layouts.catalog import Catalog, SourceSample, matching
from swath.errors import DataError, UsageError
from swath.geo.geobox import GeoBox, geobox_of
from swath.io.raster import open_raster
from swath.io.vector import Features, LayerOptions, is_vector_file, read_features
from swath.options import SourceOptions

VECTOR_OPTIONS: tuple[str, ...] = (
    "label_field",
    "layer",
    "labels_crs",
    "background",
    "extent",
    "all_touched",
    "label_width",
    "priority",
)

OPTIONS: tuple[str, ...] = ("images", "labels", *VECTOR_OPTIONS)


def recognizes(options: SourceOptions) -> bool:
    """Return whether images or labels are named."""
    return bool(options.images or options.labels)


def find(options: SourceOptions) -> Catalog:
    """List the scenes named by `--images`, each with the labels of `--labels`.

    Files of one grid that have one band each are the bands of one scene, in the order given (a
    pattern gives them by name); all others are scenes. Each scene is cut into blocks, which are the
    groups of the split.

    Raises:
        UsageError: images or labels are not named.
        DataError: nothing matches, or a file cannot be read.
    """
    root, unlabeled = options.root, options.labels is None
    if not options.images or (unlabeled and not options.unlabeled):
        raise UsageError(
            "The scene layout needs --images and --labels",
            code="option-missing",
            fix="Name the images (--images 'b*.tif') and the file of labels (--labels roads.gpkg)",
        )
    images = _resolve(root, options.images, "--images")
    labels: Path | Features | None = None
    if options.labels is not None:
        path = _resolve(root, [str(options.labels)], "--labels")[0]
        labels = (
            read_features(path, options=layer_options(options)) if is_vector_file(path) else path
        )
        images = [p for p in images if p != path]
    ignored = tuple(_resolve(root, options.mask, "--mask"))
    scenes = _join_bands([p for p in images if p not in ignored])
    samples = tuple(
        SourceSample(name, tuple(files), labels, ignored, warp=True)
        for name, files in zip(_names(scenes), scenes, strict=True)
    )
    return Catalog(root, "scene", samples)


def layer_options(options: SourceOptions) -> LayerOptions:
    """Return how vector layers become labels."""
    extent = options.extent
    if extent is not None:
        if options.background is None:
            message, fix = "--extent is for --background", "Name a class with --background"
            raise UsageError(message, code="option-conflict", fix=fix)
        extent = _resolve(options.root, [str(extent)], "--extent")[0]
    return LayerOptions(
        options.label_field,
        options.layer,
        options.labels_crs,
        options.priority,
        options.all_touched,
        options.label_width,
        options.background,
        extent,
    )


def _resolve(root: Path, patterns: Sequence[str], option: str) -> list[Path]:
    """Expand patterns, each of which must match."""
    out: list[Path] = []
    for pattern in patterns:
        matches = matching(root, pattern)
        if not matches:
            message, fix = f"No file matches {option} {pattern}", "Check the name or pattern"
            raise DataError(message, code="no-such-file", file=root, fix=fix)
        out += [p for p in matches if p not in out]
    return out


def _join_bands(images: Sequence[Path]) -> list[list[Path]]:
    """Join single-band files of one grid into one scene; an unreadable file is a scene."""
    if len(images) == 1:
        return [list(images)]
    scenes: list[tuple[GeoBox | None, list[Path]]] = []
    for path in images:
        grid = _grid_of_single_band(path)
        for other, files in scenes:
            if grid is not None and other is not None and grid.same_as(other):
                files.append(path)
                break
        else:
            scenes.append((grid, [path]))
    return [files for _, files in scenes]


def _grid_of_single_band(path: Path) -> GeoBox | None:
    try:
        with open_raster(path) as dataset:
            return geobox_of(dataset) if dataset.count == 1 else None
    except DataError:
        return None


def _names(scenes: Sequence[Sequence[Path]]) -> list[str]:
    stems = [files[0].stem for files in scenes]
    if len(set(stems)) == len(stems):
        return stems
    return [str(files[0].with_suffix("")) for files in scenes]
