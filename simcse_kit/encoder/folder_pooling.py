"""Poolings as sentence-transformers writes them: the modules between Transformer and Dense."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from simcse_kit.encoder.backbone import read_state, whole_of
from simcse_kit.encoder.modules import Encoder
from simcse_kit.encoder.poolers import OUTPUT, POOLERS, Pooler
from simcse_kit.errors import ModelError, UnsupportedModelError, say_once
from simcse_kit.files import as_written, read_json, write_json
from simcse_kit.parts import is_named

NOT_PORTABLE = "simcse_kit.encoder.poolers.NotInSentenceTransformers"
"""Marks in ``modules.json`` a pooling that sentence-transformers does not have; it rejects such a module."""
_FLAGS = {  # keys of Pooling's config in older versions of sentence-transformers, which every version reads
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_SAME = 1e-6  # shares of a layer that differ by less count as equal


class LayerWeights(NamedTuple):
    """Content of a WeightedLayerPooling."""

    path: Path
    start: int  # first hidden state in the average; 0 is the embeddings
    weights: list[float]  # one weight each, from this layer on


def read_mode(path: Path) -> tuple[str, bool]:
    """Mode of a Pooling, and whether it includes tokens of a prompt."""
    values = read_json(path / "config.json", ModelError)
    modes = values.get("pooling_mode")
    if modes is None:
        modes = [mode for flag, mode in _FLAGS.items() if values.get(flag)]
    modes = [modes] if isinstance(modes, str) else list(modes)
    supported = dict.fromkeys(
        pooler.st_mode for pooler in POOLERS if pooler.st_mode and pooler.layers == OUTPUT and not pooler.mask_token
    )
    if len(modes) != 1 or modes[0] not in supported:
        raise UnsupportedModelError(
            f"{path}: pooling {' + '.join(modes)} is not supported; supported: {', '.join(supported)}, alone"
        )
    return modes[0], bool(values.get("include_prompt", True))


def read_layers(path: Path) -> LayerWeights:
    """Config and weights of a WeightedLayerPooling."""
    with as_written(path / "config.json", ModelError):
        start = int(read_json(path / "config.json", ModelError)["layer_start"])
    return LayerWeights(path, start, read_state(path)["layer_weights"].tolist())


def read_word_weights(path: Path) -> str:
    """The only token that counts."""
    values = read_json(path / "config.json", ModelError)
    counting = [word for word, weight in values["word_weights"].items() if weight]
    if values.get("unknown_word_weight", 1) or len(counting) != 1:
        raise UnsupportedModelError(
            f"{path}: word weights are supported only for pooling {_listed(_of_mask())}, where only the mask "
            "token counts"
        )
    return str(counting[0])


def name_pooling(
    folder: Path, mode: str, *, layers: LayerWeights | None, masks: bool, dense_tanh: bool, recorded: str | None
) -> str:
    """The pooling of a folder's modules: the ``recorded`` one if it fits, else the first that fits.

    Args:
        folder: for errors.
        mode: mode of its Pooling.
        layers: its WeightedLayerPooling, if any.
        masks: whether its WordWeights count only the mask token.
        dense_tanh: whether a Dense with tanh follows.
        recorded: the pooling in ``simcse_kit.json``; needed for a user's own pooling, which is not in `POOLERS`.
    """
    if recorded is not None and is_named(recorded):
        return recorded
    fitting = [pooler for pooler in POOLERS if pooler.st_mode == mode and pooler.mask_token == masks]
    if masks and not fitting:
        raise UnsupportedModelError(
            f"{folder}: WordWeights with pooling {mode} is not supported, only with {_listed(_of_mask(), mode=True)}"
        )
    if layers is None:
        fitting = [pooler for pooler in fitting if pooler.layers == OUTPUT]
    else:
        fitting = _of_layers(folder, mode, layers, fitting)
    with_head = [pooler for pooler in fitting if pooler.head]
    fitting = with_head if dense_tanh and with_head else [pooler for pooler in fitting if not pooler.head]
    names = [pooler.name for pooler in fitting]
    if not names:
        raise UnsupportedModelError(f"{folder}: its modules match none of the poolings {', '.join(POOLERS.names())}")
    return recorded if recorded in names else names[0]


def _of_layers(folder: Path, mode: str, layers: LayerWeights, poolers: Sequence[Pooler]) -> list[Pooler]:
    """Poolings that average the layers with these weights."""
    known = [pooler for pooler in POOLERS if pooler.layers != OUTPUT]
    if not any(pooler.layers != OUTPUT for pooler in poolers):
        raise UnsupportedModelError(
            f"{folder}: WeightedLayerPooling with pooling {mode} is not supported, only with "
            f"{_listed(known, mode=True)}"
        )
    depth, total = layers.start + len(layers.weights) - 1, sum(layers.weights)
    found = [0.0] * layers.start + [weight / total if total else 0.0 for weight in layers.weights]
    fitting = [pooler for pooler in poolers if _equal(_shares(pooler, depth), found)]
    if not fitting:
        raise UnsupportedModelError(
            f"{layers.path}: layer weights {layers.weights} from layer {layers.start} are neither "
            f"{' nor '.join(pooler.name for pooler in known)}"
        )
    return sorted(fitting, key=lambda pooler: pooler.layers == OUTPUT)  # the last layer alone is also the output


def _shares(pooler: Pooler, depth: int) -> list[float]:
    """Share of each hidden state 0 to ``depth`` in the average; empty if a layer does not exist."""
    shares = [0.0] * (depth + 1)
    for layer in pooler.layers:
        if not -depth - 1 <= layer <= depth:
            return []
        shares[layer] += 1 / len(pooler.layers)
    return shares


def _equal(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(abs(a - b) < _SAME for a, b in zip(one, other, strict=True))


def _of_mask() -> list[Pooler]:
    return [pooler for pooler in POOLERS if pooler.mask_token]


def _listed(poolers: Sequence[Pooler], *, mode: bool = False) -> str:
    return ", ".join(dict.fromkeys(str(pooler.st_mode) if mode else pooler.name for pooler in poolers))


def layered(encoder: Encoder) -> bool:
    """Whether a saved folder must record which layers are averaged."""
    return encoder.pooler.layers != OUTPUT and encoder.pooler.st_mode is not None


def write_pooling(folder: Path, encoder: Encoder, tokenizer: Any, include_prompt: bool) -> list[tuple[str, str]]:
    """Write the modules of the encoder's pooling, next to the Transformer at the root; type and folder of each."""
    pooler, modules = encoder.pooler, []
    whole = whole_of(encoder.backbone)
    if pooler.st_mode is None or whole is not None:
        lacks = f"has no pooling like {encoder.pooling}" if whole is None else f"reads {whole.architecture}'s decoder"
        say_once(f"sentence-transformers {lacks}: it cannot load the saved model; SimCSE can")
        (folder / "1_Pooling").mkdir()
        write_json(folder / "1_Pooling" / "config.json", {"pooling": encoder.pooling})
        return [(NOT_PORTABLE, "1_Pooling")]
    if layered(encoder):
        modules.append(("WeightedLayerPooling", "1_WeightedLayerPooling"))
        _write_layers(folder / modules[-1][1], encoder)
    if pooler.mask_token:
        modules.append(("WordWeights", f"{len(modules) + 1}_WordWeights"))
        _write_word_weights(folder / modules[-1][1], tokenizer)
    modules.append(("Pooling", f"{len(modules) + 1}_Pooling"))
    (folder / modules[-1][1]).mkdir()
    values: dict[str, Any] = {"word_embedding_dimension": encoder.hidden_size}
    values |= {flag: mode == pooler.st_mode for flag, mode in _FLAGS.items()}
    values["include_prompt"] = include_prompt or pooler.mask_token  # the mask token is not part of a prompt
    write_json(folder / modules[-1][1] / "config.json", values)
    return modules


def _write_layers(path: Path, encoder: Encoder) -> None:
    """WeightedLayerPooling over hidden states ``layer_start`` to L with their weights."""
    import safetensors.torch

    depth = int(encoder.config.num_hidden_layers)
    counts = torch.zeros(depth + 1)
    for layer in encoder.pooler.layers:
        counts[layer] += 1.0
    start = int(counts.nonzero()[0])
    path.mkdir()
    values = {"embedding_dimension": encoder.hidden_size, "layer_start": start, "num_hidden_layers": depth}
    write_json(path / "config.json", values)
    safetensors.torch.save_file({"layer_weights": counts[start:].clone()}, path / "model.safetensors")


def _write_word_weights(path: Path, tokenizer: Any) -> None:
    """WordWeights with 1 for the mask token and 0 for all others: a mean after them is that token's vector."""
    vocabulary = tokenizer.get_vocab()
    words = [""] * (max(vocabulary.values()) + 1)
    for word, i in vocabulary.items():
        words[i] = word
    path.mkdir()
    values = {"vocab": words, "word_weights": {tokenizer.mask_token: 1.0}, "unknown_word_weight": 0.0}
    write_json(path / "config.json", values)
