"""Makes the light form of a loaded model, and compares it with the full model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from simcse_kit.encoder.asked import ModelRequest
from simcse_kit.encoder.backbone import BERT_LIKE, first_position, state_keys
from simcse_kit.encoder.backends.torch import TorchBackend
from simcse_kit.encoder.fingerprint import PROBES
from simcse_kit.encoder.light.arrays import ArrayBackend, Layers
from simcse_kit.encoder.light.files import FileStamp, files_digest, stamps_of
from simcse_kit.encoder.light.form import Kept, LightForm, keep_form
from simcse_kit.encoder.light.tokenizer import LightTokenizer, Tokens
from simcse_kit.encoder.load import Loaded
from simcse_kit.encoder.lora import has_lora
from simcse_kit.encoder.modules import Dense, Encoder, Normalize
from simcse_kit.encoder.poolers import OUTPUT
from simcse_kit.encoder.probing import is_sound
from simcse_kit.encoder.tokens import tokenize
from simcse_kit.types import Vectors

_SAME = 1e-5  # largest difference of unit vectors that counts as rounding
_LENGTHS = (None, 24, 8)  # in tokens, for comparing the tokenizers
_WORDS = "embeddings.word_embeddings.weight"


def record_light(
    asked: ModelRequest, loaded: Loaded, stamps: tuple[FileStamp, ...], fingerprint: Callable[[], str]
) -> None:
    """Store a model's light form, if it has one: all files in one folder, with a standalone tokenizer.

    ``stamps`` of the model's files, from before loading; if they have changed since, nothing is stored.
    """
    folder, encoder = asked.source.folder, loaded.encoder
    if loaded.folder != folder or has_lora(encoder) or not (folder / "tokenizer.json").is_file():
        return
    tokenizer = _light_tokenizer(loaded.tokenizer)
    layers, post = _layers(loaded), _post_weights(encoder)
    if layers is not None and not _same_vectors(layers, post, loaded):
        layers = None
    if tokenizer is None or (layers is None and asked.backend == "torch"):
        return
    form = LightForm(
        fingerprint=fingerprint(),
        pooling=encoder.pooling,
        dimension=encoder.dimension,
        settings=loaded.settings,
        record=loaded.record,
        tokens=tokenizer.tokens,
        pads=encoder.pads,
        sound=is_sound(encoder),
        layers=layers,
    )
    files = files_digest(folder, stamps)
    if stamps_of(folder) == stamps:
        keep_form(Kept(form, tokenizer.state, post), asked, files)


def _light_tokenizer(tokenizer: Any) -> LightTokenizer | None:
    """The standalone tokenizer; None if its ids differ for texts of many scripts, cut or not."""
    if not tokenizer.is_fast:
        return None
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokens = Tokens(
        pad_token_id=int(tokenizer.pad_token_id),
        unk_token_id=tokenizer.unk_token_id,
        all_special_ids=[int(i) for i in tokenizer.all_special_ids],
        truncation_side=tokenizer.truncation_side,
        split_special_tokens=bool(tokenizer.split_special_tokens),
        name_or_path=str(tokenizer.name_or_path),
    )
    light = LightTokenizer(tokenizer.backend_tokenizer.to_str(), tokens)
    texts = [*PROBES, "", " ".join(PROBES), *(f"a {token} b" for token in tokenizer.all_special_tokens)]
    for length in _LENGTHS:
        cut: dict[str, Any] = {"truncation": length is not None, "max_length": length}
        if light(texts, **cut)["input_ids"] != tokenizer(texts, padding=False, verbose=False, **cut)["input_ids"]:
            return None
    return light if light.num_special_tokens_to_add() == tokenizer.num_special_tokens_to_add() else None


def _layers(loaded: Loaded) -> Layers | None:
    """Parameters of `ArrayBackend`; None: it does not support this model."""
    encoder, folder = loaded.encoder, loaded.folder
    backbone: Any = encoder.backbone
    config = encoder.config
    if not (
        config.model_type in BERT_LIKE
        and is_sound(encoder)
        and not config.is_decoder
        and config.hidden_act == "gelu"
        and encoder.pooler.arrays is not None
        and encoder.pooler.layers == OUTPUT
        and loaded.settings.include_prompt
        and (folder / "model.safetensors").is_file()
    ):
        return None
    prefixes = [key.removesuffix(_WORDS) for key in state_keys(folder) if key.endswith(_WORDS)]
    first, post = first_position(backbone), _post(encoder)
    if len(prefixes) != 1 or first is None or post is None:
        return None
    return Layers(
        count=int(config.num_hidden_layers),
        heads=int(config.num_attention_heads),
        epsilon=float(config.layer_norm_eps),
        first_position=first,
        projects=hasattr(backbone, "embeddings_project"),
        prefix=prefixes[0],
        post=post,
    )


def _post(encoder: Encoder) -> list[str] | None:
    """Modules after the pooling, as in `Layers`; None: numpy does not support one of them."""
    kinds = {nn.Tanh: "tanh", nn.Identity: "linear"}
    found = []
    for module in encoder.post:
        kind = "normalize" if isinstance(module, Normalize) else None
        if isinstance(module, Dense) and not module.use_residual:
            kind = kinds.get(type(module.activation))
        if kind is None:
            return None
        found.append(kind)
    return found


def _post_weights(encoder: Encoder) -> dict[str, Vectors]:
    """Weights of the modules after the pooling, by number and name."""
    return {
        f"{number}.{name}": weight.detach().cpu().numpy()
        for number, module in enumerate(encoder.post)
        if isinstance(module, Dense)
        for name, weight in module.linear.named_parameters()
    }


def _same_vectors(layers: Layers, post: dict[str, Vectors], loaded: Loaded) -> bool:
    """Whether numpy gives the same vectors up to rounding."""
    encoder, pad_id = loaded.encoder, loaded.tokenizer.pad_token_id
    table = tokenize(loaded.tokenizer, PROBES, loaded.settings.max_seq_length)
    found = np.empty((len(table.lengths), encoder.dimension), np.float32)
    exact = torch.empty(found.shape)
    try:
        light = ArrayBackend(layers, encoder.pooling, loaded.folder / "model.safetensors", post)
        light.embed(table, found)
        TorchBackend(encoder, pad_id).embed(table, exact)
    except Exception:  # an architecture that differs from its name
        return False
    expected = exact.numpy()
    scale = np.linalg.norm(expected, axis=1, keepdims=True)
    return bool((np.abs(found - expected) <= _SAME * scale).all())
