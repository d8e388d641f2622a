"""Identity of a model: everything its vectors depend on, and nothing else."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from simcse_kit.encoder.lora import lora_scales
from simcse_kit.encoder.modules import Encoder
from simcse_kit.encoder.settings import Settings

PROBES = (
    "The quick brown Fox jumps over the lazy dog, doesn't it?",
    "  Zwei  Gänse; naïve café №42 — e=mc²  ",
    "안전모를 가진 한 남자 東京は日本 Привет мир 😀 \t x_y\u00a0z",
)


def fingerprint(encoder: Encoder, tokenizer: Any, settings: Settings) -> str:
    """Hex sha256 over weights, pooling, head, length limit, prompts and the tokenizer's behaviour.

    Independent of path, dtype and device. The tokenizer counts by its ids for a few probe texts, because its file
    format may change between library versions.
    """
    digest = hashlib.sha256()
    post = [repr(module) for module in encoder.post]
    prompts = sorted((name, text) for name, text in settings.prompts.items() if text)
    probes = [tokenizer(text, verbose=False)["input_ids"] for text in PROBES]
    said = [
        encoder.pooling,
        post,
        settings.max_seq_length,
        prompts,
        settings.default_prompt_name,
        settings.do_lower_case,
        settings.include_prompt,
        settings.truncate_dim,
        probes,
    ]
    scales = lora_scales(encoder)
    digest.update(json.dumps([*said, scales] if scales else said).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        values = tensor.detach().cpu()
        digest.update((values.float() if values.is_floating_point() else values).contiguous().numpy().tobytes())
    return digest.hexdigest()
