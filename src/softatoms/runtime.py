"""Settings of the process that make numerical work faster without changing any number."""

from __future__ import annotations

import ctypes
import functools
import os
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_NEVER = -1
_TOP_PAD_BYTES = 64 * 2**20


@functools.cache
def keep_freed_memory() -> bool:
    """Ask glibc to keep freed memory for the next allocation.

    By default every tensor beyond 32 MB is mapped afresh and handed back when freed, and the page
    faults take longer than the arithmetic. Called before the first evaluation on a CPU. Set the
    environment variable ``SOFTATOMS_KEEP_MEMORY=0`` to leave the allocator alone.

    Returns:
        Whether the allocator took the settings.
    """
    if os.environ.get("SOFTATOMS_KEEP_MEMORY") == "0" or not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # a C library other than glibc
        return False
    settings = (
        (_M_MMAP_MAX, 0),
        (_M_TRIM_THRESHOLD, _NEVER),
        (_M_TOP_PAD, _TOP_PAD_BYTES),
    )
    return all(mallopt(option, value) == 1 for option, value in settings)
