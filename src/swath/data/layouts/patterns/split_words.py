"""Words that name a split of a dataset."""

from __future__ import annotations

import re
from collections.abc import Mapping

from swath.types import OwnSplit

SPLITS: Mapping[str, OwnSplit] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Words that name a split, in lower case."""

_WORDS = re.compile(r"[^\W\d_]+")

SPLIT_WORD = rf"(?<![^\W\d_])(?i:{'|'.join(sorted(SPLITS, key=len, reverse=True))})(?![^\W\d_])"
"""Regular expression of one of these words, cut from no longer one."""


def split_of(text: str) -> OwnSplit | None:
    """Return the split that a text names, by one of its words; None if none or several do."""
    named = {SPLITS[w] for w in _WORDS.findall(text.lower()) if w in SPLITS}
    return named.pop() if len(named) == 1 else None
