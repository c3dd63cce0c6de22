"""Find the layout of a source folder, and its samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from zipfile import is_zipfile

from swath.data.layouts import dfc2019, pairs, pattern_layout, scene
from swath.data.layouts.catalog import Catalog, SourceSample, product_findings
from swath.data.layouts.label_options import check_label_options, given_options
from swath.data.layouts.own_split import with_own_split
from swath.data.layouts.quality_layers import QualityTarget, assign_quality, without_layer
from swath.errors import DataError, UsageError, check_path
from swath.geo.geobox import GeoBox
from swath.io.products import find_product, is_product_path
from swath.io.quality import MASK_FAULTS, check_mask
from swath.options import SourceOptions
from swath.types import Finding


class Layout(Protocol):
    """What a layout module provides."""

    OPTIONS: tuple[str, ...]
    """Fields of `SourceOptions` that no other layout takes."""

    def recognizes(self, options: SourceOptions) -> bool:
        """Return whether `--layout auto` is this layout, by options and file names."""

    def find(self, options: SourceOptions) -> Catalog:
        """List the samples of `options.root`, in the order of their names.

        Raises:
            DataError: a named file does not exist; all that concerns one sample is a finding.
            UsageError: an option is missing or wrong.
        """


LAYOUTS: dict[str, Layout] = {
    "pattern": pattern_layout,
    "scene": scene,
    "contest": dfc2019,
    "pairs": pairs,
}
"""Layouts by name; `auto` takes the first that recognizes the folder, and `pairs` takes any."""


def find_layout(options: SourceOptions) -> Catalog:
    """List the samples of a source folder.

    Raises:
        DataError: the folder does not exist, or the named images or labels do not.
        UsageError: options contradict each other.
    """
    _check_folder(options.root)
    name: str = options.layout
    if name == "auto":
        name = next(key for key, layout in LAYOUTS.items() if layout.recognizes(options))
    for other, layout in LAYOUTS.items():
        given = given_options(options, layout.OPTIONS)
        if given and other != name and not _shares_options(name, other):
            message = f"{' and '.join(given)} is for the {other} layout, and this is {name}"
            fix = f"Leave out {' and '.join(given)}, or give --layout {other}"
            raise UsageError(message, code="option-conflict", fix=fix)
    catalog = LAYOUTS[name].find(options)
    check_label_options(catalog, options)
    read: dict[str, Any] = {
        "select": tuple(options.select_bands),
        "nodata": options.nodata,
        "scaled": not options.raw,
        "ignore_band_nodata": options.ignore_band_nodata,
        "erode_nodata": options.erode_nodata,
        "warp_image": options.warp,
    }
    catalog = replace(catalog, samples=tuple(replace(s, **read) for s in catalog.samples))
    catalog = _with_products(catalog)
    samples = tuple(with_quality(catalog.samples, options, options.root))
    missing = without_layer(
        [s.quality for s in samples], options.quality, [str(s.images[0]) for s in samples]
    )
    catalog = replace(catalog, samples=samples, findings=(*catalog.findings, *missing))
    if name == "contest" and not options.split:  # has a finding of its own on its folders
        return catalog
    return with_own_split(catalog, options)


def with_quality(
    samples: Sequence[SourceSample], options: SourceOptions, root: Path | None
) -> list[SourceSample]:
    """Return samples with their quality layers.

    Args:
        samples: the samples.
        options: which layers, and what they drop.
        root: folder that patterns start from, besides the working directory.

    Raises:
        DataError: a mask is none, or see `assign_quality`.
    """
    for mask in dict.fromkeys(path for s in samples for path in s.ignored):
        try:
            check_mask(mask)
        except DataError as error:
            if error.code in MASK_FAULTS:  # others are findings when the sample is read
                raise
    found = assign_quality([_target(s) for s in samples], options.quality, root)
    drop, limit = options.drop, options.clear_below
    return [
        replace(s, quality=files, drop=drop, clear_below=limit)
        for s, files in zip(samples, found, strict=True)
    ]


def _target(sample: SourceSample) -> QualityTarget:
    def open_grid() -> GeoBox:
        with sample.open_image() as image:
            return image.grid

    own = sample.product.quality if sample.product is not None else ()
    return QualityTarget(((sample.name, *map(str, sample.images)),), own, open_grid)


def _with_products(catalog: Catalog) -> Catalog:
    """Give bands and numbers to samples whose one file is a product (PlanetScope)."""
    samples, findings = [], list(catalog.findings)
    for sample in catalog.samples:
        one = sample.images[0] if len(sample.images) == 1 and not sample.bands else None
        if sample.product is None and one and one.is_file() and is_product_path(one):
            try:
                sample = replace(sample, product=find_product(one))
                findings += product_findings([sample])
            except DataError as error:
                findings.append(Finding.of_error(error, one, sample.name))
        samples.append(sample)
    return replace(catalog, samples=tuple(samples), findings=tuple(findings))


def _shares_options(name: str, other: str) -> bool:
    """Return whether a layout takes the options of another: `pattern` those of `scene`."""
    return name == "pattern" and other == "scene"


def _check_folder(root: Path) -> None:
    if not root.exists():
        message = "There is no such folder"
        raise DataError(message, code="no-such-folder", file=root, fix=check_path(root))
    if not root.is_dir():
        message = "The source is a file, and a folder is wanted"
        fix = "Unpack the file, and give its folder" if is_zipfile(root) else "Give its folder"
        raise DataError(message, code="not-a-folder", file=root, fix=fix)
