"""Train MiniLM's CLS vector on real text and measure the seven tasks before and after: python eval/train.py unsup|sup

One epoch each: unsup on train/wiki_sentences.txt, sup on train/nli_triplets.csv, chosen on STS-B dev.
Writes results/train_unsup.json or results/train_sup.json. An interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path

from record import data_folder, write_result

from simcse_kit import SimCSE, TrainListener, TrainPlan, evaluate_sts, train_sup, train_unsup

START = "all-MiniLM-L6-v2"
POOLING = "cls_before_pooler"


class Listener(TrainListener):
    """Keeps the plan and prints the scores."""

    plan: TrainPlan

    def started(self, plan: TrainPlan) -> None:
        """Keep it."""
        self.plan = plan

    def logged(self, step: int, metrics: dict[str, float]) -> None:
        """Print a score."""
        if "eval_spearman" in metrics:
            print(f"step {step}: {metrics['eval_spearman']:.2f}", flush=True)


def seven_tasks(model: SimCSE, data: Path) -> dict[str, object]:
    """Scores and geometry of a model."""
    with model.full_length():
        result = evaluate_sts(model.encoder_fn(batch_size=64), data)
    print({task: round(score, 2) for task, score in result.scores.items()}, flush=True)
    return {"scores": dict(result.scores), "alignment": result.alignment, "uniformity": result.uniformity}


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["unsup", "sup"])
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "simcse-kit-eval")
    arguments = parser.parse_args()
    data = data_folder()
    run = arguments.work / f"{arguments.mode}-{arguments.seed}"
    listener = Listener()
    settings = {
        "model": START,
        "pooling": POOLING,
        "epochs": 1,
        "eval_data": data / "senteval/STS/STSBenchmark/sts-dev.csv",
        "seed": arguments.seed,
        "resume": run.is_dir(),
        "listener": listener,
    }
    if arguments.mode == "unsup":
        settings |= {"eval_steps": 25}
        result = train_unsup(data / "train/wiki_sentences.txt", run, **settings)
    else:
        settings |= {"batch_size": 128, "eval_steps": 25}  # 512 leaves 54 steps in the one epoch
        result = train_sup(data / "train/nli_triplets.csv", run, **settings)
    written = {
        "mode": arguments.mode,
        "seed": arguments.seed,
        "plan": {key: str(value) if isinstance(value, Path) else value for key, value in asdict(listener.plan).items()}
        | {"output_dir": "RUN", "eval_source": "STS-B dev"},
        "best_step": result.best_step,
        "best_dev_spearman": result.best_score,
        "start_dev_spearman": result.start_score,
        "train_seconds": result.seconds,
        "before": seven_tasks(SimCSE(START, pooling=POOLING), data),
        "after": seven_tasks(SimCSE(run), data),
    }
    print(write_result(f"train_{arguments.mode}", written))


if __name__ == "__main__":
    main()
