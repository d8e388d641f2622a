"""Scores stored in a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from simcse_kit.encoder.settings import RECORD
from simcse_kit.errors import ModelError, SimCSEKitError
from simcse_kit.evaluation import SUITES, SuiteResult, intervals
from simcse_kit.model import SimCSE


def record_evaluation(folder: str | Path, results: Sequence[SuiteResult]) -> None:
    """Write scores and their 95 % intervals into a model's ``simcse_kit.json`` and its card, the README.

    Scores of the same suite are replaced, others stay.

    Raises:
        ModelError: the folder was not written by `SimCSE.save` or training.
    """
    check_recordable(folder)
    place = Path(folder)
    model = SimCSE(place, device="cpu")
    new = [
        {
            "suite": result.suite,
            "scores": {name: value for name, value in result.scores.items() if math.isfinite(value)},
            "intervals": {
                name: list(ends) for name, ends in intervals(result).items() if all(map(math.isfinite, ends))
            },
            "date": datetime.now(UTC).date().isoformat(),
            **_task(result.suite),
        }
        for result in results
    ]
    suites = {result.suite for result in results}
    old = [entry for entry in model.record.get("evaluation", []) if entry["suite"] not in suites]
    model.record = model.record | {"evaluation": [*old, *new]}
    model.write_card(place)


def check_recordable(folder: str | Path) -> None:
    """Raise a `ModelError` if `record_evaluation` has no file to write to."""
    if not (Path(folder) / RECORD).is_file():
        raise ModelError(f"{folder} holds no {RECORD}: scores can be stored only in models saved by this package")


def _task(suite: str) -> dict[str, str]:
    """The hub's task for a user's own suite, because the card cannot import the suite to look it up."""
    if suite in SUITES:
        return {}
    try:
        return {"task": SUITES.get(suite).task}
    except SimCSEKitError:  # a class inside a function cannot be imported by name
        return {}
