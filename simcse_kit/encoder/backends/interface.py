"""Interface of the objects that run an encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from simcse_kit.encoder.tokens import TokenTable

if TYPE_CHECKING:
    from torch import Tensor

OnBatch = Callable[[int], object] | None
"""Receives the number of sentences that are done."""


class Backend(Protocol):
    """Runs an encoder, such as with PyTorch or OpenVINO."""

    name: str
    dtype: str

    def embed(
        self,
        tokens: TokenTable,
        out: Tensor,
        *,
        batch_size: int | None = None,
        prompt_length: int = 0,
        on_batch: OnBatch = None,
    ) -> None:
        """Write the vectors of N token sequences into ``out`` (N, D) float32, in order.

        Args:
            tokens: N sequences.
            out: on the CPU, or on the backend's accelerator.
            batch_size: sentences per forward pass; None: an efficient number.
            prompt_length: this many tokens at the start take part in attention but not in pooling.
            on_batch: receives the number of sentences done.
        """
        ...
