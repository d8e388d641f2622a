"""Reference for fast paths: one sentence at a time, pooled with numpy loops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from simcse_kit.encoder.backbone import quiet_transformers


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def pool_one(pooling: str, states: Sequence[np.ndarray]) -> np.ndarray:
    """Hidden states of one sentence, each (L, D), to (D,); without a head."""
    last = states[-1]
    if pooling in ("cls", "cls_before_pooler"):
        return last[0]
    if pooling == "last_token":
        return last[len(last) - 1]
    if pooling == "max":
        return np.array([max(float(token[d]) for token in last) for d in range(last.shape[1])])
    if pooling == "weighted_mean":
        return sum((i + 1) * token for i, token in enumerate(last)) / sum(i + 1 for i in range(len(last)))
    layers = {"mean": [last], "avg_top2": [states[-1], states[-2]], "avg_first_last": [states[1], states[-1]]}[pooling]
    return sum(sum(layer[i] for layer in layers) / len(layers) for i in range(len(last))) / len(last)


def plain_vectors(folder: Path, pooling: str, sentences: Sequence[str]) -> np.ndarray:
    """(N, D) from ``AutoModel`` and a plain loop; ``cls`` is the model's own ``pooler_output``."""
    from transformers import AutoModel, AutoTokenizer

    with quiet_transformers():
        model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    rows = []
    for sentence in sentences:
        ids = tokenizer(sentence)["input_ids"]
        with torch.no_grad():
            output = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
        if pooling == "cls":
            rows.append(output.pooler_output[0].numpy())
        else:
            rows.append(pool_one(pooling, [state[0].double().numpy() for state in output.hidden_states]))
    return np.stack(rows)
