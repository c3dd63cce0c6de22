"""Ctrl-C and SIGTERM, also while something raises another error because of them."""

import os
import signal

import pytest

from swath.cli.signals import terminate_as_interrupt
from swath.errors import JobError
from tests.errors import fails


def raised_by(how, error):
    """Raise another error because of an interruption, as a library does during its import."""
    with terminate_as_interrupt():
        try:
            os.kill(os.getpid(), how)
        except KeyboardInterrupt:
            raise error from None


@pytest.fixture
def in_front():
    """Listen to Ctrl-C, as what a shell runs in the background does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("in_front")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_what_an_interruption_brings_about_is_an_interruption(how):
    before = signal.getsignal(how)
    with pytest.raises(KeyboardInterrupt):
        raised_by(how, ImportError("initialization failed"))
    with fails("interrupted", JobError):
        raised_by(how, JobError("Training was interrupted", code="interrupted", fix="--resume"))
    with pytest.raises(KeyboardInterrupt), terminate_as_interrupt():
        os.kill(os.getpid(), how)
    assert signal.getsignal(how) is before


def test_other_errors_stay_what_they_are():
    with pytest.raises(ImportError), terminate_as_interrupt():
        raise ImportError("absent")


def test_what_the_shell_lets_run_in_the_background_is_not_interrupted():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with terminate_as_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
