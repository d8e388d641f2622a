"""`CrossEncoder`: reads two texts together and scores the pair; reranks search results."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from simcse_kit.encoder.backbone import load_config, load_tokenizer, load_weights, max_positions, require_weights
from simcse_kit.encoder.backends.torch import MAX_TOKENS
from simcse_kit.encoder.call import checked_texts, reported, say_cut
from simcse_kit.encoder.device import pick_device
from simcse_kit.encoder.folder import length_limit, torch_activation
from simcse_kit.encoder.hub import resolve
from simcse_kit.encoder.intact import check_weights, inside
from simcse_kit.encoder.load import checked_length, settle_length
from simcse_kit.encoder.pairs import TokenPairs, tokenize_pairs
from simcse_kit.encoder.settings import Settings
from simcse_kit.encoder.speed.threads import products_of, threads_for
from simcse_kit.encoder.tokens import length_batches
from simcse_kit.errors import ModelError, UnsupportedModelError
from simcse_kit.files import read_json
from simcse_kit.types import Vectors

_CHUNK = 1 << 12  # pairs sorted by length together
_OWNER = "cross-encoder"  # owner on the hub of models named without one
_EXAMPLE = "cross-encoder/ms-marco-MiniLM-L6-v2"

Activation = Callable[[Tensor], Tensor]


class _Document(TypedDict):
    corpus_id: int
    score: float


class RankedDocument(_Document, total=False):
    """A document in `CrossEncoder.rank`: its position in the list, its score and, if requested, its text."""

    text: str


class CrossEncoder:
    """Scores pairs of texts, reading both together: slower than comparing vectors, and more accurate.

    Loads the models that sentence-transformers loads under this name, with the same scores: a sequence-classification
    model with one output, and the activation that its folder names (none: sigmoid).

    Args:
        name_or_path: a folder or a hub name; a name without an owner may be in the hub's ``cross-encoder/``.
        device: torch device; None is the first accelerator, else the CPU.
        max_seq_length: longest pair in tokens, with special ones; None takes the folder's.
        activation_fn: from the model's outputs to scores; None takes the folder's.
        revision: branch, tag or commit on the hub.
        local_files_only: never ask the hub.
        trust_remote_code: run Python code and an activation from the folder.

    Raises:
        ModelError: the model is not found, weights are missing, or it does not have exactly one output.
    """

    def __init__(
        self,
        name_or_path: str | Path,
        *,
        device: str | torch.device | None = None,
        max_seq_length: int | None = None,
        activation_fn: Activation | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        self._device = pick_device(device)
        source = resolve(
            name_or_path,
            revision=revision,
            local_files_only=local_files_only,
            trust_remote_code=trust_remote_code,
            owner=_OWNER,
        )
        self.name = source.name
        folder = _transformer(source.folder)
        config = load_config(folder, trust_remote_code=trust_remote_code)
        _check_kind(self.name, config)
        if activation_fn is None:
            activation_fn = _activation(source.folder, config, trust_remote_code=trust_remote_code)
        self.activation_fn = activation_fn
        self.tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
        model: Any = _classifier(self.name, folder, config, trust_remote_code=trust_remote_code)
        self.model = model.to(self._device).eval()
        self.model.config.pad_token_id = self.tokenizer.pad_token_id  # a decoder reads the last token before these
        self._settings = _settings(folder)
        settle_length(self._settings, self.tokenizer, self.model)
        if max_seq_length is not None:
            least = self.tokenizer.num_special_tokens_to_add(pair=True) + 2
            self._settings.max_seq_length = checked_length(max_seq_length, max_positions(self.model), least)
        self._products = products_of(self.model)

    @property
    def max_seq_length(self) -> int | None:
        """Longest pair in tokens, with special ones; None: no limit."""
        return self._settings.max_seq_length

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self._device

    def predict(
        self,
        inputs: Sequence[str] | Sequence[Sequence[str]],
        *,
        batch_size: int | None = None,
        show_progress_bar: bool = False,
        activation_fn: Activation | None = None,
    ) -> Any:
        """Scores of N pairs of texts, (N,) float32, higher for closer pairs; one pair gives one number.

        Pairs longer than ``max_seq_length`` are cut, with one notice.

        Args:
            inputs: pairs (first, second), or one pair.
            batch_size: pairs per forward pass; None: an efficient number.
            show_progress_bar: show one.
            activation_fn: instead of the model's.

        Raises:
            TypeError: an item that is not a pair of strings (with its index).
            ValueError: a batch size below 1.
        """
        single = len(inputs) == 2 and all(isinstance(text, str) for text in inputs)
        firsts, seconds = _columns([inputs] if single else inputs)  # type: ignore[list-item]
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be a positive integer; got {batch_size}")
        scores = np.empty(len(firsts), np.float32)
        activation = self.activation_fn if activation_fn is None else activation_fn
        cut = 0
        with reported(len(firsts), show_progress_bar) as on_batch:
            for start in range(0, len(firsts), _CHUNK):
                part = slice(start, start + _CHUNK)
                pairs = tokenize_pairs(self.tokenizer, firsts[part], seconds[part], self.max_seq_length)
                cut += pairs.cut
                self._score(pairs, scores[part], activation, batch_size, on_batch)
        say_cut(cut, len(firsts), self.name, self.max_seq_length, what="pairs of texts")
        return scores[0] if single else scores

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        *,
        batch_size: int | None = None,
        show_progress_bar: bool = False,
        activation_fn: Activation | None = None,
    ) -> list[RankedDocument]:
        """The ``top_k`` documents with the highest scores (None: all), best first, in sentence-transformers' form.

        Each is ``{"corpus_id": position in documents, "score": score}``, with ``"text"`` if ``return_documents``.
        """
        scores = self.predict(
            [(query, document) for document in documents],
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            activation_fn=activation_fn,
        ).tolist()
        order = sorted(range(len(documents)), key=lambda place: -scores[place])[:top_k]
        if return_documents:
            return [{"corpus_id": place, "score": scores[place], "text": documents[place]} for place in order]
        return [{"corpus_id": place, "score": scores[place]} for place in order]

    def _score(
        self,
        pairs: TokenPairs,
        out: Vectors,
        activation: Activation,
        batch_size: int | None,
        on_batch: Callable[[int], object],
    ) -> None:
        device, lengths = self.device, pairs.lengths
        accepted = inspect.signature(self.model.forward).parameters
        most = MAX_TOKENS["cpu" if device.type == "cpu" else "accelerator"]
        with torch.inference_mode():
            for places in length_batches(lengths, batch_size, most):
                rows = [pairs.rows[place] for place in places]
                batch = self.tokenizer.pad(
                    {name: [row[name] for row in rows] for name in rows[0]}, return_tensors="pt", verbose=False
                )
                given = {name: value.to(device) for name, value in batch.items() if name in accepted}
                with threads_for(int(lengths[places].sum()) * self._products):
                    outputs = activation(self.model(**given).logits.float())  # (B, 1)
                out[places] = outputs.reshape(len(places)).cpu().numpy()
                on_batch(len(places))

    def __repr__(self) -> str:
        return (
            f"CrossEncoder({self.name!r}, activation_fn={self.activation_fn}, max_seq_length={self.max_seq_length}, "
            f"device={str(self.device)!r})"
        )


def _columns(pairs: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    for place, pair in enumerate(pairs):
        if isinstance(pair, str) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise TypeError(f"pair {place} must be two strings, (first, second); got {pair!r:.80}")
    return checked_texts([first for first, _ in pairs]), checked_texts([second for _, second in pairs])


def _transformer(folder: Path) -> Path:
    """Folder of the model's files: a list of modules may name a subfolder."""
    if not (folder / "modules.json").is_file():
        return folder
    modules = read_json(folder / "modules.json", ModelError, list)
    kinds = [str(one.get("type", "")).rpartition(".")[2] for one in modules]
    if kinds == ["Transformer"]:
        return inside(folder, str(modules[0].get("path", "")), "modules.json")
    if "Pooling" in kinds:
        raise ModelError(
            f"{folder} is a sentence encoder, which reads single texts; use a cross-encoder such as {_EXAMPLE}"
        )
    raise UnsupportedModelError(
        f"{folder}: a cross-encoder of {', '.join(kinds)} is not supported; a supported one: {_EXAMPLE}"
    )


