"""What plain SimCSE on one's own text did to the search of a model that was a sentence encoder already.

``harm.json`` is written by ``eval/tables.py`` from ``eval/results/adapt.json``: P@10 of all-MiniLM-L6-v2 before and
after, mean over the seeds.
"""

from __future__ import annotations

import json
from importlib.resources import files


def measured_harm() -> str:
    """In words: each domain with its share of right answers among the ten nearest."""
    found = json.loads((files("simcse_kit") / "training" / "harm.json").read_text(encoding="utf-8"))
    return "; ".join(f"{domain} {before:.1f} before, {after:.1f} after" for domain, (before, after) in found.items())
