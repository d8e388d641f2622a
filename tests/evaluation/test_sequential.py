"""The interval that is valid at every look: by its formula, by its laws, and by its errors in simulated judgements."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcse_kit.evaluation import sequential
from simcse_kit.evaluation.sequential import decided, further_needed, mean_interval

COMPARISONS = 2000
LOOKS = 200
differences = st.lists(st.floats(-1, 1), min_size=1, max_size=60)


def wealth(values: list[float], mean: float) -> float:
    """The formula of the module's docstring, one factor after the other."""
    total = 0.0
    for share in sequential._SHARES:
        up = down = 1.0
        for value in values:
            x = (value + 1) / 2
            up *= 1 + share * (x - mean) / mean
            down *= 1 - share * (x - mean) / (1 - mean)
        total += (up + down) / 2
    return total / len(sequential._SHARES)


def judged(rate: float, other: float, shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Differences in nDCG@5 of two systems with different hits, each relevant with a given probability."""
    draw = np.random.default_rng(seed)
    first, second = (draw.random((*shape, 5)) < p for p in (rate, other))
    discounts = 1 / np.log2(np.arange(2, 7))
    relevant = np.minimum(first.sum(-1) + second.sum(-1), 5)
    ideal = np.append(1, discounts.cumsum())[relevant]  # 1 where nothing is relevant: the difference is 0
    return ((second * discounts).sum(-1) - (first * discounts).sum(-1)) / ideal


def test_the_ends_are_where_the_formula_reaches_twenty() -> None:
    values = [0.5, 0.25, 0.0, 0.75, -0.1, 0.4] * 5
    low, high = mean_interval(values)
    for end, outside in ((low, -1e-6), (high, 1e-6)):
        assert wealth(values, (end + 1) / 2) == pytest.approx(20, rel=1e-4)
        assert wealth(values, (end + outside + 1) / 2) > 20 > wealth(values, (end - outside + 1) / 2)


def test_without_values_everything_is_possible() -> None:
    assert mean_interval([]) == (-1, 1)
    assert further_needed([]) is None


@settings(max_examples=50, deadline=None)
@given(differences)
def test_what_holds_for_every_list_of_differences(values: list[float]) -> None:
    low, high = mean_interval(values)
    assert -1 <= low <= np.mean(values) + 1e-9
    assert np.mean(values) - 1e-9 <= high <= 1
    assert mean_interval(values[::-1]) == pytest.approx((low, high), abs=1e-9)
    assert mean_interval([-value for value in values]) == pytest.approx((-high, -low), abs=1e-9)
    wider = mean_interval(values, level=0.99)
    assert wider[0] <= low <= high <= wider[1]


@settings(max_examples=30, deadline=None)
@given(differences)
def test_decided_is_what_the_interval_says_after_each_value(values: list[float]) -> None:
    intervals = [mean_interval(values[: i + 1]) for i in range(len(values))]
    assert decided(values).tolist() == [not low <= 0 <= high for low, high in intervals]


def test_a_forecast_comes_true_where_the_next_values_are_like_the_last() -> None:
    values = [0.5, 0.0, 0.25, -0.25, 0.4, 0.0, 0.3, -0.1, 0.0, 0.2]
    more = further_needed(values)
    assert more is not None
    rounds = more // len(values)
    assert rounds > 0
    assert not decided(values * (1 + rounds))[-1]
    assert decided(values * (2 + rounds))[-1]
    assert further_needed(values * (2 + rounds)) == 0


def test_where_nothing_differs_no_number_is_named() -> None:
    assert further_needed([0.0] * 50) is None
    assert further_needed([0.5, -0.5] * 20) is None


def test_a_difference_beyond_the_bounds_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        mean_interval([0.5, 1.5])


@pytest.mark.parametrize("kind", [pytest.param("judged", marks=pytest.mark.slow), "rare and large", "yes or no"])
def test_a_false_verdict_is_rare_whenever_one_looks(kind: str) -> None:
    """Two equal systems, looked at after every query: at most 5 % ever get a verdict."""
    draw = np.random.default_rng(1)
    if kind == "judged":
        values = judged(0.3, 0.3, (COMPARISONS, LOOKS))
    elif kind == "rare and large":  # mean 0, and skewed as bounds allow
        values = np.where(draw.random((COMPARISONS, LOOKS)) < 0.05, 0.95, -0.05)
    else:
        values = draw.choice([-1.0, 1.0], (COMPARISONS, LOOKS))
    assert abs(values.mean()) < 0.01
    false = decided(values).any(-1).mean()
    assert false <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / COMPARISONS)
    assert false > 0.001  # the level is used, not merely kept


def test_real_differences_are_found_with_the_queries_that_the_guide_names() -> None:
    typical = []
    for rates, difference in (((0.30, 0.47), 0.2), ((0.30, 0.38), 0.1)):
        values = judged(*rates, (COMPARISONS // 4, 2 * LOOKS))
        assert values.mean() == pytest.approx(difference, abs=0.02)
        found = decided(values)
        needed = np.where(found.any(-1), found.argmax(-1) + 1, 10 * LOOKS)
        typical.append(int(np.median(needed)))
        assert np.quantile(needed, 0.9) < 3 * typical[-1]
    words = f"a difference of 0.2 took {typical[0]} queries, one of 0.1 took {typical[1]} (medians)"
    guide = (Path(__file__).parents[2] / "examples" / "adapting.md").read_text(encoding="utf-8")
    assert words in " ".join(guide.split())


def test_it_decides_no_later_than_the_bets_that_the_paper_predicts() -> None:
    """The plug-in bets of Waudby-Smith & Ramdas, cut at 3/4 of the largest one, against 0 alone."""
    for rates in ((0.30, 0.38), (0.30, 0.47)):
        values = judged(*rates, (COMPARISONS // 4, 2 * LOOKS))
        x, n = (values + 1) / 2, np.arange(1, 2 * LOOKS + 1)
        means = (0.5 + x.cumsum(-1)) / (n + 1)
        variances = (0.25 + ((x - means) ** 2).cumsum(-1)) / (n + 1)
        before = np.concatenate([np.full((len(x), 1), 0.25), variances[:, :-1]], axis=1)
        bets = np.minimum(np.sqrt(2 * np.log(2 / 0.05) / (before * n * np.log(n + 1))), 0.75 / 0.5)
        gains = [np.log1p(sign * bets * (x - 0.5)).cumsum(-1) for sign in (1, -1)]
        theirs = np.maximum(*gains) - np.log(2) >= np.log(20)
        needed = [np.where(found.any(-1), found.argmax(-1) + 1, 10 * LOOKS) for found in (decided(values), theirs)]
        for share in (0.5, 0.9):
            assert np.quantile(needed[0], share) <= np.quantile(needed[1], share)
