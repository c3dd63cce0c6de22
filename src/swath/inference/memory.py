"""Memory of this process: its peak, and reuse of what is freed."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

_STATUS = Path("/proc/self/status")

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
"""Numbers of glibc's settings (malloc.h).

Once one is set, glibc no longer fits its thresholds to the program, so they are set at the end to
where that would have brought them.
"""


def peak_memory() -> int:
    """Return the peak of the resident memory of this process, in bytes.

    On Linux it is VmHWM; `ru_maxrss` begins there at the memory of the parent process.
    """
    if sys.platform == "win32":
        return _peak_on_windows()
    if _STATUS.exists():
        return next(
            int(line.split()[1]) * 1024
            for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
            if line.startswith("VmHWM")
        )
    return _peak_of_resource("RUSAGE_SELF")


def peak_memory_of_workers() -> int:
    """Return the largest peak of the processes that this one has started and that have ended.

    On Windows, which keeps no record of them, it is 0.
    """
    return 0 if sys.platform == "win32" else _peak_of_resource("RUSAGE_CHILDREN")


def _peak_of_resource(who: str) -> int:
    import resource  # not on Windows

    peak = resource.getrusage(getattr(resource, who)).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class _Counters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS of Windows (psapi.h)."""

    _fields_: ClassVar = [
        ("size", ctypes.c_uint32),
        ("page_faults", ctypes.c_uint32),
        ("peak", ctypes.c_size_t),
        ("others", ctypes.c_size_t * 7),
    ]


def _peak_on_windows() -> int:
    kernel: Any = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined]
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    ask, counters = kernel.K32GetProcessMemoryInfo, _Counters()
    ask.argtypes = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32
    counters.size = ctypes.sizeof(counters)
    asked = ask(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.size)
    return int(counters.peak) if asked else 0


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory for later blocks, and give it back at the end; without glibc do nothing.

    glibc maps each large block anew, and the system fills it with zeros, page by page: with batches
    of a megapixel that is a third of a training step.
    """
    libc = None if sys.platform == "win32" else ctypes.CDLL(None)
    if libc is None or not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, -1)
    libc.mallopt(_TOP_PAD, 64 << 20)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_MAX, 1 << 16)
        libc.mallopt(_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(_TRIM_THRESHOLD, 64 << 20)
        libc.mallopt(_TOP_PAD, 128 << 10)
        libc.malloc_trim(0)


class BufferPool:
    """Reuses the memory of large arrays that are no longer referenced, for others of their shape.

    The system zeroes the pages of new memory, which takes time. One thread may take memory; arrays
    may be dropped in any.
    """

    def __init__(self) -> None:
        self._free: list[NDArray[np.float32]] = []

    def take(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return unused memory of a shape, its values undefined."""
        self._free[:] = [memory for memory in self._free if memory.shape == shape]
        return self._free.pop() if self._free else np.empty(shape, np.float32)

    def lend(self, memory: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return an array on taken memory, which is free again when its last view is gone."""
        # Through a buffer, so that views refer to this array and not to `memory`.
        lent = np.asarray(memory.data)
        finalize(lent, self._free.append, memory)
        return lent
