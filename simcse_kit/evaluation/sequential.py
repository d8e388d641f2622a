"""Interval of a mean that is valid at every look: you may judge, look, and stop or continue at any time.

A confidence sequence by betting: Waudby-Smith & Ramdas (2024), "Estimating means of bounded random variables by
betting", Journal of the Royal Statistical Society B 86(1), the hedged capital process (Theorem 3). Values X_i in [0, 1]
have mean m, each drawn independently of the earlier ones; a bet is a constant share v of the largest bet that cannot
ruin:

    K_n(m) = 1/2 mean_v prod_i (1 + v (X_i - m) / m)  +  1/2 mean_v prod_i (1 - v (X_i - m) / (1 - m))

At the true mean every factor has expectation 1, so K_n is a martingale that starts at 1. By Ville's inequality it ever
reaches 1 / alpha with probability at most alpha. The interval holds every m with K_n(m) < 1 / alpha. Each product is
convex in m (its factors are convex and non-negative, and all increase or all decrease with m), so these m form an
interval.

The paper predicts the share from earlier values. The mean over constant shares (its diversified Kelly bet) has no
setting, does not depend on the order of the values, and needs no more judgements in simulations.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcse_kit.evaluation.bootstrap import Floats

LEVEL = 0.95
MANY = 10_000  # largest forecast; nobody judges more
_SHARES = np.sqrt((np.arange(20) + 0.5) / 20)  # (V,) shares of the largest bet; large ones decide soon in clear cases
_STEPS = 40  # halvings: 2 / 2**40


def mean_interval(values: ArrayLike, *, level: float = LEVEL) -> tuple[float, float]:
    """The interval of the mean of N values in [-1, 1], in any order; (-1, 1) without values.

    >>> low, high = mean_interval([0.5, 0.25, 0.5, 0.75] * 10)
    >>> 0.3 < low < 0.5 < high < 0.7
    True
    """
    x = _checked(values)
    middle = (float(x.mean()) + 1) / 2 if len(x) else 0.5
    # at the mean of the values the wealth is below 1, because no constant bet gains there (Jensen's inequality)
    return tuple(2 * _edge(x, middle, end, level) - 1 for end in (0.0, 1.0))  # type: ignore[return-value]


def decided(values: ArrayLike, *, level: float = LEVEL) -> NDArray[np.bool_]:
    """After each of N values in [-1, 1], whether the interval of their mean excludes 0: (..., N) -> (..., N).

    >>> int(decided([0.5] * 20).argmax())  # the twelfth of equal differences
    11
    """
    growth = _growth(_checked(values), 0.5)  # (2, V, ..., N)
    reached: NDArray[np.bool_] = _log_mean(growth.cumsum(-1)) >= -math.log(1 - level)
    return reached


def further_needed(values: ArrayLike, *, level: float = LEVEL) -> int | None:
    """How many more values are needed if they are like the N so far; 0: already decided; None: more than `MANY`.

    A forecast, not a guarantee: with few values, or a difference near 0, it is rough.

    >>> further_needed([0.5, 0.0]), further_needed([0.5, -0.5])
    (22, None)
    """
    x = _checked(values)
    if not len(x):
        return None
    growth = _growth(x, 0.5)  # (2, V, N)
    wanted = -math.log(1 - level)
    now, each = growth.sum(-1), growth.mean(-1)  # (2, V), of N values and of one more

    def enough(more: int) -> bool:
        return bool(_log_mean(now + more * each) >= wanted)

    if enough(0):
        return 0
    if not enough(MANY):
        return None
    low, high = 0, MANY  # not enough, enough: the log of a mean of exponentials is convex, so it crosses the limit once
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _checked(values: ArrayLike) -> Floats:
    x = np.asarray(values, dtype=np.float64)
    if not (np.abs(x) <= 1).all():
        raise ValueError("values must be in [-1, 1]")
    return x


def _growth(x: Floats, mean: float) -> Floats:
    """Log of the factor of each bet for each single value, against a mean in (0, 1): (..., N) -> (2, V, ..., N)."""
    gain = (x + 1) / 2 - mean
    shares = _SHARES.reshape(-1, *[1] * x.ndim)
    return np.stack([np.log1p(shares * (gain / mean)), np.log1p(-shares * (gain / (1 - mean)))])


def _log_mean(logs: Floats) -> Floats:
    """Log of the mean over the bets, the first two axes: (2, V, ...) -> (...)."""
    top = logs.max((0, 1))
    found: Floats = top + np.log(np.exp(logs - top).mean((0, 1)))
    return found


def _edge(x: Floats, inside: float, end: float, level: float) -> float:
    """Where the wealth reaches 1 / alpha, between the mean of the values and an end of [0, 1]."""
    outside = end
    for _ in range(_STEPS):
        mean = (inside + outside) / 2
        if 0 < mean < 1 and _log_mean(_growth(x, mean).sum(-1)) >= -math.log(1 - level):
            outside = mean
        else:
            inside = mean
    return outside
