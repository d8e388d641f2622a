"""Ten minutes of every kind of request, and the memory of the server meanwhile: python eval/soak.py

Clients ask for vectors, search with filters and maps, add, and send what is refused. The memory of the server is read
twice a second. What counts is the second half: a server that has met every kind of request holds no more at the end.
Writes results/soak.json.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

from simcse_kit import build_index
from simcse_kit.data import sample_sentences_path

CLIENTS, SECONDS, MODEL = 8, 600.0, "all-MiniLM-L6-v2"


class Request(NamedTuple):
    """What a client sends."""

    method: str
    path: str
    body: Any = None


class Soak(NamedTuple):
    """Memory over the time, and what was answered."""

    mib: list[float]  # of the server, twice a second
    statuses: dict[str, int]  # answers by status

    @property
    def growth(self) -> float:
        """Of the second half: the median of its last fifth over that of its first, less 1."""
        half = self.mib[len(self.mib) // 2 :]
        fifth = max(1, len(half) // 5)
        return statistics.median(half[-fifth:]) / statistics.median(half[:fifth]) - 1


def request(rng: random.Random, sentences: list[str], model: str) -> Request:
    """One of many kinds, with texts of all lengths and numbers; one in fifty adds, one in twelve is refused."""
    texts = [" ".join(rng.sample(sentences, rng.choice((1, 1, 1, 2, 3))))[: rng.choice((30, 100, 400))]]
    texts += rng.sample(sentences, rng.choice((0, 0, 0, 1, 3, 8, 30)))
    number = rng.randrange(1000)
    kinds = {
        "vectors": Request("POST", "/v1/embeddings", {"model": model, "input": texts[:16]}),
        "embed": Request("POST", "/embed", {"inputs": texts, "truncate": True}),
        "similarity": Request("POST", "/similarity", {"sentences": texts}),
        "search": Request("POST", "/search", {"queries": texts, "k": rng.choice((1, 5, 10, 50))}),
        "filtered": Request(
            "POST", "/search", {"queries": texts[0], "filter": {"$or": [{"n": {"$gte": number}}, {"n": number // 2}]}}
        ),
        "on the map": Request("POST", "/search", {"queries": texts[0], "map": "pca"}),
        "similar": Request("POST", "/similar", {"id": rng.randrange(100)}),
        "read": Request(
            "GET", rng.choice(("/", "/info", "/map", "/health", "/metrics", "/v1/models", "/openapi.json"))
        ),
        "refused": rng.choice(
            (
                Request("POST", "/search", {"queries": [number] * 1000}),
                Request("POST", "/search", {"queries": "a", "filter": {"unknown": number}}),
                Request("POST", "/v1/embeddings", {"model": f"model {number}", "input": "a"}),
                Request("GET", f"/nothing/{number}"),
            )
        ),
        "add": Request("POST", "/add", {"sentences": texts[:3], "metadata": [{"n": number}] * len(texts[:3])}),
    }
    weights = (10, 10, 4, 10, 6, 4, 4, 4, 5, 1)
    return kinds[rng.choices(list(kinds), weights)[0]]


def soak(url: str, process: int, sentences: list[str], model: str, seconds: float, clients: int = CLIENTS) -> Soak:
    """Let clients ask for ``seconds``, and read the memory of the server's process meanwhile."""
    until = time.monotonic() + seconds
    statuses: Counter[str] = Counter()

    def ask(number: int) -> None:
        rng = random.Random(number)
        with httpx.Client(base_url=url, timeout=120) as client:
            while time.monotonic() < until:
                method, path, body = request(rng, sentences, model)
                statuses[str(client.request(method, path, json=body).status_code)] += 1

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(clients)]
    for thread in threads:
        thread.start()
    server, mib = psutil.Process(process), []
    while any(thread.is_alive() for thread in threads):
        mib.append(server.memory_info().rss / 2**20)
        time.sleep(0.5)
    return Soak(mib, dict(statuses))


@contextmanager
def server(*arguments: str) -> Iterator[tuple[str, int]]:
    """Address and process of ``simcse-kit serve``."""
    command = [sys.executable, "-m", "simcse_kit", "serve", *arguments, "--port", "0", "--writable"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"http://[\d.]+:\d+", line):
                threading.Thread(target=process.stderr.read, daemon=True).start()
                yield found[0], process.pid
                return
        raise SystemExit("the server did not start")
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Soak, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long clients ask")
    parser.add_argument("--model", default=MODEL, help="a folder or hub name")
    arguments = parser.parse_args()
    sentences = sample_sentences_path().read_text(encoding="utf-8").splitlines()
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "soak"
        build_index(arguments.model, sample_sentences_path(), index)
        with server(str(index)) as (url, process):
            name = httpx.get(f"{url}/v1/models").json()["data"][0]["id"]
            found = soak(url, process, sentences, name, arguments.seconds)
    print(f"{found.mib[0]:.0f} MiB at first, {found.mib[-1]:.0f} at the end; second half {found.growth:+.2%}")
    from lib.record import write_result

    write_result(
        "soak",
        {
            "model": arguments.model,
            "seconds": arguments.seconds,
            "clients": CLIENTS,
            "answers": dict(sorted(found.statuses.items())),
            "mib": {
                "first": round(found.mib[0], 1),
                "middle": round(found.mib[len(found.mib) // 2], 1),
                "last": round(found.mib[-1], 1),
            },
            "growth_of_second_half": round(found.growth, 4),
        },
    )


if __name__ == "__main__":
    main()
