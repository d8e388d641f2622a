"""Search beside plain FAISS and other tools: python eval/search.py [--rows 1000000] [--peer NAME=PYTHON ...]

Real MiniLM vectors of the distinct sentences of STS12-16, STS-B, SICK, the NLI triplets and the Wikipedia sentences,
some held out as queries; and the same repeated with noise up to so many rows. There the queries are not like the rows,
so that index is tuned by other held-out sentences (`index build --queries`). For each index: recall of the 10 nearest
(scores count, not places: equal vectors are equally right), queries a second in one batch, the median and the 99th
percentile of one query, time to build, memory and disk. Systems take turns.

NAME is hnswlib, usearch, scann or lancedb, and PYTHON that of a virtual environment with it and numpy, for the table of
search_peers.py. Writes results/search.json.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
import torch
from lib.peers import named_python
from lib.record import data_folder, write_result
from lib.search_peers import PEERS, Corpus, side_by_side
from sentence_transformers.util import semantic_search

from simcse_kit import SimCSE
from simcse_kit.data import read_examples, read_sentences
from simcse_kit.encoder.known import packaged_minilm
from simcse_kit.evaluation.sts import load_sts, load_sts_benchmark
from simcse_kit.search import Collection
from simcse_kit.types import Vectors

QUERIES, SINGLE, ROUNDS, K = 1000, 40, 5, 10
TUNING = 1000  # sentences held out to tune by, where the rows are not like the queries
KIND = "pq"  # what auto chooses
KINDS = ("flat", "pq", "int8", "rabitq", "hnsw")
NOISE = 0.25  # length of what is added to a unit vector
Search = Callable[[Vectors], Vectors]


class System(NamedTuple):
    """An index to be timed: queries (Q, D) to the scores of the 10 it finds (Q, 10)."""

    name: str
    search: Search
    build_seconds: float
    disk_bytes: int | None
    about: dict[str, Any]


def sentences(data: Path) -> list[str]:
    """Distinct ones, in an order of their own."""
    found: dict[str, None] = {}
    subsets = [subset.pairs for task in load_sts(data) for subset in task.subsets]
    for pairs in (*subsets, *load_sts_benchmark(data)):
        found |= dict.fromkeys((*pairs.first, *pairs.second))
    for row in read_examples(data / "train/nli_triplets.csv").rows:
        found |= dict.fromkeys(row)
    found |= dict.fromkeys(read_sentences(data / "train/wiki_sentences.txt").column(0))
    texts = list(found)
    random.Random(0).shuffle(texts)
    return texts


def encoded(texts: list[str], work: Path) -> Vectors:
    """Unit vectors, kept in the work folder."""
    path = work / "vectors.npy"
    if not path.exists():
        model = SimCSE(packaged_minilm(), backend="openvino", dtype="bfloat16")
        np.save(path, model.encode(texts, normalize_embeddings=True, show_progress_bar=True))
    return np.load(path)  # type: ignore[no-any-return]


def noisy(vectors: Vectors, rows: int) -> Vectors:
    """The vectors, and again with noise, until there are so many."""
    draw = np.random.default_rng(0)
    out = np.empty((rows, vectors.shape[1]), np.float32)
    out[: len(vectors)] = vectors
    for at in range(len(vectors), rows, 1 << 16):
        count = min(1 << 16, rows - at)
        chosen = vectors[draw.integers(0, len(vectors), count)]
        noise = draw.normal(size=chosen.shape).astype(np.float32)
        out[at : at + count] = chosen + NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    faiss.normalize_L2(out)
    return out


def ours(kind: str, vectors: Vectors, work: Path, tuning: Vectors | None) -> System:
    """Built, closed, opened from the disk; it fetches the texts too."""
    folder = work / f"index-{kind}"
    shutil.rmtree(folder, ignore_errors=True)
    began = time.perf_counter()
    collection = Collection(vectors.shape[1], kind)
    collection.queries = tuning
    for at in range(0, len(vectors), 1 << 17):
        part = vectors[at : at + (1 << 17)]
        collection.add([f"sentence number {at + i} of the corpus" for i in range(len(part))], part)
        collection.save(folder, structure=False)
    collection.save()
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    collection = Collection.open(folder)
    about: dict[str, Any] = {"open_seconds": time.perf_counter() - began}
    if (structure := collection.info().structure) is not None:
        about |= {name: getattr(structure, name) for name in ("kind", "recall", "effort", "candidates", "given")}
    began = time.perf_counter()
    collection.add(["one more"], vectors[:1])
    collection.save()
    about["add_one_seconds"] = time.perf_counter() - began
    began = time.perf_counter()
    collection.delete([len(vectors)])
    collection.save()
    about["delete_one_seconds"] = time.perf_counter() - began

    def search(queries: Vectors) -> Vectors:
        return np.array([[hit.score for hit in hits] for hits in collection.search(queries, K)], np.float32)

    return System(f"ours, {kind}", search, seconds, collection.info().bytes, about)


def plain(name: str, index: Any, vectors: Vectors) -> System:
    """FAISS as it is: vectors in memory, no texts."""
    began = time.perf_counter()
    index.train(vectors)
    index.add(vectors)
    return System(name, lambda queries: index.search(queries, K)[0], time.perf_counter() - began, None, {})


def systems(vectors: Vectors, work: Path, kinds: Sequence[str], tuning: Vectors | None) -> list[System]:
    """All of them; the first one is exact."""
    dimension = vectors.shape[1]
    original = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimension), dimension, 100, faiss.METRIC_INNER_PRODUCT)
    original.nprobe = 10
    corpus = torch.from_numpy(vectors)

    def helper(queries: Vectors) -> Vectors:
        found = semantic_search(torch.from_numpy(queries), corpus, top_k=K)
        return np.array([[hit["score"] for hit in hits] for hits in found], np.float32)

    return [
        plain("FAISS, IndexFlatIP (the original tool's exact index)", faiss.IndexFlatIP(dimension), vectors),
        plain("FAISS, IVF100, nprobe 10 (the original tool's fast index)", original, vectors),
        System("sentence-transformers, semantic_search", helper, 0.0, None, {}),
        *(ours(kind, vectors, work, tuning) for kind in kinds),
    ]


def measured(found: list[System], queries: Vectors) -> list[dict[str, Any]]:
    """Recall, and times of systems that take turns."""
    truth = found[0].search(queries)
    single: dict[str, list[float]] = {system.name: [] for system in found}
    batch: dict[str, list[float]] = {system.name: [] for system in found}
    recall = {}
    for system in found:
        scores = system.search(queries)  # also warms it up
        recall[system.name] = float(np.minimum((scores >= truth[:, -1:] - 1e-5).sum(1), K).mean() / K)
        print(f"{system.name}: recall {recall[system.name]:.4f}", flush=True)
    for turn in range(ROUNDS):
        for system in found:
            began = time.perf_counter()
            system.search(queries)
            batch[system.name].append(time.perf_counter() - began)
            for query in queries[turn * SINGLE : (turn + 1) * SINGLE]:
                began = time.perf_counter()
                system.search(query[None])
                single[system.name].append(time.perf_counter() - began)
    exact = statistics.median(single[found[0].name])
    lines = []
    for system in found:
        times = sorted(single[system.name])
        lines.append(
            {
                "name": system.name,
                "recall_at_10": recall[system.name],
                "p50_milliseconds": 1e3 * statistics.median(times),
                "p99_milliseconds": 1e3 * times[int(0.99 * len(times))],
                "exact_over_p50": exact / statistics.median(times),
                "queries_per_second": len(queries) / statistics.median(batch[system.name]),
                "build_seconds": system.build_seconds,
                "disk_bytes": system.disk_bytes,
                **system.about,
            }
        )
        print(lines[-1], flush=True)
    return lines


def with_encoding(folder: Path, texts: list[str]) -> dict[str, float]:
    """One query from its text to its hits."""
    collection, model = Collection.open(folder), SimCSE(packaged_minilm(), backend="openvino", dtype="bfloat16")
    times = []
    for text in texts[:200]:
        began = time.perf_counter()
        collection.search(model.encode_query([text]), K)
        times.append(time.perf_counter() - began)
    times.sort()
    return {"p50_milliseconds": 1e3 * statistics.median(times), "p99_milliseconds": 1e3 * times[int(0.99 * len(times))]}


def memory(folder: Path, queries: Path) -> dict[str, float]:
    """MiB that a process gains by opening an index and answering: all of it, and without what the disk cache shares."""
    code = """
