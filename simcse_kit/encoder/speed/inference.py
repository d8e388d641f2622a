"""Encoder layers for inference on a CPU: exact, without the training overhead of transformers' modules.

Weights are laid out once for the processor's matrix products (query, key and value combined), attention over short
sentences is two batched products, and the last layer computes one token if the pooling reads only one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear, scaled_dot_product_attention

from simcse_kit.encoder.modules import Encoder, version_of
from simcse_kit.encoder.poolers import OUTPUT
from simcse_kit.encoder.speed.families import LOCAL, LayerParts, modules_of, stack_of

_ROWS = 1024  # rows of a matrix product for which weights are laid out; other numbers of rows work too
_SHORT = {torch.float32: 64, torch.bfloat16: 256}  # up to this many tokens, two batched products beat the fused kernel

_PLAIN = ("transformers.", "torch.nn.", "simcse_kit.")  # packages whose module classes compute as expected


class States(NamedTuple):
    """Output of a backbone, as far as pooling reads it."""

    last_hidden_state: Tensor  # (B, L, D), or (B, 1, D) if only the first token is read


class FastBackbone:
    """Replaces the backbone of an encoder that `fits`, in evaluation mode without gradients.

    Works on copies of the layers' weights, made when it was created: see `is_current`.

    Args:
        encoder: an encoder on a CPU.
        dtype: number format of the products: float32 or bfloat16. Sums and norms between them are float32.
    """

    def __init__(self, encoder: Encoder, dtype: torch.dtype) -> None:
        stack = stack_of(encoder.backbone)
        assert stack is not None
        self._backbone: Any = encoder.backbone
        self._stack = stack
        self._state = _state(encoder)
        kind = _PostNorm if stack.final_norm is None else _PreNorm
        self._layers = [kind(parts, dtype) for parts in stack.layers]
        self._dtype = dtype
        self._reads_first_token = encoder.pooler.reads_first_token

    def is_current(self, encoder: Encoder) -> bool:
        """Whether the encoder's layers and weights have not changed since they were copied."""
        return self._state == _state(encoder)

    def __call__(
        self, input_ids: Tensor, attention_mask: Tensor | None, *, whole: bool = False, **kwargs: Any
    ) -> States:
        """Ids (B, L) and mask (B, L), or None without padding, to states (B, L, D).

        If the pooling reads only the first token, they are (B, 1, D), unless ``whole``.
        """
        backbone, stack = self._backbone, self._stack
        hidden = backbone.embeddings(input_ids=input_ids)
        if hasattr(backbone, "embeddings_project"):  # ELECTRA
            hidden = backbone.embeddings_project(hidden)
        kinds = {layer.attention for layer in self._layers}
        positions = {kind: self._positions(kind, hidden, attention_mask) for kind in kinds}
        for layer in self._layers[:-1]:
            hidden = layer(hidden, positions[layer.attention])
        last = self._layers[-1]
        hidden = last(hidden, positions[last.attention], first_only=self._reads_first_token and not whole)
        return States(hidden if stack.final_norm is None else _norm(stack.final_norm, hidden))

    def _positions(self, attention: str, hidden: Tensor, attention_mask: Tensor | None) -> _Positions:
        """Attention bias of states (B, L, D) with a mask (B, L), for the layers of one kind of attention."""
        stack, width = self._stack, hidden.shape[1]
        places = torch.arange(width)
        unseen = None if attention_mask is None else (attention_mask == 0)[:, None, None]
        if attention == LOCAL and width - 1 > stack.window:
            far = (places[:, None] - places).abs() > stack.window
            unseen = far if unseen is None else unseen | far
        bias = None if stack.bias is None else stack.bias(hidden[:1]).to(self._dtype)
        if unseen is not None:
            lowest = torch.finfo(self._dtype).min
            mask = torch.zeros(unseen.shape, dtype=self._dtype).masked_fill_(unseen, lowest)
            bias = mask if bias is None else bias + mask
        rotary = None if stack.rotary is None else stack.rotary(hidden, places[None], attention)
        return _Positions(bias, rotary)


class _Positions(NamedTuple):
    """Positions and padding, as attention needs them."""

    bias: Tensor | None  # bias of scores, in a shape that broadcasts to (B, H, L, L)
    rotary: tuple[Tensor, Tensor] | None  # cosines and sines, (1, L, D/H) each


def fits(encoder: Encoder) -> bool:
    """Whether `FastBackbone` can replace the encoder's backbone: a known family, on a CPU, unmodified."""
    backbone: Any = encoder.backbone
    stack = stack_of(backbone)
    if stack is None:
        return False
    modules = modules_of(backbone)
    return (
        encoder.pooler.layers == OUTPUT
        and backbone.device.type == "cpu"
        and all(weight.dtype == torch.float32 for part in modules for weight in part.parameters())
        and all(
            type(module).__module__.startswith(_PLAIN) and not (module._forward_hooks or module._forward_pre_hooks)
            for part in modules
            for module in part.modules()
        )
        and all(isinstance(part, nn.Linear) for layer in stack.layers for part in layer.products)
        and all(
            isinstance(norm, nn.LayerNorm | nn.Identity)
            for layer in stack.layers
            for norm in (layer.attention_norm, layer.norm)
        )
    )


def _state(encoder: Encoder) -> list[Any]:
    """Detects whether a module was replaced or hooked, or a weight changed."""
    state: list[Any] = [encoder.pooling]
    weights: list[Tensor] = []
    for part in modules_of(encoder.backbone):
        for module in part.modules():
            state += [type(module), len(module._forward_hooks) + len(module._forward_pre_hooks)]
            weights += [weight for weight in module._parameters.values() if weight is not None]
    return [*state, version_of(weights)]


