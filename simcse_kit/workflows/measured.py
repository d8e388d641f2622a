"""Measured effect of a method of `adapt` on several domains.

``eval/tables.py`` writes ``measured.json`` from ``eval/results/adapt.json``.
"""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import NamedTuple

from simcse_kit.wording import counted


class MeasuredMethod(NamedTuple):
    """By how much a method changed a score of the start model: mean over the seeds, per domain."""

    score: str
    changes: tuple[float, ...]  # one per domain, smallest first

    def words(self) -> str:
        """One line of text."""
        count = len(self.changes)
        where = f"{counted(count, 'measured domain')}, from all-MiniLM-L6-v2"
        to = f" to {self.changes[-1]:+.1f}" if count > 1 else ""
        return f"on {where}, this method changed {self.score} by {self.changes[0]:+.1f}{to}"


@functools.cache
def measured_methods() -> dict[str, MeasuredMethod]:
    """Effects by the method's name."""
    found = json.loads((files("simcse_kit") / "workflows" / "measured.json").read_text(encoding="utf-8"))
    return {name: MeasuredMethod(value["score"], tuple(sorted(value["changes"]))) for name, value in found.items()}
