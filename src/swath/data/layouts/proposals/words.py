"""Words in names that say what a file is."""

from __future__ import annotations

import re
from collections.abc import Mapping

from swath.data.layouts.patterns import split_of

MASK_WORDS: Mapping[str, int] = {
    **dict.fromkeys(
        "truth"  # codespell:ignore truth
        " gt gts msk groundtruth annotation annotations ann anno target targets seg"
        " segmentation segmentationclass lulc landcover lbl reference semantic".split(),
        3,
    ),
    **dict.fromkeys("m lc cm cdl nlcd zones zone cloud clouds class classes crop".split(), 2),
    **dict.fromkeys("building buildings change roads footprints".split(), 1),
}
"""Words that say that a file holds labels, and how surely."""

IMAGE_WORDS: Mapping[str, int] = {
    **dict.fromkeys("rgb".split(), 4),
    **dict.fromkeys("image images img imgs jpegimages input inputs".split(), 3),
    **dict.fromkeys(
        "sat satellite ortho aerial naip ms msi mul multispectral source features chips rgbir"
        " rgbnir s2 sentinel2 s2hand scene scenes".split(),
        2,
    ),
    **dict.fromkeys("s1 s1hand sar sentinel1 landsat pan nir raw".split(), 1),
}
"""Words that say that a file is an image, and how well it serves as one."""

OTHER_WORDS = frozenset(
    "dem dsm dtm ndsm agl elevation slope aspect height heights depth hydro cld scl qa qa60 bqa"
    " thumb thumbnail thumbnails preview quicklook browse overview instance instances id ids"
    " field edge edges boundary boundaries distance weight weights prediction predictions pred"
    " meta metadata extent footprint index invalid valid nodata confidence prob".split()
)
"""Words of files that are neither images nor classes."""

BAND_WORDS = frozenset(
    "blue green red nir swir swir1 swir2 rededge coastal cirrus thermal tir vv vh hh hv pre post"
    " before after".split()
)
"""Words that tell bands or dates of one image apart."""

_SEPARATORS = re.compile(r"([\W_]+)")
_MASK = re.compile(r"(?!un)\w*(?:mask|label)s?\d*|(?:mask|label)(?:hand|map|img|image)s?")
_BAND = re.compile(r"[^\W\d_]{0,5}\d+[^\W\d_]?|[^\W\d_]{1,2}|\w?[vh][vh]")


def mask_rank(word: str) -> int:
    """Return how surely a word says that a file holds labels; 0 if not."""
    word = word.lower()
    if _MASK.fullmatch(word):
        return 4
    plain = re.sub(r"^\d+|\d+$", "", word)
    return MASK_WORDS.get(word, 0) or (MASK_WORDS.get(plain, 0) if len(plain) > 2 else 0)


def image_rank(word: str) -> int:
    """Return how surely a word says that a file is an image; 0 if not."""
    word = word.lower()
    return IMAGE_WORDS.get(word, 0) or IMAGE_WORDS.get(word.rstrip("0123456789"), 0)


def is_split(text: str) -> bool:
    """Return whether a text is the name of a split, without numbers."""
    return split_of(text) is not None and not any(c.isdigit() for c in text)


def says_role(word: str) -> bool:
    """Return whether a word says mask, image or split."""
    return bool(mask_rank(word) or image_rank(word) or split_of(word))


def family(word: str) -> str:
    """Return one text for words that tell bands or dates of one image apart, such as `B02`."""
    if word in BAND_WORDS or (_BAND.fullmatch(word) and not image_rank(word)):
        return "#"
    return word if image_rank(word) else re.sub(r"\d+", "#", word)


def words_of(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return [w.lower() for w in _SEPARATORS.split(text)[::2] if w]


def is_mask_word(word: str) -> bool:
    """Return whether a word holds `mask` or `label`."""
    return _MASK.fullmatch(word.lower()) is not None
