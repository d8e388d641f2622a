"""Few threads for little work: a query does not wait for threads that other programs delay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn

from simcse_kit.cores import GRAIN


def products_of(module: nn.Module) -> int:
    """Multiplications per token: all matrices except the lookup tables."""
    parts = [part for part in module.modules() if not isinstance(part, nn.Embedding)]
    weights = [weight for part in parts for weight in part._parameters.values() if weight is not None]
    return sum(weight.numel() for weight in weights if weight.dim() > 1)


@contextmanager
def threads_for(work: int) -> Iterator[None]:
    """Inside the context, this thread's OpenMP uses only as many threads as ``work`` multiplications justify.

    `torch.set_num_threads` is not used: it would also set the default of other threads of the process.
    """
    wanted = max(1, -(-work // GRAIN))
    if wanted >= torch.get_num_threads():
        yield
    else:
        with _openmp().limit(limits=wanted):
            yield


@cache
def _openmp() -> Any:
    """threadpoolctl's controller of the loaded OpenMP libraries, including torch's."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="openmp")
