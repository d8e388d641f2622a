"""Does adapting to one's own text help one's own search? python eval/adapt.py [METHOD ...] [--domains ...]

Every domain's test texts are searched among its train texts (P@10, 1-NN); cranfield has queries and judgements
(nDCG@10, recall@100). No run sees a label, a test text or a query, but those of the methods with labels, which see the
labels of train texts. Each cell (domain, start, method, seed) goes into results/adapt.json when it is done; cells that
are there are skipped, so the driver can be stopped at any time.

``--start FOLDER`` measures another start model under the name of its folder, ``--teacher FOLDER`` is the larger model
of the methods with a teacher.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lib.adapt_baselines import averaged_index, denoising, masked_language_model, neighbour_pairs
from lib.adapt_tables import CLASSES, DOCUMENTS, START
from lib.record import data_folder, has, load, write_result

from simcse_kit import SimCSE, adapt, evaluate_labels, evaluate_retrieval, evaluate_sts, train_sup, train_unsup
from simcse_kit.data import LabelledTexts, read_labelled
from simcse_kit.evaluation import SuiteResult

SEEDS = (1, 2, 3)
FEW = 8  # texts of a class, for the methods with few labels


class Cell(NamedTuple):
    """What a method is given."""

    texts: Any  # list of texts, or the documents' file
    labelled: LabelledTexts | None
    start: str
    teacher: str | None
    seed: int
    folder: Path  # for its model


Trained = tuple[SimCSE, dict[str, Any]]  # the model to measure, and what is told of the run


def _adapted(cell: Cell, texts: Any, **settings: Any) -> Trained:
    made = adapt(texts, cell.start, cell.folder, seed=cell.seed, **settings)
    told = {
        "used": made.method.name,
        "steps": made.training.steps,
        "kept_start": made.kept_start,
        "gate": None if made.gate is None else made.gate.passed,
        "signs": {} if made.gate is None else {one.name: [one.before, one.after] for one in made.gate.changes},
    }
    return SimCSE(cell.folder), told


def _plain(cell: Cell, **settings: Any) -> Trained:
    result = train_unsup(_texts(cell), cell.folder, model=cell.start, pooling="mean", seed=cell.seed, **settings)
    return SimCSE(cell.folder), {"steps": result.steps}


def _texts(cell: Cell) -> list[str]:
    if isinstance(cell.texts, list):
        return cell.texts
    rows = [json.loads(line) for line in Path(cell.texts).read_text(encoding="utf-8").splitlines()]
    return [row["text"] for row in rows if row["text"].strip()]


def _neighbour_pairs(cell: Cell) -> Trained:
    pairs = neighbour_pairs(SimCSE(cell.start), list(dict.fromkeys(_texts(cell))), cell.seed)
    result = train_sup(
        pairs, cell.folder, model=cell.start, pooling="mean", seed=cell.seed, epochs=1, batch_size=64, max_seq_length=64
    )
    return SimCSE(cell.folder), {"steps": result.steps}


def _classes(cell: Cell) -> LabelledTexts:
    assert cell.labelled is not None
    return cell.labelled


def few(labelled: LabelledTexts, seed: int) -> LabelledTexts:
    """`FEW` texts of each class, drawn by the seed."""
    random = np.random.default_rng(seed)
    labels = np.array(labelled.labels)
    rows = [int(i) for name in sorted(set(labels)) for i in random.permutation(np.flatnonzero(labels == name))[:FEW]]
    return LabelledTexts([labelled.texts[i] for i in rows], [labelled.labels[i] for i in rows], labelled.source)


METHODS: dict[str, Callable[[Cell], Trained]] = {
    "start": lambda cell: (SimCSE(cell.start), {}),
    "adapt": lambda cell: _adapted(cell, cell.texts),
    "adapt-teacher": lambda cell: _adapted(cell, cell.texts, teacher=cell.teacher),
    "adapt-labels": lambda cell: _adapted(cell, _classes(cell)),
    "adapt-labels-few": lambda cell: _adapted(cell, few(_classes(cell), cell.seed)),
    "simcse": lambda cell: _plain(cell),
    "rankcse": lambda cell: _plain(cell, recipe="rankcse", teacher=cell.start),
    "neighbour-pairs": _neighbour_pairs,
    "averaged-index": lambda cell: (SimCSE(cell.start), {}),  # see `_scores`
    "mlm": lambda cell: (masked_language_model(cell.start, _texts(cell), cell.folder, cell.seed), {}),
    "tsdae": lambda cell: (denoising(cell.start, _texts(cell), cell.folder, cell.seed), {}),
}
ONCE = ("start", "averaged-index")  # nothing is drawn
WITH_LABELS = ("adapt-labels", "adapt-labels-few")


def measure(domain: str, method: str, model: SimCSE, data: Path) -> SuiteResult:
    """The domain's own figures."""
    folder = data / "domains" / domain
    encode = model.encoder_fn()
    if method == "averaged-index":
        encode = averaged_index(encode, _searched(folder))
    return evaluate_retrieval(encode, folder) if domain in DOCUMENTS else evaluate_labels(encode, folder)


