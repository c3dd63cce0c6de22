"""Fixtures of the package's tests that tests of benchmarks share."""

from tests.conftest import stripes, tiny_model, verbosity

__all__ = ["stripes", "tiny_model", "verbosity"]
