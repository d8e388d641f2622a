"""Contrastive losses: pure functions of embeddings. No model, no trainer, no globals."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from simcse_kit.similarity import cosine_similarity


def info_nce(
    anchors: Tensor,
    positives: Tensor,
    hard_negatives: Tensor | None = None,
    *,
    temperature: float = 0.05,
    hard_negative_weight: float = 0.0,
) -> Tensor:
    """SimCSE's loss (Gao et al., 2021, eq. 1, 4 and 5): each anchor must pick its positive; all (B, D), a scalar.

    The candidates of an anchor are all positives of the batch and, where given, all hard negatives:

        l_i = -log( exp(s(i, i+) / t) / sum_j ( exp(s(i, j+) / t) + exp(s(i, j-) / t + w [i = j]) ) )

    with cosine s. ``hard_negative_weight`` w is added to the logit of the anchor's own hard negative after the
    division by ``temperature`` t, as in the original code (it is log(alpha) of the paper's eq. 8; 0 is plain).

    >>> import math
    >>> loss = info_nce(torch.eye(2), torch.eye(2), temperature=1.0)
    >>> math.isclose(loss, math.log(1 + math.exp(-1)), rel_tol=1e-6)  # logits 1 and 0
    True
    """
    logits = cosine_similarity(anchors, positives) / temperature  # (B, B)
    if hard_negatives is not None:
        against = cosine_similarity(anchors, hard_negatives) / temperature  # (B, B)
        if hard_negative_weight:
            against = against + hard_negative_weight * torch.eye(
                len(anchors), device=against.device, dtype=against.dtype
            )
        logits = torch.cat([logits, against], dim=1)  # (B, 2B)
    labels = torch.arange(len(anchors), device=logits.device)
    return cross_entropy(logits, labels)


def nt_xent(first: Tensor, second: Tensor, *, temperature: float = 0.5) -> Tensor:
    """SimCLR's loss, eq. 1 (Chen et al., 2020): each of the 2B views must pick its twin; both (B, D), result a scalar.

        l(i, j) = -log( exp(s_ij / t) / sum over k != i of exp(s_ik / t) ),   mean over both directions of every pair

    Unlike `info_nce`, the two sides share one set of candidates: a view's negatives are the other 2B - 2 views.

    >>> import math
    >>> loss = nt_xent(torch.eye(2), torch.eye(2), temperature=0.5)
    >>> math.isclose(loss, math.log(1 + 2 / math.e**2), rel_tol=1e-6)  # the twin at e^2, two others at 1
    True
    """
    views = torch.cat([first, second])  # (2B, D)
    logits = cosine_similarity(views, views) / temperature
    logits = logits.masked_fill(torch.eye(len(views), dtype=torch.bool, device=views.device), float("-inf"))
    labels = torch.arange(len(views), device=views.device).roll(len(first))  # the twin of view i is i + B, modulo 2B
    return cross_entropy(logits, labels)
