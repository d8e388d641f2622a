"""A sentence-transformers folder, read and written: ``modules.json`` and what it names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from simcse_kit.encoder.backbone import quiet_transformers, read_state
from simcse_kit.encoder.lora import ADAPTER, has_lora, write_adapter
from simcse_kit.encoder.modules import Dense, Encoder, Normalize
from simcse_kit.encoder.pooling import POOLERS
from simcse_kit.encoder.template import portable
from simcse_kit.errors import ModelError, UnsupportedModelError, say_once
from simcse_kit.files import read_json, write_json

RECORD = "simcse_kit.json"
_VERSIONS = {"sentence_transformers": "sentence-transformers", "transformers": "transformers", "pytorch": "torch"}
_FROM_ST = {
    pooler.st_mode: name
    for name, pooler in POOLERS.items()
    if pooler.layers == (-1,) and not pooler.head and not pooler.mask_token
}
_LEGACY = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass
class Settings:
    """What a folder says beside weights: how text becomes tokens, and how vectors are compared."""

    max_seq_length: int | None = None  # tokens, special ones included; None: no limit
    prompts: dict[str, str] = field(default_factory=lambda: {"query": "", "document": ""})  # sentence-transformers' own
    default_prompt_name: str | None = None
    similarity_fn_name: str = "cosine"
    truncate_dim: int | None = None
    do_lower_case: bool = False
    include_prompt: bool = True  # False: the prompt's tokens are left out of the pooling


@dataclass
class SentenceTransformersFolder:
    """What a ``modules.json`` says: where the backbone lies, its pooling and the modules after it."""

    transformer: Path
    pooling: str
    post: list[nn.Module]
    settings: Settings
    mask_token: str | None = None  # as its WordWeights has it, for pooling mask


def read_modules(folder: Path) -> SentenceTransformersFolder:
    """Read a sentence-transformers folder: Transformer, Pooling, then any Dense and Normalize."""
    try:
        return _read_modules(folder)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:  # torch's, for weights of another size
        raise ModelError(f"{folder}: modules.json and what it names do not fit together: {error!r}") from error


def _read_modules(folder: Path) -> SentenceTransformersFolder:
    transformer: Path | None = None
    pooling: str | None = None
    layers: str | None = None
    mask_token: str | None = None
    post: list[nn.Module] = []
    settings = Settings()
    for entry in sorted(read_json(folder / "modules.json", ModelError), key=lambda entry: entry["idx"]):
        kind = entry["type"].rsplit(".", 1)[-1]
        path = folder / entry["path"]
        if kind == "Transformer":
            transformer = path
            _read_transformer(path, settings)
        elif kind == "WeightedLayerPooling":
            layers = _read_layers(path) if _hands_layers_on(transformer) else None
        elif kind == "WordWeights":
            mask_token = _read_word_weights(path)
        elif kind == "Pooling":
            pooling = _read_pooling(path, settings)
        elif kind == "Dense" and pooling is not None:
            post.append(_read_dense(path))
        elif kind == "Normalize":
            post.append(Normalize())
        elif kind != "Dropout":  # a Dropout does nothing outside training
            raise UnsupportedModelError(
                f"{folder}: module {kind} of modules.json is not supported; "
                "supported: Transformer, WeightedLayerPooling, WordWeights, Pooling, Dense, Normalize"
            )
    if transformer is None or pooling is None:
        raise UnsupportedModelError(f"{folder}: modules.json names no Transformer with a Pooling after it")
    if layers is not None:
        if pooling != "mean":
            raise UnsupportedModelError(
                f"{folder}: WeightedLayerPooling with pooling {pooling} is not supported, only with mean"
            )
        pooling = layers
    if mask_token is not None:
        if pooling != "mean":
            raise UnsupportedModelError(
                f"{folder}: WordWeights with pooling {pooling} is not supported, only with mean"
            )
        pooling = "mask"
    if (
        pooling == "cls_before_pooler"
        and post
        and isinstance(post[0], Dense)
        and isinstance(post[0].activation, nn.Tanh)
    ):
        pooling = "cls"
    _read_prompts(folder, settings)
    return SentenceTransformersFolder(transformer, pooling, post, settings, mask_token)


def _read_transformer(path: Path, settings: Settings) -> None:
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"):
        if (path / f"sentence_{name}_config.json").is_file():
            values = read_json(path / f"sentence_{name}_config.json", ModelError)
            settings.max_seq_length = values.get("max_seq_length")
            settings.do_lower_case = bool(values.get("do_lower_case", False))
            if values.get("module_output_name", "token_embeddings") != "token_embeddings":
                raise UnsupportedModelError(
                    f"{path}: the Transformer does not give token embeddings; its kind is not supported"
                )
            return


def _read_pooling(path: Path, settings: Settings) -> str:
    values = read_json(path / "config.json", ModelError)
    settings.include_prompt = bool(values.get("include_prompt", True))
    modes = values.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in _LEGACY.items() if values.get(key)]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in _FROM_ST:
        raise UnsupportedModelError(
            f"{path}: pooling {' + '.join(modes)} is not supported; supported: {', '.join(_FROM_ST)}, alone"
        )
    return _FROM_ST[modes[0]]


def _hands_layers_on(transformer: Path | None) -> bool:
    """Whether the config asks for all layers; sentence-transformers passes over a WeightedLayerPooling without them."""
    if transformer is not None and any(values.get("output_hidden_states") for values in _configs(transformer)):
        return True
    say_once(
        f"{transformer}: config.json does not set output_hidden_states, so its WeightedLayerPooling has no effect, "
        "as in sentence-transformers"
    )
    return False


def _configs(transformer: Path) -> list[dict[str, Any]]:
    """The backbone's config and what sentence-transformers puts over it; adapters have the latter alone."""
    path = transformer / "sentence_bert_config.json"
    over = read_json(path, ModelError).get("config_args") or {} if path.is_file() else {}
    if (transformer / ADAPTER).is_file() and not (transformer / "config.json").is_file():
        return [over]
    return [over, read_json(transformer / "config.json", ModelError)]


