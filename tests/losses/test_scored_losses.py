"""CoSENT and AnglE against sentence-transformers, plain loops and hand-worked numbers."""

from __future__ import annotations

import math

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import AnglELoss, CoSENTLoss
from torch import Tensor

from simcse_kit.losses import angle, cosent

GOLD = torch.tensor([3.0, 1.0, 5.0, 3.0, 0.2, 1.0])  # two ties


def pairs(width: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(len(GOLD), width, generator=generator, dtype=torch.float64) for _ in range(2))
    return first, second


def plain(similarities: list[float], gold: Tensor, scale: float) -> float:
    total = 1.0
    for i, better in enumerate(gold):
        for j, worse in enumerate(gold):
            if better > worse:
                total += math.exp(scale * (similarities[j] - similarities[i]))
    return math.log(total)


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def turn(a: Tensor, b: Tensor) -> float:
    """|Re + Im| of the summed quotients, with Python's complex numbers."""
    half = (len(a) + 1) // 2
    z, w = (
        [complex(v[k], v[half + k] if half + k < len(v) else 0) for k in range(half)]
        for v in (a / a.norm(), b / b.norm())
    )
    q = sum((x / y * abs(y) ** 2 for x, y in zip(z, w, strict=True)), 0j)
    return abs(q.real + q.imag)


@pytest.mark.parametrize("width", [5, 6])  # an odd width gets a zero
@pytest.mark.parametrize("scale", [1.0, 20.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_losses_are_their_formulas(width: int, scale: float, seed: int) -> None:
    first, second = pairs(width, seed)
    rows = list(zip(first, second, strict=True))
    loss, turned = cosent(first, second, GOLD, scale=scale), angle(first, second, GOLD, scale=scale)
    assert loss.item() == pytest.approx(plain([cosine(a, b) for a, b in rows], GOLD, scale), rel=1e-9)
    assert turned.item() == pytest.approx(plain([turn(a, b) for a, b in rows], GOLD, scale), rel=1e-9)


@pytest.mark.parametrize("width", [5, 6])
def test_they_are_those_of_sentence_transformers(width: int) -> None:
    """Values and gradients, at the same default scale."""
    vectors = [tensor.requires_grad_() for tensor in pairs(width)]
    for ours, theirs in ((cosent, CoSENTLoss(None)), (angle, AnglELoss(None))):
        loss, expected = ours(*vectors, GOLD), theirs.compute_loss_from_embeddings(vectors, GOLD)
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(torch.autograd.grad(loss, vectors), torch.autograd.grad(expected, vectors))


def test_hand_worked_numbers() -> None:
    # cosines 0, 1, 1/sqrt 2 of golds 2, 1, 1: only the first is above others, by e^(1 - 0) and e^(1/sqrt 2 - 0)
    first = torch.tensor([[1, 0], [1, 0], [1, 0]], dtype=torch.float64)
    second = torch.tensor([[0, 1], [1, 0], [1, 1]], dtype=torch.float64)
    gold = torch.tensor([2, 1, 1])
    assert cosent(first, second, gold, scale=1.0).item() == pytest.approx(math.log(1 + math.e + math.exp(0.5**0.5)))
    # as complex numbers second is i, 1, (1 + i)/sqrt 2: 1 against it is -i, 1, (1 - i)/sqrt 2, so 1, 1 and 0
    assert angle(first, second, gold, scale=1.0).item() == pytest.approx(math.log(1 + 1 + math.exp(-1)))


def test_only_the_order_of_the_gold_scores_counts() -> None:
    first, second = pairs()
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    for loss in (cosent, angle):
        torch.testing.assert_close(loss(first, second, GOLD.exp() - 9), loss(first, second, GOLD))
        torch.testing.assert_close(loss(first[order], second[order], GOLD[order]), loss(first, second, GOLD))
        torch.testing.assert_close(loss(3 * first, second / 7, GOLD), loss(first, second, GOLD))
        assert loss(first, second, torch.ones(6)).item() == 0  # equal scores: nothing to order
        assert loss(first[:1], second[:1], GOLD[:1]).item() == 0


def test_gradients() -> None:
    inputs = tuple(tensor.requires_grad_() for tensor in pairs())
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)  # may be trainable
    for loss in (cosent, angle):
        assert torch.autograd.gradcheck(
            lambda a, b, s, loss=loss: loss(a, b, GOLD, scale=s), (*inputs, scale), atol=1e-6
        )
        equal = loss(*inputs, torch.ones(6))
        assert all(not gradient.any() for gradient in torch.autograd.grad(equal, inputs))
