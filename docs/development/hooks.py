"""Hooks of mkdocs: reports and notebooks are pages of the site, links to source files are text.

In the repository, links lead from `docs` to `benchmarks/reports` and `src`, as GitHub shows them.
The site has the reports below `benchmarks/reports/`, and no source.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
REPORTS = "benchmarks/reports"
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the reports and their pictures to the files of the site."""
    for path in sorted((ROOT / REPORTS).iterdir()):
        if path.suffix in {".md", ".png"}:
            uri = f"{REPORTS}/{path.name}"
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    for path in sorted((ROOT / "docs" / "tutorials").glob("*.ipynb")):
        uri = f"tutorials/{path.stem}.md"
        files.append(File.generated(config, uri, content=page_of(path)))
    return files


def page_of(notebook: Path) -> str:
    """Return the cells of a notebook as a page."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    code = [cell["cell_type"] == "code" for cell in cells]
    parts = [f"```python\n{t}\n```" if c else t for t, c in zip(texts, code, strict=True)]
    return "\n\n".join(parts) + "\n"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Rewrite links that lead out of `docs`."""
    uri = page.file.src_uri
    place = uri if uri.startswith(REPORTS) else f"docs/{uri}"

    def rewritten(match: re.Match[str]) -> str:
        mark, text, target, section = match.groups()
        if ":" in target:
            return match[0]
        found = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
        on_site = re.sub(r"\.ipynb$", ".md", found.removeprefix("docs/"))
        if found.startswith("docs/") or (
            found.startswith(REPORTS) and files.get_file_from_path(found)
        ):
            link = posixpath.relpath(on_site, posixpath.dirname(uri) or ".")
            return f"{mark}[{text}]({link}{section or ''})"
        return text

    return LINK.sub(rewritten, markdown)
