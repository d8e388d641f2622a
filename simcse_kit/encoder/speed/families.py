"""Parts of encoder layers, which each family names differently, for the layers of `inference`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from simcse_kit.encoder.backbone import BERT_LIKE

EVERYWHERE, LOCAL = "full_attention", "sliding_attention"  # ModernBERT's names for the range of a layer's attention


class LayerParts(NamedTuple):
    """The parts of one layer: attention, then a feed-forward block."""

    query_key_value: Sequence[Any]  # three linear layers, or one that combines them
    attention_output: Any  # linear
    attention_norm: Any  # LayerNorm
    intermediate: Any  # linear; of double width if its second half multiplies the first (GLU)
    activation: Callable[[Tensor], Tensor]
    output: Any  # linear
    norm: Any  # LayerNorm
    heads: int
    scaling: float
    attention: str = EVERYWHERE

    @property
    def products(self) -> tuple[Any, ...]:
        """The linear layers in order of use."""
        return (*self.query_key_value, self.attention_output, self.intermediate, self.output)

    @property
    def gated(self) -> bool:
        """Whether the feed-forward block is a GLU."""
        return bool(self.intermediate.out_features == 2 * self.output.in_features)


class Stack(NamedTuple):
    """A backbone's layers with their common parts; its embeddings run unchanged."""

    layers: list[LayerParts]
    bias: Callable[[Tensor], Tensor] | None = None  # states (1, L, D) to a bias of each head's scores (1, H, L, L)
    final_norm: nn.LayerNorm | None = None  # final norm of layers that normalise their input, not their output
    rotary: Callable[..., tuple[Tensor, Tensor]] | None = (
        None  # states, positions (1, L), attention to cosines and sines
    )
    window: int = 0  # range of a token in a layer of LOCAL attention


def stack_of(backbone: Any) -> Stack | None:
    """The layers of a backbone; None for a family, or a version of transformers, with other parts."""
    family = _FAMILIES.get(backbone.config.model_type)
    try:
        return None if family is None or getattr(backbone.config, "is_decoder", False) else family.read(backbone)
    except AttributeError:  # transformers has renamed a part: use its own code
        return None


def modules_of(backbone: Any) -> list[nn.Module]:
    """The modules that hold the layers of a backbone with a `stack_of`, and others that run after its embeddings."""
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
    """Layers of BERT and MPNet."""
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
    """How to read the backbones of a family."""

    modules: tuple[str, ...]
    read: Callable[[Any], Stack]


_FAMILIES = {
    **dict.fromkeys(BERT_LIKE, _Family(("encoder",), _bert)),
    "mpnet": _Family(("encoder",), _mpnet),
    "distilbert": _Family(("transformer",), _distilbert),
    "modernbert": _Family(("layers", "final_norm", "rotary_emb"), _modernbert),
}
