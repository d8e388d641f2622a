"""Open, search and add beside an earlier state of the code: python eval/index_before.py FOLDER [--rows 1000000]

FOLDER is a checkout of that state (`git worktree add FOLDER COMMIT`). Each state builds an index of the same million
vectors, drawn around those of real sentences (see eval/search.py). Then processes of one state and of the other take
turns: each opens its index, answers single queries, adds a sentence and commits, and says how long each took. A ratio
is that of a pair; reported is the median over the pairs, with its 95 % interval. Writes results/index_before.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

KIND = "pq"
SINGLE, ADDS, K = 400, 7, 10
QUERIES = 1000  # held out: the first ones are asked, the others tune
STEPS = ("open", "search", "add")


def build(work: Path, folder: Path) -> dict[str, float]:
    """Build an index of all vectors."""
    from simcse_kit.search import Collection

    vectors, queries = (np.load(work / f"{name}.npy", mmap_mode="r") for name in ("rows", "queries"))
    began = time.perf_counter()
    collection = Collection(vectors.shape[1], KIND)
    collection.queries = np.asarray(queries[SINGLE:])
    collection.add([f"sentence number {i} of the corpus" for i in range(len(vectors))], vectors)
    collection.save(folder)
    return {"build": time.perf_counter() - began}


def measure(work: Path, folder: Path) -> dict[str, float]:
    """Seconds to open, of a query (median), to add a sentence and commit (median)."""
    from simcse_kit.search import Collection

    queries = np.load(work / "queries.npy")
    began = time.perf_counter()
    collection = Collection.open(folder)
    opened = time.perf_counter() - began
    taken: dict[str, list[float]] = {"search": [], "add": []}
    for query in queries[:SINGLE]:
        began = time.perf_counter()
        collection.search(query[None], K)
        taken["search"].append(time.perf_counter() - began)
    for query in queries[:ADDS]:
        began = time.perf_counter()
        collection.add(["one more"], query[None])
        collection.save()
        taken["add"].append(time.perf_counter() - began)
    return {"open": opened} | {step: statistics.median(own) for step, own in taken.items()}


def main() -> None:
    """Build both, take turns, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, metavar="FOLDER")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--work", type=Path, help="folder to keep vectors and indexes in: 6 GB")
    parser.add_argument("--step", choices=["build", "measure"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        step = build if arguments.step == "build" else measure
        print(json.dumps(step(arguments.work, arguments.before)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(exist_ok=True)
        write(work, arguments.before, arguments.rows, arguments.pairs)


def write(work: Path, before: Path, rows: int, pairs: int) -> None:
    """Both states side by side."""
    from check_cost import interval_of_median
    from lib.record import data_folder, write_result

    from search import encoded, noisy, sentences

    queries, real = np.split(encoded(sentences(data_folder()), work), [QUERIES])
    np.save(work / "queries.npy", queries)
    np.save(work / "rows.npy", noisy(real, rows))
    states = {"before": before.resolve(), "now": Path(__file__).resolve().parent.parent}

    def run(state: str, step: str) -> dict[str, float]:
        command = [sys.executable, __file__, work / state, "--step", step, "--work", work]
        environment = os.environ | {"PYTHONPATH": str(states[state])}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, float] = json.loads(done.stdout)
        return found

    result: dict[str, Any] = {"rows": rows, "kind": KIND, "of": commit_of(before)}
    result["build_seconds"] = {state: run(state, "build")["build"] for state in states if not (work / state).exists()}
    taken: dict[str, dict[str, list[float]]] = {step: {state: [] for state in states} for step in STEPS}
    for pair in range(-1, pairs):
        for state in sorted(states, reverse=pair % 2 == 1):
            found = run(state, "measure")
            if pair >= 0:  # the first warms up
                for step in STEPS:
                    taken[step][state].append(found[step])
    for step, both in taken.items():
        percent = [100 * (one / other - 1) for one, other in zip(both["now"], both["before"], strict=True)]
        result[step] = {
            "milliseconds": {state: 1e3 * statistics.median(own) for state, own in both.items()},
            "percent": statistics.median(percent),
            "interval": interval_of_median(percent),
        }
        print(step, result[step], flush=True)
    write_result("index_before", result)


def commit_of(folder: Path) -> str:
    """What is checked out there."""
    asked = ["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