def _searched(folder: Path) -> list[str]:
    """The texts that are searched, as the suites have them."""
    if (folder / "corpus.jsonl").is_file():
        from simcse_kit.evaluation.retrieval import load_retrieval

        return list(load_retrieval(folder).corpus.values())
    return read_labelled(folder / "train.tsv").texts


def run_cell(domain: str, method: str, seed: int, arguments: argparse.Namespace, data: Path) -> dict[str, Any]:
    """Train and measure one cell."""
    folder = data / "domains" / domain
    labelled = None if domain in DOCUMENTS else read_labelled(folder / "train.tsv")
    texts: Any = folder / "corpus.jsonl" if labelled is None else labelled.texts
    work = Path(tempfile.mkdtemp(prefix="adapt-"))
    try:
        began = time.perf_counter()
        cell = Cell(texts, labelled, arguments.start, arguments.teacher, seed, work / "model")
        model, told = METHODS[method](cell)
        seconds = time.perf_counter() - began
        result = measure(domain, method, model, data)
        scores = {name: round(score, 3) for name, score in result.scores.items() if score == score}
        first = result.outcomes[0]
        found = {
            "domain": domain,
            "start": Path(arguments.start).name,
            "method": method,
            "seed": seed,
            "scores": scores,
            "seconds": round(seconds, 1),
            "queries": [round(float(value), 3) for value in first.values],  # of the first score, one for each query
            **told,
        }
        if arguments.sts:
            with model.full_length():
                found["sts"] = round(evaluate_sts(model.encoder_fn(), data).scores["avg"], 3)
        return found
    finally:
        shutil.rmtree(work, ignore_errors=True)


def key(cell: dict[str, Any]) -> tuple[str, str, str, int]:
    """What a cell is."""
    return cell["domain"], cell["start"], cell["method"], cell["seed"]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the cells that are not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=f"default: all of {', '.join(METHODS)}")
    parser.add_argument("--domains", nargs="+", default=[*CLASSES, *DOCUMENTS])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--start", default=START)
    parser.add_argument("--teacher", help="folder or name of the larger model")
    parser.add_argument("--sts", action="store_true", help="also the seven STS tasks' average")
    arguments = parser.parse_args(argv)
    data = data_folder()
    for seed in arguments.seeds:  # a first look at every cell before the second seed of any
        for method in arguments.methods or METHODS:
            for domain in arguments.domains:
                if method in WITH_LABELS and domain in DOCUMENTS:
                    continue
                if method == "adapt-teacher" and arguments.teacher is None:
                    continue
                here = 0 if method in ONCE else seed
                cells = load("adapt")["cells"] if has("adapt") else []
                if (domain, Path(arguments.start).name, method, here) in map(key, cells):
                    continue
                found = run_cell(domain, method, here, arguments, data)
                cells = load("adapt")["cells"] if has("adapt") else []  # others may have written meanwhile
                cells = [*(cell for cell in cells if key(cell) != key(found)), found]
                write_result("adapt", {"cells": sorted(cells, key=key)})
                shown = {name: found["scores"][name] for name in list(found["scores"])[:2]}
                print(*key(found), shown, found.get("sts", ""), f"{found['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
