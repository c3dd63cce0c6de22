"""Layout `scene`: large georeferenced rasters, and labels in a raster or a vector layer of any grid and CRS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from swath.data.layouts.catalog import Catalog, SourceSample, matching
from swath.errors import DataError, UsageError
from swath.geo.geobox import GeoBox, geobox_of
from swath.io.raster import open_raster
from swath.io.vector import VECTOR_EXTENSIONS, Features, read_features
from swath.options import SourceOptions


def find(options: SourceOptions) -> Catalog:
    """List the scenes named by `--images`, each with the labels of `--labels`.

    Files of one grid that have one band each are the bands of one scene, in the order given (a
    pattern gives them by name); all others are scenes. Each scene is cut into blocks, which are the
    groups of the split.

    Raises:
        UsageError: images or labels are not named.
        DataError: nothing matches, or a file cannot be read.
    """
    if not options.images or (options.labels is None and not options.unlabeled):
        raise UsageError(
            "the scene layout needs --images and --labels",
            fix="Say which rasters are images (--images 'b*.tif') and which file has the labels (--labels roads.gpkg)",
        )
    images = _resolve(options.root, options.images, "--images")
    labels: Path | Features | None = None
    if options.labels is not None:
        path = _resolve(options.root, [str(options.labels)], "--labels")[0]
        labels = (
            read_features(path, options.label_field)
            if path.suffix.lower() in VECTOR_EXTENSIONS
            else path
        )
        images = [p for p in images if p != path]
    ignored = tuple(_resolve(options.root, options.mask, "--mask")) if options.mask else ()
    images = [p for p in images if p not in ignored]
    scenes = _stacks(images)
    names = _names(scenes)
    samples = tuple(
        SourceSample(name, tuple(files), labels, ignored, warp=True)
        for name, files in zip(names, scenes, strict=True)
    )
    return Catalog(options.root, "scene", samples)


def _resolve(root: Path, patterns: Sequence[str], option: str) -> list[Path]:
    """Expand patterns, each of which must match."""
    out: list[Path] = []
    for pattern in patterns:
        matches = matching(root, pattern)
        if not matches:
            raise DataError(
                f"no file matches {option} {pattern}", file=root, fix="Check the name or pattern"
            )
        out += [p for p in matches if p not in out]
    return out


def _stacks(images: Sequence[Path]) -> list[list[Path]]:
    """Join single-band files of one grid into one scene; one that cannot be opened stands alone, for the doctor to report."""
    stacks: list[tuple[GeoBox | None, list[Path]]] = []
    for path in images:
        grid = _grid_of_single_band(path)
        for other, files in stacks:
            if grid is not None and other is not None and grid.same_as(other):
                files.append(path)
                break
        else:
            stacks.append((grid, [path]))
    return [files for _, files in stacks]


def _grid_of_single_band(path: Path) -> GeoBox | None:
    try:
        with open_raster(path) as dataset:
            return geobox_of(dataset) if dataset.count == 1 else None
    except DataError:
        return None


def _names(scenes: Sequence[Sequence[Path]]) -> list[str]:
    names = [files[0].stem for files in scenes]
    return (
        names
        if len(set(names)) == len(names)
        else [str(files[0].with_suffix("")) for files in scenes]
    )
