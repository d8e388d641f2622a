"""A folder beside Milvus Lite: python eval/milvus.py [--work FOLDER] [--rows 100000]

MiniLM vectors of distinct sentences, as eval/search.py makes and keeps them, some held out as queries. For each store
and kind: time to build, to open, to add and delete one row and save, the median and the 99th percentile of one query,
of one with a filter that a tenth of the rows meets, recall of the 10 nearest, disk. Stores take turns. Each row has a
text and metadata, and comes back whole. Writes results/milvus.json.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lib.record import data_folder, write_result

from search import encoded, sentences
from simcse_kit.search import BaseCollection, new_collection, open_collection
from simcse_kit.search.vectors import exact_nearest
from simcse_kit.types import Vectors

QUERIES, SINGLE, ROUNDS, K = 500, 20, 5, 10
KINDS = {"folder": ("flat", "int8", "hnsw"), "milvus": ("flat", "ivf", "hnsw")}
FILTER = {"tenth": 3}
PART = 1 << 14  # rows in one save


class System(NamedTuple):
    """An opened index, and how it came to be."""

    name: str
    collection: BaseCollection
    about: dict[str, Any]


def seconds(call: Callable[[], Any]) -> float:
    """That a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def built(store: str, kind: str, vectors: Vectors, texts: list[str], work: Path) -> System:
    """Built in parts, opened, and changed by one row."""
    options = {"store": store} | ({"uri": str(work / "milvus.db")} if store == "milvus" else {})
    place = Path(f"of_{kind}") if store == "milvus" else work / f"folder-{kind}"
    collection = new_collection(vectors.shape[1], kind, **options)

    def build() -> None:
        for at in range(0, len(vectors), PART):
            part = vectors[at : at + PART]
            metadata = [{"tenth": (at + i) % 10, "number": at + i} for i in range(len(part))]
            collection.add(texts[at : at + PART], part, metadata=metadata)
            collection.save(place, structure=False)
        collection.compact()

    def add_one() -> None:
        opened.add(["one more"], vectors[:1])
        opened.save()

    def delete_one() -> None:
        opened.delete([len(vectors)])
        opened.save()

    about: dict[str, Any] = {"build_seconds": seconds(build)}
    began = time.perf_counter()
    opened = open_collection(place, **options)
    about |= {"open_seconds": time.perf_counter() - began}
    about |= {"add_one_seconds": seconds(add_one), "delete_one_seconds": seconds(delete_one)}
    info = opened.info()
    about |= {"disk_bytes": info.bytes}
    if info.structure is not None:
        about |= {"tuned_recall": info.structure.recall, "effort": info.structure.effort}
    return System(f"{store}, {kind}", opened, about)


def measured(systems: list[System], vectors: Vectors, queries: Vectors) -> list[dict[str, Any]]:
    """Recall, and times of systems that take turns."""
    least = exact_nearest(queries, vectors, K).scores[:, -1:] - 1e-5
    times: dict[tuple[str, bool], list[float]] = {}
    recall = {}
    for system in systems:
        hits = system.collection.search(queries, K)  # also warms it up
        scores = np.array([[hit.score for hit in own] + [-1.0] * (K - len(own)) for own in hits])
        recall[system.name] = float(np.minimum((scores >= least).sum(1), K).mean() / K)
    for turn in range(ROUNDS):
        for system in systems:
            for filtered in (False, True):
                condition = FILTER if filtered else None
                for query in queries[turn * SINGLE : (turn + 1) * SINGLE]:
                    began = time.perf_counter()
                    system.collection.search(query[None], K, filter=condition)
                    times.setdefault((system.name, filtered), []).append(time.perf_counter() - began)
    lines = []
    for system in systems:
        line: dict[str, Any] = {"name": system.name, "recall_at_10": recall[system.name]}
        for filtered, name in ((False, ""), (True, "filtered_")):
            own = sorted(times[system.name, filtered])
            line[f"{name}p50_milliseconds"] = 1e3 * statistics.median(own)
            line[f"{name}p99_milliseconds"] = 1e3 * own[int(0.99 * len(own))]
        lines.append(line | system.about)
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--work", type=Path, help="folder to keep vectors and indexes in")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(exist_ok=True)
        texts = sentences(data_folder())
        vectors = encoded(texts, work)
        queries, rest = vectors[:QUERIES].copy(), vectors[QUERIES : QUERIES + arguments.rows].copy()
        texts = texts[QUERIES : QUERIES + arguments.rows]
        own = work / "stores"
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()
        systems = [built(store, kind, rest, texts, own) for store, kinds in KINDS.items() for kind in kinds]
        versions = {name: version(name) for name in ("pymilvus", "milvus-lite")}
        lines = measured(systems, rest, queries)
        write_result("milvus", {"rows": len(rest), "queries": QUERIES, "milvus": versions, "systems": lines})


if __name__ == "__main__":
    main()
