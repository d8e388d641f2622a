"""RankCSE's losses against plain loops, hand-worked numbers and invariances of rankings."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from simcse_kit.errors import TrainingError
from simcse_kit.losses import (
    blend,
    consistency,
    embedding_distillation,
    list_mle,
    list_net,
    similarity_distillation,
)


def matrices(rows: int = 5, columns: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.rand(rows, columns, generator=generator, dtype=torch.float64) * 2 - 1 for _ in range(2))
    return first, second


def others(matrix: Tensor, i: int) -> list[float]:
    return [float(value) for j, value in enumerate(matrix[i]) if j != i]


def softmax(values: list[float]) -> list[float]:
    shares = [math.exp(value) for value in values]
    return [share / sum(shares) for share in shares]


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def plain_consistency(first: Tensor, second: Tensor, temperature: float) -> float:
    sims = torch.nn.functional.cosine_similarity(first.unsqueeze(1), second.unsqueeze(0), dim=-1) / temperature
    total = 0.0
    for i in range(len(first)):
        p, q = softmax(others(sims, i)), softmax(others(sims.T, i))
        middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
        total += (kl(p, middle) + kl(q, middle)) / 2
    return total / len(first)


def plain_list_net(student: Tensor, teacher: Tensor, student_temperature: float, teacher_temperature: float) -> float:
    total = 0.0
    for i in range(len(student)):
        targets = softmax(others(teacher / teacher_temperature, i))
        chances = softmax(others(student / student_temperature, i))
        total -= sum(a * math.log(b) for a, b in zip(targets, chances, strict=True))
    return total / len(student)


def plain_list_mle(student: Tensor, teacher: Tensor, temperature: float) -> float:
    """Draw the teacher's order one by one, without putting back."""
    total = 0.0
    for i in range(len(student)):
        scores, order = others(student / temperature, i), others(teacher, i)
        left = sorted(range(len(order)), key=lambda j: -order[j])
        while left:
            total -= math.log(softmax([scores[j] for j in left])[0])
            del left[0]
    return total / (len(student) * (len(student) - 1))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_the_losses_are_their_formulas(seed: int, temperature: float) -> None:
    a, b = matrices(seed=seed)
    expected = plain_consistency(a, b, temperature)
    assert consistency(a, b, temperature=temperature).item() == pytest.approx(expected, rel=1e-7)
    loss = list_net(a, b, student_temperature=temperature, teacher_temperature=0.3)
    assert loss.item() == pytest.approx(plain_list_net(a, b, temperature, 0.3), rel=1e-9)
    assert list_mle(a, b, temperature=temperature).item() == pytest.approx(plain_list_mle(a, b, temperature), rel=1e-9)


def test_hand_worked_numbers() -> None:
    # first e0 e1 e2, second e0 e1 e0: similarities [[1 0 1] [0 1 0] [0 0 0]]. Without the diagonal the lists are
    # (0, 1), (0, 0), (0, 0) one way and (0, 0), (0, 0), (1, 0) the other: two of three rows hold softmax(0, 1) against
    # (1/2, 1/2). Jensen-Shannon is the entropy of the middle less the mean entropy.
    eye = torch.eye(3, dtype=torch.float64)
    p = [1 / (1 + math.e), math.e / (1 + math.e)]

    def entropy(shares: list[float]) -> float:
        return -sum(share * math.log(share) for share in shares)

    js = entropy([(share + 0.5) / 2 for share in p]) - (entropy(p) + math.log(2)) / 2
    assert consistency(eye, eye[[0, 1, 0]], temperature=1.0).item() == pytest.approx(2 / 3 * js)

    # lists of two, the student's all (ln 3, 0): shares 3/4 and 1/4
    student = torch.tensor([[9, math.log(3), 0], [math.log(3), 9, 0], [math.log(3), 0, 9]], dtype=torch.float64)
    even = torch.zeros(3, 3, dtype=torch.float64)
    loss = list_net(student, even, student_temperature=1.0)  # targets 1/2 and 1/2
    assert loss.item() == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)
    # the teacher's order agrees in two rows: -ln 3/4; and not in the third: -ln 1/4. The last place is certain: ln 1,
    # so that the mean over places is half of each.
    teacher = torch.tensor([[0, 2, 1], [2, 0, 1], [1, 2, 0]], dtype=torch.float64)
    expected = (-2 * math.log(3 / 4) - math.log(1 / 4)) / 3 / 2
    assert list_mle(student, teacher, temperature=1.0).item() == pytest.approx(expected)


