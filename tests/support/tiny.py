"""Two-layer random models of every architecture with a small tokenizer each, made here: no network, no download."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from simcse_kit.encoder.backbone import quiet_transformers

SENTENCES = [
    "A man is playing the guitar.",
    "Somebody plays a guitar on the street.",
    "The cat sleeps on the warm sofa.",
    "A small cat is asleep.",
    "Two dogs run through the wet grass.",
    "Dogs are running in the field.",
    "The train to the city was late again this morning.",
    "My bus came ten minutes late.",
    "She bakes bread every Sunday.",
    "Every Sunday there is fresh bread at her house.",
    "It will rain tomorrow.",
    "The weather report says that rain is coming tomorrow in the afternoon.",
    "He reads a book about the history of the sea.",
    "A book on the sea and its history lies on the table.",
    "Children play football in the park behind the school.",
    "The school has a new football field.",
    "I lost my keys.",
    "Where are my keys?",
    "The doctor asked him to drink more water and to sleep longer.",
    "Drink more water, said the doctor.",
    "Snow covers the mountain.",
    "The mountain is white with snow from November until April, and nobody climbs it then.",
    "They sold the old house last year.",
    "Last year the old house was sold to a family with three children.",
    "A woman paints the door blue.",
    "The door was painted in blue by a woman.",
    "The soup needs a little salt.",
    "Salt is missing in this soup.",
    "Our team won the game.",
    "The game was won by our team after a long and tiring second half.",
    "The phone is ringing.",
    "Nobody answers the ringing phone.",
    "A boat crosses the lake at night.",
    "At night the lake is quiet and dark.",
    "The market opens at seven.",
    "Fresh fish is sold at the market from seven in the morning.",
    "He forgot his umbrella.",
    "It rained and he had no umbrella with him on the way home from work.",
    "The museum shows paintings from three centuries.",
    "Yes.",
]
KINDS = ("bert", "roberta", "distilbert", "albert", "mpnet", "deberta", "modernbert", "xlmr", "gpt2", "llama")
POSITIONS = 64  # tokens that each model takes
_ROBERTA_LIKE = ("roberta", "xlmr", "mpnet")  # positions counted from padding_idx + 1


def make_tokenizer(kind: str) -> Any:
    """WordPiece with BERT's special tokens, or byte-level BPE with RoBERTa's, GPT-2's (no pad token) or Llama's."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    if kind in (*_ROBERTA_LIKE, "gpt2", "llama"):
        special = {
            "gpt2": ["<|endoftext|>"],
            "llama": ["<s>", "</s>", "<unk>"],
        }.get(kind, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
        inner = Tokenizer(models.BPE())
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=420,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        names = {
            "gpt2": {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"},
            "llama": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        }.get(
            kind,
            {
                "bos_token": "<s>",
                "cls_token": "<s>",
                "pad_token": "<pad>",
                "eos_token": "</s>",
                "sep_token": "</s>",
                "unk_token": "<unk>",
                "mask_token": "<mask>",
            },
        )
    else:
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        inner = Tokenizer(models.WordPiece(_wordpiece_vocabulary(special), unk_token="[UNK]"))
        inner.normalizer = normalizers.BertNormalizer(lowercase=True)
        inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        inner.decoder = decoders.WordPiece()
        inner.add_special_tokens(special)
        trainer = None  # WordPiece's breaks ties in another way each time
        names = {
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
        }
    if trainer is not None:
        inner.train_from_iterator(SENTENCES, trainer)
    first, last = {"gpt2": ("", ""), "llama": ("<s>", "")}.get(
        kind, ("<s>", "</s>") if kind in _ROBERTA_LIKE else ("[CLS]", "[SEP]")
    )
    used = [token for token in (first, last) if token]
    if used:
        inner.post_processor = processors.TemplateProcessing(
            single=" ".join(filter(None, (first, "$A", last))),
            pair=" ".join(filter(None, (first, "$A", last, "$B", last))),
            special_tokens=[(token, inner.token_to_id(token)) for token in used],
        )
    return PreTrainedTokenizerFast(tokenizer_object=inner, **names)


def _wordpiece_vocabulary(special: list[str]) -> dict[str, int]:
    """Letters and their continuations, and every other word whole: some words stay in pieces."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,:;!?'()-"
    words = sorted({word for sentence in SENTENCES for word in re.findall("[a-z]{2,}", sentence.lower())})
    pieces = [*special, *letters, *(f"##{letter}" for letter in letters), *words[::2], "##s", "##ing", "##er", "##ed"]
    return {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}


def make_config(kind: str, tokenizer: Any) -> Any:
    """Hidden size 32, two layers, two heads, 64 positions."""
    import transformers as tf

    extra = 2 if kind in _ROBERTA_LIKE else 0
    common: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": POSITIONS + extra,
    }
    special = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id")
        for name in ("pad", "bos", "eos", "cls", "sep")
        if getattr(tokenizer, f"{name}_token_id") is not None
    }
    if kind == "distilbert":
        return tf.DistilBertConfig(
            vocab_size=len(tokenizer), dim=32, n_layers=2, n_heads=2, hidden_dim=48, max_position_embeddings=POSITIONS
        )
    if kind == "gpt2":
        return tf.GPT2Config(
            vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=POSITIONS, **special
        )
    if kind == "albert":
        common["embedding_size"] = 16
    if kind == "deberta":
        common |= {
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 8,
            "type_vocab_size": 0,
        }
    if kind == "modernbert":
        common |= {"global_attn_every_n_layers": 2, "local_attention": 8}
        special |= {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
    classes = {
        "bert": tf.BertConfig,
        "roberta": tf.RobertaConfig,
        "albert": tf.AlbertConfig,
        "mpnet": tf.MPNetConfig,
        "deberta": tf.DebertaV2Config,
        "modernbert": tf.ModernBertConfig,
        "xlmr": tf.XLMRobertaConfig,
        "llama": tf.LlamaConfig,
    }
    return classes[kind](**common, **special)


def randomise(module: torch.nn.Module, *, seed: int = 0) -> None:
    """Noise on every weight, biases and LayerNorms too, so that nothing is 0 or 1 by its initialisation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


def make_model(kind: str, folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Save a random model with its tokenizer in ``folder``; ``changes`` go into the config."""
    tokenizer = make_tokenizer(kind)
    config = make_config(kind, tokenizer)
    for name, value in changes.items():
        setattr(config, name, value)
    return save_model(config, tokenizer, folder, seed=seed)


def make_cross_encoder(kind: str, folder: Path, *, seed: int = 0, labels: int = 1, **changes: Any) -> Path:
    """Save a random sequence-classification model with its tokenizer in ``folder``, as `make_model` does."""
    from transformers import AutoModelForSequenceClassification

    tokenizer = make_tokenizer(kind)
    config = make_config(kind, tokenizer)
    config.num_labels = labels
    for name, value in changes.items():
        setattr(config, name, value)
    return save_model(config, tokenizer, folder, seed=seed, auto=AutoModelForSequenceClassification)


def save_model(config: Any, tokenizer: Any, folder: Path, *, seed: int = 0, auto: Any = None) -> Path:
    """Save a random model of a config with its tokenizer in ``folder``; ``auto`` None: ``AutoModel``."""
    from transformers import AutoModel

    torch.manual_seed(seed)
    model = (auto or AutoModel).from_config(config)
    randomise(model, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    with quiet_transformers():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def make_electra() -> torch.nn.Module:
    """Two layers of ELECTRA without dropout; its embeddings are narrower than the layers, with a projection between."""
    from transformers import AutoModel, ElectraConfig

    torch.manual_seed(0)
    config = ElectraConfig(
        vocab_size=100,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return AutoModel.from_config(config)


def masked_batch(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (B, L) that end in token 90, a mask token, padded with 1, and their mask (B, L)."""
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, 90, mask.shape, generator=torch.Generator().manual_seed(3))
    ids[torch.arange(len(lengths)), torch.tensor(lengths) - 1] = 90
    return torch.where(mask.bool(), ids, 1), mask
