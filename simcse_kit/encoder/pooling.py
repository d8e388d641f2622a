"""From token states to one vector per sentence, by the name of the pooling.

Sentences are padded on the right, so position 0 is the first token. A mask of ``None`` means that every token counts:
batches of one exact length need no masking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from simcse_kit.encoder import poolers
from simcse_kit.encoder.poolers import Pooler

if TYPE_CHECKING:
    from torch import Tensor

POOLERS: Mapping[str, Pooler] = poolers.POOLERS.by_name()
"""The choices of ``pooling`` by name; ``avg`` is another name of ``mean``."""


def pooling_name(name: str) -> str:
    """The recorded name of a pooling. Raises a `ModelError` with the choices for an unknown one.

    ``module:attribute`` of a user's own `Pooler` is imported, and its name stays.

    >>> pooling_name("avg")
    'mean'
    """
    return poolers.POOLERS.canonical(name)


def recorded_pooling(name: str, *, trust_remote_code: bool = False) -> str:
    """The same for a name from a file: ``module:attribute`` is an error without ``trust_remote_code``."""
    poolers.POOLERS.get(name, recorded=True, trust_remote_code=trust_remote_code)
    return poolers.POOLERS.canonical(name)


def last_occurrence(ids: Tensor, token_id: int) -> Tensor:
    """Mask of the last ``token_id`` in each row; all 0 in a row without it: (B, L) -> (B, L)."""
    found = (ids == token_id).int()
    return found * (found.flip(1).cumsum(1).flip(1) == 1)


def pool(pooling: str | Pooler, hidden_states: Sequence[Tensor], mask: Tensor | None) -> Tensor:
    """Apply a pooling without its head: L+1 hidden states of (B, L, D), mask (B, L) -> (B, D).

    If only the output is needed, ``hidden_states`` may hold only that. For a pooling that reads a mask token, the mask
    is `last_occurrence` of that token.
    """
    pooler = poolers.POOLERS.get(pooling) if isinstance(pooling, str) else pooling
    states = [hidden_states[index] for index in pooler.layers]
    hidden = states[0] if len(states) == 1 else sum(states[1:], states[0]) / len(states)
    return pooler.pool(hidden, mask)
