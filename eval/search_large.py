"""An index of 10 million vectors in the memory of a laptop: python eval/search_large.py [--rows 10000000]

Vectors drawn around those of real sentences (see eval/search.py), added and committed in parts, searched by product
quantization in half a byte for 4 dimensions, with exact rescoring from the disk. Queries are sentences that were held
out; others that were held out tune it. The index is built by one process and searched by another, and each says what
memory it took: its own, which nobody else can have, and the resident one, with pages of the mapped files that the
system may take back at any time.
Writes results/search_large.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from lib.record import data_folder, write_result

from search import NOISE, QUERIES, TUNING, K, encoded, sentences
from simcse_kit.search import Collection
from simcse_kit.types import Vectors

PART = 1 << 18  # rows that are drawn, added and committed at once
KIND = "pq"
SINGLE = 500


def parts(vectors: Vectors, rows: int) -> Iterator[tuple[int, Vectors]]:
    """(first number, unit vectors) of so many rows drawn around the vectors; the same ones each time."""
    for at in range(0, rows, PART):
        draw = np.random.default_rng(at)
        count = min(PART, rows - at)
        noise = draw.standard_normal((count, vectors.shape[1]), dtype=np.float32)
        noise *= NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
        noise += vectors[draw.integers(0, len(vectors), count)]
        faiss.normalize_L2(noise)
        yield at, noise


@contextmanager
def memory(into: dict[str, float]) -> Iterator[None]:
    """The most MiB that this process holds meanwhile: of its own, and resident."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            for line in Path("/proc/self/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in ("RssAnon", "VmRSS"):
                    key = {"RssAnon": "own_mebibytes", "VmRSS": "resident_mebibytes"}[name]
                    into[key] = max(into.get(key, 0), int(value.split()[0]) / 1024)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def build(work: Path, rows: int) -> dict[str, Any]:
    """Build, and keep the exact scores of the queries beside it."""
    queries, tuning, vectors = np.split(np.load(work / "vectors.npy"), [QUERIES, QUERIES + TUNING])
    folder = work / "index-large"
    shutil.rmtree(folder, ignore_errors=True)
    found: dict[str, Any] = {}
    best = np.full((QUERIES, K), -np.inf, np.float32)
    drawing = exact = 0.0
    began = time.perf_counter()
    with memory(found):
        collection = Collection(vectors.shape[1], KIND)
        collection.queries = tuning
        clock = time.perf_counter()
        for at, part in parts(vectors, rows):
            drawing += time.perf_counter() - clock
            clock = time.perf_counter()
            scores, _ = faiss.knn(queries, part, K, metric=faiss.METRIC_INNER_PRODUCT)
            best = -np.sort(-np.concatenate([best, scores], axis=1), axis=1)[:, :K]
            exact += time.perf_counter() - clock
            collection.add([f"sentence number {at + i} of the corpus" for i in range(len(part))], part)
            collection.save(folder, structure=False)
            print(f"{at + len(part):,} rows after {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
            clock = time.perf_counter()
        added = time.perf_counter() - began - drawing - exact
        clock = time.perf_counter()
        collection.save()
        structure = time.perf_counter() - clock
    np.save(work / "best.npy", best)
    return {"add_seconds": added, "structure_seconds": structure, "memory": found}


def search(work: Path) -> dict[str, Any]:
    """Open it, and answer."""
    queries = np.load(work / "vectors.npy")[:QUERIES]
    bound = np.load(work / "best.npy")[:, -1:] - 1e-5
    found: dict[str, Any] = {}
    with memory(found):
        began = time.perf_counter()
        collection = Collection.open(work / "index-large")
        opened = time.perf_counter() - began
        cold = []
        for query in queries[:SINGLE]:
            began = time.perf_counter()
            collection.search(query[None], K)
            cold.append(time.perf_counter() - began)
        began = time.perf_counter()
        answers = collection.search(queries, K)
        batch = time.perf_counter() - began
        warm = []
        for query in queries[:SINGLE]:
            began = time.perf_counter()
            collection.search(query[None], K)
            warm.append(time.perf_counter() - began)
        began = time.perf_counter()
        collection.add(["one more"], queries[:1])
        collection.save()
        one = time.perf_counter() - began
    scores = np.array([[hit.score for hit in hits] for hits in answers])
    info = collection.info()
    assert info.structure is not None
    return {
        "recall_at_10": float((scores >= bound).sum(1).mean() / K),
        "tuned_recall": info.structure.recall,
        "effort": info.structure.effort,
        "candidates": info.structure.candidates,
        "open_seconds": opened,
        "first_milliseconds": {"p50": 1e3 * statistics.median(cold), "p99": 1e3 * sorted(cold)[int(0.99 * SINGLE)]},
        "milliseconds": {"p50": 1e3 * statistics.median(warm), "p99": 1e3 * sorted(warm)[int(0.99 * SINGLE)]},
        "queries_per_second": QUERIES / batch,
        "add_one_seconds": one,
        "disk_bytes": info.bytes,
        "memory": found,
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--work", type=Path, help="folder to keep vectors and the index in: 20 GB")
    parser.add_argument("--step", choices=["build", "search"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(
            json.dumps(build(arguments.work, arguments.rows) if arguments.step == "build" else search(arguments.work))
        )
        return
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(exist_ok=True)
        encoded(sentences(data_folder()), work)
        result: dict[str, Any] = {"rows": arguments.rows, "kind": KIND, "noise": NOISE, "queries": QUERIES}
        for step in ("build", "search"):
            command = [sys.executable, __file__, "--step", step, "--work", str(work), "--rows", str(arguments.rows)]
            result[step] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
            print(result[step], flush=True)
        write_result("search_large", result)


if __name__ == "__main__":
    main()
