"""The shipped recipes: the paper's settings, the defaults of each mode, and methods of other papers.

No heavy import, because help texts quote them.
"""

from __future__ import annotations

import difflib
import functools
import json
import tomllib
from importlib.resources import files
from typing import Any, NamedTuple

from simcse_kit.errors import TrainingError
from simcse_kit.objectives import OBJECTIVES


class Recipe(NamedTuple):
    """Named settings."""

    mode: str
    settings: dict[str, Any]
    source: str  # the paper
    figure: str  # score that the paper reports

    @property
    def needs_teacher(self) -> bool:
        """Whether a run with it needs a teacher."""
        objective = OBJECTIVES.get(self.settings.get("objective", "simcse"))
        return objective.needs_teacher or "teacher_weight" in self.settings


@functools.cache
def recipes() -> dict[str, Recipe]:
    """All recipes by name; ``unsup`` and ``sup`` are the defaults of these modes."""
    raw = tomllib.loads((files("simcse_kit") / "training" / "recipes.toml").read_text(encoding="utf-8"))
    return {
        name: Recipe(values.pop("mode"), values, values.pop("source", ""), values.pop("figure", ""))
        for name, values in ((name, dict(values)) for name, values in raw.items())
    }


class Measured(NamedTuple):
    """Our result with a recipe."""

    average: float  # seven tasks, MiniLM's CLS vector, mean over seeds
    seeds: int


@functools.cache
def measured() -> dict[str, Measured]:
    """Our result for each recipe that was measured.

    ``eval/tables.py`` writes ``measured.json`` from the results in ``eval/results/``.
    """
    found = json.loads((files("simcse_kit") / "training" / "measured.json").read_text(encoding="utf-8"))
    return {name: Measured(**values) for name, values in found.items()}


def mode_defaults(mode: str) -> dict[str, Any]:
    """Defaults of a mode."""
    return dict(recipes()[mode].settings)


def recipe_settings(mode: str, names: str | None, objective: str | None = None) -> dict[str, Any]:
    """Settings of recipes over the mode's defaults. ``names`` are joined by ``+``; later ones win.

    An ``objective`` with a recipe of the same name adds its settings. The mode's pooling is included only with a recipe
    of a backbone; otherwise the model folder's pooling comes first.
    """
    values = mode_defaults(mode)
    chosen = [_named(name, mode).settings for name in _split(names) if name != mode]
    own = recipes().get(objective or "")
    if own is not None and own.mode == mode:
        chosen.insert(0, own.settings)
    if not any("model" in settings for settings in chosen):  # without a backbone's recipe, the pooling stays open
        del values["pooling"]
    for settings in chosen:
        values |= settings
    return values


def _split(names: str | None) -> list[str]:
    return [] if names is None else [name.strip() for name in names.split("+")]


def _named(name: str, mode: str) -> Recipe:
    found = recipes().get(name)
    if found is None or found.mode != mode:
        allowed = [other for other, recipe in recipes().items() if recipe.mode == mode]
        near = difflib.get_close_matches(name, allowed, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise TrainingError(f"recipe for train {mode} must be one of {', '.join(allowed)}; got {name!r}{hint}")
    return found
