"""The shipped recipes: the paper's settings, and each mode's defaults. No heavy import: help texts quote them."""

from __future__ import annotations

import functools
import tomllib
from importlib.resources import files
from typing import Any


@functools.cache
def recipes() -> dict[str, dict[str, Any]]:
    """Recipes by name, each over its mode's defaults (the recipes ``unsup`` and ``sup``)."""
    raw = tomllib.loads((files("simcse_kit") / "training" / "recipes.toml").read_text(encoding="utf-8"))
    return {name: raw[values["mode"]] | values for name, values in raw.items()}
