"""Fixtures of the tests of training."""

import pytest


@pytest.fixture
def one_class_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a dataset hold one class, which is refused otherwise: patches of it are easy to check."""
    monkeypatch.setattr("swath.checks.survey.check_single_class", lambda *_: [])
    monkeypatch.setattr("swath.checks.split_checks.check_class_count", lambda *_: None)
