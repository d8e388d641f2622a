"""Small data and models to train on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from simcse_kit.training import settled
from simcse_kit.types import ScoredPairs


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny models gain nothing from threads, and lose much where the cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact comparisons need float32 on every processor; the choice of dtype has its own test."""
    monkeypatch.setattr(settled, "_uses_bf16", lambda asked, device, earlier: bool(asked))


@pytest.fixture(scope="session")
def bert(tiny_model: Callable[[str], Path]) -> Path:
    """A two-layer BERT with dropout 0.1."""
    return tiny_model("bert")


@pytest.fixture(scope="session")
def pairs(sentences: list[str]) -> ScoredPairs:
    """Twenty neighbours and twenty strangers, with gold scores from 0 to 5."""
    first, second = sentences[0::2], sentences[1::2]
    strangers = second[7:] + second[:7]
    gold = np.concatenate([np.linspace(3, 5, len(first)), np.linspace(0, 2, len(first))])
    return ScoredPairs(first * 2, second + strangers, gold, "made.tsv")


@pytest.fixture(scope="session")
def triplets(sentences: list[str]) -> list[tuple[str, str, str]]:
    """Twenty rows of anchor, positive and hard negative."""
    first, second = sentences[0::2], sentences[1::2]
    return list(zip(first, second, second[3:] + second[:3], strict=True))
