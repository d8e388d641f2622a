"""Reads and writes sentence-transformers folders: ``modules.json`` and the modules it names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from simcse_kit.encoder.backbone import quiet_transformers, read_state, whole_of
from simcse_kit.encoder.folder_pooling import (
    NOT_PORTABLE,
    LayerWeights,
    layered,
    name_pooling,
    read_layers,
    read_mode,
    read_word_weights,
    write_pooling,
)
from simcse_kit.encoder.intact import inside
from simcse_kit.encoder.lora import ADAPTER, has_lora, write_adapter
from simcse_kit.encoder.modules import Dense, Encoder, Normalize
from simcse_kit.encoder.settings import RECORD, Settings
from simcse_kit.encoder.template import portable
from simcse_kit.errors import ModelError, UnsupportedModelError, say_once
from simcse_kit.files import read_json, write_json

_NO_LIMIT = 1e9  # tokens
_OLD_TRANSFORMERS = ("ALBERT", "BERT", "CamemBERT", "DistilBERT", "RoBERTa", "T5", "XLMRoBERTa", "XLNet")
"""Names of the Transformer module in sentence-transformers before 0.3, by backbone."""
_VERSIONS = {"sentence_transformers": "sentence-transformers", "transformers": "transformers", "pytorch": "torch"}


@dataclass
class SentenceTransformersFolder:
    """Content of a ``modules.json``: path of the backbone, pooling, and the modules after it."""

    transformer: Path
    pooling: str
    post: list[nn.Module]
    settings: Settings
    mask_token: str | None = None  # spelled as in its WordWeights, for a pooling that reads it


def read_modules(folder: Path, recorded: str | None = None) -> SentenceTransformersFolder:
    """Read a sentence-transformers folder: Transformer, Pooling, then any Dense and Normalize.

    If several poolings have the same modules, the one ``recorded`` in our own file is used.
    """
    try:
        return _read_modules(folder, recorded)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:  # torch raises it for weights of another size
        raise ModelError(f"{folder}: modules.json and its modules do not match: {error!r}") from error


def _read_modules(folder: Path, recorded: str | None) -> SentenceTransformersFolder:
    transformer: Path | None = None
    mode: str | None = None  # config of the Pooling
    layers: LayerWeights | None = None
    mask_token: str | None = None
    post: list[nn.Module] = []
    settings = Settings()
    for entry in sorted(read_json(folder / "modules.json", ModelError, list), key=lambda entry: entry["idx"]):
        kind = entry["type"].rsplit(".", 1)[-1]
        path = inside(folder, entry["path"], "modules.json")
        if kind == "Transformer" or kind in _OLD_TRANSFORMERS:
            transformer = path
            _read_transformer(path, settings)
        elif kind == "WeightedLayerPooling":
            layers = read_layers(path) if _hands_layers_on(transformer) else None
        elif kind == "WordWeights":
            mask_token = read_word_weights(path)
        elif kind == "Pooling":
            mode, settings.include_prompt = read_mode(path)
        elif entry["type"] == NOT_PORTABLE:
            mode = NOT_PORTABLE
        elif kind == "Dense" and mode is not None:
            post.append(_read_dense(path))
        elif kind == "Normalize":
            post.append(Normalize())
        elif kind != "Dropout":  # a Dropout does nothing outside training
            raise UnsupportedModelError(
                f"{folder}: module {kind} of modules.json is not supported; "
                "supported: Transformer, WeightedLayerPooling, WordWeights, Pooling, Dense, Normalize"
            )
    if transformer is None or mode is None:
        raise UnsupportedModelError(f"{folder}: modules.json has no Transformer followed by a Pooling")
    if mode == NOT_PORTABLE:
        if recorded is None:
            raise ModelError(f"{folder}: sentence-transformers does not have its pooling, and no {RECORD} names it")
        pooling = recorded
    else:
        dense_tanh = bool(post) and isinstance(post[0], Dense) and isinstance(post[0].activation, nn.Tanh)
        pooling = name_pooling(
            folder, mode, layers=layers, masks=mask_token is not None, dense_tanh=dense_tanh, recorded=recorded
        )
    _read_prompts(folder, settings)
    return SentenceTransformersFolder(transformer, pooling, post, settings, mask_token)


def _read_transformer(path: Path, settings: Settings) -> None:
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"):
        if (path / f"sentence_{name}_config.json").is_file():
            values = read_json(path / f"sentence_{name}_config.json", ModelError)
            settings.max_seq_length = length_limit(values.get("max_seq_length"), path / f"sentence_{name}_config.json")
            settings.do_lower_case = bool(values.get("do_lower_case", False))
            if values.get("module_output_name", "token_embeddings") != "token_embeddings":
                raise UnsupportedModelError(
                    f"{path}: this type of Transformer does not give token embeddings and is not supported"
                )
            return


def length_limit(value: Any, file: Path) -> int | None:
    """A limit in tokens; values above the limit of every model mean no limit."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 1):
        raise ModelError(f"{file}: max_seq_length must be a number of tokens, at least 1, or null; got {value!r}")
    return None if value is None or value > _NO_LIMIT else int(value)


