"""From texts to vectors: each distinct text once, tokens a chunk ahead of the forward passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from simcse_kit.encoder.backends.interface import Backend, OnBatch
from simcse_kit.encoder.tokens import TokenTable

CHUNK = 1 << 14  # texts that are sorted by length together: batches of one length, and tokens that fit in memory


class Embedded(NamedTuple):
    """The vectors of N texts."""

    vectors: Tensor  # (N, D) float32
    distinct: int  # texts
    truncated: int  # of these, how many were longer than the limit and were cut


def embed_texts(
    texts: Sequence[str],
    tokenize: Callable[[Sequence[str]], TokenTable],
    backend: Backend,
    dimension: int,
    *,
    batch_size: int | None = None,
    prompt_length: int = 0,
    output_device: torch.device,
    on_batch: OnBatch = None,
) -> Embedded:
    """Vectors of N texts in their order, on ``output_device``.

    Equal texts are encoded once. While the backend runs a chunk of texts, a thread tokenizes the next: the Rust
    tokenizer does not hold Python's lock.
    """
    numbers: dict[str, int] = {}
    rows = [numbers.setdefault(text, len(numbers)) for text in texts]
    distinct = list(numbers)
    if on_batch is not None and len(distinct) < len(texts):
        on_batch(len(texts) - len(distinct))
    out = torch.empty((len(distinct), dimension), dtype=torch.float32, device=output_device)
    truncated = 0
    with ThreadPoolExecutor(1) as ahead:
        tokens = tokenize(distinct[:CHUNK])
        for start in range(0, len(distinct), CHUNK):
            stop = start + CHUNK
            pending = ahead.submit(tokenize, distinct[stop : stop + CHUNK]) if stop < len(distinct) else None
            truncated += tokens.truncated
            backend.embed(
                tokens, out[start:stop], batch_size=batch_size, prompt_length=prompt_length, on_batch=on_batch
            )
            if pending is not None:
                tokens = pending.result()
    vectors = out if len(distinct) == len(texts) else out[torch.tensor(rows, device=output_device)]
    return Embedded(vectors, len(distinct), truncated)