def _check_kind(name: str, config: Any) -> None:
    architecture = (config.architectures or [""])[0]
    if architecture.endswith("ForCausalLM"):
        raise UnsupportedModelError(
            f"{name} is a {architecture}, a reranker that answers yes or no in words; only "
            f"sequence-classification models with one output are supported, such as {_EXAMPLE}"
        )
    if architecture.endswith("ForSequenceClassification") and config.num_labels != 1:
        raise ModelError(
            f"{name} has {config.num_labels} outputs per pair; a reranker has one output, such as {_EXAMPLE}"
        )


def _classifier(name: str, folder: Path, config: Any, *, trust_remote_code: bool) -> nn.Module:
    from transformers import AutoModelForSequenceClassification

    model, missing = load_weights(
        AutoModelForSequenceClassification, folder, config, trust_remote_code=trust_remote_code
    )
    if missing and not (config.architectures or [""])[0].endswith("ForSequenceClassification"):
        raise ModelError(
            f"{name} is not a cross-encoder: its config.json names "
            f"{', '.join(config.architectures or ['nothing'])}, and it has no scoring layer. Use one such as "
            f"{_EXAMPLE}"
        )
    require_weights(folder, missing)
    check_weights(folder, model)
    return model  # type: ignore[no-any-return]


def _settings(folder: Path) -> Settings:
    """Settings that sentence-transformers stores beside the model's config."""
    path = folder / "sentence_bert_config.json"
    values = read_json(path, ModelError) if path.is_file() else {}
    return Settings(max_seq_length=length_limit(values.get("max_seq_length"), path))


def _activation(folder: Path, config: Any, *, trust_remote_code: bool) -> Activation:
    """The activation that the folder names, by its current or an older name; none: sigmoid."""
    file = folder / "config_sentence_transformers.json"
    values = read_json(file, ModelError) if file.is_file() else {}
    if values.get("default_prompt_name") is not None:
        raise UnsupportedModelError(f"{folder}: a cross-encoder with its own prompt is not supported")
    path = (
        values.get("activation_fn")
        or (getattr(config, "sentence_transformers", None) or {}).get("activation_fn")
        or getattr(config, "sbert_ce_default_activation_function", None)
    )
    if path is None:
        return nn.Sigmoid()
    if trust_remote_code and not str(path).startswith("torch."):
        module, _, name = str(path).rpartition(".")
        return getattr(importlib.import_module(module), name)()  # type: ignore[no-any-return]
    return getattr(nn, torch_activation(str(path), folder))()  # type: ignore[no-any-return]
