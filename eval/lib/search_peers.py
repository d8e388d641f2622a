"""Approximate search beside hnswlib, usearch, ScaNN and LanceDB, each in a process of its own: see search.py.

Each is built once, and searched on one core and on two. Its settings are tried on held-out sentences, and the one that
answers them fastest with the recall that is asked for is measured on others. Peers find rows; ours fetches their texts
too. Memory is what the process gains of its own from before it opens the index (RssAnon). A vector is then added, and
the process is killed once the library has said it is done.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from simcse_kit.types import Vectors

TARGETS, CORES, SINGLE, ROUNDS, K = (0.95, 0.99), (1, 2), 200, 5, 10
PEERS = ("hnswlib", "usearch", "scann", "lancedb")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS", "LANCE_CPU_THREADS")


def recall(rows: NDArray[np.int64], queries: Vectors, vectors: Vectors, bound: Vectors) -> float:
    """Share of the 10 nearest: found rows (Q, 10) whose score reaches the bound (Q,) of the last right one."""
    found = np.sort(rows, axis=1)  # the same row twice counts once
    new = np.concatenate([np.ones((len(found), 1), bool), found[:, 1:] != found[:, :-1]], axis=1) & (found >= 0)
    scores = np.einsum("qkd,qd->qk", vectors[np.maximum(found, 0)], queries)
    return float(((scores >= bound[:, None] - 1e-5) & new).sum(1).mean() / rows.shape[1])


class Worker:
    """A system in its process, on ``cores`` cores."""

    def __init__(self, python: str, name: str, folder: Path, cores: int) -> None:
        command = [python, str(Path(__file__).with_name("search_worker.py")), name, str(folder)]
        allowed = sorted(os.sched_getaffinity(0))[:cores]
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  # no pipe: LanceDB's warnings fill it
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env=os.environ | dict.fromkeys(_THREADS, str(cores)),
            preexec_fn=lambda: os.sched_setaffinity(0, allowed),
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()
        self._said.close()

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """The answer to a request."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:  # a library may print before
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))  # type: ignore[no-any-return]
        self._said.seek(0)
        raise SystemExit(f"{self.process.args}: has ended\n{self._said.read()[-2000:]}")


class Corpus:
    """Vectors with queries to tune by and others to measure by, as files; and what an exact search finds."""

    def __init__(self, folder: Path, vectors: Vectors, queries: Vectors, tuning: Vectors) -> None:
        folder.mkdir(exist_ok=True)
        self.vectors, self.asked = vectors, {"queries": queries, "tuning": tuning}
        self.files = {"vectors": folder / "vectors.npy", **{name: folder / f"{name}.npy" for name in self.asked}}
        for name, part in {"vectors": vectors, **self.asked}.items():
            np.save(self.files[name], part)
        np.save(folder / "singly.npy", queries[:SINGLE])
        self.files["singly"] = folder / "singly.npy"
        self._bounds = {
            name: faiss.knn(part, vectors, K, metric=faiss.METRIC_INNER_PRODUCT)[0][:, -1]
            for name, part in self.asked.items()
        }

    def search(self, worker: Worker, name: str, setting: Mapping[str, int]) -> tuple[float, float]:
        """(recall, seconds) of one batch."""
        found = worker.ask("search", vectors=str(self.files[name]), setting=setting, singly=False)
        rows = np.array(found["rows"], np.int64)
        return recall(rows, self.asked[name], self.vectors, self._bounds[name]), found["seconds"][0]


class Tried(NamedTuple):
    """What a setting gives on the tuning queries."""

    recall: float
    seconds: float
    setting: Mapping[str, int]


def chosen(tried: Sequence[Tried], target: float) -> Tried:
    """The fastest one with a recall of ``target``, else the one with the most.

    >>> slow, fast, bad = Tried(0.99, 2.0, {}), Tried(0.98, 1.0, {}), Tried(0.5, 0.1, {})
    >>> chosen([slow, fast, bad], 0.95) is fast, chosen([fast, bad], 0.99) is fast
    (True, True)
    """
    good = [one for one in tried if one.recall >= target]
    return min(good, key=lambda one: one.seconds) if good else max(tried, key=lambda one: one.recall)


def measured(worker: Worker, corpus: Corpus, target: float, setting: Mapping[str, int]) -> dict[str, Any]:
    """Of a system on its cores, by the setting for a target."""
    turns = [corpus.search(worker, "queries", setting) for _ in range(ROUNDS)]
    singly = worker.ask("search", vectors=str(corpus.files["singly"]), setting=setting, singly=True)["seconds"]
    return {
        "target": target,
        "setting": setting,
        "recall_at_10": turns[0][0],
        "queries_per_second": len(corpus.asked["queries"]) / statistics.median(seconds for _, seconds in turns),
        "p50_milliseconds": 1e3 * statistics.median(singly),
    }


def system(name: str, python: str, corpus: Corpus, folder: Path) -> dict[str, Any]:
    """All about one; a name like ours:pq:0.99 has its own target."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    files = {name: str(corpus.files[name]) for name in ("vectors", "tuning")}
    with Worker(python, name, folder, max(CORES)) as worker:
        line: dict[str, Any] = {"name": name, "build_seconds": worker.ask("build", **files)["seconds"]}
    line["disk_bytes"] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    targets = [float(name.rpartition(":")[2])] if ":" in name else TARGETS
    line["cores"] = {}
    for cores in CORES:
        with Worker(python, name, folder, cores) as worker:
            before = worker.ask("memory")["own_bytes"]
            settings = worker.ask("open", vectors=files["vectors"])["settings"]
            tried = [Tried(*corpus.search(worker, "tuning", setting), setting) for setting in settings]
            line["cores"][cores] = [
                measured(worker, corpus, target, chosen(tried, target).setting) for target in targets
            ]
            line["own_bytes"] = worker.ask("memory")["own_bytes"] - before
            if name.startswith("ours"):
                line["milliseconds_of_a_query"] = worker.ask("split", vectors=str(corpus.files["singly"]))
    line |= killed(name, python, corpus, folder)
    print(line, flush=True)
    return line


def killed(name: str, python: str, corpus: Corpus, folder: Path) -> dict[str, Any]:
    """Whether a vector is still there when the process is killed after the library said that it was added."""
    vectors = str(corpus.files["vectors"])
    with Worker(python, name, folder, max(CORES)) as worker:
        count = worker.ask("open", vectors=vectors)["count"]
        try:
            seconds = worker.ask("add", vectors=str(corpus.files["queries"]))["seconds"]
        except SystemExit as error:
            return {"add_survives_kill": None, "add_error": str(error).strip().splitlines()[-1]}
    with Worker(python, name, folder, max(CORES)) as worker:  # leaving the block above is a kill -9
        return {
            "add_one_seconds": seconds,
            "add_survives_kill": worker.ask("open", vectors=vectors)["count"] == count + 1,
        }


def side_by_side(corpus: Corpus, kind: str, peers: Mapping[str, str], work: Path) -> list[dict[str, Any]]:
    """Ours, tuned to each target, and the peers, by the Python that has each."""
    ours = {f"ours:{kind}:{target}": sys.executable for target in TARGETS}
    return [
        system(name, python, corpus, work / f"peer-{place}")
        for place, (name, python) in enumerate((ours | dict(peers)).items())
    ]
