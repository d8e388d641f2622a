"""Geometry of a model's vectors on the sphere, and biases of its similarity."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcse_kit.data import read_scored_pairs
from simcse_kit.errors import DataError
from simcse_kit.evaluation.encoding import SentencePool
from simcse_kit.evaluation.metrics import (
    alignment,
    cosine_pairs,
    effective_rank,
    mean_cosine,
    positive_pairs,
    scale_maximum,
    spearman,
    spectrum,
    uniformity,
    unit,
)
from simcse_kit.evaluation.results import SuiteResult
from simcse_kit.evaluation.sts import SPLITS, TOP, load_sts_benchmark
from simcse_kit.types import EncodeFn, ScoredPairs

NEIGHBOURS = 10
_COMPONENTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class SpectrumRow(NamedTuple):
    """Share of each direction in the total variance of the vectors (uncentred), and cumulative shares."""

    component: int  # from 1, the strongest first
    share: float
    cumulative: float


def evaluate_geometry(
    encode: EncodeFn, data: ScoredPairs | str | Path, *, split: str = "all", dedupe: bool = False
) -> SuiteResult:
    """Alignment, uniformity, mean cosine, effective rank, hubness, length bias and overlap bias, unscaled.

    Args:
        encode: N sentences to (N, D).
        data: the folder of the suite sts, for STS-B; or your own scored pairs, or a file of them.
        split: of STS-B: train, dev, test, or all three together, as in SimCSE's figure (Gao et al., 2021).
        dedupe: use every sentence, and every pair, once.

    Alignment uses pairs with gold above 80 % of the scale, uniformity both sentences of all pairs (Wang & Isola, 2020).
    The others use distinct sentences; see `hubness` and `similarity_error`.
    """
    start = time.perf_counter()
    pairs, scale = _pairs(data, split)
    pool = SentencePool()
    first, second = pool.add(pairs.first), pool.add(pairs.second)
    gold = np.asarray(pairs.gold, dtype=np.float64)
    if dedupe:
        _, kept = np.unique(np.stack([first, second], axis=1), axis=0, return_index=True)
        kept.sort()
        first, second, gold = first[kept], second[kept], gold[kept]
    vectors = pool.encode(encode)
    positive = positive_pairs(gold, scale=scale)
    spread = np.unique(np.concatenate([first, second])) if dedupe else np.concatenate([first, second])
    error = similarity_error(cosine_pairs(vectors[first], vectors[second]), gold)
    words = [sentence.lower().split() for sentence in pool.sentences]
    shares = spectrum(vectors)
    scores = {
        "alignment": alignment(vectors[first[positive]], vectors[second[positive]]),
        "uniformity": uniformity(vectors[spread]),
        "mean cosine": mean_cosine(vectors),
        "effective rank": effective_rank(vectors),
        "hubness": hubness(vectors),
        "length bias": spearman(
            error, [abs(len(words[i]) - len(words[j])) for i, j in zip(first, second, strict=True)]
        ),
        "overlap bias": spearman(error, [_overlap(words[i], words[j]) for i, j in zip(first, second, strict=True)]),
    }
    undefined = [name for name, value in scores.items() if not np.isfinite(value)]
    return SuiteResult(
        suite="geometry",
        scores=scores,
        alignment=scores["alignment"],
        uniformity=scores["uniformity"],
        details=tuple(
            SpectrumRow(n, float(shares[n - 1]), float(shares[:n].sum())) for n in _COMPONENTS if n <= len(shares)
        ),
        seconds=time.perf_counter() - start,
        sentences=len(pool),
        data=pairs.source if isinstance(data, ScoredPairs) else str(data),
        notes=(f"not defined on these pairs: {', '.join(undefined)}",) if undefined else (),
    )


def similarity_error(similarity: ArrayLike, gold: ArrayLike) -> NDArray[np.float64]:
    """By how much a model overestimates the similarity of each of N pairs: rank by similarity minus rank by gold, -1 to
    1.

    Its rank correlation with the difference of lengths in words is the length bias: negative if similarity of pairs
    with equal length is overestimated (Wu et al., 2022, "ESimCSE"). Its correlation with the share of common words
    (Jaccard) is the overlap bias: positive if common words count for more than meaning.

    >>> similarity_error([0.9, 0.1, 0.5], [1, 2, 3]).round(2).tolist()
    [0.67, -0.33, -0.33]
    """
    from scipy.stats import rankdata

    error: NDArray[np.float64] = (rankdata(similarity) - rankdata(gold)) / max(np.size(gold), 1)
    return error


def hubness(vectors: ArrayLike, *, k: int = NEIGHBOURS, chunk: int = 1024) -> float:
    """Skewness of how often each of N vectors is among the k nearest of another: (N, D) -> about 0 (no hubs) and
    higher.

    Radovanovic et al. (2010), "Hubs in space". By cosine; a vector is not its own neighbor; nan if N <= k.
    """
    from scipy.stats import skew

    x = unit(vectors).astype(np.float32)
    if len(x) <= k:
        return float("nan")
    often = np.zeros(len(x), dtype=np.int64)
    for start in range(0, len(x), chunk):
        cosines = x[start : start + chunk] @ x.T
        cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))] = -np.inf
        nearest = np.argpartition(cosines, -k, axis=1)[:, -k:]
        often += np.bincount(nearest.ravel(), minlength=len(x))
    return float(skew(often)) if np.ptp(often) else 0.0


def _overlap(first: Sequence[str], second: Sequence[str]) -> float:
    one, other = set(first), set(second)
    return len(one & other) / max(len(one | other), 1)


def _pairs(data: ScoredPairs | str | Path, split: str) -> tuple[ScoredPairs, float]:
    if split not in ("all", *SPLITS):
        raise DataError(f"split must be one of all, {', '.join(SPLITS)}; got {split!r}")
    if isinstance(data, ScoredPairs) or not Path(data).is_dir():
        if split != "all":
            raise DataError(f"split={split!r} is only for STS-B; your own pairs have no splits")
        pairs = data if isinstance(data, ScoredPairs) else read_scored_pairs(data)
        return pairs, scale_maximum(pairs.gold)
    parts = [part for name, part in zip(SPLITS, load_sts_benchmark(data), strict=True) if split in ("all", name)]
    return ScoredPairs(
        [text for part in parts for text in part.first],
        [text for part in parts for text in part.second],
        np.concatenate([part.gold for part in parts]),
        f"STS-B {split}",
        sum(part.dropped for part in parts),
    ), TOP
