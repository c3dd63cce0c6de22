"""Patterns to propose where images and labels do not pair by themselves.

Nothing is paired here: a proposal is text for `--images` and `--labels`, which was tried with
`patterns` and gives each label file one sample of as many files as every other. Label files are
told from images by words in their paths or, with a callback, by their content; parts of names that
label files differ in and that images have as well become fields.
"""

from swath.data.layouts.proposals.files import MOST_LOOKS, Content
from swath.data.layouts.proposals.search import Proposal, propose
from swath.data.layouts.proposals.words import BAND_WORDS

__all__ = ["BAND_WORDS", "MOST_LOOKS", "Content", "Proposal", "propose"]
