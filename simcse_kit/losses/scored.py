"""Losses for pairs with a gold score: they learn the order of the scores, not their values."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from simcse_kit.losses.similarity import PAIRWISE, check_above_0, check_column, check_vectors


def cosent(first: Tensor, second: Tensor, gold: Tensor, *, scale: float | Tensor = 20.0) -> Tensor:
    """CoSENT (Su, 2022): pairs with a higher gold score must get a higher cosine; (B, D), (B, D), (B,) -> a scalar.

        log( 1 + sum over gold_i > gold_j of exp(scale * (cos_j - cos_i)) )

    One sum over all comparisons of the batch; pairs with equal gold are not compared. ``scale`` is 1 / temperature.

    >>> import math
    >>> first, second = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])  # cosines 1 and 0
    >>> math.isclose(cosent(first, second, torch.tensor([5.0, 1.0]), scale=1.0), math.log(1 + 1 / math.e), rel_tol=1e-6)
    True
    """
    _check(first, second, gold, scale)
    return _order_loss(PAIRWISE["cosine"](first, second) * scale, gold)


def angle(first: Tensor, second: Tensor, gold: Tensor, *, scale: float | Tensor = 20.0) -> Tensor:
    """AnglE (Li & Li, 2023), the angle objective: CoSENT's sum with an angle-based similarity; shapes as in `cosent`.

    The halves of a unit vector are the real and the imaginary parts of D / 2 complex numbers (an odd D is padded by a
    0). Similarity is |Re q + Im q| with q = sum_k first_k * conj(second_k), the paper's complex quotient for unit
    lengths, so that angles count where the cosine is flat. Equals sentence-transformers' AnglELoss.

    >>> import math
    >>> one, turned = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0], [1.0, -1.0]])  # 1; 45 and -45 degrees
    >>> loss = angle(turned, one.expand(2, 2), torch.tensor([1.0, 0.0]), scale=1.0)  # similarities 2 / sqrt(2) and 0
    >>> math.isclose(loss, math.log(1 + math.exp(-math.sqrt(2))), rel_tol=1e-6)
    True
    """
    _check(first, second, gold, scale)
    return _order_loss(_angle_similarity(first, second) * scale, gold)


def _check(first: Tensor, second: Tensor, gold: Tensor, scale: float | Tensor) -> None:
    check_vectors(first=first, second=second)
    check_column("gold", gold, len(first))
    check_above_0(scale=scale)


def _angle_similarity(first: Tensor, second: Tensor) -> Tensor:
    """|Re q + Im q| of row i with row i: (B, D), (B, D) -> (B,)."""
    odd = first.shape[-1] % 2
    (a, b), (c, d) = (normalize(pad(each, (0, odd)), dim=-1).chunk(2, dim=-1) for each in (first, second))
    return (a * c + b * d + b * c - a * d).sum(-1).abs()  # (a + ib)(c - id), summed over k


def _order_loss(scores: Tensor, gold: Tensor) -> Tensor:
    """log(1 + sum over gold_i > gold_j of exp(score_j - score_i)): (B,), (B,) -> a scalar."""
    excess = scores.unsqueeze(0) - scores.unsqueeze(1)  # (B, B): [i, j] is score_j - score_i
    compared = gold.unsqueeze(1) > gold.unsqueeze(0)
    excess = excess.masked_fill(~compared, float("-inf")).flatten()
    return torch.cat([excess.new_zeros(1), excess]).logsumexp(0)
