"""Running the encoder with PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor

from simcse_kit.backends.interface import OnBatch
from simcse_kit.encoder.modules import Encoder
from simcse_kit.tokens import TokenTable, length_batches, pad

MAX_TOKENS = 4096  # of a batch, with padding: enough for the matrix products, little enough for the cache


class TorchBackend:
    """The encoder where its weights are, in evaluation mode; its mode is put back afterwards.

    ``pad_id`` fills up shorter sentences.
    """

    name = "torch"

    def __init__(self, encoder: Encoder, pad_id: int) -> None:
        self.encoder = encoder
        self.pad_id = pad_id

    def embed(
        self,
        tokens: TokenTable,
        out: Tensor,
        *,
        batch_size: int | None = None,
        prompt_length: int = 0,
        on_batch: OnBatch = None,
    ) -> None:
        """See `Backend.embed`."""
        encoder = self.encoder
        device = next(encoder.parameters()).device
        was_training = encoder.training
        encoder.eval()
        try:
            with torch.inference_mode():
                for indices in length_batches(tokens.lengths, batch_size, MAX_TOKENS):
                    ids, mask = pad(tokens.rows(indices), self.pad_id)
                    pool_mask = None
                    if prompt_length:
                        pool_mask = torch.ones_like(ids) if mask is None else mask.clone()
                        pool_mask[:, :prompt_length] = 0
                    vectors = encoder(
                        ids.to(device),
                        None if mask is None else mask.to(device),
                        None if pool_mask is None else pool_mask.to(device),
                    )
                    out[torch.from_numpy(indices).to(out.device)] = vectors.to(out.device, torch.float32)
                    if on_batch is not None:
                        on_batch(len(indices))
        finally:
            encoder.train(was_training)
