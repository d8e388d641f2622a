"""A BERT-like encoder in numpy for a few texts: no torch import; weights are read from the model's file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcse_kit.encoder.backends.interface import OnBatch
from simcse_kit.encoder.poolers import POOLERS
from simcse_kit.encoder.tokens import TokenTable
from simcse_kit.types import Vectors


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Parameters besides the weights."""

    count: int
    heads: int
    epsilon: float  # of the norms
    first_position: int  # of a sentence
    projects: bool  # embeddings narrower than the layers (ELECTRA)
    prefix: str  # prefix of the names in the file
    post: list[str]  # modules after the pooling: "tanh", "linear" (a Dense), "normalize"


class ArrayBackend:
    """Vectors of texts, one by one, in float32; equal to `TorchBackend`'s up to rounding.

    Args:
        layers: parameters of the model.
        pooling: a pooling with `Pooler.arrays`.
        weights: the model's ``model.safetensors``.
        post: weights of the modules after the pooling, by number and name.
    """

    name = "torch"
    dtype = "float32"

    def __init__(self, layers: Layers, pooling: str, weights: Path, post: Mapping[str, Vectors]) -> None:
        from safetensors import safe_open

        self._layers = layers
        self._pool = POOLERS.get(pooling).arrays
        self._file: Any = safe_open(weights, "np")  # stays valid even if another file replaces it
        self._post = post
        self._kept: dict[str, Vectors] = {}

    def embed(
        self,
        tokens: TokenTable,
        out: Any,
        *,
        batch_size: int | None = None,
        prompt_length: int = 0,
        on_batch: OnBatch = None,
    ) -> None:
        """See `Backend.embed`; ``out`` is an array. A prompt is pooled with its text."""
        assert prompt_length == 0
        for i, ids in enumerate(tokens.rows(range(len(tokens.lengths)))):
            out[i] = self._vector(ids)
            if on_batch is not None:
                on_batch(1)

    def _vector(self, ids: NDArray[np.int32]) -> Vectors:
        assert self._pool is not None
        vector = self._pool(self._states(ids))
        for number, kind in enumerate(self._layers.post):
            if kind == "normalize":
                vector = vector / max(float(np.linalg.norm(vector)), 1e-12)
                continue
            vector = self._post[f"{number}.weight"] @ vector
            if f"{number}.bias" in self._post:
                vector = vector + self._post[f"{number}.bias"]
            vector = np.tanh(vector) if kind == "tanh" else vector
        return vector

    def _states(self, ids: NDArray[np.int32]) -> Vectors:
        """Token ids (L,) to the last layer's states (L, D)."""
        first = self._layers.first_position
        words = np.concatenate([self._rows("embeddings.word_embeddings", int(i)) for i in ids])
        hidden = words + self._rows("embeddings.position_embeddings", first, first + len(ids))
        hidden = self._norm("embeddings.LayerNorm", hidden + self._rows("embeddings.token_type_embeddings", 0))
        if self._layers.projects:
            hidden = self._linear("embeddings_project", hidden)
        for layer in range(self._layers.count):
            hidden = self._layer(f"encoder.layer.{layer}", hidden)
        return hidden

    def _layer(self, name: str, hidden: Vectors) -> Vectors:
        """One layer, post-norm: (L, D) -> (L, D)."""
        query, key, value = (
            self._linear(f"{name}.attention.self.{part}", hidden)
            .reshape(len(hidden), self._layers.heads, -1)
            .transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )  # (H, L, D/H) each
        scores = query @ key.transpose(0, 2, 1) / np.float32(math.sqrt(query.shape[-1]))
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        context = scores / scores.sum(-1, keepdims=True) @ value
        context = context.transpose(1, 0, 2).reshape(len(hidden), -1)
        hidden = self._norm(
            f"{name}.attention.output.LayerNorm", hidden + self._linear(f"{name}.attention.output.dense", context)
        )
        inner = _gelu(self._linear(f"{name}.intermediate.dense", hidden))
        return self._norm(f"{name}.output.LayerNorm", hidden + self._linear(f"{name}.output.dense", inner))

    def _linear(self, name: str, x: Vectors) -> Vectors:
        return x @ self._weight(f"{name}.weight").T + self._weight(f"{name}.bias")

    def _norm(self, name: str, x: Vectors) -> Vectors:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(self._layers.epsilon))
        return x * self._weight(f"{name}.weight") + self._weight(f"{name}.bias")

    def _weight(self, name: str) -> Vectors:
        if name not in self._kept:
            self._kept[name] = self._file.get_tensor(self._layers.prefix + name).astype(np.float32, copy=False)
        return self._kept[name]

    def _rows(self, name: str, start: int, stop: int | None = None) -> Vectors:
        """Rows of a table that is not read as a whole."""
        table = self._file.get_slice(f"{self._layers.prefix}{name}.weight")
        rows: Vectors = table[start : start + 1 if stop is None else stop].astype(np.float32, copy=False)
        return rows


def _gelu(x: Vectors) -> Vectors:
    return x * (0.5 + 0.5 * erf(x * np.float32(math.sqrt(0.5))))


def erf(x: Vectors) -> Vectors:
    """The error function to 5e-7 (Abramowitz and Stegun, 7.1.26); importing scipy takes as long as a query.

    >>> erf(np.array([-1.0, 0.0, 0.5], np.float32)).round(4).tolist()
    [-0.8427000045776367, 0.0, 0.5205000042915344]
    """
    t = 1 / (1 + np.float32(0.3275911) * np.abs(x))
    series = np.zeros_like(t)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(factor)) * t
    found: Vectors = np.copysign(1 - series * np.exp(-x * x), x)
    return found
