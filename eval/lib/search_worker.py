"""An index in its own process, timed on request by search_peers.py.

python eval/lib/search_worker.py NAME FOLDER; it runs with the peer's package and numpy, on the cores of the process.
Each line of the input is a request (JSON), each line of the output its answer. NAME is one of `SYSTEMS`, for ours with
the kind and the recall that it tunes itself to: ours:pq:0.99.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

K = 10
NODES = (10, 15, 20, 30, 40, 60, 80, 100, 140, 200, 300, 400, 600, 1000)  # candidates kept by a graph's search
CORES = len(os.sched_getaffinity(0))
Vectors = NDArray[np.float32]
Setting = dict[str, int]


class Index(Protocol):
    """Unit vectors (N, D) in a folder, searched by inner product."""

    settings: Sequence[Setting]  # how it can be searched

    def build(self, vectors: Vectors, folder: Path) -> None:
        """Make it and write it to a folder that is there and empty."""

    def open(self, folder: Path, dimension: int) -> None:
        """Read it, to search and to add to."""

    def search(self, queries: Vectors, setting: Setting) -> NDArray[np.int64]:
        """Rows of the 10 nearest of the queries (Q, D): (Q, 10), -1 for none."""

    def add(self, vector: Vectors) -> None:
        """Add one vector (D,); returns when the library reports that it is done."""

    def __len__(self) -> int: ...


class Ours:
    """This package's `Collection`, with texts; it tunes itself."""

    def __init__(self, kind: str, target: str) -> None:
        self.kind, self.target = kind, float(target)
        self.tuning: Vectors | None = None
        self.settings: Sequence[Setting] = ({},)

    def build(self, vectors: Vectors, folder: Path) -> None:
        from simcse_kit.search import Collection

        collection = Collection(vectors.shape[1], self.kind, self.target)
        collection.queries = self.tuning
        for at in range(0, len(vectors), 1 << 17):
            part = vectors[at : at + (1 << 17)]
            collection.add([f"sentence number {at + i} of the corpus" for i in range(len(part))], part)
            collection.save(folder / "index", structure=False)
        collection.save()

    def open(self, folder: Path, dimension: int) -> None:
        from simcse_kit.search import Collection

        self.collection = Collection.open(folder / "index")

    def search(self, queries: Vectors, setting: Setting) -> NDArray[np.int64]:
        found = [[hit.id for hit in hits] for hits in self.collection.search(queries, K)]
        return np.array([row + [-1] * (K - len(row)) for row in found], np.int64)

    def add(self, vector: Vectors) -> None:
        self.collection.add(["one more"], vector[None])
        self.collection.save()

    def split(self, queries: Vectors) -> dict[str, float]:
        """Milliseconds of a query, by step; medians over single queries."""
        from simcse_kit.search.content import Content

        times: dict[str, list[float]] = {name: [] for name in ("whole", "nearest", "fetch")}
        before = {name: getattr(Content, name) for name in ("nearest", "fetch")}

        def timed(name: str) -> Any:
            def call(*arguments: Any, **named: Any) -> Any:
                with _timed(times[name]):
                    return before[name](*arguments, **named)

            return call

        try:
            for name in before:
                setattr(Content, name, timed(name))
            for query in queries:
                with _timed(times["whole"]):
                    self.collection.search(query[None], K)
        finally:
            for name, plain in before.items():
                setattr(Content, name, plain)
        whole, near, fetch = (1e3 * float(np.median(times[name])) for name in times)
        return {"whole": whole, "vector_search": near, "texts": fetch, "checks_and_objects": whole - near - fetch}

    def __len__(self) -> int:
        return len(self.collection)


class Hnswlib:
    """A graph in memory; a file is written as a whole."""

    settings = tuple({"ef": nodes} for nodes in NODES)

    def build(self, vectors: Vectors, folder: Path) -> None:
        import hnswlib

        self.index = hnswlib.Index("ip", vectors.shape[1])
        self.index.init_index(len(vectors), ef_construction=200, M=16)
        self.index.add_items(vectors, num_threads=CORES)
        self.index.save_index(str(folder / "index.bin"))

    def open(self, folder: Path, dimension: int) -> None:
        import hnswlib

        self.index = hnswlib.Index("ip", dimension)
        self.index.load_index(str(folder / "index.bin"))
        self.index.resize_index(len(self) + 16)  # it refuses more vectors than its capacity
        self.index.set_num_threads(CORES)

    def search(self, queries: Vectors, setting: Setting) -> NDArray[np.int64]:
        self.index.set_ef(setting["ef"])
        return self.index.knn_query(queries, K)[0].astype(np.int64)

    def add(self, vector: Vectors) -> None:
        self.index.add_items(vector[None])

    def __len__(self) -> int:
        return int(self.index.get_current_count())


class Usearch:
    """A graph in memory; a file is written as a whole."""

    settings = tuple({"expansion": nodes} for nodes in NODES)

    def build(self, vectors: Vectors, folder: Path) -> None:
        from usearch.index import Index as Made

        index = Made(ndim=vectors.shape[1], metric="ip", dtype="f32")
        index.add(np.arange(len(vectors)), vectors, threads=CORES)
        index.save(str(folder / "index.usearch"))

    def open(self, folder: Path, dimension: int) -> None:
        from usearch.index import Index as Made

        self.index: Any = Made.restore(str(folder / "index.usearch"))

    def search(self, queries: Vectors, setting: Setting) -> NDArray[np.int64]:
        self.index.expansion_search = setting["expansion"]
        return np.atleast_2d(self.index.search(queries, K, threads=CORES).keys).astype(np.int64)

    def add(self, vector: Vectors) -> None:
        self.index.add(len(self.index), vector)

    def __len__(self) -> int:
        return len(self.index)


