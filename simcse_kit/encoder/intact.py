"""Sanity checks of a model folder, before its numbers and paths are used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from simcse_kit.errors import ModelError

_MOST = {  # far above any published model, and far below what takes hours or all memory to build
    "num_hidden_layers": 1 << 12,
    "num_attention_heads": 1 << 14,
    "hidden_size": 1 << 17,
    "intermediate_size": 1 << 21,
    "vocab_size": 1 << 24,
    "type_vocab_size": 1 << 16,
    "max_position_embeddings": 1 << 27,
}


def check_sizes(folder: Path, config: Any) -> None:
    """Raise a `ModelError` for a size in config.json that no model has: building it would use all memory."""
    for name, most in _MOST.items():
        value = getattr(config, name, None)
        least = -1 if name == "max_position_embeddings" else 0  # XLNet's value for unlimited
        if isinstance(value, int | float) and not least <= value <= most:
            shown = f"{value:,}" if abs(value) < 1e30 else f"{value:.3g}"
            raise ModelError(
                f"{folder / 'config.json'}: {name} is {shown}; it must be from 0 to {most:,}. The file is "
                "damaged: fetch it again"
            )


def check_weights(folder: Path, module: nn.Module) -> None:
    """Raise a `ModelError` for weights that are NaN or infinite: every vector would be NaN."""
    for name, weight in module.named_parameters():
        if not bool(torch.isfinite(weight.detach().sum())) and not bool(torch.isfinite(weight).all()):
            raise ModelError(
                f"{folder}: the weight {name} has NaN or infinite numbers, so all vectors would be NaN. The "
                "file is damaged, or its training run diverged: fetch it again, or use an earlier checkpoint"
            )


def check_vocabulary(folder: Path, tokenizer: Any) -> None:
    """Raise a `ModelError` without a vocabulary file: transformers would make one in which every word is unknown."""
    kind = type(tokenizer)
    names = [*getattr(kind, "vocab_files_names", {}).values()]
    if names and kind.__module__.startswith("transformers.") and not any((folder / name).is_file() for name in names):
        raise ModelError(
            f"{folder}: {kind.__name__} finds no vocabulary ({' or '.join(names)}), so every word would be "
            "unknown; fetch the tokenizer files too"
        )


def inside(folder: Path, path: str, file: str) -> Path:
    """The path that a ``file`` of the folder names in it. Raises a `ModelError` if it is outside the folder."""
    lexical = os.path.normpath(str(path).replace("\\", "/"))
    if os.path.isabs(lexical) or lexical.split("/")[0] == "..":
        raise ModelError(f"{folder / file}: the path {path!r} is outside the folder and is not read; correct it")
    return folder / path
