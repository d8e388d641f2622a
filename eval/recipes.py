"""The table of recipes: each on the same start, the same data and three seeds: python eval/recipes.py [CELL ...]

Start: MiniLM's CLS vector. Data: train/wiki_sentences.txt without labels, train/nli_triplets.csv with; for the losses
on scored pairs STS-B's train split, whose test is one of the seven tasks. Every cell is chosen on STS-B dev and
measured on the seven tasks; it becomes results/recipes/CELL-SEED.json. Finished cells are skipped and a run that was
stopped goes on, so the driver can be stopped at any time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lib.peers import peer_trainer
from lib.record import RESULTS, data_folder, write_result

from simcse_kit import SimCSE, evaluate_sts, train_sup, train_unsup
from simcse_kit.data import read_examples, read_scored_pairs, read_sentences

START = "all-MiniLM-L6-v2"
POOLING = "cls_before_pooler"
SEEDS = (1, 2, 3)
DATA = {
    "unsup": "train/wiki_sentences.txt",
    "sup": "train/nli_triplets.csv",
    "scored": "senteval/STS/STSBenchmark/sts-train.csv",
}
EVAL_STEPS = {"unsup": 50, "sup": 25, "scored": 15}  # a supervised run is at its best early
BATCH_SIZE = {"unsup": 64, "sup": 128, "scored": 64}
LEARNING_RATE = {"unsup": 3e-5, "sup": 5e-5}  # of the peer; ours are the recipes' own


class Cell(NamedTuple):
    """A row of the table: a mode (a key of `DATA`) and what is changed in its defaults; None: the peer's trainer."""

    mode: str
    settings: dict[str, Any] | None


TEACHER = "all-MiniLM-L6-v2"  # with the mean pooling it was trained for

CELLS: dict[str, Cell] = {
    "unsup": Cell("unsup", {}),
    "rankcse": Cell("unsup", {"recipe": "rankcse", "teacher": TEACHER}),
    "simclr": Cell("unsup", {"recipe": "simclr"}),
    "esimcse": Cell("unsup", {"recipe": "esimcse"}),
    "promptbert": Cell("unsup", {"recipe": "promptbert", "pooling": "mask"}),
    "arccse": Cell("unsup", {"recipe": "arccse"}),
    "dclr": Cell("unsup", {"recipe": "dclr"}),
    "distill": Cell("unsup", {"recipe": "distill", "teacher": TEACHER}),
    "rankcse-listmle": Cell("unsup", {"recipe": "rankcse-listmle", "teacher": TEACHER}),
    "hardness": Cell("unsup", {"recipe": "hardness"}),
    "bidirectional": Cell("unsup", {"recipe": "bidirectional"}),
    "learned-temperature": Cell("unsup", {"recipe": "learned-temperature"}),
    "matryoshka": Cell("unsup", {"recipe": "matryoshka"}),
    "mlm": Cell("unsup", {"recipe": "mlm"}),
    "word-repetition": Cell("unsup", {"recipe": "word-repetition"}),
    "momentum-queue": Cell("unsup", {"recipe": "momentum-queue"}),
    "unsup-1e-4": Cell("unsup", {"learning_rate": 1e-4}),  # the rate of the guided recipes, without the guide
    "unsup-float32": Cell("unsup", {"bf16": False}),
    "unsup-sentence-transformers": Cell("unsup", None),
    "sup": Cell("sup", {}),
    "sup-teacher": Cell("sup", {"recipe": "sup-teacher", "teacher": TEACHER}),
    "sup-hardness": Cell("sup", {"recipe": "sup-hardness"}),
    "sup-bidirectional": Cell("sup", {"recipe": "sup-bidirectional"}),
    "sup-sentence-transformers": Cell("sup", None),
    "cosent": Cell("scored", {"recipe": "cosent"}),
    "angle": Cell("scored", {"recipe": "angle"}),
}


def train_ours(cell: Cell, seed: int, run: Path, data: Path) -> dict[str, Any]:
    """Train with this package; an interrupted run goes on."""
    settings: dict[str, Any] = {
        "model": START,
        "pooling": POOLING,
        "epochs": 1,
        "batch_size": BATCH_SIZE[cell.mode],
        "eval_data": data / "senteval/STS/STSBenchmark/sts-dev.csv",
        "eval_steps": EVAL_STEPS[cell.mode],
    }
    settings |= (cell.settings or {}) | {"seed": seed, "resume": (run / "run.json").is_file()}
    train = train_unsup if cell.mode == "unsup" else train_sup
    result = train(data / DATA[cell.mode], run, **settings)
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "best_step": result.best_step,
        "dev_spearman": result.best_score,
        "arguments": json.loads((run / "run.json").read_text(encoding="utf-8"))["arguments"],
        "curve": [line for line in metrics if "eval_spearman" in line],
    }


def train_peer(cell: Cell, seed: int, run: Path, data: Path) -> dict[str, Any]:
    """Train with sentence-transformers in the same setting."""
    if cell.mode == "unsup":
        sentences = read_sentences(data / DATA["unsup"]).column(0)
        columns = {"anchor": sentences, "positive": sentences}
    else:
        rows = read_examples(data / DATA["sup"])
        columns = {name: rows.column(i) for i, name in enumerate(("anchor", "positive", "negative"))}
    trainer = peer_trainer(
        columns,
        run,
        batch_size=BATCH_SIZE[cell.mode],
        learning_rate=LEARNING_RATE[cell.mode],
        seed=seed,
        bf16=True,  # as ours trains where the processor multiplies in it
        dev=read_scored_pairs(data / "senteval/STS/STSBenchmark/sts-dev.csv"),
        eval_steps=EVAL_STEPS[cell.mode],
    )
    trainer.train()
    trainer.model.save(str(run))
    state = trainer.state
    return {"best_step": state.best_global_step, "dev_spearman": 100 * state.best_metric}


def run_cell(name: str, seed: int, work: Path, data: Path) -> None:
    """Train, measure, write."""
    cell, run = CELLS[name], work / f"{name}-{seed}"
    began = time.perf_counter()
    trained = (train_peer if cell.settings is None else train_ours)(cell, seed, run, data)
    seconds = time.perf_counter() - began
    model = SimCSE(run)
    with model.full_length():
        result = evaluate_sts(model.encoder_fn(batch_size=64), data)
    written = {
        "cell": name,
        "mode": cell.mode,
        "seed": seed,
        "settings": {} if cell.settings is None else cell.settings,
        **trained,
        "train_seconds": seconds,
        "scores": dict(result.scores),
        "alignment": result.alignment,
        "uniformity": result.uniformity,
    }
    write_result(f"recipes/{name}-{seed}", written)
    print(f"{name} seed {seed}: {result.scores['avg']:.2f} in {seconds:.0f} s", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the cells that are not finished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", metavar="CELL", help=f"default: all of {', '.join(CELLS)}")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "simcse-kit-eval" / "recipes")
    arguments = parser.parse_args(argv)
    data = data_folder()
    for seed in arguments.seeds:  # a first look at every cell before the second seed of any
        for name in arguments.cells or CELLS:
            if not (RESULTS / "recipes" / f"{name}-{seed}.json").is_file():
                run_cell(name, seed, arguments.work, data)


if __name__ == "__main__":
    main()
