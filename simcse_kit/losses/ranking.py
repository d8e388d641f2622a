"""Learning the order of similarities: RankCSE's ranking consistency and distillation (Liu et al., 2023).

A list is a row of a (B, B) matrix of similarities: one sentence against the other B - 1 of its batch. The diagonal, a
sentence with itself, is left out: it is always on top and teaches no order. Losses are means over the B lists, while
the paper sums, so that their weight relative to another loss does not depend on the batch size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simcse_kit.errors import TrainingError
from simcse_kit.losses.similarity import PAIRWISE, check_above_0, check_similarities, check_vectors, cosine_similarity


def consistency(first: Tensor, second: Tensor, *, temperature: float | Tensor = 0.05) -> Tensor:
    """Ranking consistency: both dropout views must rank the batch alike; both (B, D), a scalar.

        P_i = softmax_j s(first_i, second_j) / t,   Q_i = softmax_j s(second_i, first_j) / t,   over j != i
        JS(P_i, Q_i) = (KL(P_i | M_i) + KL(Q_i | M_i)) / 2   with   M_i = (P_i + Q_i) / 2,   mean over i

    >>> abs(float(consistency(torch.eye(3), torch.eye(3)))) < 1e-6  # the same view twice
    True
    """
    check_vectors(first=first, second=second)
    check_above_0(temperature=temperature)
    sims = cosine_similarity(first, second) / temperature  # (B, B)
    p, q = (_lists(each).log_softmax(-1) for each in (sims, sims.T))  # log-probabilities, (B, B - 1)
    middle = torch.logaddexp(p, q) - math.log(2)
    return ((p.exp() * (p - middle) + q.exp() * (q - middle)).sum(-1) / 2).mean()


def list_net(
    student_sims: Tensor,
    teacher_sims: Tensor,
    *,
    student_temperature: float | Tensor = 0.05,
    teacher_temperature: float | Tensor = 0.05,
) -> Tensor:
    """ListNet (Cao et al., 2007): the student's top-one probabilities follow the teacher's; both (B, B), a scalar.

        -sum_j softmax_j(T_i / t_teacher) * log softmax_j(S_i / t_student)   over j != i,   mean over i

    No gradient reaches the teacher. The minimum is the entropy of the teacher's distribution, not 0.
    """
    check_similarities(student_sims=student_sims, teacher_sims=teacher_sims)
    check_above_0(student_temperature=student_temperature, teacher_temperature=teacher_temperature)
    targets = _lists(teacher_sims.detach() / teacher_temperature).softmax(-1)
    return -(targets * _lists(student_sims / student_temperature).log_softmax(-1)).sum(-1).mean()


similarity_distillation = list_net  # another name, for uses with a teacher that are not about ranking


def list_mle(student_sims: Tensor, teacher_sims: Tensor, *, temperature: float | Tensor = 0.05) -> Tensor:
    """ListMLE (Xia et al., 2008): likelihood of the teacher's order under the student; both (B, B), a scalar.

        -1 / (B - 1) * sum_j log( exp(S_i[o_j] / t) / sum over k >= j of exp(S_i[o_k] / t) ),   mean over i

    with o the teacher's order of the list, best first, ties in batch order. The mean over positions also keeps the
    scale independent of the length. No gradient reaches the teacher.
    """
    check_similarities(student_sims=student_sims, teacher_sims=teacher_sims)
    check_above_0(temperature=temperature)
    order = _lists(teacher_sims).argsort(dim=-1, descending=True, stable=True)
    scores = _lists(student_sims / temperature).gather(-1, order)  # (B, B - 1), the teacher's best first
    rest = scores.flip(-1).logcumsumexp(-1).flip(-1)  # log of the sum over this place and all below
    return (rest - scores).sum() / max(scores.numel(), 1)


def blend(first_teacher_sims: Tensor, second_teacher_sims: Tensor, alpha: float) -> Tensor:
    """Combined similarities of two teachers: alpha * first + (1 - alpha) * second, (B, B)."""
    return alpha * first_teacher_sims + (1 - alpha) * second_teacher_sims


def embedding_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cosine of each vector with the teacher's of the same text; both (B, D), a scalar (mean).

    No gradient reaches the teacher. With teachers of another width, distill similarities: `list_net`.
    """
    if student.shape != teacher.shape:
        raise TrainingError(
            f"the teacher's vectors are {tuple(teacher.shape)}, the student's {tuple(student.shape)}: distill "
            "similarities instead (list_net), or use a teacher of the same width"
        )
    return 1 - PAIRWISE["cosine"](student, teacher.detach()).mean()


def _lists(sims: Tensor) -> Tensor:
    """Each row without its diagonal: (B, B) -> (B, B - 1).

    Without its first entry, the matrix is B - 1 rows of B + 1 that each end in a diagonal entry; needs no mask, so no
    wait for the device.
    """
    size = len(sims)
    return sims.flatten()[1:].view(size - 1, size + 1)[:, :-1].reshape(size, size - 1)
