"""Intervals of scores and of differences: draws, and when a verdict is given."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcse_kit.errors import SimCSEKitError
from simcse_kit.evaluation import compare, intervals, pearson, spearman
from simcse_kit.evaluation.bootstrap import weighted_statistic
from simcse_kit.evaluation.results import Outcome, SuiteResult

GOLD = np.random.default_rng(0).uniform(0, 5, 400)


def result(*outcomes: Outcome, average: bool = False) -> SuiteResult:
    scores = {}
    for outcome in outcomes:
        scores[outcome.score] = float(100 * weighted_statistic(outcome, np.ones((1, len(outcome.values))))[0])
    if average:
        scores["avg"] = sum(scores.values()) / len(scores)
    return SuiteResult(suite="s", scores=scores, details=(), seconds=0, sentences=0, data="d", outcomes=outcomes)


def noisy(noise: float, seed: int, score: str = "a") -> Outcome:
    return Outcome(score, "spearman", GOLD + noise * np.random.default_rng(seed).standard_normal(len(GOLD)), GOLD)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=12))
def test_a_draw_is_the_statistic_of_the_repeated_items(rows: list[tuple[int, int, int]]) -> None:
    x, y, often = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    if not often.sum():
        return
    repeated = [np.repeat(column, often.astype(int)) for column in (x, y)]
    for name, plain in (("spearman", spearman), ("pearson", pearson)):
        drawn = float(weighted_statistic(Outcome("s", name, x, y), often[None])[0])
        assert drawn == pytest.approx(plain(*repeated), nan_ok=True, abs=1e-9)
    assert float(weighted_statistic(Outcome("s", "mean", x), often[None])[0]) == pytest.approx(repeated[0].mean())


def test_the_interval_of_a_mean_is_the_binomials() -> None:
    right = (np.arange(1000) < 700).astype(np.float64)
    low, high = intervals(result(Outcome("accuracy", "mean", right)), resamples=4000)["accuracy"]
    wide = 1.96 * math.sqrt(0.7 * 0.3 / 1000) * 100
    assert low == pytest.approx(70 - wide, abs=0.3)
    assert high == pytest.approx(70 + wide, abs=0.3)


def test_equal_models_are_not_told_apart_and_others_are() -> None:
    good, same, bad = result(noisy(1, 1)), result(noisy(1, 2)), result(noisy(3, 3))
    (equal,) = compare([good], [good])
    assert (equal.difference, equal.interval, equal.verdict) == (0, (0, 0), "no clear difference")
    assert compare([good], [same])[0].verdict == "no clear difference"
    assert compare([good], [bad])[0].verdict == "worse"
    assert compare([bad], [good])[0].verdict == "better"


def test_pairing_makes_a_small_even_gain_visible() -> None:
    """A gain on every item is detected although it is far smaller than each model's own interval."""
    right = (np.random.default_rng(0).random(500) < 0.6).astype(np.float64)
    before, after = result(Outcome("a", "mean", right)), result(Outcome("a", "mean", right + 0.01))
    assert compare([before], [after])[0].verdict == "better"
    low, high = intervals(before)["a"]
    assert high - low > 5


def test_the_average_is_drawn_with_its_tasks() -> None:
    both = [result(noisy(noise, 1), noisy(noise, 2, "b"), average=True) for noise in (1, 3)]
    table = {line.score: line for line in compare([both[0]], [both[1]])}
    assert list(table) == ["a", "b", "avg"]
    assert table["avg"].difference == pytest.approx((table["a"].difference + table["b"].difference) / 2)
    width = {name: line.interval.high - line.interval.low for name, line in table.items()}
    assert width["avg"] < min(width["a"], width["b"])  # two sets of items say more than one


def test_seeds_widen_the_interval() -> None:
    """The seeds differ more than the recipes: one seed each gives the verdict "better", three give none."""
    shifts = {"first": (0.0, 0.2, 0.4), "second": (0.1, 0.3, 0.35)}
    right = (np.random.default_rng(0).random(500) < 0.5).astype(np.float64)
    sides = [[result(Outcome("a", "mean", right + shift)) for shift in own] for own in shifts.values()]
    (line,) = compare(*sides)
    assert line.verdict == "no clear difference"
    assert line.spreads == pytest.approx((20, np.std([10, 30, 35], ddof=1)))
    assert compare(sides[0][:1], sides[1][:1])[0].verdict == "better"
    assert math.isnan(compare(sides[0][:1], sides[1][:1])[0].spreads[0])


def test_a_constant_has_no_interval() -> None:
    constant = result(Outcome("a", "spearman", np.ones(5), np.arange(5.0)))
    assert all(math.isnan(end) for end in intervals(constant)["a"])
    assert compare([constant], [constant])[0].verdict == "no clear difference"


def test_results_of_other_items_are_not_compared() -> None:
    with pytest.raises(SimCSEKitError, match="a: the two results have different items"):
        compare([result(noisy(1, 1))], [result(noisy(1, 1)._replace(gold=GOLD + 1))])
    with pytest.raises(SimCSEKitError, match="different scores"):
        compare([result(noisy(1, 1))], [result(noisy(1, 1), noisy(1, 1, "b"))])
    with pytest.raises(SimCSEKitError, match="the same suite"):
        compare([], [])


def test_the_interval_of_several_seeds_is_that_of_their_mean() -> None:
    one, two = result(noisy(1, 1)), result(noisy(1.2, 2))
    assert intervals(one, one) == intervals(one)
    low, high = intervals(one, two)["a"]
    middle = (one.scores["a"] + two.scores["a"]) / 2
    assert low < middle < high
    assert high - low >= 0.9 * min(end - start for start, end in (intervals(one)["a"], intervals(two)["a"]))
    with pytest.raises(SimCSEKitError, match="have different items"):
        intervals(one, result(Outcome("a", "spearman", GOLD[1:], GOLD[1:])))
