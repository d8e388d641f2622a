"""Time of `adapt` on 10,000 short texts: python eval/adapt_speed.py

Only texts, no teacher, all cores, an idle machine. Each of three domains once, with times of the parts of the workflow.
Writes results/adapt_speed.json; existing results are kept.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib.adapt_tables import CLASSES, START
from lib.arguments import parser
from lib.record import data_folder, has, load, write_result

from simcse_kit import adapt
from simcse_kit.data import read_labelled
from simcse_kit.training import taught
from simcse_kit.workflows import adapt as workflow

TEXTS = 10_000


def _watch(seconds: dict[str, float], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began

    return timed


def main() -> None:
    """Adapt to the texts of each domain."""
    parser(__doc__).parse_args()
    seconds: dict[str, float] = {}
    workflow.choose_method = _watch(seconds, "choosing", workflow.choose_method)
    workflow._signs = _watch(seconds, "gate", workflow._signs)
    workflow.train_unsup = _watch(seconds, "training", workflow.train_unsup)
    taught.write_targets = _watch(seconds, "targets", taught.write_targets)
    for domain in CLASSES:
        runs = load("adapt_speed")["runs"] if has("adapt_speed") else []
        if domain in {run["domain"] for run in runs}:
            continue
        texts = list(dict.fromkeys(read_labelled(data_folder() / "domains" / domain / "train.tsv").texts))[:TEXTS]
        seconds.clear()
        with tempfile.TemporaryDirectory() as folder:
            made = adapt(texts, START, Path(folder) / "model")
        seconds["training"] -= seconds["targets"]
        run = {
            "domain": domain,
            "texts": len(texts),
            "method": made.method.name,
            "steps": made.training.steps,
            "seconds": round(made.seconds, 1),
            "parts": {name: round(value, 1) for name, value in seconds.items()},
        }
        write_result("adapt_speed", {"runs": [*runs, run]})
        print(run, flush=True)


if __name__ == "__main__":
    main()
