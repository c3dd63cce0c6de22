"""Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from swath.errors import SwathError


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C, so that what is half done is removed, and what either brings about for an interruption.

    A library that is being imported at that moment makes another error of it: NumPy's is
    `ImportError: initialization failed`.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed, or the process was asked to end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    struck = False

    def strike(*_: object) -> NoReturn:
        nonlocal struck
        struck = True
        raise KeyboardInterrupt

    taken = [signal.SIGTERM]
    if (
        signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    ):  # as a shell has it for what runs in the background
        taken.append(signal.SIGINT)
    before = {how: signal.signal(how, strike) for how in taken}
    try:
        yield
    except SwathError:
        raise
    except Exception:
        if struck:
            raise KeyboardInterrupt from None
        raise
    finally:
        for how, handler in before.items():
            signal.signal(how, handler)
