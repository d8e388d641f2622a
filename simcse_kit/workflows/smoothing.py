"""Finds out, without labels, whether averaging a text's vector with its neighbors helps search.

A short text gives only a few words of what its writer meant. Averaging with its neighbors adds what others wrote about
the same, and the two halves of a text find each other more often. A document is complete: averaging blurs it, and its
halves find each other less often.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from simcse_kit.evaluation.metrics import unit
from simcse_kit.evaluation.signs import halves, reciprocal_ranks
from simcse_kit.model import SimCSE
from simcse_kit.objectives import Neighborhood, Objective, local_scale
from simcse_kit.search.collection import Collection
from simcse_kit.search.vectors import exact_nearest
from simcse_kit.training.targets import Near
from simcse_kit.types import Vectors

AMONG = 2_000  # maximum number of texts whose vectors are averaged
_LEAST_AMONG = 500
_WORDS = 60_000  # approximate number of queries; fewer if the texts are long
_SEED = 0
_SURE = 2.0  # standard errors


class Smoothing(NamedTuple):
    """Reciprocal rank of a text's half for its other half as query, mean over the queries, times 100."""

    own: float  # with the model's own vectors
    mean: float  # with each vector averaged with its neighbors, as in the objective
    error: float  # standard error of the difference

    @property
    def helps(self) -> bool:
        """Whether halves find each other no worse: worse means `_SURE` standard errors below 0."""
        return self.mean - self.own >= -_SURE * self.error

    @property
    def words(self) -> str:
        """One line of text."""
        return (
            "half of a text as query finds the other half with a mean reciprocal rank x 100 of "
            f"{self.own:.1f} by the model's vectors, {self.mean:.1f} by vectors averaged with their neighbors"
        )


def smoothing(model: SimCSE, texts: Sequence[str], objective: Objective) -> Smoothing | None:
    """Search for halves of texts, with plain vectors and with vectors averaged with their neighbors.

    At most a quarter of `AMONG` texts are cut, each twice: in the middle, and into two random sets of its words.

    Args:
        model: the model of the vectors.
        texts: N distinct texts.
        objective: an objective with a neighborhood; its `targets` are the averages.

    Returns:
        None if fewer than 20 texts can be cut.
    """
    random = np.random.default_rng(_SEED)
    order = random.permutation(len(texts))
    long = float(np.mean([len(texts[i].split()) for i in order[:_LEAST_AMONG]]))
    among = int(np.clip(_WORDS / max(long, 1.0), _LEAST_AMONG, AMONG))
    asked_of = order[: min(among, len(texts)) // 4]
    cut = [(int(i), texts[i].split()) for i in asked_of]
    asked = [(i, words) for i, words in cut if len(words) > 1]
    if len(asked) < 20:
        return None
    apart = {i for i, _ in asked}
    rest = [texts[i] for i in order[: among + len(asked_of)] if int(i) not in apart]
    views = _halves([words for _, words in asked], random)
    vectors = unit(np.asarray(model.encode_document(rest), np.float32))
    found = [unit(np.asarray(model.encode_document(view), np.float32)) for view in views]
    averaged = _Averaged(vectors, objective)
    plain = [reciprocal_ranks(found[at], found[at + 1]) for at in (0, 2)]
    means = [averaged(view) for view in found]
    after = [reciprocal_ranks(means[at], means[at + 1]) for at in (0, 2)]
    change = (after[0] + after[1] - plain[0] - plain[1]) / 2  # one value per text: its two cuts are not independent
    return Smoothing(
        100 * float(np.mean(plain)), 100 * float(np.mean(after)), 100 * float(change.std() / np.sqrt(len(change)))
    )


def _halves(texts: Sequence[Sequence[str]], random: np.random.Generator) -> list[list[str]]:
    """First and second half, and two random sets of words in order: four lists of n texts."""
    cut = []
    for words in texts:
        one = np.isin(np.arange(len(words)), random.permutation(len(words))[: (len(words) + 1) // 2])
        drawn = [" ".join(itertools.compress(words, chosen)) for chosen in (one, ~one)]
        cut.append((*halves(words), *drawn))
    return [list(view) for view in zip(*cut, strict=True)]


class _Averaged:
    """Vectors (n, D) averaged with their nearest among M others, as the objective averages its texts."""

    def __init__(self, among: Vectors, objective: Objective) -> None:
        self.among = among
        self.objective = objective
        self.k = min(objective.neighborhood, len(among) - 1)
        index = Collection(among.shape[1])
        index.add([""] * len(among), among)
        self.near = Near.of(index, self.k)

    def __call__(self, vectors: Vectors) -> Vectors:
        scores, rows = exact_nearest(vectors, self.among, self.k)
        around = Neighborhood(
            own=vectors,
            near=self.among[rows],
            scores=scores,
            farthest=self.near.last[rows],
            scale=local_scale(scores),
            near_scale=self.near.scale[rows],
        )
        return self.objective.targets(around)
