"""What a backend is given to run a model by its light form, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from simcse_kit.encoder.backends.interface import Backend
from simcse_kit.encoder.light.arrays import Layers
from simcse_kit.types import Vectors


class LightRequest(NamedTuple):
    """A model that is not loaded."""

    fingerprint: str
    pooling: str
    pad_id: int
    pads: bool  # see `Encoder.pads`
    sound: bool  # see `probing.is_sound`
    layers: Layers | None  # None: not for numpy
    post: Mapping[str, Vectors]  # weights of what comes after the pooling
    folder: Path  # where the model lies
    dtype: str  # as it was asked for
    calibration: Sequence[str] | None


class LightRun(NamedTuple):
    """What runs it, into arrays."""

    backend: Backend
    few: bool  # whether it is for a few texts: of more, the full model is faster
