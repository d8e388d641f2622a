"""`sup_con` against hand-worked numbers, a plain loop, the losses that it contains, and its symmetries."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from simcse_kit.errors import TrainingError
from simcse_kit.losses import info_nce, nt_xent, sup_con

LABELS = torch.tensor([2, 0, 2, 1, 0, 2, 7])  # three of class 2, two of class 0, 1 and 7 alone


def batch(rows: int = 7, seed: int = 0) -> Tensor:
    return torch.randn(rows, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain(z: Tensor, labels: list[int], temperature: float) -> float:
    """Eq. 2 of Khosla et al. (2020), term by term; the mean over anchors that have a positive."""

    def share(i: int, p: int) -> float:
        def e(k: int) -> float:
            return math.exp(float(z[i] @ z[k] / (z[i].norm() * z[k].norm())) / temperature)

        return e(p) / sum(e(a) for a in range(len(z)) if a != i)

    terms = []
    for i in range(len(z)):
        positives = [p for p in range(len(z)) if p != i and labels[p] == labels[i]]
        if positives:
            terms.append(-sum(math.log(share(i, p)) for p in positives) / len(positives))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_formula(temperature: float, seed: int) -> None:
    z = batch(seed=seed)
    loss = sup_con(z, LABELS, temperature=temperature)
    assert loss.item() == pytest.approx(plain(z, LABELS.tolist(), temperature), rel=1e-9)


def test_hand_worked_numbers() -> None:
    x, y = torch.eye(2, dtype=torch.float64)
    # two orthogonal pairs: the own at e, two others at 1
    pairs = sup_con(torch.stack([x, x, y, y]), torch.tensor([0, 0, 1, 1]), temperature=1.0)
    assert pairs.item() == pytest.approx(math.log((math.e + 2) / math.e))
    # a pair and a single row: only the pair's two anchors count, the third is their negative
    alone = sup_con(torch.stack([x, x, y]), torch.tensor([0, 0, 1]), temperature=1.0)
    assert alone.item() == pytest.approx(math.log((math.e + 1) / math.e))
    # x, x, y of one class: log(e + 1) - (1 + 0) / 2 for x, log 2 for y; with the logarithm of the mean it would be less
    spread = sup_con(torch.stack([x, x, y]), torch.zeros(3), temperature=1.0)
    assert spread.item() == pytest.approx((2 * (math.log(math.e + 1) - 0.5) + math.log(2)) / 3)


def test_two_views_of_each_text_are_those_of_nt_xent_and_info_nce() -> None:
    """Values and gradients; SimCSE's loss has the same candidates where each view is an anchor, itself left out."""
    first, second = batch(5).requires_grad_(), batch(5, seed=1).requires_grad_()
    labels, places = torch.arange(5), torch.arange(10)
    loss = sup_con(first, labels, second, temperature=0.2)
    stacked, twins = torch.cat([first, second]), torch.cat([second, first])
    ids = torch.stack([places, places.roll(5)], dim=1)
    for other in (
        nt_xent(first, second, temperature=0.2),
        info_nce(stacked, twins, temperature=0.2, ids=ids),
        sup_con(stacked, labels.repeat(2), temperature=0.2),
    ):
        torch.testing.assert_close(loss, other)
        gradients = (torch.autograd.grad(each, (first, second), retain_graph=True) for each in (loss, other))
        torch.testing.assert_close(*gradients)


def test_order_names_of_classes_and_lengths_do_not_count() -> None:
    z, order = batch(), torch.tensor([4, 2, 6, 0, 5, 1, 3])
    loss = sup_con(z, LABELS)
    torch.testing.assert_close(sup_con(z[order], LABELS[order]), loss)
    torch.testing.assert_close(sup_con(z, 10 - LABELS), loss)
    torch.testing.assert_close(sup_con(3 * z, LABELS), loss)


def test_gradients() -> None:
    temperature = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)  # may be trainable
    z = batch().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, t: sup_con(x, LABELS, temperature=t), (z, temperature))


def test_a_batch_without_positives_is_an_error() -> None:
    with pytest.raises(TrainingError, match="no two texts of the batch share a class: each batch needs several"):
        sup_con(batch(), torch.arange(7))
    with pytest.raises(TrainingError, match=r"each text needs one label; got \(6,\) for 7 texts"):
        sup_con(batch(), LABELS[:6])
