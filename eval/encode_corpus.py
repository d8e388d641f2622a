"""Memory over a corpus that does not fit in it: python eval/encode_corpus.py [--rows 10000000]

`encode_files` on a synthetic corpus of short sentences with a tiny random model, in a process whose memory is looked at
every second; it is killed once on the way and goes on. Writes results/encode_corpus.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from lib.record import write_result

from simcse_kit.data.sample import sample_sentences_path
from simcse_kit.encoder.known import packaged_minilm

_RUN = """
import sys
from simcse_kit import SimCSE, encode_files
model = SimCSE(sys.argv[1], pooling="mean", device="cpu")
model.encode(["ready"])
print(open("/proc/self/statm").read().split()[1], flush=True)
counts = encode_files(model, sys.argv[2], sys.argv[3], precision="float16")
print(counts.rows, counts.resumed_at, flush=True)
"""
_PAGE = os.sysconf("SC_PAGE_SIZE")


def tiny_model(folder: Path) -> str:
    """Two layers of width 32 with random weights, and MiniLM's tokenizer."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    BertModel(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(packaged_minilm()).save_pretrained(folder)
    return str(folder)


def corpus(path: Path, rows: int) -> None:
    """Sentences of four to eight words, each with a number, so that all differ."""
    words = sorted({word for line in sample_sentences_path().read_text().splitlines() for word in line.split()})
    draw = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for i in range(rows):
            file.write(f"{' '.join(draw.choices(words, k=draw.randint(4, 8)))} {i}\n")


class Run:
    """The process, and its resident memory by the second."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-c", _RUN, *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.model_bytes = int(self.process.stdout.readline()) * _PAGE  # with the libraries and the model loaded
        self.began = time.perf_counter()
        self.profile: list[dict[str, float]] = []

    def watch(self, journal: Path, *, kill_at: int | None = None) -> None:
        """Until the process ends, or is killed once so many rows are done."""
        while self.process.poll() is None:
            time.sleep(1)
            try:
                pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
                rows = json.loads(journal.read_text())["rows"] if journal.is_file() else 0
            except (OSError, ValueError, IndexError):
                continue  # it has just ended
            seconds = time.perf_counter() - self.began
            self.profile.append({"seconds": round(seconds, 1), "rows": rows, "bytes": pages * _PAGE})
            if kill_at is not None and rows >= kill_at:
                self.process.send_signal(signal.SIGKILL)
                self.process.wait()


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source, output = folder / "corpus.txt", folder / "vectors.npy"
        corpus(source, arguments.rows)
        model = tiny_model(folder / "model")
        journal = folder / ".vectors.npy.encoding" / "journal.json"
        first = Run(model, str(source), str(output))
        first.watch(journal, kill_at=arguments.rows // 2)
        second = Run(model, str(source), str(output))
        second.watch(journal)
        assert second.process.stdout is not None
        rows, resumed_at = map(int, second.process.stdout.read().split())
        vectors = np.load(output, mmap_mode="r")
        result: dict[str, Any] = {
            "rows": rows,
            "resumed_at": resumed_at,
            "shape": list(vectors.shape),
            "corpus_bytes": source.stat().st_size,
            "output_bytes": output.stat().st_size,
            "seconds": first.profile[-1]["seconds"] + second.profile[-1]["seconds"],
            "model_bytes": first.model_bytes,
            "peak_beyond_the_model_bytes": max(
                max(point["bytes"] for point in run.profile) - run.model_bytes for run in (first, second)
            ),
            "profile": {"killed": _thinned(first.profile), "gone on": _thinned(second.profile)},
        }
    assert rows == arguments.rows == len(vectors)
    print(write_result("encode_corpus", result))


def _thinned(profile: list[dict[str, float]]) -> list[dict[str, float]]:
    """About sixty points of it, enough for a curve; the peak is taken of all."""
    return profile[:: max(1, len(profile) // 60)]


if __name__ == "__main__":
    main()
