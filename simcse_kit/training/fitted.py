"""Batch size and epochs for small data sets, so that a run has enough steps, unless the user sets them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from simcse_kit.errors import say_once
from simcse_kit.training.class_batches import class_cut
from simcse_kit.training.config import SMALLEST, STEPS, TrainConfig
from simcse_kit.training.sampling import Cut, cut
from simcse_kit.wording import counted

_BATCHES = 10  # batches per epoch, so that most other rows are negatives at some point
_UNIT = 8  # batch sizes are multiples of this


class Fitted(NamedTuple):
    """Settings of a run, and which of them were adapted to its number of rows."""

    config: TrainConfig
    chosen: tuple[str, ...] = ()


def epoch_of(config: TrainConfig, rows: int, ranks: int) -> Cut:
    """Number and size of the steps in an epoch."""
    return (class_cut if config.objective.labelled else cut)(rows, config.batch_size, ranks)


def steps_of(config: TrainConfig, rows: int, ranks: int) -> int:
    """Steps of a whole run."""
    return math.ceil(epoch_of(config, rows, ranks).steps * config.epochs)


def fit_to_rows(config: TrainConfig, given: Mapping[str, Any], rows: int, ranks: int) -> Fitted:
    """Supervised runs of fewer than `STEPS` steps get smaller batches (at least `SMALLEST` rows) and more epochs.

    A batch has at most a tenth of the rows; with fixed epochs, it is small enough for the number of steps. Settings
    that are ``given``, directly or by a given recipe, do not change.
    """
    free = [name for name in ("batch_size", "epochs") if given.get(name) is None]
    if config.mode != "sup" or given.get("recipe") or not free or steps_of(config, rows, ranks) >= STEPS:
        return Fitted(config)
    before = config
    if "batch_size" in free:
        share = rows / _BATCHES if "epochs" in free else rows * config.epochs / STEPS
        unit = config.objective.per_class if config.objective.labelled else _UNIT
        least = max(2, -(-SMALLEST // unit)) * unit
        config = replace(config, batch_size=min(config.batch_size, max(least, int(share / ranks) // unit * unit)))
    each = epoch_of(config, rows, ranks).steps
    if "epochs" in free and each:
        config = replace(config, epochs=max(config.epochs, math.ceil(STEPS / each)))
    chosen = tuple(name for name in free if getattr(config, name) != getattr(before, name))
    if chosen and each:
        say_once(
            f"{counted(rows, 'row')} would give only {counted(steps_of(before, rows, ranks), 'step')} with batch_size "
            f"{before.batch_size} and epochs {before.epochs:g}; the run uses batch_size {config.batch_size} and "
            f"epochs {config.epochs:g}: {counted(steps_of(config, rows, ranks), 'step')}. Set both to override this"
        )
    return Fitted(config, chosen)
