"""How much memory this process has held."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_memory() -> int:
    """Return the most resident memory that this process has held so far, in bytes.

    Linux keeps it as VmHWM; `ru_maxrss` begins there at what the parent held when it started this process.
    """
    if _STATUS.exists():
        return next(int(line.split()[1]) * 1024 for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
