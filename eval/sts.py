"""The seven-task STS table for a list of models: python eval/sts.py [MODEL[:POOLING] ...]

Writes results/sts.json. Without arguments: the packaged MiniLM with the poolers in the README.
"""

from __future__ import annotations

from lib.arguments import parser
from lib.record import data_folder, write_result

from simcse_kit import SimCSE, evaluate_sts

DEFAULT = ["all-MiniLM-L6-v2:mean", "all-MiniLM-L6-v2:cls_before_pooler"]
REFERENCE = {  # from the original evaluation code, for all-MiniLM-L6-v2 with mean pooling
    "STS12": 72.37,
    "STS13": 80.60,
    "STS14": 75.59,
    "STS15": 85.39,
    "STS16": 78.99,
    "STSBenchmark": 82.03,
    "SICKRelatedness": 77.15,
    "avg": 78.87,
}


def main() -> None:
    """Evaluate and write."""
    arguments = parser(__doc__)
    arguments.add_argument("models", nargs="*", metavar="MODEL", default=DEFAULT)
    models = arguments.parse_args().models
    data = data_folder()
    results = []
    for spec in models:
        name, _, pooling = spec.partition(":")
        model = SimCSE(name, pooling=pooling or None)
        with model.full_length():
            result = evaluate_sts(model.encoder_fn(batch_size=64, show_progress_bar=True), data)
        print(spec, {task: round(score, 2) for task, score in result.scores.items()}, f"{result.seconds:.0f} s")
        entry = {"model": name, "pooling": model.pooling, **result.to_json(), "data": "senteval"}
        if spec == DEFAULT[0]:
            entry["reference"] = REFERENCE
            entry["equal_to_two_decimals"] = all(
                round(score, 2) == REFERENCE[task] for task, score in result.scores.items()
            )
        results.append(entry)
    print(write_result("sts", {"results": results}))


if __name__ == "__main__":
    main()
