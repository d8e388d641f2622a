"""Rows, epochs and batch size, chosen from the texts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from simcse_kit.workflows.methods import choose_method
from simcse_kit.workflows.texts import Texts


class Lengths:
    """A model that can only count the tokens of its texts."""

    prompts: dict[str, str]
    max_seq_length = 512

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.prompts = {}

    def tokenize(self, texts: list[str], max_seq_length: int | None) -> Any:
        return SimpleNamespace(lengths=np.full(len(texts), self.tokens))


@pytest.mark.parametrize(
    ("texts", "classes", "tokens", "batch", "epochs", "in_parts", "share"),
    [
        (616, 77, 20, 304, 20_000 / 616, False, 0.4),  # few of each: large batches, many epochs
        (160, 20, 20, 80, 40, False, 0.4),
        (40, 2, 20, 40, 40, False, 0.4),  # a step is at most all texts
        (10_000, 77, 20, 304, 6, False, 0.1),
        (200_000, 50, 20, 200, 0.6, False, 0.1),  # hours otherwise
        (10_000, 77, 200, 304, 6, True, 0.1),  # long texts do not fit at once
    ],
)
def test_classes(
    texts: int, classes: int, tokens: int, batch: int, epochs: float, in_parts: bool, share: float
) -> None:
    found = Texts(
        source="texts",
        texts=[f"text {i}" for i in range(texts)],
        held_out=[],
        labels=[str(i % classes) for i in range(texts)],
    )
    method = choose_method(found, Lengths(tokens), None, "start", seed=1)  # type: ignore[arg-type]
    assert method.settings["batch_size"] == batch
    assert method.settings["epochs"] == pytest.approx(epochs)
    assert method.settings["start_share"] == share
    assert ("dropout" in method.settings) == (share == 0.4)
    assert ("mini_batch_tokens" in method.settings) == in_parts


@pytest.mark.parametrize(("documents", "epochs"), [(80, 3.0), (2_000, 1.0), (20_000, 1.0), (100_000, 0.2)])
def test_documents(documents: int, epochs: float) -> None:
    """A hundred steps where three epochs have as many; 20,000 documents at most."""
    pairs = [(f"title {i}", f"body {i} with more words in it") for i in range(documents)]
    found = Texts(
        source="texts", texts=["".join(pair) for pair in pairs], held_out=[], parts=pairs, part_names=("title", "text")
    )
    model = Lengths(10)
    model.tokenize = lambda texts, max_seq_length: SimpleNamespace(  # type: ignore[method-assign]
        lengths=np.array([len(text.split()) for text in texts])
    )
    assert choose_method(found, model, None, "start", seed=1).settings["epochs"] == pytest.approx(epochs)  # type: ignore[arg-type]