import sys, numpy as np, faiss, psutil
from simcse_kit.search import Collection
queries = np.load(sys.argv[2])
faiss.knn(queries[:2], queries[:9].copy(), 2)
process = psutil.Process()
before = process.memory_info()
collection = Collection.open(sys.argv[1])
for query in queries[:200]:
    collection.search(query[None], 10)
after = process.memory_info()
print((after.rss - before.rss) / 2**20, ((after.rss - after.shared) - (before.rss - before.shared)) / 2**20)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(queries)], capture_output=True, text=True, check=True
    )
    resident, own = map(float, done.stdout.split())
    return {"resident_mebibytes": resident, "own_mebibytes": own}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, help="folder to keep vectors and indexes in")
    parser.add_argument("--peer", type=named_python(PEERS), action="append", default=[], help="NAME=PYTHON; repeatable")
    arguments = parser.parse_args()
    peers = dict(arguments.peer)
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(exist_ok=True)
        texts = sentences(data_folder())
        vectors = encoded(texts, work)
        queries, tuning, rest = np.split(vectors, [QUERIES, QUERIES + TUNING])
        np.save(work / "queries.npy", queries)
        result: dict[str, Any] = {"queries": QUERIES, "noise": NOISE, "kind": KIND, "corpora": {}}
        for name, make in (("distinct", lambda: rest.copy()), ("noisy", lambda: noisy(rest, arguments.rows))):
            corpus = make()
            found = systems(corpus, work, KINDS, tuning if name == "noisy" else None)
            lines = measured(found, queries)
            memories = {kind: memory(work / f"index-{kind}", work / "queries.npy") for kind in KINDS}
            result["corpora"][name] = {
                "rows": len(corpus),
                "systems": lines,
                "memory": memories,
                "with_encoding": with_encoding(work / f"index-{KIND}", texts),
            }
            del found
            if peers:
                inputs = Corpus(work / "peers", corpus, queries, tuning)
                result["corpora"][name]["peers"] = side_by_side(inputs, KIND, peers, work)
            del corpus
            write_result("search", result)


if __name__ == "__main__":
    main()
