"""Measured effect of plain SimCSE on the search of a model that is already a sentence encoder.

``eval/tables.py`` writes ``harm.json`` from ``eval/results/adapt.json``: P@10 of all-MiniLM-L6-v2 before and after,
mean over the seeds.
"""

from __future__ import annotations

import json
from importlib.resources import files


def measured_harm() -> str:
    """One phrase per domain: percentage of relevant texts among the ten nearest."""
    found = json.loads((files("simcse_kit") / "training" / "harm.json").read_text(encoding="utf-8"))
    return "; ".join(f"{domain} {before:.1f} before, {after:.1f} after" for domain, (before, after) in found.items())
