"""Limit on oneDNN's kernel cache: it compiles one kernel per shape, and a server sees all shapes."""

from __future__ import annotations

import os

_KERNELS = "128"  # instead of 1,024, which take over a gigabyte; compiling one again takes less than a millisecond


def keep_few_kernels() -> None:
    """Reduce the cache of compiled kernels in this process, unless the environment sets its size.

    oneDNN and PyTorch's layer above it each read the size at the first matrix product.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, _KERNELS)
