"""Layouts of source folders met in the wild, one module each; `find_layout` picks one and returns a catalog."""

from __future__ import annotations

from zipfile import is_zipfile

from swath.data.layouts import dfc2019, pairs, scene
from swath.data.layouts.catalog import Catalog, SourceSample
from swath.errors import DataError, UsageError
from swath.options import SourceOptions

__all__ = ["Catalog", "SourceSample", "find_layout"]

_LAYOUTS = {"contest": dfc2019.find, "pairs": pairs.find, "scene": scene.find}


def find_layout(options: SourceOptions) -> Catalog:
    """List the samples of a source folder.

    `auto` is `scene` where images or labels are named, `contest` where files have its names, else
    `pairs`.

    Raises:
        DataError: the folder does not exist, or the named images or labels do not.
        UsageError: options contradict each other.
    """
    if not options.root.exists():
        raise DataError("there is no such folder", file=options.root, fix="Check the path")
    if not options.root.is_dir():
        fix = (
            "Unpack it, and give the folder"
            if is_zipfile(options.root)
            else "Give the folder it lies in"
        )
        raise DataError("this is a file, and a folder is wanted", file=options.root, fix=fix)
    layout = options.layout
    if layout == "auto":
        if options.images or options.labels:
            layout = "scene"
        else:
            layout = "contest" if dfc2019.recognizes(options.root) else "pairs"
    if layout != "scene" and (options.images or options.labels or options.label_field):
        raise UsageError(
            "--images, --labels and --label-field are for the scene layout",
            fix="Leave them or --layout out",
        )
    if layout != "contest" and options.bands:
        raise UsageError("--bands is for the contest layout", fix="Leave it out")
    return _LAYOUTS[layout](options)
