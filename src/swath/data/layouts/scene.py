"""Layout `scene`: large rasters, and labels in a raster or vector layer of any grid and CRS."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from swath.data.layouts.catalog import Catalog, SourceSample, matching, missing_mask
from swath.data.layouts.label_files import SIDE_FILES, has_place, layer_options, with_labels
from swath.data.layouts.proposals import BAND_WORDS
from swath.errors import DataError, UsageError
from swath.geo.geobox import GeoBox, geobox_of
from swath.io.arrays import file_of, stem_of
from swath.io.raster import open_raster
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

_WORDS = re.compile(r"([\W_]+)")
_BAND = re.compile(r"(b|band|ch|channel)_?\d{1,2}a?", re.IGNORECASE)


def recognizes(options: SourceOptions) -> bool:
    """Return whether images or labels are named."""
    return bool(options.images or options.labels)


def find(options: SourceOptions) -> Catalog:
    """List the scenes named by `--images`, each with the labels of `--labels` that lie on it.

    Files of one grid that have one band each are the bands of one scene, in the order given (a
    pattern gives them by name); without georeferencing, if their names are those of bands. All
    others are scenes. Each scene is cut into blocks, which are the groups of the split. For several
    label files see `label_files`.

    Raises:
        UsageError: images or labels are not named.
        DataError: nothing matches, or a file cannot be read.
    """
    root, unlabeled = options.root, not options.labels
    if not options.images or (unlabeled and not options.unlabeled):
        raise UsageError(
            "The scene layout needs --images and --labels",
            code="option-missing",
            fix="Name the images (--images 'b*.tif') and the file of labels (--labels roads.gpkg)",
        )
    images = _resolve(root, options.images, "--images")
    labels = _resolve(root, options.labels, "--labels")
    labels = [p for p in labels if not p.name.lower().endswith(SIDE_FILES)]
    images = [p for p in images if p not in labels]
    ignored = tuple(_resolve(root, options.mask, "--mask"))
    scenes = _join_bands([p for p in images if p not in ignored])
    samples = [
        SourceSample(name, tuple(files), None, ignored, warp=True)
        for name, files in zip(_names(scenes), scenes, strict=True)
    ]
    if labels:
        samples = with_labels(samples, labels, layer_options(options))
    findings = [
        missing_mask(s.images[0], s.name, "label file that touches it", options.unlabeled)
        for s in samples
        if labels and s.labels is None
    ]
    return Catalog(root, "scene", tuple(samples), tuple(findings))


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
            if grid is not None and other is not None and _are_bands(grid, path, other, files[0]):
                files.append(path)
                break
        else:
            scenes.append((grid, [path]))
    return [files for _, files in scenes]


def _are_bands(grid: GeoBox, path: Path, other: GeoBox, first: Path) -> bool:
    """Return whether two files are bands of one scene: one place, or names of bands."""
    if not grid.same_as(other):
        return False
    if has_place(grid):
        return True
    name = _without_band(path)
    return name is not None and name == _without_band(first)


def _without_band(path: Path) -> tuple[Path, str] | None:
    """Return folder and name without the one word that names a band; None if none or several do."""
    words = _WORDS.split(path.stem)
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
