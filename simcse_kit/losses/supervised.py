"""Contrastive learning with classes: each text must find the texts of its class in the batch."""

from __future__ import annotations

import torch
from torch import Tensor

from simcse_kit.errors import TrainingError
from simcse_kit.losses.similarity import check_above_0, check_vectors, cosine_similarity


def sup_con(
    embeddings: Tensor, labels: Tensor, second: Tensor | None = None, *, temperature: float | Tensor = 0.1
) -> Tensor:
    """SupCon's loss, eq. 2, L_out (Khosla et al., 2020): (B, D), class numbers (B,) -> a scalar.

        l(i) = -1 / |P(i)| * sum over p in P(i) of log( exp(s_ip / t) / sum over a != i of exp(s_ia / t) )

    with cosine s, and P(i) the other texts of i's class. The logarithm is outside the mean over positives. With a
    ``second`` view (B, D) of the same texts there are 2B anchors, as in the paper. The result is the mean over the
    anchors that have a positive; a text without one is only a negative. 0.1 is the paper's temperature.

    If each class has two members, its two views, this equals `simcse_kit.losses.nt_xent`.

    Raises:
        TrainingError: no two texts share a class, or the numbers of labels and texts differ.

    >>> import math
    >>> loss = sup_con(torch.eye(2).repeat(2, 1), torch.tensor([0, 1, 0, 1]), temperature=0.5)
    >>> math.isclose(loss, math.log(1 + 2 / math.e**2), rel_tol=1e-6)  # one of its class at e^2, two others at 1
    True
    """
    check_vectors(embeddings=embeddings, second=second)
    check_above_0(temperature=temperature)
    if second is not None:
        embeddings, labels = torch.cat([embeddings, second]), labels.repeat(2)
    if labels.shape != embeddings.shape[:1]:
        raise TrainingError(f"each text needs one label; got {tuple(labels.shape)} for {len(embeddings)} texts")
    own = torch.eye(len(embeddings), dtype=torch.bool, device=embeddings.device)
    positive = (labels == labels.unsqueeze(1)) & ~own  # (B, B)
    counts = positive.sum(1)
    anchors = counts > 0
    if not anchors.any():
        raise TrainingError("no two texts of the batch share a class: each batch needs several texts per class")
    logits = cosine_similarity(embeddings, embeddings) / temperature
    log_shares = logits.masked_fill(own, float("-inf")).log_softmax(1)
    return -(log_shares.masked_fill(~positive, 0).sum(1)[anchors] / counts[anchors]).mean()
