"""Forward passes without padding: the sentences of a batch are joined in one row and do not see each other.

On an accelerator, attention kernels for variable lengths support this: padding costs nothing, and attention costs the
sum of the squared lengths.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nested import nested_tensor_from_jagged
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from simcse_kit.encoder.backbone import BERT_LIKE, PACKED, first_position
from simcse_kit.encoder.padding import Packing
from simcse_kit.encoder.speed import is_plain

_FAMILIES = (*BERT_LIKE, "distilbert")  # families whose attention gets positions only from the embeddings


def can_pack(backbone: Any) -> bool:
    """Whether the backbone supports packed batches: a known family, numbered positions, attention from the table."""
    config = backbone.config
    return (
        not is_plain()
        and config.model_type in _FAMILIES
        and not getattr(config, "is_decoder", False)
        and getattr(config, "_attn_implementation", None) in ("sdpa", PACKED)
        and first_position(backbone) is not None
        and backbone._can_set_attn_implementation()
    )


@contextlib.contextmanager
def packed_attention(backbone: Any) -> Iterator[None]:
    """Inside the context, a backbone that `can_pack` also accepts packed batches."""
    AttentionInterface.register(PACKED, attend_packed)
    AttentionMaskInterface.register(PACKED, sdpa_mask)
    backbone.set_attn_implementation(PACKED)
    try:
        yield
    finally:
        backbone.set_attn_implementation("sdpa")


def run_packed(
    run: Callable[..., Any], first: int, input_ids: Tensor, packing: Packing, **extra: Any
) -> tuple[Tensor, ...]:
    """Hidden states of padded ids (B, L), computed without padding: one tensor of (B, L, D), or one per layer.

    States of padded tokens are 0. ``run`` is the backbone's forward inside `packed_attention`; ``first`` the
    `first_position` of a sentence.
    """
    size, width = input_ids.shape
    output = run(
        input_ids=input_ids.flatten()[packing.places].unsqueeze(0),  # (1, T)
        position_ids=(packing.places % width + first).unsqueeze(0),
        attention_mask=None,
        cu_seq_lens_q=packing.starts,  # transformers' names for the inputs of attention over packed rows
        max_length_q=width,
        return_dict=True,
        **extra,
    )
    states = output.hidden_states if extra.get("output_hidden_states") else (output.last_hidden_state,)

    def padded(packed: Tensor) -> Tensor:
        flat = packed.new_zeros(size * width, packed.shape[-1])
        return flat.index_copy(0, packing.places, packed[0]).view(size, width, -1)

    return tuple(padded(layer) for layer in states)


def attend_packed(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of a packed row within its sentences: query, key, value (1, H, T, D/H) -> (1, T, H, D/H).

    Without ``cu_seq_lens_q`` the batch is not packed, and transformers' sdpa attention runs.
    """
    if cu_seq_lens_q is None:
        plain: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, is_causal, **kwargs
        )
        return plain
    assert max_length_q is not None
    attend = functools.partial(scaled_dot_product_attention, dropout_p=dropout, scale=scaling)
    if query.device.type == "cuda":
        return attend_jagged(attend, query, key, value, cu_seq_lens_q, max_length_q), None
    sentence = torch.bucketize(torch.arange(query.shape[2], device=query.device), cu_seq_lens_q[1:], right=True)
    own = sentence.unsqueeze(0) == sentence.unsqueeze(1)  # (T, T)
    return attend(query, key, value, attn_mask=own).transpose(1, 2), None


def attend_jagged(
    attend: Callable[..., Tensor], query: Tensor, key: Tensor, value: Tensor, starts: Tensor, longest: int
) -> Tensor:
    """Attention by torch's kernels for variable lengths (CUDA), like `attend_packed`: (1, H, T, D/H) -> (1, T, H, D/H).

    No sentence exceeds ``longest``.
    """

    def jagged(states: Tensor) -> Tensor:
        """(1, H, T, D/H) -> (B, H, each sentence's tokens, D/H)."""
        rows = states[0].transpose(0, 1).contiguous()
        return nested_tensor_from_jagged(rows, starts, min_seqlen=1, max_seqlen=longest).transpose(1, 2)

    return attend(jagged(query), jagged(key), jagged(value)).transpose(1, 2).values().unsqueeze(0)
