"""Which process this is of those that train together. No torch, see `distributed`."""

from __future__ import annotations

import os
from typing import NamedTuple


class World(NamedTuple):
    """This process among those that ``torchrun`` started."""

    rank: int
    size: int
    local_rank: int  # on its machine


def world() -> World:
    """From the environment that ``torchrun`` sets; one process alone is rank 0 of 1."""
    rank, size, local = (int(os.environ.get(name, default)) for name, default in _VARIABLES)
    return World(rank, size, local)


_VARIABLES = (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
