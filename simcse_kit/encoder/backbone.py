"""Loads HuggingFace backbones of any architecture; missing weights are never guessed."""

from __future__ import annotations

import contextlib
import importlib.util
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from simcse_kit.encoder.intact import check_sizes, check_vocabulary, check_weights, inside
from simcse_kit.errors import MissingExtraError, ModelError, TrainingError
from simcse_kit.files import read_json

_WEIGHTS = "model.safetensors"
_OLD_WEIGHTS = "pytorch_model.bin"
BERT_LIKE = ("bert", "roberta", "xlm-roberta", "camembert", "electra")  # several names for the same layer code
PACKED = "simcse_kit_packed"  # our attention for batches without padding, in transformers' table
_OTHER_SHAPE = "a weight has another shape there"
_SENTENCEPIECE = {"sentencepiece": "sentencepiece", "protobuf": "google.protobuf"}  # package: module
_NOT_TENSORS = (
    "damaged, or more than tensors: torch.load(weights_only=True) rejects it, and this package unpickles nothing else"
)


class PoolerDense(NamedTuple):
    """The dense layer of a backbone's own pooler (``pooler_output`` before the tanh)."""

    prefix: str  # its prefix among the backbone's weights: "pooler.dense", or "pooler" in ALBERT
    weight: Tensor  # (D, D)
    bias: Tensor  # (D,)


class Whole(NamedTuple):
    """An encoder-decoder model whose encoder has no class of its own (BART)."""

    architecture: str  # its class
    names: dict[str, str]  # names of the encoder's weights: there by here


