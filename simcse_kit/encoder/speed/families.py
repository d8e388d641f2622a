"""The parts of encoders' layers, which each family calls by other names, for the layers of `inference`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from simcse_kit.encoder.backbone import BERT_LIKE

EVERYWHERE, LOCAL = "full_attention", "sliding_attention"  # ModernBERT's names of what a layer's tokens look at


class LayerParts(NamedTuple):
    """The parts of one layer: attention, then a feed-forward block."""

    query_key_value: Sequence[Any]  # three linear layers, or one that holds them
    attention_output: Any  # linear
    attention_norm: Any  # LayerNorm
    intermediate: Any  # linear; of twice the width where its second half multiplies the first (GLU)
    activation: Callable[[Tensor], Tensor]
    output: Any  # linear
    norm: Any  # LayerNorm
    heads: int
    scaling: float
    attention: str = EVERYWHERE

    @property
    def products(self) -> tuple[Any, ...]:
        """The linear layers in the order of their use."""
        return (*self.query_key_value, self.attention_output, self.intermediate, self.output)

    @property
    def gated(self) -> bool:
        """Whether the feed-forward block is a GLU."""
        return bool(self.intermediate.out_features == 2 * self.output.in_features)


class Stack(NamedTuple):
    """A backbone's layers with what belongs to all of them; its embeddings run as they are."""

    layers: list[LayerParts]
    bias: Callable[[Tensor], Tensor] | None = None  # states (1, L, D) to what each head adds to its scores (1, H, L, L)
    final_norm: nn.LayerNorm | None = None  # of layers that normalise their input, not their output
    rotary: Callable[..., tuple[Tensor, Tensor]] | None = (
        None  # states, positions (1, L), attention to cosines and sines
    )
    window: int = 0  # how far a token looks in a layer of LOCAL attention


def stack_of(backbone: Any) -> Stack | None:
    """The layers of a backbone, None for a family, or a version of transformers, of other parts."""
    family = _FAMILIES.get(backbone.config.model_type)
    try:
        return None if family is None or getattr(backbone.config, "is_decoder", False) else family.read(backbone)
    except AttributeError:  # transformers has renamed a part: its own code runs
        return None


def modules_of(backbone: Any) -> list[nn.Module]:
    """What holds the layers of a backbone with a `stack_of`, and what else runs after its embeddings."""
    return [getattr(backbone, name) for name in _FAMILIES[backbone.config.model_type].modules]


def _bert(backbone: Any) -> Stack:
    def parts(layer: Any) -> LayerParts:
        inner, outer = layer.attention.self, layer.attention.output
        return LayerParts(
            (inner.query, inner.key, inner.value),
            outer.dense,
            outer.LayerNorm,
            *_feed_forward(layer),
            inner.num_attention_heads,
            inner.scaling,
        )

    return Stack([parts(layer) for layer in backbone.encoder.layer])


def _feed_forward(layer: Any) -> tuple[Any, Any, Any, Any]:
    """Of BERT's and MPNet's layers."""
    return (
        layer.intermediate.dense,
        layer.intermediate.intermediate_act_fn,
        layer.output.dense,
        layer.output.LayerNorm,
    )


def _mpnet(backbone: Any) -> Stack:
    def parts(layer: Any) -> LayerParts:
        inner = layer.attention.attn
        return LayerParts(
            (inner.q, inner.k, inner.v),
            inner.o,
            layer.attention.LayerNorm,
            *_feed_forward(layer),
            inner.num_attention_heads,
            inner.attention_head_size**-0.5,
        )

    encoder = backbone.encoder
    return Stack([parts(layer) for layer in encoder.layer], bias=encoder.compute_position_bias)


def _distilbert(backbone: Any) -> Stack:
    def parts(layer: Any) -> LayerParts:
        inner, block = layer.attention, layer.ffn
        return LayerParts(
            (inner.q_lin, inner.k_lin, inner.v_lin),
            inner.out_lin,
            layer.sa_layer_norm,
            block.lin1,
            block.activation,
            block.lin2,
            layer.output_layer_norm,
            inner.n_heads,
            inner.scaling,
        )

    return Stack([parts(layer) for layer in backbone.transformer.layer])


def _modernbert(backbone: Any) -> Stack:
    def parts(layer: Any) -> LayerParts:
        inner, block = layer.attn, layer.mlp
        return LayerParts(
            (inner.Wqkv,),
            inner.Wo,
            layer.attn_norm,
            block.Wi,
            block.act,
            block.Wo,
            layer.mlp_norm,
            backbone.config.num_attention_heads,
            inner.head_dim**-0.5,
            layer.attention_type,
        )

    return Stack(
        [parts(layer) for layer in backbone.layers],
        final_norm=backbone.final_norm,
        rotary=backbone.rotary_emb,
        window=backbone.config.sliding_window,
    )


class _Family(NamedTuple):
    """How a family's backbones are read."""

    modules: tuple[str, ...]
    read: Callable[[Any], Stack]


_FAMILIES = {
    **dict.fromkeys(BERT_LIKE, _Family(("encoder",), _bert)),
    "mpnet": _Family(("encoder",), _mpnet),
    "distilbert": _Family(("transformer",), _distilbert),
    "modernbert": _Family(("layers", "final_norm", "rotary_emb"), _modernbert),
}
