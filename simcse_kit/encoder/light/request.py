"""Input of a backend that runs a model's light form, and its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from simcse_kit.encoder.backends.interface import Backend
from simcse_kit.encoder.light.arrays import Layers
from simcse_kit.types import Vectors


class LightRequest(NamedTuple):
    """A model that is not loaded in full."""

    fingerprint: str
    pooling: str
    pad_id: int
    pads: bool  # see `Encoder.pads`
    sound: bool  # see `probing.is_sound`
    layers: Layers | None  # None: not supported by numpy
    post: Mapping[str, Vectors]  # weights of the modules after the pooling
    folder: Path  # folder of the model
    dtype: str  # as requested
    calibration: Sequence[str] | None


class LightRun(NamedTuple):
    """Runs the model, into arrays."""

    backend: Backend
    few: bool  # whether it supports only a few texts: beyond them, the full model is faster