class Scann:
    """Lists and quantized codes in memory, whole vectors for the last comparison, as its guide builds it."""

    settings = tuple(
        {"leaves_to_search": leaves, "pre_reorder_num_neighbors": candidates}
        for leaves in (10, 20, 40, 60, 80, 120, 160, 240)
        for candidates in (30, 60, 100, 200, 400)
    )

    def build(self, vectors: Vectors, folder: Path) -> None:
        import scann

        leaves = round(2 * len(vectors) ** 0.5)
        made = scann.scann_ops_pybind.builder(vectors, K, "dot_product")
        made = made.tree(leaves, leaves // 10, training_sample_size=min(len(vectors), 250_000))
        made = made.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(100)
        made.set_n_training_threads(CORES).build().serialize(str(folder))

    def open(self, folder: Path, dimension: int) -> None:
        import scann

        self.index = scann.scann_ops_pybind.load_searcher(str(folder))
        self.index.set_num_threads(CORES)

    def search(self, queries: Vectors, setting: Setting) -> NDArray[np.int64]:
        if len(queries) == 1:
            return self.index.search(queries[0], K, **setting)[0].astype(np.int64)[None]
        batched = self.index.search_batched if CORES == 1 else self.index.search_batched_parallel
        return batched(queries, K, **setting)[0].astype(np.int64)

    def add(self, vector: Vectors) -> None:
        self.index.upsert("more", vector)

    def __len__(self) -> int:
        return int(self.index.size())


class Lancedb:
    """A table on the disk with product-quantized lists, whole vectors for the last comparison."""

    settings = tuple(
        {"nprobes": probes, "refine_factor": factor} for probes in (10, 20, 40, 80, 160) for factor in (2, 5, 15)
    )

    def build(self, vectors: Vectors, folder: Path) -> None:
        import lancedb
        import pyarrow as pa

        width = vectors.shape[1]
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), width)
        rows = pa.table({"row": np.arange(len(vectors)), "vector": column})
        table = lancedb.connect(str(folder)).create_table("rows", rows)
        lists = max(1, round(len(vectors) ** 0.5))
        table.create_index(
            metric="dot",
            vector_column_name="vector",
            index_type="IVF_PQ",
            num_partitions=lists,
            num_sub_vectors=width // 4,
        )

    def open(self, folder: Path, dimension: int) -> None:
        import lancedb

        self.table = lancedb.connect(str(folder)).open_table("rows")

    def search(self, queries: Vectors, setting: Setting) -> NDArray[np.int64]:
        asked = list(queries) if len(queries) > 1 else queries[0]
        search = self.table.search(asked, vector_column_name="vector").limit(K).select(["row", "_distance"])
        found = search.nprobes(setting["nprobes"]).refine_factor(setting["refine_factor"]).to_arrow()
        rows = np.full((len(queries), K), -1, np.int64)
        place = np.array(found["query_index"]) if len(queries) > 1 else np.zeros(len(found), np.int64)
        values = np.array(found["row"])
        for i in range(len(queries)):
            own = values[place == i][:K]
            rows[i, : len(own)] = own
        return rows

    def add(self, vector: Vectors) -> None:
        self.table.add([{"row": len(self), "vector": vector}])

    def __len__(self) -> int:
        return int(self.table.count_rows())


SYSTEMS = {"ours": Ours, "hnswlib": Hnswlib, "usearch": Usearch, "scann": Scann, "lancedb": Lancedb}


@contextmanager
def _timed(times: list[float]) -> Iterator[None]:
    began = time.perf_counter()
    yield
    times.append(time.perf_counter() - began)


def own_bytes() -> int:
    """Memory that no other process can share: RssAnon."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


def answer(index: Index, folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """What one request gives."""
    what = request["do"]
    vectors = np.load(request["vectors"], mmap_mode="r") if "vectors" in request else None
    if what == "build":
        times: list[float] = []
        loaded = np.array(vectors)
        if isinstance(index, Ours):
            index.tuning = np.load(request["tuning"])
        with _timed(times):
            index.build(loaded, folder)
        return {"seconds": times[0]}
    if what == "open":
        assert vectors is not None
        index.open(folder, vectors.shape[1])
        return {"count": len(index), "settings": index.settings}
    if what == "search":
        times, rows = [], np.empty((0, K), np.int64)
        assert vectors is not None
        for some in np.array(vectors)[:, None] if request["singly"] else [np.array(vectors)]:
            with _timed(times):
                rows = index.search(some, request["setting"])
        return {"seconds": times, "rows": [] if request["singly"] else rows.tolist()}
    if what == "split":
        assert isinstance(index, Ours)
        return index.split(np.array(vectors))
    if what == "add":
        times = []
        assert vectors is not None
        with _timed(times):
            index.add(np.array(vectors[0]))
        return {"seconds": times[0], "count": len(index)}
    assert what == "memory"
    return {"own_bytes": own_bytes()}


def main() -> None:
    """Answer until the input ends."""
    name, *settings = sys.argv[1].split(":")
    index = SYSTEMS[name](*settings)
    for line in sys.stdin:
        print("answer " + json.dumps(answer(index, Path(sys.argv[2]), json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
