"""Settings of a model's folder besides weights, and which files belong to the model. No heavy import."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simcse_kit.errors import ModelError
from simcse_kit.files import read_json

RECORD = "simcse_kit.json"

_OF_A_MODEL = re.compile(  # by path in the folder; names of transformers and sentence-transformers
    r"modules\.json|README\.md|simcse_kit\.json|config\.json|generation_config\.json|config_sentence_transformers\.json"
    r"|sentence_\w+_config\.json|model(-\d+-of-\d+)?\.safetensors|pytorch_model(-\d+-of-\d+)?\.bin"
    r"|(model\.safetensors|pytorch_model\.bin)\.index\.json|adapter_config\.json|adapter_model\.(safetensors|bin)"
    r"|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json|vocab\.(txt|json)|merges\.txt"
    r"|chat_template\.jinja|(spiece|sentencepiece\.bpe|tokenizer)\.model"
    r"|\d+_[A-Z]\w*/(config\.json|wordembedding_config\.json|model\.safetensors|pytorch_model\.bin)"
)


def is_model_file(path: str) -> bool:
    """Whether a file in a model's folder belongs to the model; saving another model there replaces or removes it.

    >>> is_model_file("2_Dense/config.json"), is_model_file("checkpoint-3/config.json"), is_model_file("notes.txt")
    (True, False, False)
    """
    return _OF_A_MODEL.fullmatch(path) is not None


@dataclass
class Settings:
    """Settings of a folder besides weights: how text becomes tokens, and how vectors are compared."""

    max_seq_length: int | None = None  # tokens, with special ones; None: no limit
    prompts: dict[str, str] = field(default_factory=lambda: {"query": "", "document": ""})  # of sentence-transformers
    default_prompt_name: str | None = None
    similarity_fn_name: str = "cosine"
    truncate_dim: int | None = None
    do_lower_case: bool = False
    include_prompt: bool = True  # False: the prompt's tokens are left out of the pooling


def read_record(folder: Path) -> dict[str, Any]:
    """Content of our own file in a model's folder; empty if it does not exist."""
    found = read_json(folder / RECORD, ModelError) if (folder / RECORD).is_file() else {}
    if not isinstance(found, dict):
        raise ModelError(f"{folder / RECORD}: expected a JSON object, found {found!r:.60}")
    return found