def _read_layers(path: Path) -> str:
    """Which pooling a WeightedLayerPooling is: the last two layers, or the first and the last."""
    start = int(read_json(path / "config.json", ModelError)["layer_start"])
    weights = read_state(path)["layer_weights"].tolist()
    if start == 1 and len(weights) > 1 and weights[0] == weights[-1] != 0 and not any(weights[1:-1]):
        return "avg_first_last" if len(weights) != 2 else "avg_top2"  # of two layers both are the same
    if len(weights) == 2 and weights[0] == weights[1] != 0:
        return "avg_top2"
    if len(weights) == 1:
        return "avg_first_last"  # one layer is first and last
    raise UnsupportedModelError(
        f"{path}: layer weights {weights} from layer {start} are neither avg_top2 nor avg_first_last"
    )


def _read_word_weights(path: Path) -> str:
    """The one token that counts."""
    values = read_json(path / "config.json", ModelError)
    counting = [word for word, weight in values["word_weights"].items() if weight]
    if values.get("unknown_word_weight", 1) or len(counting) != 1:
        raise UnsupportedModelError(
            f"{path}: word weights are supported for pooling mask only, where the mask token alone counts"
        )
    return str(counting[0])


def _read_dense(path: Path) -> Dense:
    values = read_json(path / "config.json", ModelError)
    module, _, activation = str(values.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")
    if not module.startswith("torch.nn") or not hasattr(nn, activation):
        raise UnsupportedModelError(
            f"{path}: activation {module}.{activation} is not one of torch.nn's; it is not loaded"
        )
    if values.get("module_input_name", "sentence_embedding") != "sentence_embedding":
        raise UnsupportedModelError(f"{path}: a Dense over {values['module_input_name']} is not supported")
    dense = Dense(
        values["in_features"],
        values["out_features"],
        bias=values.get("bias", True),
        activation=activation,
        residual=values.get("use_residual", False),
    )
    dense.load_state_dict(read_state(path))
    return dense.float()


def _read_prompts(folder: Path, settings: Settings) -> None:
    path = folder / "config_sentence_transformers.json"
    if not path.is_file():
        return
    values = read_json(path, ModelError)
    settings.prompts |= {name: text for name, text in (values.get("prompts") or {}).items() if text is not None}
    settings.default_prompt_name = values.get("default_prompt_name")
    settings.truncate_dim = values.get("truncate_dim")
    settings.similarity_fn_name = values.get("similarity_fn_name") or "cosine"


def write_modules(folder: Path, encoder: Encoder, tokenizer: Any, settings: Settings) -> None:
    """Write an encoder as a sentence-transformers folder, the backbone at its root."""
    inner = POOLERS[encoder.pooling].layers != (-1,)
    with _asking_for_layers(encoder.config, inner):
        _write_backbone(folder, encoder)
    if tokenizer.is_fast:  # else the file would keep the length of the last call
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    with quiet_transformers():
        portable(tokenizer).save_pretrained(folder)
    limits: dict[str, Any] = {"max_seq_length": settings.max_seq_length, "do_lower_case": settings.do_lower_case}
    if inner and has_lora(encoder):  # there is no config to say it in
        limits["config_args"] = {"output_hidden_states": True}
    write_json(folder / "sentence_bert_config.json", limits)
    modules = [("Transformer", "")]
    if inner:
        modules.append(("WeightedLayerPooling", "1_WeightedLayerPooling"))
        _write_layers(_made(folder / "1_WeightedLayerPooling"), encoder)
    if POOLERS[encoder.pooling].mask_token:
        modules.append(("WordWeights", "1_WordWeights"))
        _write_word_weights(_made(folder / "1_WordWeights"), tokenizer)
    modules.append(("Pooling", f"{len(modules)}_Pooling"))
    _write_pooling(_made(folder / modules[-1][1]), encoder, settings)
    for module in encoder.post:
        kind = type(module).__name__
        modules.append((kind, f"{len(modules)}_{kind}"))
        path = _made(folder / modules[-1][1])
        if isinstance(module, Dense):
            _write_dense(path, module)
        else:
            write_json(path / "config.json", {})
    prefix = "sentence_transformers.models."  # the names that every version of sentence-transformers reads
    entries = [
        {"idx": i, "name": str(i), "path": path, "type": prefix + kind} for i, (kind, path) in enumerate(modules)
    ]
    write_json(folder / "modules.json", entries)
    _write_prompts(folder, settings)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@contextmanager
def _asking_for_layers(config: Any, wanted: bool) -> Iterator[None]:
    """Write ``output_hidden_states`` into the saved config: sentence-transformers reads it to hand the layers on."""
    before = config.output_hidden_states
    config.output_hidden_states = wanted
    try:
        yield
    finally:
        config.output_hidden_states = before


def _write_backbone(folder: Path, encoder: Encoder) -> None:
    """The backbone's weights, with a BERT-like pooler filled from the head: ``pooler_output`` is then the vector.

    Without a head, the pooler that the start model brought goes along: ``AutoModel`` would otherwise make one up.
    """
    backbone: Any = encoder.backbone
    if has_lora(encoder):
        write_adapter(folder, backbone)
        return
    state = {name: tensor.detach().cpu() for name, tensor in backbone.state_dict().items()}
    prefix, head = encoder.pooler_prefix, encoder.head
    if head is not None and prefix is not None and head.is_pooler:
        state[f"{prefix}.weight"] = head.linear.weight.detach().cpu()
        state[f"{prefix}.bias"] = head.linear.bias.detach().cpu()
    elif head is None and encoder.spare_pooler is not None:
        state |= encoder.spare_pooler
    with quiet_transformers():
        backbone.save_pretrained(folder, state_dict=state)


def _write_layers(path: Path, encoder: Encoder) -> None:
    """WeightedLayerPooling over hidden states ``layer_start`` to L with weights that pick two of them."""
    import safetensors.torch

    layers = int(encoder.config.num_hidden_layers)
    start = max(layers - 1, 0) if encoder.pooling == "avg_top2" else 1
    weights = torch.zeros(layers + 1 - start)
    weights[0] = weights[-1] = 1.0
    values = {"embedding_dimension": encoder.hidden_size, "layer_start": start, "num_hidden_layers": layers}
    write_json(path / "config.json", values)
    safetensors.torch.save_file({"layer_weights": weights}, path / "model.safetensors")


def _write_word_weights(path: Path, tokenizer: Any) -> None:
    """WordWeights that are 1 for the mask token and 0 for all others: a mean behind them is that token's vector."""
    vocabulary = tokenizer.get_vocab()
    words = [""] * (max(vocabulary.values()) + 1)
    for word, i in vocabulary.items():
        words[i] = word
    values = {"vocab": words, "word_weights": {tokenizer.mask_token: 1.0}, "unknown_word_weight": 0.0}
    write_json(path / "config.json", values)


def _write_pooling(path: Path, encoder: Encoder, settings: Settings) -> None:
    mode = POOLERS[encoder.pooling].st_mode
    values: dict[str, Any] = {"word_embedding_dimension": encoder.hidden_size}
    values |= {key: known == mode for key, known in _LEGACY.items()}
    include_prompt = settings.include_prompt or POOLERS[encoder.pooling].mask_token  # the mask token is none of it
    write_json(path / "config.json", values | {"include_prompt": include_prompt})


def _write_dense(path: Path, dense: Dense) -> None:
    import safetensors.torch

    activation = type(dense.activation)
    values = {
        "in_features": dense.linear.in_features,
        "out_features": dense.linear.out_features,
        "bias": dense.linear.bias is not None,
        "activation_function": f"{activation.__module__}.{activation.__name__}",
    }
    write_json(path / "config.json", values | ({"use_residual": True} if dense.use_residual else {}))
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in dense.state_dict().items()}
    safetensors.torch.save_file(state, path / "model.safetensors")


def _write_prompts(folder: Path, settings: Settings) -> None:
    values: dict[str, Any] = {
        "__version__": {name: version(package) for name, package in _VERSIONS.items()},
        "prompts": settings.prompts,
        "default_prompt_name": settings.default_prompt_name,
        "similarity_fn_name": settings.similarity_fn_name,
    }
    if settings.truncate_dim is not None:
        values["truncate_dim"] = settings.truncate_dim
    write_json(folder / "config_sentence_transformers.json", values)
