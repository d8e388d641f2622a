"""Random two-layer models of forty encoder families, small enough that everything can be tried on each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

WIDTH = 32
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
DECODERS = ("bloom", "gemma", "gpt2", "gpt_neox", "llama", "mamba", "mistral", "opt", "qwen2", "qwen3")
"""Families whose last token has seen all others."""

_ROPE = {"num_key_value_heads": 2, "bos_token_id": None, "eos_token_id": None}
_T5 = {"d_model": WIDTH, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
_BART = {"d_model": WIDTH, "max_position_embeddings": 64, "decoder_start_token_id": 3} | {
    f"{half}_{name}": size
    for half in ("encoder", "decoder")
    for name, size in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 48))
}
_DEBERTA = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
_FUNNEL = {"block_sizes": [1, 1], "block_repeats": [1, 1], "d_model": WIDTH, "n_head": 2, "d_head": 16, "d_inner": 48}
_XLM = {"emb_dim": WIDTH, "n_layers": 2, "n_heads": 2, "pad_index": 0, "mask_token_id": 4}

FAMILIES: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16},
    "bart": _BART,
    "bert": {},
    "big_bird": {"max_position_embeddings": 256, "block_size": 8, "num_random_blocks": 1},
    "bloom": {"n_layer": 2, "n_head": 2},
    "camembert": {"max_position_embeddings": 66},
    "canine": {
        "max_position_embeddings": 512,
        "num_hash_buckets": 1024,
        "local_transformer_stride": 16,
        "downsampling_rate": 4,
    },
    "convbert": {"embedding_size": WIDTH, "head_ratio": 1, "conv_kernel_size": 3},
    "data2vec-text": {"max_position_embeddings": 66},
    "deberta": _DEBERTA | {"max_relative_positions": -1},
    "deberta-v2": _DEBERTA | {"position_buckets": 8},
    "distilbert": {"dim": WIDTH, "n_layers": 2, "n_heads": 2, "hidden_dim": 48},
    "electra": {"embedding_size": 16},
    "ernie": {},
    "eurobert": {},
    "flaubert": _XLM,
    "fnet": {},
    "funnel": _FUNNEL | {"num_decoder_layers": 1},
    "gemma": _ROPE | {"head_dim": 16},
    "gpt2": {"n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": 64, "bos_token_id": None, "eos_token_id": None},
    "gpt_neox": {},
    "ibert": {"max_position_embeddings": 66},
    "layoutlm": {},
    "llama": _ROPE,
    "longformer": {"max_position_embeddings": 130, "attention_window": [8, 8]},
    "luke": {"max_position_embeddings": 66, "entity_vocab_size": 10, "entity_emb_size": 8},
    "mamba": {"state_size": 4},
    "mbart": _BART,
    "megatron-bert": {},
    "mistral": _ROPE | {"sliding_window": 8},
    "mobilebert": {"embedding_size": 16, "intra_bottleneck_size": WIDTH},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 8, "cls_token_id": 2, "sep_token_id": 3},
    "mpnet": {"max_position_embeddings": 66},
    "mt5": _T5,
    "nomic_bert": {},
    "nystromformer": {"num_landmarks": 64, "segment_means_seq_len": 64},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": WIDTH},
    "qwen2": _ROPE,
    "qwen3": _ROPE | {"head_dim": 16},
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 16},
    "roberta": {"max_position_embeddings": 66},
    "roformer": {"embedding_size": WIDTH},
    "splinter": {},
    "squeezebert": {"embedding_size": WIDTH},
    "t5": _T5,
    "umt5": _T5,
    "xlm": _XLM,
    "xlm-roberta": {"max_position_embeddings": 66},
    "xlnet": {"d_model": WIDTH, "n_layer": 2, "n_head": 2, "d_inner": 48},
    "yoso": {},
}
"""Model types of transformers, with what differs from BERT's names of sizes."""


def make(family: str, folder: Path, texts: Sequence[str]) -> Path:
    """Save a random model of the family, with a tokenizer that knows the texts' words."""
    import torch
    from transformers import AutoConfig, AutoModel

    tokenizer = _tokenizer(texts)
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
    }
    named = FAMILIES[family]
    if "d_model" in named or "emb_dim" in named or "dim" in named or "n_embd" in named:  # other names for all sizes
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
            del sizes[name]
    if family == "xlnet":  # any length is allowed, and a limit is an error
        del sizes["max_position_embeddings"]
    config = AutoConfig.for_model(family, **sizes | named)
    config.architectures = config.architectures or []  # Funnel has two, and looks for its own here
    torch.manual_seed(0)
    auto: Callable[[Any], Any] = AutoModel.from_config
    model = auto(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():  # no bias is 0 and no scale 1
            weight += 0.1 * torch.randn(weight.shape, generator=generator)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(texts: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,:;!?'()-"
    words = sorted({word for text in texts for word in re.findall("[a-z]{2,}", text.lower())})
    pieces = [*_SPECIAL, *letters, *(f"##{letter}" for letter in letters), *words]
    inner = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(dict.fromkeys(pieces))}, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    inner.add_special_tokens(_SPECIAL)
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, inner.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    )
    names = {f"{token.strip('[]').lower()}_token": token for token in _SPECIAL}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **names)
