"""Every pooling of every architecture against the plain loop, and the pure functions against their definitions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from simcse_kit import POOLERS, ModelError, SimCSE
from simcse_kit.encoder.pooling import pool, pooling_name
from support.plain import plain_vectors, pool_one, unit
from support.tiny import KINDS

HEADLESS = [name for name, pooler in POOLERS.items() if not pooler.head and not pooler.mask_token]
WITH_POOLER = ["bert", "roberta", "xlmr", "albert", "mpnet"]  # architectures with a pooler.dense of their own


@pytest.mark.parametrize("kind", KINDS)
def test_every_pooling_is_the_plain_loop(kind: str, tiny_model: Callable[[str], Path], sentences: list[str]) -> None:
    some = sentences[:12]
    for pooling in HEADLESS:
        vectors = SimCSE(tiny_model(kind), pooling=pooling, device="cpu").encode(some, batch_size=5)
        expected = plain_vectors(tiny_model(kind), pooling, some)
        np.testing.assert_allclose(unit(vectors), unit(expected), atol=1e-5, err_msg=f"{kind} {pooling}")


@pytest.mark.filterwarnings("ignore::simcse_kit.Notice")
@pytest.mark.parametrize("kind", WITH_POOLER)
def test_cls_is_the_backbones_pooler_output(kind: str, tiny_model: Callable[[str], Path], sentences: list[str]) -> None:
    vectors = SimCSE(tiny_model(kind), pooling="cls", device="cpu").encode(sentences[:8])
    np.testing.assert_allclose(vectors, plain_vectors(tiny_model(kind), "cls", sentences[:8]), atol=1e-5)


@pytest.mark.parametrize("name", HEADLESS)
def test_padding_changes_no_pooling(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    lengths = [3, 7, 1]
    states = [torch.randn(3, 7, 4, generator=generator) for _ in range(4)]
    mask = torch.tensor([[1] * n + [0] * (7 - n) for n in lengths])
    pooled = pool(name, states, mask)
    for row, length in enumerate(lengths):
        alone = [state[row, :length].double().numpy() for state in states]
        np.testing.assert_allclose(pooled[row].numpy(), pool_one(name, alone), atol=1e-6)


@pytest.mark.parametrize("name", HEADLESS)
def test_no_mask_means_that_every_token_counts(name: str) -> None:
    states = [torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(2)) for _ in range(3)]
    torch.testing.assert_close(pool(name, states, None), pool(name, states, torch.ones(2, 5, dtype=torch.long)))


@pytest.mark.parametrize("name", HEADLESS)
def test_masked_tokens_get_no_gradient(name: str) -> None:
    hidden = torch.randn(2, 5, 4, requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    pool(name, [hidden, hidden, hidden], mask).sum().backward()
    assert hidden.grad is not None
    assert not hidden.grad[0, 3:].any()
    assert hidden.grad.isfinite().all()


def test_an_unknown_pooling_lists_the_choices() -> None:
    with pytest.raises(ModelError, match=r"one of cls, cls_before_pooler, mean, .*got 'pooler'"):
        pooling_name("pooler")
    assert pooling_name("avg") == "mean"
