"""A BERT-like encoder's layers for inference on a CPU: exact, without what transformers' modules spend on training.

Weights are laid out once for the processor's matrix products (query, key and value as one), attention over short
sentences is two batched products, and the last layer computes one token where the pooling reads one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear, scaled_dot_product_attention

from simcse_kit.encoder.backbone import BERT_LIKE
from simcse_kit.encoder.modules import Encoder, version_of
from simcse_kit.encoder.poolers import OUTPUT

_ROWS = 1024  # of a matrix product for which weights are laid out; other numbers of rows run too
_SHORT = {torch.float32: 64, torch.bfloat16: 256}  # tokens up to which two batched products beat the fused kernel

_PLAIN = ("transformers.", "torch.nn.", "simcse_kit.")  # where classes of modules come from that compute as is known


class States(NamedTuple):
    """What a backbone returns, as far as pooling reads it."""

    last_hidden_state: Tensor  # (B, L, D), or (B, 1, D) where only the first token is read


class FastBackbone:
    """The backbone of an encoder that `fits`, to be called in its place in evaluation mode without gradients.

    It works on copies of the layers' weights, of the time when it was made: see `is_current`.

    Args:
        encoder: of the weights; on a CPU.
        dtype: what is multiplied: float32 or bfloat16. Sums and norms between the products are float32.
    """

    def __init__(self, encoder: Encoder, dtype: torch.dtype) -> None:
        backbone: Any = encoder.backbone
        self._backbone = backbone
        self._state = _state(encoder)
        self._layers = [_Layer(layer, dtype) for layer in backbone.encoder.layer]
        self._dtype = dtype
        self._reads_first_token = encoder.pooler.reads_first_token

    def is_current(self, encoder: Encoder) -> bool:
        """Whether the encoder's layers and their weights are those that were copied."""
        return self._state == _state(encoder)

    def __call__(
        self, input_ids: Tensor, attention_mask: Tensor | None, *, whole: bool = False, **kwargs: Any
    ) -> States:
        """Ids (B, L) and mask (B, L), None where nothing is padded, to states (B, L, D).

        Where the pooling reads the first token alone they are (B, 1, D), unless the ``whole`` is asked for.
        """
        backbone = self._backbone
        hidden = backbone.embeddings(input_ids=input_ids)
        if hasattr(backbone, "embeddings_project"):  # ELECTRA
            hidden = backbone.embeddings_project(hidden)
        mask = None
        if attention_mask is not None:
            lowest = torch.finfo(self._dtype).min
            mask = torch.zeros(attention_mask.shape, dtype=self._dtype).masked_fill_(attention_mask == 0, lowest)
        for layer in self._layers[:-1]:
            hidden = layer(hidden, mask)
        return States(self._layers[-1](hidden, mask, first_only=self._reads_first_token and not whole))


def fits(encoder: Encoder) -> bool:
    """Whether `FastBackbone` can stand for the encoder's backbone: BERT-like, on a CPU, nothing added to its layers."""
    backbone: Any = encoder.backbone
    return (
        backbone.config.model_type in BERT_LIKE
        and not backbone.config.is_decoder
        and encoder.pooler.layers == OUTPUT
        and backbone.device.type == "cpu"
        and all(weight.dtype == torch.float32 for weight in backbone.encoder.parameters())
        and all(
            type(module).__module__.startswith(_PLAIN) and not (module._forward_hooks or module._forward_pre_hooks)
            for module in backbone.encoder.modules()
        )
        and all(isinstance(part, nn.Linear) for layer in backbone.encoder.layer for part in _products(layer))
    )


def _products(layer: Any) -> tuple[nn.Module, ...]:
    """The layer's linear parts in the order of their use."""
    inner = layer.attention.self
    return (
        inner.query,
        inner.key,
        inner.value,
        layer.attention.output.dense,
        layer.intermediate.dense,
        layer.output.dense,
    )


def _state(encoder: Encoder) -> list[Any]:
    """Tells when a module was exchanged or hooked, or a weight changed."""
    state: list[Any] = [encoder.pooling]
    weights: list[Tensor] = []
    for module in encoder.backbone.encoder.modules():  # type: ignore[union-attr]
        state += [type(module), len(module._forward_hooks) + len(module._forward_pre_hooks)]
        weights += [weight for weight in module._parameters.values() if weight is not None]
    return [*state, version_of(weights)]