class _Product:
    """Linear layers with the same input as one: (T, D) in the dtype of the weights -> (T, D')."""

    def __init__(self, layers: Sequence[Any], dtype: torch.dtype) -> None:
        self.weight = torch.cat([layer.weight.detach() for layer in layers]).to(dtype)
        biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
        self.bias = torch.cat(biases).to(dtype) if biases else None
        self._laid_out = _laid_out(self.weight)
        if self._laid_out is not None:
            del self.weight

    def __call__(self, x: Tensor) -> Tensor:
        if self._laid_out is None:
            return linear(x, self.weight, self.bias)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._laid_out, self.bias, "none", [], "")
        return out


def _laid_out(weight: Tensor) -> Tensor | None:
    """The weight (D', D) in oneDNN's own layout; None if this torch or processor has no product for it.

    torch's own compiler calls these operations for frozen weights.
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
    """The products of one layer, and its attention."""

    def __init__(self, parts: LayerParts, dtype: torch.dtype) -> None:
        self.parts = parts
        self.attention = parts.attention
        self.dtype = dtype
        self.query_key_value = _Product(parts.query_key_value, dtype)
        self.attention_output = _Product([parts.attention_output], dtype)
        self.intermediate = _Product([parts.intermediate], dtype)
        self.output = _Product([parts.output], dtype)
        self.gated = parts.gated

    def attend(self, x: Tensor, positions: _Positions, *, first_only: bool) -> Tensor:
        """The attention block of states (B, L, D): (B L, D), or (B, D) of the first tokens with ``first_only``."""
        size, width, dimension = x.shape
        states = self.query_key_value(x.reshape(-1, dimension).to(self.dtype))
        states = states.view(size, width, 3, self.parts.heads, -1)
        query_key, value = states[:, :, :2], states[:, :, 2].transpose(1, 2)
        if positions.rotary is not None:
            query_key = _turned(query_key, *positions.rotary)
        query, key = query_key.permute(2, 0, 3, 1, 4)  # (B, H, L, D/H) each, as value
        bias = positions.bias
        if first_only:
            query, bias = query[:, :, :1], None if bias is None else bias[..., :1, :]
        return self.attention_output(_attend(query, key, value, bias, self.parts.scaling))

    def feed_forward(self, x: Tensor) -> Tensor:
        """The feed-forward block: (T, D) -> (T, D)."""
        inner = self.intermediate(x.to(self.dtype))
        if self.gated:
            inner, gate = inner.chunk(2, dim=-1)
            return self.output(self.parts.activation(inner) * gate)
        return self.output(self.parts.activation(inner))


class _PostNorm(_Layer):
    """One layer of BERT's form: attention, then the feed-forward block, each added to its input and normalised."""

    def __call__(self, hidden: Tensor, positions: _Positions, *, first_only: bool = False) -> Tensor:
        """(B, L, D) float32 -> (B, L, D), or (B, 1, D) with ``first_only``."""
        context = self.attend(hidden, positions, first_only=first_only)
        kept = hidden[:, :1] if first_only else hidden
        x = _norm(self.parts.attention_norm, kept.reshape(context.shape) + context)
        return _norm(self.parts.norm, x + self.feed_forward(x)).view(kept.shape)


class _PreNorm(_Layer):
    """One layer of ModernBERT's form: each block reads its normalised input and is added to the unnormalised one."""

    def __call__(self, hidden: Tensor, positions: _Positions, *, first_only: bool = False) -> Tensor:
        """(B, L, D) float32 -> (B, L, D), or (B, 1, D) with ``first_only``."""
        context = self.attend(_norm(self.parts.attention_norm, hidden), positions, first_only=first_only)
        kept = hidden[:, :1] if first_only else hidden
        x = kept.reshape(context.shape) + context
        return (x + self.feed_forward(_norm(self.parts.norm, x))).view(kept.shape)


def _turned(query_key: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate queries and keys to their positions: (B, L, 2, H, D/H), (1, L, D/H) twice -> (B, L, 2, H, D/H)."""
    x = query_key.float()  # as in transformers
    left, right = x.chunk(2, dim=-1)
    x = x * cosines[:, :, None, None] + torch.cat((-right, left), dim=-1) * sines[:, :, None, None]
    return x.to(query_key.dtype)


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, scaling: float) -> Tensor:
    """Attention: (B, H, L', D/H), (B, H, L, D/H) twice, bias of scores -> (B L', D)."""
    size, heads, width, _ = key.shape
    if width > _SHORT[key.dtype]:
        context = scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scaling)
    else:
        query, key, value = (states.reshape(size * heads, -1, states.shape[-1]) for states in (query, key, value))
        scores = torch.baddbmm(query.new_empty(()), query, key.transpose(1, 2), beta=0, alpha=scaling)
        if bias is not None:
            scores.view(size, heads, -1, width).add_(bias)
        context = torch.bmm(scores.softmax(-1), value).view(size, heads, -1, value.shape[-1])
    return context.transpose(1, 2).reshape(size * query.shape[-2], -1)


def _norm(module: Any, x: Tensor) -> Tensor:
    """A LayerNorm; ModernBERT's first layer has none."""
    if isinstance(module, nn.Identity):
        return x
    return layer_norm(x, module.normalized_shape, module.weight, module.bias, module.eps)
