"""Loading a HuggingFace backbone of any architecture, without guessing what is missing."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from simcse_kit.errors import ModelError, TrainingError

_WEIGHTS = "model.safetensors"
_OLD_WEIGHTS = "pytorch_model.bin"
BERT_LIKE = ("bert", "roberta", "xlm-roberta", "camembert", "electra")  # one layer code under several names
PACKED = "simcse_kit_packed"  # our attention over batches without padding, in transformers' table
_NOT_TENSORS = (
    "broken, or more than tensors: torch.load(weights_only=True) refuses it, and nothing else is unpickled here"
)


class PoolerDense(NamedTuple):
    """The dense layer of a backbone's own pooler (``pooler_output`` before the tanh)."""

    prefix: str  # where it lies in the backbone's weights: "pooler.dense", or "pooler" in ALBERT
    weight: Tensor  # (D, D)
    bias: Tensor  # (D,)


class Backbone(NamedTuple):
    """A loaded backbone with its pooler taken off."""

    model: nn.Module
    pooler: PoolerDense | None  # None where the checkpoint has no weights for one
    pooler_prefix: str | None  # where this architecture keeps a pooler's dense layer, if it has one


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' load report and bars away: what is missing is judged here, and said in our words."""
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
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder}: config.json cannot be used: {str(error).strip().splitlines()[0]}") from error
    config.output_hidden_states = False  # asked for call by call, where a pooling needs them
    if dropout is not None:
        set_dropout(config, dropout)
    return config


def is_causal(config: Any) -> bool:
    """Whether a token of this architecture sees only those before it: a decoder that transformers has no encoder of."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    return type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and type(config) not in MODEL_FOR_MASKED_LM_MAPPING


def set_dropout(config: Any, probability: float) -> None:
    """Set every dropout probability of a config, whatever the architecture calls it."""
    names = [
        key
        for key, value in config.to_dict().items()
        if ("dropout" in key or key.endswith("pdrop"))
        and "classifier" not in key
        and (value is None or isinstance(value, int | float))
        and not isinstance(value, bool)
    ]
    if not names:
        raise TrainingError(f"--dropout: a {config.model_type} config has no dropout setting")
    for name in names:
        setattr(config, name, probability)


def load_backbone(folder: Path, config: Any, *, trust_remote_code: bool = False) -> Backbone:
    """Build the backbone and load its weights in float32; a missing weight is an error, the pooler's excepted."""
    from transformers import AutoModel, AutoModelForTextEncoding

    auto: Any = AutoModelForTextEncoding if getattr(config, "is_encoder_decoder", False) else AutoModel
    try:
        with quiet_transformers():
            model, info = auto.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                output_loading_info=True,
                trust_remote_code=trust_remote_code,
            )
    except pickle.UnpicklingError as error:
        raise ModelError(f"{folder / _OLD_WEIGHTS}: {_NOT_TENSORS}") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{folder}: the weights cannot be loaded: {_first_line(error)}") from error
    _require(folder, [key for key in info["missing_keys"] if not key.startswith("pooler")])
    return _take_pooler(model, pooler_loaded=not any(key.startswith("pooler") for key in info["missing_keys"]))


def build_backbone(folder: Path, config: Any, state: dict[str, Tensor]) -> Backbone:
    """Build the backbone from a config and given weights (bare names, as in ``BertModel``)."""
    from transformers import AutoModel, AutoModelForTextEncoding

    auto: Any = AutoModelForTextEncoding if getattr(config, "is_encoder_decoder", False) else AutoModel
    config.architectures = None  # a class of the original project; saving writes the real one
    with quiet_transformers():
        model = auto.from_config(config, dtype=torch.float32)
    model.name_or_path = str(folder)  # as from_pretrained does
    missing, unexpected = fill(model, state, folder)
    _require(folder, [key for key in missing if not key.startswith("pooler")])
    strange = [key for key in unexpected if not key.endswith("position_ids")]
    if strange:
        raise ModelError(f"{folder}: weights that no {type(model).__name__} has: {', '.join(strange[:5])}")
    return _take_pooler(model, pooler_loaded=not any(key.startswith("pooler") for key in missing))


