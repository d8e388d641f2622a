"""Any source of sentence vectors, by one name: a model of any kind, an endpoint, or your own function."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from simcse_kit.bars import tqdm
from simcse_kit.encoder.hub import resolve
from simcse_kit.errors import ModelError, UnsupportedModelError, say_once
from simcse_kit.model import SimCSE
from simcse_kit.parts.named import is_named, load_named
from simcse_kit.types import EncodeFn, Vectors

KEY_VARIABLE = "OPENAI_API_KEY"
_TOGETHER = 64  # sentences per request
_TRIES = 5
_TIMEOUT = 120.0  # seconds


class Embedder(NamedTuple):
    """A model that can be measured."""

    name: str
    pooling: str | None  # None if unknown
    encode: EncodeFn  # (N,) sentences to (N, D)
    full_length: Callable[[], AbstractContextManager[None]]  # context in which sentences are not cut at max_seq_length
    place: str  # where it runs: a device of this machine, an endpoint, or a function
    fingerprint: Callable[[], str] | None = None  # equal for equal vectors; None: unknown


def open_embedder(
    name: str | Path,
    *,
    endpoint: str | None = None,
    pooling: str | None = None,
    batch_size: int | None = None,
    show_progress_bar: bool = False,
    **options: Any,
) -> Embedder:
    """The embedder for a name.

    Args:
        name: ``module:function``, a function from N strings to (N, D), on the import path or in the working folder; or
            with ``endpoint`` the name of a model there, unless a folder has this name; or a folder or hub name, for
            `SimCSE`. A sentence-transformers folder with modules that `SimCSE` does not support is run by that library.
        endpoint: URL of an OpenAI-compatible server, up to and including ``/v1``; the key comes from
            ``OPENAI_API_KEY``.
        pooling: for `SimCSE`; an error for any other model.
        batch_size: sentences per batch; None: the model's default.
        show_progress_bar: a bar over the sentences.
        options: further options of `SimCSE`.

    Raises:
        ModelError: the model is not found, or the pooling does not apply.
    """
    text = str(name)
    if is_named(text):
        _no_pooling(text, pooling)
        return Embedder(text, None, _function(text), nullcontext, "function")
    if endpoint is not None and not Path(name).is_dir():
        _no_pooling(text, pooling)
        encode = _endpoint(endpoint, text, batch_size or _TOGETHER, show_progress_bar)
        return Embedder(text, None, encode, nullcontext, "endpoint")
    try:
        model = SimCSE(name, pooling=pooling, **options)
    except UnsupportedModelError as error:
        if pooling is not None:
            raise
        return _peer(text, error, batch_size, show_progress_bar, options)
    return Embedder(
        model.name,
        model.pooling,
        model.encoder_fn(batch_size=batch_size, show_progress_bar=show_progress_bar),
        model.full_length,
        str(model.device),
        model.fingerprint,
    )


def check_embedder(name: str | Path, *, endpoint: str | None = None, **options: Any) -> None:
    """Raise the `ModelError` of `open_embedder` if there is no such function or model; a hub model is downloaded.

    Does not ask an ``endpoint``. ``options`` are those of `SimCSE`.
    """
    if is_named(str(name)):
        _function(str(name))
    elif endpoint is None or Path(name).is_dir():
        found = ("revision", "local_files_only", "trust_remote_code")
        resolve(name, **{option: options[option] for option in found if option in options})


def _no_pooling(name: str, pooling: str | None) -> None:
    if pooling is not None:
        raise ModelError(f"pooling applies only to models that run here; {name} has its own")


def _function(name: str) -> EncodeFn:
    function = load_named(name, ModelError)
    if not callable(function):
        raise ModelError(f"{name} is a {type(function).__name__}; expected a function from sentences to an array")

    def encode(sentences: Sequence[str]) -> Vectors:
        return np.asarray(function(list(sentences)), dtype=np.float32)

    return encode


def _peer(
    name: str, reason: UnsupportedModelError, batch_size: int | None, bar: bool, options: dict[str, Any]
) -> Embedder:
    if options.get("backend", "torch") != "torch" or options.get("dtype", "float32") != "float32":
        raise ModelError(f"{reason}; sentence-transformers can run it, but only with --backend torch and float32")
    from sentence_transformers import SentenceTransformer

    from simcse_kit.encoder.backbone import max_positions

    say_once(f"{reason}: running it with sentence-transformers")
    device = options.get("device")
    model = SentenceTransformer(
        name,
        device=None if device is None else str(device),
        trust_remote_code=options.get("trust_remote_code", False),
        local_files_only=options.get("local_files_only", False),
    )

    def encode(sentences: Sequence[str]) -> Vectors:
        vectors = model.encode(list(sentences), batch_size=batch_size or 32, show_progress_bar=bar)
        return np.asarray(vectors, dtype=np.float32)

    @contextmanager
    def full_length() -> Iterator[None]:
        before = model.max_seq_length
        backbone = getattr(model[0], "auto_model", None)
        longest = None if backbone is None else max_positions(backbone)
        if before is None or longest is None:
            yield
            return
        model.max_seq_length = longest
        try:
            yield
        finally:
            model.max_seq_length = before

    return Embedder(name, None, encode, full_length, str(model.device))


def _endpoint(url: str, model: str, together: int, bar: bool) -> EncodeFn:
    """A model behind ``POST URL/embeddings``, with OpenAI's interface."""
    import httpx

    address = f"{url.rstrip('/')}/embeddings"
    key = os.environ.get(KEY_VARIABLE)
    headers = {"authorization": f"Bearer {key}"} if key else {}

    def ask(client: httpx.Client, texts: list[str]) -> list[list[float]]:
        for attempt in range(_TRIES):
            try:
                answer = client.post(address, json={"model": model, "input": texts, "encoding_format": "float"})
            except httpx.TransportError as error:
                if attempt + 1 == _TRIES:
                    raise ModelError(f"no answer from {address}: {error!r}") from error
                time.sleep(2**attempt / 4)
                continue
            if answer.status_code != 429 and answer.status_code < 500:
                break
            if attempt + 1 < _TRIES:
                time.sleep(_seconds(answer.headers.get("retry-after")) or 2**attempt / 4)
        if answer.status_code in (401, 403):
            raise ModelError(f"{address} rejects the API key ({answer.status_code}); set {KEY_VARIABLE}")
        if not answer.is_success:
            raise ModelError(f"{address}, model {model}: {answer.status_code}: {answer.text:.300}")
        try:
            rows = sorted(answer.json()["data"], key=lambda row: row["index"])
            vectors = [row["embedding"] for row in rows]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"the answer of {address} does not have OpenAI's format: {answer.text:.300}") from error
        if len(vectors) != len(texts):
            raise ModelError(f"{address}: sent {len(texts)} sentences, got {len(vectors)} vectors")
        return vectors

    def encode(sentences: Sequence[str]) -> Vectors:
        vectors: list[list[float]] = []
        with (
            httpx.Client(headers=headers, timeout=_TIMEOUT) as client,
            tqdm(total=len(sentences), desc="Encoding", unit="sentence", disable=not bar) as progress,
        ):
            for at in range(0, len(sentences), together):
                part = list(sentences[at : at + together])
                vectors += ask(client, part)
                progress.update(len(part))
        return np.array(vectors, dtype=np.float32)

    return encode


def _seconds(header: str | None) -> float:
    """Seconds from a Retry-After header, at most a minute; 0 if it is not a number."""
    try:
        return min(60.0, float(header or 0))
    except ValueError:
        return 0.0
