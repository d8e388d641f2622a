"""Scores that a model carries with it."""

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

    Those of the same suite are replaced, others stay.

    Raises:
        ModelError: the folder is not one that `SimCSE.save` or training wrote.
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
    """A `ModelError` where `record_evaluation` would have nowhere to write."""
    if not (Path(folder) / RECORD).is_file():
        raise ModelError(f"{folder} holds no {RECORD}: scores are written into models that this package saved")


def _task(suite: str) -> dict[str, str]:
    """The hub's task of a suite of the user's own, which the card cannot look up without importing it."""
    if suite in SUITES:
        return {}
    try:
        return {"task": SUITES.get(suite).task}
    except SimCSEKitError:  # a class inside a function has no name to be imported by
        return {}
