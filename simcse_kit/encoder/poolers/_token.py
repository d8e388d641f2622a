"""One token of each row."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def token(hidden: Tensor, index: Tensor) -> Tensor:
    """One token of each row: (B, L, D), (B,) -> (B, D). A trace of it holds for every B."""
    return hidden.gather(1, index.view(-1, 1, 1).expand(-1, 1, hidden.shape[2])).squeeze(1)
