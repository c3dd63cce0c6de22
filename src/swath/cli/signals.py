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
    """Raise KeyboardInterrupt on SIGTERM too, and for errors that follow from either signal.

    So unfinished files are removed. A library that is being imported at that moment raises another
    error: NumPy's is `ImportError: initialization failed`.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed, or the process got SIGTERM.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupted = False

    def interrupt(*_: object) -> NoReturn:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    handled = [signal.SIGTERM]
    # a shell ignores SIGINT for what runs in the background
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        handled.append(signal.SIGINT)
    before = {number: signal.signal(number, interrupt) for number in handled}
    try:
        yield
    except SwathError:
        raise
    except Exception:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
