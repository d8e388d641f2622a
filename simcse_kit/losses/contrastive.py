"""Contrastive losses: each text must find its partner in the batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from simcse_kit.errors import TrainingError
from simcse_kit.losses.similarity import check_above_0, check_column, check_matrix, check_vectors, cosine_similarity

HARDNESS_MODES = ("in_batch_negatives", "hard_negatives", "all_negatives")


def info_nce(
    anchors: Tensor,
    positives: Tensor,
    hard_negatives: Tensor | None = None,
    *,
    temperature: float | Tensor = 0.05,
    hard_negative_weight: float = 0.0,
    angular_margin: float = 0.0,
    hardness_mode: str | None = None,
    hardness_strength: float = 0.0,
    bidirectional: bool = False,
    extra_negatives: Tensor | None = None,
    extra_ids: Tensor | None = None,
    ids: Tensor | None = None,
    false_negative_margin: float | None = None,
) -> Tensor:
    """SimCSE's loss (Gao et al., 2021, eq. 1, 4 and 5): each anchor must find its positive; all (B, D), a scalar.

    The candidates of an anchor are all positives of the batch and, if given, all hard negatives:

        l_i = -log( exp(s(i, i+) / t) / sum_j ( exp(s(i, j+) / t) + exp(s(i, j-) / t + w [i = j]) ) )

    with cosine s. ``hard_negative_weight`` w is added to the logit of the anchor's own hard negative after the division
    by ``temperature`` t, as in the original code (it is log(alpha) of the paper's eq. 8; 0 is the plain loss).

    - ``angular_margin`` m, in degrees: the positive's logit is cos(theta + m) / t, with theta its angle to the anchor
      (ArcCSE, Zhang et al., 2022, who use 10). Beyond theta = pi - m, cos(theta) + cos(m) - 1 replaces cos(theta + m),
      so that a worse pair never costs less.
    - ``hardness_mode``: adds ``hardness_strength`` * s, s without gradient, to the logits of the "in_batch_negatives"
      (from other rows; Lan et al., 2025, eq. 5), the "hard_negatives" (the row's own; Schechter Vera et al., 2025) or
      "all_negatives", as in sentence-transformers. Extra negatives count as in-batch.
    - ``bidirectional``: the mean of this loss and of the softmax in which each positive finds its anchor among all
      anchors. That direction has no hard or extra negatives, weight or hardness (Günther et al., 2024).
    - ``extra_negatives`` (Q, D): negatives of every anchor, such as ESimCSE's momentum queue (Wu et al., 2022, eq. 5)
      or DCLR's noise (`simcse_kit.losses.noise_negatives`).
    - ``ids`` (B, 2 or 3): text numbers of each anchor, positive and (with 3) hard negative. A candidate with the text
      of the anchor or of its positive, including the own hard negative, is not a negative and is excluded from the sum;
      so is an extra negative if ``extra_ids`` (Q,) gives its text.
    - ``false_negative_margin``: candidates whose cosine exceeds s(i, i+) - margin are excluded too: GISTEmbed's
      "absolute" margin (Solatorio, 2024), with the model as its own guide. 0 excludes candidates nearer than the
      positive, a larger margin excludes more, and a negative margin keeps candidates that are nearer by up to that
      amount.

    If only the own positive is left, the row's loss is 0.

    >>> import math
    >>> loss = info_nce(torch.eye(2), torch.eye(2), temperature=1.0)
    >>> math.isclose(loss, math.log(1 + math.exp(-1)), rel_tol=1e-6)  # logits 1 and 0
    True
    >>> texts = torch.tensor([[0, 0], [0, 0]])  # the same text twice: nothing to tell apart
    >>> float(info_nce(torch.eye(2), torch.eye(2), ids=texts))
    0.0
    """
    if hardness_mode is not None and hardness_mode not in HARDNESS_MODES:
        raise TrainingError(f"hardness_mode must be one of {', '.join(HARDNESS_MODES)} or None; got {hardness_mode!r}")
    check_vectors(anchors=anchors, positives=positives, hard_negatives=hard_negatives)
    if extra_negatives is not None:
        check_matrix("extra_negatives", extra_negatives, width=anchors.shape[1])
    check_above_0(temperature=temperature)
    size = len(anchors)
    candidates = [each for each in (positives, hard_negatives, extra_negatives) if each is not None]
    stacked = torch.cat(candidates) if len(candidates) > 1 else positives  # avoids a copy if there is nothing to stack
    cosines = cosine_similarity(anchors, stacked)  # (B, C): positives, hard negatives, extra negatives
    scores = cosines
    if angular_margin:
        scores = torch.diagonal_scatter(cosines, _with_margin(cosines.diagonal(), angular_margin))
    logits = scores / temperature
    if hard_negatives is not None and hard_negative_weight:
        logits.diagonal(size).add_(hard_negative_weight)
    if hardness_mode is not None and hardness_strength:
        hard = _hardened(cosines, hardness_mode, first_hard=size if hard_negatives is not None else None)
        logits = logits + hardness_strength * cosines.detach() * hard
    same = None
    if ids is not None:
        texts = ids[:, 1 : 2 if hard_negatives is None else 3].T.flatten()
        same = _same_text(ids, texts if extra_ids is None else torch.cat([texts, extra_ids]))
    loss = _pick_own(logits, cosines, same, false_negative_margin)
    if not bidirectional:
        return loss
    backward = scores[:, :size].T / temperature  # (B, B): positives find anchors
    same = None if ids is None else _same_text(ids, ids[:, 0])
    return (loss + _pick_own(backward, cosines[:, :size].T, same, false_negative_margin)) / 2


def _with_margin(cosines: Tensor, degrees: float) -> Tensor:
    """cos(theta + m) of each cos(theta), m in ``degrees``; any shape.

    Beyond theta = pi - m, where cos(theta + m) would rise again, cos(theta) + cos(m) - 1 replaces it: both are -1
    there, and the replacement keeps falling, so that a worse pair never costs less. sin(theta), whose slope is infinite
    at cos(theta) = 1 and -1, is kept above the square root of the machine epsilon, so that gradients stay finite.
    """
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    sines = (1 - cosines.square()).clamp(min=torch.finfo(cosines.dtype).eps).sqrt()
    return torch.where(cosines > -cosine, cosine * cosines - sine * sines, cosines + cosine - 1)


def _hardened(cosines: Tensor, mode: str, *, first_hard: int | None) -> Tensor:
    """Negatives whose logits ``hardness_mode`` raises: (B, C) bool; ``first_hard``: first column of hard negatives."""
    positive = torch.zeros_like(cosines, dtype=torch.bool).fill_diagonal_(True)
    hard = torch.zeros_like(positive) if first_hard is None else positive.roll(first_hard, dims=1)
    return {"in_batch_negatives": ~(positive | hard), "hard_negatives": hard, "all_negatives": ~positive}[mode]


def _same_text(ids: Tensor, texts: Tensor) -> Tensor:
    """Which texts equal row i's anchor or positive: (B, V), (C,) -> (B, C) bool."""
    return (texts == ids[:, :1]) | (texts == ids[:, 1:2])


def _pick_own(logits: Tensor, cosines: Tensor, same: Tensor | None, margin: float | None) -> Tensor:
    """Cross-entropy of row i with target column i, without false negatives: logits and cosines (B, C), a scalar.

    ``same`` (B, C or fewer) marks equal texts among the first columns; the own positive always stays.
    """
    if same is not None or margin is not None:
        dropped = torch.zeros_like(cosines, dtype=torch.bool)
        if same is not None:
            dropped[:, : same.shape[1]] = same
        if margin is not None:
            dropped |= nearer_than_positive(cosines, margin)
        logits = logits.masked_fill(dropped.fill_diagonal_(False), float("-inf"))
    return cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def nearer_than_positive(cosines: Tensor, margin: float) -> Tensor:
    """Which candidates are nearer than row i's positive, column i, minus the margin: (B, C) -> (B, C) bool."""
    return cosines > cosines.diagonal().unsqueeze(1) - margin


def nt_xent(first: Tensor, second: Tensor, *, temperature: float | Tensor = 0.5, ids: Tensor | None = None) -> Tensor:
    """SimCLR's loss, eq. 1 (Chen et al., 2020): each of the 2B views must find its twin; both (B, D), result a scalar.

        l(i, j) = -log( exp(s_ij / t) / sum over k != i of exp(s_ik / t) ),   mean over both directions of every pair

    Unlike `info_nce`, both sides share one set of candidates: a view's negatives are the other 2B - 2 views, except
    those of the same text if ``ids`` (B,) gives text numbers.

    >>> import math
    >>> loss = nt_xent(torch.eye(2), torch.eye(2), temperature=0.5)
    >>> math.isclose(loss, math.log(1 + 2 / math.e**2), rel_tol=1e-6)  # the twin at e^2, two others at 1
    True
    """
    check_vectors(first=first, second=second)
    check_above_0(temperature=temperature)
    if ids is not None:
        check_column("ids", ids, len(first))
    views = torch.cat([first, second])  # (2B, D)
    logits = cosine_similarity(views, views) / temperature
    labels = torch.arange(len(views), device=views.device).roll(len(first))  # the twin of view i is i + B, modulo 2B
    if ids is None:
        dropped = torch.eye(len(views), dtype=torch.bool, device=views.device)
    else:
        texts = ids.repeat(2)
        dropped = (texts == texts.unsqueeze(1)).scatter(1, labels.unsqueeze(1), False)  # all of its text but the twin
    return cross_entropy(logits.masked_fill(dropped, float("-inf")), labels)
