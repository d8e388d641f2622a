"""From token states to one vector a sentence: pure functions of hidden states and mask.

Sentences are padded on the right, so position 0 is a sentence's first token. A mask of ``None`` says that every
token counts: batches of one exact length pay for no masking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from simcse_kit.errors import ModelError


def first_token(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """The first kept token, CLS in BERT-like models: (B, L, D), (B, L) -> (B, D)."""
    if mask is None:
        return hidden[:, 0]
    return _token(hidden, mask.int().argmax(dim=1))


def last_token(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """The last kept token, the one that has seen all others in a causal decoder: (B, L, D), (B, L) -> (B, D)."""
    if mask is None:
        return hidden[:, -1]
    last = mask.shape[1] - 1 - mask.int().flip(1).argmax(dim=1)
    return _token(hidden, last)


def _token(hidden: Tensor, index: Tensor) -> Tensor:
    """One token of each row: (B, L, D), (B,) -> (B, D). A trace of it holds for every B."""
    return hidden.gather(1, index.view(-1, 1, 1).expand(-1, 1, hidden.shape[2])).squeeze(1)


def mean(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Average the kept tokens: (B, L, D), (B, L) -> (B, D)."""
    if mask is None:
        return hidden.mean(dim=1)
    weight = mask.unsqueeze(-1).to(hidden.dtype)  # (B, L, 1)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)


def weighted_mean(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Average weighted by position 1..L, later tokens count more (SGPT, Muennighoff, 2022): (B, L, D) -> (B, D)."""
    weight = torch.arange(1, hidden.shape[1] + 1, device=hidden.device, dtype=hidden.dtype).view(1, -1, 1)
    if mask is not None:
        weight = weight * mask.unsqueeze(-1).to(hidden.dtype)  # (B, L, 1)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)


def maximum(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """The largest value of each dimension over the kept tokens: (B, L, D), (B, L) -> (B, D)."""
    if mask is not None:
        hidden = hidden.masked_fill(mask.unsqueeze(-1) == 0, float("-inf"))
    return hidden.amax(dim=1)


def last_occurrence(ids: Tensor, token_id: int) -> Tensor:
    """A mask of the last ``token_id`` in each row, nowhere 1 in a row that has none: (B, L) -> (B, L)."""
    found = (ids == token_id).int()
    return found * (found.flip(1).cumsum(1).flip(1) == 1)


class Pooler(NamedTuple):
    """How one choice of ``pooling`` makes the vector, and how sentence-transformers writes it."""

    pool: Callable[[Tensor, Tensor | None], Tensor]
    layers: tuple[int, ...]  # indices into hidden_states that are averaged first; (-1,) is the output itself
    st_mode: str  # sentence-transformers' Pooling mode
    head: bool  # dense + tanh after the pooled vector
    summary: str
    mask_token: bool = False  # only the last mask token counts


POOLERS: dict[str, Pooler] = {
    "cls": Pooler(first_token, (-1,), "cls", True, "CLS, then dense + tanh"),
    "cls_before_pooler": Pooler(first_token, (-1,), "cls", False, "the bare CLS vector"),
    "mean": Pooler(mean, (-1,), "mean", False, "average of the token vectors (alias: avg)"),
    "avg_top2": Pooler(mean, (-1, -2), "mean", False, "average of the last two layers' tokens"),
    "avg_first_last": Pooler(mean, (1, -1), "mean", False, "average of the first and last layers' tokens"),
    "max": Pooler(maximum, (-1,), "max", False, "largest value of each dimension"),
    "weighted_mean": Pooler(weighted_mean, (-1,), "weightedmean", False, "average weighted by position"),
    "last_token": Pooler(last_token, (-1,), "lasttoken", False, "the last token (decoders)"),
    "mask": Pooler(mean, (-1,), "mean", False, "the mask token of a template (PromptBERT)", mask_token=True),
}
"""The choices of ``pooling`` by name; ``avg`` is another name of ``mean``."""
ALIASES = {"avg": "mean"}


def pooling_name(name: str) -> str:
    """The canonical name of a pooling; an unknown one is a `ModelError` that lists the choices.

    >>> pooling_name("avg")
    'mean'
    """
    name = ALIASES.get(name, name)
    if name not in POOLERS:
        raise ModelError(f"pooling must be one of {', '.join(POOLERS)} (avg is mean); got {name!r}")
    return name


def pool(name: str, hidden_states: Sequence[Tensor], mask: Tensor | None) -> Tensor:
    """Apply pooling ``name`` without its head: L+1 hidden states of (B, L, D), mask (B, L) -> (B, D).

    Where only the output is needed, ``hidden_states`` may hold just that. The mask of pooling ``mask`` is
    `last_occurrence` of the mask token.
    """
    pooler = POOLERS[name]
    states = [hidden_states[index] for index in pooler.layers]
    hidden = states[0] if len(states) == 1 else (states[0] + states[1]) / 2
    return pooler.pool(hidden, mask)
