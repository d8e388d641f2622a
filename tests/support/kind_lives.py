"""Processes that build or commit with the kind of `tests/search/own_kind.py`, and may end in the kind's code."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

KIND = "own_kind:KIND"
HOME = Path(__file__).parents[1] / "search"
DEATHS = ("create", "add", "search", "write")  # methods of the kind, in the order of their first call
DIMENSION = 8


def vectors(count: int, seed: int = 0) -> np.ndarray:
    """(N, D) at random."""
    return np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)


def build(model: Path, file: Path, index: Path, death: str | None = None) -> None:
    """Build an index of a file by several commits."""
    from simcse_kit import SimCSE
    from simcse_kit.index import build as building
    from simcse_kit.index import incoming

    _arm(None if death == "rows" else death)
    if death == "rows":  # some are committed
        _die_in(building.SentenceIndex, "add", 4)
    incoming.READ, building.COMMITTED = 8, 16
    building.build_index(SimCSE(model, device="cpu"), file, index, kind=KIND)


def commit(folder: Path, count: int, death: str | None = None) -> None:
    """Add rows to an index and commit them, with its first structure."""
    from simcse_kit.search import Collection

    _arm(death)
    index = Collection.open(folder, trust_remote_code=True)
    index.add([f"new {i}" for i in range(count)], vectors(count, 1))
    index.save()


def _arm(death: str | None) -> None:
    sys.path.insert(0, str(HOME))
    if death is not None:
        from own_kind import Halves  # type: ignore[import-not-found]

        _die_in(Halves, death, 1)


def _die_in(kind: type, name: str, call: int) -> None:
    """SIGKILL once a method has done the work of this call."""
    method, calls = getattr(kind, name), itertools.count(1)

    def dying(*given: Any, **named: Any) -> Any:
        done = method(*given, **named)
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    setattr(kind, name, dying)
