"""Choosing a checkpoint by dropout twins, against STS-B dev's choice: python eval/label_free.py

Unsupervised runs of MiniLM's CLS vector with different settings, each with ``select="dropout-twins"``, STS-B dev
looking on. Both choices are measured on the seven tasks: what the first choice loses. Finished runs are skipped.
Writes results/label_free/RUN.json; the README's table is made of them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from lib.record import RESULTS, data_folder, write_result

from simcse_kit import SimCSE, TrainListener, evaluate_sts, train_unsup

MODEL = "all-MiniLM-L6-v2"
RUNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "fast": {"learning_rate": 3e-4},
    "warm": {"temperature": 0.2, "learning_rate": 1e-4},
    "large-batch": {"batch_size": 256, "learning_rate": 1e-4, "mini_batch_size": 128, "eval_steps": 6},
    "repetition": {"augmentation": "repetition", "learning_rate": 1e-4},
}


class Keep(TrainListener):
    """Keeps every checkpoint's model: the run itself keeps the last and the best."""

    def __init__(self, run: Path, kept: Path) -> None:
        self.run, self.kept = run, kept

    def stepped(self, step: int, steps: int) -> None:
        """Link what is new."""
        for checkpoint in self.run.glob("checkpoint-*"):
            if not (self.kept / checkpoint.name).exists():
                shutil.copytree(checkpoint, self.kept / checkpoint.name, copy_function=os.link)
                (self.kept / checkpoint.name / "optimizer.pt").unlink()


def average(model: Path | str, data: Path) -> float:
    """The seven tasks' average."""
    loaded = SimCSE(model, pooling="cls_before_pooler")
    with loaded.full_length():
        return evaluate_sts(loaded.encoder_fn(batch_size=64), data).scores["avg"]


def run_one(name: str, work: Path, data: Path) -> None:
    """Train, let both choose, measure both choices."""
    run, kept = work / name, work / f"{name}-kept"
    shutil.rmtree(run, ignore_errors=True)
    shutil.rmtree(kept, ignore_errors=True)
    listener = Keep(run, kept)
    settings: dict[str, Any] = {"batch_size": 64, "eval_steps": 25} | RUNS[name]
    result = train_unsup(
        data / "train/wiki_sentences.txt",
        run,
        model=MODEL,
        pooling="cls_before_pooler",
        select="dropout-twins",
        eval_data=data / "senteval/STS/STSBenchmark/sts-dev.csv",
        listener=listener,
        seed=1,
        **settings,
    )
    listener.stepped(result.steps, result.steps)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    curve = [
        {key: value for key, value in line.items() if key == "step" or key.startswith("eval_")}
        for line in lines
        if "eval_spearman" in line
    ]
    by_dev = max(curve, key=lambda line: line["eval_spearman"])["step"]
    steps = {"label_free": result.best_step, "dev": by_dev}
    models = {step: kept / f"checkpoint-{step}" if step else MODEL for step in set(steps.values())}
    averages = {step: average(model, data) for step, model in models.items()}
    lost = averages[by_dev] - averages[result.best_step]
    written = {
        "run": name,
        "settings": settings,
        "curve": curve,
        "chosen_step": steps,
        "average": {by: averages[step] for by, step in steps.items()},
        "lost": lost,
    }
    write_result(f"label_free/{name}", written)
    print(f"{name}: dropout twins chose {result.best_step}, dev {by_dev}; lost {lost:.2f}", flush=True)
    shutil.rmtree(kept)


def main() -> None:
    """Run what is not finished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"default: all of {', '.join(RUNS)}")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "simcse-kit-eval" / "label_free")
    arguments = parser.parse_args()
    for name in arguments.runs or RUNS:
        if not (RESULTS / "label_free" / f"{name}.json").is_file():
            run_one(name, arguments.work, data_folder())


if __name__ == "__main__":
    main()
