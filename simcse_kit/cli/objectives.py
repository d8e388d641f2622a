"""``simcse-kit objectives`` and ``simcse-kit recipes``: what a model can be trained for."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Annotated, Any

import typer

from simcse_kit.objectives import AUGMENTATIONS, OBJECTIVES, TERMS, Term
from simcse_kit.training.recipes import Measured, Recipe, measured, recipes


def show_recipes() -> None:
    """List the named settings of train --recipe: the paper's backbones, and methods of other papers, joined with +.

    "paper" is the seven-task average in the paper, with BERT-base or the model of the recipe. "MiniLM CLS" is the
    average of this package on MiniLM's CLS vector, over the number of seeds in the column "seeds" (see eval/). The two
    columns have different start models: compare a figure with the rows unsup and sup of its own column.

    Example: simcse-kit recipes
    Example: simcse-kit train unsup tickets.txt --recipe unsup-bert-base+esimcse --output-dir my-model
    """
    from simcse_kit.cli.console import out, table

    ours = measured()
    rows = [
        [name, recipe.mode, recipe.source, recipe.figure, *_figures(ours.get(name)), _settings(recipe)]
        for name, recipe in recipes().items()
    ]
    console = out()
    head = ["recipe", "train", "source", "paper", "MiniLM CLS", "seeds", "settings"]
    made = table(head, rows, left=3)
    made.columns[-1].justify = "left"
    console.print(made)
    console.print(
        "other settings of a method are those of its mode (unsup, sup); --recipe esimcse+arccse joins two", style="dim"
    )


def _settings(recipe: Recipe) -> str:
    """Settings on one line, and whether the recipe needs a teacher."""
    shown = {
        name: ",".join(map(str, value)) if isinstance(value, list) else value for name, value in recipe.settings.items()
    }
    return "  ".join(
        [*["needs --teacher"] * recipe.needs_teacher, *(f"{name}={value}" for name, value in shown.items())]
    )


def show_objectives(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Objective, term or augmentation to show in full. Default: a list of all.",
            autocompletion=lambda: _all_parts(),
        ),
    ] = None,
) -> None:
    """List what a model can be trained for, or show one objective, term or augmentation with its options.

    Example: simcse-kit objectives
    Example: simcse-kit objectives simcse
    """
    from simcse_kit.cli.console import escaped, out, table

    console = out()
    if name is None:
        rows = [[one.name, " ".join(one.modes), one.source, one.help] for one in OBJECTIVES]
        rows += [[f"+ {term.name}", _joins(term), term.source, term.help] for term in TERMS]
        rows += [[f"--augmentation {one.name}", "", one.source, one.help] for one in AUGMENTATIONS]
        console.print(table(["objective", "train", "source", "description"], rows, left=4))
        console.print(
            "a + joins the objective when you set one of its options; details: simcse-kit objectives NAME", style="dim"
        )
        return
    part = _part(name)
    console.print(f"[bold]{escaped(part.name)}[/]: {escaped(part.help)}")
    if part.source:
        console.print(f"source: {escaped(part.source)}", style="dim")
    if part.citation:
        console.print(escaped(part.citation), style="dim", soft_wrap=True)
    if isinstance(part, type):
        console.print(escaped(inspect.getdoc(part) or ""))
        rows = [
            [f"--{item.name.replace('_', '-')}", _shown(item.default), item.metadata["help"]]
            for item in dataclasses.fields(part)
        ]
        console.print(table(["option", "default", ""], rows, left=3))


def _all_parts() -> list[str]:
    return [*OBJECTIVES.names(), *TERMS.names(), *AUGMENTATIONS.names()]


def _part(name: str) -> Any:
    """Find an objective, a term or an augmentation; an unknown name raises an error that lists them all."""
    from simcse_kit.errors import TrainingError

    for family in (TERMS, AUGMENTATIONS):
        if name in family:
            return family.get(name)
    if name in OBJECTIVES or ":" in name:
        return OBJECTIVES.get(name)
    raise TrainingError(f"there is no {name!r}; choose from {', '.join(_all_parts())}")


def _joins(term: type[Term]) -> str:
    return "with " + " ".join(one.name for one in OBJECTIVES if term().combines(one))


def _shown(value: Any) -> str:
    return "" if value in (None, ()) else str(value)


def _figures(found: Measured | None) -> tuple[str, str]:
    return ("", "") if found is None else (score_of(found.average), str(found.seeds))


def score_of(score: float | None) -> str:
    """A score for a table; empty if there is none."""
    return "" if score is None else f"{score:.2f}"
