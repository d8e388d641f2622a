"""One call of `encode`: texts, prompts, vectors, and the requested form."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simcse_kit.bars import tqdm
from simcse_kit.data.frames import columns_of_table, one_column
from simcse_kit.encoder.backends.interface import Backend, OnBatch
from simcse_kit.encoder.precision import PRECISIONS, quantized
from simcse_kit.encoder.settings import Settings
from simcse_kit.encoder.tokens import TokenTable
from simcse_kit.errors import say_once
from simcse_kit.search.vectors import normalized
from simcse_kit.types import Vectors

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_HALF = re.compile("[\ud800-\udfff]")
Embeddings: TypeAlias = "NDArray[Any] | Tensor | list[Tensor]"
CHUNK = 1 << 14  # texts sorted by length together: batches of equal length, and tokens that fit in memory

# Prompt names of sentence-transformers; the first that a model has is used
QUERY = ("query",)
DOCUMENT = ("document", "passage", "corpus")


def is_single(value: Any) -> bool:
    """Whether it is one string, including numpy's scalar."""
    return isinstance(value, str) or (isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "OTU")


def is_text(value: Any) -> bool:
    """Whether it is one string or a column of strings; true for an empty list. False for vectors.

    >>> is_text("a"), is_text(["a", None]), is_text([]), is_text([[0.5, 1.0]]), is_text(np.zeros((0, 3)))
    (True, True, True, False, False)
    """
    if is_single(value) or columns_of_table(value) is not None:
        return True
    if is_tensor(value) or (isinstance(value, np.ndarray) and value.dtype.kind not in "OTU"):
        return False
    items = _items(value)
    return not items or any(isinstance(item, str) for item in items)


def is_tensor(value: Any) -> bool:
    """Whether it is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def checked_texts(sentences: Any) -> list[str]:
    """The strings as a list, with half surrogate pairs read as U+FFFD.

    Raises:
        TypeError: a table (the text names its text columns), or an item that is not a string (with its index).
    """
    if not isinstance(sentences, str | list) and columns_of_table(sentences) is not None:
        raise TypeError(f"sentences must be strings; got {one_column(sentences)}")
    if sentences is None or isinstance(sentences, bytes | dict | set | frozenset):
        raise TypeError(_not_texts(sentences))
    texts = [str(sentences)] if is_single(sentences) else _items(sentences)
    halves = 0
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"sentences must be strings; sentences[{i}] is {type(text).__name__}: {str(text)[:60]!r}")
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                halves += 1
                texts[i] = _HALF.sub("\ufffd", text)
    if halves:
        say_once(
            f"{halves} of {len(texts)} texts contain half of a surrogate pair, which is not valid text: read as U+FFFD"
        )
    return texts


def _items(value: Any) -> list[Any]:
    if hasattr(value, "to_pylist"):  # Arrow columns, whose items are not strings
        return list(value.to_pylist())
    if not isinstance(value, Iterable):
        raise TypeError(_not_texts(value))
    return list(value)


def _not_texts(value: Any) -> str:
    return f"sentences must be a string or a sequence of strings; got {type(value).__name__}"


def check_options(batch_size: int | None, precision: str, truncate_dim: int | None) -> None:
    """Raise a ValueError before any work if batch size, precision or dimension are not allowed."""
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be a positive integer; got {batch_size}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
    if truncate_dim is not None and truncate_dim < 1:
        raise ValueError(f"truncate_dim must be a positive integer; got {truncate_dim}")


def prompt_of(settings: Settings, prompt: str | None, name: str | None) -> str:
    """The prompt itself, else that of ``name``, else the folder's default; "" if there is none.

    Raises:
        ValueError: a prompt name that the folder does not have.
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
    """Arguments of ``encode`` with the first of ``names`` that the model has, if no prompt is given."""
    name = next((name for name in names if name in settings.prompts), None)
    if name is None or arguments.get("prompt") is not None or arguments.get("prompt_name") is not None:
        return dict(arguments)
    return {**arguments, "prompt_name": name}


def prompt_tokens(prompt: str, tokenize: Callable[[Sequence[str]], TokenTable], special: Sequence[int]) -> int:
    """Tokens of a prompt and its start token; the closing token is left out if it is ``special``."""
    ids = tokenize([prompt]).flat
    return len(ids) - (1 if len(ids) and int(ids[-1]) in special else 0)


class Embedded(NamedTuple):
    """The vectors of N texts."""

    vectors: Tensor | Vectors  # (N, D) float32
    cut: NDArray[np.int64]  # numbers of the texts that exceeded the limit and were cut
    tokens: NDArray[np.int64]  # (N,) tokens read of each text, with special ones

    @property
    def truncated(self) -> int:
        """How many texts were cut; equal texts count once each."""
        return len(self.cut)


@dataclass
class Heard:
    """What the calls of `encode` in a block did; see `listening`."""

    on_batch: OnBatch
    truncated: int = 0  # texts that were cut


_listener: ContextVar[Heard | None] = ContextVar("_listener", default=None)


