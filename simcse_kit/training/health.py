"""Early warnings during training: collapsed embeddings and identical views, detected in the batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from simcse_kit.errors import say_once
from simcse_kit.evaluation.metrics import effective_rank, mean_cosine
from simcse_kit.losses.contrastive import nearer_than_positive
from simcse_kit.losses.similarity import cosine_similarity, similarity_pairwise

_COLLAPSED_COSINE = 0.95  # raw BERT's CLS vectors, the narrowest start, begin at about 0.9 and fall
_COLLAPSED_RANK = 0.05  # share of the highest rank that the batch allows
_SAME = 1 - 1e-6
_ROWS = 512  # rows used: enough for the mean; the rank costs rows squared


class Health(NamedTuple):
    """Measures of one batch's vectors."""

    mean_cosine: float  # of the first views of different sentences; 1: all vectors are parallel
    effective_rank: float  # see `simcse_kit.evaluation.effective_rank`
    highest_rank: int  # highest possible rank of this many vectors of this width
    twin_cosine: float  # lowest cosine of a sentence's two views; nan with one view

    @property
    def collapsed(self) -> bool:
        """Whether the vectors are nearly equal."""
        return self.mean_cosine > _COLLAPSED_COSINE or self.effective_rank < _COLLAPSED_RANK * self.highest_rank

    @property
    def identical(self) -> bool:
        """Whether the two views of every sentence are equal."""
        return self.twin_cosine > _SAME


def health(views: Sequence[Tensor]) -> Health:
    """Measures of a batch's views, (B, D) each, B at least 2; of a large batch only the first rows."""
    first, *others = (view[:_ROWS].float().cpu() for view in views)
    twins = similarity_pairwise(first, others[0]) if others else torch.tensor([float("nan")])
    return Health(
        mean_cosine=mean_cosine(first.numpy()),
        effective_rank=effective_rank(first.numpy()),
        highest_rank=min(first.shape),
        twin_cosine=float(twins.min()),
    )


def near_negatives(views: Sequence[Tensor], margin: float) -> float:
    """Share of a batch's negatives that ``false_negative_margin`` excludes; views (B, D) each."""
    cosines = cosine_similarity(views[0].float(), torch.cat(list(views[1:])).float())  # (B, C), own positives first
    near = nearer_than_positive(cosines, margin).fill_diagonal_(False)
    return float(near.sum() / (near.numel() - len(near)))


def warn(step: int, state: Health, *, unsupervised: bool, run: str) -> None:
    """Warn once per run about a fault and how to fix it."""
    if state.collapsed:
        say_once(
            f"step {step}: the embeddings are collapsing: mean cosine of different sentences "
            f"{state.mean_cosine:.2f}, effective rank {state.effective_rank:.1f} of {state.highest_rank}. Try a "
            "lower --learning-rate, a larger --batch-size or a lower --temperature",
            key=f"collapse: {run}",
        )
    if unsupervised and state.identical and not state.collapsed:
        say_once(
            f"step {step}: both views of every sentence are identical (lowest cosine {state.twin_cosine:.7f}), "
            "so the model only learns to spread vectors. Raise --dropout or add an --augmentation",
            key=f"identical views: {run}",
        )
