"""Layouts: how the files of a source folder are arranged, one module each.

A layout is a module of this package that provides what `Layout` lists, and one row of `LAYOUTS`;
`--layout` of `swath.options.SourceOptions` takes the name of the row. All it returns is a
`Catalog`: samples (image, labels, group, ...) and findings on the arrangement. A layout reads file
names, and headers where it must; pixels are read by `swath.checks` and `swath.commands.prepare`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from zipfile import is_zipfile

from swath.data.layouts import dfc2019, pairs, pattern_layout, scene
from swath.data.layouts.catalog import Catalog, SourceSample
from swath.data.layouts.own_split import with_own_split
from swath.errors import DataError, UsageError
from swath.options import SourceOptions

__all__ = ["LAYOUTS", "Catalog", "Layout", "SourceSample", "find_layout"]


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
        given = [f"--{o.replace('_', '-')}" for o in layout.OPTIONS if getattr(options, o)]
        if given and other != name and not _shares_options(name, other):
            message = f"{' and '.join(given)} is for the {other} layout, and this is {name}"
            fix = f"Leave out {' and '.join(given)}, or give --layout {other}"
            raise UsageError(message, code="option-conflict", fix=fix)
    catalog = LAYOUTS[name].find(options)
    if options.select_bands or options.nodata is not None or options.warp:
        reading: dict[str, Any] = {
            "select": tuple(options.select_bands),
            "nodata": options.nodata,
            "warp_image": options.warp,
        }
        samples = tuple(replace(s, **reading) for s in catalog.samples)
        catalog = replace(catalog, samples=samples)
    if name == "contest" and not options.split:  # has a finding of its own on its folders
        return catalog
    return with_own_split(catalog, options)


def _shares_options(name: str, other: str) -> bool:
    """Return whether a layout takes the options of another: `pattern` those of `scene`."""
    return name == "pattern" and other == "scene"


def _check_folder(root: Path) -> None:
    if not root.exists():
        message = "There is no such folder"
        raise DataError(message, code="no-such-folder", file=root, fix="Check the path")
    if not root.is_dir():
        message = "The source is a file, and a folder is wanted"
        fix = "Unpack the file, and give its folder" if is_zipfile(root) else "Give its folder"
        raise DataError(message, code="not-a-folder", file=root, fix=fix)
