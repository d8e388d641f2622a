"""Runs the encoder with PyTorch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from simcse_kit.cores import one_thread_after_a_fork
from simcse_kit.encoder.backends.interface import OnBatch
from simcse_kit.encoder.modules import Encoder, version_of
from simcse_kit.encoder.padding import Packing, pad, without_prompt
from simcse_kit.encoder.speed import is_plain
from simcse_kit.encoder.speed.inference import FastBackbone, fits
from simcse_kit.encoder.speed.packed import can_pack, packed_attention
from simcse_kit.encoder.speed.threads import products_of, threads_for
from simcse_kit.encoder.tokens import TokenTable, length_batches

MAX_TOKENS = {"cpu": 1 << 12, "accelerator": 1 << 16}
"""tokens per batch, with padding: enough for matrix products, on a CPU small enough for its cache."""


class TorchBackend:
    """The encoder on the device of its weights, in evaluation mode; the mode is restored afterwards.

    Args:
        encoder: the encoder to run; its weights may change between calls.
        pad_id: pads shorter sentences.
        dtype: float32, or bfloat16 for the linear layers of the backbone; saved weights stay float32.
    """

    name = "torch"

    def __init__(self, encoder: Encoder, pad_id: int, dtype: str = "float32") -> None:
        self.encoder = encoder
        self.pad_id = pad_id
        self.dtype = dtype
        self.plain = is_plain()  # a model loaded while speed-ups are off stays plain
        self._fast: FastBackbone | None = None
        if dtype == "float32":
            _whole_again(encoder)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_fast": None}  # made from the weights, in an order for this processor

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
        target = out if out.device == device else torch.empty_like(out, device=device)
        max_tokens = MAX_TOKENS["cpu" if device.type == "cpu" else "accelerator"]
        training = [module for module in encoder.modules() if module.training]
        for module in training:
            module.training = False
        if device.type == "cpu":
            one_thread_after_a_fork(torch.set_num_threads)
        try:
            with ExitStack() as stack:
                stack.enter_context(torch.inference_mode())
                if device.type == "cpu" and not (self.plain or is_plain()):
                    stack.enter_context(threads_for(len(tokens.flat) * self._products))
                run = self._run(stack, device, prompt_length)
                packs = device.type == "cuda" and not self.plain and can_pack(encoder.backbone)
                if packs:
                    stack.enter_context(packed_attention(encoder.backbone))
                for indices in length_batches(tokens.lengths, batch_size, max_tokens, pads=encoder.pads):
                    ids, mask = pad(tokens.rows(indices), self.pad_id)
                    pool_mask = without_prompt(ids, mask, prompt_length) if prompt_length else None
                    packing = Packing.of(tokens.lengths[indices].tolist()) if packs else None
                    given = (ids, mask, pool_mask, packing)
                    ids, mask, pool_mask, packing = (_moved(part, device) for part in given)
                    target[torch.from_numpy(indices).to(device)] = encoder(
                        ids, mask, pool_mask, packing=packing, run=run
                    ).to(torch.float32)
                    if on_batch is not None:
                        on_batch(len(indices))
        finally:
            for module in training:
                module.training = True
        if target is not out:
            out.copy_(target)

    @functools.cached_property
    def _products(self) -> int:
        return products_of(self.encoder.backbone)

    def _run(self, stack: ExitStack, device: torch.device, prompt_length: int) -> Callable[..., Any] | None:
        """The function to call instead of the backbone; None: the backbone, in bfloat16 within ``stack``."""
        half = self.dtype == "bfloat16"
        if self.plain or is_plain():
            self._fast = None
        elif self._fast is None or not self._fast.is_current(self.encoder):
            dtype = torch.bfloat16 if half else torch.float32
            self._fast = FastBackbone(self.encoder, dtype) if fits(self.encoder) else None
        if self._fast is not None:
            return functools.partial(self._fast, whole=prompt_length > 0)  # the first pooled token is a later one
        if half:
            stack.enter_context(torch.autocast(device.type, torch.bfloat16))
            for module in self.encoder.backbone.modules():
                if type(module) is nn.Linear:
                    module.__class__ = _Bfloat16Linear
        return None


def _moved(part: Any, device: torch.device) -> Any:
    """Move a tensor, or a tuple of them, to the device; from pinned memory without waiting."""
    if isinstance(part, Packing):
        return Packing(*(_moved(tensor, device) for tensor in part))
    if part is None or device.type == "cpu":
        return part
    return part.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else part.to(device)


class _Bfloat16Linear(nn.Linear):
    """A linear layer that multiplies in bfloat16 in evaluation mode, with a copy of its weights (float32)."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training:
            return super().forward(input)
        weight, bias = self._copies()
        return nn.functional.linear(input.to(torch.bfloat16), weight, bias)

    def _copies(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias in bfloat16, copied again if the layer's own have changed."""
        parts = [self.weight] if self.bias is None else [self.weight, self.bias]
        version = version_of(parts)
        kept = self.__dict__.get("_kept")
        if kept is None or kept[0] != version:
            with torch.inference_mode(False), torch.no_grad():
                copies = [part.to(torch.bfloat16) for part in parts]
            kept = self.__dict__["_kept"] = (version, copies[0], copies[1] if len(copies) > 1 else None)
        return kept[1], kept[2]

    def _get_name(self) -> str:
        return "Linear"


def _whole_again(encoder: Encoder) -> None:
    """Return layers to float32 that a previous backend had switched to bfloat16."""
    for module in encoder.modules():
        if type(module) is _Bfloat16Linear:
            plain: Any = module
            plain.__class__ = nn.Linear
            plain.__dict__.pop("_kept", None)
