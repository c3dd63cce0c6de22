"""Data checks: read every pixel of a source once, and list faults before training."""

from __future__ import annotations

from swath.checks.scan import ImageScan, SampleScan, scan_sample
from swath.checks.survey import Survey, run_survey

__all__ = ["ImageScan", "SampleScan", "Survey", "run_survey", "scan_sample"]