@contextmanager
def listening(on_batch: OnBatch = None) -> Iterator[Heard]:
    """Count the texts cut by calls of `encode` in this block, instead of a notice per call.

    ``on_batch`` receives the number of texts done.
    """
    token = _listener.set(Heard(on_batch))
    try:
        yield _listener.get()  # type: ignore[misc]
    finally:
        _listener.reset(token)


def moving(bar: Any, rows: int, texts: int) -> Callable[[int], None]:
    """For ``on_batch``: moves a bar by ``rows`` while the ``texts`` of these rows are encoded (both are counts)."""
    done = 0

    def on_batch(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        bar.update(rows * done // texts - rows * before // texts)

    return on_batch


@contextmanager
def reported(texts: int, bar: bool) -> Iterator[Callable[[int], object]]:
    """A function that receives how many of N texts are done, and moves a bar if one is shown."""
    heard = _listener.get()
    further = None if heard is None else heard.on_batch
    if not bar:
        yield further or (lambda _: None)
        return

    with tqdm(total=texts, desc="Encoding", unit="sentence") as progress:

        def on_batch(count: int) -> None:
            progress.update(count)
            if further is not None:
                further(count)

        yield on_batch


def embed_texts(
    texts: Sequence[str],
    tokenize: Callable[[Sequence[str]], TokenTable],
    backend: Backend,
    dimension: int,
    *,
    batch_size: int | None = None,
    prompt_length: int = 0,
    output_device: torch.device | None,
    on_batch: OnBatch = None,
) -> Embedded:
    """Vectors of N texts in order, as a tensor on ``output_device``; None: an array, without torch.

    Equal texts are encoded once. While the backend runs a chunk, a thread tokenizes the next: the Rust tokenizer
    releases Python's lock.
    """
    numbers: dict[str, int] = {}
    rows = [numbers.setdefault(text, len(numbers)) for text in texts]
    distinct = list(numbers)
    if on_batch is not None and len(distinct) < len(texts):
        on_batch(len(texts) - len(distinct))
    out = _empty(len(distinct), dimension, output_device)
    cut, lengths = np.zeros(len(distinct), dtype=bool), np.zeros(len(distinct), dtype=np.int64)
    with ThreadPoolExecutor(1) as ahead:
        tokens = tokenize(distinct[:CHUNK])
        for start in range(0, len(distinct), CHUNK):
            stop = start + CHUNK
            pending = ahead.submit(tokenize, distinct[stop : stop + CHUNK]) if stop < len(distinct) else None
            cut[[start + number for number in tokens.cut]] = True
            lengths[start:stop] = tokens.lengths
            backend.embed(
                tokens, out[start:stop], batch_size=batch_size, prompt_length=prompt_length, on_batch=on_batch
            )
            if pending is not None:
                tokens = pending.result()
    vectors = out if len(distinct) == len(texts) else out[rows]
    return Embedded(vectors, np.flatnonzero(cut[rows]), lengths[rows])


def _empty(count: int, dimension: int, device: torch.device | None) -> Any:
    """An uninitialised tensor (N, D) float32 on a device, or an array."""
    if device is None:
        return np.empty((count, dimension), np.float32)
    import torch

    return torch.empty((count, dimension), dtype=torch.float32, device=device)


def say_cut(truncated: int, texts: int, name: str, limit: int | None, what: str = "texts") -> None:
    """Give a notice, once per model and limit, that some of N texts were cut; see `listening`."""
    heard = _listener.get()
    if heard is not None:
        heard.truncated += truncated
    elif truncated:
        say_once(
            f"{truncated:,} of {texts:,} {what} are longer than max_seq_length = {limit} tokens and were cut",
            key=f"cut: {name} at {limit}",
        )


def as_asked(
    vectors: Tensor | Vectors,
    *,
    truncate_dim: int | None,
    normalize: bool,
    precision: str,
    numpy: bool,
    tensor: bool,
    ranges: NDArray[np.float32] | None = None,
) -> Embeddings:
    """Vectors (N, D) float32 after cutting, scaling, quantizing (by ``ranges``, see `quantized`) and conversion, in
    this order.

    ``tensor``: one tensor; else ``numpy``: an array; neither: a list of N tensors. An array input gives an array.
    """
    if truncate_dim is not None:
        vectors = vectors[:, :truncate_dim]
    if normalize:
        vectors = _unit_length(vectors)
    result: Any = vectors
    if precision != "float32":
        result = quantized(vectors, precision, ranges)
        if tensor or not numpy:
            import torch

            result = torch.from_numpy(result)
    elif numpy and not tensor and not isinstance(vectors, np.ndarray):
        result = vectors.numpy()
    return result if tensor or numpy else list(result)


def _unit_length(vectors: Tensor | Vectors) -> Tensor | Vectors:
    if isinstance(vectors, np.ndarray):
        return normalized(np.array(vectors, order="C"))
    from simcse_kit.losses.similarity import unit_length

    return unit_length(vectors)
