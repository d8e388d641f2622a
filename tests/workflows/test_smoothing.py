"""Whether to average neighbors: averaging helps halves of short texts find each other, and harms documents."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, ClassVar
from zlib import crc32

import numpy as np
import pytest

from simcse_kit.objectives.neighbors import Neighbors
from simcse_kit.types import Vectors
from simcse_kit.workflows.methods import choose_method
from simcse_kit.workflows.smoothing import smoothing
from simcse_kit.workflows.texts import Texts

TOPICS = 20


class Made:
    """A model by rule: a text's vector is that of its topic, and its own one, and noise of how it is worded.

    Texts are words such as ``3-77-a``: topic 3, text 77.
    """

    prompts: ClassVar[dict[str, str]] = {}
    max_seq_length = 64

    def __init__(self, *, own: float, noise: float) -> None:
        self.own, self.noise = own, noise

    def encode_document(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._vector(text) for text in texts]).astype(np.float32)

    def _vector(self, text: str) -> Any:
        topic, number = text.split()[0].split("-")[:2]
        drawn = [
            np.random.default_rng([kind, seed]).normal(size=64)
            for kind, seed in enumerate((int(topic), int(number), crc32(text.encode())))
        ]
        return drawn[0] + self.own * drawn[1] + self.noise * drawn[2]

    def tokenize(self, texts: Sequence[str], max_seq_length: int | None) -> SimpleNamespace:
        return SimpleNamespace(lengths=np.array([len(text.split()) for text in texts]))


SHORT = {"own": 0.2, "noise": 2.0}  # one half gives the topic, and little of the text
LONG = {"own": 1.0, "noise": 0.7}  # the other half identifies the text


def texts(count: int, words: str = "a b c") -> list[str]:
    return [" ".join(f"{i % TOPICS}-{i}-{word}" for word in words.split()) for i in range(count)]


def test_the_mean_helps_where_a_half_says_little() -> None:
    found = smoothing(Made(**SHORT), texts(400), Neighbors(neighbors=10))  # type: ignore[arg-type]
    assert found is not None
    assert found.helps
    assert found.mean > found.own + 2 * found.error


def test_the_mean_blurs_what_a_half_says_already() -> None:
    found = smoothing(Made(**LONG), texts(400), Neighbors(neighbors=10, own_weight=0.5))  # type: ignore[arg-type]
    assert found is not None
    assert not found.helps
    assert found.own > 90
    assert f"rank x 100 of {found.own:.1f} by the model's vectors, {found.mean:.1f} by vectors averaged" in found.words


def test_texts_of_one_word_have_no_halves() -> None:
    assert smoothing(Made(**SHORT), texts(200, "a"), Neighbors()) is None  # type: ignore[arg-type]


def test_the_same_texts_give_the_same_answer() -> None:
    model = Made(**SHORT)
    first, again = (smoothing(model, texts(200), Neighbors(neighbors=5)) for _ in range(2))  # type: ignore[arg-type]
    assert first == again


def _chosen(texts: list[str], model: Made) -> str:
    found = Texts(source="texts", texts=texts, held_out=[])
    return choose_method(found, model, None, "start", seed=1).name  # type: ignore[arg-type]


def test_the_method_follows_from_the_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short texts learn means; where means blur, texts learn from their sentences, or an order."""
    monkeypatch.setattr(
        "simcse_kit.workflows.methods._neighborhood", lambda count: Neighbors(neighbors=10, own_weight=0.5)
    )
    assert _chosen(texts(400), Made(**SHORT)) == "neighbors"
    assert _chosen(texts(400), Made(**LONG)) == "order"
    assert _chosen(texts(400, "a b c d. E f g h."), Made(**LONG)) == "passages"
