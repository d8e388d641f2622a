"""Ranking of checkpoints: by scored pairs, or by held-out sentences without labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from simcse_kit.data import TextData
from simcse_kit.encoder.padding import pad
from simcse_kit.encoder.tokens import length_batches
from simcse_kit.errors import TrainingError
from simcse_kit.evaluation import evaluate_pairs
from simcse_kit.evaluation.metrics import alignment, uniformity
from simcse_kit.losses import info_nce
from simcse_kit.losses.similarity import cosine_similarity
from simcse_kit.model import SimCSE
from simcse_kit.training.randomness import RandomState
from simcse_kit.types import ScoredPairs

HELD_OUT_AT_MOST = 1000  # maximum number of held-out sentences; a tenth of the data if that is less
_FEWEST = 50
_SEED = 0  # seed of the choice and of the dropout masks: the same for every checkpoint

Score = Callable[[], dict[str, float]]


class Split(NamedTuple):
    """Rows to train on, and held-out sentences that rank checkpoints."""

    train: list[int]
    held_out: list[str]


def hold_out(data: TextData) -> Split:
    """Holds out a tenth of the distinct sentences (first cells), at most `HELD_OUT_AT_MOST`. Training leaves out every
    row with one of them. The choice is the same for every seed of a run, because their scores are compared. Fewer than
    50 raise a `TrainingError`.
    """
    distinct = list(dict.fromkeys(data.column(0)))
    count = min(HELD_OUT_AT_MOST, len(distinct) // 10)
    if count < _FEWEST:
        raise TrainingError(
            f"{data.source} holds {len(distinct)} distinct sentences; select dropout-twins holds out a tenth of "
            f"them and needs {10 * _FEWEST}. Use --eval-data or --select last"
        )
    chosen = np.random.default_rng(_SEED).choice(len(distinct), count, replace=False)
    held_out = [distinct[i] for i in sorted(chosen.tolist())]
    kept = set(held_out)
    return Split([i for i, row in enumerate(data.rows) if kept.isdisjoint(row)], held_out)


def pairs_scorer(model: SimCSE, pairs: ScoredPairs) -> Score:
    """Spearman x 100, alignment and uniformity of the model on scored pairs, with full-length sentences."""
    encode = model.encoder_fn(batch_size=128)

    def score() -> dict[str, float]:
        with model.full_length():
            result = evaluate_pairs(encode, pairs)
            assert result.alignment is not None
            assert result.uniformity is not None
        return {
            "spearman": result.scores["spearman"],
            "alignment": result.alignment,
            "uniformity": result.uniformity,
        }

    return score


def dropout_twins_scorer(model: SimCSE, sentences: Sequence[str], max_seq_length: int) -> Score:
    """How well two dropout views of held-out sentences find each other. ``label_free`` ranks checkpoints, higher first.
    It does not measure search, because training optimises it.

    Two passes with dropout make a pair of views of each of N sentences. ``label_free`` is minus the contrastive loss
    with all N as candidates, plus a constant: 0 is chance, log N the maximum. ``twin_retrieval`` is the percentage of
    first views whose nearest second view is their own. ``twin_alignment`` and ``label_free_uniformity`` are those of
    Wang & Isola (2020), of the two views and of the sentences without dropout.
    """

    def score() -> dict[str, float]:
        first, second = (_with_dropout(model, sentences, max_seq_length, _SEED + i) for i in range(2))
        nearest = cosine_similarity(first, second).argmax(1)
        clean = model.encode(list(sentences), batch_size=128)
        return {
            "label_free": math.log(len(sentences)) - float(info_nce(first, second)),
            "twin_retrieval": 100 * float((nearest == torch.arange(len(first))).float().mean()),
            "twin_alignment": alignment(first.numpy(), second.numpy()),
            "label_free_uniformity": uniformity(clean),
        }

    return score


def check_dropout_twins(model: SimCSE, sentences: Sequence[str], max_seq_length: int) -> None:
    """Check that dropout is on: without it all views are equal, and the score would reward only spread."""
    first, second = (_with_dropout(model, sentences[:8], max_seq_length, _SEED + i) for i in range(2))
    if torch.equal(first, second):
        raise TrainingError(
            "select dropout-twins compares dropout views, but dropout is 0 in this backbone: use --eval-data, "
            "--select last, or --dropout 0.1"
        )


def _with_dropout(model: SimCSE, sentences: Sequence[str], max_seq_length: int, seed: int) -> Tensor:
    """Vectors with dropout on, (N, D) on the CPU; restores the random generators."""
    prompt = model.default_prompt()
    tokens = model.tokenize([prompt + text for text in sentences], max_seq_length=max_seq_length)
    device, encoder = model.device, model.encoder
    out = torch.empty(len(sentences), encoder.dimension)
    was_training = encoder.training
    state = RandomState.now(device)
    with torch.no_grad():
        torch.manual_seed(seed)
        encoder.train()
        try:
            for indices in length_batches(tokens.lengths, 128, pads=encoder.pads):
                ids, mask = pad(tokens.rows(indices), model.tokenizer.pad_token_id)
                vectors = encoder(ids.to(device), None if mask is None else mask.to(device))
                out[torch.from_numpy(indices)] = vectors.float().cpu()
        finally:
            encoder.train(was_training)
            state.restore(device)
    return out
