"""Pieces of text that several verbs print."""

from __future__ import annotations

from collections.abc import Sequence


def shortened(names: Sequence[str], most: int = 12) -> str:
    """List names, the first few only where they are many."""
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def listed(findings: Sequence[dict[str, str]]) -> list[str]:
    """Return one line a finding."""
    return [f"  {f['level']:<7} {f['code']}: {f['file']}: {f['message']} {f['fix']}" for f in findings]


def score(value: float | None) -> str:
    """Return a score with three decimals; a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"