class _Product:
    """Linear layers of one input as one: (T, D) in the dtype of the weights -> (T, D')."""

    def __init__(self, layers: Sequence[Any], dtype: torch.dtype) -> None:
        self.weight = torch.cat([layer.weight.detach() for layer in layers]).to(dtype)
        self.bias = torch.cat([layer.bias.detach() for layer in layers]).to(dtype)
        self._laid_out = _laid_out(self.weight)
        if self._laid_out is not None:
            del self.weight

    def __call__(self, x: Tensor) -> Tensor:
        if self._laid_out is None:
            return linear(x, self.weight, self.bias)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._laid_out, self.bias, "none", [], "")
        return out


def _laid_out(weight: Tensor) -> Tensor | None:
    """The weight (D', D) in oneDNN's own order, None where this torch or processor has no product for it.

    These are the operations that torch's own compiler calls for frozen weights.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    try:
        laid_out: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
        torch.ops.mkldnn._linear_pointwise(weight.new_zeros(2, weight.shape[1]), laid_out, None, "none", [], "")
    except (AttributeError, RuntimeError, NotImplementedError):
        return None
    return laid_out


class _Layer:
    """One layer, post-norm: attention, then the feed-forward block, each added to its input and normalised."""

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        inner = layer.attention.self
        self.heads: int = inner.num_attention_heads
        self.scaling: float = inner.scaling
        self.dtype = dtype
        query, key, value, attention_output, intermediate, output = _products(layer)
        self.query_key_value = _Product([query, key, value], dtype)
        self.attention_output = _Product([attention_output], dtype)
        self.attention_norm: nn.LayerNorm = layer.attention.output.LayerNorm
        self.intermediate = _Product([intermediate], dtype)
        self.activation: Callable[[Tensor], Tensor] = layer.intermediate.intermediate_act_fn
        self.output = _Product([output], dtype)
        self.norm: nn.LayerNorm = layer.output.LayerNorm

    def __call__(self, hidden: Tensor, mask: Tensor | None, *, first_only: bool = False) -> Tensor:
        """(B, L, D) float32 and additive mask (B, L) -> (B, L, D), or (B, 1, D) with ``first_only``."""
        size, width, dimension = hidden.shape
        states = self.query_key_value(hidden.reshape(-1, dimension).to(self.dtype))
        query, key, value = states.view(size, width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # (B, H, L, D/H) each
        if first_only:
            query, hidden = query[:, :, :1], hidden[:, :1]
        context = _attend(query, key, value, mask, self.scaling)
        hidden = hidden.reshape(-1, dimension)
        hidden = _norm(self.attention_norm, hidden + self.attention_output(context))
        inner = self.activation(self.intermediate(hidden.to(self.dtype)))
        hidden = _norm(self.norm, hidden + self.output(inner))
        return hidden.view(size, -1, dimension)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float) -> Tensor:
    """Attention: (B, H, L', D/H), (B, H, L, D/H) twice, additive mask (B, L) -> (B L', D)."""
    size, heads, width, _ = key.shape
    if width > _SHORT[key.dtype]:
        kept = None if mask is None else mask[:, None, None]
        context = scaled_dot_product_attention(query, key, value, attn_mask=kept, scale=scaling)
    else:
        query, key, value = (states.reshape(size * heads, -1, states.shape[-1]) for states in (query, key, value))
        scores = torch.baddbmm(query.new_empty(()), query, key.transpose(1, 2), beta=0, alpha=scaling)
        if mask is not None:
            scores.view(size, heads, -1, width).add_(mask[:, None, None])
        context = torch.bmm(scores.softmax(-1), value).view(size, heads, -1, value.shape[-1])
    return context.transpose(1, 2).reshape(size * query.shape[-2], -1)


def _norm(module: nn.LayerNorm, x: Tensor) -> Tensor:
    return layer_norm(x, module.normalized_shape, module.weight, module.bias, module.eps)
