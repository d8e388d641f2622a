"""How many kernels oneDNN keeps: it compiles one for each shape that it meets, and a server meets all shapes."""

from __future__ import annotations

import os

_KERNELS = "128"  # of 1,024, which are over a gigabyte; making one that is not kept takes less than a millisecond


def keep_few_kernels() -> None:
    """Keep fewer compiled kernels in this process, unless the environment says how many.

    oneDNN and PyTorch's layer above it each read their number at the first matrix product.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, _KERNELS)
