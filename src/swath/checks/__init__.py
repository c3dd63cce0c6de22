"""The data doctor: reads every pixel of a source once and says what is wrong before anything is learnt from it."""

from __future__ import annotations

from swath.checks.scan import Facts
from swath.checks.survey import Survey, survey

__all__ = ["Facts", "Survey", "survey"]