def test_consistency_is_a_distance_of_rankings() -> None:
    a, b = matrices()
    assert consistency(a, a).item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(consistency(a, b), consistency(b, a))
    assert 0 < consistency(a, b) < math.log(2)
    assert consistency(a, b, temperature=1e-4) < math.log(2) + 1e-9  # one-sided certainty does not overflow
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(consistency(a[order], b[order]), consistency(a, b))


def test_a_sentence_with_itself_is_in_no_list() -> None:
    student, teacher = matrices()
    one, other = torch.diag(torch.arange(5.0)).double(), torch.diag(torch.tensor([4.0, -9, 0, 2, 1])).double()
    for loss in (list_net, list_mle):
        torch.testing.assert_close(loss(student + one, teacher + other), loss(student, teacher))


def test_list_net_is_least_at_the_teacher() -> None:
    student, teacher = matrices()
    entropy = plain_list_net(teacher, teacher, 0.05, 0.05)
    assert list_net(teacher, teacher).item() == pytest.approx(entropy)
    assert list_net(student, teacher).item() > entropy
    # at twice the temperature, similarities of twice the size say the same
    torch.testing.assert_close(list_net(2 * student, teacher, student_temperature=0.1), list_net(student, teacher))
    assert similarity_distillation is list_net


def test_list_mle_learns_the_order_alone() -> None:
    student, teacher = matrices()
    torch.testing.assert_close(list_mle(student, teacher.exp() * 7), list_mle(student, teacher))
    torch.testing.assert_close(list_mle(student + 0.3, teacher), list_mle(student, teacher))
    assert list_mle(teacher, teacher) < list_mle(student, teacher) < list_mle(-teacher, teacher)
    # ties keep the order of the batch, as if the first were slightly better
    student, _ = matrices(200, 200)
    falling = -torch.arange(200, dtype=torch.float64).expand(200, 200)
    torch.testing.assert_close(list_mle(student, torch.zeros(200, 200)), list_mle(student, falling))


@pytest.mark.parametrize("rows", [1, 2])
def test_lists_of_one_and_none_cost_nothing(rows: int) -> None:
    a, b = (tensor.requires_grad_() for tensor in matrices(rows, rows))
    for loss in (consistency(a, b), list_net(a, b), list_mle(a, b)):
        assert loss.item() == pytest.approx(0, abs=1e-12)
        (gradient,) = torch.autograd.grad(loss, a)
        torch.testing.assert_close(gradient, torch.zeros_like(gradient))


def test_the_teacher_gets_no_gradient() -> None:
    student, teacher = (tensor.requires_grad_() for tensor in matrices())
    (list_net(student, teacher) + list_mle(student, teacher) + embedding_distillation(student, teacher)).backward()
    assert teacher.grad is None
    assert student.grad is not None


def test_blend_is_a_weighted_mean() -> None:
    a, b = matrices()
    assert blend(torch.tensor(0.9), torch.tensor(0.3), 1 / 3).item() == pytest.approx(0.5)  # 0.3 + 0.2
    assert torch.equal(blend(a, b, 1.0), a)
    assert torch.equal(blend(a, b, 0.0), b)


def test_embedding_distillation() -> None:
    eye = torch.eye(2, dtype=torch.float64)
    assert embedding_distillation(3 * eye, eye).item() == pytest.approx(0)
    assert embedding_distillation(eye, eye.flip(0)).item() == pytest.approx(1)
    assert embedding_distillation(-eye, eye).item() == pytest.approx(2)
    with pytest.raises(TrainingError, match=r"\(2, 3\), the student's \(2, 2\)"):
        embedding_distillation(eye, torch.zeros(2, 3))


def test_gradients() -> None:
    a, b = matrices(4, 4)
    a.requires_grad_()
    t = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)  # a temperature may be trainable
    both = (a, b.clone().requires_grad_(), t)
    assert torch.autograd.gradcheck(lambda x, y, t: consistency(x, y, temperature=t), both, atol=1e-6)
    assert torch.autograd.gradcheck(lambda x, t: list_net(x, b, student_temperature=t), (a, t), atol=1e-6)
    assert torch.autograd.gradcheck(lambda x, t: list_mle(x, b, temperature=t), (a, t), atol=1e-6)
    assert torch.autograd.gradcheck(lambda x: embedding_distillation(x, b), (a,), atol=1e-6)
