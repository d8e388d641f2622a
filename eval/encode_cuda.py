"""Encoding on an accelerator, end to end: python eval/encode_cuda.py [--device cuda]

Encoders of MiniLM's and of BERT-base's size (random weights: speed does not depend on them) on sentences of 20 tokens,
cut from the Wikipedia sentences. First the vectors are checked: float32 against one text at a time, bfloat16 by its
cosines to float32, short and long sentences mixed; where they are wrong, nothing is timed. Then sentences a second of
sentence-transformers and of ours in bfloat16, which take turns; of the tokenizer alone and of the forward passes alone,
which shows what the limit is; tokens a second and their share of the peak. ``--device cpu --layers 2 --texts 512``
tries the script. Writes results/encode_DEVICE.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lib.record import data_folder, write_result
from lib.sizes import SIZES, Size, limit, random_bert, shares
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from simcse_kit import SimCSE
from simcse_kit.data import read_sentences
from simcse_kit.encoder.known import packaged_minilm

TOKENS = 20  # of a sentence, with the special ones
ROUNDS = 5
LOWEST, LARGEST = 0.99, 1e-3  # cosine of bfloat16, difference of float32, beyond which vectors are wrong


def sentences(count: int) -> list[str]:
    """Distinct texts of exactly `TOKENS` tokens, words drawn from the Wikipedia sentences."""
    tokenizer = AutoTokenizer.from_pretrained(packaged_minilm())
    words = " ".join(read_sentences(data_folder() / "train/wiki_sentences.txt").column(0)).split()
    draw = np.random.default_rng(0)
    found: dict[str, None] = {}
    while len(found) < count:
        texts = [" ".join(words[at : at + 2 * TOKENS]) for at in draw.integers(0, len(words) - 2 * TOKENS, 4096)]
        ids = tokenizer(texts, truncation=True, max_length=TOKENS)["input_ids"]
        decoded = tokenizer.batch_decode(ids, skip_special_tokens=True)
        again = tokenizer(decoded)["input_ids"]
        found |= {text: None for text, own in zip(decoded, again, strict=True) if len(own) == TOKENS}
    return list(found)[:count]


def seconds(run: Callable[[], Any], device: torch.device) -> float:
    """Of one call, the device's work included."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def measure(size: Size, texts: list[str], device: torch.device) -> dict[str, Any]:
    """Check and time one size."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = random_bert(Path(temporary) / "bert", size)
        exact = SimCSE(folder, pooling="mean", device=device.type)
        ours = SimCSE(folder, pooling="mean", device=device.type, dtype="bfloat16")
        peer = SentenceTransformer(folder, device=device.type, model_kwargs={"dtype": torch.bfloat16})
        some = [*texts[:500], *(" ".join(texts[i : i + 1 + i % 9]) for i in range(0, 500, 5))]
        pair = [model.encode(some, normalize_embeddings=True) for model in (exact, ours)]
        plain = [exact.encode([text], normalize_embeddings=True)[0] for text in some[-40:]]
        cosines = (pair[0] * pair[1]).sum(1)
        difference = float(np.abs(pair[0][-40:] - np.stack(plain)).max())
        result: dict[str, Any] = {
            "model": f"BERT with random weights, {size.layers} layers of {size.width}",
            "bfloat16_to_float32": {"lowest_cosine": float(cosines.min()), "mean_cosine": float(cosines.mean())},
            "largest_difference_to_one_at_a_time": difference,
        }
        print(result, flush=True)
        if not (cosines.min() > LOWEST and difference < LARGEST):
            return result | {"wrong": True}
        tokens = ours.tokenize(texts)
        out = torch.empty((len(texts), ours.get_embedding_dimension()), device=device)
        parts: dict[str, Callable[[], Any]] = {
            "sentence-transformers bfloat16": lambda: peer.encode(texts, batch_size=1024),
            "ours bfloat16": lambda: ours.encode(texts),
            "the tokenizer alone": lambda: ours.tokenize(texts),
            "the forward passes alone": lambda: ours.backend.embed(tokens, out),
        }
        found: dict[str, list[float]] = {name: [] for name in parts}
        for turn in range(ROUNDS + 1):
            for name, run in parts.items():
                taken = seconds(run, device)
                if turn:
                    found[name].append(taken)
                print(f"round {turn}: {name}: {len(texts) / taken:,.0f} sentences/s", flush=True)
    speeds = {name: len(texts) / statistics.median(taken) for name, taken in found.items()}
    best = limit(torch.bfloat16, size, rows=1 << 14 if device.type == "cuda" else 2048, device=device.type)
    return result | {
        "matrix_product_gflops": {"bfloat16": best},
        "sentences_per_second": speeds,
        "tokens": {
            name: shares(speed * TOKENS, size.mflop, best, device.type)
            for name, speed in speeds.items()
            if name != "the tokenizer alone"
        },
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--texts", type=int, default=200_000)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--layers", type=int, help="instead of the size's own")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    texts = sentences(arguments.texts)
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else arguments.device,
        "cpu_cores": os.cpu_count(),
        "texts": len(texts),
        "tokens_a_text": TOKENS,
    }
    for name in arguments.sizes:
        size = SIZES[name] if arguments.layers is None else SIZES[name]._replace(layers=arguments.layers)
        result[name] = measure(size, texts, device)
        path = Path(tempfile.gettempdir()) / "encode_cpu.json" if device.type == "cpu" else None
        print(write_result(f"encode_{device.type}", result, path), flush=True)
    if any(result[name].get("wrong") for name in arguments.sizes):
        raise SystemExit("the vectors are wrong; nothing was timed for that size")


if __name__ == "__main__":
    main()
