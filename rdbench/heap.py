"""One setting of the C library's heap that inference and training gain a third from."""

from __future__ import annotations

import ctypes
import platform

__all__ = ["keep_memory"]

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
_LARGEST = 2**31 - 1


def keep_memory() -> bool:
    """Let this process keep large blocks that it freed instead of handing each back to the system.

    A network's activations are tens of megabytes that come and go with every batch; glibc maps and clears them
    anew each time (18,000 page faults a batch of 64 for ``direct@lite``: 40 of 110 ms).

    Returns
    -------
    bool
        False where the C library is not glibc; nothing is changed there.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, 2**30) and mallopt(_TRIM_THRESHOLD, _LARGEST))
