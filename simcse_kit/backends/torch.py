"""Running the encoder with PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from simcse_kit.encoder.modules import Encoder
from simcse_kit.tokens import TokenTable, length_batches, pad


def embed(
    encoder: Encoder,
    tokens: TokenTable,
    *,
    batch_size: int,
    pad_id: int,
    prompt_length: int = 0,
    output_device: str | torch.device = "cpu",
    on_batch: Callable[[int], object] | None = None,
) -> Tensor:
    """Vectors of N token sequences in their order: (N, D) float32, on ``output_device``.

    The encoder runs where its weights are, in evaluation mode; its mode is put back afterwards. The first
    ``prompt_length`` tokens take part in attention but not in pooling. ``on_batch`` hears how many were done.
    """
    device = next(encoder.parameters()).device
    lengths = tokens.lengths
    out = torch.empty((len(lengths), encoder.dimension), dtype=torch.float32, device=output_device)
    was_training = encoder.training
    encoder.eval()
    try:
        with torch.inference_mode():
            for indices in length_batches(lengths, batch_size):
                ids, mask = pad(tokens.rows(indices), pad_id)
                pool_mask = None
                if prompt_length:
                    pool_mask = torch.ones_like(ids) if mask is None else mask.clone()
                    pool_mask[:, :prompt_length] = 0
                vectors = encoder(
                    ids.to(device),
                    None if mask is None else mask.to(device),
                    None if pool_mask is None else pool_mask.to(device),
                )
                out[torch.from_numpy(indices).to(output_device)] = vectors.to(output_device, torch.float32)
                if on_batch is not None:
                    on_batch(len(indices))
    finally:
        encoder.train(was_training)
    return out
