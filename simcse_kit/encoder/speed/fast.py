"""Faster training steps with unchanged results.

On CUDA, sentences are packed without padding. On a CPU, about a third of a step is spent on drawing dropout masks, on
writing the gradient of the whole word table for each forward pass, and on tokens that nobody reads. Inside
`training_speedups` the modules get other classes with the same weights, so that names, saving and copying do not
change.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from simcse_kit import distributed
from simcse_kit.encoder.backbone import BERT_LIKE, word_table
from simcse_kit.encoder.modules import Encoder
from simcse_kit.encoder.poolers import OUTPUT
from simcse_kit.encoder.speed import is_plain
from simcse_kit.encoder.speed.dropout import ATTENTION, cpu_attention, fast_attention, fast_dropout, other_class
from simcse_kit.encoder.speed.packed import can_pack, packed_attention


@contextlib.contextmanager
def training_speedups(encoder: Encoder, *, mlm: bool = False) -> Iterator[tuple[str, ...]]:
    """Speed up the training steps inside; yields the names of the speed-ups that suit this encoder and device.

    ``packing``, on CUDA: batches with a `Packing` run without padding. On a CPU ``dropout`` and ``attention``: masks
    from 16 random bits per value instead of 64; ``word gradient``: stays sparse until a backward pass ends; ``first
    token``: the last layer computes only the pooled token, unless batches are packed. Evaluation mode does not change.
    ``mlm``: a masked-language-model loss reads every token and shares the word table, so the last two are left out.
    Nothing changes if speed-ups are off, see `speed`.
    """
    if is_plain():
        yield ()
        return
    backbone: Any = encoder.backbone
    names: list[str] = []
    with contextlib.ExitStack() as stack:
        device = next(encoder.parameters()).device.type
        if packs(encoder):
            stack.enter_context(packed_attention(backbone))
            names.append("packing")
        if device == "cpu":
            if stack.enter_context(fast_dropout(backbone)):
                names.append("dropout")
            if stack.enter_context(fast_attention(backbone)):
                names.append("attention")
            if not mlm and not distributed.active() and stack.enter_context(sparse_word_gradient(backbone)):
                names.append("word gradient")
        if not mlm and stack.enter_context(first_token_only(encoder)):
            names.append("first token")
        yield tuple(names)


def packs(encoder: Encoder) -> bool:
    """Whether training steps of this encoder take packed batches."""
    return next(encoder.parameters()).device.type == "cuda" and can_pack(encoder.backbone)


# The word table's gradient


class _SparseEmbedding(nn.Embedding):
    """A word table with a gradient that is sparse within a backward pass, over all its forwards, and dense after it."""

    def forward(self, input: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and self.weight.requires_grad):
            return super().forward(input)
        if not hasattr(self.weight, "simcse_kit_densify"):  # a copy of the module has a new weight, without the hook
            self.weight.simcse_kit_densify = self.weight.register_post_accumulate_grad_hook(_densify)  # type: ignore
        return nn.functional.embedding(input, self.weight, self.padding_idx, sparse=True)

    def _get_name(self) -> str:
        return "Embedding"


def _densify(weight: Tensor) -> None:
    assert weight.grad is not None
    if weight.grad.is_sparse:
        weight.grad = weight.grad.to_dense()


@contextlib.contextmanager
def sparse_word_gradient(backbone: Any) -> Iterator[bool]:
    """Inside the context, forward passes of one step share one dense gradient of the word table (V, D).

    Optimizers see the same dense gradient as without it. Not for weights whose gradients processes exchange.
    """
    table = word_table(backbone)
    fits = type(table) is nn.Embedding and table.max_norm is None and not table.scale_grad_by_freq
    try:
        with other_class([table] if table is not None and fits else [], lambda _: _SparseEmbedding) as changed:
            yield changed
    finally:
        if table is not None and (hook := table.weight.__dict__.pop("simcse_kit_densify", None)):
            hook.remove()


# The last layer


def _heads(layer: nn.Module, states: Tensor, size: int) -> Tensor:
    """(B, L, D) -> (B, H, L, size)."""
    out: Tensor = layer(states).unflatten(-1, (-1, size)).transpose(1, 2)
    return out


def _first_context(inner: Any, linears: tuple[Any, Any, Any], states: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of the first tokens to all, with the query, key and value layers of an attention block.

    States (B, L, D), mask (B, 1, L, L) -> (B, 1, D).
    """
    query = _heads(linears[0], states[:, :1], inner.attention_head_size)
    key, value = (_heads(linear, states, inner.attention_head_size) for linear in linears[1:])
    mask = None if mask is None else mask[:, :, :1]
    context, _ = cpu_attention(inner, query, key, value, mask, inner.dropout.p, inner.scaling, is_causal=False)
    return context.flatten(2)


