"""From a model folder of any kind to an `Encoder`: the only place that decides on the pooling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from simcse_kit.encoder.backbone import (
    Backbone,
    build_backbone,
    fill,
    is_causal,
    load_backbone,
    load_config,
    load_tokenizer,
    max_positions,
    read_state,
    state_keys,
)
from simcse_kit.encoder.fingerprint import fingerprint
from simcse_kit.encoder.folder import SentenceTransformersFolder, read_modules
from simcse_kit.encoder.hub import ModelSource
from simcse_kit.encoder.lora import base_folder, has_lora, load_adapter, merge_lora
from simcse_kit.encoder.modules import Dense, Encoder, Normalize, hidden_size
from simcse_kit.encoder.poolers import OUTPUT, POOLERS, Pooler
from simcse_kit.encoder.pooling import pooling_name, recorded_pooling
from simcse_kit.encoder.probing import settle_padding
from simcse_kit.encoder.settings import Settings, read_record
from simcse_kit.errors import ModelError, UnknownPoolingError, say_once

_ORIGINAL_CLASSES = ("BertForCL", "RobertaForCL")  # training checkpoints of princeton-nlp/SimCSE
_OF_DECODERS = "last_token"  # default for a decoder, where only the last token has seen all others


@dataclass
class Loaded:
    """An encoder with everything else that its folder holds."""

    encoder: Encoder
    tokenizer: Any
    settings: Settings
    pooling_origin: str  # "argument", "folder", "table" or "default"
    own_pooling: str | None  # pooling named by folder or table: the start is a sentence encoder; None: a raw one
    record: dict[str, Any]  # simcse_kit.json, empty for other tools' folders
    folder: Path  # folder of the backbone's weights


def load_encoder(
    source: ModelSource,
    *,
    pooling: str | None = None,
    default_pooling: str | None = None,
    training: bool = False,
    dropout: float | None = None,
    local_files_only: bool = False,
    trust_remote_code: bool = False,
) -> Loaded:
    """Load a folder of ours or a checkpoint, or one of sentence-transformers, ``AutoModel`` or the original project.

    The pooling is ``pooling``, else the folder's, else the table's, else ``default_pooling`` (for a decoder
    `last_token`), else an error. A user's own pooling, ``module:attribute``, is imported if ``pooling`` names it; if
    only the folder names it, with ``trust_remote_code``. In ``training``, a missing head is initialised, and
    ``dropout`` overrides the config's. A folder of LoRA adapters names its base model, which is loaded first, from the
    hub unless ``local_files_only``.
    """
    folder = source.folder
    record = read_record(folder)
    modules = read_modules(folder, record.get("pooling")) if (folder / "modules.json").is_file() else None
    where = modules.transformer if modules else folder
    base = base_folder(where, local_files_only=local_files_only, trust_remote_code=trust_remote_code)
    config = load_config(base, trust_remote_code=trust_remote_code, dropout=dropout)
    keys = state_keys(base)
    original = (modules is None and (config.architectures or [None])[0] in _ORIGINAL_CLASSES) or (
        modules is None and "mlp.dense.weight" in keys
    )
    causal = is_causal(config)
    chosen, origin = _choose_pooling(
        source, modules, original, pooling, default_pooling, causal, trust_remote_code=trust_remote_code
    )
    pooler = POOLERS.get(chosen)
    if training and causal and pooler.reads_first_token:
        raise ModelError(
            f"pooling {chosen}: {source.name} is a decoder, whose first token sees no other token; use "
            f"{_OF_DECODERS} or mean"
        )
    _check_layers(chosen, pooler, config)

    state: dict[str, Tensor] = {}
    if original:
        state = read_state(base)
        backbone = build_backbone(base, config, _backbone_of_original(state))
    else:
        backbone = load_backbone(base, config, trust_remote_code=trust_remote_code)
    if base != where:
        load_adapter(backbone.model, where)

    post = _post(source, modules, record, chosen, origin, backbone, state, config, training)
    own = backbone.pooler
    spare = None if own is None else {f"{own.prefix}.weight": own.weight, f"{own.prefix}.bias": own.bias}
    encoder = Encoder(backbone.model, chosen, post, pooler_prefix=backbone.pooler_prefix, spare_pooler=spare)
    if base == where and has_lora(encoder):
        merge_lora(encoder)  # from a complete model's folder; saved as adapters, they would be their own base
    brings_tokenizer = (where / "tokenizer_config.json").is_file()
    tokenizer = load_tokenizer(where if brings_tokenizer else base, trust_remote_code=trust_remote_code)
    encoder.mask_id = _mask_id(source, modules, chosen, tokenizer)
    settings = modules.settings if modules else Settings()
    settle_length(settings, tokenizer, encoder.backbone)
    encoder.eval()
    settle_padding(encoder, tokenizer, name=source.name, identity=lambda: fingerprint(encoder, tokenizer, settings))
    named = modules.pooling if modules else source.known_pooling
    return Loaded(encoder, tokenizer, settings, origin, named, record, base)


def _choose_pooling(
    source: ModelSource,
    modules: SentenceTransformersFolder | None,
    original: bool,
    pooling: str | None,
    default: str | None,
    causal: bool,
    *,
    trust_remote_code: bool,
) -> tuple[str, str]:
    if pooling is not None:
        return pooling_name(pooling), "argument"
    if modules is not None:
        return recorded_pooling(modules.pooling, trust_remote_code=trust_remote_code), "folder"
    if source.known_pooling is not None:
        return source.known_pooling, "table"
    if original:
        raise ModelError(
            f"{source.name} is a training checkpoint of the original SimCSE code, which does not record whether "
            "to keep its MLP: name the pooling, cls (supervised: MLP kept) or cls_before_pooler (unsupervised: "
            "MLP only in training)"
        )
    if default is not None:
        return _OF_DECODERS if causal else default, "default"
    choices = "; ".join(f"{pooler.name}: {pooler.help}" for pooler in POOLERS)
    raise UnknownPoolingError(f"{source.name} does not record how its vectors are pooled; name the pooling. {choices}")


def _check_layers(pooling: str, pooler: Pooler, config: Any) -> None:
    """Check that the backbone has the layers that are averaged."""
    if pooler.layers == OUTPUT:
        return
    depth = int(config.num_hidden_layers)
    for layer in pooler.layers:
        if not -depth - 1 <= layer <= depth:
            raise ModelError(
                f"pooling {pooling} reads layer {layer}; this backbone has {depth} layers, and layer 0 is its "
                "embeddings"
            )


def _backbone_of_original(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """``bert.*`` / ``roberta.*`` without the prefix; drops the MLP, the LM head and old buffers."""
    bare: dict[str, Tensor] = {}
    for key, value in state.items():
        prefix, _, rest = key.partition(".")
        if prefix in ("bert", "roberta") and not rest.endswith("position_ids"):
            bare[rest] = value
    return bare


def _post(
    source: ModelSource,
    modules: SentenceTransformersFolder | None,
    record: dict[str, Any],
    pooling: str,
    origin: str,
    backbone: Backbone,
    state: dict[str, Tensor],
    config: Any,
    training: bool,
) -> list[nn.Module]:
    """Modules after the pooled vector: the folder's modules, or a head and the folder's Normalize."""
    if modules is not None and pooling == modules.pooling:
        return modules.post
    kept: list[nn.Module] = [m for m in modules.post if isinstance(m, Normalize)] if modules else []
    if modules and len(kept) < len(modules.post):
        say_once(f"pooling {pooling} replaces the folder's {modules.pooling}: the Dense of {source.name} is not used")
    if not POOLERS.get(pooling).head:
        return kept
    return [_head(source, record, pooling, origin, backbone, state, config, training), *kept]


def _head(
    source: ModelSource,
    record: dict[str, Any],
    pooling: str,
    origin: str,
    backbone: Backbone,
    state: dict[str, Tensor],
    config: Any,
    training: bool,
) -> Dense:
    """The dense + tanh of a pooling with a head, from the place where this kind of folder stores it."""
    size = hidden_size(config)
    dense = Dense(size, size)
    if "mlp.dense.weight" in state:
        mlp = {"linear.weight": state["mlp.dense.weight"], "linear.bias": state["mlp.dense.bias"]}
        fill(dense, mlp, source.folder)
        return dense
    recorded = POOLERS.known(record.get("pooling"))
    # their pooler.dense is SimCSE's MLP
    brings_head = source.known_pooling is not None or (recorded is not None and recorded.head)
    if training and not brings_head:
        say_once(f"pooling {pooling}: {source.name} has no SimCSE head; a new dense + tanh is trained from scratch")
        return Dense.fresh(size, std=float(getattr(config, "initializer_range", 0.02)))
    mode = POOLERS.get(pooling).st_mode
    bare = next((p.name for p in POOLERS if p.st_mode == mode and p.layers == OUTPUT and not p.head), "another")
    if backbone.pooler is None:
        raise ModelError(
            f"{source.name} has no dense layer for pooling {pooling} ({POOLERS.get(pooling).help}); for the "
            f"vector without it, called {mode} in sentence-transformers, use {bare}"
        )
    if origin == "argument" and pooling not in (source.known_pooling, record.get("pooling")):
        say_once(
            f"pooling {pooling} of {source.name} is {POOLERS.get(pooling).help}, from its pooler.dense; the "
            f"vector without it, called {mode} in sentence-transformers, is pooling {bare} here"
        )
    dense.load_state_dict({"linear.weight": backbone.pooler.weight, "linear.bias": backbone.pooler.bias})
    return dense


def _mask_id(
    source: ModelSource, modules: SentenceTransformersFolder | None, pooling: str, tokenizer: Any
) -> int | None:
    """Token id read by a pooling of the mask token; None for other poolings."""
    if not POOLERS.get(pooling).mask_token:
        return None
    if tokenizer.mask_token_id is None:
        raise ModelError(
            f"pooling {pooling} needs a tokenizer with a mask token; the tokenizer of {source.name} has none"
        )
    if modules is not None and modules.mask_token not in (None, tokenizer.mask_token):
        raise ModelError(
            f"{source.name}: its WordWeights selects the token {modules.mask_token!r}, which is not the "
            f"tokenizer's mask token {tokenizer.mask_token!r}"
        )
    return int(tokenizer.mask_token_id)


def settle_length(settings: Settings, tokenizer: Any, backbone: nn.Module) -> None:
    """The longest input: the folder's, else the tokenizer's, at most the backbone's positions."""
    if settings.max_seq_length is None and tokenizer.model_max_length < 1e9:  # 1e30 means "unknown"
        settings.max_seq_length = int(tokenizer.model_max_length)
    limit = max_positions(backbone)
    if limit is not None:
        settings.max_seq_length = min(settings.max_seq_length or limit, limit)


def checked_length(value: int | None, limit: int | None, least: int) -> int | None:
    """A length limit between ``least`` and the backbone's positions; None is the longest."""
    if value is not None and (value < least or (limit is not None and value > limit)):
        allowed = f"at least {least}" + ("" if limit is None else f" and at most the backbone's {limit} positions")
        raise ModelError(f"max_seq_length must be {allowed} (tokens, with special ones); got {value}")
    return limit if value is None else value
