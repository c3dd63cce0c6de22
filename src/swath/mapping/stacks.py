"""Rasters that are one image together, a band each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from swath.errors import DataError
from swath.io.raster import EXTENSIONS
from swath.types import PathLike


def find_stack(folder: PathLike, bands: Sequence[str]) -> list[Path]:
    """Find the file of each band in a folder: the raster whose name is the band's, or has it as a whole word.

    Raises:
        DataError: a band has no file, or several.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(
            "there is no such folder",
            file=folder,
            fix="Give --stack the folder that holds the bands",
        )
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS)
    found = []
    for band in bands:
        inside = re.compile(rf"(?<![0-9A-Za-z]){re.escape(band)}(?![0-9A-Za-z])")
        matches = [f for f in files if f.stem == band] or [
            f for f in files if inside.search(f.stem)
        ]
        if len(matches) != 1:
            names = ", ".join(m.name for m in matches) or f"none among {len(files)} rasters"
            raise DataError(
                f"band {band} needs exactly one file here, found: {names}",
                file=folder,
                fix=f"Name the files after the model's bands ({', '.join(bands)}), as when it was trained",
            )
        found += matches
    return found
