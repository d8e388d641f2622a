"""Serving 32 clients at once, against one at a time and against encoding offline: python eval/serve.py

Every client sends one sentence to POST /v1/embeddings over the loopback, waits for its vector, and sends the next. The
server batches what comes meanwhile; for comparison the same server with batches of one. Servers take turns; the client
shares the machine with them. Writes results/serve.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

from lib.record import data_folder, write_result

from simcse_kit import SimCSE
from simcse_kit.data import read_scored_pairs

MODEL = "all-MiniLM-L6-v2"
SECONDS, ROUNDS, OFFLINE = 5.0, 3, 4096
BACKENDS = (("torch", "bfloat16"), ("openvino", "bfloat16"))
START = """
import sys
from simcse_kit.serving import engines
engines._LARGEST = int(sys.argv.pop(1)) or engines._LARGEST
from simcse_kit.cli import main
sys.argv[0] = "simcse-kit"
main()
"""


@contextmanager
def server(largest: int, backend: str, dtype: str) -> Iterator[tuple[str, int]]:
    """Host and port of ``simcse-kit serve``; ``largest`` sentences in a batch, 0: as it is."""
    command = [sys.executable, "-c", START, str(largest), "serve", MODEL, "--port", "0", "--backend", backend]
    process = subprocess.Popen([*command, "--dtype", dtype], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"http://([\d.]+):(\d+)", line):
                yield found[1], int(found[2])
                return
        raise SystemExit("the server did not start")
    finally:
        process.terminate()
        process.wait()


def request_of(sentence: str) -> bytes:
    """What a client sends."""
    body = json.dumps({"model": MODEL, "input": sentence, "encoding_format": "base64"}).encode()
    head = "POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def client(address: tuple[str, int], requests: Iterator[bytes], until: float, times: list[float]) -> None:
    """Ask, one request after the other, on one connection."""
    reader, writer = await asyncio.open_connection(*address)
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(next(requests))
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(head.decode())
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        await reader.readexactly(int(length[1]))
        times.append(time.perf_counter() - began)
    writer.close()


async def load(address: tuple[str, int], sentences: list[str], clients: int, seconds: float) -> list[float]:
    """Seconds of every answer that so many clients get in that time."""
    requests, times = cycle([request_of(sentence) for sentence in sentences]), list[float]()
    until = time.perf_counter() + seconds
    await asyncio.gather(*(client(address, requests, until, times) for _ in range(clients)))
    return times


def offline(model: SimCSE, sentences: list[str]) -> float:
    """Sentences a second in one call."""
    began = time.perf_counter()
    model.encode(sentences)
    return len(sentences) / (time.perf_counter() - began)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of one round")
    arguments = parser.parse_args()
    pairs = read_scored_pairs(data_folder() / "senteval/STS/STSBenchmark/sts-train.csv")
    sentences = list(dict.fromkeys((*pairs.first, *pairs.second)))[:OFFLINE]
    lines: list[dict[str, Any]] = []
    for backend, dtype in BACKENDS:
        model = SimCSE(MODEL, backend=backend, dtype=dtype)
        offline(model, sentences)
        loads = {"32 clients": (0, 32), "32 clients, batches of one": (1, 32), "1 client": (0, 1)}
        rates: dict[str, list[float]] = {"offline": [], **{name: [] for name in loads}}
        times: dict[str, list[float]] = {name: [] for name in loads}
        with server(0, backend, dtype) as batched, server(1, backend, dtype) as single:
            for turn in range(-1, ROUNDS):  # the first turn warms up
                seconds = 1.0 if turn < 0 else arguments.seconds
                for name, (largest, clients) in loads.items():
                    address = single if largest else batched
                    found = asyncio.run(load(address, sentences, clients, seconds))
                    if turn >= 0:
                        rates[name].append(len(found) / seconds)
                        times[name] += found
                if turn >= 0:
                    rates["offline"].append(offline(model, sentences))
        rate = {name: statistics.median(values) for name, values in rates.items()}
        line: dict[str, Any] = {
            "backend": backend,
            "dtype": dtype,
            "sentences_per_second": rate,
            "batched_over_batches_of_one": rate["32 clients"] / rate["32 clients, batches of one"],
            "batched_over_one_client": rate["32 clients"] / rate["1 client"],
            "batched_over_offline": rate["32 clients"] / rate["offline"],
            "milliseconds": {
                name: {"p50": 1e3 * statistics.median(found), "p99": 1e3 * sorted(found)[int(0.99 * len(found))]}
                for name, found in times.items()
            },
        }
        print(json.dumps(line, indent=2), flush=True)
        lines.append(line)
    write_result("serve", {"model": MODEL, "clients": 32, "seconds": arguments.seconds, "servers": lines})


if __name__ == "__main__":
    main()