def _hands_layers_on(transformer: Path | None) -> bool:
    """Whether the config requests all layers; without them, sentence-transformers skips a WeightedLayerPooling."""
    if transformer is not None and any(values.get("output_hidden_states") for values in _configs(transformer)):
        return True
    say_once(
        f"{transformer}: config.json does not set output_hidden_states, so its WeightedLayerPooling has no effect, "
        "as in sentence-transformers"
    )
    return False


def _configs(transformer: Path) -> list[dict[str, Any]]:
    """The backbone's config with sentence-transformers' changes; adapters have only the changes."""
    path = transformer / "sentence_bert_config.json"
    over = read_json(path, ModelError).get("config_args") or {} if path.is_file() else {}
    if (transformer / ADAPTER).is_file() and not (transformer / "config.json").is_file():
        return [over]
    return [over, read_json(transformer / "config.json", ModelError)]


def _read_dense(path: Path) -> Dense:
    values = read_json(path / "config.json", ModelError)
    activation = torch_activation(str(values.get("activation_function", "torch.nn.modules.activation.Tanh")), path)
    if values.get("module_input_name", "sentence_embedding") != "sentence_embedding":
        raise UnsupportedModelError(f"{path}: a Dense that reads {values['module_input_name']} is not supported")
    dense = Dense(
        values["in_features"],
        values["out_features"],
        bias=values.get("bias", True),
        activation=activation,
        residual=values.get("use_residual", False),
    )
    dense.load_state_dict(read_state(path))
    return dense.float()


def torch_activation(path: str, folder: Path) -> str:
    """Name in ``torch.nn`` of an activation that a folder gives as a path; others raise an error."""
    module, _, name = path.rpartition(".")
    if not module.startswith("torch.nn") or not hasattr(nn, name):
        raise UnsupportedModelError(f"{folder}: activation {path} is not in torch.nn and is not loaded")
    return name


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
    """Write an encoder as a sentence-transformers folder, with the backbone at its root."""
    inner = layered(encoder)
    with _asking_for_layers(encoder.config, inner):
        _write_backbone(folder, encoder)
    if tokenizer.is_fast:  # else the file would store the length of the last call
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    with quiet_transformers():
        portable(tokenizer).save_pretrained(folder)
    limits: dict[str, Any] = {"max_seq_length": settings.max_seq_length, "do_lower_case": settings.do_lower_case}
    if inner and has_lora(encoder):  # there is no config to store it
        limits["config_args"] = {"output_hidden_states": True}
    write_json(folder / "sentence_bert_config.json", limits)
    modules = [("Transformer", ""), *write_pooling(folder, encoder, tokenizer, settings.include_prompt)]
    for module in encoder.post:
        kind = type(module).__name__
        modules.append((kind, f"{len(modules)}_{kind}"))
        path = _made(folder / modules[-1][1])
        if isinstance(module, Dense):
            _write_dense(path, module)
        else:
            write_json(path / "config.json", {})
    prefix = "sentence_transformers.models."  # names that every version of sentence-transformers reads
    entries = [
        {"idx": i, "name": str(i), "path": path, "type": kind if "." in kind else prefix + kind}
        for i, (kind, path) in enumerate(modules)
    ]
    write_json(folder / "modules.json", entries)
    _write_prompts(folder, settings)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@contextmanager
def _asking_for_layers(config: Any, wanted: bool) -> Iterator[None]:
    """Write ``output_hidden_states`` into the saved config, so that sentence-transformers returns all layers."""
    before = config.output_hidden_states
    config.output_hidden_states = wanted
    try:
        yield
    finally:
        config.output_hidden_states = before


def _write_backbone(folder: Path, encoder: Encoder) -> None:
    """Weights of the backbone, with a BERT-like pooler filled from the head, so that ``pooler_output`` is the vector.

    Without a head, the start model's pooler is saved too; otherwise ``AutoModel`` would initialise a new one.
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
    whole = whole_of(backbone)
    if whole is not None:
        state = {whole.names.get(name, name): tensor for name, tensor in state.items()}
    with quiet_transformers():
        backbone.save_pretrained(folder, state_dict=state)
    if whole is not None:  # transformers has no class that loads only the encoder
        config = read_json(folder / "config.json", ModelError)
        write_json(folder / "config.json", config | {"architectures": [whole.architecture]})


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
