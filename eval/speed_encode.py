"""Encoding speed compared with other libraries: python eval/speed_encode.py [--peer NAME=PYTHON ...] [--base FOLDER]

MiniLM with mean pooling on the CPU: 6,000 STS sentences; a corpus of mixed lengths (8 to 256 tokens); single queries.
Every system has its own process; they alternate in several rounds; results are medians, and ratios are taken per round.
Each also encodes the seven tasks: their average, and the cosines to the float32 vectors of sentence-transformers.
PYTHON is the interpreter of a virtual environment with that peer: ``fastembed``; ``onnxruntime`` or ``ctranslate2``
with ``tokenizers``; ``sentence-transformers[openvino]``, which needs another transformers. Only named peers are
measured. This environment, with the extra ``onnx``, writes the peers' files.

``--base``: instead a base-sized model with mean pooling in that folder, such as all-mpnet-base-v2, a sixth of the
texts, cosines on the short ones. ``--share 0.02`` tests the script. Writes results/speed_encode.json, or
results/speed_encode_base.json.
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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lib.encode_peers import write_ctranslate2, write_onnx
from lib.peers import named_python
from lib.record import data_folder, write_result
from lib.sizes import Size, limit

from simcse_kit import evaluate_sts
from simcse_kit.data import read_sentences
from simcse_kit.encoder.known import packaged_minilm
from simcse_kit.evaluation.sts import load_sts, load_sts_benchmark
from simcse_kit.types import Vectors

SHORT, MIXED, QUERIES = 6000, 1200, 200
BASE_SHARE = 1 / 6  # share of the texts for a model that takes several times as long


class System(NamedTuple):
    """Timed texts."""

    library: str
    backend: str  # backend of a library that has several; else the library's name
    dtype: str

    @property
    def name(self) -> str:
        """Name in the table."""
        return f"{self.library} {self.dtype}" if self.backend == self.library else " ".join(self)


PEER = System("sentence-transformers", "torch", "float32")
PEER_OPENVINO = System("sentence-transformers", "openvino", "bfloat16")
OURS = [
    System("ours", backend, dtype)
    for backend, dtypes in (("torch", ("float32", "bfloat16")), ("openvino", ("float32", "bfloat16", "int8")))
    for dtype in dtypes
]
PEERS = {
    "sentence-transformers": [PEER_OPENVINO],
    **{
        name: [System(name, name, dtype) for dtype in ("float32", "int8")]
        for name in ("fastembed", "onnxruntime", "ctranslate2")
    },
}


class Start(NamedTuple):
    """Command line of a system."""

    python: str
    model: str  # folder in the system's format


class Worker:
    """A system in its process."""

    def __init__(self, system: System, start: Start) -> None:
        worker = str(Path(__file__).parent / "lib" / "encode_worker.py")
        command = [start.python, worker, system.library, start.model, system.backend, system.dtype]
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
        for line in self.process.stdout:  # libraries may print first
            if line.startswith(("ready", '{"seconds"')):
                return line
        raise SystemExit(f"{self.process.args}: has ended")

    def encode(self, texts: Path, *, vectors: Path | None = None, singly: bool = False) -> dict[str, Any]:
        """Seconds (one, or one per text) and peak memory."""
        assert self.process.stdin is not None
        request = {"texts": str(texts), "vectors": None if vectors is None else str(vectors), "singly": singly}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self._answer())  # type: ignore[no-any-return]


def corpora(data: Path, share: float = 1.0) -> dict[str, list[str]]:
    """Texts by task; the mixed ones are runs of sentences with evenly spread lengths."""
    from transformers import AutoTokenizer

    draw = random.Random(0)
    subsets = [subset.pairs for task in load_sts(data) for subset in task.subsets]
    everything = (text for pairs in (*subsets, *load_sts_benchmark(data)) for text in (*pairs.first, *pairs.second))
    sts = sorted({" ".join(text.split()) for text in everything})  # as in the protocol
    draw.shuffle(sts)
    wiki = read_sentences(data / "train/wiki_sentences.txt").column(0)
    tokenizer = AutoTokenizer.from_pretrained(packaged_minilm())
    words = " ".join(wiki).split()
    mixed = []
    for _ in range(round(share * MIXED)):
        tokens, start = draw.randint(8, 256), draw.randrange(len(words) - 300)
        ids = tokenizer(" ".join(words[start : start + tokens]), truncation=True, max_length=tokens)["input_ids"]
        mixed.append(tokenizer.decode(ids, skip_special_tokens=True))
    short, queries = sts[: round(share * SHORT)], wiki[: round(share * QUERIES)]
    return {"short": short, "mixed": mixed, "query": queries, "seven tasks": sts if share == 1 else short}


def tokens_of(texts: Sequence[str], model: str) -> int:
    """Tokens with the special ones."""
    from transformers import AutoTokenizer

    return sum(map(len, AutoTokenizer.from_pretrained(model)(list(texts))["input_ids"]))


def quality(texts: list[str], vectors: Vectors, reference: Vectors, data: Path | None) -> dict[str, float]:
    """Cosines to the reference; with ``data`` also the seven-task average."""
    cosines = (vectors * reference).sum(1)
    found = {"lowest_cosine": float(cosines.min()), "mean_cosine": float(cosines.mean())}
    if data is not None:
        place = {text: i for i, text in enumerate(texts)}
        result = evaluate_sts(lambda sentences: vectors[[place[text] for text in sentences]], data)
        found = {"seven_tasks": result.scores["avg"]} | found
    return found


def starts(model: str, peers: dict[str, str], folder: Path) -> dict[System, Start]:
    """Start command of each system; writes the peers' files into ``folder``."""
    found = {system: Start(sys.executable, model) for system in (PEER, *OURS)}
    onnx = write_onnx(model, folder / "onnx") if {"fastembed", "onnxruntime"} & peers.keys() else None
    for name, python in peers.items():
        own: str | None = model
        if name in ("fastembed", "onnxruntime"):
            own = onnx
        elif name == "ctranslate2":
            own = write_ctranslate2(model, folder / "ctranslate2", python)
        if own is not None:
            found |= {system: Start(python, own) for system in PEERS[name]}
    return found


