"""Where a mean lies, in an interval that is valid at every look: one may judge, look, and stop or go on as one likes.

A confidence sequence by betting: Waudby-Smith & Ramdas (2024), "Estimating means of bounded random variables by
betting", Journal of the Royal Statistical Society B 86(1), the hedged capital process (Theorem 3). Values X_i lie in
[0, 1] and have mean m, each drawn independently of the earlier ones; a bet is a constant share v of the largest that
cannot ruin:

    K_n(m) = 1/2 mean_v prod_i (1 + v (X_i - m) / m)  +  1/2 mean_v prod_i (1 - v (X_i - m) / (1 - m))

At the true mean every factor has expectation 1, so K_n is a martingale that begins at 1, and by Ville's inequality it
ever reaches 1 / alpha with probability alpha at most. The interval holds every m with K_n(m) < 1 / alpha. Each product
is convex in m (its factors are convex, not negative, and all fall or all rise with m), so these m are an interval.

The paper predicts the share from the earlier values. The mean over constant shares (its diversified Kelly bet) has no
setting, does not depend on the order of the values, and decides no later in simulated judgements.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcse_kit.evaluation.bootstrap import Floats

LEVEL = 0.95
MANY = 10_000  # values; where more would be needed, nobody judges them
_SHARES = np.sqrt((np.arange(20) + 0.5) / 20)  # (V,) of the largest bet; large ones decide soon, where much is clear
_STEPS = 40  # halvings: 2 / 2**40


def mean_interval(values: ArrayLike, *, level: float = LEVEL) -> tuple[float, float]:
    """The interval of the mean of N values in [-1, 1], in any order; (-1, 1) without values.

    >>> low, high = mean_interval([0.5, 0.25, 0.5, 0.75] * 10)
    >>> 0.3 < low < 0.5 < high < 0.7
    True
    """
    x = _checked(values)
    middle = (float(x.mean()) + 1) / 2 if len(x) else 0.5
    # the wealth at the mean of the values is less than 1, for no constant bet gains on it (Jensen's inequality)
    return tuple(2 * _edge(x, middle, end, level) - 1 for end in (0.0, 1.0))  # type: ignore[return-value]


def decided(values: ArrayLike, *, level: float = LEVEL) -> NDArray[np.bool_]:
    """After each of N values in [-1, 1], whether the interval of their mean leaves 0 out: (..., N) -> (..., N).

    >>> int(decided([0.5] * 20).argmax())  # the twelfth of equal differences
    11
    """
    growth = _growth(_checked(values), 0.5)  # (2, V, ..., N)
    reached: NDArray[np.bool_] = _log_mean(growth.cumsum(-1)) >= -math.log(1 - level)
    return reached


def further_needed(values: ArrayLike, *, level: float = LEVEL) -> int | None:
    """How many more values decide, if they are like the N so far; 0: it is decided; None: more than `MANY`.

    It is a forecast and no promise: with few values, or a difference near 0, it is rough.

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
    low, high = 0, MANY  # not enough, enough: the log of a mean of exponentials is convex, so it is passed once
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _checked(values: ArrayLike) -> Floats:
    x = np.asarray(values, dtype=np.float64)
    if not (np.abs(x) <= 1).all():
        raise ValueError("values of a mean with bounds lie in [-1, 1]")
    return x


def _growth(x: Floats, mean: float) -> Floats:
    """Log of what each bet is worth after each value alone, against a mean in (0, 1): (..., N) -> (2, V, ..., N)."""
    gain = (x + 1) / 2 - mean
    shares = _SHARES.reshape(-1, *[1] * x.ndim)
    return np.stack([np.log1p(shares * (gain / mean)), np.log1p(-shares * (gain / (1 - mean)))])


def _log_mean(logs: Floats) -> Floats:
    """Log of the mean over the first two axes, the bets: (2, V, ...) -> (...)."""
    top = logs.max((0, 1))
    found: Floats = top + np.log(np.exp(logs - top).mean((0, 1)))
    return found


def _edge(x: Floats, inside: float, end: float, level: float) -> float:
    """Where the wealth reaches 1 / alpha between the mean of the values and an end of [0, 1]."""
    outside = end
    for _ in range(_STEPS):
        mean = (inside + outside) / 2
        if 0 < mean < 1 and _log_mean(_growth(x, mean).sum(-1)) >= -math.log(1 - level):
            outside = mean
        else:
            inside = mean
    return outside
