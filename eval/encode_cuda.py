"""Encoding on an accelerator, end to end: python eval/encode_cuda.py [--device cuda]

BERT-base (random weights: speed does not depend on them) on sentences of 20 tokens, cut from the Wikipedia sentences.
Sentences a second of sentence-transformers and of ours in bfloat16, which take turns; of the tokenizer alone and of the
forward passes alone, which shows what the limit is; and the cosines between bfloat16 and float32, short and long
sentences mixed. ``--device cpu --layers 2 --texts 512`` tries the script. Writes results/encode_DEVICE.json.
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
from record import data_folder, write_result
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer, BertConfig, BertModel

from simcse_kit import SimCSE
from simcse_kit.data import read_sentences
from simcse_kit.encoder.known import packaged_minilm

TOKENS = 20  # of a sentence, with the special ones
ROUNDS = 5


def bert_base(folder: Path, layers: int) -> None:
    """A model folder: BERT-base's size, MiniLM's tokenizer, which is BERT's."""
    torch.manual_seed(0)
    BertModel(BertConfig(num_hidden_layers=layers)).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(packaged_minilm())
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(folder)


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


def main() -> None:
    """Check, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--texts", type=int, default=200_000)
    parser.add_argument("--layers", type=int, default=12)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    texts = sentences(arguments.texts)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "bert"
        bert_base(folder, arguments.layers)
        exact = SimCSE(folder, pooling="mean", device=arguments.device)
        ours = SimCSE(folder, pooling="mean", device=arguments.device, dtype="bfloat16")
        peer = SentenceTransformer(str(folder), device=arguments.device, model_kwargs={"dtype": torch.bfloat16})
        some = [*texts[:500], *(" ".join(texts[i : i + 1 + i % 9]) for i in range(0, 500, 5))]
        pair = [model.encode(some, normalize_embeddings=True) for model in (exact, ours)]
        plain = [exact.encode([text], normalize_embeddings=True)[0] for text in some[-40:]]
        cosines = (pair[0] * pair[1]).sum(1)
        difference = float(np.abs(pair[0][-40:] - np.stack(plain)).max())
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
    result = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else arguments.device,
        "cpu_cores": os.cpu_count(),
        "texts": len(texts),
        "tokens_a_text": TOKENS,
        "layers": arguments.layers,
        "sentences_per_second": {name: len(texts) / statistics.median(taken) for name, taken in found.items()},
        "bfloat16_to_float32": {"lowest_cosine": float(cosines.min()), "mean_cosine": float(cosines.mean())},
        "largest_difference_to_one_at_a_time": difference,
    }
    print(result)
    write_result(f"encode_{device.type}", result)


if __name__ == "__main__":
    main()