class _NoPooler(nn.Module):
    """Replaces a pooler that some backbones always call; its result is not used."""

    def forward(self, states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the input unchanged."""
        return states


class Backbone(NamedTuple):
    """A loaded backbone without its pooler."""

    model: nn.Module
    pooler: PoolerDense | None  # None if the checkpoint has no weights for one
    pooler_prefix: str | None  # where this architecture stores a pooler's dense layer, if it has one


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hide transformers' load report and bars; this module checks what is missing and reports it."""
    from transformers import utils

    logging: Any = utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def load_config(folder: Path, *, trust_remote_code: bool = False, dropout: float | None = None) -> Any:
    """The folder's config; ``dropout`` sets every dropout probability in it."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # its checks of types and values raise their own errors
        _refuse_own_code(folder, "config.json", trust_remote_code, error)
        raise ModelError(f"{folder}: config.json cannot be used: {_first_line(error)}") from error
    config.output_hidden_states = False  # requested per call, if a pooling needs them
    if dropout is not None:
        set_dropout(config, dropout)
    return config


def is_causal(config: Any) -> bool:
    """Whether tokens of this architecture see only earlier tokens: a decoder without encoder class in transformers."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    if getattr(config, "is_encoder_decoder", False):  # only its encoder is used
        return False
    return type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and type(config) not in MODEL_FOR_MASKED_LM_MAPPING


def set_dropout(config: Any, probability: float) -> None:
    """Set every dropout probability of a config, under any name."""
    names = [
        key
        for key, value in config.to_dict().items()
        if ("dropout" in key or key.endswith("pdrop"))
        and "classifier" not in key
        and (value is None or isinstance(value, int | float))
        and not isinstance(value, bool)
    ]
    if not names:
        raise TrainingError(f"--dropout: the config of {config.model_type} has no dropout setting")
    for name in names:
        setattr(config, name, probability)


def load_backbone(folder: Path, config: Any, *, trust_remote_code: bool = False) -> Backbone:
    """Build the backbone and load its weights in float32. A missing weight is an error, except in the pooler.

    For an encoder-decoder model this is the encoder. Weights that are not finite raise an error too.
    """
    alone = _encoder_class(config)
    if alone is not None:
        model, lacking = load_weights(alone, folder, config)
    else:
        from transformers import AutoModel

        model, lacking = load_weights(AutoModel, folder, config, trust_remote_code=trust_remote_code)
    missing = [key for key in lacking if not key.startswith("pooler")]
    if alone is None and getattr(config, "is_encoder_decoder", False):
        model = _encoder_of(model)
        missing = [key for key in missing if not key.startswith("decoder")]
    require_weights(folder, missing)
    check_weights(folder, model)
    return _take_pooler(model, pooler_loaded=not any(key.startswith("pooler") for key in lacking))


def load_weights(kind: Any, folder: Path, config: Any, **given: Any) -> tuple[Any, list[str]]:
    """A model of a transformers class in float32, and the names of the weights missing from the folder."""
    check_sizes(folder, config)
    try:
        with quiet_transformers():
            model, info = kind.from_pretrained(
                folder, config=config, dtype=torch.float32, output_loading_info=True, **given
            )
    except pickle.UnpicklingError as error:
        raise ModelError(f"{folder / _OLD_WEIGHTS}: {_NOT_TENSORS}") from error
    except Exception as error:  # the architecture's code met an unexpected value
        reason = _OTHER_SHAPE if "ignore_mismatched_sizes" in str(error) else _first_line(error)
        raise ModelError(f"{folder}: cannot load the weights with this config.json: {reason}") from error
    return model, list(info["missing_keys"])


def build_backbone(folder: Path, config: Any, state: dict[str, Tensor]) -> Backbone:
    """Build the backbone from a config and given weights (bare names, as in ``BertModel``)."""
    from transformers import AutoModel

    check_sizes(folder, config)
    config.architectures = None  # a class of the original project; saving writes the actual one
    auto: Any = AutoModel
    with quiet_transformers():
        model = auto.from_config(config, dtype=torch.float32)
    model.name_or_path = str(folder)  # like from_pretrained
    missing, unexpected = fill(model, state, folder)
    require_weights(folder, [key for key in missing if not key.startswith("pooler")])
    strange = [key for key in unexpected if not key.endswith("position_ids")]
    if strange:
        raise ModelError(f"{folder}: weights that {type(model).__name__} does not have: {', '.join(strange[:5])}")
    check_weights(folder, model)
    return _take_pooler(model, pooler_loaded=not any(key.startswith("pooler") for key in missing))


def fill(module: nn.Module, state: dict[str, Tensor], folder: Path) -> tuple[list[str], list[str]]:
    """Load weights by name; returns missing and unexpected names. Raises an error for a tensor of another shape."""
    try:
        missing, unexpected = module.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ModelError(f"{folder}: {' '.join(str(error).split())}") from error
    return missing, unexpected


def require_weights(folder: Path, missing: list[str]) -> None:
    """A `ModelError` that names some of the missing weights."""
    if missing:
        raise ModelError(
            f"{folder}: {len(missing)} weights are missing, such as {', '.join(sorted(missing)[:3])}; the "
            "weights file does not belong to this config.json"
        )


def _encoder_class(config: Any) -> Any:
    """transformers' class for the encoder of an encoder-decoder family (T5EncoderModel), or None.

    Checks the family, because the saved config of such an encoder no longer has ``is_encoder_decoder``.
    """
    import transformers

    kind = type(config)
    if not kind.__module__.startswith("transformers."):
        return None
    return getattr(transformers, f"{kind.__name__.removesuffix('Config')}EncoderModel", None)


def _encoder_of(whole: Any) -> Any:
    """The encoder of an encoder-decoder model, with the names of its weights there (`Whole`), for saving."""
    encoder = whole.get_encoder()
    names = {id(tensor): name for name, tensor in (*whole.named_parameters(), *whole.named_buffers())}
    inner = (*encoder.named_parameters(), *encoder.named_buffers())
    encoder.name_or_path = whole.name_or_path
    encoder.simcse_kit_whole = Whole(type(whole).__name__, {name: names[id(tensor)] for name, tensor in inner})
    return encoder


def whole_of(backbone: Any) -> Whole | None:
    """The whole model whose encoder this backbone is; None for a complete model."""
    return getattr(backbone, "simcse_kit_whole", None)


def is_encoder_of(config: Any, backbone: Any) -> bool:
    """Whether a backbone is the encoder of an encoder-decoder family, which ``AutoModel`` loads with its decoder."""
    return whole_of(backbone) is not None or _encoder_class(config) is not None


def _take_pooler(model: Any, *, pooler_loaded: bool) -> Backbone:
    """Remove the backbone's pooler: only `Encoder` makes pooled vectors."""
    model.config.use_cache = False  # a decoder's cache is useless for a single pass over a sentence
    pooler = getattr(model, "pooler", None)
    prefix = None
    dense = None
    if isinstance(pooler, nn.Module):
        prefix = "pooler" if isinstance(pooler, nn.Linear) else "pooler.dense"
        linear = pooler if isinstance(pooler, nn.Linear) else getattr(pooler, "dense", None)
        if isinstance(linear, nn.Linear) and pooler_loaded:
            dense = PoolerDense(prefix, linear.weight.detach().clone(), linear.bias.detach().clone())
        model.pooler = _NoPooler()
    return Backbone(model, dense, prefix)


def read_state(folder: Path) -> dict[str, Tensor]:
    """Weights of a folder by name: safetensors, or an old ``pytorch_model.bin`` read with ``weights_only=True``.

    Both may be split into shards that an index file names.
    """
    for name in (_WEIGHTS, _OLD_WEIGHTS):
        if (folder / name).is_file():
            return _read_weights(folder / name)
        if (folder / f"{name}.index.json").is_file():
            shards = sorted(set(_weight_map(folder, name).values()))
            return {
                key: tensor
                for shard in shards
                for key, tensor in _read_weights(inside(folder, shard, f"{name}.index.json")).items()
            }
    raise ModelError(f"{folder}: contains neither {_WEIGHTS} nor {_OLD_WEIGHTS}")


def _weight_map(folder: Path, name: str) -> dict[str, str]:
    """The shard of each weight, from the index of a weights file."""
    path = folder / f"{name}.index.json"
    found = read_json(path, ModelError)
    try:
        return {str(key): str(value) for key, value in found["weight_map"].items()}
    except (TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{path} has no weight_map, which gives the shard of each weight") from error


def _read_weights(path: Path) -> dict[str, Tensor]:
    """The weights in one file."""
    import safetensors.torch

    if not path.is_file():
        raise ModelError(f"{path} is missing; the index file names it as a shard")
    try:
        if path.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except safetensors.SafetensorError as error:
        raise ModelError(f"{path} is damaged or truncated: {error}") from error
    except Exception as error:  # torch raises errors of pickle, of zip and its own
        raise ModelError(f"{path}: {_NOT_TENSORS}") from error
    return {str(key): value for key, value in state.items()}


def state_keys(folder: Path) -> set[str]:
    """Names of the weights in ``model.safetensors`` or its shards, without reading them; may be empty."""
    from safetensors import SafetensorError, safe_open

    if not (folder / _WEIGHTS).is_file():
        return set(_weight_map(folder, _WEIGHTS)) if (folder / f"{_WEIGHTS}.index.json").is_file() else set()
    try:
        with safe_open(folder / _WEIGHTS, "pt") as file:
            return set(file.keys())
    except SafetensorError as error:
        raise ModelError(f"{folder / _WEIGHTS} is damaged or truncated: {error}") from error


def max_positions(model: Any) -> int | None:
    """The longest input of a backbone in tokens; None if it has no limit.

    RoBERTa, XLM-R and MPNet number positions from ``padding_idx + 1``: 514 positions hold 512 tokens.
    """
    limit = getattr(model.config, "max_position_embeddings", None)
    for name, module in model.named_modules():
        padding, weight = getattr(module, "padding_idx", None), getattr(module, "weight", None)
        if name.endswith("position_embeddings") and padding is not None and weight is not None:  # I-BERT has its own
            limit = len(weight) - padding - 1
    return int(limit) if isinstance(limit, int) and limit > 0 else None


def word_table(backbone: Any) -> nn.Embedding | None:
    """The word embedding table; None if the backbone has none (CANINE hashes characters)."""
    try:
        table = backbone.get_input_embeddings()
    except NotImplementedError:
        return None
    return table if isinstance(table, nn.Embedding) else None


def first_position(backbone: nn.Module) -> int | None:
    """The position of a sentence's first token; None if positions are not only in the embeddings.

    BERT counts from 0, RoBERTa from ``padding_idx + 1``; MPNet and DeBERTa also count distances within the row.
    """
    modules = dict(backbone.named_modules())
    if any("relative_attention" in name or "rel_embeddings" in name for name in modules):
        return None
    for name, module in modules.items():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return 0 if module.padding_idx is None else module.padding_idx + 1
    return None


def _refuse_own_code(folder: Path, file: str, trusted: bool, cause: Exception) -> None:
    """Raise a `ModelError` that names the option if the folder refers to custom code, which was not run."""
    path = folder / file
    found = {} if trusted or not path.is_file() else read_json(path, ModelError)
    if not isinstance(found, dict) or "auto_map" not in found:
        return
    raise ModelError(
        f"{folder}: this model contains custom Python code ({file} refers to it in auto_map), which was not "
        "run. Read the code; if you trust it, use trust_remote_code=True or --trust-remote-code"
    ) from cause


def load_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The folder's tokenizer, padding on the right. A decoder without a pad token pads with its end token.

    Adds no end token if the tokenizer adds none: ``last_token`` is then the last token of the text, as in
    sentence-transformers and in the model's training.
    """
    from transformers import AutoTokenizer

    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # tokenizers raises plain Exception
        _refuse_own_code(folder, "tokenizer_config.json", trust_remote_code, error)
        _name_sentencepiece(folder, error)
        raise ModelError(f"{folder}: cannot load the tokenizer: {_first_line(error)}") from error
    check_vocabulary(folder, tokenizer)
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token if tokenizer.eos_token is not None else tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise ModelError(f"{folder}: the tokenizer has neither a pad token nor an end token to pad with")
    return tokenizer


def _name_sentencepiece(folder: Path, cause: Exception) -> None:
    """Raise a `MissingExtraError` if the tokenizer is only a sentencepiece model and its reader is not installed."""
    models = sorted(path.name for path in folder.glob("*.model"))
    lacking = [package for package, module in _SENTENCEPIECE.items() if not _installed(module)]
    if models and lacking and not (folder / "tokenizer.json").is_file():
        raise MissingExtraError(
            f"{folder}: its tokenizer is only {models[0]}, without a tokenizer.json; to read it: pip install "
            f"{' '.join(lacking)}"
        ) from cause


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent module
        return False


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
