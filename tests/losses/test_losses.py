"""The losses against hand-worked numbers, plain loops and their symmetries."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from simcse_kit import info_nce, nt_xent


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def plain_info_nce(h: Tensor, p: Tensor, n: Tensor | None, temperature: float, weight: float) -> float:
    """Eq. 1, 4 and 5 of Gao et al. (2021), term by term."""
    total = 0.0
    for i in range(len(h)):
        below = sum(math.exp(cosine(h[i], p[j]) / temperature) for j in range(len(h)))
        if n is not None:
            below += sum(math.exp(cosine(h[i], n[j]) / temperature + weight * (i == j)) for j in range(len(h)))
        total += -math.log(math.exp(cosine(h[i], p[i]) / temperature) / below)
    return total / len(h)


def plain_nt_xent(a: Tensor, b: Tensor, temperature: float) -> float:
    """Eq. 1 of Chen et al. (2020), over 2B views."""
    views = [*a, *b]
    count = len(a)
    total = 0.0
    for i, view in enumerate(views):
        twin = views[(i + count) % (2 * count)]
        below = sum(math.exp(cosine(view, other) / temperature) for k, other in enumerate(views) if k != i)
        total += -math.log(math.exp(cosine(view, twin) / temperature) / below)
    return total / len(views)


def batch(rows: int = 5, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(rows, 6, generator=generator, dtype=torch.float64) for _ in range(3))  # type: ignore[return-value]


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("weight", [None, 0.0, 0.7, -1.0])
def test_info_nce_is_the_formula(temperature: float, weight: float | None) -> None:
    h, p, n = batch()
    negatives = None if weight is None else n
    loss = info_nce(h, p, negatives, temperature=temperature, hard_negative_weight=weight or 0.0)
    assert loss.item() == pytest.approx(plain_info_nce(h, p, negatives, temperature, weight or 0.0), rel=1e-9)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_nt_xent_is_the_formula(temperature: float, rows: int) -> None:
    a, b, _ = batch(rows)
    assert nt_xent(a, b, temperature=temperature).item() == pytest.approx(plain_nt_xent(a, b, temperature), abs=1e-9)


def test_hand_worked_numbers() -> None:
    eye = torch.eye(2, dtype=torch.float64)
    # own positive at cosine 1, the other at 0, own hard negative at 0 + w, the other's at 1
    swapped = eye.flip(0)
    assert info_nce(eye, eye, temperature=0.05).item() == pytest.approx(math.log(1 + math.exp(-20)))
    expected = math.log((2 * math.e + 1 + 3) / math.e)  # e + 1 (positives), 1 * e^(ln 3) + e (negatives)
    loss = info_nce(eye, eye, swapped, temperature=1.0, hard_negative_weight=math.log(3))
    assert loss.item() == pytest.approx(expected)
    assert nt_xent(eye, eye, temperature=0.5).item() == pytest.approx(math.log(1 + 2 / math.e**2))
    assert nt_xent(eye, swapped, temperature=1.0).item() == pytest.approx(math.log(2 + math.e))


def test_the_defaults_are_the_papers() -> None:
    h, p, n = batch()
    assert torch.equal(info_nce(h, p, n), info_nce(h, p, n, temperature=0.05, hard_negative_weight=0.0))
    assert torch.equal(nt_xent(h, p), nt_xent(h, p, temperature=0.5))


def test_the_order_and_the_length_of_vectors_do_not_matter() -> None:
    h, p, n = batch(7)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(info_nce(h[order], p[order], n[order]), info_nce(h, p, n))
    torch.testing.assert_close(info_nce(3 * h, p / 7, n), info_nce(h, p, n))
    torch.testing.assert_close(nt_xent(h[order], p[order]), nt_xent(h, p))
    torch.testing.assert_close(nt_xent(p, h), nt_xent(h, p))


def test_hard_negatives_may_belong_to_anyone_without_a_weight() -> None:
    h, p, n = batch()
    torch.testing.assert_close(info_nce(h, p, n.flip(0)), info_nce(h, p, n))
    assert info_nce(h, p, n.flip(0), hard_negative_weight=1.0) != info_nce(h, p, n, hard_negative_weight=1.0)
    assert info_nce(h, p, n, hard_negative_weight=1.0) > info_nce(h, p, n) > info_nce(h, p)


def test_gradients() -> None:
    inputs = tuple(tensor.requires_grad_() for tensor in batch(3))
    assert torch.autograd.gradcheck(
        lambda h, p, n: info_nce(h, p, n, temperature=0.5, hard_negative_weight=0.3), inputs, atol=1e-6
    )
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b), inputs[:2], atol=1e-6)


def test_bfloat16_stays_finite() -> None:
    h, p, n = (tensor.bfloat16() for tensor in batch())
    assert info_nce(h, p, n, hard_negative_weight=1.0).isfinite()
    assert nt_xent(h, p).isfinite()
