"""Encoding speed beside sentence-transformers: python eval/speed_encode.py [--peer-python PYTHON]

MiniLM with mean pooling on the CPU: 6,000 STS sentences; a corpus of mixed lengths (8 to 256 tokens); single queries.
Every system has a process of its own; they take turns, several rounds, and figures are medians; ratios are taken round
by round. Each also encodes the seven tasks: their average, and the cosines to the float32 vectors of
sentence-transformers. PYTHON is one of a virtual environment with ``sentence-transformers[openvino]``, which needs
another transformers; without it that line is missing. Writes results/speed_encode.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from record import data_folder, write_result

from simcse_kit import evaluate_sts
from simcse_kit.data import read_sentences
from simcse_kit.encoder.known import packaged_minilm
from simcse_kit.evaluation.sts import load_sts, load_sts_benchmark
from simcse_kit.types import Vectors

LINEAR_MFLOP = 21.2  # of MiniLM's linear layers, a token
SHORT, MIXED, QUERIES = 6000, 1200, 200


class System(NamedTuple):
    """What is timed."""

    kind: str  # OURS or PEER
    backend: str
    dtype: str

    @property
    def name(self) -> str:
        """As the table has it."""
        return f"{'ours' if self.kind == 'OURS' else 'sentence-transformers'} {self.backend} {self.dtype}"


PEER = System("PEER", "torch", "float32")
PEER_OPENVINO = System("PEER", "openvino", "bfloat16")
OURS = [
    System("OURS", backend, dtype)
    for backend, dtypes in (("torch", ("float32", "bfloat16")), ("openvino", ("float32", "bfloat16", "int8")))
    for dtype in dtypes
]


class Worker:
    """A system in its process."""

    def __init__(self, system: System, python: str, model: str) -> None:
        command = [python, str(Path(__file__).with_name("encode_worker.py")), system.kind, model, *system[1:]]
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self._answer()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:  # a library may print before
            if line.startswith(("ready", '{"seconds"')):
                return line
        raise SystemExit(f"{self.process.args}: has ended")

    def encode(self, texts: Path, *, vectors: Path | None = None, singly: bool = False) -> dict[str, Any]:
        """Seconds (one, or one a text) and peak memory."""
        assert self.process.stdin is not None
        request = {"texts": str(texts), "vectors": None if vectors is None else str(vectors), "singly": singly}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self._answer())  # type: ignore[no-any-return]


def corpora(data: Path) -> dict[str, list[str]]:
    """Texts by task; the mixed ones are runs of sentences, whose lengths are spread evenly."""
    from transformers import AutoTokenizer

    draw = random.Random(0)
    subsets = [subset.pairs for task in load_sts(data) for subset in task.subsets]
    everything = (text for pairs in (*subsets, *load_sts_benchmark(data)) for text in (*pairs.first, *pairs.second))
    sts = sorted({" ".join(text.split()) for text in everything})  # as the protocol has it
    draw.shuffle(sts)
    wiki = read_sentences(data / "train/wiki_sentences.txt").column(0)
    tokenizer = AutoTokenizer.from_pretrained(packaged_minilm())
    words = " ".join(wiki).split()
    mixed = []
    for _ in range(MIXED):
        tokens, start = draw.randint(8, 256), draw.randrange(len(words) - 300)
        ids = tokenizer(" ".join(words[start : start + tokens]), truncation=True, max_length=tokens)["input_ids"]
        mixed.append(tokenizer.decode(ids, skip_special_tokens=True))
    return {"short": sts[:SHORT], "mixed": mixed, "query": wiki[:QUERIES], "seven tasks": sts}


def tokens_of(texts: Sequence[str]) -> int:
    """Tokens with the special ones."""
    from transformers import AutoTokenizer

    return sum(map(len, AutoTokenizer.from_pretrained(packaged_minilm())(list(texts))["input_ids"]))


def limit(dtype: torch.dtype) -> float:
    """GFLOP/s of the matrix product, the best of several shapes that the model has."""
    best = 0.0
    for width in (384, 1536):
        a, b = torch.randn(2048, 384, dtype=dtype), torch.randn(384, width, dtype=dtype)
        for _ in range(8):
            began = time.perf_counter()
            for _ in range(20):
                a @ b
            best = max(best, 20 * 2 * a.numel() * width / (time.perf_counter() - began) / 1e9)
    return best


def quality(texts: list[str], vectors: Vectors, reference: Vectors, data: Path) -> dict[str, float]:
    """Seven-task average, and cosines to the reference."""
    place = {text: i for i, text in enumerate(texts)}
    result = evaluate_sts(lambda sentences: vectors[[place[text] for text in sentences]], data)
    cosines = (vectors * reference).sum(1)
    return {
        "seven_tasks": result.scores["avg"],
        "lowest_cosine": float(cosines.min()),
        "mean_cosine": float(cosines.mean()),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="of an environment with sentence-transformers[openvino]")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    data, model = data_folder(), str(packaged_minilm())
    texts = corpora(data)
    systems = [PEER, *OURS, *([PEER_OPENVINO] if arguments.peer_python else [])]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = {name: folder / f"{name}.json" for name in texts}
        for name, file in files.items():
            file.write_text(json.dumps(texts[name]), encoding="utf-8")
        workers = {
            system: Worker(system, arguments.peer_python if system == PEER_OPENVINO else sys.executable, model)
            for system in systems
        }
        scores: dict[System, dict[str, float]] = {}
        for system, worker in workers.items():  # before the timing, which it also warms up
            worker.encode(files["seven tasks"], vectors=folder / f"{len(scores)}.npy")
            vectors, reference = np.load(folder / f"{len(scores)}.npy"), np.load(folder / "0.npy")
            scores[system] = quality(texts["seven tasks"], vectors, reference, data)
            print(f"{system.name}: {scores[system]}", flush=True)
        seconds: dict[str, dict[System, list[float]]] = {name: {} for name in ("short", "mixed", "query")}
        peaks: dict[System, int] = {}
        for turn in range(arguments.rounds):
            for name, by_system in seconds.items():
                for system, worker in workers.items():
                    answer = worker.encode(files[name], singly=name == "query")
                    by_system.setdefault(system, []).append(statistics.median(answer["seconds"]))
                    peaks[system] = answer["peak_bytes"]
                    print(f"round {turn}: {name}, {system.name}: {sum(answer['seconds']):.2f} s", flush=True)
        for worker in workers.values():
            worker.process.kill()
    limits = {"float32": limit(torch.float32), "bfloat16": limit(torch.bfloat16)}
    counts = {name: tokens_of(texts[name]) for name in ("short", "mixed")}
    result: dict[str, Any] = {
        "matrix_product_gflops": limits,
        "texts": {name: {"texts": len(texts[name]), "tokens": counts[name]} for name in counts},
        "systems": [],
    }
    for system in systems:
        line: dict[str, Any] = {"name": system.name, **system._asdict(), "peak_bytes": peaks[system]}
        for name in ("short", "mixed"):
            taken = seconds[name][system]
            line[name] = {
                "sentences_per_second": len(texts[name]) / statistics.median(taken),
                "ratio": _ratio(seconds[name][PEER], taken),
            }
            share = counts[name] * LINEAR_MFLOP / 1e3 / statistics.median(taken)
            line[name]["share_of_limit"] = share / limits["float32" if system.dtype == "float32" else "bfloat16"]
            if PEER_OPENVINO in systems:
                line[name]["ratio_to_peer_openvino"] = _ratio(seconds[name][PEER_OPENVINO], taken)
        line["query"] = {
            "milliseconds": 1e3 * statistics.median(seconds["query"][system]),
            "ratio": _ratio(seconds["query"][system], seconds["query"][PEER]),
        }
        line |= scores[system]
        result["systems"].append(line)
    print(write_result("speed_encode", result))


def _ratio(one: list[float], other: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    main()