@functools.cache
def _bert_first_token(attention: type) -> type:
    """A BERT-like attention block that returns only its first token, so that the layer continues with one token."""

    class FirstToken(attention):  # type: ignore[misc]
        def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> Any:
            """(B, L, D), mask (B, 1, L, L) -> (B, 1, D) and no attention weights."""
            if not self.training:
                return super().forward(hidden_states, attention_mask, **kwargs)
            inner = self.self
            linears = inner.query, inner.key, inner.value
            context = _first_context(inner, linears, hidden_states, attention_mask)
            return self.output(context, hidden_states[:, :1]), None

        def _get_name(self) -> str:
            return attention.__name__

    return FirstToken


@functools.cache
def _distilbert_first_token(layer: type) -> type:
    """A DistilBERT layer that returns only its first token."""

    class FirstToken(layer):  # type: ignore[misc]
        def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> Any:
            """(B, L, D), mask (B, 1, L, L) -> (B, 1, D)."""
            if not self.training:
                return super().forward(hidden_states, attention_mask, **kwargs)
            inner = self.attention
            linears = inner.q_lin, inner.k_lin, inner.v_lin
            context = _first_context(inner, linears, hidden_states, attention_mask)
            attended = self.sa_layer_norm(inner.out_lin(context) + hidden_states[:, :1])
            return self.output_layer_norm(self.ffn(attended) + attended)

        def _get_name(self) -> str:
            return layer.__name__

    return FirstToken


@functools.cache
def _mpnet_first_token(attention: type) -> type:
    """An MPNet attention block that returns only its first token."""

    class FirstToken(attention):  # type: ignore[misc]
        def forward(
            self, hidden_states: Tensor, attention_mask: Tensor | None = None, position_bias: Any = None, **kwargs: Any
        ) -> Any:
            """(B, L, D), mask (B, 1, L, L), bias (B, H, L, L) -> (B, 1, D) in a tuple of one."""
            if not self.training:
                return super().forward(hidden_states, attention_mask, position_bias, **kwargs)
            inner, size = self.attn, self.attn.attention_head_size
            first = hidden_states[:, :1]
            query = _heads(inner.q, first, size)
            key, value = (_heads(linear, hidden_states, size) for linear in (inner.k, inner.v))
            scores = query @ key.transpose(2, 3) * size**-0.5  # (B, H, 1, L)
            for added in (position_bias, attention_mask):
                if added is not None:
                    scores = scores + added[:, :, :1]
            context = inner.dropout(scores.softmax(-1)) @ value
            out = inner.o(context.transpose(1, 2).flatten(2))
            return (self.LayerNorm(self.dropout(out) + first),)

        def _get_name(self) -> str:
            return attention.__name__

    return FirstToken


class _Last(NamedTuple):
    """How the last layer of a family computes only its first token."""

    module: Callable[[Any], nn.Module]  # the module of a backbone that gets another class
    change: Callable[[type], type]


_LAST = {
    **dict.fromkeys(BERT_LIKE, _Last(lambda backbone: backbone.encoder.layer[-1].attention, _bert_first_token)),
    "distilbert": _Last(lambda backbone: backbone.transformer.layer[-1], _distilbert_first_token),
    "mpnet": _Last(lambda backbone: backbone.encoder.layer[-1].attention, _mpnet_first_token),
}


def first_token_only(encoder: Encoder) -> contextlib.AbstractContextManager[bool]:
    """Inside the context, a training step's last layer computes only the token that such a pooling reads.

    Yields whether it applies: encoders of a family in the table whose vector is the first token's last state.
    """
    backbone: Any = encoder.backbone
    config, pooler = backbone.config, encoder.pooler
    fits = (
        config.model_type in _LAST
        and not getattr(config, "is_decoder", False)
        and getattr(config, "_attn_implementation", None) in ("sdpa", "eager", ATTENTION)
        and pooler.reads_first_token
        and pooler.layers == OUTPUT
        and not config.output_hidden_states
        and not config.output_attentions
    )
    if not fits:
        return other_class([], type)
    last = _LAST[config.model_type]
    return other_class([last.module(backbone)], last.change)
