"""Pieces of text that several verbs print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

FIRST = 5
"""So many findings of a kind are listed one by one."""


def shortened(names: Sequence[str], most: int = 12) -> str:
    """List names, the first few only where they are many."""
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def listed(findings: Sequence[dict[str, str]]) -> list[str]:
    """Return one line a finding; of warnings and notes of one kind only the first few (`--json` and `--report` have all)."""
    lines = []
    seen: Counter[str] = Counter()
    for f in findings:
        seen[f["code"]] += 1
        if f["level"] == "error" or seen[f["code"]] <= FIRST:
            lines.append(f"  {f['level']:<7} {f['code']}: {f['file']}: {f['message']} {f['fix']}")
    soft = {f["code"] for f in findings if f["level"] != "error"}
    return lines + [
        f"  and {n - FIRST} more of {code}"
        for code, n in seen.items()
        if n > FIRST and code in soft
    ]


def score(value: float | None) -> str:
    """Return a score with three decimals; a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def span(interval: tuple[float, float] | None) -> str:
    """Return an interval with three decimals; a dash where there is none."""
    return "-" if interval is None else f"({interval[0]:.3f} to {interval[1]:.3f})"
