"""Batch size and epochs of small data: what makes a run of enough steps, where nobody has said them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from simcse_kit.errors import say_once
from simcse_kit.training.class_batches import class_cut
from simcse_kit.training.config import SMALLEST, STEPS, TrainConfig
from simcse_kit.training.sampling import Cut, cut

_BATCHES = 10  # an epoch, so that most of the others are negatives now and then
_UNIT = 8  # rows that a batch is a multiple of


class Fitted(NamedTuple):
    """A run's settings, and which of them were chosen for its number of rows."""

    config: TrainConfig
    chosen: tuple[str, ...] = ()


def epoch_of(config: TrainConfig, rows: int, ranks: int) -> Cut:
    """How an epoch falls into steps."""
    return (class_cut if config.objective.labelled else cut)(rows, config.batch_size, ranks)


def steps_of(config: TrainConfig, rows: int, ranks: int) -> int:
    """Steps of a whole run."""
    return math.ceil(epoch_of(config, rows, ranks).steps * config.epochs)


def fit_to_rows(config: TrainConfig, given: Mapping[str, Any], rows: int, ranks: int) -> Fitted:
    """Supervised runs of fewer than `STEPS` steps get smaller batches, `SMALLEST` rows or more, and more epochs.

    A batch is a tenth of the rows at most, or as many as make the steps where the epochs are given. What is ``given``,
    or comes with a recipe that is, stays as it is.
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
            f"{rows} rows would be {steps_of(before, rows, ranks)} steps with batch_size {before.batch_size} and "
            f"epochs {before.epochs:g}; the run has batch_size {config.batch_size} and epochs {config.epochs:g}, so "
            f"{steps_of(config, rows, ranks)} steps. Give both to choose yourself"
        )
    return Fitted(config, chosen)
