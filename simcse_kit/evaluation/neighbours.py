"""Predicts a text's class from its nearest texts. Pure functions of arrays."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.evaluation.metrics import average_precision, nearest_columns
from simcse_kit.types import Vectors

K = 10  # neighbours
MINI_BATCHES_ABOVE = 10_000  # up to this many texts, each k-means step uses all of them
_BATCH = 1024

Classes = NDArray[np.intp]
"""(N,) class numbers."""


class NeighbourScores(NamedTuple):
    """Scores of each of Q queries, (Q,) from 0 to 1, in the order of the suite's scores."""

    precision_at_10: NDArray[np.float64]  # share of the ten nearest with the query's class
    precision_at_1: NDArray[np.float64]  # whether the nearest has the query's class
    average_precision: NDArray[np.float64]  # over all texts; 0 if no text has the query's class
    accuracy: NDArray[np.float64]  # whether the majority of the ten has the query's class


def neighbour_scores(cosines: Vectors, gold: Classes, classes: Classes) -> NeighbourScores:
    """How many texts near a query have its class: cosines (Q, N), gold (Q,), classes (N,), N at least 10.

    A text at -inf is excluded; 10 others are needed. Of equal cosines, the earlier text counts as nearer; in the
    average precision they share the last rank.

    >>> cosines = np.linspace(1, 0, 12)[None]  # classes 0 0 1 0 0 0 1 1 1 1 | 0 1: five of ten, six in all
    >>> scores = neighbour_scores(cosines, np.array([0]), np.array([0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 0, 1]))
    >>> [round(float(each[0]), 4) for each in scores]  # (1 + 1 + 3/4 + 4/5 + 5/6 + 6/11) / 6
    [0.5, 1.0, 0.8215, 1.0]
    """
    near = classes[nearest_columns(cosines, K)]  # (Q, 10)
    same = near == gold[:, None]
    whole = [
        average_precision(row, (classes == own) & np.isfinite(row)) for row, own in zip(cosines, gold, strict=True)
    ]
    return NeighbourScores(
        same.mean(1), same[:, 0].astype(np.float64), np.nan_to_num(whole), (elected(near) == gold).astype(np.float64)
    )


def elected(near: Classes) -> Classes:
    """The most frequent of k classes, best first; ties go to the class of the nearest: (Q, k) -> (Q,).

    >>> elected(np.array([[3, 1, 1, 3, 2]])).tolist()
    [3]
    """
    votes = (near[:, :, None] == near[:, None, :]).sum(2)  # (Q, k): frequency of each one's class among the k
    best: Classes = np.take_along_axis(near, votes.argmax(1)[:, None], axis=1)[:, 0]
    return best


def k_means(vectors: Vectors, count: int, *, seed: int) -> Classes:
    """The cluster of each of N vectors (N, D), by scikit-learn's k-means: (N,).

    Each step costs N · count · D, with at most 300 steps; above `MINI_BATCHES_ABOVE` vectors a step is one mini-batch
    (Sculley, 2010).
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    part, more = (MiniBatchKMeans, {"batch_size": _BATCH}) if len(vectors) > MINI_BATCHES_ABOVE else (KMeans, {})
    model = part(n_clusters=count, n_init=1, random_state=seed, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct vectors than clusters
        found: Classes = model.fit_predict(vectors).astype(np.intp)
    return found
