"""Running the encoder with PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from simcse_kit.backends.interface import OnBatch
from simcse_kit.encoder.modules import Encoder
from simcse_kit.tokens import TokenTable, length_batches, pad

MAX_TOKENS = 4096  # of a batch, with padding: enough for the matrix products, little enough for the cache


class TorchBackend:
    """The encoder where its weights are, in evaluation mode; its mode is put back afterwards.

    Args:
        encoder: what is run; its weights may change between calls.
        pad_id: fills up shorter sentences.
        dtype: float32, or bfloat16 for the linear layers of the backbone, whose float32 weights stay what is saved.
    """

    name = "torch"

    def __init__(self, encoder: Encoder, pad_id: int, dtype: str = "float32") -> None:
        self.encoder = encoder
        self.pad_id = pad_id
        self.dtype = dtype
        if dtype == "bfloat16":
            for module in encoder.backbone.modules():
                if type(module) is nn.Linear:
                    module.__class__ = _Bfloat16Linear

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
        half = self.dtype == "bfloat16"
        try:
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=half):
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


class _Bfloat16Linear(nn.Linear):
    """Multiplies in bfloat16 in evaluation mode, by a copy of its weights; the layer's own stay float32."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training:
            return super().forward(input)
        weight, bias = self._copies()
        return nn.functional.linear(input.to(torch.bfloat16), weight, bias)

    def _copies(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias in bfloat16, made again when the layer's own have changed."""
        parts = [self.weight] if self.bias is None else [self.weight, self.bias]
        version = [(part._version, part.data_ptr()) for part in parts]
        kept = self.__dict__.get("_kept")
        if kept is None or kept[0] != version:
            with torch.inference_mode(False), torch.no_grad():
                copies = [part.to(torch.bfloat16) for part in parts]
            kept = self.__dict__["_kept"] = (version, copies[0], copies[1] if len(copies) > 1 else None)
        return kept[1], kept[2]

    def _get_name(self) -> str:
        return "Linear"
