"""Two-layer random models of families that are not in `tiny.KINDS`, each with BERT's tokenizer of `tiny`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.tiny import POSITIONS, make_tokenizer, save_model


def _sizes(tokenizer: Any, **changes: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": POSITIONS,
        "pad_token_id": tokenizer.pad_token_id,
    } | changes


def _bart(tokenizer: Any) -> dict[str, Any]:
    half = {"layers": 2, "attention_heads": 2, "ffn_dim": 48}
    return {
        "vocab_size": len(tokenizer),
        "d_model": 32,
        **{f"{name}_{key}": value for name in ("encoder", "decoder") for key, value in half.items()},
        "max_position_embeddings": POSITIONS,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "decoder_start_token_id": tokenizer.sep_token_id,
    }


def _t5(tokenizer: Any) -> dict[str, Any]:
    sizes = {"vocab_size": len(tokenizer), "d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2}
    pad = tokenizer.pad_token_id
    return sizes | {"pad_token_id": pad, "eos_token_id": tokenizer.sep_token_id, "decoder_start_token_id": pad}


SETTINGS: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "t5": ("T5Config", _t5),
    "mt5": ("MT5Config", _t5),
    "umt5": ("UMT5Config", _t5),
    "bart": ("BartConfig", _bart),
    "fnet": ("FNetConfig", _sizes),
    "canine": (
        "CanineConfig",
        lambda tok: _sizes(
            tok,
            max_position_embeddings=512,
            num_hash_buckets=1024,
            local_transformer_stride=16,
            downsampling_rate=4,
        ),
    ),
    "squeezebert": ("SqueezeBertConfig", lambda tok: _sizes(tok, embedding_size=32)),
    "layoutlm": ("LayoutLMConfig", _sizes),
    "ibert": ("IBertConfig", lambda tok: _sizes(tok, max_position_embeddings=POSITIONS + 1)),
    "deberta-v1": (
        "DebertaConfig",
        lambda tok: _sizes(tok, relative_attention=True, pos_att_type=["c2p", "p2c"], max_relative_positions=-1),
    ),
    "convbert": ("ConvBertConfig", lambda tok: _sizes(tok, embedding_size=32, head_ratio=1, conv_kernel_size=3)),
    "mobilebert": ("MobileBertConfig", lambda tok: _sizes(tok, embedding_size=16, intra_bottleneck_size=32)),
    "nystromformer": ("NystromformerConfig", lambda tok: _sizes(tok, num_landmarks=64, segment_means_seq_len=64)),
    "yoso": ("YosoConfig", _sizes),
    "big_bird": (
        "BigBirdConfig",
        lambda tok: _sizes(tok, max_position_embeddings=256, block_size=8, num_random_blocks=1),
    ),
}


def make_family(family: str, folder: Path) -> Path:
    """Save a random model of the family with its tokenizer in ``folder``."""
    import transformers as tf

    tokenizer = make_tokenizer("bert")
    kind, settings = SETTINGS[family]
    return save_model(getattr(tf, kind)(**settings(tokenizer)), tokenizer, folder)