def against(seconds: dict[str, dict[System, list[float]]]) -> list[dict[str, Any]]:
    """Our fastest system in each format against the peers' fastest in float32, in int8 against each of theirs."""
    found = []
    for dtype in ("float32", "bfloat16", "int8"):
        medians = {system: statistics.median(taken) for system, taken in seconds["short"].items()}
        ours = min((system for system in OURS if system.dtype == dtype), key=lambda system: medians[system])
        theirs = [system for system in medians if system.library != "ours"]
        if dtype == "int8":
            chosen = [system for system in theirs if system.dtype == dtype]
        else:
            chosen = [min((system for system in theirs if system.dtype == "float32"), key=lambda own: medians[own])]
        for peer in chosen:
            ratios = {name: _ratio(seconds[name][peer], seconds[name][ours]) for name in ("short", "mixed")}
            found.append({"ours": ours.name, "peer": peer.name, **ratios})
    return found


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=named_python(PEERS), action="append", default=[], help="NAME=PYTHON; repeatable")
    parser.add_argument("--base", help="folder of a base-sized model")
    parser.add_argument("--share", type=float, help="of the texts; default 1, of a base-sized model 1/6")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    data, model = data_folder(), arguments.base or str(packaged_minilm())
    share = arguments.share or (BASE_SHARE if arguments.base else 1.0)
    texts, size = corpora(data, share), Size.of(model)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = {name: folder / f"{name}.json" for name in texts}
        for name, file in files.items():
            file.write_text(json.dumps(texts[name]), encoding="utf-8")
        given = starts(model, dict(arguments.peer), folder)
        workers = {system: Worker(system, start) for system, start in given.items()}
        scores: dict[System, dict[str, float]] = {}
        for system, worker in workers.items():  # before the timing, as warm-up
            worker.encode(files["seven tasks"], vectors=folder / f"{len(scores)}.npy")
            vectors, reference = np.load(folder / f"{len(scores)}.npy"), np.load(folder / "0.npy")
            scores[system] = quality(texts["seven tasks"], vectors, reference, data if share == 1 else None)
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
    limits = {
        str(dtype).removeprefix("torch."): limit(dtype, size) for dtype in (torch.float32, torch.bfloat16, torch.int8)
    }
    counts = {name: tokens_of(texts[name], model) for name in ("short", "mixed")}
    result: dict[str, Any] = {
        "model": Path(arguments.base).resolve().name if arguments.base else "all-MiniLM-L6-v2",
        "matrix_product_gflops": limits,
        "texts": {name: {"texts": len(texts[name]), "tokens": counts[name]} for name in counts},
        "against": against(seconds),
        "systems": [],
    }
    for system in given:
        kind = "OURS" if system.library == "ours" else "PEER"
        line: dict[str, Any] = {"name": system.name, "kind": kind, **system._asdict(), "peak_bytes": peaks[system]}
        for name in ("short", "mixed"):
            taken = seconds[name][system]
            line[name] = {
                "sentences_per_second": len(texts[name]) / statistics.median(taken),
                "ratio": _ratio(seconds[name][PEER], taken),
            }
            reached = counts[name] * size.mflop / 1e3 / statistics.median(taken)
            line[name]["share_of_limit"] = reached / limits[system.dtype]
            if PEER_OPENVINO in given:
                line[name]["ratio_to_peer_openvino"] = _ratio(seconds[name][PEER_OPENVINO], taken)
        line["query"] = {
            "milliseconds": 1e3 * statistics.median(seconds["query"][system]),
            "ratio": _ratio(seconds["query"][system], seconds["query"][PEER]),
        }
        line |= scores[system]
        result["systems"].append(line)
    if share in (1, BASE_SHARE):
        print(write_result("speed_encode_base" if arguments.base else "speed_encode", result))
    else:
        print(json.dumps(result, indent=2))


def _ratio(one: list[float], other: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    main()
