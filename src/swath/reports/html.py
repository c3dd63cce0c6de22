"""Self-contained web pages from templates, with pictures and drawings inside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from swath.errors import JobError
from swath.io.atomic import atomic_file
from swath.types import PathLike


def write_page(folder: PathLike, template: str, **values: Any) -> Path:
    """Write `index.html` into a folder.

    Args:
        folder: created if absent; an older page in it is replaced.
        template: name of the template.
        values: variables of the template.

    Returns:
        Path of the page.

    Raises:
        JobError: the page cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise JobError(
            "The report is a folder, and this path is a file",
            code="not-a-folder",
            file=folder,
            fix="Give another --report",
        )
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("swath.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "score": lambda value: "–" if value is None else f"{value:.3f}",
        "signed": lambda value: "–" if value is None else f"{value:+.3f}",
        "span": lambda pair: "" if pair is None else f"{pair[0]:.3f} – {pair[1]:.3f}",
        "number": lambda value: f"{value:,}",
    }
    page = environment.get_template(template).render(**values)
    with atomic_file(folder / "index.html") as partial:
        partial.write_text(page, encoding="utf-8")
    return folder / "index.html"


def points(pairs: Sequence[tuple[float, float]], width: float, height: float) -> str:
    """Return points of the unit square, y upwards, as SVG coordinates."""
    return " ".join(f"{width * x:.1f},{height - height * y:.1f}" for x, y in pairs)
