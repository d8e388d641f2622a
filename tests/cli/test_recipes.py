"""The table of recipes."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from simcse_kit.errors import TrainingError
from simcse_kit.objectives import OBJECTIVES
from simcse_kit.training.config import make_config
from simcse_kit.training.recipes import recipes
from support.commands import run


def test_the_table_names_the_start_model_of_our_figures() -> None:
    head = run("recipes").stdout.partition("unsup ")[0].split()
    assert {"paper", "MiniLM", "CLS", "seeds"} <= {*head}


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_that_needs_a_teacher_raises_an_error_without_one(name: str) -> None:
    recipe = recipes()[name]
    labelled = OBJECTIVES.get(recipe.settings.get("objective", "simcse")).labelled
    needed: Any = pytest.raises(TrainingError, match="needs a teacher") if recipe.needs_teacher else nullcontext()
    with needed:
        make_config(recipe.mode, {"recipe": name, "model": "m"}, labelled=labelled)


def test_the_table_says_so() -> None:
    lines = {line.split()[0]: line for line in run("recipes").stdout.splitlines() if line.strip()}
    for name, recipe in recipes().items():
        assert ("needs --teacher" in lines[name]) == recipe.needs_teacher
