"""Pairs of texts as token ids, for a model that reads both together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.encoder.tokens import CHARACTERS


class TokenPairs(NamedTuple):
    """N pairs of texts, each pair one sequence of tokens."""

    rows: list[dict[str, list[int]]]  # per pair the model's inputs by name: input_ids, token_type_ids
    cut: int  # pairs that exceeded the limit and were cut

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each pair, with special tokens: (N,)."""
        return np.array([len(row["input_ids"]) for row in self.rows], dtype=np.int64)


def tokenize_pairs(tokenizer: Any, firsts: Sequence[str], seconds: Sequence[str], max_length: int | None) -> TokenPairs:
    """Token ids of N pairs with their special tokens, at most ``max_length`` tokens each (None: not cut).

    If a pair is too long, the longer text is cut first, as in sentence-transformers.
    """
    if not firsts:
        return TokenPairs([], 0)
    most = None if max_length is None else CHARACTERS * max_length
    batch = tokenizer(
        [text[:most] for text in firsts],
        [text[:most] for text in seconds],
        truncation=False if max_length is None else "longest_first",
        max_length=max_length,
        padding=False,
        return_attention_mask=False,
        verbose=False,
    )
    names = list(batch.keys())
    rows = [dict(zip(names, values, strict=True)) for values in zip(*batch.values(), strict=True)]
    cut = 0
    if max_length is not None and most is not None:
        for number, (first, second, row) in enumerate(zip(firsts, seconds, rows, strict=True)):
            if len(row["input_ids"]) == max_length:
                cut += _is_cut(tokenizer, batch, number, first, second, max_length)
            else:  # long words may be few tokens
                cut += len(first) > most or len(second) > most
    return TokenPairs(rows, cut)


def _is_cut(tokenizer: Any, batch: Any, number: int, first: str, second: str, max_length: int) -> bool:
    """Whether a pair of the maximum length was cut."""
    if getattr(batch, "encodings", None):
        return bool(batch.encodings[number].overflowing)
    return len(tokenizer(first, second, verbose=False)["input_ids"]) > max_length  # a tokenizer without Rust
