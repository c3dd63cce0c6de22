"""Patterns with fields, and the pairs of images and labels that follow from them.

Pure functions over relative POSIX paths: no file is opened. A pattern is a path with

- `{id}` or any other field: text within one name, at least one character; where a field stands
  twice, both texts are the same;
- `{split}`: the split (train, val, test and their other spellings, in any case), also as a word in
  a longer name such as `train_features`; `{group}`: the place;
- `*` any text within a name, `?` one character, `**/` any folders, `{vv,vh}` one of several texts;
- `[...]` a set of characters, or this very text where a file's path holds it;
- after an array file, `:/group/name` the array within and `[0]` an index, `[*]`
  or `[{id}]` each of them, and `@0` or `@2024-06-01` a place on the time axis.

Names match with their case, extensions without; Unicode is compared in its composed form (NFC).
"""

from __future__ import annotations

from swath.data.layouts.patterns.matching import Match, match_files, natural_key
from swath.data.layouts.patterns.pairing import pair
from swath.data.layouts.patterns.pattern import Pattern, parse
from swath.data.layouts.patterns.samples import MatchedSample, Pairing, Problem
from swath.data.layouts.patterns.split_words import SPLITS, split_of

__all__ = [
    "SPLITS",
    "Match",
    "MatchedSample",
    "Pairing",
    "Pattern",
    "Problem",
    "match_files",
    "natural_key",
    "pair",
    "parse",
    "split_of",
]
