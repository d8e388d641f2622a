"""Dropout on a CPU with 16 random bits per value instead of 64: the same distribution in a sixth of the time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "simcse_kit_cpu"  # our name in transformers' table of attention functions
_STEPS = 1 << 16  # dropout probabilities are multiples of 1 / 65536


@contextlib.contextmanager
def other_class(modules: Iterable[nn.Module], change: Any) -> Iterator[bool]:
    """Change the classes of modules to ``change(their class)``; yields whether any changed."""
    before = [(module, type(module)) for module in modules]
    for module, kind in before:
        module.__class__ = change(kind)
    try:
        yield bool(before)
    finally:
        for module, kind in before:
            module.__class__ = kind


class _Dropout(torch.autograd.Function):
    """Inverted dropout of any shape; keeps one byte per value for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        kept = min(max(round((1 - p) * _STEPS), 1), _STEPS - 1)
        bits = _random_bits(x.numel()).view(x.shape)
        mask = torch.lt(bits, kept - _STEPS // 2, out=torch.empty_like(bits, dtype=torch.int8))
        ctx.save_for_backward(mask)
        ctx.scale = _STEPS / kept
        return _masked(x, mask, ctx.scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return _masked(grads[0], mask, ctx.scale), None


def _random_bits(count: int) -> Tensor:
    """Uniform int16 numbers (count,). torch's CPU generator seeds a faster one."""
    seed = int(torch.empty((), dtype=torch.int64).random_())
    generator = np.random.Generator(np.random.SFC64(seed))
    words = generator.integers(0, 2**64 - 1, -(-count // 4), dtype=np.uint64, endpoint=True)
    return torch.from_numpy(words.view(np.int16))[:count]


def _masked(x: Tensor, mask: Tensor, scale: float) -> Tensor:
    """``x * mask * scale`` in one pass; a mask of x's own type is several times faster than a boolean one."""
    return torch.addcmul(x.new_zeros(()), x, mask.to(x.dtype), value=scale)


def dropout(x: Tensor, p: float) -> Tensor:
    """`torch.nn.functional.dropout` in training, with ``p`` in (0, 1) rounded to 1/65536, for a CPU tensor."""
    return _Dropout.apply(x, p)  # type: ignore[no-any-return, no-untyped-call]


class _FastDropout(nn.Dropout):
    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not 0 < self.p < 1 or self.inplace or input.device.type != "cpu":
            return super().forward(input)
        return dropout(input, self.p)

    def _get_name(self) -> str:
        return "Dropout"


def fast_dropout(module: nn.Module) -> contextlib.AbstractContextManager[bool]:
    """Inside the context, every `nn.Dropout` of ``module`` draws its masks this way; yields whether there is any."""
    found = (part for part in module.modules() if type(part) is nn.Dropout and part.p > 0)
    return other_class(found, lambda _: _FastDropout)


def cpu_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' sdpa attention with fast dropout masks: query, key, value (B, H, L, D/H) -> (B, L, H, D/H).

    Falls back to sdpa for unsupported cases. A query that may attend to nothing (a padded token under a local mask)
    gets the mean of all values, not 0; no kept token reads it.
    """
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if (
        not 0 < dropout < 1
        or query.device.type != "cpu"
        or query.shape[1] != key.shape[1]
        or (attention_mask is None and causal)
        or (attention_mask is not None and attention_mask.requires_grad)
        or any(kwargs.get(name) is not None for name in ("position_bias", "cache", "softcap"))
    ):
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, is_causal, **kwargs)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = (query * scaling) @ key.transpose(2, 3)  # (B, H, L, L)
    if attention_mask is not None:
        scores = scores + _additive(attention_mask, scores.dtype)
    weights = _Dropout.apply(torch.softmax(scores, dim=-1), dropout)  # type: ignore[no-untyped-call]
    return (weights @ value).transpose(1, 2).contiguous(), None


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """An additive mask for the scores, from a boolean one (True is kept) or an additive one."""
    if mask.dtype is not torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)


@contextlib.contextmanager
def fast_attention(backbone: Any) -> Iterator[bool]:
    """Inside the context, a backbone that uses sdpa from transformers' table uses `cpu_attention`."""
    fits = getattr(backbone.config, "_attn_implementation", None) == "sdpa" and backbone._can_set_attn_implementation()
    if not fits:
        yield False
        return
    AttentionInterface.register(ATTENTION, cpu_attention)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    backbone.set_attn_implementation(ATTENTION)
    try:
        yield True
    finally:
        backbone.set_attn_implementation("sdpa")