def fill(module: nn.Module, state: dict[str, Tensor], folder: Path) -> tuple[list[str], list[str]]:
    """Load weights by name; returns the missing and the unexpected names, a tensor of another shape is an error."""
    try:
        missing, unexpected = module.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ModelError(f"{folder}: {' '.join(str(error).split())}") from error
    return missing, unexpected


def _require(folder: Path, missing: list[str]) -> None:
    if missing:
        raise ModelError(
            f"{folder}: {len(missing)} weights are missing, among them {', '.join(sorted(missing)[:3])}; "
            "the weights file does not belong to this config.json"
        )


def _take_pooler(model: Any, *, pooler_loaded: bool) -> Backbone:
    """Take the backbone's pooler off: a pooled vector is made in one place, by `Encoder`."""
    model.config.use_cache = False  # a decoder's cache is of no use for one pass over a sentence
    pooler = getattr(model, "pooler", None)
    prefix = None
    dense = None
    if isinstance(pooler, nn.Module):
        prefix = "pooler" if isinstance(pooler, nn.Linear) else "pooler.dense"
        linear = pooler if isinstance(pooler, nn.Linear) else getattr(pooler, "dense", None)
        if isinstance(linear, nn.Linear) and pooler_loaded:
            dense = PoolerDense(prefix, linear.weight.detach().clone(), linear.bias.detach().clone())
        model.pooler = None
    return Backbone(model, dense, prefix)


def read_state(folder: Path) -> dict[str, Tensor]:
    """A folder's weights by name: safetensors, or an old ``pytorch_model.bin`` read with ``weights_only=True``."""
    import safetensors.torch

    if (folder / _WEIGHTS).is_file():
        return dict(safetensors.torch.load_file(folder / _WEIGHTS))
    path = folder / _OLD_WEIGHTS
    if not path.is_file():
        raise ModelError(f"{folder}: no {_WEIGHTS} (nor {_OLD_WEIGHTS})")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle's, zip's and its own
        raise ModelError(f"{path}: {_NOT_TENSORS}") from error
    return {str(key): value for key, value in state.items()}


def state_keys(folder: Path) -> set[str]:
    """Names of the weights in ``model.safetensors``, without reading them; empty where there is none."""
    from safetensors import SafetensorError, safe_open

    if not (folder / _WEIGHTS).is_file():
        return set()
    try:
        with safe_open(folder / _WEIGHTS, "pt") as file:
            return set(file.keys())
    except SafetensorError as error:
        raise ModelError(f"{folder / _WEIGHTS}: broken or cut off: {error}") from error


def max_positions(model: Any) -> int | None:
    """The longest input of a backbone in tokens, None where it has no limit of its own.

    RoBERTa, XLM-R and MPNet number positions from ``padding_idx + 1``: 514 positions hold 512 tokens.
    """
    limit = getattr(model.config, "max_position_embeddings", None)
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None:
            limit = module.num_embeddings - module.padding_idx - 1
    return int(limit) if isinstance(limit, int) and limit > 0 else None


def first_position(backbone: nn.Module) -> int | None:
    """The position of a sentence's first token; None where positions do not come from embeddings alone.

    BERT counts from 0, RoBERTa from ``padding_idx + 1``; MPNet and DeBERTa also count distances within the row.
    """
    modules = dict(backbone.named_modules())
    if any("relative_attention" in name or "rel_embeddings" in name for name in modules):
        return None
    for name, module in modules.items():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return 0 if module.padding_idx is None else module.padding_idx + 1
    return None


def load_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The folder's tokenizer, padding on the right; a decoder's without a pad token pads with its end token.

    No end token is added where the tokenizer adds none: ``last_token`` is then the text's own last token, as in
    sentence-transformers, and as the model saw it in training.
    """
    from transformers import AutoTokenizer

    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # tokenizers raises bare Exception
        raise ModelError(f"{folder}: the tokenizer cannot be loaded: {_first_line(error)}") from error
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token if tokenizer.eos_token is not None else tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise ModelError(f"{folder}: the tokenizer has neither a pad token nor an end token to pad with")
    return tokenizer


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
