"""Metrics of vectors and gold scores: cosine, correlation, alignment, uniformity. Pure functions of arrays."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

POSITIVES_ABOVE = 0.8
"""A pair is positive above this part of the gold scale: gold > 4 on STS-B's 0-5 (Gao et al., 2021)."""


def cosine_pairs(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Cosine of row i with row i: (N, D), (N, D) -> (N,). A zero vector has cosine 0 with everything.

    >>> cosine_pairs([[3.0, 4.0], [0.0, 0.0]], [[4.0, 3.0], [1.0, 0.0]]).tolist()
    [0.96, 0.0]
    """
    a, b = _same_shape(first, second, dimensions=2)
    dots, lengths = _dots(a, b), np.sqrt(_dots(a, a)) * np.sqrt(_dots(b, b))  # (N,), (N,)
    cosines: NDArray[np.float64] = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
    return cosines


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Rank correlation of two (N,) arrays, with mean ranks for ties; nan if either is constant or N < 2.

    >>> round(spearman([1, 2, 3], [10, 100, 1000]), 6)
    1.0
    """
    from scipy.stats import rankdata

    a, b = _same_shape(x, y, dimensions=1)
    # rankdata would rank a nan and so hide it
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("nan")
    return pearson(rankdata(a), rankdata(b))


def pearson(x: ArrayLike, y: ArrayLike) -> float:
    """Linear correlation of two (N,) arrays; nan if either is constant or N < 2."""
    from scipy.stats import pearsonr

    a, b = _same_shape(x, y, dimensions=1)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns about nearly constant input; the value or nan is enough
        return float(pearsonr(a, b).statistic)


def alignment(first: ArrayLike, second: ArrayLike) -> float:
    """Mean of |f(x) - f(y)|^2 over positive pairs, on unit vectors: (N, D), (N, D) -> 0 (best) to 4; nan if N is 0.

    Wang & Isola (2020), "Understanding contrastive representation learning through alignment and uniformity on the
    hypersphere", with alpha = 2.

    >>> alignment([[1, 0], [0, 2]], [[5, 0], [3, 0]])
    1.0
    """
    a, b = _same_shape(first, second, dimensions=2)
    if len(a) == 0:
        return float("nan")
    gap = unit(a) - unit(b)  # (N, D)
    return float(_dots(gap, gap).mean())


def uniformity(vectors: ArrayLike, *, t: float = 2.0, chunk: int = 1024) -> float:
    """Log of the mean of exp(-t |f(x_i) - f(x_j)|^2) over all i < j, on unit vectors: (N, D) -> 0 (worst) and below.

    Wang & Isola (2020), as for `alignment`. One log of one mean over all N (N - 1) / 2 pairs, never a mean of
    per-batch logs; at most chunk x chunk distances are held at a time. nan if N < 2.

    >>> round(uniformity([[1, 0], [0, 1]]), 6)  # one pair, |f(x) - f(y)|^2 = 2
    -4.0
    """
    x = unit(_floats(vectors, dimensions=2)).astype(np.float32, copy=False)
    if len(x) < 2:
        return float("nan")
    lengths = np.float32(t) * np.square(x).sum(1)  # (N,): t, or 0 for a zero vector
    buffer = np.empty((min(chunk, len(x)), min(chunk, len(x))), dtype=np.float32)
    total = 0.0
    for i in range(0, len(x), chunk):
        rows = np.float32(2 * t) * x[i : i + chunk]
        for j in range(i, len(x), chunk):
            columns = x[j : j + chunk]
            # a smaller block at the edge also needs a contiguous target for the matrix product
            block = buffer.reshape(-1)[: len(rows) * len(columns)].reshape(len(rows), len(columns))
            np.matmul(rows, columns.T, out=block)
            block -= lengths[i : i + chunk, None]
            block -= lengths[None, j : j + chunk]  # now -t |f(x_i) - f(x_j)|^2
            np.minimum(block, 0, out=block)  # rounding can make distances of equal vectors negative
            np.exp(block, out=block)
            part = float(block.sum(dtype=np.float64))
            total += part if j > i else (part - float(np.trace(block, dtype=np.float64))) / 2
    return float(np.log(total / (len(x) * (len(x) - 1) / 2)))


def mean_cosine(vectors: ArrayLike) -> float:
    """Mean cosine of different vectors, all i < j: (N, D) -> -1 / (N - 1) to 1 (all parallel); nan if N < 2.

    >>> mean_cosine([[1, 0], [0, 1], [0, 2]])  # 0, 0 and 1
    0.3333333333333333
    """
    x = unit(_floats(vectors, dimensions=2)).astype(np.float64)
    if len(x) < 2:
        return float("nan")
    total = np.square(x.sum(0)).sum() - _dots(x, x).sum()
    return float(total / (len(x) * (len(x) - 1)))


def effective_rank(vectors: ArrayLike) -> float:
    """How many directions N vectors use: exp of the entropy of their singular values' shares, 1 to min(N, D).

    Roy & Vetterli (2007), "The effective rank: a measure of effective dimensionality". Vectors are not centred: a
    common direction counts as collapse.

    >>> round(effective_rank([[1, 0], [0, 1]]), 6), round(effective_rank([[1, 1], [2, 2]]), 6)
    (2.0, 1.0)
    """
    values = np.linalg.svd(_floats(vectors, dimensions=2), compute_uv=False)
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def spectrum(vectors: ArrayLike) -> NDArray[np.float64]:
    """Share of each direction in the sum of squares, strongest first: (N, D) -> (min(N, D),), which sum to 1.

    Vectors are scaled to length 1 and not centred, so that a common direction shows.

    >>> spectrum([[2, 0], [0, 1], [0, -1], [0, 3]]).round(2).tolist()
    [0.75, 0.25]
    """
    values = np.linalg.svd(unit(vectors).astype(np.float64), compute_uv=False)
    total = np.square(values).sum()
    shares: NDArray[np.float64] = np.square(values) / (total if total > 0 else 1)
    return shares


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Average precision of N scores and 0/1 labels -> 0 to 1; equal scores share the last rank.

    >>> round(average_precision([0.9, 0.8, 0.7], [1, 0, 1]), 4)  # (1/1 + 2/3) / 2
    0.8333
    """
    s, y = _same_shape(scores, labels, dimensions=1)
    falling, own = np.sort(-s), np.sort(-s[y > 0])
    if not len(own):
        return float("nan")
    last, hits = (np.searchsorted(values, own, side="right") for values in (falling, own))  # where equal scores end
    return float((hits / last).mean())


def nearest_columns(similarities: NDArray[np.floating], k: int) -> NDArray[np.intp]:
    """The k columns with the largest values in each row, best first, ties by order: (Q, N) -> (Q, k).

    >>> nearest_columns(np.array([[0.5, 0.9, 0.9, 0.5, 0.1]]), 3).tolist()
    [[1, 2, 0]]
    """
    found = np.empty((len(similarities), k), dtype=np.intp)
    for row, values in enumerate(-similarities):
        columns = np.flatnonzero(values <= np.partition(values, k - 1)[k - 1])  # more than k if the last is a tie
        found[row] = columns[np.argsort(values[columns], kind="stable")[:k]]
    return found


def best_threshold(scores: ArrayLike, labels: ArrayLike) -> float:
    """The smallest score from which on "positive" is right most often, for N scores and 0/1 labels.

    It is halfway between two scores; of equally good ones, the highest.

    >>> best_threshold([0.9, 0.7, 0.5, 0.1], [1, 1, 0, 0])
    0.6
    """
    s, y = _same_shape(scores, labels, dimensions=1)
    values = np.unique(s)[::-1]  # descending
    order = np.argsort(-s, kind="stable")
    above = np.searchsorted(-s[order], -values, side="right")  # (V,) counts at or above each value
    hits = np.cumsum(y[order])[above - 1]
    right = np.concatenate([[0.0], 2 * hits - above])  # up to a constant: negatives below it
    best = int(np.argmax(right))
    if best == 0:
        return float(np.nextafter(values[0], np.inf))
    return float(values[best - 1] if best == len(values) else (values[best - 1] + values[best]) / 2)


def scale_maximum(gold: ArrayLike) -> float:
    """The top of the scale of gold scores (N,): 1 if none is above 1, 5 if none is above 5, else the largest.

    >>> scale_maximum([0.2, 0.9]), scale_maximum([0, 3.5]), scale_maximum([12, 80])
    (1.0, 5.0, 80.0)
    """
    top = float(np.max(np.asarray(gold, dtype=np.float64), initial=0.0))
    return 1.0 if top <= 1 else 5.0 if top <= 5 else top


def positive_pairs(gold: ArrayLike, *, scale: float | None = None) -> NDArray[np.bool_]:
    """Which of N pairs are positive, gold above 80 % of the scale: (N,) -> (N,). `scale=None` uses `scale_maximum`.

    >>> positive_pairs([5, 4, 4.2, 0]).tolist()
    [True, False, True, False]
    """
    top = scale_maximum(gold) if scale is None else scale
    positive: NDArray[np.bool_] = np.asarray(gold, dtype=np.float64) > POSITIVES_ABOVE * top
    return positive


def unit(vectors: ArrayLike) -> NDArray[np.floating]:
    """Scale every row to length 1; a zero row stays zero: (N, D) -> (N, D)."""
    x = _floats(vectors, dimensions=2)
    lengths = np.sqrt(_dots(x, x))[:, None]  # (N, 1)
    scaled: NDArray[np.floating] = x / np.where(lengths > 0, lengths, 1).astype(x.dtype)
    return scaled


def _dots(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    # einsum casts in small chunks: float64 sums without float64 copies
    dots: NDArray[np.float64] = np.einsum("nd,nd->n", a, b, dtype=np.float64)
    return dots


def _floats(values: ArrayLike, *, dimensions: int) -> NDArray[np.floating]:
    array = np.asarray(values)
    if array.ndim != dimensions:
        raise ValueError(f"expected an array of {dimensions} dimension(s); got shape {array.shape}")
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _same_shape(
    first: ArrayLike, second: ArrayLike, *, dimensions: int
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    a, b = _floats(first, dimensions=dimensions), _floats(second, dimensions=dimensions)
    if a.shape != b.shape:
        raise ValueError(f"expected two arrays of equal shape; got {a.shape} and {b.shape}")
    return a, b
