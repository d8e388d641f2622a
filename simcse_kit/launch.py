"""Rank of this process in distributed training. Needs no torch; see `distributed`."""

from __future__ import annotations

import os
from typing import NamedTuple


class World(NamedTuple):
    """One process among those that ``torchrun`` started."""

    rank: int
    size: int
    local_rank: int  # on its machine


def world() -> World:
    """Read the variables that ``torchrun`` sets; a single process is rank 0 of 1."""
    rank, size, local = (int(os.environ.get(name, default)) for name, default in _VARIABLES)
    return World(rank, size, local)


_VARIABLES = (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
