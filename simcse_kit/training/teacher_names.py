"""Names of teachers: a model, and perhaps its pooling. No heavy import."""

from __future__ import annotations

from simcse_kit.encoder.poolers import POOLERS
from simcse_kit.parts import is_named


def teacher_name(name: str) -> str:
    """The model in ``NAME``, ``NAME:POOLING`` or ``NAME:MODULE:POOLER``."""
    return _parsed(name)[0]


def teacher_pooling(name: str) -> str | None:
    """The pooling in ``NAME:POOLING`` or ``NAME:MODULE:POOLER``; None if there is none. Imports nothing."""
    return _parsed(name)[1]


def _parsed(name: str) -> tuple[str, str | None]:
    model, _, last = name.rpartition(":")
    if model and last in POOLERS:
        return model, last
    model, _, module = model.rpartition(":")
    own = f"{module}:{last}"
    return (model, own) if model and is_named(own) else (name, None)
