"""One call of ``encode``: what is asked for, the prompt before each text, vectors in the form that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from simcse_kit.encoder.backends.pipeline import Embedded
from simcse_kit.encoder.folder import Settings
from simcse_kit.encoder.precision import PRECISIONS, quantized
from simcse_kit.encoder.tokens import TokenTable
from simcse_kit.errors import say_once

Embeddings = NDArray[Any] | Tensor | list[Tensor]

# Names of prompts, of sentence-transformers; the first that a model has is taken
QUERY = ("query",)
DOCUMENT = ("document", "passage", "corpus")


def check_options(batch_size: int | None, precision: str, truncate_dim: int | None) -> None:
    """A ValueError for a batch size, precision or dimension that is not allowed, before any work."""
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be a positive integer; got {batch_size}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
    if truncate_dim is not None and truncate_dim < 1:
        raise ValueError(f"truncate_dim must be a positive integer; got {truncate_dim}")


def prompt_of(settings: Settings, prompt: str | None, name: str | None) -> str:
    """The prompt itself, else that of ``name``, else the folder's default; "" for none.

    Raises:
        ValueError: a name that the folder does not have.
    """
    if prompt is not None:
        return prompt
    name = settings.default_prompt_name if name is None else name
    if name is None:
        return ""
    if name not in settings.prompts:
        raise ValueError(f"prompt_name must be one of {', '.join(settings.prompts) or '(none)'}; got {name!r}")
    return settings.prompts[name]


def with_prompt(settings: Settings, names: tuple[str, ...], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of ``encode`` with the first of ``names`` that the folder has, where none is given."""
    name = next((name for name in names if name in settings.prompts), None)
    if name is None or arguments.get("prompt") is not None or arguments.get("prompt_name") is not None:
        return dict(arguments)
    return {**arguments, "prompt_name": name}


def prompt_tokens(prompt: str, tokenize: Callable[[Sequence[str]], TokenTable], special: Sequence[int]) -> int:
    """Tokens of a prompt with what stands before it, without the closing token, where that is a ``special`` one."""
    ids = tokenize([prompt]).flat
    return len(ids) - (1 if len(ids) and int(ids[-1]) in special else 0)


def say_cut(done: Embedded, texts: int, name: str, limit: int | None) -> None:
    """A notice, once for a model and a limit, that of N texts some were longer and were cut."""
    kind = "texts" if done.distinct == texts else "distinct texts"
    say_once(
        f"{done.truncated} of {done.distinct} {kind} are longer than max_seq_length = {limit} tokens "
        "and were cut there",
        key=f"cut: {name} at {limit}",
    )


def as_asked(
    vectors: Tensor, *, truncate_dim: int | None, normalize: bool, precision: str, numpy: bool, tensor: bool
) -> Embeddings:
    """Vectors (N, D) float32, cut, scaled, quantized and converted, in this order.

    ``tensor``: one tensor; else ``numpy``: an array; neither: a list of N tensors.
    """
    if truncate_dim is not None:
        vectors = vectors[:, :truncate_dim]
    if normalize:
        vectors = torch.nn.functional.normalize(vectors, dim=-1)
    result: Embeddings = vectors
    if precision != "float32":
        result = quantized(vectors, precision)
        if tensor or not numpy:
            result = torch.from_numpy(result)
    elif numpy and not tensor:
        result = vectors.numpy()
    return result if tensor or numpy else list(result)
