"""Every recipe on the same start and data, and how checkpoints were chosen: results/recipes and results/label_free."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from typing import NamedTuple

from lib.record import RESULTS

_PLAIN = {
    "unsup": "plain SimCSE",
    "sup": "plain SimCSE",
    "unsup-float32": "plain SimCSE in float32",
    "unsup-1e-4": "plain SimCSE at learning rate 1e-4",
    "unsup-sentence-transformers": "sentence-transformers, `MultipleNegativesRankingLoss`",
    "sup-sentence-transformers": "sentence-transformers, `MultipleNegativesRankingLoss`",
}

_DATA = {
    "unsup": "`train unsup`, Wikipedia sentences",
    "sup": "`train sup`, NLI triplets",
    "scored": "`train sup`, STS-B's train split (its test is one of the seven)",
}


class Cell(NamedTuple):
    """A row of the recipe table."""

    name: str
    mode: str
    averages: list[float]  # by seed

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.fmean(self.averages)


def cells() -> list[Cell]:
    """All that were measured, best first within a mode."""
    found: dict[str, Cell] = {}
    for path in sorted((RESULTS / "recipes").glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        cell = found.setdefault(result["cell"], Cell(result["cell"], result["mode"], []))
        cell.averages.append(result["scores"]["avg"])
    return sorted(found.values(), key=lambda cell: (list(_DATA).index(cell.mode), -cell.mean))


def measured() -> dict[str, dict[str, float | int]]:
    """Mean average and seeds by recipe; float32 and sentence-transformers are none."""
    own = [cell for cell in cells() if cell.name not in _PLAIN or cell.name == cell.mode]
    return {cell.name: {"average": round(cell.mean, 2), "seeds": len(cell.averages)} for cell in own}


def recipe_table() -> Iterator[str]:
    """Every recipe on the same start and data."""
    found = cells()
    yield "Recipes on the same start (the CLS vector above) and the same data, one epoch, best checkpoint on STS-B dev;"
    yield "seven-task average, mean over seeds ([recipes/](eval/results/recipes)). A teacher is"
    yield "all-MiniLM-L6-v2 with the mean pooling it was trained for: how much of a good model ends in another vector."
    for mode, what in _DATA.items():
        own = [cell for cell in found if cell.mode == mode]
        if not own:
            continue
        plain = next((cell.mean for cell in own if cell.name == mode), None)
        yield ""
        yield f"| {what} | avg | spread | seeds | against plain |"
        yield "| --- | ---: | ---: | ---: | ---: |"
        for cell in own:
            spread = f"{statistics.stdev(cell.averages):.2f}" if len(cell.averages) > 1 else ""
            against = "" if plain is None or cell.name == mode else f"{cell.mean - plain:+.2f}"
            name = _PLAIN.get(cell.name, f"`--recipe {cell.name}`")
            yield f"| {name} | {cell.mean:.2f} | {spread} | {len(cell.averages)} | {against} |"


def label_free_table() -> Iterator[str]:
    """What is lost by choosing without labels."""
    paths = sorted((RESULTS / "label_free").glob("*.json"))
    if not paths:
        return
    yield ""
    yield "Choosing a checkpoint by dropout twins (`--select dropout-twins`; no measure of search) and by STS-B dev:"
    yield ""
    yield "| run | dropout twins: step | avg | STS-B dev: step | avg | lost |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for path in paths:
        result = json.loads(path.read_text(encoding="utf-8"))
        step, average = result["chosen_step"], result["average"]
        yield (
            f"| {result['run']} | {step['label_free']} | {average['label_free']:.2f} | {step['dev']} | "
            f"{average['dev']:.2f} | {result['lost']:.2f} |"
        )
