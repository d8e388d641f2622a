"""Models in the server: requests of many clients share batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simcse_kit.encoder.call import say_cut
from simcse_kit.encoder.matryoshka import is_matryoshka
from simcse_kit.model import SimCSE
from simcse_kit.search.vectors import normalized
from simcse_kit.serving.batching import Batcher
from simcse_kit.serving.metrics import Metrics
from simcse_kit.serving.settings import Limits, ServeError
from simcse_kit.types import Vectors

log = logging.getLogger("simcse_kit.serving")

_LARGEST = 256  # sentences per batch: a quarter of a second for a small model on two cores
_ENDLESS = 2**30  # tokens: no cutting


class ModelFault(Exception):
    """The model cannot encode the texts."""


class _Text(NamedTuple):
    text: str
    prompt: str


class _Encoded(NamedTuple):
    vector: Vectors  # (D,)
    tokens: int  # including special ones, before cutting
    fingerprint: str  # fingerprint of the model


class EmbeddedTexts(NamedTuple):
    """Vectors (N, D) of N texts from the model, with token counts."""

    vectors: Vectors
    tokens: list[int]  # per text, with special tokens, before cutting
    truncated: list[int]  # numbers of the texts that exceed the model's limit
    fingerprint: str  # fingerprint of the model

    @property
    def unit(self) -> Vectors:
        """The vectors, scaled to length 1."""
        return normalized_copy(self.vectors)


class ModelEngine:
    """A model that many requests share."""

    def __init__(self, name: str, model: SimCSE, limits: Limits, metrics: Metrics) -> None:
        self.name = name
        self.model = model
        self._width = model.get_embedding_dimension()
        self._sentences = metrics.sentences.labels(name)
        self._truncated = metrics.truncated.labels(name)
        self._batcher: Batcher[_Text, _Encoded] = Batcher(
            self._run,
            name=f"encode {name}",
            largest=_LARGEST,
            waiting=limits.queue,
            on_batch=self._observe,
        )
        self._batch_size = metrics.batch_size.labels(name)
        self._warming = False
        metrics.waiting.labels(name).set_function(lambda: self._batcher.waiting)

    @property
    def width(self) -> int:
        """Dimension of its vectors."""
        return self._width

    @cached_property
    def is_matryoshka(self) -> bool:
        """Whether it is known that the model's vectors may be cut; warns once in the log if not."""
        known = is_matryoshka(self.model.name, self.model.record, self.model.encoder.config)
        if not known:
            log.warning(
                "a client cuts vectors (dimensions) of %s, which is not known to be trained for this "
                "(Matryoshka): search results may get much worse; --strict-dimensions rejects such requests",
                self.name,
            )
        return known

    async def embed(
        self, texts: Sequence[str], kind: str | None = None, prompt_name: str | None = None
    ) -> EmbeddedTexts:
        """Vectors of texts. ``kind`` is query or document and selects the model's prompt of that name, if it has one.

        Raises:
            Busy: too many texts are waiting.
        """
        prompt = self._prompt(kind, prompt_name)
        encoded = await self._batcher.submit([_Text(text, prompt) for text in texts])
        longest = self.model.max_seq_length
        tokens = [one.tokens for one in encoded]
        truncated = [number for number, count in enumerate(tokens) if longest is not None and count > longest]
        self._sentences.inc(len(texts))
        self._truncated.inc(len(truncated))
        vectors = np.stack([one.vector for one in encoded]) if encoded else np.zeros((0, self._width), np.float32)
        fingerprint = encoded[0].fingerprint if encoded else self.model.fingerprint()
        return EmbeddedTexts(vectors, tokens, truncated, fingerprint)

    async def warm_up(self) -> None:
        """Run one uncounted text, so that kernels and memory are ready before the first request."""
        self._warming = True
        try:
            await self._batcher.submit([_Text("The first sentence.", self.model.default_prompt())])
        except Exception as error:
            raise ServeError(f"cannot serve {self.name}, because it cannot encode a sentence: {error}") from error
        finally:
            self._warming = False

    def _observe(self, batch_size: int) -> None:
        if not self._warming:
            self._batch_size.observe(batch_size)

    def _prompt(self, kind: str | None, name: str | None) -> str:
        prompts = self.model.prompts
        if name is not None:
            return prompts[name]
        return prompts[kind] if kind in prompts else self.model.default_prompt()

    def _run(self, texts: list[_Text]) -> list[_Encoded]:
        results: list[_Encoded | None] = [None] * len(texts)
        fingerprint = self.model.fingerprint()
        for prompt in {text.prompt for text in texts}:
            numbers = [number for number, text in enumerate(texts) if text.prompt == prompt]
            own = [texts[number].text for number in numbers]
            done = self.model.embed_here(own, prompt)
            say_cut(done.truncated, len(own), self.model.name, self.model.max_seq_length)
            vectors = np.asarray(done.vectors)[:, : self._width]
            if not np.isfinite(vectors).all():
                raise ModelFault(f"{self.name} returns vectors that are not finite; check its weights")
            cut = [prompt + own[number] for number in done.cut]
            done.tokens[done.cut] = self.model.tokenize(cut, max_seq_length=_ENDLESS).lengths
            for number, vector, tokens in zip(numbers, vectors, done.tokens, strict=True):
                results[number] = _Encoded(vector, int(tokens), fingerprint)
        return results  # type: ignore[return-value]

    @property
    def alive(self) -> bool:
        """Whether its worker runs."""
        return self._batcher.alive

    def close(self) -> None:
        """Finish waiting requests."""
        self._batcher.close()


def normalized_copy(vectors: Vectors) -> Vectors:
    """The vectors (N, D), scaled to length 1; a zero vector stays zero."""
    return normalized(np.array(vectors, dtype=np.float32, order="C"))


def target_name(target: str) -> str:
    """Name in requests for a folder or hub name: its last part."""
    return Path(target).name or target
