"""eval/README.md from results/ and the scripts' own first lines."""

from __future__ import annotations

import ast
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lib.adapt_tables import adapt_page
from lib.family_table import families_table
from lib.promise_table import promise_lines
from lib.record import RESULTS

HERE = Path(__file__).parents[1]
_INTRO = """# Measurements

This page is written by `python eval/tables.py`. Each script writes `results/NAME.json` with its command, commit,
versions, machine and date. The data folder is named by `SIMCSE_KIT_DATA`; it holds `senteval/` (as the original
project's download script leaves it), `korsts/` and `train/`. Systems that are compared take turns in one run, so that
ratios hold where absolute figures drift. `recipes.py` and `label_free.py` may be stopped at any time: the same
command goes on."""


def results_page(figures: str) -> str:
    """The whole page, around its figures; links lead from the root."""
    scripts = ["## Scripts", "", "| command | measures |", "| --- | --- |", *_scripts()]
    sources = ["## Where each figure comes from", "", *_sources()]
    parts = [
        _INTRO,
        "",
        *scripts,
        "",
        "## Figures",
        "",
        figures.strip(),
        "",
        *adapt_page(),
        *promise_lines(),
        *families_table(),
        *sources,
    ]
    return "\n".join(parts) + "\n"


def _scripts() -> Iterator[str]:
    for path in [*sorted(HERE.glob("*.py")), HERE / "reproduce" / "run.py"]:
        first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        what, colon, command = first.partition(": python ")
        if colon:
            yield f"| `python {command.replace('|', chr(92) + '|')}` | {what} |"


def _sources() -> Iterator[str]:
    """A line for each result, runs of one kind together."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(RESULTS.rglob("*.json")):
        place = path.relative_to(RESULTS)
        name = f"{place.parent}/" if place.parent != Path() else str(place)
        groups[name].append(json.loads(path.read_text(encoding="utf-8")))
    yield "| results | command | commits | dates | machine |"
    yield "| --- | --- | --- | --- | --- |"
    for name, results in groups.items():
        commands = {result["command"] for result in results}
        whole = len(commands) == 1 and not any("cells" in result for result in results)  # cells come from several runs
        command = commands.pop() if whole else results[0]["command"].split(".py")[0] + ".py ..."
        machines = {f"{result['machine']['cores']} cores, {result['machine']['processor']}" for result in results}
        commits = ", ".join(f"`{commit}`" for commit in sorted({result["commit"] for result in results}))
        dates = " and ".join(sorted({result["date"] for result in results}))
        count = f" ({len(results)})" if len(results) > 1 else ""
        link = f"[{name}](eval/results/{name}){count}"
        yield f"| {link} | `{command}` | {commits} | {dates} | {'; '.join(sorted(machines))} |"
    versions = max((result for own in groups.values() for result in own), key=lambda result: result["date"])["versions"]
    yield ""
    yield "Versions in the newest: " + ", ".join(f"{package} {number}" for package, number in versions.items()) + "."
