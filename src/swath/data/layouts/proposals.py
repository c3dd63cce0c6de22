"""Proposals of a pattern for folders whose images and masks do not pair by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def propose(root: Path, images: Sequence[Path], masks: Sequence[Path]) -> str | None:
    """Return the options that would pair images and masks below a folder; None without any."""
    return None
