"""Every offline suite on a model: python eval/suites.py [NAME=MODEL[:POOLING] ...]

Scores with 95 % intervals, each compared with the first: results/suites.json. Default: the packaged MiniLM.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lib.arguments import parser
from lib.record import data_folder, write_result

from simcse_kit import SimCSE, SuiteResult, compare, evaluate
from simcse_kit.evaluation import intervals

SUITES = ("sts", "korsts", "transfer", "geometry")
OPTIONS: dict[str, dict[str, Any]] = {"transfer": {"show_progress_bar": True}}
DTYPE = "bfloat16"  # scores equal float32 to a few hundredths, at twice the speed; sts.json has the scores of float32
DEFAULT = ["all-MiniLM-L6-v2=all-MiniLM-L6-v2:mean"]
REFERENCE = {"MR": 75.06, "CR": 82.07, "SUBJ": 91.89}  # the original's fast mode for the first model, see WITHIN
WITHIN = 1.0


def measured(path: str, pooling: str | None, data: Path) -> dict[str, SuiteResult]:
    """Results by suite."""
    model = SimCSE(path, pooling=pooling, dtype=DTYPE)
    with model.full_length():
        encode = model.encoder_fn(batch_size=64, show_progress_bar=True)
        return {suite: evaluate(encode, suite, data, **OPTIONS.get(suite, {})) for suite in SUITES}


def main() -> None:
    """Evaluate and write."""
    arguments = parser(__doc__)
    arguments.add_argument("models", nargs="*", metavar="MODEL", default=DEFAULT)
    models = arguments.parse_args().models
    data = data_folder()
    results: dict[str, dict[str, SuiteResult]] = {}
    for given in models:
        name, _, rest = given.partition("=")
        path, _, pooling = rest.partition(":")
        results[name] = measured(path, pooling or None, data)
        for suite, result in results[name].items():
            print(
                name, suite, {task: round(score, 2) for task, score in result.scores.items()}, f"{result.seconds:.0f} s"
            )
    first = next(iter(results.values()))
    written = []
    for name, own in results.items():
        for suite, result in own.items():
            entry = {"model": name, **result.to_json(), "data": "senteval" if suite != "korsts" else suite}
            entry["intervals"] = intervals(result)
            if own is not first and result.outcomes:
                lines = compare([first[suite]], [result])
                entry["against_the_first"] = {
                    line.score: {"difference": line.difference, "interval": line.interval, "verdict": line.verdict}
                    for line in lines
                }
            written.append(entry)
    transfer = first["transfer"].scores
    gaps = {task: transfer[task] - score for task, score in REFERENCE.items()}
    write_result(
        "suites",
        {
            "dtype": DTYPE,
            "results": written,
            "transfer_reference": {"original": REFERENCE, "difference": gaps, "within": WITHIN},
        },
    )


if __name__ == "__main__":
    main()
