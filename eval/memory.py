"""Peak memory of large batches in mini-batches: python eval/memory.py

One epoch of one step: 4,096 sentences of 32 tokens, MiniLM, each with its twin (8,192 in all), ``mini_batch_size`` 128.
Writes results/memory.json.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

from lib.arguments import parser
from lib.record import data_folder, write_result

from simcse_kit import train_unsup
from simcse_kit.data import read_sentences

BATCH, TOKENS, MINI = 4096, 32, 128


def main() -> None:
    """Train one step and read the peak."""
    parser(__doc__).parse_args()
    words = " ".join(read_sentences(data_folder() / "train/wiki_sentences.txt").column(0)).split()
    sentences = [" ".join(words[i * 40 : i * 40 + 40]) for i in range(BATCH)]  # cut at 32 tokens, all full
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        train_unsup(
            sentences,
            Path(folder) / "run",
            model="all-MiniLM-L6-v2",
            pooling="cls_before_pooler",
            batch_size=BATCH,
            mini_batch_size=MINI,
            max_seq_length=TOKENS,
            device="cpu",
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {
        "batch_size": BATCH,
        "mini_batch_size": MINI,
        "tokens": TOKENS,
        "peak_gib": peak / 2**20,
        "before_gib": before / 2**20,
        "seconds": time.perf_counter() - began,
    }
    print(result)
    print(write_result("memory", result))


if __name__ == "__main__":
    main()
